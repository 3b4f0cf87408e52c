"""The frame of every driver here: lock down, import, load, measure, and write down what was seen.

Standard library only; loaded by the drivers, each of which is run as `python -I -S -B ENGINE.py` by the Python that the
engine is installed for. The first line of standard input is a JSON request. To the file that it names goes a JSON line
an event: lock, import, load, cut, measure, skip, memory, failed. Where it has `orders`, the further lines say what is
measured next, each answered with a byte on that open file; else everything is measured at once. Nothing of the package
runs before the process is locked down.
"""

import ctypes
import importlib.util
import json
import os
import signal
import site
import sys
import time
import traceback

_FILTER_OFF_EXIT = 97
_FAILED_EXIT = 98
_PR_SET_PDEATHSIG = 1
_TAKEN = 0.03
_TICKS = 4
"""A repetition was disturbed when the host and other programs took more than this part of all CPUs, or so many ticks:
of less, the system's own counting is not sure."""
_MOST_TEXT = 200
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOM = os.path.dirname(os.path.dirname(_HERE))


def load_file(path):
    """Load a file without a place in sys.modules: it may be called as the engine's package is."""
    name = "truewheel_" + os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_presets():
    """Load the helper that opens an engine of llama_cpp's shape under a preset: the one that wheels carry."""
    return load_file(os.path.join(_ROOM, "carried", "preset_template.py"))


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
    """Return the most memory that was resident, and what is, in bytes."""
    found = {"VmHWM": 0, "VmRSS": 0}
    with open("/proc/self/status") as stream:
        for line in stream:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
    return {"peak": found["VmHWM"], "resident": found["VmRSS"]}


def count_threads():
    """Return how many threads this process has now."""
    return len(os.listdir("/proc/self/task"))


class Frame:
    """One run: its request, its events, its driver."""

    def __init__(self, request, events, kind):
        self.request = request
        self.events = events
        self.driver = kind(request)
        self.orders = request.get("orders", 0)
        self.ticks = os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)

    def emit(self, **event):
        self.events.write(json.dumps(event) + "\n")
        self.events.flush()

    def run(self):
        where = "import"
        try:
            start = time.perf_counter()
            facts = self.driver.do_import() or {}
            self.emit(step="import", seconds=time.perf_counter() - start, facts=facts)
            where = "load"
            start = time.perf_counter()
            facts = self.driver.do_load() or {}
            seconds = time.perf_counter() - start
            self.emit(step="load", seconds=seconds, facts=dict(facts, notes=self.driver.notes()))
            where = "cut"
            if self.request.get("cut"):
                self.cut(**self.request["cut"])
            for item in self.request["work"]:
                where = item["id"]
                if self.warm(item) and not self.orders:
                    for _ in range(item["repeat"]):
                        self.measure(item)
            if self.orders:
                where = "order"
                self.follow_orders()
            self.emit(step="memory", facts=dict(read_memory(), threads=count_threads()))
        except Exception as error:  # whatever the package raises is the row's reason
            # The environment's folder says nothing, and is another one each time.
            said = str(error).replace(self.request["site"] + "/", "")
            self.emit(step="failed", where=where, reason="%s: %s" % (type(error).__name__, said))
            traceback.print_exc()
            sys.exit(_FAILED_EXIT)

    def cut(self, text, tokens):
        try:
            text, count = self.driver.cut(text, tokens)
        except NotImplementedError as error:
            self.emit(step="skip", id="cut", reason=str(error))
        else:
            self.emit(step="cut", facts={"text": text, "tokens": count})

    def follow_orders(self):
        """Measure what each line asks for, once, and answer it with a byte; the end of the input is the end."""
        work = {item["id"]: item for item in self.request["work"]}
        os.write(self.orders, b".")
        for line in sys.stdin:
            self.measure(work[json.loads(line)])
            os.write(self.orders, b".")

    def measure(self, item):
        """Measure once, and write down what was seen and whether the host or other programs took the CPU."""
        before, start = read_ticks(), time.perf_counter()
        event = self.once(item)
        after = read_ticks()
        stolen = after[0] - before[0]
        others = max(0, round(after[1] - before[1] - (after[2] - before[2])))
        most = max(_TICKS, _TAKEN * self.ticks * (time.perf_counter() - start))
        disturbed = stolen + others > most
        self.emit(step="measure", id=item["id"], steal=stolen, others=others, disturbed=disturbed, **event)

    def warm(self, item):
        """Page the weights in, start the threads, make the buffers; tell whether this work can be done at all."""
        try:
            if item["kind"] == "prefill":
                self.driver.prefill(min(item["tokens"], 64), 0)
            elif item["kind"] == "decode":
                self.driver.decode(4, min(item.get("depth", 0), 64))
            else:
                self.driver.answer(self.request["prompt"][:64], 4)
        except NotImplementedError as error:
            self.emit(step="skip", id=item["id"], reason=str(error))
            return False
        return True

    def once(self, item):
        tokens = item["tokens"]
        if item["kind"] == "prefill":
            return {"seconds": self.driver.prefill(tokens, item.get("depth", 0)), "count": tokens}
        if item["kind"] == "decode":
            return {"seconds": self.driver.decode(tokens, item.get("depth", 0)), "count": tokens}
        answer = self.driver.answer(self.request["prompt"], tokens)
        return dict(answer, text=answer["text"][:_MOST_TEXT])


def main(kind):
    # It may be stopped when whoever tells it what to do is killed: nobody would let it go on then.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    request = json.loads(sys.stdin.readline())
    lockdown = load_file(os.path.join(_ROOM, "child", "programs", "lockdown.py"))
    with open(request["events"], "w") as events:
        frame = Frame(request, events, kind)
        lockdown.limit(request["cpu-seconds"], request["memory-bytes"], request["file-bytes"])
        listening = request.get("listening", False)
        reason = (lockdown.leave_network() if listening else "") or lockdown.forbid(listening=listening)
        frame.emit(step="lock", state="passed" if not reason else "failed", reason=reason)
        if reason:
            sys.exit(_FILTER_OFF_EXIT)
        # An environment may hold packages by way of .pth files; they are followed only now.
        site.addsitedir(request["site"])
        frame.run()
