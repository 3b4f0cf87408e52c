"""What a child wrote of its steps: a stranger's text, read within bounds and in the one order that is ours.

Our program writes the lines, but what it runs in its process can write them as well. So nothing of a line is taken
that our program would not write: the first word out of turn ends the reading.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from truewheel.text import clean, cut

_MOST_REASON = 4000
_MOST_SECONDS = 1e7
_MOST_NAME = 64
_MOST_DEPTH = 6
_MOST_INTEGER = 1 << 63
_FAULT_WIDTH = 200
_LINE_BYTES = 1 << 20
_BASE_BYTES = 1 << 20
_BYTES_A_LINE = 8 << 10

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_MOST_NAME, pattern=r"^[!-~]+\Z")]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a child.

    Attributes:
        step: what it is about: a step, or a piece of work.
        state: what became of it.
        seconds: wall time.
        reason: why it failed or is absent.
        facts: what was seen.
    """

    step: _Name
    state: Literal["begin", "passed", "absent", "failed", "measured", "skipped", "survived"]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST_SECONDS)] = 0.0
    reason: Annotated[str, msgspec.Meta(max_length=_MOST_REASON)] = ""
    facts: dict[str, Any] = {}


class Said(NamedTuple):
    """What was read of a child.

    Attributes:
        events: up to the first line that cannot be read.
        fault: why that cannot be read, in words; empty where all was.
    """

    events: tuple[Event, ...] = ()
    fault: str = ""


class Script(NamedTuple):
    """The order in which a program speaks.

    Attributes:
        steps: each begins and ends, in this order.
        before: what is said once, without a beginning, before the first step.
        work: ids of what is measured, or skipped, before the last step, in any order.
        canary: whether an instruction is tried at the end, which the process should die of.
    """

    steps: tuple[str, ...]
    before: tuple[str, ...] = ("lock",)
    work: frozenset[str] = frozenset()
    canary: bool = False

    def lines(self) -> int:
        """Return how many lines a program writes, but for repetitions of work."""
        return len(self.before) + 2 * len(self.steps) + len(self.work) + 2


def read_regular(path: Path, most: int, start: int = 0) -> bytes:
    """Return the content of a file that a child wrote.

    Args:
        path: the file. A pipe in its place would keep us waiting, and a link would show us somebody else's file.
        most: bytes that it may have.
        start: how many of them are passed over.

    Raises:
        OSError: it is a link, or cannot be read.
        ValueError: it is no regular file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise ValueError(f"no plain file of at most {most} bytes")
        stream.seek(start)
        return stream.read(max(0, most - start))


class Listener:
    """Reads a child's events as they come; what was heard once cannot be taken back.

    Args:
        path: the file.
        script: the order of what it may say.
    """

    def __init__(self, path: Path, script: Script) -> None:
        self._path, self._turns, self._read = path, Turns(script), 0
        self._events: list[Event] = []
        self._fault, self._rest = "", False
        self.most_lines = script.lines()

    def hear(self) -> Said:
        """Return all that was said up to now."""
        if not self._fault:
            try:
                self._take(read_regular(self._path, self._most_bytes(), self._read))
            except FileNotFoundError:
                # It has not come so far; or somebody deleted it, and there is nothing that passed.
                pass
            except (OSError, ValueError):
                self._fault = f"its events are no plain file of at most {self._most_bytes()} bytes"
        return Said(tuple(self._events), self._fault)

    def finish(self) -> Said:
        """Return all that a child said that has ended: what has no end now will never have one."""
        said = self.hear()
        return said._replace(fault=said.fault or ("its last line has no end" if self._rest else ""))

    def _most_bytes(self) -> int:
        return _BASE_BYTES + _BYTES_A_LINE * self.most_lines

    def _take(self, data: bytes) -> None:
        """Take whole lines; of a last one without an end the rest may come."""
        if len(self._events) + data.count(b"\n") > self.most_lines:
            self._fault = f"it has more than {self.most_lines} events"
            return
        *lines, rest = data.split(b"\n")
        self._read += len(data) - len(rest)
        self._rest = bool(rest)
        for line in lines:
            try:
                event = read_event(line)
                self._turns.take(event)
            except ValueError as error:
                self._fault = f"event {len(self._events) + 1} cannot be read: {cut(clean(str(error)), _FAULT_WIDTH)}"
                return
            self._events.append(event)


def read_said(path: Path, script: Script) -> Said:
    """Return what a child that has ended wrote."""
    return Listener(path, script).finish()


def read_event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        ValueError: our program would not write it.
    """
    if len(line) > _LINE_BYTES:
        raise ValueError(f"a line of {len(line)} bytes")
    try:
        # Each refuses what the other lets pass: keys that come twice, and texts that are none.
        _check_value(json.loads(line.decode(), object_pairs_hook=_unique))
        return msgspec.json.decode(line, type=Event)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key that comes twice")
    return table


def _check_value(value: Any, depth: int = 0) -> None:
    """Raise ValueError where a value is nested too deeply, or a number is none that we would write."""
    if isinstance(value, (dict, list)):
        if depth == _MOST_DEPTH:
            raise ValueError("it is nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_value(inner, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    elif isinstance(value, int) and abs(value) >= _MOST_INTEGER:
        raise ValueError("a number that is too large")


class Turns:
    """Whose turn it is to be spoken of.

    Args:
        script: the order.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._before, self._steps = list(script.before), list(script.steps)
        self._open = ""
        self._failed = False
        self._canary = ["begin", "survived"] if script.canary else []

    def take(self, event: Event) -> None:
        """Take an event.

        Raises:
            ValueError: it is not its turn.
        """
        if not self._fits(event.step, event.state):
            raise ValueError(f"{event.step} {event.state} is out of turn")

    def _fits(self, step: str, state: str) -> bool:
        if self._before:
            return not self._failed and self._begin(step, state)
        if step == "canary":
            return bool(self._canary) and self._canary.pop(0) == state and self._close()
        if self._failed:
            return False
        if state == "begin":
            begins = not self._open and self._steps[:1] == [step]
            self._open = step
            return begins
        if state in ("passed", "absent"):
            return self._open == step and self._end()
        return self._end_badly(step) if state == "failed" else self._in_work(step)

    def _begin(self, step: str, state: str) -> bool:
        self._failed = state == "failed"
        return self._before.pop(0) == step and state in ("passed", "failed")

    def _end(self) -> bool:
        self._open = ""
        self._steps.pop(0)
        return True

    def _close(self) -> bool:
        self._failed = True
        return True

    def _end_badly(self, step: str) -> bool:
        """Take a failure: of the step that began, of the next one, which could not begin, or of work."""
        fits = step in (self._open, *self._steps[:1]) or self._in_work(step)
        self._failed = True
        return fits

    def _in_work(self, step: str) -> bool:
        return step in self._script.work and not self._open and len(self._steps) == 1


def tell(events: Sequence[Event]) -> dict[str, Event]:
    """Return the last event of each step; a step that began and ended has two."""
    return {event.step: event for event in events}
