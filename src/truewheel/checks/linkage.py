"""Does every library find what it needs, on this machine and on those that the tag promises?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from truewheel.binary.elf import ElfFacts
from truewheel.checks.finding import Facts, Finding

CODES = {
    "LINK-DAMAGED": "An ELF file in the wheel cannot be read: it is cut off or corrupt.",
    "LINK-MISSING": "A library needs another one that neither the wheel nor the C library and compiler run-times "
    "that every Linux has provide. On a machine without it, the import fails.",
    "LINK-SSL": "A library links the machine's OpenSSL. Its version differs between distributions, and inference "
    "in the process needs no network.",
    "LINK-RPATH": "A library's RPATH or RUNPATH leads out of the wheel: to a folder of the machine that built it, "
    "or to one that somebody else may write to. Only $ORIGIN is allowed.",
    "LINK-OPENMP-TWICE": "Two OpenMP run-times would be loaded into one process. Their thread pools fight for the "
    "same cores, and some combinations abort.",
    "LINK-VERSION": "A library asks for a newer C library than the wheel's platform tag promises.",
    "LINK-FAST-MATH": "A library was linked with -ffast-math start-up code: loading it makes denormal numbers zero "
    "in the whole process.",
    "LINK-NOTE": "No library says which x86-64 level it needs, so the loader cannot refuse it in words on a "
    "lesser CPU; the import guard still does.",
}
"""What each code means."""

_SYSTEM = frozenset(
    (
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libstdc++.so.6",
        "libutil.so.1",
    )
)
"""What a glibc machine provides; the same libraries that every manylinux policy allows, and libstdc++."""

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_OPENMP = ("libgomp", "libomp", "libiomp5")
_SSL = ("libssl.so", "libcrypto.so")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the wheel's links."""
    for path, reason in facts.damaged.items():
        yield Finding(code="LINK-DAMAGED", severity="error", where=path, message=reason, hint="build the wheel again")
    inside = {PurePosixPath(path).name for path in facts.libraries}
    inside |= {elf.soname for elf in facts.libraries.values() if elf.soname}
    for path, elf in facts.libraries.items():
        yield from _needed(path, elf, inside)
        yield from _runpath(path, elf)
        if elf.fast_math_startup:
            yield Finding(
                code="LINK-FAST-MATH",
                severity="error",
                where=path,
                message="it changes the floating-point mode of the process that loads it",
                hint="link without -ffast-math",
            )
    yield from _openmp(facts)
    yield from _policy(facts)
    yield from _note(facts)


def _needed(path: str, elf: ElfFacts, inside: set[str]) -> Iterator[Finding]:
    for library in elf.needed:
        if library.startswith(_SSL):
            yield Finding(
                code="LINK-SSL",
                severity="error",
                where=path,
                message=f"needs the machine's {library}",
                hint="turn LLAMA_OPENSSL off, or graft the library with auditwheel",
            )
        elif library not in inside and library not in _SYSTEM:
            yield Finding(
                code="LINK-MISSING",
                severity="error",
                where=path,
                message=f"needs {library}, which nobody provides",
                hint="graft it with `auditwheel repair`, link it statically, or turn off what needs it",
            )


def _runpath(path: str, elf: ElfFacts) -> Iterator[Finding]:
    for entry in elf.runpath:
        if entry != "$ORIGIN" and not _stays_inside(path, entry):
            yield Finding(
                code="LINK-RPATH",
                severity="error",
                where=path,
                message=f"its run path holds {entry or 'an empty entry (the current folder)'!r}",
                hint="set CMAKE_INSTALL_RPATH to $ORIGIN",
            )


def _stays_inside(path: str, entry: str) -> bool:
    """Tell whether `$ORIGIN/…` still is a folder of the wheel."""
    if not entry.startswith("$ORIGIN/"):
        return False
    depth = len(PurePosixPath(path).parts) - 1
    for part in entry.split("/")[1:]:
        depth += -1 if part == ".." else (part not in ("", "."))
        if depth < 0:
            return False
    return True


def _openmp(facts: Facts) -> Iterator[Finding]:
    runtimes = {library for elf in facts.libraries.values() for library in elf.needed if library.startswith(_OPENMP)}
    runtimes |= {PurePosixPath(path).name for path in facts.libraries if PurePosixPath(path).name.startswith(_OPENMP)}
    if len(runtimes) > 1:
        yield Finding(
            code="LINK-OPENMP-TWICE",
            severity="error",
            where=facts.wheel.path.name,
            message=f"brings {' and '.join(sorted(runtimes))} into one process",
            hint="build everything with one compiler, or set openmp = false",
        )


def _policy(facts: Facts) -> Iterator[Finding]:
    """Compare the platform tag with the symbol versions that the libraries ask for."""
    for platform in facts.wheel.name.platforms:
        tag = _MANYLINUX.match(platform)
        if tag is None:
            continue
        promised = (int(tag[1]), int(tag[2]))
        for path, elf in facts.libraries.items():
            # Not libc's alone: libm's versions come from the same release, and exp() or pow() may ask for a newer one.
            versions = (_glibc(version) for names in elf.versions.values() for version in names)
            newest = max(versions, default=(0, 0))
            if newest > promised:
                yield Finding(
                    code="LINK-VERSION",
                    severity="error",
                    where=path,
                    message=f"asks for glibc {newest[0]}.{newest[1]}, the tag promises {promised[0]}.{promised[1]}",
                    hint="link against an older C library (zig can), or raise the tag",
                )


def _glibc(version: str) -> tuple[int, int]:
    numbers = version.removeprefix("GLIBC_").split(".")
    return (int(numbers[0]), int(numbers[1])) if version.startswith("GLIBC_2.") and numbers[1].isdigit() else (0, 0)


def _note(facts: Facts) -> Iterator[Finding]:
    plan = facts.plan
    if plan is None or not plan.isa_library or plan.level == "x86-64":
        return
    elf = facts.libraries.get(plan.isa_library)
    if elf is None:
        yield Finding(
            code="LINK-NOTE",
            severity="error",
            where=plan.isa_library,
            message="is not among the wheel's libraries, so nothing was compared",
            hint="correct checks.isa-library in the recipe",
        )
    elif elf.isa_level != plan.level:
        yield Finding(
            code="LINK-NOTE",
            severity="error" if plan.toolchain.isa_note else "info",
            where=plan.isa_library,
            message=f"has no ELF note that says {plan.level} is needed"
            + ("" if plan.toolchain.isa_note else f" ({plan.toolchain.kind}'s linker writes none)"),
            hint="the import guard refuses lesser CPUs in words all the same",
        )
