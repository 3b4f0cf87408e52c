"""ELF files that ask for far more work than their size allows, made by code; each is told by its name."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator

from code_builder import RET, build_library, function, variable

HEADER, SEGMENT, SECTION = 64, 56, 64
LOAD, DYNAMIC, NOTE, EH_FRAME = 1, 2, 4, 0x6474E550
R, RX, RW, RWX = 4, 5, 6, 7
ALL, BASE = (1 << 64) - 1, 0x10000
Maker = Callable[[], bytes]
Row = tuple[int, ...]


def raw_elf(body: bytes, segments: list[Row] = (), sections: list[Row] = ()) -> bytes:  # type: ignore[assignment]
    """Return a library with just these tables; the body begins behind the header, and offsets count from it.

    Args:
        body: what follows the header.
        segments: type, flags, offset in the body, address, size.
        sections: name, type, flags, address, offset in the body, size, link, info.
    """
    at = HEADER + len(body)
    head = (3, 62, 1, 0, at, at + SEGMENT * len(segments), 0, HEADER, SEGMENT, len(segments), SECTION, len(sections), 0)
    rows = [b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *head), body]
    rows += [
        struct.pack("<IIQQQQQQ", kind, flags, HEADER + offset, address, 0, size, size, 4096)
        for kind, flags, offset, address, size in segments
    ]
    rows += [
        struct.pack("<IIQQQQIIQQ", *row[:4], HEADER + row[4] if row[4] < ALL // 2 else row[4], *row[5:], 1, 0)
        for row in sections
    ]
    return b"".join(rows)


def dynamic_elf(tags: list[tuple[int, int]], body: bytes, flags: int = RW) -> bytes:
    """Return a library with these dynamic entries; the body lies at `BASE`."""
    table = b"".join(struct.pack("<QQ", tag & ALL, value & ALL) for tag, value in tags)
    segments = [(LOAD, flags, 0, BASE, len(body)), (DYNAMIC, RW, len(body), BASE + len(body), len(table))]
    return raw_elf(body + table, segments)


def symbol_elf(rows: list[bytes], names: bytes, body: bytes = b"", kind: int = 11) -> bytes:
    """Return a library with a table of symbols and their names, behind a body of code and data."""
    table = b"".join(rows)
    start = len(body)
    sections = [(0,) * 8, (0, kind, 2, 0, start, len(table), 2, 0), (0, 3, 2, 0, start + len(table), len(names), 0, 0)]
    whole = body + table + names
    return raw_elf(whole, [(LOAD, RWX, 0, BASE, len(whole))], sections)


def _symbol(name: int, info: int, value: int, size: int = 0, section: int = 1) -> bytes:
    return struct.pack("<IBBHQQ", name, info, 0, section, value & ALL, size)


def _loads() -> Iterator[tuple[str, Maker]]:
    body = bytes.fromhex("c5f458c1c3") * 8000
    for count in (2, 64, 999, 1000, 1001, 9990, 60_000):
        for flags in (R, RX, RW, RWX):
            rows = [(LOAD, flags, 0, 0x1000000 * (number + 1), len(body)) for number in range(count)]
            yield f"{count} segments of the same bytes, flags {flags}", functools.partial(raw_elf, body, rows)
        rows = [(LOAD, RX, 0, BASE + number, len(body)) for number in range(count)]
        yield f"{count} segments at one address", functools.partial(raw_elf, body, rows)
    for count in (1, 500, 999):
        for name, note in (("empty", bytes(12)), ("property", struct.pack("<III4sII", 4, 8, 5, b"GNU\0", 1, 0))):
            notes = note * 10_000
            rows = [(NOTE, R, 0, BASE, len(notes))] * count
            yield f"{count} segments of {name} notes", functools.partial(raw_elf, notes, rows)
    yield (
        "a note as long as its segment, often",
        functools.partial(
            raw_elf,
            struct.pack("<III4s", 4, 1 << 20, 5, b"GNU\0") + bytes(1 << 20),
            [(NOTE, R, 0, BASE, 1 << 20)] * 900,
        ),
    )


_CODE = {
    "returns": "c3", "no-operations": "90", "no instructions": "06", "questions": "0fa2", "vectors": "c5f458c1c3",
    "tzcnt": "f30fbcc0c3", "jumps to themselves": "ebfe", "addresses": "488d0501000000", "calls": "e800000000",
    "prefixes": "66", "marks": "f30f1efa", "canaries": "64488b042528000000", "tests of the answer": "0fa28905001000c3",
    "doubtful": "f30fbcc01300c3", "zeros": "00",
}  # fmt: skip


def _code() -> Iterator[tuple[str, Maker]]:
    for name, code in _CODE.items():
        for size in (1 << 12, 1 << 16, 1 << 20, 3 << 20):
            body = functools.partial(_repeat, bytes.fromhex(code), size)
            yield (
                f"{size >> 10} KiB of {name}",
                lambda body=body, size=size: raw_elf(  # type: ignore[misc]
                    body(), [(LOAD, RX, 0, BASE, size)]
                ),
            )


def _repeat(piece: bytes, size: int) -> bytes:
    return (piece * (size // len(piece) + 1))[:size]


def _texts() -> Iterator[tuple[str, Maker]]:
    pieces = (b"=/a", b"@/@", b"~/~", b"=/aa/a.c,", b"/.", b"=/....", b"/home/a/", b"@/home/", b".c/", b"/a.c\0")
    for piece in pieces:
        for size in (1 << 16, 1 << 20):
            rows = [(LOAD, R, 0, BASE, size)]
            yield (
                f"{size >> 10} KiB of {piece!r}",
                lambda piece=piece, size=size, rows=rows: raw_elf(  # type: ignore[misc]
                    _repeat(piece, size), rows
                ),
            )


def _dynamic() -> Iterator[tuple[str, Maker]]:
    name = b"\0" + b"x" * 5000 + b":" * 5000
    for tag, what in ((1, "needed"), (14, "names"), (15, "old run paths"), (29, "run paths")):
        for count in (999, 9990, 30_000):
            tags = [(5, BASE), (10, len(name)), *[(tag, 1)] * count]
            yield f"{count} {what} of one long text", functools.partial(dynamic_elf, tags, name)
    for sizes in (0, 1, ALL, 1 << 40, 1 << 63):
        tags = [(7, BASE), (8, sizes), (23, BASE), (2, sizes), (36, BASE), (35, sizes), (25, BASE), (27, sizes)]
        for fill in (0, 255, 1):
            yield f"tables of {sizes} bytes of {fill}", functools.partial(dynamic_elf, tags, bytes([fill]) * 200_000)
    # A thousand pointers by bitmaps that begin again and again at the same place.
    words = struct.pack("<QQ", BASE, ALL) * 20_000
    yield "bitmaps of one place", functools.partial(dynamic_elf, [(36, BASE), (35, len(words))], words)
    array = b"".join(struct.pack("<QQq", BASE + 8 * number, 8, BASE) for number in range(8192))
    tags = [(7, BASE), (8, len(array)), (25, BASE), (27, 1 << 16), (26, BASE), (28, 1 << 16)]
    yield "start-up functions among pointers", functools.partial(dynamic_elf, tags, array, RWX)


def _symbols() -> Iterator[tuple[str, Maker]]:
    code = bytes.fromhex("0fa2c5f458c1c3") * 500
    for kind in (2, 11):
        for count in (1000, 50_000, 300_000):
            for info, what in ((0x12, "functions"), (0x11, "objects"), (0x10, "labels"), (0x1A, "resolvers")):
                rows = [_symbol(1, info, BASE + number % 3000, 1 << 20) for number in range(min(count, 300_000))]
                names = b"\0" + b"n" * 600
                yield (
                    f"{count} {what} of one name, table {kind}",
                    functools.partial(symbol_elf, rows, names, code, kind),
                )
    rows = [_symbol(number % 400, 0x12, 0, 0, 0) for number in range(100_000)]
    yield "undefined symbols that share a text", functools.partial(symbol_elf, rows, b"u" * 1000)
    rows = [_symbol(0xFFFFFFF0, 0x12, ALL - number, ALL) for number in range(10_000)]
    yield "symbols beyond everything", functools.partial(symbol_elf, rows, b"\0")
    yield "objects that overlap, over pointers", _overlapping_objects


def _overlapping_objects() -> bytes:
    """Return a library in which eight thousand objects begin in one table of pointers, and code that asks the CPU."""
    words = [f"f{number % 50}" for number in range(6000)]
    kernel = function("kernel", bytes.fromhex("c5f458c1"), RET, exported=True)
    ask = function("ask", bytes.fromhex("31c00fa2"), RET, exported=True)
    small = [function(f"f{number}", RET) for number in range(50)]
    tables = [variable("table", *words, exported=True)]
    tables += [variable(f"v{number}", bytes(8), exported=True) for number in range(2000)]
    return bytes(build_library(kernel, ask, *small, variables=tables, packed=True).data)


def _versions() -> Iterator[tuple[str, Maker]]:
    names = b"\0" + b"GLIBC_2.34" * 40 + b"\0"
    for libraries in (1, 0xFFFF, 0xFFFFFFFF):
        for count in (0, 1, 0xFFFF):
            for step in (0, 1, 16, ALL & 0xFFFFFFFF):
                row = struct.pack("<HHIII", 1, count, 1, 16, step) + struct.pack("<IHHII", 0, 0, 2, 1, step)
                body = row * 50 + names
                sections = [(0,) * 8, (0, 0x6FFFFFFE, 2, 0, 0, len(row) * 50, 2, libraries)]
                sections.append((0, 3, 2, 0, len(row) * 50, len(names), 0, 0))
                yield (
                    f"{libraries} libraries of {count} versions, {step} apart",
                    functools.partial(raw_elf, body, [(LOAD, R, 0, BASE, len(body))], sections),
                )


def _sections() -> Iterator[tuple[str, Maker]]:
    body = b"\xc3" * 40_000
    kinds = {
        "code": (1, 6),
        "versions": (0x6FFFFFFE, 2),
        "symbols": (2, 0),
        "hashes": (5, 2),
        "GNU hashes": (ALL & 0x6FFFFFF6, 2),
    }
    for what, (kind, flags) in kinds.items():
        for count in (100, 9999, 10_001, 60_000):
            rows = [(number, kind, flags, BASE * number, 0, len(body), 1, 1 << 30) for number in range(count)]
            yield f"{count} sections of {what}", functools.partial(raw_elf, body, [(LOAD, RX, 0, BASE, 100)], rows)
    yield (
        "sections of code without segments",
        functools.partial(raw_elf, body, [], [(0, 1, 6, BASE * number, 0, len(body), 0, 0) for number in range(9999)]),
    )


def _whole() -> bytes:
    shown = function("shown", RET, exported=True)
    table = variable("table", "shown", b"12345678", "@shown", exported=True)
    return bytes(build_library(shown, variables=[table], imports=["__cpu_model"], frames=True).data)


_VALUES = (0, 1, (1 << 31) - 1, 1 << 32, 1 << 63, ALL)


def _fields() -> Iterator[tuple[str, Maker]]:
    """Yield a sound library with one number of its header, or of a segment's, at an extreme."""
    header = [(16 + at, form) for at, form in ((0, "H"), (2, "H"), (8, "Q"), (16, "Q"), (24, "Q"), (36, "H"))]
    header += [(54 + 2 * number, "H") for number in range(5)]
    places = [("header", at, form) for at, form in header]
    places += [(f"segment {number}", HEADER + SEGMENT * number + at, form) for number in range(6)
               for at, form in ((0, "I"), (4, "I"), (8, "Q"), (16, "Q"), (32, "Q"), (40, "Q"))]  # fmt: skip
    for where, at, form in places:
        for value in _VALUES:
            yield f"{where} at {at}: {value:#x}", functools.partial(_changed, at, form, value)


def _changed(at: int, form: str, value: int) -> bytes:
    data = bytearray(_whole())
    struct.pack_into(f"<{form}", data, at, value & ((1 << 8 * struct.calcsize(form)) - 1))
    return bytes(data)


def _frames() -> Iterator[tuple[str, Maker]]:
    for count in (1, 1 << 16, 0xFFFFFFFF):
        head = bytes((1, 0x1B, 3, 0x3B)) + struct.pack("<iI", 0, count)
        for row in ((0, 0), (-1, -1), (12, 12), (1 << 30, -(1 << 31))):
            body = head + struct.pack("<ii", *row) * 60_000
            rows = [(LOAD, RX, 0, BASE, len(body)), (EH_FRAME, R, 0, BASE, len(body))]
            yield f"{count} frames at {row}", functools.partial(raw_elf, body, rows)


def hostile_libraries() -> list[tuple[str, Maker]]:
    """Return every hostile library, as its name and what makes it."""
    families = (_loads, _code, _texts, _dynamic, _symbols, _versions, _sections, _fields, _frames)
    return [case for family in families for case in family()]
