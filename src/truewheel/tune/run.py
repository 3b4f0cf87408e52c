"""Search for the settings under which an engine runs a model best on this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from truewheel.bench.child import Runner, Session, open_session, run_child
from truewheel.bench.install import open_subject
from truewheel.bench.machine import describe_machine, read_clock
from truewheel.bench.metrics import Plan, Work, make_plan, read_event
from truewheel.bench.result import SCHEMA, Benchmark, Machine, Trial, Tuning
from truewheel.bench.run import Method, run_benchmark
from truewheel.bench.subjects import Asked, parse_subject
from truewheel.checks.equivalence import DIVERGES_ABOVE, compare
from truewheel.console import Console
from truewheel.cpu.host import Host
from truewheel.errors import CheckError, LoadError
from truewheel.inference.cost import model_facts
from truewheel.inference.logits import Answer
from truewheel.inference.logits import Runner as LogitsRunner
from truewheel.inference.models import Model
from truewheel.inference.smoke import engine_for
from truewheel.tune.halving import Candidate, Seen, halve, plan_rungs, rank, score
from truewheel.tune.space import (
    RESULT_KEYS,
    Settings,
    cross,
    first_generation,
    make_space,
    neighbours,
    repair_settings,
    seed_settings,
)

_CONTEXT = 1024
_SMALL_RUN = 8.0
_SHARES = (0.4, 0.7)
"""Parts of the budget after which the first and the second generation end; the rest is for the last comparison."""
_MOST = 40
_FEWEST = 6
_FINALISTS = 3
_TURNS = 2
_PROMPT = "The lighthouse keeper wrote down the weather every evening: wind from the north-west, 7 knots. " * 6


class Order(NamedTuple):
    """What is searched.

    Attributes:
        wheel: the wheel that is to be tuned.
        goal: `decode`, `prefill`, `latency` or `memory`.
        budget: seconds that it may take.
    """

    wheel: Path
    goal: Literal["latency", "decode", "prefill", "memory"]
    budget: float


class _Search:
    """The state of one search: what was tried, what is known of answers, and how much time is left."""

    def __init__(self, order: Order, model: Model, host: Host, runner: Runner, project: str, console: Console) -> None:
        self.order, self.model, self.host, self.runner = order, model, host, runner
        self.console = console
        self.start = time.monotonic()
        self.plan = _work_plan(256, 32)
        self.space = make_space(host, runner.engine.driver, _CONTEXT)
        self.candidates: list[Candidate] = []
        self.seconds_each = 0.0
        self.logits = LogitsRunner(runner.environment, model, engine_for(project), host.usable_cores)
        self.answers: dict[str, Answer] = {}
        self.reference: Session | None = None
        self.base: dict[str, list[float]] = {}

    def left(self, share: float = 1.0) -> float:
        """Return the seconds that are left of a part of the budget."""
        return self.start + self.order.budget * share - time.monotonic()

    def add(self, settings: Settings) -> Candidate | None:
        """Return a new candidate; None where these settings were tried."""
        mended = repair_settings(settings)
        if any(candidate.settings == mended for candidate in self.candidates):
            return None
        candidate = Candidate(len(self.candidates) + 1, mended)
        self.candidates.append(candidate)
        return candidate

    def measure(self, candidate: Candidate) -> Seen | str:
        """Measure a candidate in a fresh process, in turn with the defaults, whose process stays for the whole search.

        A machine's speed drifts by more than most settings matter, so a candidate's figures are its ratios to the
        defaults of the same seconds, times what the defaults showed over the whole search.
        """
        begin = time.monotonic()
        runner = self.runner._replace(settings=candidate.settings)
        with open_session(runner, self.model.path, self.plan, _PROMPT) as session:
            ratios: dict[str, list[float]] = {}
            try:
                for item in self.plan.work:
                    for key, ratio in self._take_turns(session, item):
                        ratios.setdefault(key, []).append(ratio)
            except ValueError as error:
                return f"what it says cannot be used: {error}"
            run = session.finish()
        self.seconds_each = time.monotonic() - begin
        if run.failure:
            return run.failure
        values = {key: statistics.median(each) * statistics.median(self.base[key]) for key, each in ratios.items()}
        ids = [item.id for item in self.plan.work if item.kind != "answer"]
        return Seen(values.get(ids[0], 0), values.get(ids[1], 0), values.get("answer-first", 0), run.peak)

    def _take_turns(self, session: Session, item: Work) -> Iterator[tuple[str, float]]:
        """Yield a candidate's ratios to the defaults for a piece of work; nothing when it died."""
        assert self.reference is not None
        for _ in range(item.repeat):
            order = (self.reference, session, session, self.reference)
            events = [one.measure(item.id) for one in order]
            if events[0] is None or events[3] is None:
                failure = self.reference.finish().failure
                raise CheckError(
                    f"the engine's defaults stopped running: {failure}", hint="`truewheel smoke` shows more"
                )
            if events[1] is None or events[2] is None:
                return
            first, second, third, last = (dict(read_event(item, event)) for event in events if event is not None)
            for key in first.keys() & second.keys() & third.keys() & last.keys():
                self.base.setdefault(key, []).extend((first[key], last[key]))
                yield key, math.sqrt(second[key] * third[key] / (first[key] * last[key]))

    def divergence(self, settings: Settings) -> float | str | None:
        """Return how far settings change answers, nats; None where nothing of them can, a text where they cannot run.

        Measured as `truewheel compare` does it, against the engine's defaults.
        """
        chosen = {key: settings[key] for key in RESULT_KEYS if key in settings}
        if not chosen:
            return None
        for key, wanted in (("", {}), (repr(sorted(chosen.items())), chosen)):
            if key not in self.answers:
                self.answers[key] = self.logits.run(key or "defaults", settings=wanted)
        mine = self.answers[repr(sorted(chosen.items()))]
        if self.answers[""].logits is None:
            return f"the defaults gave no logits: {self.answers[''].record.failure}"
        row = compare(self.answers[""], [mine])[1]
        return row.note or "no logits" if row.mean_divergence is None else row.mean_divergence

    def refuse(self, candidate: Candidate) -> str:
        """Return why a candidate must not win; empty when it may."""
        found = self.divergence(candidate.settings)
        if isinstance(found, str):
            return f"it gives no answer: {found}"
        if found is not None and not found <= DIVERGES_ABOVE:
            return f"it changes answers: mean KL divergence {found:.4f} nats, more than {DIVERGES_ABOVE}"
        return ""


def run_tuning(order: Order, model: Model, host: Host, console: Console) -> Tuning:
    """Search within a budget and return all that was tried, the winner, and its comparison with the defaults.

    Two generations of successive halving: the first from the seed and mixtures, the second from what was best. Then
    defaults, winner and runner-up are measured in turn as `truewheel bench` does it.

    Args:
        order: what is searched.
        model: a model whose header was checked.
        host: this machine.
        console: shows the progress.

    Raises:
        LoadError: the wheel's engine cannot be tuned.
        CheckError: it cannot be installed, or does not even run with its defaults.
        FetchError: a dependency cannot be had.
    """
    asked = parse_subject(str(order.wheel))
    if asked.kind != "wheel" or asked.engine.shape != "llama.cpp":
        raise LoadError(f"{order.wheel} cannot be tuned", hint="a wheel of llama-cpp-python or llama-rs is wanted")
    before = read_clock()
    with contextlib.ExitStack() as stack:
        console.say(f"         installing {order.wheel.name}")
        runner = stack.enter_context(open_subject(asked, {})).runner
        search = _Search(order, model, host, runner, asked.project, console)
        with contextlib.ExitStack() as reference:
            finalists = _search(search, reference)
        divergence = search.divergence(finalists[0].settings)
    defaults = search.candidates[0]
    chosen = [candidate for candidate in finalists[:2] if candidate is not defaults]
    final = _compare(asked, [defaults, *chosen], search) if chosen else None
    return _account(search, asked, finalists, final, divergence, describe_machine(host, before, read_clock()))


def _work_plan(prefill: int, decode: int) -> Plan:
    """Return the work of a trial; tokens are generated after a prompt, as they are in use.

    In an empty context attention costs nothing, and a setting that makes it slow looks good.
    """
    return make_plan([prefill], [decode], [2 * prefill], 8, 128, 1)


def _search(search: _Search, stack: contextlib.ExitStack) -> list[Candidate]:
    """Return the finalists of both generations, the best first."""
    defaults = search.add({})
    assert defaults is not None
    search.console.say("         trying the engine's defaults")
    begin = time.monotonic()
    probe = run_child(search.runner, search.model.path, search.plan, _PROMPT)
    if probe.failure:
        raise CheckError(f"it does not run with its own defaults: {probe.failure}", hint="`truewheel smoke` shows more")
    # A trial measures the defaults beside the candidate, and each of them twice.
    search.seconds_each = 3 * (time.monotonic() - begin)
    if search.seconds_each > 3 * _SMALL_RUN:
        search.plan = _work_plan(128, 16)
        search.seconds_each /= 2
    search.reference = stack.enter_context(open_session(search.runner, search.model.path, search.plan, _PROMPT))
    seen = search.measure(defaults)
    if isinstance(seen, str):
        raise CheckError(f"it does not run with its own defaults: {seen}", hint="`truewheel smoke` shows more")
    seed = seed_settings(search.host, search.runner.engine.driver)
    for settings in first_generation(search.space, seed, _affordable(search, _SHARES[0])):
        search.add(settings)
    finalists = _halve(search, search.candidates, _SHARES[0], "first generation")
    if not finalists:
        raise CheckError("the engine's defaults stopped running", hint="`truewheel smoke` shows more")
    second = _second_generation(search, finalists)
    return _halve(search, [defaults, *second], _SHARES[1], "second generation") or finalists


def _affordable(search: _Search, share: float) -> int:
    """Return how many settings can be tried by successive halving in the time that is left of a part of the budget."""
    most = int(search.left(share) / max(0.5, search.seconds_each))
    for size in range(_MOST, _FEWEST, -1):
        rungs = plan_rungs(size)
        if rungs[0] + 2 * sum(rungs[1:]) <= most:
            return size
    return _FEWEST


def _halve(search: _Search, candidates: Sequence[Candidate], share: float, title: str) -> list[Candidate]:
    rungs = plan_rungs(len(candidates), _FINALISTS)
    total, done = rungs[0] + 2 * sum(rungs[1:]), 0
    defaults = candidates[0]
    with search.console.steps(title) as steps:

        def try_once(candidate: Candidate) -> Seen | str:
            nonlocal done
            seen = search.measure(candidate)
            done += 1
            steps.advance(min(done, total), total, _best(search, candidates))
            return seen

        return halve(
            search.order.goal, candidates, try_once, search.refuse, lambda: search.left(share) if defaults.seen else 1.0
        )


def _best(search: _Search, candidates: Sequence[Candidate]) -> str:
    tried = [candidate for candidate in candidates if candidate.seen and not candidate.dropped]
    if not tried:
        return ""
    first = rank(search.order.goal, tried, candidates[0])[0]
    return f"best so far: {score(search.order.goal, first.middle(), candidates[0].middle()):.2f} times the defaults"


def _second_generation(search: _Search, finalists: Sequence[Candidate]) -> list[Candidate]:
    """Return what the first generation suggests: its finalists, what joins them, and what lies beside the best."""
    prefill, decode = (rank(goal, finalists, search.candidates[0])[0].settings for goal in ("prefill", "decode"))
    suggested = [cross(prefill, decode, search.space), *neighbours(search.space, finalists[0].settings)]
    found = [candidate for candidate in finalists if candidate.number != 1]
    room = _affordable(search, _SHARES[1]) - len(found) - 1
    added = (search.add(settings) for settings in suggested[: max(0, room)])
    return found + [candidate for candidate in added if candidate is not None]


def _compare(asked: Asked, candidates: Sequence[Candidate], search: _Search) -> Benchmark:
    """Measure the last candidates in turn, as often as the time that is left allows, and three rounds at least."""
    names = ["defaults", "winner", "runner-up"]
    subjects = [
        asked._replace(text=f"{asked.place}@{name}", preset=name, settings=candidate.settings)
        for name, candidate in zip(names, candidates, strict=False)
    ]
    # A round has each of them and the reference once more, with so many turns as a trial has for its two.
    each = (len(subjects) + 1) / 2 * _TURNS * max(1.0, search.seconds_each)
    rounds = max(3, min(8, int(search.left() / each)))
    search.console.say(f"         the last comparison, {rounds} rounds")
    plan = Plan(tuple(replace(item, repeat=_TURNS) for item in search.plan.work), search.plan.prompt)
    return run_benchmark(subjects, search.model, Method(plan, rounds), search.host, search.console)


def _account(
    search: _Search,
    asked: Asked,
    finalists: Sequence[Candidate],
    final: Benchmark | None,
    divergence: float | str | None,
    machine: Machine,
) -> Tuning:
    defaults = search.candidates[0].middle()
    trials = []
    for candidate in search.candidates:
        middle = candidate.middle()
        trials.append(
            Trial(
                number=candidate.number,
                settings=candidate.settings,
                rung=candidate.rung,
                prefill=middle.prefill,
                decode=middle.decode,
                first=middle.first,
                peak=int(middle.peak),
                score=score(search.order.goal, middle, defaults),
                dropped=candidate.dropped or ("" if candidate in finalists else "the time was over"),
            )
        )
    return Tuning(
        schema=SCHEMA,
        when=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        goal=search.order.goal,
        machine=machine,
        model=model_facts(search.model),
        engine=f"{asked.project} {asked.version}",
        seconds=time.monotonic() - search.start,
        budget=search.order.budget,
        trials=tuple(trials),
        winner=finalists[0].number,
        runner_up=finalists[1].number if len(finalists) > 1 else 0,
        final=final,
        divergence=divergence if isinstance(divergence, float) else None,
    )
