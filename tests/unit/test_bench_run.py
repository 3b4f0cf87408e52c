"""The order of the runs, and what becomes of those that fail; no process is started."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from factories import make_host

from truewheel.bench import run as bench
from truewheel.bench.child import Run, Runner
from truewheel.bench.install import Installed
from truewheel.bench.metrics import make_plan
from truewheel.bench.result import Cost, Limits, ModelFacts
from truewheel.bench.subjects import Asked
from truewheel.console import Console
from truewheel.errors import CheckError
from truewheel.inference.environment import Environment, InstallError
from truewheel.inference.models import Model

PLAN = make_plan([128], [64], [0], 0, 64, 1)
COST = Cost(weights=1000, cache=0, operations=2000, attention=0, integer=True)
LIMITS = Limits(threads=2, read=1e6, int8=1e9, int8_kernel="avx2", f32=1e9, f32_kernel="fma")
SPEEDS = {"a": (100.0, 10.0), "b": (200.0, 10.05), "slow": (50.0, 5.0)}


def asked(project):
    return Asked(f"{project}.whl", "wheel", project, "1.0", Path(f"{project}-1.0-py3-none-any.whl"), "cores", None)


@pytest.fixture
def stage(monkeypatch):
    """Install nothing and answer for every child; return the labels in the order of the runs."""
    order = []

    @contextlib.contextmanager
    def open_subject(one, settings):
        if one.project == "missing":
            raise InstallError("pip cannot install it")
        place = Path(one.project)
        yield Installed(Runner(Environment(place, place, place), None, settings), 1000 * len(one.project), 0)

    def run_child(runner, _model, plan, _prompt, *, cut=None, **_):
        name = runner.environment.python.name
        order.append((name, "try" if cut else "run"))
        died = name == "dies" or (name == "later" and len(order) > 8)
        prefill, decode = SPEEDS.get(name, (1.0, 1.0))
        drift = 0.99 ** len(order)
        measured = {
            item.id: [
                {
                    "seconds": item.tokens / ((prefill if item.kind == "prefill" else decode) * drift),
                    "count": item.tokens,
                }
            ]
            for item in plan.work
        }
        failure = "after load: segmentation fault" if died else ""
        return Run(measured, {}, "1.0", {"n_threads": 2}, (), 0.5, 1.0, 10_000, "cut" if cut else "", 0, failure)

    facts = ModelFacts(
        name="m", architecture="llama", quantization="Q4_0", parameters=1, size=1, synthetic=False, cost=COST
    )
    monkeypatch.setattr(bench, "open_subject", open_subject)
    monkeypatch.setattr(bench, "run_child", run_child)
    monkeypatch.setattr(bench, "model_facts", lambda _: facts)
    monkeypatch.setattr(Asked, "engine", property(lambda _: _Engine()))
    return order


class _Engine:
    driver, mends = "llama_cpp", ""


def measure(*projects, rounds=2):
    model = Model("m", Path("m.gguf"), "Once", "", vocabulary_round_trips=False)
    method = bench.Method(PLAN, rounds)
    return bench.run_benchmark(
        [asked(each) for each in projects], model, method, make_host(), Console(quiet=True), ((LIMITS,), "")
    )


def figures(benchmark, label):
    subject = next(each for each in benchmark.subjects if each.label.startswith(label))
    return {figure.key: figure for figure in subject.figures}


def test_runs_go_there_and_back_with_the_reference_twice(stage):
    measure("a", "b")
    assert [name for name, kind in stage if kind == "try"] == ["a", "b"]
    assert [name for name, kind in stage if kind == "run"] == ["a", "a", "b", "b", "a", "a"] * 2


@pytest.mark.usefixtures("stage")
def test_a_drift_is_no_difference():
    benchmark = measure("a", "b")
    assert all(floor.quiet and floor.floor < 1e-9 for floor in benchmark.floors)
    found = figures(benchmark, "b")
    assert found["pp128"].ratio.median == pytest.approx(2.0)
    assert found["pp128"].verdict == "faster"
    assert found["tg64"].ratio.median == pytest.approx(1.005)


@pytest.mark.usefixtures("stage")
def test_every_speed_has_its_share_of_the_limit():
    found = figures(measure("a", "b"), "a")
    assert found["tg64"].limit == "read"
    assert found["tg64"].share == pytest.approx(found["tg64"].value.median * 1000 / 1e6)
    assert found["pp128"].limit == "int8"
    assert found["load"].share is None


@pytest.mark.usefixtures("stage")
def test_sizes_are_compared_without_noise():
    found = figures(measure("a", "slow"), "slow")
    assert found["wheel"].ratio.median == 0.25
    assert found["wheel"].verdict == "larger"
    assert found["installed"].reason == "it was installed already"


def test_what_cannot_be_installed_or_dies_is_a_row_with_its_reason(stage):
    benchmark = measure("missing", "dies", "a", "b")
    assert benchmark.reference.startswith("a ")
    reasons = {subject.label.split()[0]: subject.failure for subject in benchmark.subjects}
    assert reasons == {
        "missing": "pip cannot install it", "dies": "after load: segmentation fault", "a": "", "b": "",
    }  # fmt: skip
    assert figures(benchmark, "dies")["pp128"].reason == "after load: segmentation fault"
    assert "dies" not in [name for name, kind in stage if kind == "run"]


def test_who_dies_on_the_way_is_not_run_again_and_keeps_what_was_seen(stage):
    benchmark = measure("a", "later", rounds=3)
    later = next(each for each in benchmark.subjects if each.label.startswith("later"))
    assert later.failure.startswith("in run 3")
    assert [name for name, kind in stage if kind == "run"].count("later") == 3
    assert figures(benchmark, "later")["pp128"].value is not None


@pytest.mark.usefixtures("stage")
def test_nothing_that_runs_is_an_error():
    with pytest.raises(CheckError, match="nothing can be measured: missing"):
        measure("missing", "dies")
