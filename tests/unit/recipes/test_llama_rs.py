"""The sources of the Rust engine: the recipes' patches fit, and no module imports one that imports it."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from truewheel.config.load import load_recipe
from truewheel.fetch.source import fetch_source, read_changes, tree_hash
from truewheel.plan.make import planned_source

FOLDER = Path(__file__).parents[3] / "recipes" / "llama-rs"
CRATE = FOLDER / "crate"
PYTHON = CRATE / "python" / "llama_rs"


def python_imports(folder):
    """Return for each module of a package the modules of it that it names, those for annotations counted."""
    found = {}
    for path in folder.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        relative = [node for node in nodes if node.level == 1]
        found[path.stem] = {node.module or alias.name for node in relative for alias in node.names}
    return found


def rust_imports(folder):
    """Return for each module of a crate the modules that it and its inner ones name."""
    found = {}
    for path in folder.rglob("*.rs"):
        text = path.read_text()
        named = set(re.findall(r"\bcrate::(\w+)", text))
        for group in re.findall(r"\bcrate::\{([^}]*)\}", text):
            named |= {name.split("::")[0].strip() for name in group.split(",")}
        module = path.relative_to(folder).parts[0].removesuffix(".rs")
        found.setdefault(module, set()).update(named - {module})
    return found


def circles(imports):
    """Return the modules that are reached from themselves."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            for name in imports.get(waiting.pop(), ()):
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return seen

    return sorted(name for name in imports if name in reached(name))


@pytest.mark.parametrize("crate", ["logic", "core", "extension"])
def test_the_modules_of_a_crate_make_no_circle(crate):
    imports = rust_imports(CRATE / crate / "src")
    assert len(imports) > 3
    assert circles(imports) == []


def test_the_modules_of_the_package_make_no_circle():
    imports = python_imports(PYTHON)
    assert imports["chat"] >= {"model"}
    assert circles(imports) == []


def test_circles_are_found(tmp_path):
    (tmp_path / "one.rs").write_text("use crate::{two::Two, three};")
    (tmp_path / "two.rs").write_text("use crate::one::One;")
    (tmp_path / "three.rs").write_text("mod inner;")
    assert circles(rust_imports(tmp_path)) == ["one", "two"]
    (tmp_path / "one.py").write_text("if TYPE_CHECKING:\n    from .two import Two\n")
    (tmp_path / "two.py").write_text("def f():\n    from .one import One\n")
    (tmp_path / "three.py").write_text("from .one import One\n")
    assert circles(python_imports(tmp_path)) == ["one", "two"]


@pytest.mark.parametrize("recipe", ["recipe.toml", "bundled.toml"])
def test_the_patches_of_a_recipe_fit(tmp_path, recipe):
    loaded = load_recipe(str(FOLDER / recipe))
    changes = read_changes(loaded)
    source = planned_source(loaded.recipe, changes, tree_hash(loaded))
    tree = fetch_source(loaded, source, changes, tmp_path, "").path
    patched = "[patch.crates-io]" not in (tree / "Cargo.toml").read_text()
    assert patched == (recipe == "bundled.toml")
    shutil.rmtree(tree)
