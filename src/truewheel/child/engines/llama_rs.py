"""Measure llama_rs, which has the shape of llama_cpp; what lies below that shape is asked for its own way.

Run as `python -I -S -B llama_rs.py`, see common.py. The low level is `eval`: it has no sampling, and keeps its logits
on the other side of the boundary.
"""

import importlib.util
import os
import time


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shape = load_sibling("llama_cpp")


class Driver(shape.Driver):
    """One run of llama_rs."""

    def read_settings(self):
        return dict(self.engine.settings())

    def forget(self, position):
        if position:
            self.engine.engine.truncate(position)
        else:
            self.engine.reset()
            self.depth = None

    def feed(self, tokens):
        if tokens:
            self.engine.eval(tokens)

    def decode(self, tokens, depth):
        self.fill(depth)
        start = time.perf_counter()
        for token in self.tokens[:tokens]:
            self.engine.eval([token])
        return time.perf_counter() - start

    def count(self, _prompt, _finish, chunk):
        return chunk["timings"]["predicted_n"]


if __name__ == "__main__":
    load_sibling("common").main(Driver)
