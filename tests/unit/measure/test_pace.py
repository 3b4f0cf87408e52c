"""A benchmark ends in time, however slow its subjects are: with subjects of known speed and a clock that they turn."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path

import pytest
from factories import make_host

from truewheel.child.installed import Environment
from truewheel.child.measure import Runner
from truewheel.child.run_account import Run
from truewheel.console import Console, Steps
from truewheel.measure import run as bench
from truewheel.measure import statistics
from truewheel.measure.install import Installed
from truewheel.measure.metrics import make_workload
from truewheel.measure.pace import FEWEST, Budget
from truewheel.measure.result import ModelFacts
from truewheel.measure.subjects import Asked
from truewheel.models.models import Model

PLAN = make_workload([128, 512, 2048], [64, 128], [0, 2048], 64, 512, 2)
SECONDS = 300.0
SPEEDS = {
    "fast": (4000.0, 400.0, 1.0),
    "usual": (400.0, 60.0, 2.0),
    "slow": (60.0, 8.0, 10.0),
    "awful": (2.0, 0.2, 60.0),
    "tiring": (400.0, 60.0, 2.0),
}
"""Tokens a second of prompts and of text, and seconds to start."""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class StandIn:
    """A session that takes as long as its speeds say; a tiring one gets four times as slow after a while."""

    repeated = 0

    def __init__(self, name, plan, clock, order):
        self.name, self.clock, self.order = name, clock, order
        self.work = {item.id: item for item in plan.work}

    def skipped(self):
        return set()

    def measure(self, work):
        self.order.append((self.name, work))
        event = event_of(self.name, self.work[work], tired=self.name == "tiring" and self.clock.now > SECONDS / 3)
        self.clock.now += event.pop("took")
        return {"id": work, **event}

    def finish(self):
        self.clock.now += 0.1
        return make_run()


def event_of(name, item, *, tired=False):
    prefill, decode = (speed / (4 if tired else 1) for speed in SPEEDS[name][:2])
    if item.kind == "prefill":
        seconds = (item.tokens + item.depth) / prefill
        return {"seconds": seconds, "count": item.tokens, "took": seconds}
    if item.kind == "decode":
        return {
            "seconds": item.tokens / decode,
            "count": item.tokens,
            "took": item.depth / prefill + item.tokens / decode,
        }
    first = 512 / prefill
    seconds = first + item.tokens / decode
    return {"seconds": seconds, "count": item.tokens, "prompt": 512, "first": first, "took": seconds}


def make_run(measured=None):
    return Run(measured or {}, {}, "1.0", {}, (), 0.5, 1.0, 10_000, "cut", 0, "")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def measure(monkeypatch, tmp_path, clock):
    """Return a benchmark of subjects by the names of their speeds, with the turns that it took."""
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    order = []

    @contextlib.contextmanager
    def open_subject(one, settings):
        place = Path(one.project)
        yield Installed(Runner(Environment(place, place, place, place), None, settings), 1000, 0)

    def run_child(runner, _model, plan, *_, **__):
        name = runner.environment.python.name
        clock.now += SPEEDS[name][2] + 1
        return make_run({item.id: [event_of(name, item)] for item in plan.work})

    @contextlib.contextmanager
    def open_session(runner, _model, plan, _prompt):
        name = runner.environment.python.name
        clock.now += SPEEDS[name][2]
        yield StandIn(name, plan, clock, order)

    facts = ModelFacts(
        name="m", architecture="llama", quantization="Q4_0", parameters=1, size=1, synthetic=False, cost=None
    )
    monkeypatch.setattr(statistics, "_RESAMPLES", 50)
    monkeypatch.setattr(bench, "open_subject", open_subject)
    monkeypatch.setattr(bench, "run_child", run_child)
    monkeypatch.setattr(bench, "open_session", open_session)
    monkeypatch.setattr(bench, "model_facts", lambda _: facts)
    monkeypatch.setattr(bench, "available_memory", lambda: 64 << 30)
    monkeypatch.setattr(Asked, "engine", property(lambda _: _Engine()))
    model = Model("m", path, "Once", "", vocabulary_round_trips=False)

    def run(*names, seconds=SECONDS, rounds=5, plan=PLAN):
        asked = [
            Asked(f"{each}.whl", "wheel", each, "1.0", Path(f"{each}-1-py3-none-any.whl"), "", {}) for each in names
        ]
        method = bench.Method(plan, rounds, budget=Budget(seconds, clock))
        return bench.run_benchmark(asked, model, method, make_host(), Console(), ((), "")), order

    return run


class _Engine:
    driver, mends = "llama_cpp", ""


def done(benchmark):
    return {each.key: each.done for each in benchmark.cut}


def verdicts(benchmark):
    return {figure.key: figure.verdict for figure in benchmark.subjects[1].figures}


def test_without_a_limit_everything_is_measured_in_every_round(measure):
    benchmark, order = measure("slow", "usual", seconds=math.inf)
    assert (benchmark.rounds, benchmark.cut, benchmark.budget) == (5, (), 0.0)
    for item in PLAN.work:
        # There and back, by the subject, the reference and its double.
        assert order.count(("usual", item.id)) == 2 * item.repeat * 5
        assert order.count(("slow", item.id)) == 4 * item.repeat * 5


def test_what_fits_is_measured_whole(measure, clock):
    benchmark, _ = measure("fast", "fast")
    assert (benchmark.rounds, benchmark.cut, benchmark.budget) == (5, (), SECONDS)
    assert clock.now < SECONDS


def test_repetitions_go_first_and_the_longest_lengths_next(measure, clock):
    benchmark, order = measure("usual", "usual")
    assert 0.6 * SECONDS < clock.now <= SECONDS
    assert benchmark.rounds == 5
    cut = done(benchmark)
    assert {key for key, count in cut.items() if not count} == {"pp2048", "tg64@2048", "tg128@2048"}
    assert all(count >= FEWEST for count in cut.values() if count)
    assert "tg64@2048" not in {figure.key for figure in benchmark.subjects[1].figures}
    # The reference's double takes its turns in every round that there is.
    assert {floor.key for floor in benchmark.floors} >= {"pp128", "pp512", "tg64", "tg128", "answer-whole"}
    first = [name for name, work in order if work == "pp128"]
    assert len(first) == 2 * 3 * (cut.get("pp128") or 10)


@pytest.mark.parametrize("names", [("slow", "slow"), ("fast", "slow"), ("slow", "fast", "usual"), ("usual",) * 8])
@pytest.mark.parametrize("seconds", [120.0, 300.0, 900.0, 3600.0])
def test_the_time_is_kept_and_what_is_measured_is_measured_often_enough(measure, clock, names, seconds):
    benchmark, _ = measure(*names, seconds=seconds)
    assert clock.now <= seconds
    measured = [figure.key for figure in benchmark.subjects[1].figures]
    assert "pp128" in measured
    assert "tg64" in measured
    floors = {floor.key for floor in benchmark.floors}
    for item in PLAN.work:
        count = done(benchmark).get(item.id, 5 * item.repeat)
        assert item.kind == "answer" or (item.id in floors) == (count >= FEWEST)


def test_who_is_too_slow_for_five_rounds_has_figures_and_no_verdict(measure, clock):
    benchmark, _ = measure("slow", "slow", seconds=150)
    assert clock.now <= 150
    assert 1 <= benchmark.rounds < 5
    assert done(benchmark)["pp128"] == benchmark.rounds
    assert benchmark.floors == ()
    assert verdicts(benchmark)["tg64"] == "none: no noise floor"


def test_one_round_of_the_least_is_measured_whatever_it_takes(measure, clock):
    benchmark, order = measure("awful", "fast", seconds=60)
    assert benchmark.rounds == 1
    assert {work for _, work in order} == {"pp128", "tg64"}
    assert clock.now > 60
    assert benchmark.floors == ()


def test_who_gets_slower_on_the_way_ends_in_time(measure, clock):
    benchmark, _ = measure("tiring", "tiring")
    assert clock.now <= 1.05 * SECONDS
    assert benchmark.cut
    for key, count in done(benchmark).items():
        assert count >= FEWEST or key not in {floor.key for floor in benchmark.floors}


def test_few_rounds_keep_their_repetitions(measure):
    benchmark, order = measure("usual", "usual", rounds=3)
    measured = {work for _, work in order}
    assert all(order.count(("usual", key)) == 2 * 3 * 2 * 3 for key in measured - {"pp2048"})
    assert all(each.done == 0 for each in benchmark.cut)


def test_what_is_left_out_is_said_soon_with_the_time_that_is_left(measure, capsys):
    measure("usual", "usual")
    told = capsys.readouterr().err
    assert "left out, to end in 5 min: pp2048, tg64@2048, tg128@2048" in told
    assert "measuring: " in told
    assert "about 0 s left" in told


def test_subjects_in_groups_share_the_time(measure, clock, monkeypatch):
    monkeypatch.setattr(bench, "available_memory", lambda: int(3.1 * (512 << 20) / 0.8))
    benchmark, order = measure("usual", "fast", "usual")
    assert clock.now <= SECONDS
    assert order.count(("fast", "pp128")) == 2 * done(benchmark).get("pp128", 10)


@pytest.mark.parametrize(("repetitions", "most"), [(3, 0.08), (FEWEST, 0.02)])
def test_equals_are_seldom_called_different_after_five_repetitions(monkeypatch, repetitions, most):
    monkeypatch.setattr(statistics, "_RESAMPLES", 60)
    source = random.Random(1)

    def speeds():
        """One repetition a process: what differs from process to process, and from turn to turn."""
        processes = [source.gauss(0, 0.003) for _ in range(repetitions)]
        return [[100 * math.exp(each + source.gauss(0, 0.008)) for _ in range(2)] for each in processes]

    wrong = 0
    for _ in range(300):
        reference, again, other = speeds(), speeds(), speeds()
        floor = statistics.noise_floor("pp128", again, reference, 0.03)
        ratio = statistics.compare(other, reference, lower_is_better=False)
        wrong += not statistics.judge(ratio, floor, 0.03, ("faster", "slower")).startswith("none")
    assert wrong / 300 <= most


def test_without_a_limit_the_time_that_is_left_is_known_after_a_round(measure, clock, monkeypatch):
    told = []
    monkeypatch.setattr(Steps, "advance", lambda _, _done, _total, _label, left: told.append((clock.now, left)))
    measure("usual", "usual", seconds=math.inf)
    for now, left in told[len(told) // 5 :]:
        assert now + left == pytest.approx(clock.now, rel=0.01)


def test_the_time_that_is_left_is_never_more_than_there_is(measure, clock, monkeypatch):
    told = []
    monkeypatch.setattr(
        Steps, "advance", lambda _, done, total, _label, left: told.append((done, total, left, clock.now))
    )
    measure("usual", "usual")
    assert all(0 <= left <= SECONDS - now for _, _, left, now in told)
    assert all(1 <= done <= total for done, total, *_ in told)
    assert told[-1][0] == told[-1][1]
    assert told[-1][2] < 1
    # What was left out is known by now.
    third = told[len(told) // 3]
    assert third[3] + third[2] == pytest.approx(clock.now, rel=0.15)
