"""Take an engine through one inference, step by step."""

import math
import os
import resource
import sys
import time

from truewheel.child.engines.base import Absent

_CONTEXT = 512
_TEXTS = ("Once upon a time", "naïve café, Zürich", "日本語 and 🦙", "tabs\tand\nlines")


def check_logits(logits):
    """Return the logits as they are.

    Raises AssertionError where one of them is not finite.
    """
    if not all(math.isfinite(value) for value in logits):
        raise AssertionError("a logit is not finite")
    return logits


def greedy(engine, count):
    """Return the next tokens by arg-max, with the distance of the two best logits at each."""
    chosen, margins = [], []
    for _ in range(count):
        logits = check_logits(engine.logits())
        best = max(range(len(logits)), key=logits.__getitem__)
        second = max(value for index, value in enumerate(logits) if index != best)
        chosen.append(best)
        margins.append(logits[best] - second)
        engine.eval([best])
    return chosen, margins


def read_guard(import_name):
    """Return what the guard of a wheel of ours says of its choice; empty where there is none."""
    guard = sys.modules.get(import_name + ".truewheel")
    if guard is None:
        return {}
    chosen = guard.backend()
    return {"backend": chosen.name, "why": chosen.why, "level": chosen.level}


class Smoke:
    """The steps of one run."""

    def __init__(self, request, engine):
        self.request = request
        self.engine = engine
        self.tokens = []

    def do_import(self):
        version = self.engine.load()
        return {"version": version, "path": os.path.dirname(self.engine.package.__file__)}

    def do_system_info(self):
        return dict({"text": self.engine.info()}, **read_guard(self.request["import-name"]))

    def do_load(self):
        self.engine.open(self.request["model"], _CONTEXT)
        return {"vocabulary": self.engine.vocabulary(), "context": self.engine.context()}

    def do_tokenize(self):
        for text in _TEXTS:
            data = text.encode()
            back = self.engine.detokenize(self.engine.tokenize(text, special=False))
            same = back == data if self.request["round-trip"] else back.strip() == data.strip()
            if not same:
                raise AssertionError("%r came back as %r" % (data, back))
        self.tokens = self.engine.tokenize(self.request["prompt"])
        if not self.tokens:
            raise AssertionError("the prompt has no tokens")
        return {"prompt": len(self.tokens)}

    def begin(self):
        """Start with an empty context."""
        if not self.tokens:
            raise Absent("without a tokenizer there is nothing to evaluate")
        self.engine.reset()

    def do_prefill(self):
        self.begin()
        count = self.request["prefill"]
        filler = (self.tokens * (count // len(self.tokens) + 1))[:count]
        start = time.perf_counter()
        self.engine.eval(filler)
        rate = len(filler) / (time.perf_counter() - start)
        logits = check_logits(self.engine.logits())
        if max(logits) == min(logits):
            raise AssertionError("all logits are the same")
        return {"tokens": len(filler), "tokens-per-second": rate}

    def do_decode(self):
        self.begin()
        self.engine.eval(self.tokens)
        start = time.perf_counter()
        generated, margins = greedy(self.engine, self.request["decode"])
        seconds = time.perf_counter() - start
        text = self.engine.detokenize(generated, before=self.tokens).decode("utf-8", "replace")
        expect = self.request["expect"]
        if expect and expect not in text:
            raise AssertionError("the continuation %r does not contain %r" % (text, expect))
        return {"tokens": generated, "margins": margins, "text": text, "tokens-per-second": len(margins) / seconds}

    def do_stream(self):
        whole = self.engine.complete(self.request["prompt"], 8)
        parts = list(self.engine.stream(self.request["prompt"], 8))
        if "".join(parts) != whole:
            raise AssertionError("streamed %r, at once %r" % ("".join(parts), whole))
        return {"parts": len(parts)}

    def do_embed(self):
        vector, dimensions = self.engine.embed(self.request["prompt"])
        if len(vector) != dimensions:
            raise AssertionError("the embedding has %d numbers instead of %d" % (len(vector), dimensions))
        if not all(math.isfinite(value) for value in vector) or not any(vector):
            raise AssertionError("the embedding is not finite, or zero")
        return {"dimensions": len(vector)}

    def do_state(self):
        self.begin()
        self.engine.eval(self.tokens)
        state, size = self.engine.save()
        first, _ = greedy(self.engine, 4)
        self.engine.restore(state)
        self.engine.eval(first[:1])
        second, _ = greedy(self.engine, 3)
        if first[1:] != second:
            raise AssertionError("after loading the state %r followed instead of %r" % (second, first[1:]))
        return {"bytes": size}

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


def work(run):
    smoke = Smoke(run.request, run.make_engine())
    for name in run.request["steps"]:
        run.step(name, getattr(smoke, "do_" + name.replace("-", "_")))
