"""Files by which a wheel, once installed, would be what runs instead of Python, or whenever Python starts."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from truewheel.decoding import load_table
from truewheel.wheel.archive import WheelFile
from truewheel.wheel.entry_points import EntryPoint
from truewheel.wheel.installed import DATA, Destination, fold, place_of
from truewheel.wheel.modules import find_module_name

_PROGRAMS = ("console_scripts", "gui_scripts")


class Takeover(NamedTuple):
    """One file that takes over.

    Attributes:
        kind: `interpreter`, `library` or `startup`: what it replaces, or when it runs.
        member: its name in the archive.
        message: what it does.
    """

    kind: Literal["interpreter", "library", "startup"]
    member: str
    message: str


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """`takeover.toml`, where each field is explained."""

    startup: frozenset[str]
    core: frozenset[str]
    interpreter_programs: tuple[str, ...]
    interpreter_files: tuple[str, ...]
    library_files: tuple[str, ...]


@functools.cache
def _rules() -> _Rules:
    return load_table("truewheel.wheel", "takeover.toml", _Rules)


def find_takeovers(members: Iterable[str]) -> Iterator[Takeover]:
    """Yield the members of a wheel that take over; of modules that run at start-up the first file each."""
    modules: set[str] = set()
    for member in members:
        place = place_of(member)
        yield from _replaces(member, place)
        name = find_module_name(member).partition(".")[0].casefold()
        if name and name not in modules:
            modules.add(name)
            yield from _starts(member, name)


def explain_takeover(wheel: WheelFile) -> str:
    """Return by what a wheel takes over, with the programs that an installer makes; empty for an honest one."""
    for found in find_takeovers(wheel.entries):
        return f"{found.member} {found.message}"
    names = (program.name for program in list_programs(wheel))
    return next((f"its entry point {name!r} is made bin/{name}" for name in names if is_interpreter(name)), "")


def list_programs(wheel: WheelFile) -> list[EntryPoint]:
    """Return the entry points of which an installer makes programs; none where they cannot be read."""
    return [entry for entry in wheel.entry_points.found if entry.group in _PROGRAMS]


def is_interpreter(program: str) -> bool:
    """Tell whether a program's name is one that starts Python, or that makes an environment the current one."""
    return _fits(_rules().interpreter_programs, fold(program))


def _replaces(member: str, place: Destination) -> Iterator[Takeover]:
    name = fold(place.path)
    if _is_of_interpreter(place, name):
        yield Takeover("interpreter", member, f"is installed as {place.shown}")
    elif place.root == "prefix" and (_fits(_rules().library_files, name) or _is_standard(name)):
        yield Takeover("library", member, f"is installed as {place.shown}")
    elif place.root == "site" and f"{DATA}/data/" in member and member != place.path:
        yield Takeover("library", member, f"reaches past the installer into {place.shown}")


def _is_of_interpreter(place: Destination, name: str) -> bool:
    if place.root == "bin":
        return is_interpreter(place.path)
    return _fits(_rules().interpreter_files, name) if place.root == "prefix" else name == "pyvenv.cfg"


def _starts(member: str, name: str) -> Iterator[Takeover]:
    if name in _rules().startup:
        yield Takeover("startup", member, f"Python imports {name} whenever it starts")
    elif name in _rules().core:
        yield Takeover("startup", member, f"{name} is a module that every start of Python needs")


def _is_standard(name: str) -> bool:
    """Tell whether a path below the environment is one of the standard library where that is simply `Lib`."""
    folder, _, rest = name.partition("/")
    return folder == "lib" and rest.partition("/")[0].removesuffix(".py") in sys.stdlib_module_names


def _fits(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
