"""Hashes of files that people keep, as wheels: remembered, and looked up as long as size and times are the same."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from truewheel.kept.parts import KeptPart, boot, list_parts
from truewheel.kept.record import read_record, write_record


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    boot: str = ""
    parts: dict[bytes, KeptPart] = {}


def hash_files(paths: Iterable[Path], record: Path) -> dict[Path, str]:
    """Return the SHA-256 of each file; none of what is no regular file, or cannot be read.

    Args:
        paths: the files.
        record: where hashes are remembered; where they cannot be, all files are read each time.
    """
    seen = _recall(record)
    found: dict[Path, KeptPart] = {}
    for path in paths:
        former = seen.parts.get(os.fsencode(path))
        with contextlib.suppress(OSError):
            (part, *others) = list_parts(path, {b"": former} if former else {}, since=seen.boot)
            if part.kind == "f" and not others:
                found[path] = part
    parts = {os.fsencode(path): part for path, part in found.items()}
    if parts != seen.parts or seen.boot != boot():
        with contextlib.suppress(OSError):
            write_record(record, msgspec.msgpack.encode(_Seen(boot(), parts)))
    return {path: part.content.hex() for path, part in found.items()}


def _recall(record: Path) -> _Seen:
    data = read_record(record)
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.msgpack.decode(data, type=_Seen) if data else _Seen()
    return _Seen()
