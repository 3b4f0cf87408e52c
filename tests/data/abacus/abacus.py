"""abacus: a book is read on letter by letter, and says what it expects next. It cannot stream, embed or save."""

import time

from truewheel.child.engines import base


class Engine(base.Engine):
    """One run of abacus."""

    followed = ()

    def open(self, model, context, preset=False, every=False):
        self.engine = self.package.Book(model)
        return {"letters": self.engine.letters}

    def notes(self):
        return ["it reads letters"]

    def vocabulary(self):
        return self.engine.letters

    def tokenize(self, text, special=True):
        return self.package.spell(text)

    def detokenize(self, tokens, before=()):
        return self.package.say(tokens)

    def truncate(self, position):
        self.engine.turn_back(position)

    def eval(self, tokens):
        self.engine.read_on(tokens)

    def logits(self, position=-1):
        return self.engine.expectations(position)

    def answer(self, prompt, tokens):
        self.truncate(0)
        given = self.tokenize(prompt)
        start = time.perf_counter()
        letters = self.engine.write_on(given, tokens)
        seconds = time.perf_counter() - start
        text = self.package.say(letters).decode("latin-1")
        return {"first": None, "seconds": seconds, "prompt": len(given), "count": len(letters), "text": text}

    def save(self):
        raise base.Absent("a book has no bookmarks")
