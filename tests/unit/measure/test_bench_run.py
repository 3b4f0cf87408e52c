"""The order of the runs, and what becomes of those that fail; no process is started."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from factories import make_host

from truewheel.child.environment import InstallError
from truewheel.child.installed import Environment
from truewheel.child.measure import Runner
from truewheel.child.run_account import Run
from truewheel.console import Console
from truewheel.errors import CheckError
from truewheel.measure import run as bench
from truewheel.measure.install import Installed
from truewheel.measure.metrics import make_workload
from truewheel.measure.result import Cost, Limits, ModelFacts
from truewheel.measure.subjects import Asked
from truewheel.models.models import Model

PLAN = make_workload([128], [64], [0], 0, 64, 1)
COST = Cost(weights=1000, cache=0, operations=2000, attention=0, integer=True)
LIMITS = Limits(threads=2, read=1e6, int8=1e9, int8_kernel="avx2", f32=1e9, f32_kernel="fma")
SPEEDS = {"a": (100.0, 10.0), "b": (200.0, 10.05), "slow": (50.0, 5.0)}


def asked(project):
    return Asked(f"{project}.whl", "wheel", project, "1.0", Path(f"{project}-1.0-py3-none-any.whl"), "cores", None)


class StandIn:
    """A session that answers as SPEEDS say, slower by 1 % with each turn of anybody; some die."""

    def __init__(self, name, order):
        self.name, self.order, self.repeated, self.died = name, order, 0, False

    def skipped(self):
        return {"tg64"} if self.name == "shallow" else set()

    def measure(self, work):
        self.order.append((self.name, work))
        self.died = self.died or (self.name == "later" and len(self.order) > 20)
        prefill, decode = SPEEDS.get(self.name, (1.0, 1.0))
        tokens, speed = (128, prefill) if work == "pp128" else (64, decode)
        seconds = tokens / (speed * 0.99 ** len(self.order))
        event = {"id": work, "seconds": "soon" if self.name == "liar" else seconds, "count": tokens}
        return None if self.died else event

    def finish(self):
        return make_run("after measure: segmentation fault" if self.died else "")


def make_run(failure="", skipped=None):
    return Run({}, skipped or {}, "1.0", {"n_threads": 2}, (), 0.5, 1.0, 10_000, "cut", 0, failure)


@pytest.fixture
def stage(monkeypatch):
    """Install nothing and answer for every child; return names and works in the order of the turns."""
    order = []

    @contextlib.contextmanager
    def open_subject(one, settings):
        if one.project == "missing":
            raise InstallError("pip cannot install it")
        place = Path(one.project)
        yield Installed(Runner(Environment(place, place, place, place), None, settings), 1000 * len(one.project), 0)

    def run_child(runner, *_, **__):
        name = runner.environment.python.name
        order.append((name, "try"))
        skipped = {"tg64": "it has no low level"} if name == "shallow" else {}
        return make_run("after load: segmentation fault" if name == "dies" else "", skipped)

    @contextlib.contextmanager
    def open_session(runner, *_):
        name = runner.environment.python.name
        order.append((name, "load"))
        yield StandIn(name, order)

    facts = ModelFacts(
        name="m", architecture="llama", quantization="Q4_0", parameters=1, size=1, synthetic=False, cost=COST
    )
    monkeypatch.setattr(bench, "open_subject", open_subject)
    monkeypatch.setattr(bench, "run_child", run_child)
    monkeypatch.setattr(bench, "open_session", open_session)
    monkeypatch.setattr(bench, "model_facts", lambda _: facts)
    monkeypatch.setattr(bench, "available_memory", lambda: 64 << 30)
    monkeypatch.setattr(Asked, "engine", property(lambda _: _Engine()))
    return order


class _Engine:
    driver, mends = "llama_cpp", ""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    return Model("m", path, "Once", "", vocabulary_round_trips=False)


@pytest.fixture
def measure(stage, model):  # noqa: ARG001 - nothing is to be installed
    def run(*projects, rounds=2):
        subjects = [asked(each) for each in projects]
        method = bench.Method(PLAN, rounds)
        return bench.run_benchmark(subjects, model, method, make_host(), Console(quiet=True), ((LIMITS,), ""))

    return run


def figures(benchmark, label):
    subject = next(each for each in benchmark.subjects if each.label.startswith(label))
    return {figure.key: figure for figure in subject.figures}


def turns(order, work):
    return [name for name, what in order if what == work]


def test_turns_go_there_and_back_with_the_reference_twice(stage, measure):
    measure("a", "b")
    assert turns(stage, "try") == ["a", "b"]
    assert turns(stage, "load") == ["a", "a", "b", "b", "a", "a"]
    assert turns(stage, "pp128") == ["a", "a", "b", "b", "a", "a"] * 2
    assert turns(stage, "tg64") == ["a", "a", "b", "b", "a", "a"] * 2


def test_a_drift_is_no_difference(measure):
    benchmark = measure("a", "b")
    assert all(floor.quiet and floor.floor < 1e-9 for floor in benchmark.floors)
    found = figures(benchmark, "b")
    assert found["pp128"].ratio.median == pytest.approx(2.0)
    assert found["pp128"].verdict == "faster"
    assert found["tg64"].ratio.median == pytest.approx(1.005)


def test_every_speed_has_its_share_of_the_limit(measure):
    found = figures(measure("a", "b"), "a")
    assert found["tg64"].limit == "read"
    assert found["tg64"].share == pytest.approx(found["tg64"].value.median * 1000 / 1e6)
    assert found["pp128"].limit == "int8"
    assert found["load"].share is None


def test_sizes_are_compared_without_noise(measure):
    found = figures(measure("a", "slow"), "slow")
    assert found["wheel"].ratio.median == 0.25
    assert found["wheel"].verdict == "larger"
    assert found["installed"].reason == "it was installed already"


def test_what_cannot_be_installed_or_dies_is_a_row_with_its_reason(stage, measure):
    benchmark = measure("missing", "dies", "a", "b")
    assert benchmark.reference.startswith("a ")
    reasons = {subject.label.split()[0]: subject.failure for subject in benchmark.subjects}
    assert reasons == {
        "missing": "pip cannot install it", "dies": "after load: segmentation fault", "a": "", "b": "",
    }  # fmt: skip
    assert figures(benchmark, "dies")["pp128"].reason == "after load: segmentation fault"
    assert "dies" not in turns(stage, "load")


def test_who_cannot_do_a_piece_of_work_is_not_asked_for_it(stage, measure):
    benchmark = measure("a", "shallow")
    assert "shallow" not in turns(stage, "tg64")
    found = figures(benchmark, "shallow")
    assert found["tg64"].reason == "it has no low level"
    assert found["pp128"].value is not None


def test_who_dies_on_the_way_is_not_started_again_and_keeps_what_was_seen(stage, measure):
    benchmark = measure("a", "later", rounds=3)
    later = next(each for each in benchmark.subjects if each.label.startswith("later"))
    assert later.failure == "in round 2: after measure: segmentation fault"
    assert turns(stage, "load").count("later") == 2
    assert figures(benchmark, "later")["pp128"].ratio.median == pytest.approx(0.01)
    assert figures(benchmark, "a")["pp128"].value is not None


def test_a_reference_that_dies_on_the_way_is_no_lack_of_time(measure):
    benchmark = measure("later", "b", rounds=5)
    assert benchmark.subjects[0].failure == "in round 2: after measure: segmentation fault"
    assert (benchmark.budget, benchmark.cut) == (0.0, ())
    assert {floor.key for floor in benchmark.floors} >= {"pp128", "tg64"}


def test_what_makes_no_sense_is_not_believed(measure):
    benchmark = measure("a", "liar")
    liar = next(each for each in benchmark.subjects if each.label.startswith("liar"))
    assert "cannot be used" in liar.failure
    assert figures(benchmark, "liar")["pp128"].value is None


def test_subjects_that_do_not_fit_into_memory_take_turns_in_groups(stage, measure, monkeypatch):
    # Room for three processes: the reference, its double, and one more.
    monkeypatch.setattr(bench, "available_memory", lambda: int(3.1 * (512 << 20) / 0.8))
    benchmark = measure("a", "b", "slow")
    first = ["a", "a", "b", "b", "a", "a"]
    assert turns(stage, "pp128")[:10] == [*first, "a", "slow", "slow", "a"]
    assert figures(benchmark, "b")["pp128"].ratio.median == pytest.approx(2.0)
    assert figures(benchmark, "slow")["pp128"].ratio.median == pytest.approx(0.5)


def test_nothing_that_runs_is_an_error_and_each_reason_is_told_once(measure, capsys):
    with pytest.raises(CheckError, match="none of the subjects can be measured"):
        measure("missing", "dies")
    told = capsys.readouterr().err
    assert (told.count("pip cannot install it"), told.count("segmentation fault")) == (1, 1)
