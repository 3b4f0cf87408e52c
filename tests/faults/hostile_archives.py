"""Archives and models that ask for far more work than their size allows, made by code; each is told by its name."""

from __future__ import annotations

import functools
import io
import struct
import zipfile
from collections.abc import Callable

from factories import DIST_INFO, record_of

from truewheel.wheel.archive import Member

FILENAME = "toy_engine-1.2.3-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.2.3\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
ALL = (1 << 64) - 1
Maker = Callable[[], bytes]


def wheel_of(files: dict[str, bytes], record: bytes | None = None) -> bytes:
    """Return a wheel of these files, with the RECORD that fits or another."""
    texts = {f"{DIST_INFO}/METADATA": METADATA.encode(), f"{DIST_INFO}/WHEEL": WHEEL.encode()}
    members = {**texts, **files}
    if record is None:
        record = ("\n".join(record_of({path: Member(data) for path, data in members.items()})) + "\n").encode()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**members, f"{DIST_INFO}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def _with(path: str, text: str) -> bytes:
    return wheel_of({f"{DIST_INFO}/{path}": text.encode()})


def _metadata(lines: str) -> bytes:
    return _with("METADATA", METADATA + lines)


def _record(line: str, count: int) -> bytes:
    return wheel_of({}, (line * count).encode())


def _archive(count: int, *, name: int = 8, extra: int = 0, same: bool = True) -> bytes:
    """Return an archive whose directory names members that all begin at one place, or claim to."""
    local_name, fields = b"n" * name, b"".join(struct.pack("<HH", number, 0) for number in range(extra // 4))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, name, len(fields)) + local_name + fields
    rows = [
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, name, 0, 0, 0, 0, 0, 0 if same else number)
        + local_name
        for number in range(count)
    ]
    directory = b"".join(rows)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(local), 0)
    return local + directory + end


def _many(count: int, make: Callable[[int], str]) -> bytes:
    return wheel_of({make(number): b"" for number in range(count)})


def _bomb(size: int, path: str, piece: bytes = b"\0") -> bytes:
    return wheel_of({path: (piece * (size // len(piece) + 1))[:size]})


def _lying(size: int) -> bytes:
    """Return an archive of one member that claims another size."""
    data = bytearray(wheel_of({}))
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<L", data, data.find(signature) + at, size)
    return bytes(data)


def _nested(depth: int) -> bytes:
    data = b"x"
    for _ in range(depth):
        data = wheel_of({"toy_engine/inner.whl": data})
    return data


def hostile_archives() -> list[tuple[str, Maker]]:
    """Return every hostile archive, as its name and what makes it."""
    part = functools.partial
    wide = "-".join([".".join("abcdefgh" * 20)] * 3)
    cases: list[tuple[str, Maker]] = [
        ("METADATA of 10 MB", part(_metadata, "X: y\n" * 2_000_000)),
        ("METADATA of 1 MB of keys", part(_metadata, "X: y\n" * 200_000)),
        ("METADATA of 1 MB of folded lines", part(_metadata, "X: y\n" + " y\n" * 300_000)),
        ("METADATA of one long line", part(_metadata, "X: " + "y" * 1_000_000)),
        ("Requires-Dist of 1 MB", part(_metadata, "Requires-Dist: " + "x" * 1_000_000)),
        ("200,000 requirements", part(_metadata, "Requires-Dist: y\n" * 60_000)),
        ("markers nested 10,000 deep", part(_metadata, f"Requires-Dist: y; {'(' * 10_000}x{')' * 10_000}\n")),
        ("a version of 100,000 digits", part(_with, "METADATA", METADATA.replace("1.2.3", "9" * 100_000))),
        ("a version of 100,000 dots", part(_with, "METADATA", METADATA.replace("1.2.3", "1" + ".1" * 100_000))),
        ("a name of 100,000 dashes", part(_with, "METADATA", METADATA.replace("toy-engine", "-" * 100_000))),
        ("100,000 entry-point sections", part(_with, "entry_points.txt", "".join(f"[{n}]\n" for n in range(100_000)))),
        ("30,000 entry-point sections", part(_with, "entry_points.txt", "".join(f"[{n}]\n" for n in range(30_000)))),
        ("entry points of spaces", part(_with, "entry_points.txt", "[x]\n" + "a" + " " * 200_000 + "\n")),
        ("entry points of equal signs", part(_with, "entry_points.txt", "[x]\n" + "=" * 200_000 + "\n")),
        ("WHEEL of 100,000 tags", part(_with, "WHEEL", WHEEL + "Tag: py3-none-any\n" * 100_000)),
        ("WHEEL of a tag of 10,000 parts", part(_with, "WHEEL", WHEEL + f"Tag: {'.'.join(['a'] * 9000)}-b-c\n")),
        (
            "WHEEL of tags that multiply",
            part(_with, "WHEEL", WHEEL + f"Tag: {wide}\n"),
        ),
        ("truewheel.json nested 500,000 deep", part(_with, "truewheel.json", "[" * 500_000)),
        ("truewheel.json of 1 MB of numbers", part(_with, "truewheel.json", f'{{"schema": {"9" * 900_000}}}')),
        ("RECORD of a million lines", part(_record, "a,,\n", 1_000_000)),
        ("RECORD of a million short lines", part(_record, ",\n", 1_000_000)),
        ("RECORD of commas", part(_record, ",", 250_000)),
        ("RECORD of quotes", part(_record, '"', 250_001)),
        ("RECORD of one line twice", part(_record, "toy_engine/x.py,sha256=a,1\n", 9000)),
        ("nested archives", part(_nested, 40)),
        ("an entry that claims 4 GiB", part(_lying, 0xFFFFFFFE)),
        ("an entry that claims a field", part(_lying, 0xFFFFFFFF)),
        ("an entry that claims one byte", part(_lying, 1)),
    ]
    for count in (10_000, 60_000):
        cases += [
            (f"{count} members at one place", part(_archive, count)),
            (f"{count} members at one place with long fields", part(_archive, count, extra=65_532)),
            (f"{count} members of long names at one place", part(_archive, count, name=400)),
            (f"{count} members at growing places", part(_archive, count, same=False)),
        ]
    for count in (2000, 20_000):
        cases += [
            (f"{count} folders", part(_many, count, lambda number: f"{number}/x")),
            (f"{count} deep names", part(_many, count, lambda number: f"{number}/" + "d/" * 450 + "x")),
            (f"{count} names that grow", part(_many, count, lambda number: f"{number}" + "\ufdfa" * 80)),
            (f"{count} names of marks", part(_many, count, lambda number: f"{number}" + "\u0315\u0300" * 50)),
            (f"{count} modules", part(_many, count, lambda number: f"toy_engine/m{number}.py")),
            (f"{count} modules of depth", part(_many, count, lambda number: "/".join("abcdefgh") + f"/m{number}.py")),
        ]
    for size in (1 << 20, 32 << 20, 63 << 20, 200 << 20):
        cases += [
            (f"{size >> 20} MiB of zeros", part(_bomb, size, "toy_engine/zeros.bin")),
            (f"{size >> 20} MiB of zeros that call themselves a library", part(_bomb, size, "toy_engine/x.so")),
        ]
    return cases


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _key(kind: int, value: bytes) -> bytes:
    return _text(b"a") + struct.pack("<I", kind) + value


def _array(inner: int, count: int, value: bytes) -> bytes:
    return _key(9, struct.pack("<IQ", inner, count) + value)


def _tensor(dimensions: tuple[int, ...], offset: int) -> bytes:
    count = len(dimensions)
    return _text(b"t") + struct.pack(f"<I{count}QIQ", count, *dimensions, 0, offset)


def _gguf(tensors: int, keys: int, rest: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


def hostile_models() -> list[tuple[str, Maker]]:
    """Return every hostile model, as its name and what makes it."""
    part = functools.partial
    cases: list[tuple[str, Maker]] = []
    for count in (0, 1, 99_999, 100_001, 1 << 32, 1 << 63, ALL):
        cases += [
            (f"{count} tensors", part(_gguf, count, 0, bytes(4096))),
            (f"{count} keys", part(_gguf, 0, count, bytes(4096))),
            (
                f"an array of {count} texts",
                part(_gguf, 0, 1, _array(8, count, bytes(4096))),
            ),
            (
                f"an array of {count} numbers",
                part(_gguf, 0, 1, _array(4, count, bytes(99))),
            ),
            (f"a text of {count} bytes", part(_gguf, 0, 1, _key(8, struct.pack("<Q", count) + bytes(99)))),
            (f"a name of {count} bytes", part(_gguf, 0, 1, struct.pack("<Q", count) + bytes(99))),
            (
                f"a tensor of {count} rows",
                part(_gguf, 1, 0, _tensor((count,) * 4, 0)),
            ),
            (f"a tensor at {count}", part(_gguf, 1, 0, _tensor((4,), count))),
        ]
    array = _array(8, 4 << 20, bytes(32 << 20))
    cases += [
        ("20 million empty texts in five arrays", lambda: _gguf(0, 5, array * 5)),
        ("4 million empty texts", part(_gguf, 0, 1, array)),
        ("2 million texts", lambda: _gguf(0, 1, _array(8, 2 << 20, bytes(16 << 20)))),
        ("arrays of arrays", part(_gguf, 0, 1, _text(b"a") + struct.pack("<IIQ", 9, 9, 1 << 20) * 1000)),
        ("99,999 keys of one byte", lambda: _gguf(0, 99_999, (_text(b"k") + struct.pack("<IB", 0, 1)) * 99_999)),
        (
            "99,999 keys of long names",
            lambda: _gguf(0, 99_999, (_text(b"k" * 500) + bytes(5)) * 99_999),
        ),
        ("99,999 tensors", lambda: _gguf(99_999, 0, (_text(b"t") + struct.pack("<IQIQ", 1, 1, 0, 0)) * 99_999)),
        (
            "64 lists of numbers",
            lambda: _gguf(0, 99, _array(10, 4096, bytes(32768)) * 99),
        ),
        ("32 texts of 8 MiB", lambda: _gguf(0, 32, (_text(b"k") + struct.pack("<I", 8) + _text(bytes(8 << 20))) * 32)),
    ]
    cases += [(f"version {version}", part(_gguf, 0, 0, bytes(64), version)) for version in (0, 1, 2, 4, 0x3000000)]
    cases += [
        (
            f"alignment {value}",
            part(_gguf, 0, 1, _text(b"general.alignment") + struct.pack("<IQ", 10, value) + bytes(64)),
        )
        for value in (0, 7, 8, 1 << 20, 1 << 21, ALL)
    ]
    return cases
