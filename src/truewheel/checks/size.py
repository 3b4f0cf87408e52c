"""What takes the space, and what takes it twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from truewheel.checks.finding import Facts, Finding

CODES = {
    "SIZE-DOUBLED": "The same content is in the wheel more than once. A wheel cannot hold links, so each library's "
    "version links become whole copies.",
    "SIZE-DEBUG": "A library holds debug sections or a symbol table that running it does not need.",
    "SIZE-LIMIT": "The wheel is larger than its recipe allows.",
    "SIZE-STRAY": "The wheel installs build-time files (headers, CMake or pkg-config files, archives) or files "
    "outside its own package.",
}
"""What each code means."""

_SMALL = 4096
_STRAY = (".h", ".hpp", ".cmake", ".pc", ".a", ".o")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what makes the wheel larger than it needs to be."""
    yield from _doubled(facts)
    for path, elf in facts.libraries.items():
        if elf.debug_sections:
            yield Finding(
                code="SIZE-DEBUG",
                severity="error" if facts.plan else "warning",
                where=path,
                message=f"{elf.debug_bytes / 1024:.0f} KiB in {', '.join(elf.debug_sections[:4])}",
                hint="link with -s, or strip it",
            )
    if facts.plan is not None:
        limit = facts.plan.max_wheel_mib
        if facts.wheel.size > limit * (1 << 20):
            yield Finding(
                code="SIZE-LIMIT",
                severity="error",
                where=facts.wheel.path.name,
                message=f"{facts.wheel.size / (1 << 20):.1f} MiB, the recipe allows {limit:g}",
                hint="look at what is doubled or not stripped, or raise checks.max-wheel-mib",
            )
        yield from _stray(facts, facts.plan.import_name)


def _doubled(facts: Facts) -> Iterator[Finding]:
    by_hash: dict[str, list[str]] = {}
    for path, member in facts.wheel.members.items():
        if len(member.data) >= _SMALL:
            by_hash.setdefault(hashlib.sha256(member.data).hexdigest(), []).append(path)
    for paths in by_hash.values():
        if len(paths) > 1:
            size = len(facts.wheel.members[paths[0]].data)
            yield Finding(
                code="SIZE-DOUBLED",
                severity="error" if facts.plan else "warning",
                where=paths[0],
                message=f"is there {len(paths)} times ({size / (1 << 20):.1f} MiB each): also {', '.join(paths[1:])}",
                hint="install each library once, without version links",
            )


def _stray(facts: Facts, package: str) -> Iterator[Finding]:
    allowed = (f"{package}/", f"{facts.wheel.dist_info}/")
    for path in facts.wheel.members:
        if not path.startswith(allowed) or path.endswith(_STRAY):
            yield Finding(
                code="SIZE-STRAY",
                severity="error",
                where=path,
                message="does not belong into the wheel",
                hint="name it in build.wheel-exclude of the recipe",
            )
