"""What a file or a folder holds, part by part: looked at by size and time first, and by content where that may lie."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.files import open_file, read_file

MOST_DAYS = 7
"""A content that was hashed longer ago is hashed again, whatever its times say: disks forget."""

_CHUNK = 1 << 20
_DAY = 86_400 * 10**9
_MOMENT = 2 * 10**9
"""A file that changed so shortly before it was hashed may have changed again within one tick of the clock, ns."""


class KeptPart(msgspec.Struct, frozen=True, array_like=True):
    """One file, link or folder.

    Attributes:
        path: below the whole; empty for the whole itself.
        kind: `f`, `l` or `d`; another letter for what nobody keeps.
        mode: permissions of a file.
        content: SHA-256 of a file, target of a link.
        size: bytes of a file.
        stamp: time of change, time of the last change of anything (which no program can set), number, of a file.
        seen: when the content was hashed, ns.
    """

    path: bytes
    kind: str
    mode: int = 0
    content: bytes = b""
    size: int = 0
    stamp: tuple[int, int, int] = (0, 0, 0)
    seen: int = 0


class Compared(NamedTuple):
    """What became of the parts.

    Attributes:
        parts: those that are there, as they are now, without those that are not as they were.
        changed: what is to be said of each of the others.
        hashed: whether a content was hashed.
    """

    parts: tuple[KeptPart, ...]
    changed: dict[bytes, str]
    hashed: bool


class _Clock(NamedTuple):
    """Whom to trust: parts that were seen not long ago, since the machine was started."""

    now: int
    trusted: bool


@functools.cache
def boot() -> str:
    """Return what changes each time the machine starts; nothing where the system does not say.

    What was not on the disk yet when the power went has its size and its times, and another content.
    """
    try:
        return read_file(Path("/proc/sys/kernel/random/boot_id"), 100).decode("ascii", "replace").strip()
    except OSError:
        return ""


def compare_parts(path: Path, known: Mapping[bytes, KeptPart], *, since: str, always: bool) -> Compared:
    """Compare what is there with what was.

    Args:
        path: file or folder.
        known: what was there, by path.
        since: the start of the machine under which it was seen.
        always: hash every content, whatever size and times say.

    Raises:
        OSError: something cannot be read.
    """
    clock = _Clock(time.time_ns(), bool(since) and since == boot() and not always)
    parts, changed, hashed, left = [], {}, False, dict(known)
    for name, status in _walk(path):
        former = left.pop(name, None)
        if former is None:
            changed[name] = "was put there"
        elif not _alike(former, status):
            changed[name] = "was changed"
        elif _is_seen(former, status, clock):
            parts.append(former)
        else:
            part, hashed = _describe(path, name, status, clock.now), True
            if part.content == former.content:
                parts.append(part)
            else:
                changed[name] = "was changed"
    return Compared(tuple(parts), changed | dict.fromkeys(left, "is gone"), hashed)


def list_parts(path: Path, known: Mapping[bytes, KeptPart], *, since: str) -> tuple[KeptPart, ...]:
    """Return what is there now; what is known and was seen in this state is not hashed again.

    Raises:
        OSError: something cannot be read.
    """
    clock = _Clock(time.time_ns(), bool(since) and since == boot())
    parts = []
    for name, status in _walk(path):
        former = known.get(name)
        trusted = former is not None and _alike(former, status) and _is_seen(former, status, clock)
        parts.append(former if trusted and former is not None else _describe(path, name, status, clock.now))
    return tuple(parts)


def _walk(path: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the path of each part below the whole, and its status; links are not followed."""
    root, status = os.fsencode(path), path.lstat()
    yield b"", status
    waiting = [b""] if stat.S_ISDIR(status.st_mode) else []
    while waiting:
        folder = waiting.pop()
        with os.scandir(root + b"/" + folder) as entries:
            for entry in entries:
                name = folder + b"/" + entry.name if folder else entry.name
                status = entry.stat(follow_symlinks=False)
                yield name, status
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(name)


def _alike(former: KeptPart, status: os.stat_result) -> bool:
    """Compare what needs no reading."""
    kind = _kind(status)
    if kind != "f":
        return former.kind == kind
    return (former.kind, former.mode, former.size) == (kind, stat.S_IMODE(status.st_mode), status.st_size)


def _is_seen(former: KeptPart, status: os.stat_result, clock: _Clock) -> bool:
    """Return whether a part has the content that it had; a link is read each time."""
    if former.kind == "d":
        return True
    recent = 0 <= clock.now - former.seen < MOST_DAYS * _DAY
    settled = former.seen - max(former.stamp[:2]) > _MOMENT
    return former.kind == "f" and clock.trusted and recent and settled and former.stamp == _stamp(status)


def _describe(whole: Path, name: bytes, status: os.stat_result, now: int) -> KeptPart:
    path, kind = (whole / os.fsdecode(name) if name else whole), _kind(status)
    if kind == "l":
        return KeptPart(name, kind, content=os.fsencode(path.readlink()))
    if kind == "d":
        return KeptPart(name, kind)
    content = _hash(path, status.st_size)
    return KeptPart(name, kind, stat.S_IMODE(status.st_mode), content, status.st_size, _stamp(status), now)


def _hash(path: Path, size: int) -> bytes:
    """Return the SHA-256 of a file; of what has grown since, no more than its size is read."""
    digest, left = hashlib.sha256(), size
    with open_file(path) as stream:
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.digest()


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFREG: "f", stat.S_IFLNK: "l", stat.S_IFDIR: "d"}
    return kinds.get(stat.S_IFMT(status.st_mode), "?")


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino
