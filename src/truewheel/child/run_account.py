"""What a measuring child said, and how it ended, as the account of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from truewheel import process
from truewheel.child.ending import judge
from truewheel.child.events import Event, Said, Script, tell
from truewheel.child.work import Workload
from truewheel.decoding import UnreadableError, convert
from truewheel.text import clean, cut

_T = TypeVar("_T")
_STEPS = ("import", "load", "memory")
"""What every run begins and ends with."""
_MOST_WORDS = 300
_MOST_ITEMS = 100
_NAME_WIDTH = 64
_ASIDE = ("notes", "ignored", "not_followed")

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e7)]
_Line = Annotated[str, msgspec.Meta(max_length=4000)]
_Lines = Annotated[list[_Line], msgspec.Meta(max_length=_MOST_ITEMS)]


class _Measured(msgspec.Struct):
    """What our program says of a piece of work."""

    seconds: _Seconds
    count: _Count
    disturbed: bool
    first: _Seconds | None = None
    prompt: _Count = 0
    text: _Line = ""
    steal: int = 0
    others: int = 0


class _Imported(msgspec.Struct):
    version: _Line = ""


class _Loaded(msgspec.Struct):
    notes: _Lines = []
    ignored: _Lines = []
    not_followed: Annotated[dict[_Line, _Line], msgspec.Meta(max_length=_MOST_ITEMS)] = {}


class _Memory(msgspec.Struct):
    peak: _Count = 0


class _Cut(msgspec.Struct):
    text: str = ""


class Run(NamedTuple):
    """What one process showed.

    Attributes:
        measured: `measure` events by the id of their work.
        skipped: why a piece of work could not be done, by its id.
        version: of the package.
        took: what the engine says that it took.
        notes: how it differs.
        imported: seconds.
        loaded: seconds.
        peak: most resident memory, bytes.
        text: a prompt that was cut to length; empty where none was asked for, or it cannot be done.
        repeated: repetitions that were disturbed.
        failure: why it came to no good end; empty when it did.
    """

    measured: dict[str, list[dict[str, Any]]]
    skipped: dict[str, str]
    version: str
    took: dict[str, Any]
    notes: tuple[str, ...]
    imported: float
    loaded: float
    peak: int
    text: str
    repeated: int
    failure: str


def script_of(plan: Workload, *, cut: bool = False) -> Script:
    """Return the order in which the program that measures speaks."""
    begin, *end = _STEPS[:2], _STEPS[2]
    work = frozenset(item.id for item in plan.work)
    return Script((*begin, *(("cut",) if cut else ()), *end), work=work)


def read_run(said: Said, done: process.Completed) -> Run:
    """Turn what a child said and its end into a run; what makes no sense counts for nothing."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for event in said.events:
        if event.state == "measured" and (read := read_measured(event)) is not None:
            measured.setdefault(event.step, []).append(read)
    steps = tell(said.events)
    loaded = _convert(steps, "load", _Loaded())
    return Run(
        measured=measured,
        skipped={event.step: _words(event.reason) for event in said.events if event.state == "skipped"},
        version=_words(_convert(steps, "import", _Imported()).version),
        took=_took(steps.get("load")),
        notes=tuple(_words(note) for note in (*loaded.notes, *_left_out(loaded))),
        imported=steps["import"].seconds if "import" in steps else 0.0,
        loaded=steps["load"].seconds if "load" in steps else 0.0,
        peak=_convert(steps, "memory", _Memory()).peak,
        text=_convert(steps, "cut", _Cut()).text,
        repeated=sum(event["disturbed"] for each in measured.values() for event in each),
        failure=_explain(said, done),
    )


def read_measured(event: Event) -> dict[str, Any] | None:
    """Return what was measured of a piece of work; None where it makes no sense."""
    try:
        told = convert(event.facts, _Measured)
    except UnreadableError:
        return None
    found: dict[str, Any] = msgspec.to_builtins(told)
    return {"id": event.step, **found}


def _took(event: Event | None) -> dict[str, Any]:
    """Return what an engine says that it took: a number or a word a name."""
    given = event.facts.items() if event is not None else ()
    told = {cut(clean(key), _NAME_WIDTH): value for key, value in given if key not in _ASIDE}
    plain = {key: _words(value) if isinstance(value, str) else value for key, value in told.items()}
    return {
        key: value for key, value in list(plain.items())[:_MOST_ITEMS] if isinstance(value, (bool, int, float, str))
    }


def _left_out(loaded: _Loaded) -> list[str]:
    """Return what the engine was told and cannot follow, in words."""
    found = [f"cannot follow {key}: {why}" for key, why in loaded.not_followed.items()]
    if loaded.ignored:
        found.append(f"has no way to set {', '.join(_words(key) for key in loaded.ignored)}")
    return found


def _explain(said: Said, done: process.Completed) -> str:
    """Say why a child came to no good end; one that says so itself is taken at its word."""
    failed = [event.step for event in said.events if event.state == "failed"]
    last = said.events[-1] if said.events else Event("the start", "passed")
    where = last.step if last.state == "begin" else f"after {last.step}"
    ended = judge([*_STEPS, *failed], said, done, where=where)
    words = ended.words
    if ended.code and not failed and done.returncode > 0 and done.output.strip():
        words += f": {done.output.strip().splitlines()[-1]}"
    return _words(words) if ended.code else ""


def _words(value: str) -> str:
    return cut(clean(" ".join(value[: 4 * _MOST_WORDS].split())), _MOST_WORDS)


def _convert(steps: Mapping[str, Event], name: str, otherwise: _T) -> _T:
    """Return what a step told, as a value of the same type; it may have told anything."""
    try:
        return convert(steps[name].facts, type(otherwise)) if name in steps else otherwise
    except UnreadableError:
        return otherwise
