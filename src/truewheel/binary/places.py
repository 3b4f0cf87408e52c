"""Stretches of addresses and of a file: found by an address, cut apart, merged."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import NamedTuple

from truewheel.binary.headers import SegmentHeader

_PF_X = 1


class Range(NamedTuple):
    """A stretch of code: its section's name, address, and place in the file."""

    name: str
    address: int
    offset: int
    size: int


class Places:
    """Sorted stretches of addresses, to find which one holds an address.

    Args:
        stretches: (start, end), sorted, not overlapping.
    """

    def __init__(self, stretches: list[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in stretches]
        self._ends = [end for _, end in stretches]

    def find(self, address: int) -> int:
        """Return the index of the stretch that holds an address, or -1."""
        index = bisect.bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._ends[index] else -1


class AddressMap:
    """Where addresses lie in the file, as the segments that are loaded say.

    Args:
        parts: these segments.

    Attributes:
        overlapping: whether two of them lie at the same address; then the lower one counts.
    """

    def __init__(self, parts: list[SegmentHeader]) -> None:
        rows = sorted((part.address, part.offset, part.file_size) for part in parts if part.file_size)
        ranges = _apart_by([Range("", address, offset, size) for address, offset, size in rows])
        self._places = Places([(part.address, part.address + part.size) for part in ranges])
        self._shifts = [part.offset - part.address for part in ranges]
        self.overlapping = sum(part.size for part in ranges) != sum(size for _, _, size in rows)

    def __bool__(self) -> bool:
        return bool(self._shifts)

    def offset_of(self, address: int) -> int:
        """Return where an address lies in the file, or -1."""
        index = self._places.find(address)
        return address + self._shifts[index] if index >= 0 else -1


def run_twice(parts: list[SegmentHeader]) -> bool:
    """Tell whether bytes of the file are mapped twice, and once as code."""
    rows = sorted((part.offset, part.offset + part.file_size, part.flags & _PF_X) for part in parts if part.file_size)
    end, code_end = 0, 0
    for start, stop, code in rows:
        if start < code_end or (code and start < end):
            return True
        end, code_end = max(end, stop), max(code_end, stop if code else 0)
    return False


def merge(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same stretches, sorted, with those that touch made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def list_besides(start: int, end: int, shift: int, taken: list[tuple[int, int]]) -> list[Range]:
    """Return the stretches of [start, end) that none of the others, sorted and apart, covers."""
    rest = []
    position = max(0, bisect.bisect_right(taken, (start, 0)) - 1)
    while position < len(taken) and taken[position][0] < end:
        first, last = taken[position]
        if first > start:
            rest.append(Range("segment", start, start + shift, first - start))
        start = max(start, last)
        position += 1
    if start < end:
        rest.append(Range("segment", start, start + shift, end - start))
    return rest


def set_apart(ranges: list[Range]) -> list[Range]:
    """Cut off what overlaps, at its address or in the file, as in a damaged one; return the rest by address."""
    by_address = _apart_by(sorted(ranges, key=lambda found: found.address))
    swapped = sorted(by_address, key=lambda found: found.offset)
    by_offset = _apart_by([Range(part.name, part.offset, part.address, part.size) for part in swapped])
    back = (Range(part.name, part.offset, part.address, part.size) for part in by_offset)
    return sorted(back, key=lambda found: found.address)


def _apart_by(ranges: list[Range]) -> list[Range]:
    """Cut off what overlaps at its address; they are sorted by it."""
    result: list[Range] = []
    at = 0
    for part in ranges:
        lost = max(0, at - part.address)
        if part.size > lost:
            result.append(Range(part.name, part.address + lost, part.offset + lost, part.size - lost))
            at = part.address + part.size
    return result
