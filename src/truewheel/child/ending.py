"""How a child ended: the one reader of what it wrote and of how its process ended. What it says is not relied on."""

from __future__ import annotations

import os
import re
import signal
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from truewheel import process
from truewheel.child.confinement import Confinement, read_confinement

_TAIL_LINES = 12
_MOST_BYTES = 256 << 20
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


class _Event(msgspec.Struct):
    step: str
    state: Literal["passed", "absent", "failed"]
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


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file that a child wrote.

    Args:
        path: the file. A pipe in its place would keep us waiting, and a link would show us somebody else's file.
        most: bytes that it may have.

    Raises:
        OSError: it is a link, or cannot be read.
        ValueError: it is no regular file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise ValueError(f"no plain file of at most {most} bytes")
        return stream.read(most)


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return what a child wrote of its steps, up to the first line that cannot be read."""
    events = []
    try:
        lines = read_regular(path, _MOST_BYTES).splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        try:
            events.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, RecursionError):
            break
    return events


def judge(
    names: Sequence[str],
    events: Sequence[dict[str, Any]],
    done: process.Completed,
    needed: Mapping[str, type[msgspec.Struct]] | None = None,
    where: str = "",
) -> Ending:
    """Turn a child's events and its end into what it showed.

    A child passes only when every step says so, or says that it is absent, and the process left with 0: one that stops
    early, however quietly, has not passed.

    Args:
        names: the steps that were asked for, in order.
        events: what it wrote.
        done: how its process ended.
        needed: what a step must have measured, by its name.
        where: place of a sudden end; by itself the first step that has not passed.
    """
    states = {str(event.get("step")): event for event in events}
    steps = [read_step(name, states.get(name), needed or {}) for name in names]
    locked = states.get("lock", {})
    where = where or next((step.name for step in steps if step.state not in _DONE), "the end")
    code, words = explain_ending(done, steps, where, str(locked.get("reason", "")))
    tail = "\n".join(done.output.splitlines()[-_TAIL_LINES:]) if code else ""
    force = read_confinement(locked.get("facts"))
    return Ending(tuple(steps), code, words, locked.get("state") == "passed", tail, force)


def read_step(
    name: str, event: dict[str, Any] | None, needed: Mapping[str, type[msgspec.Struct]] | None = None
) -> SmokeStep:
    """Read one step's event; each type is looked at."""
    if event is None:
        return SmokeStep(name, "not reached")
    if event.get("state") == "begin":
        return SmokeStep(name, "died")
    try:
        told = msgspec.convert(event, _Event)
        if told.state == "passed" and needed and name in needed:
            msgspec.convert(told.facts, needed[name])
    except msgspec.ValidationError as error:
        return SmokeStep(name, "failed", reason=f"what the child says of it cannot be read: {error}")
    return SmokeStep(name, told.state, told.seconds, told.reason, told.facts)


def explain_ending(
    done: process.Completed, steps: Sequence[SmokeStep], where: str, lock_reason: str
) -> tuple[str, str]:
    """Return the finding code and the words for how the child ended."""
    if done.excess or done.timed_out:
        words = done.excess or f"ended after {done.seconds:.0f} s without an answer"
        return "SMOKE-MEMORY" if done.excess else "SMOKE-TIMEOUT", f"at {where}: {words}"
    if done.returncode == 0 and all(step.state in _DONE for step in steps):
        return "", "passed"
    if done.returncode == _FILTER_OFF_EXIT:
        return "SMOKE-UNLOCKED", f"the child cannot lock itself down here ({lock_reason})"
    if done.returncode < 0:
        return _death(-done.returncode, done.output, where)
    failed = next((step for step in steps if step.state == "failed"), None)
    if failed is not None:
        code = "SMOKE-MEMORY" if failed.reason.startswith("MemoryError") else "SMOKE-FAILED"
        return code, f"at {failed.name}: {failed.reason}"
    return "SMOKE-FAILED", f"at {where}: the child left with exit code {done.returncode} and gave no reason"


_DEATHS: dict[int, tuple[str, str]] = {
    signal.SIGILL: ("SMOKE-ILLEGAL", "illegal instruction: the wheel ran code that this CPU refuses"),
    signal.SIGSEGV: ("SMOKE-SEGFAULT", "segmentation fault"),
    signal.SIGBUS: ("SMOKE-SEGFAULT", "bus error"),
    signal.SIGSYS: ("SMOKE-ESCAPE", "it tried to start a process, open a socket or reach for another process"),
    signal.SIGXCPU: ("SMOKE-TIMEOUT", "used up its CPU time"),
    signal.SIGKILL: ("SMOKE-MEMORY", "killed for memory"),
    signal.SIGABRT: ("SMOKE-ABORT", "the engine aborted"),
}
_OUT_OF_MEMORY = re.compile(r"bad_alloc|MemoryError|[Cc]annot allocate memory|failed to allocate")


def _death(number: int, output: str, where: str) -> tuple[str, str]:
    """Tell deaths by signal apart; nothing but the kernel's memory killer ends the child with SIGKILL."""
    if number == signal.SIGABRT and _OUT_OF_MEMORY.search(output):
        number = signal.SIGKILL
    code, words = _DEATHS.get(number, ("SMOKE-DIED", f"died by {signal_name(number)}"))
    return code, f"at {where}: {words}"


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have a number alone."""
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")
