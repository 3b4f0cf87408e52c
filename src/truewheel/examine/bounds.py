"""What the children that read a wheel may take, and how much they may say: it follows from the size of what they read.

A library that compresses to next to nothing holds next to nothing: it counts by what it takes in the archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from truewheel.wheel.archive import Entry, WheelFile

MAX_LIBRARIES = 2000
"""ELF files of a wheel that are looked into."""

MAX_SYMBOLS, MAX_NEEDED = 1_000_000, 20_000
"""Names that all libraries of a wheel offer and ask for, and libraries that they need, as far as they are judged."""

_MIB = 1 << 20
_CPU_FREE, _CPU_ARCHIVE, _CPU_LIBRARY, _CPU_SOURCE, _CPU_AUDIT = 20, 10, 5, 20, 2
_MEMORY_FREE, _MEMORY_ARCHIVE = 640 * _MIB, 640 * _MIB
_MEMORY_COPIES, _MEMORY_FACTOR, _MEMORY_SOURCE = 4, 24, 300
_MEMORY_AUDIT, _AUDIT_COPIES = 1 << 30, 4
_COMPRESSION = 16
_ANSWER_FREE, _ANSWER_ALL, _ANSWER_ARCHIVE = 4 * _MIB, 96 * _MIB, 64 * _MIB
_LARGEST_SOURCE = 2 * _MIB


class Bounds(NamedTuple):
    """What a child may take: seconds of processor time, bytes of address space, bytes of what it says."""

    cpu_seconds: int
    memory_bytes: int
    answer_bytes: int


def weight_of(entry: Entry) -> int:
    """Return the bytes that a file counts for: what it holds, but no more than its compressed bytes can stand for."""
    return min(entry.size, _COMPRESSION * entry.compressed + _MIB)


def bound_archive(size: int) -> Bounds:
    """Return what the child that accepts an archive may take.

    Args:
        size: of the archive, in bytes.
    """
    return Bounds(_CPU_FREE + _CPU_ARCHIVE * _mib(size), _MEMORY_ARCHIVE, _ANSWER_ARCHIVE)


def bound_contents(wheel: WheelFile, libraries: Iterable[str], *, sources: bool, share: float) -> Bounds:
    """Return what a child that reads libraries, and perhaps the Python files, may take.

    Args:
        wheel: what was accepted.
        libraries: the libraries that it reads.
        sources: whether it reads the Python files too.
        share: its part of the weight of all libraries.
    """
    entries = [wheel.entries[name] for name in libraries]
    largest = max((entry.size for entry in entries), default=0)
    heaviest = max(map(weight_of, entries), default=0)
    memory = _MEMORY_FREE + _MEMORY_COPIES * largest + _MEMORY_FACTOR * heaviest
    seconds = _CPU_FREE + _CPU_LIBRARY * _mib(sum(map(weight_of, entries)))
    if sources:
        sizes = [entry.size for name, entry in wheel.entries.items() if name.endswith((".py", ".pyw"))]
        memory += _MEMORY_SOURCE * min(_LARGEST_SOURCE, max(sizes, default=0))
        seconds += _CPU_SOURCE * _mib(sum(sizes))
    return Bounds(seconds, memory, _ANSWER_FREE + int(share * _ANSWER_ALL))


def bound_audit(wheel: WheelFile) -> Bounds:
    """Return what auditwheel may take; what it says counts as bytes of a file too, like those that it unpacks."""
    sizes = [entry.size for entry in wheel.entries.values()]
    seconds = _CPU_FREE + _CPU_AUDIT * _mib(sum(weight_of(wheel.entries[name]) for name in wheel.shared_objects()))
    largest = max(sizes, default=0)
    return Bounds(seconds, _MEMORY_AUDIT + _AUDIT_COPIES * largest, _ANSWER_ARCHIVE + largest)


def _mib(size: int) -> int:
    return -(-size // _MIB) if size >= _MIB else 0
