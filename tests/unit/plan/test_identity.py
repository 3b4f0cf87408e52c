"""Which code makes a new wheel, and which a new proof of it: nothing that writes bytes is forgotten."""

import ast
import shutil
from pathlib import Path

import pytest

from truewheel.plan import identity
from truewheel.plan.identity import SHOWS, WRITERS, builder_hash, prover_hash

SOURCE = Path(identity.__file__).parents[1]
SPEAKS = ("errors.py", "text.py", "console.py", "stages.py")
"""What writes to a terminal alone."""
WAITS = ("allowance.py", "guardian.py", "locks.py", "scratch.py", "signals.py")
"""What decides how much may be done, whose turn it is, where a file lies for a while, and what a run leaves behind."""
PLANNED = ("config/", "machine/doctor.py", "binary/elf.py", "binary/image.py", "corridor/prepare.py")
"""What comes out of these stands in the plan as values, which its digest covers."""


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "truewheel":
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def reached(path, seen):
    """Add a file and everything that it imports, and what that imports, to `seen`; not through what is planned."""
    name = path.relative_to(SOURCE).as_posix()
    if name in seen:
        return
    seen.add(name)
    if name.startswith((*SPEAKS, *WAITS, *PLANNED)):
        return
    for module in imported(path):
        file = SOURCE.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if file.is_file():
            reached(file, seen)


def test_all_that_writes_bytes_is_hashed():
    seen = set()
    for room in ("fetch", "build", "repair"):
        for path in (SOURCE / room).glob("*.py"):
            reached(path, seen)
    reached(SOURCE / "corridor" / "obtain.py", seen)
    assert not [name for name in sorted(seen) if not name.startswith((*WRITERS, *SPEAKS, *WAITS, *PLANNED))]


@pytest.mark.parametrize("names", [WRITERS, SHOWS])
def test_each_beginning_is_of_a_file_that_is_there(names):
    files = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*") if path.is_file()]
    assert not [name for name in names if name != "shared/" and not any(file.startswith(name) for file in files)]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package, and both hashes of it."""
    root = tmp_path_factory.mktemp("copy") / "truewheel"
    shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "__file__", str(root / "plan" / "identity.py"))
        yield root, (builder_hash.__wrapped__(), prover_hash.__wrapped__())


@pytest.fixture
def copy(package):
    """Append to a file of the copy; return which of the hashes changed."""
    root, before = package

    def change(name):
        path = root / name
        data = path.read_bytes()
        path.write_bytes(data + b"\n# a word more\n")
        after = builder_hash.__wrapped__(), prover_hash.__wrapped__()
        path.write_bytes(data)
        return tuple(old != new for old, new in zip(before, after, strict=True))

    return change


@pytest.mark.parametrize(
    "name",
    [
        "repair/guard.py",
        "build/evidence.py",
        "config/dialects.toml",
        "carried/cpuid.c",
        "cpu/features.toml",
        "wheel/writer.py",
    ],
)
def test_what_writes_makes_a_new_wheel(copy, name):
    assert copy(name) == (True, True)


@pytest.mark.parametrize("name", ["checks/size.py", "checks/policy.toml", "examine/run.py", "binary/decode.py"])
def test_a_word_in_a_check_makes_a_new_proof_of_the_same_wheel(copy, name):
    assert copy(name) == (False, True)


@pytest.mark.parametrize("name", ["pages/wheel_words.py", "cli/plan_.py", "measure/run.py"])
def test_what_only_shows_makes_neither(copy, name):
    assert copy(name) == (False, False)
