"""What comes of it when the wheel is installed: which files, over which others, and what runs without being asked?

An installer is not told to leave anything out. So whoever installs a wheel gets all of this, before any code of it
is called.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import resources

import msgspec

from truewheel.checks.finding import Finding
from truewheel.checks.python_tags import show_value
from truewheel.examine.facts import Facts
from truewheel.wheel.entry_points import EntryPoint
from truewheel.wheel.installed import DATA, InstalledTree, fold, is_pth
from truewheel.wheel.modules import find_module_name
from truewheel.wheel.takeover import find_takeovers, is_interpreter, list_programs

CODES = {
    "INSTALL-STRAY": "A file of a .data folder lies in none of its known parts, or the folder is not called as the "
    "wheel is: pip refuses it, or installs what other installers leave out.",
    "INSTALL-TWICE": "Two files of the wheel are installed in one place: the one that was looked at may not be the one "
    "that stays.",
    "INSTALL-COLLISION": "Two files are installed under names that some file systems take for one.",
    "INSTALL-METADATA": "The wheel installs into a .dist-info or .egg-info folder from elsewhere: it overwrites its "
    "own METADATA or RECORD, or another project's, or passes for a second project.",
    "INSTALL-WRITTEN": "The wheel brings a file that the installer writes: it tells lies about how it was installed.",
    "INSTALL-INTERPRETER": "The wheel replaces the interpreter of the environment, or what tells it where it is.",
    "INSTALL-LIBRARY": "The wheel writes into Python's own library.",
    "INSTALL-STARTUP": "The wheel brings a module that Python imports by itself whenever it starts.",
    "INSTALL-PTH": "The wheel brings a .pth file, of which every start of Python runs lines or takes paths.",
    "INSTALL-PTH-HIDDEN": "A .pth file fetches, unpacks or starts something at every start of Python.",
    "INSTALL-OWNED": "The wheel writes over another project that installs packages.",
    "INSTALL-STDLIB": "The wheel has a module of the name of one of the standard library: it is never found, or found "
    "instead of that one, as the order of folders will have it.",
    "INSTALL-COMMAND": "The wheel installs a program of the name of one that everybody has. In an environment it is "
    "found first.",
    "INSTALL-COMMAND-COMMON": "The wheel installs a program of the name of one that many machines have.",
    "INSTALL-ENTRY": "An installer would make a program of an entry point whose name leads elsewhere or is no name.",
    "INSTALL-WRAPPER": "A file is called as a program that the installer makes: pip leaves the file out, others may "
    "not.",
}
"""What each code means."""

_ENDINGS = re.compile(r"(\.exe|\.bat|\.cmd|\.py|\.pyw|-script\.pyw?|\.ps1|\.sh)+$")
_ODD_NAME = re.compile(r"[\\/\0-\x1f\x7f]|^\.|^-|^$|^\s|\s$|[. ]$")
_RUNS = re.compile(r"import[ \t]")
_INFO = re.compile(r"[^/]+\.(?:dist|egg)-info(?:/.*)?", re.IGNORECASE)
_MAX_FINDINGS, _MAX_LINES = 20, 200
_OURS = "let the build put it where it belongs, or leave it out"
_THEIRS = "do not install it, unless you know why it does that"


class _Owned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only one project may install."""

    modules: frozenset[str]
    programs: tuple[str, ...]


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """`installed.toml`, where each field is explained."""

    written: frozenset[str]
    commands: frozenset[str]
    common_commands: frozenset[str]
    hides: tuple[str, ...]
    owners: dict[str, _Owned]


@functools.cache
def _rules() -> _Rules:
    text = resources.files("truewheel.checks").joinpath("installed.toml").read_bytes()
    return msgspec.toml.decode(text, type=_Rules)


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what an installer would make of the wheel that nobody expects."""
    tree = InstalledTree(facts.wheel.entries)
    programs = list_programs(facts.wheel)
    parts: tuple[Iterable[Finding], ...] = (
        _stray(facts, tree),
        _twice(tree),
        _metadata(facts, tree),
        _takeovers(facts),
        _files_of_programs(facts, tree),
        _modules(facts, tree),
        _pth(facts),
        _entries(facts, programs),
        _wrappers(tree, programs),
    )
    counts: dict[str, int] = {}
    for finding in itertools.chain.from_iterable(parts):
        counts[finding.code] = counts.get(finding.code, 0) + 1
        if counts[finding.code] <= _MAX_FINDINGS:
            yield finding


def _say(code: str, where: str, message: str, hint: str = _THEIRS) -> Finding:
    return Finding(code=code, where=where, message=message, hint=hint)


def _stray(facts: Facts, tree: InstalledTree) -> Iterator[Finding]:
    own = f"{facts.wheel.dist_info.removesuffix('.dist-info')}{DATA}"
    folders: dict[str, str] = {}
    for member, place in tree.places.items():
        folder = member.partition("/")[0]
        if place.root == "nowhere":
            parts = "it lies in none of purelib, platlib, scripts, headers and data"
            yield _say("INSTALL-STRAY", member, f"has no place to be installed in: {parts}", _OURS)
        elif folder.endswith(DATA) and "/" in member and folder != own:
            folders.setdefault(folder, member)
    for folder, member in folders.items():
        yield _say("INSTALL-STRAY", member, f"pip distributes {folder}, others take {own} alone", _OURS)


def _twice(tree: InstalledTree) -> Iterator[Finding]:
    for place, members in tree.list_written_twice():
        same = len({tree.places[member] for member in members}) < len(members)
        told = f"and {members[1]} are installed as {place.shown}"
        code = "INSTALL-TWICE" if same else "INSTALL-COLLISION"
        yield _say(code, members[0], told if same else f"{told}, where capitals do not count", _OURS)
    for member, other in tree.list_files_as_folders():
        yield _say("INSTALL-TWICE", member, f"is installed where {other} needs a folder", _OURS)


def _metadata(facts: Facts, tree: InstalledTree) -> Iterator[Finding]:
    own = facts.wheel.dist_info
    for member, place in tree.places.items():
        if place.root == "site" and _INFO.fullmatch(place.path) and not member.startswith(f"{own}/"):
            yield _say("INSTALL-METADATA", member, f"is installed as {place.shown}", _OURS)
        elif member.startswith(f"{own}/") and member[len(own) + 1 :].casefold() in _rules().written:
            yield _say("INSTALL-WRITTEN", member, "is for the installer to write", _OURS)


def _takeovers(facts: Facts) -> Iterator[Finding]:
    for found in find_takeovers(facts.wheel.entries):
        yield _say(f"INSTALL-{found.kind.upper()}", found.member, found.message)


def _files_of_programs(facts: Facts, tree: InstalledTree) -> Iterator[Finding]:
    for member, place in tree.places.items():
        if place.root == "bin" and not is_interpreter(place.path):
            yield from _program(facts, member, place.path)


def _fits(patterns: Iterable[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _program(facts: Facts, where: str, name: str) -> Iterator[Finding]:
    """Yield what is wrong with the name of a program."""
    rules, folded = _rules(), fold(name)
    plain, project = _ENDINGS.sub("", folded), facts.wheel.name.project
    owner = next((owner for owner, owned in rules.owners.items() if _fits(owned.programs, folded)), project)
    if owner != project:
        yield _say("INSTALL-OWNED", where, f"is installed as bin/{name}, which is {owner}'s")
    elif plain in rules.commands:
        yield _say("INSTALL-COMMAND", where, f"is installed as bin/{name}")
    elif plain in rules.common_commands and plain != project:
        yield _say("INSTALL-COMMAND-COMMON", where, f"is installed as bin/{name}")


def _modules(facts: Facts, tree: InstalledTree) -> Iterator[Finding]:
    """Yield modules at the top of site-packages that are not the wheel's to bring, each once."""
    rules, project = _rules(), facts.wheel.name.project
    told: dict[str, str] = {}
    for member in tree.places:
        name = find_module_name(member).partition(".")[0].casefold()
        if name:
            told.setdefault(name, member)
    for name, member in told.items():
        owner = next((owner for owner, owned in rules.owners.items() if name in owned.modules), project)
        if owner != project:
            yield _say("INSTALL-OWNED", member, f"{name} is {owner}'s")
        elif name in sys.stdlib_module_names and not any(find_takeovers([member])):
            yield _say("INSTALL-STDLIB", member, f"{name} is a module of the standard library", _OURS)


def _pth(facts: Facts) -> Iterator[Finding]:
    for member in filter(is_pth, facts.wheel.entries):
        text = facts.wheel.texts.get(member)
        if text is None:
            yield _say(
                "INSTALL-PTH-HIDDEN",
                member,
                "is too large to be read, or one of too many, and Python reads it whenever it starts",
            )
            continue
        lines = text.removeprefix("\ufeff").splitlines()
        runs = [line for line in lines if _RUNS.match(line)]
        hiding = [line for line in runs if any(word in line.lower() for word in _rules().hides)]
        if hiding or len(lines) > _MAX_LINES:
            shown = show_value(next(iter(hiding or lines)))
            yield _say("INSTALL-PTH-HIDDEN", member, f"every start of Python runs {shown}")
        elif runs:
            yield _say("INSTALL-PTH", member, f"every start of Python runs {show_value(runs[0])}")
        elif outside := next(filter(_leads_out, lines), ""):
            yield _say("INSTALL-PTH", member, f"every start of Python looks for modules in {show_value(outside)}")
        else:
            yield _say("INSTALL-PTH", member, "every start of Python takes folders of site-packages from it")


def _leads_out(line: str) -> bool:
    path = line.strip().replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or path[1:2] == ":"


def _entries(facts: Facts, programs: list[EntryPoint]) -> Iterator[Finding]:
    where = f"{facts.wheel.dist_info}/entry_points.txt"
    seen: dict[str, str] = {}
    for entry in programs:
        name = entry.name
        if _ODD_NAME.search(name):
            yield _say("INSTALL-ENTRY", where, f"makes a program of the name {show_value(name)}", _OURS)
            continue
        if is_interpreter(name):
            yield _say("INSTALL-INTERPRETER", where, f"makes a program bin/{name}")
        yield from _program(facts, where, name)
        if fold(name) in seen and seen[fold(name)] != entry.value:
            yield _say("INSTALL-TWICE", where, f"makes two programs of the name {show_value(name)}", _OURS)
        seen.setdefault(fold(name), entry.value)


def _wrappers(tree: InstalledTree, programs: list[EntryPoint]) -> Iterator[Finding]:
    made = {fold(entry.name) for entry in programs}
    for member, place in tree.places.items():
        name = fold(place.path)
        if place.root == "bin" and (name in made or _ENDINGS.sub("", name) in made):
            yield _say("INSTALL-WRAPPER", member, f"the installer makes bin/{place.path} by an entry point", _OURS)
