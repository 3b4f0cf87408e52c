"""llama_rs, which has the shape of llama_cpp; what lies below that shape is asked for its own way.

The low level is `eval`: it has no sampling, and keeps its logits on the other side of the boundary.
"""

from truewheel.child.engines import llama_cpp


class Engine(llama_cpp.Engine):
    """One run of llama_rs."""

    def read_settings(self):
        return dict(self.engine.settings())

    def info(self):
        return self.package.system_info()

    def logits(self, position=-1):
        return self.engine.logits(position).tolist()

    def truncate(self, position):
        if position:
            self.engine.engine.truncate(position)
        else:
            self.engine.reset()

    def feed(self, tokens):
        if tokens:
            self.engine.eval(tokens)

    def count(self, _prompt):
        return self.last["timings"]["predicted_n"]
