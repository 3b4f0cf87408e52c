"""One run of one engine: a request, a locked-down process, and what it wrote."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from truewheel import process
from truewheel.child.ending import judge, read_events
from truewheel.child.installed import Environment
from truewheel.child.limits import MEASURE
from truewheel.child.registry import EngineEntry
from truewheel.child.request import CutRequest, MeasureRequest, drive, place
from truewheel.child.start import Confined, scratch_in
from truewheel.child.work import Workload
from truewheel.config.presets import Settings

_MOST_WORDS = 300
_END_SECONDS = 60.0
_STEPS = ("import", "load", "memory")
"""What every run begins and ends with."""


class Runner(NamedTuple):
    """An installed engine that can be run.

    Attributes:
        environment: where it is installed.
        engine: how it is run.
        settings: what it is run with.
    """

    environment: Environment
    engine: EngineEntry
    settings: Settings


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


def run_child(
    runner: Runner,
    model: Path,
    plan: Workload,
    prompt: str,
    *,
    cut: tuple[str, int] | None = None,
    wall_seconds: float = MEASURE.wall_seconds,
) -> Run:
    """Run an engine once in a fresh, locked-down process and return what it showed.

    Args:
        runner: the engine.
        model: a GGUF file whose header was checked.
        plan: the work.
        prompt: text of `answer`.
        cut: a text that is cut to so many of the engine's tokens first.
        wall_seconds: after which it is ended.
    """
    with scratch_in(runner.environment) as scratch, _lend_model(runner, model) as lent:
        confined = Confined(runner.environment, scratch, MEASURE._replace(wall_seconds=wall_seconds))
        request = _request(runner, lent, plan, prompt, confined, cut=CutRequest(*cut) if cut else None)
        done = confined.run(request)
        return read_run(read_events(Path(request.events)), done)


class Session:
    """An engine that is loaded and warm, and measures one piece of work after another as it is told.

    Between its turns it is stopped, so that none of its threads takes time from another's turn.
    """

    def __init__(self, talk: process.Talk, events: Path, wall_seconds: float) -> None:
        self._talk, self._events, self._seconds = talk, events, wall_seconds
        self.alive = True
        self.repeated = 0

    def begin(self, request: MeasureRequest) -> None:
        """Send the request and wait until it is loaded and warm."""
        self.alive = self._talk.child.ask(msgspec.json.encode(request), self._seconds)
        self._talk.child.stop()

    def measure(self, work: str) -> dict[str, Any] | None:
        """Measure a piece of work once, or twice where it was disturbed; return None when it cannot any more.

        Args:
            work: its id.
        """
        event = self._measure(work)
        if event is not None and event.get("disturbed"):
            self.repeated += 1
            event = self._measure(work)
        return event

    def _measure(self, work: str) -> dict[str, Any] | None:
        if not self.alive:
            return None
        self._talk.child.go_on()
        self.alive = self._talk.child.ask(msgspec.json.encode(work), self._seconds)
        self._talk.child.stop()
        events = [event for event in read_events(self._events) if event.get("step") == "measure"]
        if not self.alive or not events or events[-1].get("id") != work:
            return None
        return events[-1]

    def skipped(self) -> set[str]:
        """Return the ids of the work that it cannot do."""
        return {str(event.get("id")) for event in read_events(self._events) if event.get("step") == "skip"}

    def finish(self) -> Run:
        """Let it end, and return all that it showed."""
        done = self._talk.finish(_END_SECONDS)
        return read_run(read_events(self._events), done)


@contextlib.contextmanager
def open_session(
    runner: Runner, model: Path, plan: Workload, prompt: str, *, wall_seconds: float = MEASURE.wall_seconds
) -> Iterator[Session]:
    """Start an engine in a fresh, locked-down process, loaded and warm, to be told what to measure.

    Args:
        runner: the engine.
        model: a GGUF file whose header was checked.
        plan: the work that it may be asked for.
        prompt: text of `answer`.
        wall_seconds: for each turn.
    """
    with scratch_in(runner.environment) as scratch, _lend_model(runner, model) as lent:
        confined = Confined(runner.environment, scratch, MEASURE._replace(wall_seconds=wall_seconds))
        with confined.converse() as talk:
            request = _request(runner, lent, plan, prompt, confined, orders=talk.answers)
            session = Session(talk, Path(request.events), wall_seconds)
            session.begin(request)
            yield session


@contextlib.contextmanager
def _lend_model(runner: Runner, model: Path) -> Iterator[Path]:
    """Give an engine its model as it takes it; what was made for it is deleted afterwards."""
    if not runner.engine.lends:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="model-", dir=runner.environment.scratch) as folder:
        lent = Path(folder) / model.name
        if runner.engine.lends == "copy":
            shutil.copy(model, lent)
        else:
            lent.symlink_to(model.absolute())
        yield lent


def _request(
    runner: Runner,
    model: Path,
    plan: Workload,
    prompt: str,
    confined: Confined,
    cut: CutRequest | None = None,
    orders: int = 0,
) -> MeasureRequest:
    found = place(runner.environment, confined.scratch, confined.limits, model)
    if runner.engine.lends:
        found["readable"] = (*found["readable"], str(model.parent))
    if runner.engine.lends == "copy":
        found["writable"] = (*found["writable"], str(model))
    return MeasureRequest(
        program="measure",
        **found,
        **drive(runner.engine),
        settings=runner.settings,
        start_hooks=True,
        listening=runner.engine.listening,
        model=str(model),
        context=plan.context,
        prompt=prompt,
        work=plan.work,
        cut=cut,
        orders=orders,
    )


def read_run(events: list[dict[str, Any]], done: process.Completed) -> Run:
    """Turn a child's events and its end into a run; what a child writes is nothing to rely on."""
    measured: dict[str, list[dict[str, Any]]] = {}
    skipped: dict[str, str] = {}
    for event in events:
        if event.get("step") == "measure":
            measured.setdefault(str(event.get("id")), []).append(event)
        elif event.get("step") == "skip":
            skipped[str(event.get("id"))] = _words(event.get("reason"))
    steps = {str(event.get("step")): event for event in events}
    facts = {step: _table(event.get("facts")) for step, event in steps.items()}
    loaded = facts.get("load", {})
    notes = loaded.pop("notes", [])
    notes = [*notes, *_left_out(loaded)] if isinstance(notes, list) else []
    return Run(
        measured=measured,
        skipped=skipped,
        version=_words(facts.get("import", {}).get("version", "")),
        took={str(key): value for key, value in loaded.items() if isinstance(value, (bool, int, float, str))},
        notes=tuple(_words(note) for note in notes),
        imported=_number(steps.get("import", {}).get("seconds")),
        loaded=_number(steps.get("load", {}).get("seconds")),
        peak=int(_number(facts.get("memory", {}).get("peak"))),
        text=str(facts.get("cut", {}).get("text", "")),
        repeated=sum(bool(event.get("disturbed")) for each in measured.values() for event in each),
        failure=_explain(events, done),
    )


def _left_out(loaded: dict[str, Any]) -> list[str]:
    """Return what the engine was told and cannot follow, in words."""
    found = [f"cannot follow {key}: {why}" for key, why in _table(loaded.get("not_followed")).items()]
    ignored = loaded.get("ignored")
    if isinstance(ignored, list) and ignored:
        found.append(f"has no way to set {', '.join(_words(key) for key in ignored)}")
    return found


def _explain(events: list[dict[str, Any]], done: process.Completed) -> str:
    """Say why a child came to no good end; one that says so itself is taken at its word."""
    failed = [str(event.get("step")) for event in events if event.get("state") == "failed"]
    last = events[-1] if events else {"step": "the start"}
    where = str(last.get("step")) if last.get("state") == "begin" else f"after {last.get('step')}"
    ended = judge([*_STEPS, *failed], events, done, where=where)
    words = ended.words
    if ended.code and not failed and done.returncode > 0 and done.output.strip():
        words += f": {done.output.strip().splitlines()[-1]}"
    return _words(words) if ended.code else ""


def _words(value: object) -> str:
    return " ".join(str(value).split())[:_MOST_WORDS]


def _table(value: object) -> dict[str, Any]:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else 0.0
