"""Whether a loader can map an ELF file at all: what kind of file it is, for what machine, and where its segments lie.

Read by `struct` from the file's first bytes, in either byte order and width: it is asked of every architecture.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

MAX_SEGMENTS = 1000
_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_DEBUG, _DT_FLAGS_1, _DF_1_PIE = 21, 0x6FFFFFFB, 0x08000000
_MAX_TAGS = 10_000
_SMALLEST_PAGE = 4096
_INIT = re.compile(rb"(PyInitU?_\w{1,200})\0")


class LoadFacts(msgspec.Struct, frozen=True):
    """What a loader asks of an ELF file before anything else.

    Attributes:
        kind: `shared`, `program` for one that is position-independent or not, `object`, `core`, or `other`.
        machine: number of the machine (e_machine).
        bits: 32 or 64.
        order: `little` or `big`.
        faults: why its segments cannot be mapped, in sentences; none in a sound file.
    """

    kind: str = "shared"
    machine: int = 62
    bits: int = 64
    order: str = "little"
    faults: tuple[str, ...] = ()


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int
    memory: int
    align: int


class _Header(NamedTuple):
    """The fields of an ELF header that are used here, and how the file is to be unpacked."""

    wide: bool
    order: str
    kind: int
    machine: int
    segments_at: int
    segment_size: int
    segment_count: int


def read_loads(data: bytes) -> LoadFacts:
    """Return what a loader asks of a file; faults where it is cut off."""
    try:
        header = _read_header(data)
        segments = list(_read_segments(data, header))
    except (struct.error, ValueError, OverflowError) as error:
        return LoadFacts(kind="other", machine=0, faults=(f"its headers cannot be read: {error}",))
    return LoadFacts(
        kind=_kind(data, header, segments),
        machine=header.machine,
        bits=64 if header.wide else 32,
        order="little" if header.order == "<" else "big",
        # An object file and a core have no segments to map.
        faults=tuple(_list_faults(header, segments, len(data))) if header.kind in (_ET_EXEC, _ET_DYN) else (),
    )


def find_inits(data: bytes) -> tuple[str, ...]:
    """Return the names of functions that make extension modules, as they stand in a file of any width and order.

    A name in a table of strings is less than a symbol that others see; symbols are read of 64-bit files alone.
    """
    return tuple(sorted({match[1].decode("ascii", "replace") for match in itertools.islice(_INIT.finditer(data), 100)}))


def _read_header(data: bytes) -> _Header:
    if data[:4] != b"\x7fELF" or data[4:5] not in (b"\1", b"\2") or data[5:6] not in (b"\1", b"\2"):
        raise ValueError("neither of 32 nor of 64 bits")
    wide, order = data[4:5] == b"\2", "<" if data[5:6] == b"\1" else ">"
    form = f"{order}HHI{'QQQ' if wide else 'III'}IHHHHHH"
    kind, machine, _, _, segments_at, _, _, _, size, count, *_ = struct.unpack_from(form, data, 16)
    if count > MAX_SEGMENTS:
        raise ValueError(f"it claims {count} segments")
    return _Header(wide, order, kind, machine, segments_at, size, count)


def _read_segments(data: bytes, header: _Header) -> Iterator[_Segment]:
    form = header.order + ("IIQQQQQQ" if header.wide else "IIIIIIII")
    for number in range(header.segment_count):
        row = struct.unpack_from(form, data, header.segments_at + number * header.segment_size)
        if header.wide:
            kind, _, offset, address, _, size, memory, align = row
        else:
            kind, offset, address, _, size, memory, _, align = row
        yield _Segment(kind, offset, address, size, memory, align)


def _kind(data: bytes, header: _Header, segments: list[_Segment]) -> str:
    if header.kind == _ET_DYN and _is_program(data, header, segments):
        return "program"
    return {1: "object", _ET_EXEC: "program", _ET_DYN: "shared", 4: "core"}.get(header.kind, "other")


def _is_program(data: bytes, header: _Header, segments: list[_Segment]) -> bool:
    """Tell whether a position-independent file is a program: the loader refuses to load one as a library."""
    interpreted = any(segment.kind == _PT_INTERP for segment in segments)
    for tag, value in _read_tags(data, header, segments):
        # Some libraries can also be run and name a loader; a linker leaves room for debuggers in programs alone.
        if (tag == _DT_FLAGS_1 and value & _DF_1_PIE) or (tag == _DT_DEBUG and interpreted):
            return True
    return False


def _read_tags(data: bytes, header: _Header, segments: list[_Segment]) -> Iterator[tuple[int, int]]:
    form = header.order + ("qQ" if header.wide else "iI")
    step = struct.calcsize(form)
    for segment in [segment for segment in segments if segment.kind == _PT_DYNAMIC][:1]:
        end = min(len(data), segment.offset + segment.size, segment.offset + _MAX_TAGS * step)
        for at in range(segment.offset, end - step + 1, step):
            tag, value = struct.unpack_from(form, data, at)
            if not tag:
                return
            yield tag, value


def _list_faults(header: _Header, segments: list[_Segment], length: int) -> Iterator[str]:
    """Yield what the loader of the C library, or the kernel after it, refuses or dies of."""
    loads = [segment for segment in segments if segment.kind == _PT_LOAD]
    dynamic = [segment for segment in segments if segment.kind == _PT_DYNAMIC]
    if not loads:
        yield "it has no segment to load"
    if not dynamic and header.kind == _ET_DYN:
        yield "it has no dynamic segment"
    for number, segment in enumerate(loads, 1):
        if reason := _explain(segment, length):
            yield f"load command {number} {reason}"
    if any(first.address > second.address for first, second in itertools.pairwise(loads)):
        yield "its load commands are not in the order of their addresses"
    if any(segment.offset + segment.size > length for segment in dynamic):
        yield "its dynamic segment lies beyond the end of the file"


def _explain(segment: _Segment, length: int) -> str:
    if segment.align & (_SMALLEST_PAGE - 1) or segment.align & (segment.align - 1) or not segment.align:
        return f"is aligned to {segment.align} bytes, which is no multiple of a page"
    if (segment.address - segment.offset) & (segment.align - 1):
        return "is not page-aligned: its address and its offset do not fit"
    if segment.offset + segment.size > length:
        return f"reaches {segment.offset + segment.size - length} bytes beyond the end of the file"
    if segment.size > segment.memory:
        return "has more bytes in the file than in memory"
    return ""
