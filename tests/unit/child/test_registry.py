"""How an engine is found: by its project in the table, or by its recipe, with an adapter of ours or of its own."""

import shutil
from pathlib import Path

import pytest

from truewheel.child.registry import engine_for, engine_of, known_engines
from truewheel.config import load
from truewheel.config.load import load_recipe
from truewheel.errors import LoadError

ABACUS = Path(__file__).parents[2] / "data" / "abacus"


@pytest.fixture
def recipe(tmp_path):
    return Path(shutil.copytree(ABACUS, tmp_path / "recipes" / "abacus")) / "recipe.toml"


def test_an_adapter_beside_the_recipe_is_taken(recipe):
    entry = engine_of(load_recipe(str(recipe)))
    assert (entry.name, entry.import_name, entry.shape) == ("abacus", "abacus", "other")
    assert entry.adapter == recipe.with_name("abacus.py")


def test_a_recipe_may_name_one_of_ours(recipe):
    recipe.write_text(recipe.read_text().replace('driver = "abacus"', 'driver = "llama_rs"'))
    entry = engine_of(load_recipe(str(recipe)))
    assert entry.adapter.parts[-3:] == ("child", "engines", "llama_rs.py")
    recipe.with_name("llama_rs.py").write_text("its own")
    assert engine_of(load_recipe(str(recipe))).adapter == recipe.with_name("llama_rs.py")


def test_an_adapter_that_is_not_there_is_named(recipe):
    recipe.with_name("abacus.py").unlink()
    with pytest.raises(LoadError, match="there is no adapter 'abacus'") as caught:
        engine_of(load_recipe(str(recipe)))
    assert "put abacus.py beside the recipe" in caught.value.hint
    assert "llama_cpp" in caught.value.hint


def test_what_a_recipe_builds_is_known_by_its_project(recipe, monkeypatch):
    with pytest.raises(LoadError):
        engine_for("abacus")
    assert "abacus" not in known_engines()
    monkeypatch.setattr(load, "data_root", lambda: recipe.parents[2])
    assert engine_for("abacus") == known_engines()["abacus"] == engine_of(load_recipe("abacus"))


@pytest.mark.parametrize("name", ["llama-cpp-python", "llama-rs"])
def test_table_and_recipe_say_the_same(name):
    table = known_engines()[name]
    assert table == engine_for(name)
    assert table.shape == "llama.cpp"
    assert table.adapter.is_file()
