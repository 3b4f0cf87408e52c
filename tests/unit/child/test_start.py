"""Confined engines start in one place, and alike."""

import ast
from pathlib import Path

import msgspec
import pytest

import truewheel
from truewheel.child.installed import Environment
from truewheel.child.limits import ANSWER, EMULATED, MEASURE, TELL
from truewheel.child.request import TellRequest, place
from truewheel.child.start import MAIN, PYTHON_OPTIONS, Confined

SOURCE = Path(truewheel.__file__).parent


def starts(text):
    """Tell whether a module starts a Python without site-packages, or names the main program of the child."""
    words = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    return bool(words & {"-S", "main.py"})


def test_one_module_starts_confined_engines():
    modules = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if starts(path.read_text())}
    assert modules == {"child/start.py"}


@pytest.mark.parametrize(
    "line", ['process.run([python, "-I", "-S", program])', 'process.run([python, FOLDER / "main.py"])']
)
def test_another_one_would_be_seen(line):
    assert starts(f"def start():\n    {line}\n")


@pytest.mark.parametrize("limits", [ANSWER, EMULATED, MEASURE, TELL])
def test_a_request_bounds_what_a_child_may_use(tmp_path, limits):
    environment = Environment(tmp_path / "python", tmp_path, tmp_path / "site", tmp_path)
    model = tmp_path / "model"
    model.write_bytes(bytes(1000))
    request = TellRequest(program="tell", library="x.so", **place(environment, tmp_path, limits, model))
    told = msgspec.json.decode(msgspec.json.encode(request))
    assert (told["cpu-seconds"], told["file-bytes"]) == (limits.cpu_seconds, limits.file_bytes)
    assert told["memory-bytes"] == limits.memory_bytes + limits.per_model * 1000
    assert told["required"] == ["filter", "files"]
    assert told["writable"] == [str(tmp_path)]
    assert told["readable"] == [str(tmp_path)]
    assert not told["listening"] | told["start-hooks"]


def test_no_variable_wins_over_the_fixed_ones(tmp_path):
    confined = Confined(Environment(tmp_path / "python", tmp_path, tmp_path / "site", tmp_path), tmp_path, TELL)
    assert confined.command()[1:] == [*PYTHON_OPTIONS, str(MAIN)]
    found = confined.variables({"PATH": "/evil", "HOME": "/evil", "TMPDIR": "/evil", "LC_ALL": "x", "MINE": "1"})
    fixed = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"}
    assert found == {**fixed, "MINE": "1"}
