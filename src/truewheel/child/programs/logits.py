"""Write the logits of a fixed text, and greedy tokens.

To the file `logits` of the request goes one little-endian float32 for each entry of the vocabulary, position after
position of the text.
"""

import array
import sys

from truewheel.child.programs.smoke import greedy

_CONTEXT = 512
_FLOAT_BYTES = 4


class Comparer:
    """The steps of one run."""

    def __init__(self, request, engine):
        self.request = request
        self.engine = engine
        self.text = []
        self.prompt = []

    def do_import(self):
        return {"version": self.engine.load()}

    def do_load(self):
        self.engine.open(self.request["model"], _CONTEXT, preset=bool(self.request["preset"]), every=True)
        return {"vocabulary": self.engine.vocabulary()}

    def do_tokenize(self):
        # A large vocabulary leaves room for fewer positions in a file of bounded size.
        room = self.request["logits-bytes"] // (_FLOAT_BYTES * self.engine.vocabulary())
        self.text = self.engine.tokenize(self.request["text"])[: min(self.request["positions"], room)]
        self.prompt = self.engine.tokenize(self.request["prompt"])
        if not self.text or not self.prompt:
            raise AssertionError("the text, or the prompt, has no tokens")
        return {"text": self.text}

    def do_logits(self):
        self.engine.reset()
        self.engine.eval(self.text)
        with open(self.request["logits"], "wb") as stream:
            for position in range(len(self.text)):
                row = array.array("f", self.engine.logits(position))
                if sys.byteorder == "big":
                    row.byteswap()
                row.tofile(stream)

    def do_greedy(self):
        self.engine.reset()
        self.engine.eval(self.prompt)
        tokens, margins = greedy(self.engine, self.request["greedy"])
        return {"tokens": tokens, "margins": margins}

    def do_backend(self):
        """Say which backend a wheel that has several took."""
        chooser = sys.modules[self.request["import-name"]].__dict__.get("truewheel")
        backend = getattr(chooser, "backend", None)
        return {"backend": str(getattr(backend(), "name", "")) if callable(backend) else ""}


def work(run):
    comparer = Comparer(run.request, run.make_engine())
    for name in run.request["steps"]:
        run.step(name, getattr(comparer, "do_" + name))
