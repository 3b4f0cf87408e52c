"""llama-cpp-cffi: llama.cpp by cffi, sampling and batches written in Python.

The low level is `llama_decode` on batches as llama-bench makes them; end to end is `Model.completions`, which streams,
at temperature 0.
"""

import contextlib
import importlib
import os
import socket
import sys
import types

from truewheel.child.engines import base

_ALL = -1
_NAME = "truewheel/model"
_CONTEXT = 4096
"""Of ModelOptions, where it is not told."""


def choose_options(settings, wanted, types_by_name):
    """Return the fields of ModelOptions for settings and the context that the work needs.

    types_by_name: its numbers of the types of keys and values.
    """
    numbers = ("n_batch", "n_ubatch", "n_threads", "n_threads_batch", "use_mmap", "use_mlock")
    options = {name: settings[name] for name in numbers if name in settings}
    if settings.get("n_ctx"):
        options["n_ctx"] = max(settings["n_ctx"], wanted)
    elif wanted > _CONTEXT:
        options["n_ctx"] = wanted
    if settings.get("flash_attn", "auto") != "auto":
        options["flash_attn"] = settings["flash_attn"] == "on"
    for name in ("type_k", "type_v"):
        if name in settings:
            options[name] = types_by_name[settings[name].upper()]
    return options


class Tokenizer:
    """The model file's own tokenizer, in the place of one that would be fetched by name."""

    def __init__(self, package, model):
        self.package = package
        self.vocabulary = package.lib.llama_model_get_vocab(model)

    def encode(self, text):
        data, call = text.encode(), self.package.lib.llama_tokenize
        found = self.package.ffi.new("llama_token[]", len(data) + 2)
        count = call(self.vocabulary, data, len(data), found, len(found), True, False)
        if count < 0:
            raise RuntimeError("llama_tokenize returned %d" % count)
        return list(found[0:count])


class Engine(base.Engine):
    """One run of llama-cpp-cffi."""

    project = "llama-cpp-cffi"
    followed = (
        "n_ctx", "n_batch", "n_ubatch", "n_threads", "n_threads_batch", "flash_attn", "type_k", "type_v", "use_mmap",
        "use_mlock",
    )  # fmt: skip

    def load(self):
        # Else the import starts programs to look for a graphics card; this is its own switch for that.
        os.environ["LLAMA_CPP_BACKEND"] = "cpu"
        # Else urllib3, which it needs for what it would fetch, opens a socket to see whether there is IPv6.
        socket.has_ipv6 = False
        return super().load()

    def open(self, model, context, preset=False, every=False):
        package = self.package
        self.low = None
        self.put_in_place(model)
        self.engine = package.Model(creator_hf_repo=_NAME, hf_repo=_NAME, hf_file=_NAME)
        self.engine.init(**choose_options(self.settings, context, package.ggml_type.__members__))
        self.tokenizer = Tokenizer(package, self.engine._model)
        taken = self.engine.options
        names = ("n_threads", "n_threads_batch", "n_ctx", "n_batch", "n_ubatch", "flash_attn")
        facts = {name: getattr(taken, name) for name in names}
        facts["n_threads_batch"] = facts["n_threads_batch"] or facts["n_threads"]
        return facts

    def vocabulary(self):
        return self.package.lib.llama_vocab_n_tokens(self.tokenizer.vocabulary)

    def put_in_place(self, model):
        """Give the package what it would fetch from a hub by the model's name: the file, its kind and its tokenizer."""
        models = importlib.import_module(self.import_name + ".model")
        texts = importlib.import_module(self.import_name + ".text")
        models.hf_hub_download = lambda **_: model
        models.get_config = lambda _: types.SimpleNamespace(model_type="llama")
        texts.get_tokenizer = lambda _: self.tokenizer

    def notes(self):
        return [
            "it fetches models by name alone: the driver puts the file in place, and the file's tokenizer for its own",
            "each answer makes and frees a context of its own, and the clock runs",
            "it ends at an end of text, which it cannot be told to pass over",
        ]

    def open_context(self):
        """Return the context of the low level, with the package's own parameters."""
        if self.low is None:
            contexts = importlib.import_module(self.import_name + ".context")
            self.low = contexts.context_init(self.engine._model, self.engine.options)
        return self.low

    def close_context(self):
        if self.low is not None:
            self.package.lib.llama_free(self.low)
            self.low = None

    def truncate(self, position):
        if position:
            self.package.lib.llama_kv_cache_seq_rm(self.open_context(), 0, position, _ALL)
        else:
            self.package.lib.llama_kv_cache_clear(self.open_context())

    def feed(self, tokens):
        size = self.engine.options.n_batch
        for start in range(0, len(tokens), size):
            self.decode_batch(tokens[start : start + size])
        self.package.lib.llama_synchronize(self.open_context())

    def decode_batch(self, tokens):
        array = self.package.ffi.new("llama_token[]", tokens)
        code = self.package.lib.llama_decode(
            self.open_context(), self.package.lib.llama_batch_get_one(array, len(tokens))
        )
        if code:
            raise RuntimeError("llama_decode returned %d" % code)

    def tokenize(self, text, special=True):
        return self.tokenizer.encode(text)

    def detokenize(self, tokens, before=()):
        pieces = importlib.import_module(self.import_name + ".util")
        return "".join(pieces._common_token_to_piece(self.open_context(), token, False) for token in tokens).encode()

    def answer(self, prompt, tokens):
        self.close_context()
        given = len(self.tokenizer.encode(prompt))
        seen = []

        def ask():
            # It yields once a token, with an empty text where that is no whole character.
            for piece in self.engine.completions(prompt=prompt, predict=tokens, temp=0.0):
                seen.append(piece)
                yield piece

        # It prints what it makes and frees.
        with contextlib.redirect_stdout(sys.stderr):
            first, seconds, text = base.listen(ask())
        return {"first": first, "seconds": seconds, "prompt": given, "count": len(seen), "text": text}
