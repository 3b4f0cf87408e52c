"""Does every library find what it needs, on this machine and on those that the tag promises?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from truewheel.binary.elf import ElfFacts
from truewheel.checks.finding import Finding
from truewheel.checks.links import Links, list_names, system_libraries
from truewheel.checks.symbols import compare_policy, compare_versions, find_undefined
from truewheel.examine.facts import Facts
from truewheel.wheel.installed import place_of

CODES = {
    "LINK-DAMAGED": "An ELF file in the wheel cannot be read: it is cut off or corrupt.",
    "LINK-MISSING": "A library needs another one that the wheel does not bring, and that not every machine has which "
    "the platform tag promises. Without it, the import fails.",
    "LINK-SSL": "A library links the machine's OpenSSL. Its version differs between distributions, and inference "
    "in the process needs no network.",
    "LINK-RPATH": "A library's RPATH or RUNPATH leads out of the folder that wheels are installed in: to one of the "
    "machine that built it, or that somebody else may write to. It must begin with $ORIGIN, and stay inside.",
    "LINK-OPENMP-TWICE": "Two OpenMP run-times would be loaded into one process. Their thread pools fight for the "
    "same cores, and some combinations abort.",
    "LINK-TWICE": "Two copies of one library would be loaded into one process under different names. Each has global "
    "state of its own: what one stores, the other does not see.",
    "LINK-VERSION": "A library asks for a newer C, C++ or compiler run-time library than the wheel's platform tag "
    "promises.",
    "LINK-POLICY": "auditwheel does not allow the wheel's platform tag: it promises more machines than the wheel runs "
    "on.",
    "LINK-UNDEFINED": "A library uses symbols without a version that none of the libraries that it needs defines, or "
    "only newer ones than the platform tag promises. No version tells the loader so: it finds out by their absence.",
    "LINK-UNTOLD": "A library uses symbols that may come from libraries of which it is not known what they define.",
    "LINK-NOTE": "A library has no ELF note that says which level the wheel needs, or one of another level, so the "
    "loader cannot refuse it with a message on a lesser CPU.",
}
"""What each code means."""

# auditwheel puts eight digits of a hash into the name of a library that it grafts; grafted again, it has two of them.
_LIBRARY = re.compile(r"(lib.+?)(?:-[0-9a-f]{8})*\.so(?:\.(\d+))?(?:\.|$)")
_OPENMP = ("libgomp", "libomp", "libomp5", "libiomp5")
_SSL = ("libssl.so", "libcrypto.so")
_MAX_NAME = 255
_MAX_COPIES = 100


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the wheel's links."""
    for path, reason in facts.damaged.items():
        yield Finding(code="LINK-DAMAGED", where=path, message=reason, hint="build the wheel again")
    links = Links(facts)
    said = set()
    for path, elf in facts.libraries.items():
        yield from _runpath(path, elf)
        for finding in itertools.chain(_needed(links, path, elf), compare_versions(links, path, elf)):
            said.add(finding.code)
            yield finding
    yield from compare_policy(links, said)
    yield from find_undefined(links)
    yield from _twice(links)
    yield from _openmp(links)
    yield from _note(facts)


def _needed(links: Links, path: str, elf: ElfFacts) -> Iterator[Finding]:
    allowed = _may_need(links, elf.machine)
    for library in elf.needed:
        if links.has(elf.machine, library) or library in allowed:
            continue
        if library.startswith(_SSL):
            yield Finding(
                code="LINK-SSL",
                where=path,
                message=f"needs the machine's {library}",
                hint="turn off what needs it (LLAMA_OPENSSL), or graft the library with `auditwheel repair`",
            )
        elif not _looks_elsewhere(links, path, elf):
            hints = (hint.text for hint in system_libraries().hints if library.startswith(hint.names))
            yield Finding(
                code="LINK-MISSING",
                where=path,
                message=f"needs {library}, which the wheel does not bring and not every machine has",
                hint=next(hints, "graft it with `auditwheel repair`, link it statically, or turn off what needs it"),
            )


def _may_need(links: Links, machine: str) -> frozenset[str]:
    """Return what every machine has that the tags promise."""
    system = system_libraries()
    names = system.names_of(machine)
    glibc, musl = links.floor(machine), links.floor(machine, "musllinux")
    # Our own wheels do with less: what a policy allows beyond the C library, a small machine may lack.
    allowed = system.glibc | {*names.loaders}
    if glibc is not None and links.facts.plan is None:
        later = {name for name, since in system.later.items() if since <= glibc}
        allowed = system.manylinux | later | {*names.loaders}
    if musl is not None:
        # A wheel with tags of both runs on both, so it may need what both have.
        of_musl = system.musllinux | {*names.musl}
        allowed = of_musl if glibc is None else allowed & of_musl
    return allowed


def _looks_elsewhere(links: Links, path: str, elf: ElfFacts) -> bool:
    """Tell whether a library is looked for in the folder of another project, which the wheel may require."""
    folders = [folder for entry in elf.runpath if (folder := _folder_of(path, entry))]
    return bool(links.required) and any(folder[0] not in links.folders for folder in folders)


def _runpath(path: str, elf: ElfFacts) -> Iterator[Finding]:
    for entry in elf.runpath:
        if _folder_of(path, entry) is None:
            yield Finding(
                code="LINK-RPATH",
                where=path,
                message=f"its run path holds {entry or 'an empty entry (the current folder)'!r}",
                hint="set the run path (CMAKE_INSTALL_RPATH) to $ORIGIN",
            )


def _folder_of(path: str, entry: str) -> tuple[str, ...] | None:
    """Return the folder that an entry of a run path means, below the one that wheels are installed in; None outside.

    Other projects are installed in the same folder, so a path may lead to theirs without leaving it.
    """
    origin, *parts = entry.replace("${ORIGIN}", "$ORIGIN").split("/")
    if origin != "$ORIGIN":
        return None
    place = place_of(path)
    # A program's folder lies beside the one that wheels are installed in.
    folders = ["bin"] * (place.root == "bin") + place.path.split("/")[:-1]
    for part in parts:
        if part == "..":
            if not folders:
                return None
            folders.pop()
        elif part not in ("", "."):
            folders.append(part)
    return tuple(folders)


class _Copy(NamedTuple):
    """A library as it is told apart: where it is, the names that the loader knows it by, and its content."""

    label: str
    names: frozenset[str]
    content: str


def _twice(links: Links) -> Iterator[Finding]:
    """Look for libraries that differ in no more than auditwheel's hash and would be loaded side by side."""
    facts = links.facts
    paths = links.in_process()
    needed = {(facts.libraries[path].machine, name) for path in paths for name in facts.libraries[path].needed}
    copies: dict[tuple[str, str], list[_Copy]] = {}
    for path in paths:
        elf = facts.libraries[path]
        copy = _Copy(path, frozenset(list_names(path, elf)), facts.wheel.entries[path].sha256)
        copies.setdefault((elf.machine, _stem(elf.soname or path)), []).append(copy)
    for machine, name in sorted(needed):
        if not links.has(machine, name) and (machine, _stem(name)) in copies:
            copies[machine, _stem(name)].append(_Copy(f"the machine's {name}", frozenset((name,)), ""))
    by_machine: dict[str, set[str]] = {}
    for machine, name in needed:
        by_machine.setdefault(machine, set()).add(name)
    for (machine, stem), found in copies.items():
        names = by_machine.get(machine, set())
        compared = itertools.combinations(found[:_MAX_COPIES], 2)
        pairs = [pair for pair in compared if stem and _are_two(*pair, names)]
        if pairs:
            labels = sorted({copy.label for pair in pairs for copy in pair})
            yield Finding(
                code="LINK-TWICE",
                where=facts.wheel.path.name,
                message=f"brings {' and '.join(labels)} into one process: copies of {stem}",
                hint="link everything against one of them, and graft it once",
            )


def _are_two(one: _Copy, other: _Copy, needed: set[str]) -> bool:
    """Tell whether two files become two libraries in a process, and are versions of the same one."""
    # Whoever needs a name that is loaded gets what is loaded, wherever his run path leads: that makes no second copy.
    if not one.names.isdisjoint(other.names):
        return False
    majors, others = ({_split(name)[1] for name in copy.names} - {""} for copy in (one, other))
    if majors and others and majors.isdisjoint(others):
        return False
    # Files of the same content are often links that a wheel cannot hold; they count when both are asked for.
    return one.content != other.content or not (one.names.isdisjoint(needed) or other.names.isdisjoint(needed))


def _openmp(links: Links) -> Iterator[Finding]:
    paths = links.in_process()
    names = {name for path in paths for name in (PurePosixPath(path).name, *links.facts.libraries[path].needed)}
    runtimes = {name for name in names if _stem(name) in _OPENMP}
    if len({_stem(name) for name in runtimes}) > 1:
        yield Finding(
            code="LINK-OPENMP-TWICE",
            where=links.facts.wheel.path.name,
            message=f"brings {' and '.join(sorted(runtimes))} into one process",
            hint="build everything with one compiler, or set openmp = false",
        )


def _note(facts: Facts) -> Iterator[Finding]:
    plan = facts.plan
    if plan is None or plan.code.level == "x86-64":
        return
    for library in [backend.library for backend in plan.code.backends] or plan.expect.isa_libraries:
        if library not in facts.libraries:
            yield Finding(
                code="LINK-NOTE",
                where=library,
                message="is not among the wheel's libraries, so nothing was compared",
                hint="correct [backends], or checks.isa-library, in the recipe",
            )
    for path, elf in facts.libraries.items():
        # The guard's own helper must be loaded on every CPU, to say that it is the wrong one.
        if elf.isa_level != plan.code.level and not path.endswith("/_truewheel_cpuid.so"):
            yield Finding(
                code="LINK-NOTE",
                where=path,
                message=f"has no ELF note that says {plan.code.level} is needed"
                + (f", but one that says {elf.isa_level}" if elf.isa_level else ""),
                hint="a library that was added after the repair has none",
            )


def _split(name: str) -> tuple[str, str]:
    """Return a library's name without hash and version, and its major version; empty when it is no library's name."""
    found = _LIBRARY.match(PurePosixPath(name).name[:_MAX_NAME])
    return (found[1], found[2] or "") if found else ("", "")


def _stem(name: str) -> str:
    return _split(name)[0]
