"""Write the logits of a fixed text, and greedy tokens, through the engine's own driver.

Run as `python -I -S -B logits.py`, as the other drivers are. Reads a JSON request on standard input; writes one JSON
line a step to the file `events` that it names, and to the file `logits` one little-endian float32 for each entry of
the vocabulary, position after position of the text.
"""

import array
import importlib.util
import json
import os
import sys

_FILTER_OFF_EXIT = 97
_FLOAT_BYTES = 4


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules: it may be called as the engine's package is."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Comparer:
    """The steps of one run, on top of an engine's driver."""

    def __init__(self, driver):
        self.driver = driver
        self.request = driver.request
        self.text = []
        self.prompt = []

    def run(self):
        self.driver.step("import", self.driver.do_import)
        for name in ("load", "tokenize", "logits", "greedy", "backend"):
            self.driver.step(name, getattr(self, "do_" + name))

    def do_load(self):
        self.driver.engine = self.driver.open(logits_all=True)
        return {"vocabulary": self.driver.engine.n_vocab()}

    def do_tokenize(self):
        engine = self.driver.engine
        # A large vocabulary leaves room for fewer positions in a file of bounded size.
        room = self.request["logits-bytes"] // (_FLOAT_BYTES * engine.n_vocab())
        self.text = engine.tokenize(self.request["text"].encode())[: min(self.request["positions"], room)]
        self.prompt = engine.tokenize(self.request["prompt"].encode())
        if not self.text or not self.prompt:
            raise AssertionError("the text, or the prompt, has no tokens")
        return {"text": self.text}

    def do_logits(self):
        engine = self.driver.engine
        engine.reset()
        engine.eval(self.text)
        with open(self.request["logits"], "wb") as stream:
            for position in range(len(self.text)):
                row = array.array("f", self.driver.logits(position))
                if sys.byteorder == "big":
                    row.byteswap()
                row.tofile(stream)

    def do_greedy(self):
        engine = self.driver.engine
        engine.reset()
        engine.eval(self.prompt)
        tokens, margins = self.driver.greedy(self.request["greedy"])
        return {"tokens": tokens, "margins": margins}

    def do_backend(self):
        """Say which backend a wheel that has several took."""
        chooser = sys.modules[self.request["import-name"]].__dict__.get("truewheel")
        backend = getattr(chooser, "backend", None)
        return {"backend": str(getattr(backend(), "name", "")) if callable(backend) else ""}


def main():
    request = json.loads(sys.stdin.read())
    lockdown, engine = load_sibling("lockdown"), load_sibling(request["driver"])
    with open(request["events"], "w") as events:
        driver = engine.Driver(request, events)
        lockdown.limit(request["cpu-seconds"], request["memory-bytes"], request["file-bytes"])
        reason = lockdown.forbid()
        driver.emit(step="lock", state="passed" if not reason else "failed", reason=reason)
        if reason:
            sys.exit(_FILTER_OFF_EXIT)
        sys.path.insert(0, request["site"])
        Comparer(driver).run()


if __name__ == "__main__":
    main()
