"""One noun, one meaning: no two public classes of the package have the same name."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "truewheel"
LOADED = {"Engine"}
"""What modules that run in children are loaded by: each engine has one of its own under the same name."""


def shared_names(root, loaded):
    """Return the names that several modules give to a class: the modules by name."""
    found = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in loaded:
                found[node.name].append(path.relative_to(root).as_posix())
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_a_class_has_a_name_of_its_own():
    assert shared_names(SOURCE, LOADED) == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("class Plan: ...", {"Plan": ["measure/run.py", "plan/plan.py"]}),
        ("class _Plan: ...", {}),
        ("class Engine: ...", {}),
        ("from plan import Plan", {}),
    ],
)
def test_a_name_that_two_rooms_use_is_seen(tmp_path, line, found):
    for room, module in (("plan", "plan.py"), ("measure", "run.py")):
        (tmp_path / room).mkdir()
        (tmp_path / room / module).write_text(
            f"{line}\n" if room == "measure" else "class Plan: ...\nclass Engine: ...\n"
        )
    assert shared_names(tmp_path, LOADED) == found
