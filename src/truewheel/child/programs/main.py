"""The beginning of every confined process: read the request, give up what is not needed, then run a program.

Run as `python -I -S -B main.py` by the Python that the engine is installed for, with the standard library alone. The
first line of standard input is a JSON request; to the file that it names goes one JSON line an event. Nothing of the
package, and no adapter, is read before the process is locked down.
"""

import importlib
import importlib.util
import json
import os
import site
import sys
import time
import traceback
import types

_FILTER_OFF_EXIT = 97
_FAILED_EXIT = 98
_MOST_TEXT = 2000
_LIBRARIES = ("lib", "lib64")
_ROOM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INSIDE = "inside"
"""The argument by which a process knows that it is the emulator's guest."""


def offer_room():
    """Let this room be imported by its name, without a module of truewheel above it being run."""
    for name, folder in (("truewheel", os.path.dirname(_ROOM)), ("truewheel.child", _ROOM)):
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package


def load_adapter(path):
    """Load an engine's adapter without a name in sys.modules: it may be called as the engine's package is."""
    spec = importlib.util.spec_from_file_location("truewheel_adapter", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(text):
    """Return a text as it can be read: of some length, and without half letters."""
    return text[:_MOST_TEXT].encode("utf-8", "replace").decode()


class Task:
    """One run: its request, and what is written of it."""

    def __init__(self, request, events):
        self.request = request
        self.events = events

    def emit(self, **event):
        self.events.write(json.dumps(event) + "\n")
        self.events.flush()

    def make_engine(self):
        """Return the engine's adapter; nothing of the engine is imported yet."""
        try:
            return load_adapter(self.request["adapter"]).Engine(self.request["import-name"], self.request["settings"])
        except Exception as error:  # an adapter may be anybody's
            self.fail("import", error)

    def step(self, name, action, *arguments):
        """Do a step and write down that it passed, failed, or is absent; a failure ends the process."""
        from truewheel.child.engines.base import Absent

        self.emit(step=name, state="begin")
        start = time.perf_counter()
        try:
            facts = action(*arguments) or {}
        except Absent as error:
            self.emit(step=name, state="absent", reason=plain(str(error)), seconds=time.perf_counter() - start)
        except Exception as error:  # whatever the package raises is the finding
            self.fail(name, error, time.perf_counter() - start)
        else:
            self.emit(step=name, state="passed", seconds=time.perf_counter() - start, facts=facts)

    def fail(self, name, error, seconds=0.0):
        """Write down that a step failed, and leave."""
        # The environment's folder says nothing, and is another one each time.
        said = plain(str(error).replace(self.request["site"] + "/", ""))
        self.emit(step=name, state="failed", reason="%s: %s" % (type(error).__name__, said), seconds=seconds)
        traceback.print_exc()
        sys.exit(_FAILED_EXIT)


def find_readable(request):
    """Return what is read besides the system's libraries: Python's own, this package, and what the request names."""
    python = [sys.executable, os.path.dirname(os.__file__), *sys.path]
    python += [os.path.join(prefix, name) for prefix in (sys.base_prefix, sys.base_exec_prefix) for name in _LIBRARIES]
    asked = [*request["readable"], request["adapter"], request.get("model", "")]
    return [path for path in [*python, os.path.dirname(_ROOM), *asked] if path]


def lock(request, lockdown):
    """Give up what inference does not need; return an account of it, and an empty text or why this cannot go on."""
    if request["emulated"]:
        # The launcher has done it: a guest of the emulator cannot.
        return json.loads(sys.argv[-1]), lockdown.find_lock()
    account = lockdown.give_up(request, find_readable(request))
    return account, lockdown.lacks(account, request)


def add_site(request):
    """Let the engine's package be found."""
    if request["start-hooks"]:
        # An environment may hold packages by way of .pth files; they are followed only now.
        site.addsitedir(request["site"])
    else:
        # Behind the standard library, as where packages are installed: they cannot take its place.
        sys.path.append(request["site"])


def try_canary(run, emulate):
    """Run an instruction that the emulated CPU lacks: whoever survives it was not on that CPU."""
    run.emit(step="canary", state="begin")
    emulate.run_canary(run.request["emulated"]["canary"])
    run.emit(step="canary", state="survived")


def main():
    request = json.loads(sys.stdin.readline())
    offer_room()
    from truewheel.child.programs import emulate, lockdown

    emulated = request["emulated"]
    if emulated and INSIDE not in sys.argv:
        emulate.become(request, lockdown, find_readable(request))
    with open(request["events"], "w") as events:
        run = Task(request, events)
        account, reason = lock(request, lockdown)
        run.emit(step="lock", state="failed" if reason else "passed", reason=reason, facts=account)
        if reason:
            sys.exit(_FILTER_OFF_EXIT)
        if emulated:
            # Before any code of the wheel can say so.
            run.emit(step="cpu", state="passed", facts={"features": emulate.read_features(emulated["features"])})
        program = importlib.import_module("truewheel.child.programs." + request["program"])
        if getattr(program, "RUNS_PACKAGES", True):
            add_site(request)
        try:
            program.work(run)
        finally:
            if emulated:
                try_canary(run, emulate)


if __name__ == "__main__":
    main()
