"""Reading a wheel's archive: nothing is trusted, nothing is extracted before it was accepted."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
import zlib
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import NamedTuple

from truewheel.errors import CheckError
from truewheel.wheel.name import WheelName, parse_wheel_name

MAX_MEMBERS = 20_000
MAX_TOTAL_BYTES = 8 << 30
MAX_RATIO = 1000
"""Bounds of a sane wheel; deflate cannot exceed about 1032 to 1."""

_CHUNK = 1 << 20
_FIRST_PRINTABLE = 32
_RECORD_FIELDS = 3


class Member(NamedTuple):
    """One accepted file of a wheel.

    Attributes:
        data: its content.
        executable: whether its mode lets somebody run it.
    """

    data: bytes
    executable: bool = False


class WheelFile(NamedTuple):
    """A wheel read into memory.

    Attributes:
        path: where it was read from.
        name: the parts of its file name.
        sha256: of the file, hexadecimal.
        size: of the file, in bytes.
        members: accepted files by their path in the archive, in its order.
        dist_info: name of the `.dist-info` folder.
    """

    path: Path
    name: WheelName
    sha256: str
    size: int
    members: dict[str, Member]
    dist_info: str

    @property
    def metadata(self) -> Message:
        """Return METADATA as an email message."""
        return BytesParser().parsebytes(self.members[f"{self.dist_info}/METADATA"].data)

    def shared_objects(self) -> dict[str, bytes]:
        """Return the ELF files of the wheel by path."""
        return {path: member.data for path, member in self.members.items() if member.data[:4] == b"\x7fELF"}


def read_wheel(path: Path) -> WheelFile:
    """Read and verify a wheel.

    Raises:
        CheckError: it is no wheel, is damaged, has an unsafe member, or its RECORD does not hold.
    """
    name = parse_wheel_name(path.name)
    try:
        with path.open("rb") as stream:
            sha256, size = _hash_stream(stream)
            stream.seek(0)
            with zipfile.ZipFile(stream) as archive:
                members = _read_members(archive, path.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CheckError(
            f"{path.name} is not a readable wheel: {error}", hint="a wheel is a ZIP archive; download or build it again"
        ) from error
    except OSError as error:
        raise CheckError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from error
    dist_info = f"{name.distribution}-{name.version}.dist-info"
    for required in ("METADATA", "WHEEL", "RECORD"):
        if f"{dist_info}/{required}" not in members:
            raise CheckError(
                f"{path.name} has no {dist_info}/{required}", hint="the archive is not a wheel, or its name was changed"
            )
    _verify_record(members, dist_info, path.name)
    return WheelFile(path, name, sha256, size, members, dist_info)


def record_line_hash(data: bytes) -> str:
    """Return the hash of a file as RECORD spells it: urlsafe base64 of SHA-256 without padding."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _hash_stream(stream: io.BufferedReader) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _read_members(archive: zipfile.ZipFile, wheel: str) -> dict[str, Member]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise CheckError(f"{wheel} has {len(infos)} members, more than the {MAX_MEMBERS} a wheel may have")
    members: dict[str, Member] = {}
    total = 0
    for info in infos:
        _accept_name(info, wheel)
        if info.is_dir():
            continue
        if info.filename in members:
            raise CheckError(f"{wheel} has two members named {info.filename!r}")
        data = _read_bounded(archive, info, wheel)
        total += len(data)
        if total > MAX_TOTAL_BYTES:
            raise CheckError(f"{wheel} unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB")
        members[info.filename] = Member(data, bool(info.external_attr >> 16 & 0o111))
    return members


def _accept_name(info: zipfile.ZipInfo, wheel: str) -> None:
    name = info.filename
    # Not taken apart by PurePosixPath, which drops "." and empty parts: they would let two names mean one file.
    parts = name.removesuffix("/").split("/")
    unsafe = (
        not name
        or name.startswith("/")
        or "\\" in name
        or any(ord(character) < _FIRST_PRINTABLE for character in name)
        or any(part in ("", ".", "..") for part in parts)
        or ":" in parts[0]
        or (info.orig_filename != name)
    )
    if unsafe:
        raise CheckError(f"{wheel} has a member with an unsafe name: {name!r}", hint="do not install this wheel")
    kind = info.external_attr >> 28 & 0xF
    if kind not in (0, 0o10, 0o04):
        raise CheckError(
            f"{wheel} has a member that is no plain file: {name!r}", hint="links and devices have no place in a wheel"
        )


def _read_bounded(archive: zipfile.ZipFile, info: zipfile.ZipInfo, wheel: str) -> bytes:
    """Decompress one member, stopping at what its compressed size can honestly give."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckError(
            f"{wheel}: {info.filename!r} is compressed by method {info.compress_type}",
            hint="a wheel's files are stored or deflated",
        )
    limit = min(info.compress_size * MAX_RATIO + _CHUNK, MAX_TOTAL_BYTES)
    chunks, size = [], 0
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise CheckError(f"{wheel}: {info.filename!r} unpacks to more than its compressed size can hold")
            chunks.append(chunk)
    return b"".join(chunks)


def _verify_record(members: dict[str, Member], dist_info: str, wheel: str) -> None:
    record = f"{dist_info}/RECORD"
    try:
        rows = list(csv.reader(io.StringIO(members[record].data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CheckError(f"{wheel}: RECORD cannot be read: {error}") from error
    unsigned = {record, f"{record}.jws", f"{record}.p7s"}
    seen = set()
    for row in rows:
        if len(row) != _RECORD_FIELDS:
            raise CheckError(f"{wheel}: RECORD has a line with {len(row)} fields instead of 3")
        path, digest, size = row
        if path in seen:
            raise CheckError(f"{wheel}: RECORD names {path!r} twice")
        seen.add(path)
        if path in unsigned:
            continue
        if path not in members:
            raise CheckError(f"{wheel}: RECORD names {path!r}, which the archive does not have")
        data = members[path].data
        if size and size != str(len(data)):
            raise CheckError(f"{wheel}: {path!r} has {len(data)} bytes, RECORD says {size}")
        if not _hash_matches(digest, data):
            raise CheckError(f"{wheel}: {path!r} does not have the hash that RECORD says", hint="the wheel was changed")
    extra = sorted(set(members) - seen - unsigned)
    if extra:
        raise CheckError(f"{wheel}: {extra[0]!r} is in the archive but not in RECORD", hint="the wheel was changed")


def _hash_matches(digest: str, data: bytes) -> bool:
    algorithm, _, value = digest.partition("=")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return False
    computed = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
    return computed == value.rstrip("=")
