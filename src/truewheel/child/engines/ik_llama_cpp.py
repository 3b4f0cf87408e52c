"""Measure ik_llama_cpp: the shape of llama_cpp on an older C API, with a class of its own.

Run as `python -I -S -B ik_llama_cpp.py`, see common.py. The low level is `llama_decode` on batches as llama-bench makes
them; end to end is `IkLlama.generate`, which takes tokens and returns tokens.
"""

import ctypes
import importlib
import importlib.util
import inspect
import os
import time

_ALL = -1
_SEQUENCE = 0
_NO_VNNI = "it switches it off where py-cpuinfo, which it does not require, shows no AVX-VNNI"


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shape = load_sibling("llama_cpp")


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


class Driver(shape.Driver):
    """One run of ik_llama_cpp."""

    def do_import(self):
        facts = super().do_import()
        self.bindings = importlib.import_module(self.request["import-name"] + "._ctypes_api")
        self.calls = declare(self.bindings)
        return facts

    def do_load(self):
        settings = dict(self.request["settings"])
        wanted = self.request["context"]
        default = inspect.signature(self.package.IkLlama.__init__).parameters["n_ctx"].default
        context = choose_context(settings.pop("n_ctx", None), default, wanted)
        if context is not None:
            settings["n_ctx"] = context
        presets = load_sibling("common").load_presets()
        self.engine = presets.open_engine(self.package, self.request["model"], settings, verbose=False)
        self.told = dict(self.engine.truewheel_settings)
        self.flash, reason = judge_flash(settings.get("flash_attn"), bool(self.engine._has_vnni))
        if reason:
            self.told["not_followed"] = dict(self.told["not_followed"], flash_attn=reason)
        self.tokens = shape.make_tokens(wanted, self.engine._model.n_vocab)
        return dict(self.read_settings(), **self.told)

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
        if not self.flash and self.request["settings"].get("flash_attn") != "off":
            found.append("no flash attention: " + _NO_VNNI)
        return found

    def forget(self, position):
        if position:
            self.calls["llama_kv_cache_seq_rm"](self.engine.ctx, _SEQUENCE, position, _ALL)
        else:
            self.bindings.llama_kv_cache_clear(self.engine.ctx)
            self.depth = None
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

    def decode(self, tokens, depth):
        self.fill(depth)
        start = time.perf_counter()
        for token in self.tokens[:tokens]:
            self.decode_batch([token])
            self.calls["llama_synchronize"](self.engine.ctx)
        return time.perf_counter() - start

    def cut(self, text, tokens):
        found = self.engine.tokenize(text)[:tokens]
        return self.engine.detokenize(found), len(found)

    def answer(self, prompt, tokens):
        # It clears its cache itself, and what the low level had put there.
        self.depth = None
        start = time.perf_counter()
        given = self.engine.tokenize(prompt)
        made = self.engine.generate(given, max_tokens=tokens, temperature=0.0)
        text = self.engine.detokenize(made)
        seconds = time.perf_counter() - start
        return {"first": None, "seconds": seconds, "prompt": len(given), "count": len(made), "text": text}


if __name__ == "__main__":
    load_sibling("common").main(Driver)
