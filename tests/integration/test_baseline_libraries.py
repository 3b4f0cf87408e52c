"""A distribution's own libraries run on every x86-64 CPU; an account that says otherwise is wrong."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from truewheel.examine.child import read_library
from truewheel.examine.facts import facts_of
from truewheel.examine.isa_account import account_of
from truewheel.examine.isa_rules import needles
from truewheel.examine.reading import WheelFacts
from truewheel.wheel.archive import Entry, WheelFile, kind_of
from truewheel.wheel.name import parse_wheel_name

FOLDER = Path("/usr/lib/x86_64-linux-gnu")
LISTS = Path("/var/lib/dpkg/info")
MOST = 60
LIMIT = 5 << 20
NAME = "libraries-1-py3-none-linux_x86_64.whl"


def owned() -> set[str]:
    """Return the libraries of the folder that packages own, by name; packages of before the merge say /lib."""
    names = set()
    for path in LISTS.glob("*.list"):
        for line in path.read_text(errors="replace").splitlines():
            if line.endswith(".so") or ".so." in line:
                folder, _, name = line.rpartition("/")
                if folder in (str(FOLDER), str(FOLDER).removeprefix("/usr")):
                    names.add(name)
    return names


def chosen() -> list[Path]:
    """Return at most `MOST` libraries, sorted by name and spread evenly."""
    if sys.platform != "linux" or shutil.which("dpkg") is None or not FOLDER.is_dir():
        return []
    known = owned()
    files = [path for path in sorted(FOLDER.iterdir()) if path.name in known and path.is_file()]
    files = [path for path in files if not path.is_symlink() and path.stat().st_size < LIMIT]
    files = [path for path in files if kind_of(path.read_bytes()) == "elf"]
    count = min(MOST, len(files))
    return [files[number * len(files) // count] for number in range(count)]


LIBRARIES = chosen()


def account(path: Path):
    """Return what the check would say of a library that is alone in a wheel for every CPU."""
    data = path.read_bytes()
    facts = read_library(data, needles())
    assert facts.damage == ""
    assert facts.code is not None
    entries = {path.name: Entry(len(data), "0" * 64, executable=True, kind="elf")}
    wheel = WheelFile(
        path=Path(NAME),
        name=parse_wheel_name(NAME),
        sha256="0" * 64,
        size=len(data),
        entries=entries,
        dist_info="libraries-1.dist-info",
        texts={},
    )
    read = WheelFacts(wheel=wheel, libraries={path.name: facts}, sources=None, policy=None, locked=True)
    return account_of(facts_of(read)).libraries[path.name], facts.code


@pytest.mark.skipif(not LIBRARIES, reason="this is no Debian or Ubuntu machine for x86-64")
@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.name)
def test_a_library_of_the_distribution_needs_no_newer_cpu(path):
    library, code = account(path)
    assert library.functions > 0
    shown = [
        (example.feature, example.function, hex(example.address), example.text)
        for example in code.examples
        if example.standing == "open" and example.feature in library.needs
    ]
    assert shown == []
    assert (library.needs, library.level) == ((), "x86-64")
