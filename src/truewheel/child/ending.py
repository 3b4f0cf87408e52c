"""How a child ended: the one reader of what it wrote and of how its process ended. What it says is not relied on."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from truewheel import process
from truewheel.child.confinement import Confinement, read_confinement
from truewheel.child.events import Event, Said, tell

_TAIL_LINES = 12
_TAIL_CHARACTERS = 8000
_FILTER_OFF_EXIT = 97
_DONE = ("passed", "absent")


class SmokeStep(msgspec.Struct, frozen=True):
    """One step of a child.

    Attributes:
        name: what it is called.
        state: `passed`, `absent` where the engine has no way to do it, `failed`, `died` or `not reached`.
        seconds: wall time.
        reason: why it failed or is absent; empty when it passed.
        facts: what it measured.
    """

    name: str
    state: str
    seconds: float = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class Ending(NamedTuple):
    """What a child showed.

    Attributes:
        steps: those that were asked for.
        code: the smoke test's code of its end; empty where every step passed or is absent, and it left well.
        words: `passed`, or how it ended.
        locked: whether it could lock itself down.
        output: last lines of what it printed; empty when it ended well.
        confinement: what it had given up before anything of the wheel was read.
    """

    steps: tuple[SmokeStep, ...]
    code: str
    words: str
    locked: bool
    output: str
    confinement: Confinement = Confinement()

    def facts(self) -> dict[str, Any]:
        """Return what all steps measured."""
        return {key: value for step in self.steps for key, value in step.facts.items()}


def judge(
    names: Sequence[str],
    said: Said,
    done: process.Completed,
    needed: Mapping[str, type[msgspec.Struct]] | None = None,
    where: str = "",
) -> Ending:
    """Turn what a child said and its end into what it showed.

    A child passes only when every step says so, or says that it is absent, nothing else was said, and the process left
    with 0: one that stops early, however quietly, has not passed.

    Args:
        names: the steps that were asked for, in order.
        said: what it wrote.
        done: how its process ended.
        needed: what a step must have measured, by its name.
        where: place of a sudden end; by itself the first step that has not passed.
    """
    states = tell(said.events)
    steps = [read_step(name, states.get(name), needed or {}) for name in names]
    where = where or next((step.name for step in steps if step.state not in _DONE), "the end")
    code, words = explain_ending(done, steps, where, said)
    tail = "\n".join(done.output.splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:] if code else ""
    lock = states.get("lock", Event("lock", "failed"))
    return Ending(tuple(steps), code, words, lock.state == "passed", tail, read_confinement(lock.facts))


def read_step(name: str, event: Event | None, needed: Mapping[str, type[msgspec.Struct]]) -> SmokeStep:
    """Read one step's event; of what it measured, no more than what is needed is taken."""
    if event is None:
        return SmokeStep(name, "not reached")
    if event.state == "begin":
        return SmokeStep(name, "died")
    facts = event.facts if event.state == "passed" else {}
    try:
        if event.state == "passed" and name in needed:
            facts = msgspec.to_builtins(msgspec.convert(facts, needed[name]))
    except (msgspec.ValidationError, ValueError) as error:
        return SmokeStep(name, "failed", reason=f"what the child says of it cannot be read: {error}")
    return SmokeStep(name, event.state, event.seconds, event.reason, facts)


def explain_ending(done: process.Completed, steps: Sequence[SmokeStep], where: str, said: Said) -> tuple[str, str]:
    """Return the finding code and the words for how the child ended: first what the system knows, then what it says."""
    if done.excess or done.timed_out:
        words = done.excess or f"ended after {done.seconds:.0f} s without an answer"
        return "SMOKE-MEMORY" if done.excess else "SMOKE-TIMEOUT", f"at {where}: {words}"
    if done.returncode < 0:
        return _death(-done.returncode, done.output, where)
    if said.fault:
        return "SMOKE-FAILED", f"at {where}: what the child says makes no sense: {said.fault}"
    if done.returncode == 0 and all(step.state in _DONE for step in steps):
        return "", "passed"
    return _explain_leaving(done.returncode, steps, where, said)


def _explain_leaving(returncode: int, steps: Sequence[SmokeStep], where: str, said: Said) -> tuple[str, str]:
    """Tell apart why a child left that has not passed, as it says."""
    if returncode == _FILTER_OFF_EXIT and [event.state for event in said.events] == ["failed"]:
        return "SMOKE-UNLOCKED", f"the child cannot lock itself down here ({said.events[0].reason})"
    failed = next((step for step in steps if step.state == "failed"), None)
    if failed is not None:
        code = "SMOKE-MEMORY" if failed.reason.startswith("MemoryError") else "SMOKE-FAILED"
        return code, f"at {failed.name}: {failed.reason}"
    return "SMOKE-FAILED", f"at {where}: the child left with exit code {returncode} and gave no reason"


_DEATHS: dict[int, tuple[str, str]] = {
    signal.SIGILL: ("SMOKE-ILLEGAL", "illegal instruction: the wheel ran code that this CPU refuses"),
    signal.SIGSEGV: ("SMOKE-SEGFAULT", "segmentation fault"),
    signal.SIGBUS: ("SMOKE-SEGFAULT", "bus error"),
    signal.SIGSYS: ("SMOKE-ESCAPE", "it tried to start a process, open a socket or reach for another process"),
    signal.SIGXCPU: ("SMOKE-TIMEOUT", "used up its CPU time"),
    signal.SIGKILL: ("SMOKE-MEMORY", "killed: by the system, for want of memory, or by itself"),
    signal.SIGABRT: ("SMOKE-ABORT", "the engine aborted"),
}
_OUT_OF_MEMORY = re.compile(r"bad_alloc|MemoryError|[Cc]annot allocate memory|failed to allocate")


def _death(number: int, output: str, where: str) -> tuple[str, str]:
    """Tell deaths by signal apart; SIGKILL is the kernel's memory killer, unless the child sent it to itself."""
    if number == signal.SIGABRT and _OUT_OF_MEMORY.search(output):
        number = signal.SIGKILL
    code, words = _DEATHS.get(number, ("SMOKE-DIED", f"died by {signal_name(number)}"))
    return code, f"at {where}: {words}"


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have a number alone."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")
