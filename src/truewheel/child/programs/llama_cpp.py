"""Drive llama_cpp, or a package with its shape, through one inference, step by step.

Imports the standard library and the package alone. Reads a JSON request on standard input, writes one
JSON line a step to the file that it names, and leaves by the first failure. Run as
`python -I -S -B llama_cpp.py`, so that nothing of the package runs before the process has locked itself down.
"""

import importlib
import importlib.util
import json
import math
import os
import resource
import sys
import time
import traceback

_FILTER_OFF_EXIT = 97
_FAILED_EXIT = 98
_CONTEXT = 512
_PREFILL = 128
_ROOM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load_file(path):
    """Load a file without a place in sys.modules: it may be called as the engine's package is."""
    name = "truewheel_" + os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Driver:
    """One run: its request, its events, and the engine once it is loaded."""

    def __init__(self, request, events):
        self.request = request
        self.events = events
        self.package = None
        self.engine = None
        self.tokens = []
        self.generated = []

    def emit(self, **event):
        self.events.write(json.dumps(event) + "\n")
        self.events.flush()

    def step(self, name, action):
        self.emit(step=name, state="begin")
        start = time.perf_counter()
        try:
            facts = action() or {}
        except Exception as error:  # whatever the package raises is the finding
            self.emit(
                step=name,
                state="failed",
                reason="%s: %s" % (type(error).__name__, error),
                seconds=time.perf_counter() - start,
            )
            traceback.print_exc()
            sys.exit(_FAILED_EXIT)
        self.emit(step=name, state="passed", seconds=time.perf_counter() - start, facts=facts)

    def run(self):
        for name in (
            "import",
            "system-info",
            "load",
            "tokenize",
            "prefill",
            "decode",
            "stream",
            "embed",
            "state",
            "alone",
        ):
            self.step(name, getattr(self, "do_" + name.replace("-", "_")))

    def do_import(self):
        self.package = importlib.import_module(self.request["import-name"])
        return {"version": self.package.__version__, "path": os.path.dirname(self.package.__file__)}

    def do_system_info(self):
        told = {"text": self.read_system_info()}
        guard = sys.modules.get(self.request["import-name"] + ".truewheel")
        if guard is not None:
            chosen = guard.backend()
            told.update(backend=chosen.name, why=chosen.why, level=chosen.level)
        return told

    def read_system_info(self):
        """Return what the engine says that it was compiled with."""
        return self.package.llama_print_system_info().decode()

    def open(self, **options):
        given = {"n_ctx": _CONTEXT, "n_threads": self.request["threads"], "n_threads_batch": self.request["threads"]}
        settings = self.request.get("settings")
        if not settings:
            return self.package.Llama(self.request["model"], seed=1, verbose=False, **given, **options)
        given.update(settings, n_ctx=max(_CONTEXT, settings.get("n_ctx", 0)))
        helper = load_file(os.path.join(_ROOM, "carried", "preset_template.py"))
        return helper.open_engine(self.package, self.request["model"], given, seed=1, verbose=False, **options)

    def do_load(self):
        self.engine = self.open()
        return {"vocabulary": self.engine.n_vocab(), "context": self.engine.n_ctx()}

    def do_tokenize(self):
        texts = ["Once upon a time", "naïve café, Zürich", "日本語 and 🦙", "tabs\tand\nlines"]
        for text in texts:
            data = text.encode()
            back = self.engine.detokenize(self.engine.tokenize(data, add_bos=False))
            same = back == data if self.request["round-trip"] else back.strip() == data.strip()
            if not same:
                raise AssertionError("%r came back as %r" % (data, back))
        self.tokens = self.engine.tokenize(self.request["prompt"].encode())
        if not self.tokens:
            raise AssertionError("the prompt has no tokens")
        return {"prompt": len(self.tokens)}

    def logits(self, position=-1):
        """Return the logits of a position, by itself the last."""
        pointer = self.package.llama_get_logits_ith(self.engine._ctx.ctx, position)
        return pointer[: self.engine.n_vocab()]

    def do_prefill(self):
        self.engine.reset()
        count = self.request.get("prefill", _PREFILL)
        filler = (self.tokens * (count // len(self.tokens) + 1))[:count]
        start = time.perf_counter()
        self.engine.eval(filler)
        rate = len(filler) / (time.perf_counter() - start)
        logits = self.logits()
        if not all(math.isfinite(value) for value in logits):
            raise AssertionError("a logit is not finite")
        if max(logits) == min(logits):
            raise AssertionError("all logits are the same")
        return {"tokens": len(filler), "tokens-per-second": rate}

    def greedy(self, count):
        """Return the next tokens by arg-max, with the distance of the two best logits at each."""
        chosen, margins = [], []
        for _ in range(count):
            logits = self.logits()
            if not all(math.isfinite(value) for value in logits):
                raise AssertionError("a logit is not finite")
            best = max(range(len(logits)), key=logits.__getitem__)
            second = max(value for index, value in enumerate(logits) if index != best)
            chosen.append(best)
            margins.append(logits[best] - second)
            self.engine.eval([best])
        return chosen, margins

    def do_decode(self):
        self.engine.reset()
        self.engine.eval(self.tokens)
        start = time.perf_counter()
        self.generated, margins = self.greedy(self.request["decode"])
        seconds = time.perf_counter() - start
        text = self.engine.detokenize(self.generated, prev_tokens=self.tokens).decode("utf-8", "replace")
        expect = self.request["expect"]
        if expect and expect not in text:
            raise AssertionError("the continuation %r does not contain %r" % (text, expect))
        return {"tokens": self.generated, "margins": margins, "text": text, "tokens-per-second": len(margins) / seconds}

    def do_stream(self):
        options = {"prompt": self.request["prompt"], "max_tokens": 8, "temperature": 0.0}
        whole = self.engine.create_completion(**options)["choices"][0]["text"]
        parts = [part["choices"][0]["text"] for part in self.engine.create_completion(stream=True, **options)]
        if "".join(parts) != whole:
            raise AssertionError("streamed %r, at once %r" % ("".join(parts), whole))
        return {"parts": len(parts)}

    def do_embed(self):
        embedder = self.open(embedding=True)
        try:
            vector = embedder.embed(self.request["prompt"])
            while vector and isinstance(vector[0], list):
                vector = vector[0]
            if len(vector) != embedder.n_embd():
                raise AssertionError("the embedding has %d numbers instead of %d" % (len(vector), embedder.n_embd()))
            if not all(math.isfinite(value) for value in vector) or not any(vector):
                raise AssertionError("the embedding is not finite, or zero")
        finally:
            embedder.close()
        return {"dimensions": len(vector)}

    def do_state(self):
        self.engine.reset()
        self.engine.eval(self.tokens)
        state = self.engine.save_state()
        first, _ = self.greedy(4)
        self.engine.load_state(state)
        self.engine.eval(first[:1])
        second, _ = self.greedy(3)
        if first[1:] != second:
            raise AssertionError("after loading the state %r followed instead of %r" % (second, first[1:]))
        return {"bytes": len(state.llama_state)}

    def do_alone(self):
        """No child process and no socket: the filter forbids both, this looks at what is there."""
        for task in os.listdir("/proc/self/task"):
            try:
                with open("/proc/self/task/%s/children" % task) as stream:
                    children = stream.read().split()
            except OSError:
                children = []
            if children:
                raise AssertionError("a child process is running: %s" % ", ".join(children))
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink("/proc/self/fd/" + descriptor)
            except OSError:
                continue
            if target.startswith("socket:"):
                raise AssertionError("a socket is open")
        return {"peak-bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def look_at_cpu(driver, emulate, emulated):
    """Tell what the emulated CPU has, before any code of the wheel can say so."""
    driver.emit(step="cpu", state="passed", facts={"features": emulate.read_features(emulated["features"])})


def try_canary(driver, emulate, emulated):
    """Run an instruction that the emulated CPU lacks: whoever survives it was not on that CPU."""
    driver.emit(step="canary", state="begin")
    emulate.run_canary(emulated["canary"])
    driver.emit(step="canary", state="survived")


def main(kind=Driver):
    request = json.loads(sys.stdin.read())
    emulated = request.get("emulated")
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    import emulate
    import lockdown

    sys.path.remove(here)
    with open(request["events"], "w") as events:
        driver = kind(request, events)
        if emulated:
            # The launcher has done both: a guest of the emulator cannot.
            reason = lockdown.find_lock()
        else:
            lockdown.limit(request["cpu-seconds"], request["memory-bytes"], request["file-bytes"])
            reason = lockdown.forbid()
        driver.emit(step="lock", state="passed" if not reason else "failed", reason=reason)
        if reason and request["in-process"]:
            sys.exit(_FILTER_OFF_EXIT)
        if emulated:
            look_at_cpu(driver, emulate, emulated)
        sys.path.insert(0, request["site"])
        try:
            driver.run()
        finally:
            if emulated:
                try_canary(driver, emulate, emulated)


if __name__ == "__main__":
    main()
