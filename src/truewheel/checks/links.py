"""Which library needs which in a wheel, and what the systems provide that its tags promise."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from truewheel.binary.elf import ElfFacts
from truewheel.decoding import load_table
from truewheel.examine.facts import Facts
from truewheel.wheel.installed import place_of

X86_64 = "EM_X86_64"
"""What ELF calls the machine of which most is known."""

_TAG = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_(.+)")
_LEGACY = {"manylinux1_": "manylinux_2_5_", "manylinux2010_": "manylinux_2_12_", "manylinux2014_": "manylinux_2_17_"}


class MachineNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the parts of a system are called on one kind of machine."""

    tags: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()
    musl: tuple[str, ...] = ()


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do about a library that is missing, by how its name begins."""

    names: tuple[str, ...]
    text: str


class SystemLibraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`system_libraries.toml`, where each field is explained."""

    glibc: frozenset[str]
    manylinux: frozenset[str]
    musllinux: frozenset[str]
    later: dict[str, tuple[int, int]]
    symbols: dict[str, frozenset[str]]
    machines: dict[str, MachineNames]
    hints: tuple[Hint, ...]

    def names_of(self, machine: str) -> MachineNames:
        """Return what the parts of a system are called on a machine."""
        return self.machines.get(machine, MachineNames())


class Promise(NamedTuple):
    """What a platform tag promises: `manylinux` or `musllinux`, of which version, on which machine."""

    family: str
    version: tuple[int, int]
    architecture: str


class Links:
    """Who needs whom in a wheel.

    Args:
        facts: the wheel.

    Attributes:
        required: names of the projects that are always installed with it.
        folders: folders and files that it has in site-packages.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.required = _required(facts)
        self.folders = {place_of(path).path.partition("/")[0] for path in facts.wheel.entries}
        self._floors: dict[tuple[str, str], tuple[int, int]] = {}
        for promise in filter(None, map(promise_of, facts.wheel.name.platforms)):
            key = (promise.family, promise.architecture)
            self._floors[key] = min(promise.version, self._floors.get(key, promise.version))
        self._unread = {PurePosixPath(path).name for path in facts.damaged if path not in facts.libraries}
        self._providers: dict[tuple[str, str], list[str]] = {}
        for path, elf in facts.libraries.items():
            for name in list_names(path, elf):
                self._providers.setdefault((elf.machine, name), []).append(path)

    def has(self, machine: str, name: str) -> bool:
        """Tell whether the wheel brings a library of a name for a machine."""
        return name in self._unread or (machine, name) in self._providers

    def floor(self, machine: str, family: str = "manylinux") -> tuple[int, int] | None:
        """Return the oldest C library that the tags promise to run on, if they promise any."""
        architectures = system_libraries().names_of(machine).tags
        found = (self._floors.get((family, architecture)) for architecture in architectures)
        return min(filter(None, found), default=None)

    def reach(self, paths: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return what loading some libraries loads: paths in the wheel, and names that others provide."""
        inside, outside, waiting = set(paths), set[str](), list(paths)
        asked: set[tuple[str, str]] = set()
        while waiting:
            elf = self.facts.libraries[waiting.pop()]
            for name in set(elf.needed):
                if (elf.machine, name) in asked:
                    continue
                asked.add((elf.machine, name))
                found = self._providers.get((elf.machine, name))
                if found is None:
                    outside.add(name)
                    continue
                waiting += [path for path in found if path not in inside]
                inside.update(found)
        return inside, outside

    def in_process(self) -> list[str]:
        """Return the libraries that Python may load: those that nobody needs, and what these need; no programs."""
        needed = {(elf.machine, name) for elf in self.facts.libraries.values() for name in elf.needed}
        roots = [
            path
            for path, elf in self.facts.libraries.items()
            if ".so" in PurePosixPath(path).name
            and not any((elf.machine, name) in needed for name in list_names(path, elf))
        ]
        inside, _ = self.reach(roots)
        return sorted(inside)


def _required(facts: Facts) -> list[str]:
    """Return the names of the projects that are always installed with the wheel."""
    lines = (line.partition(";") for line in facts.wheel.metadata.get_all("Requires-Dist"))
    found = (re.match(r"[\w.-]+", line.strip()) for line, _, marker in lines if "extra" not in marker)
    return [project[0] for project in found if project]


def list_names(path: str, elf: ElfFacts) -> set[str]:
    """Return the names by which the loader knows a library."""
    return {PurePosixPath(path).name, elf.soname} - {""}


def promise_of(platform: str) -> Promise | None:
    """Return what a platform tag promises; None when it promises nothing of the C library."""
    for legacy, name in _LEGACY.items():
        platform = platform.replace(legacy, name) if platform.startswith(legacy) else platform
    found = _TAG.fullmatch(platform)
    return Promise(found[1], (int(found[2]), int(found[3])), found[4]) if found else None


@functools.cache
def system_libraries() -> SystemLibraries:
    """Return what machines have, as the table tells."""
    return load_table("truewheel.checks", "system_libraries.toml", SystemLibraries)
