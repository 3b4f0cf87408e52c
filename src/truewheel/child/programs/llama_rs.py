"""Drive llama_rs as llama_cpp is driven: it has the same shape; what lies below that shape is asked for its own way.

Run as `python -I -S -B llama_rs.py`, see llama_cpp.py.
"""

import importlib.util
import os


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules: it is called as an engine's package is."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shape = load_sibling("llama_cpp")


class Driver(shape.Driver):
    """One run of llama_rs."""

    def read_system_info(self):
        return self.package.system_info()

    def logits(self, position=-1):
        return self.engine.logits(position).tolist()


if __name__ == "__main__":
    shape.main(Driver)
