"""What programs ask of an engine. An adapter says how its engine does it; what it leaves out is absent.

An adapter is a file with a class `Engine` on top of this one. It runs in the locked-down child, on whatever Python the
engine is for: the standard library alone, and the engine's package once `load` has imported it.
"""

import importlib
import importlib.metadata
import time

_NO_LOW_LEVEL = "its Python API has no call that evaluates tokens and samples none"


class Absent(Exception):  # noqa: N818 - that something is absent is no error of the engine
    """The engine has no way to do this; the text says why. A step that is absent has not passed."""


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


class Engine:
    """One engine in one process.

    project: its name in the index, where its package does not say its version.
    followed: the settings that it has a way for; None where `open` says itself what it could not follow.
    settings: those of a preset, which `load` and `open` follow.
    """

    project = ""
    followed = None

    def __init__(self, import_name, settings):
        self.import_name = import_name
        self.settings = settings
        self.package = None
        self.engine = None

    def load(self):
        """Import the package, and return its version."""
        self.package = importlib.import_module(self.import_name)
        return importlib.metadata.version(self.project) if self.project else self.package.__version__

    def ignored(self):
        """Return the settings that the engine has no way to follow, sorted.

        An engine with one number of threads follows `n_threads_batch` where it is the same.
        """
        followed = set(self.settings if self.followed is None else self.followed)
        if self.settings.get("n_threads_batch") == self.settings.get("n_threads") and "n_threads" in followed:
            followed.add("n_threads_batch")
        return sorted(set(self.settings) - followed)

    def open(self, model, context, preset=False, every=False):
        """Load a model with room for so many tokens; return what the engine took, by name.

        preset: follow all settings; else nothing but the numbers of threads is told, as users do.
        every: logits of every position will be asked for, not of the last alone.
        """
        raise NotImplementedError

    def notes(self):
        """Return how it differs from others where it is measured, as sentences."""
        return []

    def info(self):
        """Return what it says that it was compiled with."""
        raise Absent("it does not say what it was compiled with")

    def vocabulary(self):
        """Return how many tokens the model knows."""
        raise Absent("it does not say how large the vocabulary is")

    def context(self):
        """Return how many tokens its context has room for; 0 where it does not say."""
        return 0

    def tokenize(self, text, special=True):
        """Return the tokens of a text, with what the model wants before it, if `special`."""
        raise Absent("its Python API has no tokenizer")

    def detokenize(self, tokens, before=()):
        """Return the bytes of tokens that follow others."""
        raise Absent("its tokenizer has no way back from tokens to text")

    def reset(self):
        """Forget all tokens."""
        self.truncate(0)

    def truncate(self, position):
        """Forget what lies behind so many tokens."""
        raise Absent(_NO_LOW_LEVEL)

    def eval(self, tokens):
        """Evaluate tokens behind those that are there, so that `logits` can be asked for."""
        raise Absent(_NO_LOW_LEVEL)

    def feed(self, tokens):
        """Evaluate tokens as fast as it can, and wait for the end; nobody looks at the logits."""
        self.eval(tokens)

    def logits(self, position=-1):
        """Return the logits of a position that was evaluated, by itself the last."""
        raise Absent("its Python API shows no logits")

    def stream(self, prompt, tokens):
        """Yield the greedy continuation of a prompt in pieces."""
        raise Absent("its Python API cannot stream")

    def complete(self, prompt, tokens):
        """Return the greedy continuation of a prompt at once."""
        return self.answer(prompt, tokens)["text"]

    def answer(self, prompt, tokens):
        """Return the greedy continuation of a prompt, timed: first, seconds, prompt, count, text.

        first: seconds to the first token, None where that is not known.
        prompt, count: tokens that were evaluated, and that were generated.
        """
        raise Absent("its adapter generates no text")

    def embed(self, text):
        """Return the embedding of a text, and how many dimensions the model has."""
        raise Absent("its Python API gives no embeddings")

    def save(self):
        """Return the state of the context, and its size in bytes."""
        raise Absent("its Python API saves no state")

    def restore(self, state):
        """Go back to a state."""
        raise Absent("its Python API saves no state")
