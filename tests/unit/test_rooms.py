"""Imports point down: each room may import those below it, and no other."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "truewheel"
ROOMS = [
    "errors",
    "text",
    "streams",
    "allowance",
    "console",
    "locks",
    "signals",
    "guardian",
    "scratch",
    "ends",
    "process",
    "stages",
    "files",
    "decoding",
    "kept",
    "carried",
    "cpu",
    "config",
    "targets",
    "wheel",
    "binary",
    "machine",
    "models",
    "plan",
    "fetch",
    "build",
    "repair",
    "child",
    "examine",
    "checks",
    "report",
    "compare",
    "measure",
    "tune",
    "pick",
    "pages",
    "store",
    "corridor",
    "cli",
]
"""From the ground up. A room is a file or a folder of the package; the package itself holds the version alone."""

DOORS = {
    # `from truewheel.checks import check_wheel` is where users look for the call; it is looked up when it is asked for.
    "checks/__init__.py -> corridor.verify",
    # A process of its own, which gives up what it does not need; programs of children import nothing of other rooms.
    "models/gguf_child.py -> child.programs",
}


def imported(path):
    """Yield the modules of truewheel that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "truewheel":
            inner = node.module.removeprefix("truewheel").strip(".")
            yield from [inner] if inner else [each.name for each in node.names if not each.name.startswith("_")]
        elif isinstance(node, ast.Import):
            yield from (each.name[10:] for each in node.names if each.name.startswith("truewheel."))


def climbs(root):
    """Return who imports whom from above: `room/file.py -> room`."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        room = relative.parts[0].removesuffix(".py")
        if room in {"__init__", "__main__"}:
            continue
        found += [
            f"{relative} -> {module}"
            for module in imported(path)
            if ROOMS.index(module.split(".")[0]) > ROOMS.index(room)
        ]
    return found


def test_each_room_is_in_the_list():
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix in {".py", ""}}
    assert rooms - {"__init__", "__main__", "__pycache__", "shared"} == set(ROOMS)


def test_imports_point_down():
    assert set(climbs(SOURCE)) == DOORS


@pytest.mark.parametrize(
    "line", ["from truewheel.cli import main", "import truewheel.cli", "from truewheel import cli"]
)
def test_an_import_that_points_up_is_seen(tmp_path, line):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "host.py").write_text(f"def late():\n    {line}\n")
    assert climbs(tmp_path) == ["cpu/host.py -> cli"]
