"""xllamacpp: llama.cpp's server inside of the process.

There is no low level; end to end is `handle_completions`,
streamed, at temperature 0.
"""

import time

from truewheel.child.engines import base

_TYPES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}
_FLASH = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}


def choose_load_mode(settings):
    """Return the name of llama.cpp's way to load for `use_mmap` and `use_mlock`, None where neither is asked for."""
    if not {"use_mmap", "use_mlock"} & set(settings):
        return None
    parts = [
        word
        for word, asked in (("MMAP", settings.get("use_mmap", True)), ("MLOCK", settings.get("use_mlock")))
        if asked
    ]
    return "LLAMA_LOAD_MODE_" + ("_".join(parts) or "NONE")


def make_mask(cpus, size):
    """Return a list of truth values that names CPUs."""
    return [cpu in cpus for cpu in range(size)]


class Engine(base.Engine):
    """One run of xllamacpp."""

    project = "xllamacpp"
    followed = (
        "n_ctx", "n_batch", "n_ubatch", "n_threads", "n_threads_batch", "flash_attn", "type_k", "type_v", "repack",
        "use_mmap", "use_mlock", "cpus", "poll",
    )  # fmt: skip

    def open(self, model, context, preset=False, every=False):
        params = self.package.CommonParams()
        params.model.path = model
        self.follow(params, context)
        refused = {}
        if "poll" in self.settings and "OPENMP = 1" in self.package.get_system_info():
            refused["poll"] = "this build's threads are OpenMP's, which has its own way to wait"
        self.engine = self.package.Server(params)
        return {"not_followed": refused}

    def follow(self, params, context):
        """Put the settings where llama.cpp's server has them."""
        settings, package = self.settings, self.package
        for name in ("n_batch", "n_ubatch"):
            if name in settings:
                setattr(params, name, settings[name])
        if settings.get("n_ctx"):
            params.n_ctx = max(settings["n_ctx"], context)
        if "flash_attn" in settings:
            name = "LLAMA_FLASH_ATTN_TYPE_" + _FLASH[settings["flash_attn"]]
            params.flash_attn_type = getattr(package.llama_flash_attn_type, name)
        for name in ("type_k", "type_v"):
            if name in settings:
                setattr(params, "cache_" + name, getattr(package.ggml_type, _TYPES[settings[name]]))
        if "repack" in settings:
            params.no_extra_bufts = not settings["repack"]
        mode = choose_load_mode(settings)
        if mode:
            params.load_mode = getattr(package.llama_load_mode, mode)
        self.follow_threads(params.cpuparams, "n_threads")
        self.follow_threads(params.cpuparams_batch, "n_threads_batch")

    def follow_threads(self, pool, name):
        """Put what is said of threads where one of its two kinds of threads has it."""
        if name in self.settings:
            pool.n_threads = self.settings[name]
        if "poll" in self.settings:
            pool.poll = self.settings["poll"]
        if "cpus" in self.settings:
            pool.cpumask = make_mask(self.settings["cpus"], len(pool.cpumask))
            pool.mask_valid = True

    def notes(self):
        found = ["it is llama.cpp's server in the process, with threads of its own and JSON between them and Python"]
        if not self.settings.get("n_ctx"):
            found.append("unless told, its context is as long as the model was trained for")
        return found

    def info(self):
        return self.package.get_system_info()

    def tokenize(self, text, special=True):
        raise base.Absent("its Python API has no tokenizer: the server's is reached by HTTP alone")

    def answer(self, prompt, tokens):
        pieces, ends = [], []
        first = None
        start = time.perf_counter()

        def take(event):
            nonlocal first
            if first is None:
                first = time.perf_counter() - start
            if "error" in event:
                ends.append(event)
                return
            pieces.append(event["choices"][0]["text"])
            if "timings" in event:
                ends.append(event)

        request = {
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": True,
        }
        self.engine.handle_completions(request, take)
        seconds = time.perf_counter() - start
        if not ends or "error" in ends[-1]:
            raise RuntimeError(str(ends[-1]["error"] if ends else "the server sent no end"))
        timings = ends[-1]["timings"]
        if timings["cache_n"]:
            raise RuntimeError("%d tokens of the prompt came from its cache" % timings["cache_n"])
        given, made = timings["prompt_n"], timings["predicted_n"]
        return {"first": first, "seconds": seconds, "prompt": given, "count": made, "text": "".join(pieces)}
