"""A new engine is a recipe and one adapter file: built, proven and measured, and no file of truewheel knows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import truewheel
from truewheel.child.logits import run_logits
from truewheel.child.measure import open_session, run_child
from truewheel.child.registry import engine_of, known_engines
from truewheel.config import load
from truewheel.config.load import load_recipe
from truewheel.measure.install import open_subject
from truewheel.measure.metrics import make_workload
from truewheel.measure.subjects import parse_subject
from truewheel.models.models import find_model
from truewheel.wheel.archive import read_wheel

ABACUS = Path(__file__).parents[1] / "data" / "abacus"
ABSENT = {"system-info", "stream", "embed", "state"}
PLAN = make_workload([16], [4], [0, 8], 6, 8, 1)


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A copy of the engine that a test may break; returns its recipe."""
    return Path(shutil.copytree(ABACUS, tmp_path / "recipes" / "abacus")) / "recipe.toml"


@pytest.fixture
def wheel(truewheel, recipe) -> Path:
    result = truewheel("build", str(recipe), "--json")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    states = {step["name"]: step["state"] for step in answer["report"]["smoke"]["steps"]}
    assert {name for name, state in states.items() if state == "absent"} == ABSENT
    assert {state for name, state in states.items() if name not in ABSENT} == {"passed"}
    assert answer["report"]["verdict"] == "passed"
    absent = [finding["message"] for finding in answer["report"]["findings"] if finding["code"] == "SMOKE-ABSENT"]
    assert "no state: a book has no bookmarks" in absent
    assert len(absent) == len(ABSENT)
    return Path(answer["path"])


def test_it_is_built_proven_compared_and_measured(wheel, recipe, monkeypatch):
    engine, model = engine_of(load_recipe(str(recipe))), find_model("tiny")
    record, logits = run_logits(read_wheel(wheel), model, engine, threads=1)
    assert record.failure == ""
    assert logits.shape == (record.positions, 256)

    # As if its folder lay beside those of the other recipes.
    monkeypatch.setattr(load, "data_root", lambda: recipe.parents[2])
    assert known_engines()["abacus"].adapter == recipe.with_name("abacus.py")
    asked = parse_subject(f"{wheel}@defaults")
    with open_subject(asked, {"poll": 1}) as installed:
        run = run_child(installed.runner, model.path, PLAN, "Once upon", cut=("Once upon a time", 8))
        assert (run.failure, run.text, run.skipped) == ("", "Once upo", {})
        assert set(run.measured) == {item.id for item in PLAN.work}
        assert run.notes == ("it reads letters", "has no way to set poll")
        with open_session(installed.runner, model.path, PLAN, "Once upon") as session:
            assert session.measure("tg4@8")["count"] == 4
            assert session.finish().failure == ""


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("raise ValueError('no such letter')", "SMOKE-FAILED", "at prefill: ValueError: no such letter"),
        ("import os; os.fork()", "SMOKE-ESCAPE", "at prefill"),
        ("raise base.Absent('it reads nothing')", "SMOKE-FAILED", "generates: it reads nothing"),
    ],
)
def test_an_adapter_that_fails_escapes_or_can_nothing_refuses_the_wheel(truewheel, recipe, line, code, words):
    adapter = recipe.with_name("abacus.py")
    adapter.write_text(adapter.read_text().replace("self.engine.read_on(tokens)", line))
    result = truewheel("build", str(recipe))
    assert result.returncode == 7, result.stderr
    assert code in result.stderr
    assert words in result.stderr


def test_a_recipe_without_its_adapter_is_refused_before_anything_is_built(truewheel, recipe):
    recipe.with_name("abacus.py").unlink()
    result = truewheel("build", str(recipe))
    assert (result.returncode, "compiling" in result.stderr) == (2, False)
    assert "there is no adapter 'abacus'" in result.stderr


def test_no_file_of_truewheel_knows_it():
    sources = (path for path in Path(truewheel.__file__).parent.rglob("*") if path.is_file())
    assert not [path for path in sources if b"abacus" in path.read_bytes()]
