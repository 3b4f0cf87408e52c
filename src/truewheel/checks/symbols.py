"""Are the symbols there that libraries use, on every machine that the platform tag promises?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from truewheel.binary.elf import ElfFacts
from truewheel.binary.runtime_symbols import allowed_versions, first_version, is_allowed
from truewheel.checks.finding import Finding
from truewheel.checks.links import X86_64, Links, promise_of, system_libraries
from truewheel.decoding import UnreadableError, convert

_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")
_CXX = "libstdc++.so.6"
# In a namespace of the C++ library (not of LLVM's, std::__1), operators new and delete, what describes built-in types.
_CXX_SYMBOL = re.compile(
    r"__cxa_|__gxx_|__dynamic_cast$"
    r"|_Z(?:GTt)?(?:GV|T[VTISC]|T[hv]n?\d+_(?:n?\d+_)?)?(?:N[VKRO]*)?(?:S[absiod]|St(?!3__1)|\d+__(?:gnu_|cxxabiv1))"
    r"|_Z(?:GTt)?[nd][wal]|_ZT[IS](?:PK?)?[a-zD]"
)
_SHOWN = 5


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


def compare_versions(links: Links, path: str, elf: ElfFacts) -> Iterator[Finding]:
    """Compare the platform tag with the symbol versions that a library asks for."""
    floor = links.floor(elf.machine)
    if floor is None:
        return
    # What C++ and the compiler's run-time promise is known of x86-64 alone.
    families = _FAMILIES if elf.machine == X86_64 else ("GLIBC",)
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


def compare_policy(links: Links, said: set[str]) -> Iterator[Finding]:
    """Compare the oldest platform tag with the one that auditwheel allows, once for the wheel."""
    try:
        account = convert(links.facts.policy or {}, _Account)
    except UnreadableError:
        # Another auditwheel's account cannot be judged.
        return
    allowed = promise_of(account.overall_tag)
    for family in ("manylinux", "musllinux"):
        floor = links.floor(X86_64, family)
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


def _reasons(links: Links, account: _Account, claimed: str, said: set[str]) -> Iterator[str]:
    """Yield why a tag is not allowed, as far as auditwheel's account tells."""
    upgrade = account.policy_upgrades.get(claimed, _Upgrade())
    libraries = upgrade.libs_to_eliminate or tuple(account.external_libs)
    if libraries:
        yield f"it needs {_list(libraries)}" + (" (see LINK-MISSING)" if "LINK-MISSING" in said else "")
    floor = links.floor(X86_64) if claimed.startswith("manylinux") else None
    symbols = promise_of(account.sym_tag)
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
    # A wheel that says which CPU it needs keeps what the tag alone promises too much; ISA-NOTE compares the two.
    if account.unsupported_isa and not links.facts.own:
        yield "its ELF note asks for a newer CPU than any such tag does"
    if account.ucs2 or account.pyfpe:
        yield "it uses what only some Pythons of long ago offer"


def find_undefined(links: Links) -> Iterator[Finding]:
    """Look for who defines the symbols that have no version; those that have one are looked for by it."""
    offered = {name for elf in links.facts.libraries.values() for name in elf.defined}
    told = system_libraries().glibc | {*system_libraries().names_of(X86_64).loaders}
    # What a project loads with RTLD_GLOBAL, the libraries of others may use without needing it.
    projects = {f"project {project}" for project in links.required}
    floor = links.floor(X86_64)
    open_names, sources = set[str](), set[str]()
    for path, elf in links.facts.libraries.items():
        wanted = sorted(
            symbol.name
            for symbol in elf.undefined
            # The interpreter offers the Python API.
            if not (symbol.weak or symbol.version or symbol.name in offered or symbol.name.startswith(("Py", "_Py")))
        )
        if elf.machine != X86_64 or not wanted:
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
    return any(name in names for library, names in system_libraries().symbols.items() if library in outside)


def _undefined_in(links: Links, path: str, missing: list[str], floor: tuple[int, int] | None) -> Finding:
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


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
