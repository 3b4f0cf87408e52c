"""RECORD: what a wheel says of each of its files."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from truewheel.wheel.container import Fault, printable

ALGORITHMS = ("sha256", "sha384", "sha512")
_FIELDS = 3
_MAX_DIGITS = 19
_FIRST_PRINTABLE = 32
_MAX_MORE = 1000
"""Lines of RECORD beyond one for each file, at which reading ends: each of them is a fault."""


class Digests(NamedTuple):
    """What a file really is.

    Attributes:
        size: its bytes.
        sha256: of its content, hexadecimal.
        others: digests by other algorithms that RECORD asked for, hexadecimal.
    """

    size: int
    sha256: str
    others: Mapping[str, str] = {}


def encode_digest(digest: bytes) -> str:
    """Return a digest as RECORD spells it: urlsafe base64 without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def record_line_hash(data: bytes) -> str:
    """Return a file's hash as RECORD spells it."""
    return "sha256=" + encode_digest(hashlib.sha256(data).digest())


def asked_algorithms(data: bytes) -> dict[str, str]:
    """Return by path the algorithm that RECORD's bytes name; nothing of what cannot be read."""
    try:
        return {row[0]: row[1].partition("=")[0] for row in _rows(data) if len(row) == _FIELDS}
    except (UnicodeDecodeError, csv.Error):
        return {}


def verify_record(data: bytes | None, record: str, files: Mapping[str, Digests]) -> Iterator[Fault]:
    """Yield every way in which RECORD and the archive's files disagree.

    Args:
        data: RECORD's bytes; None where there is none.
        record: its path.
        files: what each file of the archive is, RECORD among them.
    """
    if data is None:
        yield Fault("RECORD-MISSING", record, "it is not there")
        return
    try:
        rows = list(itertools.islice(_rows(data), len(files) + _MAX_MORE))
    except (UnicodeDecodeError, csv.Error) as error:
        yield Fault("RECORD-FORMAT", record, f"it cannot be read: {error}")
        return
    if len(rows) == len(files) + _MAX_MORE:
        yield Fault("RECORD-FORMAT", record, f"it has {len(rows)} lines or more, and the archive {len(files)} files")
        return
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if len(row) != _FIELDS:
            yield Fault("RECORD-FORMAT", record, f"line {number} has {len(row)} fields instead of 3")
            continue
        if row[0] in seen:
            yield Fault("RECORD-TWICE", printable(row[0]), "RECORD names it twice")
        seen.add(row[0])
        yield from _line(row[0], row[1], row[2], record, files)
    if record not in seen and seen:
        yield Fault("RECORD-UNLISTED", record, "RECORD does not name itself")
    for path in sorted(set(files) - seen - _unsigned(record) - {record}):
        yield Fault("RECORD-UNLISTED", path, "it is in the archive, RECORD does not name it")


def _rows(data: bytes) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)


def _unsigned(record: str) -> set[str]:
    """Return the signatures of RECORD, which cannot be in it."""
    return {f"{record}.jws", f"{record}.p7s"}


def _line(path: str, digest: str, size: str, record: str, files: Mapping[str, Digests]) -> Iterator[Fault]:
    if not _is_plain(path):
        yield Fault("RECORD-FORMAT", printable(path), "RECORD names a path that leads elsewhere")
    elif size and not (size.isascii() and size.isdigit() and len(size) <= _MAX_DIGITS):
        yield Fault("RECORD-FORMAT", path, f"its size in RECORD is {size[:40]!r}")
    elif path == record:
        if digest or size:
            yield Fault("RECORD-FORMAT", path, "RECORD has a hash or a size of itself")
    elif path not in files:
        yield Fault("RECORD-ABSENT", path, "RECORD names it, the archive does not have it")
    elif digest or path not in _unsigned(record):
        yield from _compare(path, digest, size, files[path])


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return not (
        "\\" in path
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(character) < _FIRST_PRINTABLE for character in path)
    )


def _compare(path: str, digest: str, size: str, file: Digests) -> Iterator[Fault]:
    if size and int(size) != file.size:
        yield Fault("RECORD-HASH", path, f"it has {file.size} bytes, RECORD says {size}")
        return
    algorithm, _, value = digest.partition("=")
    if algorithm not in ALGORITHMS:
        yield Fault("RECORD-WEAK", path, f"RECORD has {'no hash' if not digest else algorithm[:20]!r} for it")
        return
    real = bytes.fromhex(file.sha256 if algorithm == "sha256" else file.others.get(algorithm, ""))
    if value == encode_digest(real):
        return
    try:
        known = (
            "+" not in value
            and "/" not in value
            and len(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)) == len(real)
        )
    except (binascii.Error, ValueError):
        known = False
    if known and not value.endswith("="):
        yield Fault("RECORD-HASH", path, "it does not have the hash that RECORD says")
    else:
        yield Fault("RECORD-WEAK", path, f"its {algorithm} in RECORD is not spelled as the format says")
