"""Take an engine through one inference, step by step, and tell what came of each.

What is right is judged by whoever asks: nothing in this process knows it.
"""

import math
import os
import resource
import sys
import time

from truewheel.child.engines.base import Absent

_CONTEXT = 512


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


def spread(logits):
    """Return how many logits there are, how many are finite, the least of those and the largest."""
    finite = [value for value in logits if math.isfinite(value)]
    least, most = (min(finite), max(finite)) if finite else (None, None)
    return {"count": len(logits), "finite": len(finite), "least": least, "most": most}


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

    def tokenize(self, text, special=True):
        """Return tokens as plain integers, whatever the engine has for them."""
        return [int(token) for token in self.engine.tokenize(text, special=special)]

    def do_tokenize(self):
        texts = []
        for text in self.request["texts"]:
            tokens = self.tokenize(text, special=False)
            texts.append({"tokens": tokens, "back": self.engine.detokenize(tokens).hex()})
        self.tokens = self.tokenize(self.request["prompt"])
        return {"texts": texts, "prompt": self.tokens}

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
        return {"tokens": len(filler), "tokens-per-second": rate, "logits": spread(self.engine.logits())}

    def do_decode(self):
        self.begin()
        self.engine.eval(self.tokens)
        start = time.perf_counter()
        generated, margins = greedy(self.engine, self.request["decode"])
        seconds = time.perf_counter() - start
        text = self.engine.detokenize(generated, before=self.tokens).decode("utf-8", "replace")
        rate = len(margins) / seconds
        facts = {"tokens": generated, "margins": margins, "text": text, "tokens-per-second": rate}
        return dict(facts, drawn=self.continue_drawn())

    def continue_drawn(self):
        """Return the tokens of the first prompt that was drawn, and those that follow."""
        prompt = self.tokenize(self.request["drawn"][0])
        self.engine.reset()
        self.engine.eval(prompt)
        tokens, margins = greedy(self.engine, self.request["few"])
        return {"prompt": prompt, "tokens": tokens, "margins": margins}

    def do_stream(self):
        first, *others = self.request["drawn"]
        few = self.request["few"]
        whole = self.engine.complete(first, few)
        parts = list(self.engine.stream(first, few))
        return {"whole": whole, "parts": parts, "others": [self.engine.complete(prompt, few) for prompt in others]}

    def do_embed(self):
        vector, dimensions = self.engine.embed(self.request["prompt"])
        return {
            "vector": [float(value) if math.isfinite(value) else None for value in vector],
            "dimensions": dimensions,
        }

    def do_state(self):
        self.begin()
        self.engine.eval(self.tokens)
        state, size = self.engine.save()
        first, _ = greedy(self.engine, 4)
        self.engine.restore(state)
        self.engine.eval(first[:1])
        second, _ = greedy(self.engine, 3)
        return {"bytes": size, "first": first, "second": second}

    def do_alone(self):
        """Look for child processes and sockets; the filter forbids both."""
        children, sockets = [], 0
        for task in os.listdir("/proc/self/task"):
            try:
                with open("/proc/self/task/%s/children" % task) as stream:
                    children += stream.read().split()
            except OSError:
                continue
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink("/proc/self/fd/" + descriptor)
            except OSError:
                continue
            sockets += target.startswith("socket:")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"children": children, "sockets": sockets, "peak-bytes": peak}


def work(run):
    smoke = Smoke(run.request, run.make_engine())
    for name in run.request["steps"]:
        run.step(name, getattr(smoke, "do_" + name.replace("-", "_")))
