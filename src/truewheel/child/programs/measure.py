"""Load an engine, measure what is asked for, and write down what was seen.

Where the request has `orders`, each further line of standard input says what is measured next, and is answered with a
byte on that open file; else everything is measured at once.
"""

import json
import os
import sys
import time

from truewheel.child.engines.base import Absent

_TAKEN = 0.03
_TICKS = 4
"""A repetition was disturbed when the host and other programs took more than this part of all CPUs, or so many ticks:
of less, the system's own counting is not sure."""
_MOST_TEXT = 200


def make_tokens(count, vocabulary):
    """Return tokens that are no pattern, always the same: speed does not depend on which they are."""
    return [(index * 7919 + 104729) % min(vocabulary, 32000) for index in range(count)]


def read_ticks():
    """Return CPU time of the whole machine, in ticks: what the host took away, what was worked, and our own part."""
    try:
        with open("/proc/stat") as stream:
            user, nice, system, _, _, irq, soft, steal = (int(word) for word in stream.readline().split()[1:9])
    except (OSError, ValueError):
        return 0, 0, 0
    times = os.times()
    return steal, user + nice + system + irq + soft, (times.user + times.system) * os.sysconf("SC_CLK_TCK")


def read_memory():
    """Return the most memory that was resident, and what is, in bytes, and how many threads there are."""
    found = {"VmHWM": 0, "VmRSS": 0}
    with open("/proc/self/status") as stream:
        for line in stream:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
    return {"peak": found["VmHWM"], "resident": found["VmRSS"], "threads": len(os.listdir("/proc/self/task"))}


class Low:
    """The low level of an engine: tokens are evaluated and none is sampled."""

    def __init__(self, engine, context):
        self.engine = engine
        self.context = context
        self.depth = None
        self.tokens = []

    def fill(self, depth):
        """Bring the context to `depth` tokens: what is there is kept, what is behind it is forgotten."""
        kept = depth if depth and self.depth is not None and self.depth >= depth else 0
        self.engine.truncate(kept)
        self.tokens = self.tokens or make_tokens(self.context, self.engine.vocabulary())
        if depth > kept:
            self.engine.feed(self.tokens[:depth])
        self.depth = depth

    def prefill(self, tokens, depth):
        """Return the seconds that so many tokens take at once."""
        self.fill(depth)
        start = time.perf_counter()
        self.engine.feed(self.tokens[:tokens])
        seconds = time.perf_counter() - start
        # In an empty context, what is there now is what `fill` would put there.
        self.depth = depth or tokens
        return seconds

    def decode(self, tokens, depth):
        """Return the seconds that so many tokens take one after another."""
        self.fill(depth)
        start = time.perf_counter()
        for token in self.tokens[:tokens]:
            self.engine.feed([token])
        return time.perf_counter() - start


class Measurement:
    """One run: its request, its events, its engine."""

    def __init__(self, run, engine):
        self.run = run
        self.request = run.request
        self.engine = engine
        self.low = Low(engine, self.request["context"])
        self.ticks = os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)

    def do_import(self):
        return {"version": self.engine.load()}

    def do_load(self):
        facts = self.engine.open(self.request["model"], self.request["context"], preset=True) or {}
        return dict({"ignored": self.engine.ignored()}, **dict(facts, notes=self.engine.notes()))

    def do_cut(self, text, tokens):
        found = self.engine.tokenize(text)[:tokens]
        return {"text": self.engine.detokenize(found).decode("utf-8", "ignore"), "tokens": len(found)}

    def do_all(self):
        orders = self.request["orders"]
        for item in self.request["work"]:
            if self.warm(item) and not orders:
                for _ in range(item["repeat"]):
                    self.measure(item)
        if orders:
            self.follow(orders)

    def follow(self, orders):
        """Measure what each line asks for, once, and answer it with a byte; the end of the input is the end."""
        work = {item["id"]: item for item in self.request["work"]}
        os.write(orders, b".")
        for line in sys.stdin:
            self.measure(work[json.loads(line)])
            os.write(orders, b".")

    def warm(self, item):
        """Page the weights in, start the threads, make the buffers; tell whether this work can be done at all."""
        small = {"prefill": min(item["tokens"], 64), "decode": 4, "answer": 4}[item["kind"]]
        depth = min(item["depth"], 64) if item["kind"] == "decode" else 0
        try:
            self.once(item, small, depth, self.request["prompt"][:64])
        except Absent as error:
            self.run.emit(step=item["id"], state="skipped", reason=str(error))
            return False
        except Exception as error:  # whatever the package raises is the row's reason
            self.run.fail(item["id"], error)
        return True

    def measure(self, item):
        """Measure once, and write down what was seen and whether the host or other programs took the CPU."""
        before, start = read_ticks(), time.perf_counter()
        try:
            event = self.once(item, item["tokens"], item["depth"], self.request["prompt"])
        except Exception as error:  # the same
            self.run.fail(item["id"], error)
        after = read_ticks()
        stolen = after[0] - before[0]
        others = max(0, round(after[1] - before[1] - (after[2] - before[2])))
        most = max(_TICKS, _TAKEN * self.ticks * (time.perf_counter() - start))
        disturbed = stolen + others > most
        facts = dict(event, steal=stolen, others=others, disturbed=disturbed)
        self.run.emit(step=item["id"], state="measured", facts=facts)

    def once(self, item, tokens, depth, prompt):
        if item["kind"] == "prefill":
            return {"seconds": self.low.prefill(tokens, depth), "count": tokens}
        if item["kind"] == "decode":
            return {"seconds": self.low.decode(tokens, depth), "count": tokens}
        # An answer begins anew, and what the low level had put there is gone.
        self.low.depth = None
        answer = self.engine.answer(prompt, tokens)
        return dict(answer, text=answer["text"][:_MOST_TEXT].encode("utf-8", "replace").decode())


def work(run):
    measurement = Measurement(run, run.make_engine())
    run.step("import", measurement.do_import)
    run.step("load", measurement.do_load)
    if run.request["cut"]:
        run.step("cut", measurement.do_cut, run.request["cut"]["text"], run.request["cut"]["tokens"])
    measurement.do_all()
    run.step("memory", read_memory)
