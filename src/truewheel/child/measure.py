"""One run of one engine: a request, a locked-down process, and what it wrote."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from truewheel import process
from truewheel.child.events import Listener
from truewheel.child.installed import Environment
from truewheel.child.limits import MEASURE
from truewheel.child.registry import EngineEntry
from truewheel.child.request import CutRequest, MeasureRequest, drive, place
from truewheel.child.run_account import Run, read_measured, read_run, script_of
from truewheel.child.start import Confined, scratch_in
from truewheel.child.work import Workload
from truewheel.config.presets import Settings
from truewheel.scratch import SCRATCH

_END_SECONDS = 60.0


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
        listener = Listener(Path(request.events), script_of(plan, cut=cut is not None))
        listener.most_lines += sum(item.repeat for item in plan.work)
        return read_run(listener.finish(), done)


class Session:
    """An engine that is loaded and warm, and measures one piece of work after another as it is told.

    Between its turns it is stopped, so that none of its threads takes time from another's turn.
    """

    def __init__(self, talk: process.Talk, listener: Listener, wall_seconds: float) -> None:
        self._talk, self._listener, self._seconds = talk, listener, wall_seconds
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
        before = len(self._listener.hear().events)
        self._listener.most_lines += 1
        self._talk.child.go_on()
        self.alive = self._talk.child.ask(msgspec.json.encode(work), self._seconds)
        self._talk.child.stop()
        new = self._listener.hear().events[before:]
        # One order, one answer, of what was ordered; what was written beforehand answers nothing.
        if not self.alive or len(new) != 1 or (new[0].step, new[0].state) != (work, "measured"):
            return None
        return read_measured(new[0])

    def skipped(self) -> set[str]:
        """Return the ids of the work that it cannot do."""
        return {event.step for event in self._listener.hear().events if event.state == "skipped"}

    def finish(self) -> Run:
        """Let it end, and return all that it showed."""
        done = self._talk.finish(_END_SECONDS)
        return read_run(self._listener.finish(), done)


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
            session = Session(talk, Listener(Path(request.events), script_of(plan)), wall_seconds)
            session.begin(request)
            yield session


@contextlib.contextmanager
def _lend_model(runner: Runner, model: Path) -> Iterator[Path]:
    """Give an engine its model as it takes it; what was made for it is deleted afterwards."""
    if not runner.engine.lends:
        yield model
        return
    with SCRATCH.folder("model", runner.environment.scratch) as folder:
        lent = folder / model.name
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
