"""Strangers' bytes come in by one door: files.py opens them, decoding.py makes values of them."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "truewheel"
DOORS = {"files.py", "decoding.py"}
ELSEWHERE = ("carried/", "child/programs/", "child/engines/", "measure/limits_program.py")
"""What runs in children and in wheels, where truewheel is not."""
DECODERS = {
    "msgspec.json.decode",
    "msgspec.toml.decode",
    "msgspec.msgpack.decode",
    "json.loads",
    "json.load",
    "tomllib.loads",
    "tomllib.load",
}
NARROW = {"DecodeError", "ValidationError", "MsgspecError", "JSONDecodeError", "TOMLDecodeError"}
"""What the decoders say that they raise; they raise more than that."""
OWN = {
    # What the kernel says of processes; the door itself stands on them.
    "guardian.py: open(f'/proc/{number}/{name}', 'rb')",
    "locks.py: Path(path).read_text(encoding='utf-8', errors='backslashreplace')",
    # A child's lines are read there, without following links.
    "child/events.py: json.loads",
    "child/events.py: msgspec.json.decode",
    "child/events.py: except MsgspecError",
    "child/ending.py: except ValidationError",
    "child/logits.py: except ValidationError",
    "child/emulated_run.py: except ValidationError",
}


def _reads(call):
    """Return whether a call opens or reads a file by its path."""
    function = call.func
    if isinstance(function, ast.Name) and function.id == "open":
        return True
    if not isinstance(function, ast.Attribute) or "resources.files(" in ast.unparse(function.value):
        return False
    if function.attr in ("read_text", "read_bytes"):
        return True
    modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    bare = not call.args and not call.keywords
    return function.attr == "open" and (bare or any(set(mode) <= set("rbt") for mode in modes[:1]))


def passed_by(root):
    """Return what does not go through the door: `file: what`."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if relative in DOORS or relative.startswith(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in DECODERS:
                found.append(f"{relative}: {ast.unparse(node.func)}")
            elif isinstance(node, ast.Call) and _reads(node):
                found.append(f"{relative}: {ast.unparse(node)}")
            elif isinstance(node, ast.ExceptHandler) and node.type is not None:
                names = {each.attr for each in ast.walk(node.type) if isinstance(each, ast.Attribute)}
                names |= {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)}
                found += [f"{relative}: except {name}" for name in sorted(names & NARROW)]
    return found


def test_all_that_is_read_goes_through_the_door():
    assert set(passed_by(SOURCE)) - OWN == set()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("value = msgspec.json.decode(path.read_bytes(), type=int)", 2),
        ("value = msgspec.toml.decode(text)", 1),
        ("value = json.loads(text)", 1),
        ("text = path.read_text()", 1),
        ("with path.open() as stream: pass", 1),
        ("with path.open('rb') as stream: pass", 1),
        ("with open(path) as stream: pass", 1),
        ("try: pass\nexcept msgspec.DecodeError: pass", 1),
        ("try: pass\nexcept (OSError, msgspec.ValidationError): pass", 1),
        ("value = read_json(path, int)", 0),
        ("data = resources.files('truewheel.cpu').joinpath('a.toml').read_bytes()", 0),
        ("with path.open('ab') as sink: pass", 0),
        ("try: pass\nexcept UnreadableError: pass", 0),
    ],
)
def test_a_way_around_the_door_is_seen(tmp_path, line, found):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "house.py").write_text(f"{line}\n")
    assert len(passed_by(tmp_path)) == found
