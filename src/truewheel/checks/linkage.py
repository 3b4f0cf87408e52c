"""Does every library find what it needs, on this machine and on those that the tag promises?"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from truewheel.binary.elf import ElfFacts
from truewheel.binary.runtime_symbols import allowed_versions, first_version, is_allowed
from truewheel.checks.finding import Facts, Finding

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
    "state of its own: what one is told, the other does not know.",
    "LINK-VERSION": "A library asks for a newer C, C++ or compiler run-time library than the wheel's platform tag "
    "promises.",
    "LINK-POLICY": "auditwheel does not allow the wheel's platform tag: it promises more machines than the wheel runs "
    "on.",
    "LINK-UNDEFINED": "A library uses symbols without a version that none of the libraries that it needs defines, or "
    "only newer ones than the platform tag promises. No version tells the loader so: it finds out by their absence.",
    "LINK-UNTOLD": "A library uses symbols that may come from libraries of which it is not known what they define.",
    "LINK-NOTE": "The library that is built for a level has no ELF note of that level, so the loader cannot refuse it "
    "in words on a lesser CPU, although the compiler's linker could have written one.",
    "LINK-NO-NOTE": "The same, where the compiler's linker writes no notes; the import guard refuses lesser CPUs in "
    "words.",
}
"""What each code means."""

_X86_64 = "EM_X86_64"
_TAG = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_(.+)")
_LEGACY = {"manylinux1_": "manylinux_2_5_", "manylinux2010_": "manylinux_2_12_", "manylinux2014_": "manylinux_2_17_"}
# auditwheel puts eight digits of a hash into the name of a library that it grafts; grafted again, it has two of them.
_LIBRARY = re.compile(r"(lib.+?)(?:-[0-9a-f]{8})*\.so(?:\.(\d+))?(?:\.|$)")
_OPENMP = ("libgomp", "libomp", "libomp5", "libiomp5")
_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")
_SSL = ("libssl.so", "libcrypto.so")
_CXX = "libstdc++.so.6"
# In a namespace of the C++ library (not of LLVM's, std::__1), operators new and delete, what describes built-in types.
_CXX_SYMBOL = re.compile(
    r"__cxa_|__gxx_|__dynamic_cast$"
    r"|_Z(?:GTt)?(?:GV|T[VTISC]|T[hv]n?\d+_(?:n?\d+_)?)?(?:N[VKRO]*)?(?:S[absiod]|St(?!3__1)|\d+__(?:gnu_|cxxabiv1))"
    r"|_Z(?:GTt)?[nd][wal]|_ZT[IS](?:PK?)?[a-zD]"
)
_SHOWN = 5
_MAX_NAME = 255


class _Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the parts of a system are called on one kind of machine."""

    tags: tuple[str, ...] = ()
    loaders: tuple[str, ...] = ()
    musl: tuple[str, ...] = ()


class _Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    names: tuple[str, ...]
    text: str


class _SystemLibraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`system_libraries.toml`, where each field is explained."""

    glibc: frozenset[str]
    manylinux: frozenset[str]
    musllinux: frozenset[str]
    later: dict[str, tuple[int, int]]
    symbols: dict[str, frozenset[str]]
    machines: dict[str, _Machine]
    hints: tuple[_Hint, ...]

    def names_of(self, machine: str) -> _Machine:
        return self.machines.get(machine, _Machine())


class _Upgrade(msgspec.Struct, frozen=True):
    libs_to_eliminate: tuple[str, ...] = ()
    blacklisted_symbols: dict[str, tuple[str, ...]] = {}


class _Account(msgspec.Struct, frozen=True):
    """What is used of `auditwheel show --json`."""

    overall_tag: str = ""
    sym_tag: str = ""
    versioned_symbols: dict[str, tuple[str, ...]] = {}
    external_libs: dict[str, str | None] = {}
    policy_upgrades: dict[str, _Upgrade] = {}
    unsupported_isa: bool = False
    ucs2: bool = False
    pyfpe: bool = False


class _Promise(NamedTuple):
    """What a platform tag promises: `manylinux` or `musllinux`, of which version, on which machine."""

    family: str
    version: tuple[int, int]
    architecture: str


class _Links:
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
        self.folders = {path.partition("/")[0] for path in facts.wheel.entries}
        self._floors: dict[tuple[str, str], tuple[int, int]] = {}
        for promise in filter(None, map(_promise_of, facts.wheel.name.platforms)):
            key = (promise.family, promise.architecture)
            self._floors[key] = min(promise.version, self._floors.get(key, promise.version))
        self._unread = {PurePosixPath(path).name for path in facts.damaged if path not in facts.libraries}
        self._providers: dict[tuple[str, str], list[str]] = {}
        for path, elf in facts.libraries.items():
            for name in _names(path, elf):
                self._providers.setdefault((elf.machine, name), []).append(path)

    def has(self, machine: str, name: str) -> bool:
        """Tell whether the wheel brings a library of a name for a machine."""
        return name in self._unread or (machine, name) in self._providers

    def floor(self, machine: str, family: str = "manylinux") -> tuple[int, int] | None:
        """Return the oldest C library that the tags promise to run on, if they promise any."""
        architectures = _system_libraries().names_of(machine).tags
        found = (self._floors.get((family, architecture)) for architecture in architectures)
        return min(filter(None, found), default=None)

    def reach(self, paths: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return what loading some libraries loads: paths in the wheel, and names that others provide."""
        inside, outside, waiting = set(paths), set[str](), list(paths)
        while waiting:
            elf = self.facts.libraries[waiting.pop()]
            for name in elf.needed:
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
            and not any((elf.machine, name) in needed for name in _names(path, elf))
        ]
        inside, _ = self.reach(roots)
        return sorted(inside)


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the wheel's links."""
    for path, reason in facts.damaged.items():
        yield Finding(code="LINK-DAMAGED", where=path, message=reason, hint="build the wheel again")
    links = _Links(facts)
    said = set()
    for path, elf in facts.libraries.items():
        yield from _runpath(facts, path, elf)
        for finding in itertools.chain(_needed(links, path, elf), _version(links, path, elf)):
            said.add(finding.code)
            yield finding
    yield from _policy(links, said)
    yield from _undefined(links)
    yield from _twice(links)
    yield from _openmp(links)
    yield from _note(facts)


def _needed(links: _Links, path: str, elf: ElfFacts) -> Iterator[Finding]:
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
            hints = (hint.text for hint in _system_libraries().hints if library.startswith(hint.names))
            yield Finding(
                code="LINK-MISSING",
                where=path,
                message=f"needs {library}, which the wheel does not bring and not every machine has",
                hint=next(hints, "graft it with `auditwheel repair`, link it statically, or turn off what needs it"),
            )


def _may_need(links: _Links, machine: str) -> frozenset[str]:
    """Return what every machine has that the tags promise."""
    system = _system_libraries()
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


def _looks_elsewhere(links: _Links, path: str, elf: ElfFacts) -> bool:
    """Tell whether a library is looked for in the folder of another project, which the wheel may require."""
    folders = [folder for entry in elf.runpath if (folder := _folder_of(links.facts, path, entry))]
    return bool(links.required) and any(folder[0] not in links.folders for folder in folders)


def _required(facts: Facts) -> list[str]:
    """Return the names of the projects that are always installed with the wheel."""
    lines = (str(line).partition(";") for line in facts.wheel.metadata.get_all("Requires-Dist") or ())
    found = (re.match(r"[\w.-]+", line.strip()) for line, _, marker in lines if "extra" not in marker)
    return [project[0] for project in found if project]


def _runpath(facts: Facts, path: str, elf: ElfFacts) -> Iterator[Finding]:
    for entry in elf.runpath:
        if _folder_of(facts, path, entry) is None:
            yield Finding(
                code="LINK-RPATH",
                where=path,
                message=f"its run path holds {entry or 'an empty entry (the current folder)'!r}",
                hint="set the run path (CMAKE_INSTALL_RPATH) to $ORIGIN",
            )


def _folder_of(facts: Facts, path: str, entry: str) -> tuple[str, ...] | None:
    """Return the folder that an entry of a run path means, below the one that wheels are installed in; None outside.

    Other projects are installed in the same folder, so a path may lead to theirs without leaving it.
    """
    origin, *parts = entry.replace("${ORIGIN}", "$ORIGIN").split("/")
    if origin != "$ORIGIN":
        return None
    folders = _installed(facts, path)[:-1]
    for part in parts:
        if part == "..":
            if not folders:
                return None
            folders.pop()
        elif part not in ("", "."):
            folders.append(part)
    return tuple(folders)


def _installed(facts: Facts, path: str) -> list[str]:
    """Return the parts of the path that an installer gives a file, below site-packages or the environment."""
    parts = path.split("/")
    if parts[0] != f"{facts.wheel.dist_info.removesuffix('.dist-info')}.data" or len(parts) < 3:  # noqa: PLR2004
        return parts
    return ["bin", *parts[2:]] if parts[1] == "scripts" else parts[2:]


def _version(links: _Links, path: str, elf: ElfFacts) -> Iterator[Finding]:
    """Compare the platform tag with the symbol versions that a library asks for."""
    floor = links.floor(elf.machine)
    if floor is None:
        return
    # What C++ and the compiler's run-time promise is known of x86-64 alone.
    families = _FAMILIES if elf.machine == _X86_64 else ("GLIBC",)
    beyond: dict[str, str] = {}
    # Not libc's alone: libm's versions come from the same release, and exp() or pow() may ask for a newer one.
    for provider, versions in elf.versions.items():
        for version in versions if not links.has(elf.machine, provider) else ():
            if _is_beyond(version, floor, families):
                family = _family(version)
                beyond[family] = max(beyond.get(family, version), version, key=_number)
    if beyond:
        asked = " and ".join(_show(version) for version in beyond.values())
        allowed = allowed_versions(floor)
        promised = " and ".join(_show(f"{family}_{'.'.join(map(str, allowed[family]))}") for family in beyond)
        yield Finding(
            code="LINK-VERSION",
            where=path,
            message=f"asks for {asked}, the tag promises {promised}",
            hint="link against older libraries (zig can), or raise the tag",
        )


def _is_beyond(version: str, floor: tuple[int, int], families: tuple[str, ...]) -> bool:
    return _family(version) in families and version != "GLIBC_PRIVATE" and not is_allowed(version, floor)


def _family(version: str) -> str:
    return version.partition("_")[0]


def _show(version: str) -> str:
    return version.replace("GLIBC_", "glibc ") if version.startswith("GLIBC_2") else version


def _number(version: str) -> tuple[int, ...]:
    """Return what orders the versions of one family; those without a number count as the newest."""
    parts = version.partition("_")[2].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else (1 << 30,)


def _policy(links: _Links, said: set[str]) -> Iterator[Finding]:
    """Compare the oldest platform tag with the one that auditwheel allows, once for the wheel."""
    try:
        account = msgspec.convert(links.facts.policy or {}, _Account, strict=False)
    except msgspec.ValidationError:
        # Another auditwheel's account cannot be judged.
        return
    allowed = _promise_of(account.overall_tag)
    for family in ("manylinux", "musllinux"):
        floor = links.floor(_X86_64, family)
        if floor is None or (allowed is None and not account.overall_tag.startswith("linux_")):
            continue
        if allowed is not None and (allowed.family != family or allowed.version <= floor):
            continue
        claimed = f"{family}_{floor[0]}_{floor[1]}_x86_64"
        reasons = list(_reasons(links, account, claimed, said))
        # Without a reason it is a tag that auditwheel is too old to know.
        if reasons:
            yield Finding(
                code="LINK-POLICY",
                where=links.facts.wheel.path.name,
                message=f"the tag promises {claimed}, auditwheel allows {account.overall_tag}: {'; '.join(reasons)}",
                hint=f"repair it with `auditwheel repair`, or tag it {account.overall_tag}",
            )


def _reasons(links: _Links, account: _Account, claimed: str, said: set[str]) -> Iterator[str]:
    """Yield why a tag is not allowed, as far as auditwheel's account tells."""
    upgrade = account.policy_upgrades.get(claimed, _Upgrade())
    libraries = upgrade.libs_to_eliminate or tuple(account.external_libs)
    if libraries:
        yield f"it needs {_list(libraries)}" + (" (see LINK-MISSING)" if "LINK-MISSING" in said else "")
    floor = links.floor(_X86_64) if claimed.startswith("manylinux") else None
    symbols = _promise_of(account.sym_tag)
    # The account holds also what this machine's own copies of missing libraries ask for.
    asked = {version for elf in links.facts.libraries.values() for names in elf.versions.values() for version in names}
    asked.intersection_update(itertools.chain.from_iterable(account.versioned_symbols.values()))
    newer = sorted(version for version in asked if floor and _is_beyond(version, floor, _FAMILIES))
    if newer:
        yield f"it asks for {_list(newer)}" + (" (see LINK-VERSION)" if "LINK-VERSION" in said else "")
    elif floor and symbols is not None and symbols.version > floor and not libraries:
        yield f"its symbol versions are those of {account.sym_tag}"
    for library, names in upgrade.blacklisted_symbols.items():
        yield f"it uses what not every {library} defines: {_list(names)}"
    if account.unsupported_isa:
        yield "its ELF note asks for a newer CPU than any such tag does"
    if account.ucs2 or account.pyfpe:
        yield "it uses what only some Pythons of long ago offer"


def _undefined(links: _Links) -> Iterator[Finding]:
    """Look for who defines the symbols that have no version; those that have one are looked for by it."""
    offered = {name for elf in links.facts.libraries.values() for name in elf.defined}
    told = _system_libraries().glibc | {*_system_libraries().names_of(_X86_64).loaders}
    # What a project loads with RTLD_GLOBAL, the libraries of others may use without needing it.
    projects = {f"project {project}" for project in links.required}
    floor = links.floor(_X86_64)
    open_names, sources = set[str](), set[str]()
    for path, elf in links.facts.libraries.items():
        wanted = sorted(
            symbol.name
            for symbol in elf.undefined
            # The interpreter offers the Python API.
            if not (symbol.weak or symbol.version or symbol.name in offered or symbol.name.startswith(("Py", "_Py")))
        )
        if elf.machine != _X86_64 or not wanted:
            continue
        _, outside = links.reach([path])
        untold = (outside - told) or projects
        missing = []
        for name in wanted:
            since = first_version(name)
            if floor is not None and since and not is_allowed(since, floor):
                missing.append(f"{name} (since {_show(since)})")
            elif not _is_defined(name, since, outside):
                if untold:
                    open_names.add(name)
                    sources |= untold
                else:
                    missing.append(f"{name} (which nobody defines)")
        if missing:
            yield _undefined_in(links, path, missing, floor)
    if open_names:
        count = f"{len(open_names)} symbols" if len(open_names) > 1 else next(iter(open_names))
        yield Finding(
            code="LINK-UNTOLD",
            where=links.facts.wheel.path.name,
            message=f"{count} may come from {_list(sorted(sources))}: it is not known what these define",
            hint="import it where they are installed",
        )


def _is_defined(name: str, since: str, outside: set[str]) -> bool:
    """Tell whether a system library that is loaded defines a symbol in some version."""
    # The interpreter itself has loaded the C library, but not its vector functions.
    if since.startswith("GLIBC_"):
        return not name.startswith("_ZGV") or "libmvec.so.1" in outside
    if since.startswith("GCC_"):
        return not outside.isdisjoint((_CXX, "libgcc_s.so.1"))
    if _CXX in outside and (since or _CXX_SYMBOL.match(name)):
        return True
    return any(name in names for library, names in _system_libraries().symbols.items() if library in outside)


def _undefined_in(links: _Links, path: str, missing: list[str], floor: tuple[int, int] | None) -> Finding:
    # Python, ctypes and cffi have all symbols looked up when they load a library; a program waits for the first call.
    lazy = ".so" not in PurePosixPath(path).name and links.facts.libraries[path].relro != "full"
    effect = "it fails at the first call" if lazy else "it cannot be loaded"
    promised = f"with no more than manylinux_{floor[0]}_{floor[1]} promises, " if floor is not None else ""
    return Finding(
        code="LINK-UNDEFINED",
        where=path,
        message=f"uses {_list(missing)} without a version: {promised}{effect}",
        hint="link it with -Wl,-z,defs against libraries that are as old as the tag promises, or raise the tag",
    )


class _Copy(NamedTuple):
    """A library as it is told apart: where it is, the names that the loader knows it by, and its content."""

    label: str
    names: frozenset[str]
    content: str


def _twice(links: _Links) -> Iterator[Finding]:
    """Look for libraries that differ in no more than auditwheel's hash and would be loaded side by side."""
    facts = links.facts
    paths = links.in_process()
    needed = {(facts.libraries[path].machine, name) for path in paths for name in facts.libraries[path].needed}
    copies: dict[tuple[str, str], list[_Copy]] = {}
    for path in paths:
        elf = facts.libraries[path]
        copy = _Copy(path, frozenset(_names(path, elf)), facts.wheel.entries[path].sha256)
        copies.setdefault((elf.machine, _stem(elf.soname or path)), []).append(copy)
    for machine, name in sorted(needed):
        if not links.has(machine, name) and (machine, _stem(name)) in copies:
            copies[machine, _stem(name)].append(_Copy(f"the machine's {name}", frozenset((name,)), ""))
    for (machine, stem), found in copies.items():
        names = {name for of_machine, name in needed if of_machine == machine}
        pairs = [pair for pair in itertools.combinations(found, 2) if stem and _are_two(*pair, names)]
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


def _openmp(links: _Links) -> Iterator[Finding]:
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
    if plan is None or not plan.isa_library or plan.level == "x86-64":
        return
    elf = facts.libraries.get(plan.isa_library)
    if elf is None:
        yield Finding(
            code="LINK-NOTE",
            where=plan.isa_library,
            message="is not among the wheel's libraries, so nothing was compared",
            hint="correct checks.isa-library in the recipe",
        )
    elif elf.isa_level != plan.level:
        yield Finding(
            code="LINK-NOTE" if plan.toolchain.isa_note else "LINK-NO-NOTE",
            where=plan.isa_library,
            message=f"has no ELF note that says {plan.level} is needed"
            + ("" if plan.toolchain.isa_note else f" ({plan.toolchain.kind}'s linker writes none)"),
            hint="the import guard refuses lesser CPUs in words all the same",
        )


def _names(path: str, elf: ElfFacts) -> set[str]:
    """Return the names by which the loader knows a library."""
    return {PurePosixPath(path).name, elf.soname} - {""}


def _split(name: str) -> tuple[str, str]:
    """Return a library's name without hash and version, and its major version; empty when it is no library's name."""
    found = _LIBRARY.match(PurePosixPath(name).name[:_MAX_NAME])
    return (found[1], found[2] or "") if found else ("", "")


def _stem(name: str) -> str:
    return _split(name)[0]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _promise_of(platform: str) -> _Promise | None:
    """Return what a platform tag promises; None when it promises nothing of the C library."""
    for legacy, name in _LEGACY.items():
        platform = platform.replace(legacy, name) if platform.startswith(legacy) else platform
    found = _TAG.fullmatch(platform)
    return _Promise(found[1], (int(found[2]), int(found[3])), found[4]) if found else None


@functools.cache
def _system_libraries() -> _SystemLibraries:
    text = resources.files("truewheel.checks").joinpath("system_libraries.toml").read_bytes()
    return msgspec.toml.decode(text, type=_SystemLibraries)
