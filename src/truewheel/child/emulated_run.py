"""What one wheel did on one CPU, from the events of the child and how it ended."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from truewheel import process
from truewheel.child.challenge import Question
from truewheel.child.emulated_cpus import CpuPromise, PlannedRun
from truewheel.child.events import Event, Said
from truewheel.child.smoke import SmokeRecord, judge
from truewheel.cpu.levels import highest_level

THIS_MACHINE = "this machine"

Outcome = Literal["passed", "refused", "illegal", "failed", "not started"]
Canary = Literal["died", "survived", "not reached", "not needed"]

_T = TypeVar("_T")
_MOST_WORDS = 400
_MOST_FEATURES = 1000
_Name = Annotated[str, msgspec.Meta(max_length=40)]


class EmulatedRun(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What one wheel did on one CPU.

    Attributes:
        cpu: the emulator's name of it, or `this machine`.
        family: the family that it stands for; empty for this machine.
        level: the highest x86-64 level that it has, as it says by CPUID.
        lacks: what the wheel needs and it has not: then the wheel must refuse it.
        surplus: what it has and its family has not: then it is not the CPU that it should be.
        asked: the backend that was asked for; empty where the wheel was to choose.
        expected: the backend that the wheel should take; empty where it has no choice, or must refuse.
        outcome: `passed`, `refused` with a message, `illegal` instruction, `failed`, or `not started` where Python
            itself could not.
        ending: how it ended, in a sentence.
        backend: the backend that it took; empty where it does not say.
        tokens: its greedy continuation of the prompt.
        margins: distance of the two best logits at each of them.
        canary: whether an instruction that the CPU lacks `died` at the end, as it must, `survived`, or was `not
            reached`; `not needed` on this machine.
        seconds: wall time of its steps.
        emulator: what emulated the CPU; empty for this machine.
        output: last lines of what it printed; empty when it passed or refused.
    """

    cpu: str
    family: str = ""
    level: str
    lacks: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    asked: str = ""
    expected: str = ""
    outcome: Outcome
    ending: str
    backend: str = ""
    tokens: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()
    canary: Canary
    seconds: float = 0.0
    emulator: str = ""
    output: str = ""


class _Looked(msgspec.Struct):
    """What the driver saw by CPUID."""

    features: Annotated[frozenset[_Name], msgspec.Meta(max_length=_MOST_FEATURES)]


class _Chosen(msgspec.Struct):
    """What the wheel's guard says that it chose."""

    backend: str = ""


class _Decoded(msgspec.Struct):
    tokens: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()


def judge_run(
    order: PlannedRun,
    target: CpuPromise,
    here: frozenset[str],
    question: Question,
    said: Said,
    done: process.Completed,
    *,
    emulator: str = "",
) -> EmulatedRun:
    """Turn what a child said and its end into a run.

    Args:
        order: what was to be run.
        target: what the wheel promises.
        here: features of this machine.
        question: what it was asked.
        said: what the child wrote.
        done: how it ended.
        emulator: what emulated the CPU.
    """
    cpu = order.cpu
    events = said.events
    canary = _canary(events, done) if cpu else "not needed"
    if canary == "died":
        # That end was ours. What counts is what was told before it.
        done = done._replace(returncode=0)
    record = judge(question, said, done)
    seen = here if cpu is None else _features(events, cpu.features)
    lacks = tuple(sorted(target.floor - seen))
    outcome, ending = _outcome(record, events, done, refuses=bool(lacks))
    decoded = _convert(record.facts("decode"), _Decoded())
    backend = _convert(record.facts("system-info"), _Chosen()).backend[:_MOST_WORDS]
    return EmulatedRun(
        cpu=cpu.name if cpu else THIS_MACHINE,
        family=cpu.family if cpu else "",
        level=highest_level(seen),
        lacks=lacks,
        surplus=tuple(sorted(seen - cpu.of_family)) if cpu else (),
        asked=order.backend,
        expected="" if lacks else order.backend or target.choose(seen),
        outcome=outcome,
        ending=ending[:_MOST_WORDS],
        # It is shown while others still run.
        backend=backend if backend.isprintable() else ascii(backend),
        tokens=decoded.tokens,
        margins=decoded.margins,
        canary=canary,
        seconds=round(sum(step.seconds for step in record.steps), 2),
        emulator=emulator,
        output="" if outcome in ("passed", "refused") else record.output,
    )


def _canary(events: Sequence[Event], done: process.Completed) -> Canary:
    states = [event.state for event in events if event.step == "canary"]
    if "survived" in states:
        return "survived"
    return "died" if states and done.returncode == -signal.SIGILL else "not reached"


def _features(events: Sequence[Event], usual: frozenset[str]) -> frozenset[str]:
    """Return what the driver saw of the CPU; the usual where it did not come so far."""
    for event in events:
        if event.step == "cpu":
            return _convert(event.facts, _Looked(usual)).features
    return usual


def _outcome(
    record: SmokeRecord, events: Sequence[Event], done: process.Completed, *, refuses: bool
) -> tuple[Outcome, str]:
    """Tell the endings apart, and put them in words."""
    if record.passed:
        return "passed", record.ending
    if not events and done.returncode == -signal.SIGILL:
        return "not started", "this Python itself does not run on that CPU"
    reason = next((step.reason for step in record.steps if step.name == "import"), "")
    if refuses and record.code == "SMOKE-FAILED" and reason.startswith("ImportError: ") and " CPU" in reason:
        return "refused", reason.removeprefix("ImportError: ")
    return ("illegal" if record.code == "SMOKE-ILLEGAL" else "failed"), record.ending


def _convert(value: Any, otherwise: _T) -> _T:
    """Return what a child told as a value of the same type; it may have told anything."""
    try:
        return msgspec.convert(value, type(otherwise))
    except msgspec.ValidationError:
        return otherwise
