"""What drivers of packages share that have no low level: an answer from a prompt, and nothing below it.

Standard library only; loaded by those drivers, see common.py.
"""

import importlib
import importlib.metadata
import time


def list_ignored(settings, followed):
    """Return the settings that an engine has no way to follow, sorted.

    An engine with one number of threads follows `n_threads_batch` where it is the same.
    """
    followed = set(followed)
    if settings.get("n_threads_batch") == settings.get("n_threads") and "n_threads" in followed:
        followed.add("n_threads_batch")
    return sorted(set(settings) - followed)


def listen(pieces):
    """Take pieces of text as they come; return seconds to the first, seconds to the last, and the text.

    pieces: an iterable that asks the engine when its first piece is asked for.
    """
    start = time.perf_counter()
    first, text = None, []
    for piece in pieces:
        if first is None:
            first = time.perf_counter() - start
        text.append(piece)
    return first, time.perf_counter() - start, "".join(text)


class Peer:
    """One run of a package; `project` is its name in the index, `followed` the settings that it has a way for."""

    project = ""
    followed = ()

    def __init__(self, request):
        self.request = request
        self.settings = request["settings"]
        self.package = None
        self.engine = None

    def do_import(self):
        self.package = importlib.import_module(self.request["import-name"])
        return {"version": importlib.metadata.version(self.project)}

    def do_load(self):
        facts = self.load()
        return dict(facts, ignored=list_ignored(self.settings, self.followed))

    def load(self):
        raise NotImplementedError

    def prefill(self, tokens, depth):
        raise NotImplementedError("its Python API has no call that evaluates tokens and samples none")

    def decode(self, tokens, depth):
        raise NotImplementedError("its Python API has no call that evaluates tokens and samples none")

    def cut(self, text, tokens):
        raise NotImplementedError("its Python API has no tokenizer")

    def notes(self):
        return []
