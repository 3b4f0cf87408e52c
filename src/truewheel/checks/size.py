"""What takes the space, and what takes it twice."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts
from truewheel.text import join_words

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
_LARGEST = 8
_SHOWN = 20
_STRAY = (".h", ".hpp", ".cmake", ".pc", ".a", ".o")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what makes the wheel larger than it needs to be."""
    yield from _doubled(facts)
    for path, elf in facts.libraries.items():
        if elf.debug_sections:
            yield Finding(
                code="SIZE-DEBUG",
                where=path,
                message=f"{elf.debug_bytes / 1024:.0f} KiB in {', '.join(elf.debug_sections[:4])}",
                hint="link with -s, or strip it",
            )
    if facts.plan is not None:
        limit = facts.plan.expect.max_wheel_mib
        if facts.wheel.size > limit * (1 << 20):
            yield Finding(
                code="SIZE-LIMIT",
                where=facts.wheel.path.name,
                message=f"{facts.wheel.size / (1 << 20):.1f} MiB, the recipe allows {limit:g}",
                hint="look at what is doubled or not stripped, or raise checks.max-wheel-mib",
            )
        yield from _stray(facts, facts.plan.subject.import_name)


def _doubled(facts: Facts) -> Iterator[Finding]:
    for paths in _same_content(facts):
        size = facts.wheel.entries[paths[0]].size
        others = join_words(paths[1:], _SHOWN)
        yield Finding(
            code="SIZE-DOUBLED",
            where=paths[0],
            message=f"is there {len(paths)} times ({size / (1 << 20):.1f} MiB each): also {others}",
            hint="install each library once, without version links",
        )


def _same_content(facts: Facts) -> list[list[str]]:
    by_hash: dict[str, list[str]] = {}
    for path, entry in facts.wheel.entries.items():
        if entry.size >= _SMALL:
            by_hash.setdefault(entry.sha256, []).append(path)
    return [paths for paths in by_hash.values() if len(paths) > 1]


def _stray(facts: Facts, package: str) -> Iterator[Finding]:
    allowed = (f"{package}/", f"{facts.wheel.dist_info}/")
    for path in facts.wheel.entries:
        if not path.startswith(allowed) or path.endswith(_STRAY):
            yield Finding(
                code="SIZE-STRAY",
                where=path,
                message="does not belong into the wheel",
                hint="name it in build.wheel-exclude of the recipe",
            )


class Space(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What takes the space of a wheel.

    Attributes:
        kinds: bytes by kind of file: `libraries`, `python`, `metadata`, `other`.
        largest: the largest files, with their bytes.
        doubled: bytes of content that is there once already.
        debug: bytes of debug sections and symbol tables: what stripping would save, before compression.
    """

    kinds: dict[str, int]
    largest: tuple[tuple[str, int], ...]
    doubled: int
    debug: int


def space_of(facts: Facts) -> Space:
    """Return what takes the space."""
    entries = facts.wheel.entries
    kinds = {"libraries": 0, "python": 0, "metadata": 0, "other": 0}
    for path, entry in entries.items():
        kinds[_kind(facts, path)] += entry.size
    largest = sorted(((path, entry.size) for path, entry in entries.items()), key=lambda row: (-row[1], row[0]))
    return Space(
        kinds=kinds,
        largest=tuple(largest[:_LARGEST]),
        doubled=sum(entries[paths[0]].size * (len(paths) - 1) for paths in _same_content(facts)),
        debug=sum(elf.debug_bytes for elf in facts.libraries.values()),
    )


def _kind(facts: Facts, path: str) -> str:
    if facts.wheel.entries[path].kind:
        return "libraries"
    if path.startswith(f"{facts.wheel.dist_info}/"):
        return "metadata"
    return "python" if path.endswith((".py", ".pyi")) else "other"
