"""ik_llama_cpp: the shape of llama_cpp on an older C API, with a class of its own.

The low level is `llama_decode` on batches as llama-bench makes them; end to end is `IkLlama.generate`, which takes
tokens and returns tokens.
"""

import ctypes
import importlib
import inspect
import time

from truewheel.carried import preset_template as presets
from truewheel.child.engines import base

_ALL = -1
_SEQUENCE = 0
_NO_VNNI = "it switches it off where py-cpuinfo, which it does not require, shows no AVX-VNNI"


def choose_context(asked, default, wanted):
    """Return the context to ask for: what is asked for or needed, None where the default has room."""
    if asked is None:
        return wanted if wanted > default else None
    return max(asked, wanted)


def judge_flash(asked, has_vnni):
    """Return whether the engine computes with flash attention, and why not where it was asked for.

    asked: `flash_attn` of the settings; unless that is off, the class takes it where it sees AVX-VNNI.
    """
    if asked == "off" or has_vnni:
        return asked != "off", ""
    return False, _NO_VNNI if asked == "on" else ""


def declare(bindings):
    """Return functions of llama.h that the package's own bindings leave out."""
    context, number = ctypes.c_void_p, ctypes.c_int32
    found = {}
    for name, result, arguments in (
        ("llama_batch_get_one", bindings.llama_batch, (bindings.llama_token_p, number, number, number)),
        ("llama_kv_cache_seq_rm", ctypes.c_bool, (context, number, number, number)),
        ("llama_synchronize", None, (context,)),
        ("llama_n_ctx", ctypes.c_uint32, (context,)),
        ("llama_n_batch", ctypes.c_uint32, (context,)),
        ("llama_n_ubatch", ctypes.c_uint32, (context,)),
        ("llama_n_threads", ctypes.c_uint32, (context,)),
        ("llama_n_threads_batch", ctypes.c_uint32, (context,)),
    ):
        found[name] = ctypes.CFUNCTYPE(result, *arguments)((name, bindings._lib))
    return found


class Engine(base.Engine):
    """One run of ik_llama_cpp."""

    def load(self):
        version = super().load()
        self.bindings = importlib.import_module(self.import_name + "._ctypes_api")
        self.calls = declare(self.bindings)
        return version

    def open(self, model, context, preset=False, every=False):
        settings = dict(self.settings)
        default = inspect.signature(self.package.IkLlama.__init__).parameters["n_ctx"].default
        room = choose_context(settings.pop("n_ctx", None), default, context)
        if room is not None:
            settings["n_ctx"] = room
        self.engine = presets.open_engine(self.package, model, settings, verbose=False)
        told = dict(self.engine.truewheel_settings)
        self.flash, reason = judge_flash(settings.get("flash_attn"), bool(self.engine._has_vnni))
        if reason:
            told["not_followed"] = dict(told["not_followed"], flash_attn=reason)
        return dict(self.read_settings(), **told)

    def vocabulary(self):
        return self.engine._model.n_vocab

    def read_settings(self):
        names = ("n_threads", "n_threads_batch", "n_batch", "n_ubatch", "n_ctx")
        facts = {name: self.calls["llama_" + name](self.engine.ctx) for name in names}
        self.size = facts["n_ubatch"]
        return dict(facts, flash_attn=self.flash)

    def notes(self):
        found = [
            "end to end is its generate(), on tokens: its chat call has Gemma's template for every model",
            "it cannot stream, so the time to the first token is not known",
            "for each token it copies the logits of the whole vocabulary in a loop of Python",
            "it also evaluates the last token of its answer",
        ]
        if not self.flash and self.settings.get("flash_attn") != "off":
            found.append("no flash attention: " + _NO_VNNI)
        return found

    def truncate(self, position):
        if position:
            self.calls["llama_kv_cache_seq_rm"](self.engine.ctx, _SEQUENCE, position, _ALL)
        else:
            self.bindings.llama_kv_cache_clear(self.engine.ctx)
        self.position = position

    def feed(self, tokens):
        """Decode tokens in batches as large as its generate() makes them; logits of the last one of each alone."""
        for start in range(0, len(tokens), self.size):
            self.decode_batch(tokens[start : start + self.size])
        self.calls["llama_synchronize"](self.engine.ctx)

    def decode_batch(self, tokens):
        array = (self.bindings.llama_token * len(tokens))(*tokens)
        batch = self.calls["llama_batch_get_one"](array, len(tokens), self.position, _SEQUENCE)
        code = self.bindings.llama_decode(self.engine.ctx, batch)
        if code:
            raise RuntimeError("llama_decode returned %d" % code)
        self.position += len(tokens)

    def tokenize(self, text, special=True):
        return self.engine.tokenize(text)

    def detokenize(self, tokens, before=()):
        return self.engine.detokenize(tokens).encode()

    def answer(self, prompt, tokens):
        # It clears its cache itself, and what the low level had put there.
        start = time.perf_counter()
        given = self.engine.tokenize(prompt)
        made = self.engine.generate(given, max_tokens=tokens, temperature=0.0)
        text = self.engine.detokenize(made)
        seconds = time.perf_counter() - start
        return {"first": None, "seconds": seconds, "prompt": len(given), "count": len(made), "text": text}
