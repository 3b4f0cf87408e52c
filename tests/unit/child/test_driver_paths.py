"""Programs of the child find truewheel's files by their place in the package, which no import checks."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "truewheel"


def named_files(text):
    """Return the files that `os.path.join(_ROOM, …)` names."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Name)
            and node.args[0].id == "_ROOM"
        ):
            yield "/".join(each.value for each in node.args[1:])


def test_each_file_that_a_program_names_is_there():
    named = [name for path in SOURCE.glob("child/*/*.py") for name in named_files(path.read_text(encoding="utf-8"))]
    assert len(named) >= 3
    assert [name for name in named if not (SOURCE / name).is_file()] == []


@pytest.mark.parametrize("parts", ['"repair", "preset_template.py"', '"nowhere.py"'])
def test_a_file_that_is_not_there_is_seen(parts):
    (name,) = named_files(f"import os\nos.path.join(_ROOM, {parts})\n")
    assert not (SOURCE / name).exists()
