"""Search for the settings under which an engine runs a model best on this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from truewheel.checks.equivalence import DIVERGES_ABOVE, compare
from truewheel.child.logits import Answer, LogitsRunner
from truewheel.child.measure import Runner, Session, open_session, run_child
from truewheel.child.registry import engine_for
from truewheel.child.work import Work, Workload
from truewheel.config.presets import Settings
from truewheel.console import Console
from truewheel.cpu.host import Host
from truewheel.errors import CheckError, LoadError
from truewheel.measure.cost import model_facts
from truewheel.measure.install import open_subject
from truewheel.measure.machine import describe_machine, read_clock
from truewheel.measure.metrics import make_workload, read_event
from truewheel.measure.result import SCHEMA, Benchmark, Machine, Trial, Tuning
from truewheel.measure.run import Method, run_benchmark
from truewheel.measure.subjects import Asked, parse_subject
from truewheel.models.models import Model
from truewheel.tune.halving import Contender, Seen, halve, plan_rungs, rank, score, turns_of
from truewheel.tune.preset import name_trial, settle
from truewheel.tune.space import (
    RESULT_KEYS,
    combine,
    cross,
    first_generation,
    make_space,
    neighbours,
    repair_settings,
    seed_settings,
    singles,
)

_CONTEXT = 1024
_LONG_TURN = 8.0
"""Seconds of a turn above which less is evaluated in one."""
_SHARES = (0.4, 0.65)
"""Parts of the budget after which the first and the second generation end; the rest is for the last comparison."""
_MOST = 40
_FEWEST = 6
_FINALISTS = 3
_FIRST_TURNS = 3
_LAST_TURNS = 2
_FEWEST_ROUNDS = 3
_NO_LIMITS = "a search leaves them out; `truewheel bench` measures them"
_PROMPT = "The lighthouse keeper wrote down the weather every evening: wind from the north-west, 7 knots. " * 6


class TuningRequest(NamedTuple):
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

    def __init__(
        self, order: TuningRequest, model: Model, host: Host, runner: Runner, project: str, console: Console
    ) -> None:
        self.order, self.model, self.host, self.runner = order, model, host, runner
        self.console = console
        self.start = time.monotonic()
        self.tokens = (256, 32)
        self.space = make_space(host, runner.engine.driver, _CONTEXT, order.goal)
        self.candidates: list[Contender] = []
        self.starting, self.turn = 0.0, 0.0
        self.logits = LogitsRunner(runner.environment, model, engine_for(project), host.usable_cores)
        self.answers: dict[str, Answer] = {}
        self.reference: Session | None = None
        self.base: dict[str, float] = {}

    @property
    def shown(self) -> Seen:
        """Return what the defaults showed."""
        return self.candidates[0].middle()

    def left(self, share: float = 1.0) -> float:
        """Return the seconds that are left of a part of the budget."""
        return self.start + self.order.budget * share - time.monotonic()

    def add(self, settings: Settings) -> Contender | None:
        """Return a new candidate; None where these settings were tried."""
        mended = repair_settings(settings)
        if any(candidate.settings == mended for candidate in self.candidates):
            return None
        candidate = Contender(len(self.candidates) + 1, mended)
        self.candidates.append(candidate)
        return candidate

    @property
    def plan(self) -> Workload:
        """Return the work of a turn; tokens are generated after a prompt, as they are in use.

        In an empty context attention costs nothing, and a setting that makes it slow looks good.
        """
        prefill, decode = self.tokens
        return make_workload([prefill], [decode], [prefill], 8 if self.order.goal == "latency" else 0, 128, 1)

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start the process of the defaults, which stays for the whole search, and see what they show.

        Raises:
            CheckError: the engine does not even run with its defaults.
        """
        probe = run_child(self.runner, self.model.path, self.plan, _PROMPT)
        if probe.failure:
            raise CheckError(
                f"it does not run with its own defaults: {probe.failure}", hint="`truewheel smoke` shows more"
            )
        seconds = [event.get("seconds") for each in probe.measured.values() for event in each]
        if sum(each for each in seconds if isinstance(each, float)) > _LONG_TURN:
            self.tokens = (128, 16)
        start = time.monotonic()
        self.reference = stack.enter_context(open_session(self.runner, self.model.path, self.plan, _PROMPT))
        loaded = time.monotonic()
        shown: dict[str, list[float]] = {}
        for item in [*self.plan.work] * _FIRST_TURNS:
            for key, value in self._turn_of_defaults(item).items():
                shown.setdefault(key, []).append(value)
        self.base = {key: statistics.median(each) for key, each in shown.items()}
        # To end a process takes a part of that again.
        self.starting = 1.2 * (loaded - start)
        self.turn = 2 * (time.monotonic() - loaded) / _FIRST_TURNS
        self.candidates[0].seen = [self._seen(dict.fromkeys(self.base, 1.0), probe.peak)]

    def cost(self, size: int) -> float:
        """Return about how many seconds successive halving of so many settings takes."""
        rungs = enumerate(plan_rungs(size, _FINALISTS), 1)
        return sum(count * (self.starting + turns_of(rung) * self.turn) for rung, count in rungs)

    def try_out(self, candidate: Contender, turns: int) -> list[Seen] | str:
        """Measure a candidate in a fresh process, in turn with the defaults.

        A machine's speed drifts by more than most settings matter, so a candidate's figures are its ratios to the
        defaults of the same seconds, times what the defaults showed at the start.
        """
        runner = self.runner._replace(settings=candidate.settings)
        ratios: list[dict[str, float]] = []
        with open_session(runner, self.model.path, self.plan, _PROMPT) as session:
            try:
                for number in range(turns):
                    ratios.append({})
                    for item in self.plan.work:
                        ratios[-1] |= self._compare(session, item, first=number % 2 == 1)
            except ValueError as error:
                return f"what it says cannot be used: {error}"
            run = session.finish()
        return run.failure or [self._seen(each, run.peak) for each in ratios]

    def _seen(self, ratios: dict[str, float], peak: int) -> Seen:
        found = {key: ratio * self.base[key] for key, ratio in ratios.items()}
        prefill, decode = (item.id for item in self.plan.work if item.kind != "answer")
        return Seen(found.get(prefill, 0), found.get(decode, 0), found.get("answer-first", 0), peak)

    def _compare(self, session: Session, item: Work, *, first: bool) -> dict[str, float]:
        """Return a candidate's ratios to the defaults for a piece of work, which one of them does first."""
        mine = self._turn(session, item) if first else {}
        theirs = self._turn_of_defaults(item)
        mine = mine or self._turn(session, item)
        return {key: mine[key] / theirs[key] for key in mine.keys() & theirs.keys()}

    def _turn_of_defaults(self, item: Work) -> dict[str, float]:
        assert self.reference is not None
        try:
            found = self._turn(self.reference, item)
            reason = "" if found else self.reference.finish().failure
        except ValueError as error:
            found, reason = {}, f"what they say cannot be used: {error}"
        if not found:
            raise CheckError(f"the engine's defaults stopped running: {reason}", hint="`truewheel smoke` shows more")
        return found

    @staticmethod
    def _turn(session: Session, item: Work) -> dict[str, float]:
        """Return what one turn showed; nothing when it died."""
        event = session.measure(item.id)
        return {} if event is None else dict(read_event(item, event))

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

    def refuse(self, candidate: Contender) -> str:
        """Return why a candidate must not win; empty when it may."""
        found = self.divergence(candidate.settings)
        if isinstance(found, str):
            return f"it gives no answer: {found}"
        if found is not None and not found <= DIVERGES_ABOVE:
            return f"it changes answers: mean KL divergence {found:.4f} nats, more than {DIVERGES_ABOVE}"
        return ""


def run_tuning(order: TuningRequest, model: Model, host: Host, console: Console) -> Tuning:
    """Search within a budget and return all that was tried, the winner, and its comparison with the defaults.

    Two generations of successive halving: the first from the seed and mixtures, the second from what was best. Then
    the defaults and the two best others are measured in turn as `truewheel bench` does it, and that decides.

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
        distances = {candidate.number: search.divergence(candidate.settings) for candidate in finalists[:2]}
    final = _compare_last(asked, [search.candidates[0], *finalists[:2]], search)
    tuning = _account(search, asked, finalists, final, describe_machine(host, before, read_clock()))
    distance = distances.get(tuning.winner)
    return replace(tuning, divergence=distance if isinstance(distance, float) else None)


def _search(search: _Search, stack: contextlib.ExitStack) -> list[Contender]:
    """Return the finalists of both generations, the best first; none where nothing else can run or may win."""
    search.add({})
    search.console.say("         trying the engine's defaults")
    search.begin(stack)
    seed = seed_settings(search.host, search.runner.engine.driver)
    for settings in first_generation(search.space, seed, _affordable(search, _SHARES[0])):
        search.add(settings)
    finalists = _halve(search, search.candidates[1:], _SHARES[0], "first generation")
    return _halve(search, _second_generation(search, finalists), _SHARES[1], "second generation") or finalists


def _affordable(search: _Search, share: float) -> int:
    """Return how many settings can be tried by successive halving in the time that is left of a part of the budget."""
    left = search.left(share)
    return next((size for size in range(_MOST, _FEWEST, -1) if search.cost(size) <= left), _FEWEST)


def _halve(search: _Search, candidates: Sequence[Contender], share: float, title: str) -> list[Contender]:
    total, done = sum(plan_rungs(len(candidates), _FINALISTS)), 0
    with search.console.steps(title) as steps:

        def try_out(candidate: Contender, turns: int) -> list[Seen] | str:
            nonlocal done
            seen = search.try_out(candidate, turns)
            done += 1
            steps.advance(min(done, total), total, _best(search, candidates))
            return seen

        return halve(search.order.goal, search.shown, candidates, try_out, search.refuse, lambda: search.left(share))


def _best(search: _Search, candidates: Sequence[Contender]) -> str:
    tried = [candidate for candidate in candidates if candidate.seen and not candidate.dropped]
    if not tried:
        return ""
    first = rank(search.order.goal, tried, search.shown)[0]
    return f"best so far: {score(search.order.goal, first.middle(), search.shown):.2f} times the defaults"


def _second_generation(search: _Search, finalists: Sequence[Contender]) -> list[Contender]:
    """Return what the first generation suggests: its finalists, what joins them, and what lies beside the best."""
    if not finalists:
        return []
    prefill, decode = (rank(goal, finalists, search.shown)[0].settings for goal in ("prefill", "decode"))
    combined = _combine(search)
    suggested = [
        combined,
        cross(prefill, decode, search.space),
        *neighbours(search.space, combined),
        *neighbours(search.space, finalists[0].settings),
    ]
    room = _affordable(search, _SHARES[1]) - len(finalists)
    added = (search.add(settings) for settings in suggested[: max(0, room)])
    return [*finalists, *(candidate for candidate in added if candidate is not None)]


def _combine(search: _Search) -> Settings:
    """Return the seed with all that bettered it and may win."""
    goal, shown = search.order.goal, search.shown
    seed, *others = search.candidates[1:]
    seed_score = score(goal, seed.middle(), shown)
    # What gained in a mixture may have done so in spite of half of it.
    single = list(singles(search.space, seed.settings))
    better = [each for each in others if each.settings in single and score(goal, each.middle(), shown) > seed_score]
    allowed = [each for each in better if not search.refuse(each)]
    return combine(seed.settings, seed_score, [(each.settings, score(goal, each.middle(), shown)) for each in allowed])


def _compare_last(asked: Asked, candidates: Sequence[Contender], search: _Search) -> Benchmark:
    """Measure the last candidates in turn, as often as the time that is left allows, and three rounds at least."""
    subjects = [
        asked._replace(text=f"{asked.place}@{name}", preset=name, settings=candidate.settings)
        for candidate in candidates
        for name in [name_trial(candidate.number)]
    ]
    prefill, decode = search.tokens
    # Each of them and the defaults once more. A turn is about twice the search's work, and there are as many back.
    costs = {turns: (len(subjects) + 1) * (search.starting + 2 * turns * search.turn) for turns in (1, _LAST_TURNS)}
    turns = _LAST_TURNS if search.left() > _FEWEST_ROUNDS * costs[_LAST_TURNS] else 1
    rounds = max(_FEWEST_ROUNDS, min(10, int(search.left() / costs[turns])))
    plan = make_workload([prefill], [decode], [prefill], decode, prefill, turns)
    search.console.say(f"         the last comparison, {rounds} rounds")
    method = Method(plan, rounds)
    return run_benchmark(subjects, search.model, method, search.host, search.console, ((), _NO_LIMITS))


def _account(
    search: _Search,
    asked: Asked,
    finalists: Sequence[Contender],
    final: Benchmark,
    machine: Machine,
) -> Tuning:
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
                score=score(search.order.goal, middle, search.shown),
                dropped=candidate.dropped
                or ("" if candidate in [search.candidates[0], *finalists] else "the time was over"),
            )
        )
    winner, runner_up = settle(final, search.order.goal)
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
        winner=winner,
        runner_up=runner_up,
        final=final,
    )
