"""Measure llama_cpp, or a package with its shape.

Run as `python -I -S -B llama_cpp.py`, see common.py. The low level is `llama_decode` on batches as llama-bench makes
them; end to end is `create_completion`, streamed, at temperature 0.
"""

import importlib
import importlib.util
import os
import time

_ALL = -1


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules: this one is called as the engine's package is."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_tokens(count, vocabulary):
    """Return tokens that are no pattern, always the same: speed does not depend on which they are."""
    return [(index * 7919 + 104729) % min(vocabulary, 32000) for index in range(count)]


class Driver:
    """One run of llama_cpp."""

    def __init__(self, request):
        self.request = request
        self.package = None
        self.engine = None
        self.depth = None
        self.tokens = []
        self.told = {}

    def do_import(self):
        self.package = importlib.import_module(self.request["import-name"])
        return {"version": self.package.__version__}

    def do_load(self):
        settings = dict(self.request["settings"])
        wanted = self.request["context"]
        self.told = {}
        if settings.get("n_ctx", 0) < wanted:
            settings["n_ctx"] = wanted
        presets = load_sibling("common").load_presets()
        self.engine = presets.open_engine(self.package, self.request["model"], settings, verbose=False)
        self.told = dict(getattr(self.engine, "truewheel_settings", {}))
        self.tokens = make_tokens(wanted, self.engine.n_vocab())
        return dict(self.read_settings(), **self.told)

    def read_settings(self):
        """Return what the engine took where nobody told it."""
        engine = self.engine
        return {
            "n_threads": engine.n_threads,
            "n_threads_batch": engine.n_threads_batch,
            "n_batch": engine.n_batch,
            "n_ctx": engine.n_ctx(),
        }

    def notes(self):
        return []

    def fill(self, depth):
        """Bring the context to `depth` tokens: what is there is kept, what is behind it is forgotten."""
        if self.depth is None or self.depth < depth or not depth:
            self.forget(0)
            self.feed(self.tokens[:depth])
        else:
            self.forget(depth)
        self.depth = depth

    def forget(self, position):
        memory = self.package.llama_get_memory(self.engine._ctx.ctx)
        if position:
            self.package.llama_memory_seq_rm(memory, 0, position, _ALL)
        else:
            self.package.llama_memory_clear(memory, True)
            self.depth = None

    def feed(self, tokens):
        """Decode tokens in batches of n_batch; logits of the last one of each alone."""
        size = self.engine.n_batch
        for start in range(0, len(tokens), size):
            self.decode_batch(tokens[start : start + size])
        self.package.llama_synchronize(self.engine._ctx.ctx)

    def decode_batch(self, tokens):
        array = (self.package.llama_token * len(tokens))(*tokens)
        code = self.package.llama_decode(self.engine._ctx.ctx, self.package.llama_batch_get_one(array, len(tokens)))
        if code:
            raise RuntimeError("llama_decode returned %d" % code)

    def prefill(self, tokens, depth):
        self.fill(depth)
        start = time.perf_counter()
        self.feed(self.tokens[:tokens])
        seconds = time.perf_counter() - start
        if not depth:
            # What is there now is what `fill` would put there.
            self.depth = tokens
        return seconds

    def decode(self, tokens, depth):
        self.fill(depth)
        start = time.perf_counter()
        for token in self.tokens[:tokens]:
            self.decode_batch([token])
            self.package.llama_synchronize(self.engine._ctx.ctx)
        return time.perf_counter() - start

    def cut(self, text, tokens):
        found = self.engine.tokenize(text.encode())[:tokens]
        return self.engine.detokenize(found).decode("utf-8", "ignore"), len(found)

    def start_anew(self):
        """Forget everything, so that no answer finds its prompt in the cache."""
        self.depth = None
        self.engine.reset()

    def answer(self, prompt, tokens):
        self.start_anew()
        given = len(self.engine.tokenize(prompt.encode()))
        first, text, finish = None, [], None
        start = time.perf_counter()
        for chunk in self.engine.create_completion(prompt, max_tokens=tokens, temperature=0.0, stream=True):
            if first is None:
                first = time.perf_counter() - start
            text.append(chunk["choices"][0]["text"])
            finish = chunk["choices"][0]["finish_reason"]
        seconds = time.perf_counter() - start
        count = self.count(given, finish, chunk)
        return {"first": first, "seconds": seconds, "prompt": given, "count": count, "text": "".join(text)}

    def count(self, prompt, finish, _chunk):
        """Return how many tokens the answer has: those that were evaluated, and the last, which was not."""
        return self.engine.n_tokens - prompt + (1 if finish == "length" else 0)


if __name__ == "__main__":
    load_sibling("common").main(Driver)
