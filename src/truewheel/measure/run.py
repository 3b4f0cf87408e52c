"""Measure several subjects in turn: A A B C, then C B A A, with fresh processes in each round."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from truewheel.child.measure import Session, open_session, run_child
from truewheel.child.work import Work, Workload
from truewheel.config.presets import Settings
from truewheel.console import Console
from truewheel.cpu.host import Host, available_memory
from truewheel.errors import CheckError, TruewheelError
from truewheel.measure.assemble import Series, assemble
from truewheel.measure.cost import model_facts
from truewheel.measure.install import open_subject
from truewheel.measure.machine import describe_machine, read_clock
from truewheel.measure.metrics import metrics_of, read_event
from truewheel.measure.pace import Budget, Pace
from truewheel.measure.result import SCHEMA, Benchmark, Limits
from truewheel.measure.statistics import noise_floor
from truewheel.measure.subjects import Asked, label_subjects
from truewheel.models.models import Model
from truewheel.text import time_words

WORST_FLOOR = 0.03
"""Where the reference against itself is further apart than this, nothing is called a difference."""

_BUSY = 0.5
_CHARACTERS = 8
_MEMORY_FACTOR, _MEMORY_BASE, _MEMORY_SHARE = 3, 512 << 20, 0.8
"""What a process is taken to need: some engines keep a second copy of the weights in their own format."""
_TEXT = (
    "The lighthouse keeper wrote down the weather every evening: wind from the north-west, 7 knots, visibility good. "
    "In the year of the great storm the lamp went out twice, and twice she climbed the 214 steps with a can of oil. "
    "Nobody on the mainland knew of it, for the log had been left on the table, open, under a cup of cold tea. "
    "Ships went by with their lights on and the sea was black; later it was grey, and then at last it was morning. "
)


class Method(NamedTuple):
    """How it is measured.

    Attributes:
        plan: the work of each process; `repeat` is how often the order is run, there and back.
        rounds: how often all are started anew.
        worst: the noise floor above which there is no verdict.
        budget: how long it may take; where that is short, less is measured.
    """

    plan: Workload
    rounds: int
    worst: float = WORST_FLOOR
    budget: Budget = Budget()


def settings_for(asked: Asked, host: Host) -> Settings:
    """Return what a subject is run with: its preset's settings, or as many threads as there are cores."""
    if asked.settings is not None:
        return asked.settings
    return {"n_threads": host.usable_cores, "n_threads_batch": host.usable_cores}


def run_benchmark(
    asked: Sequence[Asked],
    model: Model,
    method: Method,
    host: Host,
    console: Console,
    limits: tuple[tuple[Limits, ...], str] = ((), ""),
) -> Benchmark:
    """Measure subjects on a model; what cannot be installed or run is a subject with a failure.

    The reference is the first that can be run. It is measured twice, as if it were two: that is the noise floor.

    Args:
        asked: at least one.
        model: a model whose header was checked.
        method: how.
        host: this machine.
        console: shows the progress.
        limits: what the machine can do at most, and why that is not known.

    Raises:
        CheckError: nothing of it can be run.
    """
    before = read_clock()
    if before.load > _BUSY * host.usable_cores:
        console.warn(f"this machine is busy: its load is {before.load:.1f} on {host.usable_cores} cores")
    labels = label_subjects(list(asked))
    series = [Series(one, label, settings_for(one, host)) for one, label in zip(asked, labels, strict=True)]
    with contextlib.ExitStack() as stack:
        for one in series:
            _install(one, stack, console)
        pace = Pace(method.plan, method.rounds, method.budget)
        prompt = _try_all(series, model, method.plan, pace, console)
        working = [one for one in series if not one.failure]
        if not working:
            raise CheckError("none of the subjects can be measured", hint="the lines above say why")
        reference = working[0]
        again = Series(reference.asked, f"{reference.label}, again", reference.settings)
        again.installed = reference.installed
        rounds = _run_rounds(reference, again, working[1:], model, method, prompt, pace, console)
    plan = pace.measured()
    machine = describe_machine(host, before, read_clock())
    floors = [
        noise_floor(metric.key, again.samples(metric.key), again.beside(metric.key), method.worst)
        for metric in metrics_of(plan)
        if again.all(metric.key) and any(again.beside(metric.key)) and pace.enough(metric.key, rounds)
    ]
    facts = model_facts(model)
    return Benchmark(
        schema=SCHEMA,
        when=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        machine=machine,
        model=facts,
        limits=limits[0],
        limits_reason=limits[1],
        rounds=rounds,
        floors=tuple(floors),
        worst_floor=method.worst,
        reference=reference.label,
        subjects=assemble(series, reference, plan, floors, method.worst, facts.cost, limits[0]),
        repeated=sum(one.repeated for one in [*series, again]),
        budget=method.budget.seconds if pace.limited else 0.0,
        cut=() if reference.failure else pace.cuts(),
    )


def _install(one: Series, stack: contextlib.ExitStack, console: Console) -> None:
    console.say(f"         installing {one.label}")
    try:
        one.installed = stack.enter_context(open_subject(one.asked, one.settings))
    except TruewheelError as error:
        # Whatever a stranger's package does here is its row.
        one.failure = error.message
        console.warn(f"{one.label}: {error.message}")


def _try_all(series: Sequence[Series], model: Model, plan: Workload, pace: Pace, console: Console) -> str:
    """Run each subject once on little work, and return the prompt: cut to length by the first that can."""
    small = Workload(tuple(_shorten(item) for item in plan.work), plan.prompt)
    text = _TEXT * (plan.prompt * _CHARACTERS // len(_TEXT) + 1)
    prompt = ""
    for one in series:
        if one.installed is None:
            continue
        console.say(f"         trying {one.label}")
        start = pace.budget.clock()
        run = run_child(one.installed.runner, model.path, small, "Once upon a time", cut=(text, plan.prompt))
        one.learn(run)
        pace.learn(one, pace.budget.clock() - start, run.measured)
        prompt = prompt or run.text
        if run.failure:
            one.failure = run.failure
            console.warn(f"{one.label}: {run.failure}")
    # Four characters a token is what English prose comes to.
    return prompt or text[: plan.prompt * 4]


def _shorten(item: Work) -> Work:
    return Work(item.id, item.kind, min(item.tokens, 16), min(item.depth, 16), 1)


def _run_rounds(
    reference: Series,
    again: Series,
    others: Sequence[Series],
    model: Model,
    method: Method,
    prompt: str,
    pace: Pace,
    console: Console,
) -> int:
    """Measure round by round, and return how many there were."""
    groups = _split(others, model, console)
    with console.steps("measuring") as steps:

        def advance(item: Work) -> None:
            pace.finished(item)
            done, total, seconds = pace.progress()
            steps.advance(done, total, item.id, seconds)

        for number in range(method.rounds):
            alive = [[one for one in group if not one.failure] for group in groups]
            present = [[reference, *([again] if group is alive[0] else []), *group] for group in alive]
            if reference.failure or not pace.begin(number, present):
                return number
            for group in present:
                if not reference.failure:
                    _run_round(group, model.path, method.plan, prompt, number, pace, advance)
            if number == 0 and (left_out := [item.id for item in pace.order if item not in pace.chosen]):
                console.say(f"         left out, to end in {time_words(method.budget.seconds)}: {', '.join(left_out)}")
    return method.rounds


def _split(others: Sequence[Series], model: Model, console: Console) -> list[list[Series]]:
    """Split subjects into groups that fit into memory together with the reference and its double."""
    each = _MEMORY_FACTOR * model.path.stat().st_size + _MEMORY_BASE
    room = max(1, int(_MEMORY_SHARE * available_memory() / each) - 2)
    if room < len(others):
        console.say(f"         {room} of {len(others)} subjects at a time: all together would not fit into memory")
    return [list(others[start : start + room]) for start in range(0, len(others), room)] or [[]]


def _run_round(
    present: Sequence[Series],
    model: Path,
    plan: Workload,
    prompt: str,
    number: int,
    pace: Pace,
    advance: Callable[[Work], None],
) -> None:
    """Start a fresh process of each, let them measure in turn, and take what they showed."""
    sessions: list[tuple[Series, Session]] = []
    with contextlib.ExitStack() as stack:
        # Who is loaded first changes from round to round.
        for one in reversed(present) if number % 2 else present:
            assert one.installed is not None
            start = pace.budget.clock()
            sessions.append((one, stack.enter_context(open_session(one.installed.runner, model, plan, prompt))))
            pace.start_took(one, pace.budget.clock() - start)
        sessions.sort(key=lambda pair: present.index(pair[0]))
        taken: dict[str, dict[str, list[float]]] = {one.label: {} for one in present}
        skipped = {one.label: session.skipped() for one, session in sessions}
        for item in pace.order:
            able = [pair for pair in sessions if item.id not in skipped[pair[0].label]]
            for _ in range(pace.repetitions(item)):
                for one, session in [*able, *reversed(able)]:
                    start = pace.budget.clock()
                    event = session.measure(item.id)
                    pace.turn_took(one, item, pace.budget.clock() - start, event)
                    _take(one, item, event, taken[one.label])
                advance(item)
        for one, session in sessions:
            _end(one, session, taken[one.label], present[0])


def _take(one: Series, item: Work, event: dict[str, Any] | None, taken: dict[str, list[float]]) -> None:
    """Add the values of one turn; what died is explained by the end of its process."""
    if event is None:
        return
    try:
        for key, value in read_event(item, event):
            taken.setdefault(key, []).append(value)
    except ValueError as error:
        one.failure = f"what it says cannot be used: {error}"


def _end(one: Series, session: Session, taken: dict[str, list[float]], reference: Series) -> None:
    run = session.finish()
    one.repeated += session.repeated
    if run.failure or one.failure:
        one.failure = f"in round {len(one.rounds) + 1}: {run.failure or one.failure}"
        return
    one.learn(run)
    for key, value in (("load", run.loaded), ("import", run.imported), ("peak", float(run.peak))):
        if value > 0:
            taken[key] = [value]
    one.rounds.append(taken)
    if one is not reference:
        one.reference.append({} if reference.failure else reference.rounds[-1])
