"""A strict reader of ZIP archives: it accepts one plain archive that every other reader would read alike.

Format: PKWARE's APPNOTE 6.3. What it leaves open, or allows and no wheel needs, is refused: an archive
that two readers understand differently is how a file gets past whoever looked at it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, NoReturn

from truewheel.text import spell

MAX_MEMBERS = 100_000
MAX_TOTAL_BYTES = 8 << 30
FREE_BYTES = 64 << 20
MAX_RATIO = 200
"""An archive may unpack to `FREE_BYTES` and `MAX_RATIO` times its own size, and to no more than `MAX_TOTAL_BYTES`."""

STORED, DEFLATED = 0, 8
_NEWEST_VERSION = 63
"""The version needed to extract that Python's zipfile still reads, times ten."""

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_END_HEADER = struct.Struct("<4s4H2LH")
_LOCATOR_RECORD = struct.Struct("<4sLQL")
_END64_RECORD = struct.Struct("<4sQ2H2L4Q")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_ALL_ONES = {2: 0xFFFF, 4: 0xFFFFFFFF}
_ENCRYPTED, _DESCRIBED, _UTF8 = 0x1, 0x8, 0x800
_ALLOWED_FLAGS = 0x6 | _DESCRIBED | _UTF8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_NAME_IN_UNICODE_PATH = 5
_TWO_SIZES = 16
_CHUNK = 1 << 20
_MAX_DIRECTORY = 32 << 20


class Fault(NamedTuple):
    """One reason to refuse an archive.

    Attributes:
        code: stable name.
        where: the member that it is about; empty for the archive as a whole.
        message: what is wrong.
    """

    code: str
    where: str
    message: str


class RefusedError(Exception):
    """The archive is not accepted."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


class RawMember(NamedTuple):
    """One member as both of its headers say alike.

    Attributes:
        raw_name: its name's bytes.
        utf8: whether they are marked as UTF-8.
        method: `STORED` or `DEFLATED`.
        crc: CRC-32 of the content.
        compressed: bytes in the archive.
        size: bytes of the content.
        data: offset of its first byte in the archive.
        mode: Unix mode, 0 where the writer gave none.
    """

    raw_name: bytes
    utf8: bool
    method: int
    crc: int
    compressed: int
    size: int
    data: int
    mode: int


class _Directory(NamedTuple):
    offset: int
    size: int
    members: int


class _Central(NamedTuple):
    raw_name: bytes
    flags: int
    method: int
    stamp: int
    crc: int
    compressed: int
    size: int
    offset: int
    mode: int


def read_members(stream: BinaryIO, size: int) -> list[RawMember]:
    """Return the members of an archive whose whole structure was accepted; no content is looked at.

    Args:
        stream: the archive, seekable.
        size: its bytes.

    Raises:
        RefusedError: with the first fault.
    """
    directory = _find_directory(stream, size)
    entries = list(_central_entries(stream, directory))
    total = sum(entry.size for entry in entries)
    if total > min(MAX_TOTAL_BYTES, FREE_BYTES + MAX_RATIO * size):
        _refuse("ARCHIVE-LIMIT", f"it claims to unpack to {total} bytes from {size}")
    # In the order of the file, so that no byte of it is read for a second member that claims it.
    order = sorted(range(len(entries)), key=lambda index: entries[index].offset)
    members: dict[int, RawMember] = {}
    at, before = 0, ""
    for index in order:
        entry = entries[index]
        if entry.offset < at:
            _refuse("ARCHIVE-OVERLAP", f"it shares bytes with {before!r}", _shown(entry.raw_name))
        if at < entry.offset < directory.offset:
            _unclaimed(stream, at, entry.offset)
        members[index], at = _read_local(stream, entry, directory.offset)
        before = _shown(entry.raw_name)
    if at < directory.offset:
        _unclaimed(stream, at, directory.offset)
    return [members[index] for index in range(len(entries))]


def _refuse(code: str, message: str, where: str = "") -> NoReturn:
    raise RefusedError(Fault(code, where, message))


def printable(text: str) -> str:
    """Return a name that somebody else chose so that it can be shown: no control characters, not too long."""
    return spell(text[:200])


def _shown(raw: bytes) -> str:
    return printable(raw[:200].decode("utf-8", "backslashreplace"))


def _take(stream: BinaryIO, offset: int, count: int) -> bytes:
    stream.seek(offset)
    data = stream.read(count)
    if len(data) != count:
        _refuse("ARCHIVE-UNREADABLE", "it is cut off")
    return data


def _find_directory(stream: BinaryIO, size: int) -> _Directory:
    """Find the one end record, which must be the last thing in the file."""
    if size < _END_HEADER.size:
        _refuse("ARCHIVE-UNREADABLE", "it is too short to be a ZIP archive")
    reach = min(size, _END_HEADER.size + _LONGEST_COMMENT)
    tail = _take(stream, size - reach, reach)
    at = size - _END_HEADER.size
    if tail[-_END_HEADER.size :][:4] != _END:
        _explain_end(stream, tail)
    _, disk, first_disk, here, count, length, offset, comment = _END_HEADER.unpack(tail[-_END_HEADER.size :])
    if comment:
        _refuse("ARCHIVE-UNREADABLE", "its end record claims a comment that is not there")
    directory = _Directory(offset, length, count)
    at, directory = _zip64_directory(stream, at, directory, (disk, first_disk, here))
    if directory.members > MAX_MEMBERS:
        _refuse("ARCHIVE-LIMIT", f"it has {directory.members} members, a wheel may have {MAX_MEMBERS}")
    if directory.size > _MAX_DIRECTORY:
        _refuse("ARCHIVE-LIMIT", f"its directory has {directory.size} bytes")
    end = directory.offset + directory.size
    if end > at or directory.size < directory.members * _CENTRAL_HEADER.size:
        _refuse("ARCHIVE-UNREADABLE", "its directory does not lie where the end record says")
    if end < at:
        _explain_gap(stream, end, at, directory)
    return directory


def _explain_end(stream: BinaryIO, tail: bytes) -> NoReturn:
    """Say what follows the last end record, or that there is none."""
    found = tail.rfind(_END)
    if found < 0:
        reason = "it has no end record" if _take(stream, 0, 4) == _LOCAL else "it is no ZIP archive"
        _refuse("ARCHIVE-UNREADABLE", f"{reason}; it may be cut off")
    if tail.find(_END) != found:
        _refuse("ARCHIVE-STACKED", "it has more than one end record")
    if len(tail) - found < _END_HEADER.size:
        _refuse("ARCHIVE-UNREADABLE", "its end record is cut off")
    comment = _END_HEADER.unpack_from(tail, found)[-1]
    after = len(tail) - found - _END_HEADER.size
    what = f"a comment of {after} bytes follows" if comment == after else f"{after} bytes follow"
    _refuse("ARCHIVE-TRAILING", f"{what} its end record")


def _explain_gap(stream: BinaryIO, start: int, end: int, directory: _Directory) -> NoReturn:
    """Say what lies between the directory's claimed end and the end record."""
    # A prepended file shifts everything: then the directory lies as much further on as the gap is long.
    shift = end - start
    if _signature(stream, directory.offset) != _CENTRAL and _signature(stream, directory.offset + shift) == _CENTRAL:
        if _holds(stream, 0, shift, _END):
            _refuse("ARCHIVE-STACKED", f"another archive stands in front of it ({shift} bytes)")
        _refuse("ARCHIVE-LEADING", f"{shift} bytes stand in front of the archive")
    code = "ARCHIVE-STACKED" if _holds(stream, start, end, _END) else "ARCHIVE-HIDDEN"
    _refuse(code, f"{shift} bytes between its directory and its end record belong to nothing")


def _signature(stream: BinaryIO, offset: int) -> bytes:
    stream.seek(offset)
    return stream.read(4)


def _holds(stream: BinaryIO, start: int, end: int, needle: bytes) -> bool:
    stream.seek(start)
    before, left = b"", end - start
    while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
        if needle in before + chunk:
            return True
        before, left = chunk[-len(needle) :], left - len(chunk)
    return False


def _zip64_directory(
    stream: BinaryIO, end: int, directory: _Directory, disks: tuple[int, int, int]
) -> tuple[int, _Directory]:
    """Follow the ZIP64 records when there are any; return where the directory must end, and the directory."""
    ones = directory.members == _ALL_ONES[2] or _ALL_ONES[4] in (directory.size, directory.offset)
    at = end - _LOCATOR_RECORD.size
    located = at >= 0 and _signature(stream, at) == _LOCATOR
    if not located:
        if ones and not (directory.members == _ALL_ONES[2] and _ALL_ONES[4] not in (directory.size, directory.offset)):
            _refuse("ARCHIVE-ZIP64", "its end record points to a ZIP64 record that is not there")
        _check_disks(disks, directory.members)
        return end, directory
    _, disk, offset64, disk_count = _LOCATOR_RECORD.unpack(_take(stream, at, _LOCATOR_RECORD.size))
    if offset64 + _END64_RECORD.size != at or _signature(stream, offset64) != _END64:
        _refuse("ARCHIVE-ZIP64", "its ZIP64 locator does not point to a ZIP64 end record just before it")
    record = _END64_RECORD.unpack(_take(stream, offset64, _END64_RECORD.size))
    _, length, _, _, number, first, here, count, size, offset = record
    if length != _END64_RECORD.size - 12 or (disk, number, first) != (0, 0, 0) or disk_count != 1 or here != count:
        _refuse("ARCHIVE-ZIP64", "its ZIP64 end record is not that of one plain archive")
    whole = _Directory(offset, size, count)
    for short, real, width in zip(directory, whole, (4, 4, 2), strict=True):
        if short not in (real, _ALL_ONES[width]):
            _refuse("ARCHIVE-ZIP64", "its end record and its ZIP64 end record contradict each other")
    if any(number not in (0, _ALL_ONES[2]) for number in disks[:2]) or disks[2] not in (directory.members, count):
        _refuse("ARCHIVE-ZIP64", "its end record and its ZIP64 end record contradict each other")
    return offset64, whole


def _check_disks(disks: tuple[int, int, int], count: int) -> None:
    if disks[:2] != (0, 0) or disks[2] != count:
        _refuse("ARCHIVE-UNREADABLE", "it is spread over several disks, or its end record miscounts")


def _central_entries(stream: BinaryIO, directory: _Directory) -> Iterator[_Central]:
    data = _take(stream, directory.offset, directory.size)
    at = 0
    for _ in range(directory.members):
        if data[at : at + 4] != _CENTRAL or at + _CENTRAL_HEADER.size > len(data):
            _refuse("ARCHIVE-UNREADABLE", f"its directory is damaged at {directory.offset + at}")
        header = _CENTRAL_HEADER.unpack_from(data, at)
        flags, method, time, date, crc, compressed, size, names, extras, comments, disk, _, attributes, offset = header[
            3:
        ]
        start = at + _CENTRAL_HEADER.size
        at = start + names + extras + comments
        if at > len(data):
            _refuse("ARCHIVE-UNREADABLE", "its directory is cut off")
        raw = data[start : start + names]
        if disk:
            _refuse("ARCHIVE-UNREADABLE", "a member lies on another disk", _shown(raw))
        if comments:
            _refuse("ARCHIVE-HIDDEN", "a comment hides in the directory", _shown(raw))
        _check_method(raw, flags, method)
        _check_version(raw, header[2])
        wide = {"size": size, "compressed": compressed, "offset": offset}
        extra = _read_extra(data[start + names : start + names + extras], raw)
        values = _zip64_values(extra, wide, raw)
        stamp = date << 16 | time
        sizes = values["compressed"], values["size"], values["offset"]
        yield _Central(raw, flags, method, stamp, crc, *sizes, attributes >> 16)
    if at != len(data):
        code = "ARCHIVE-STACKED" if _END in data[at:] else "ARCHIVE-UNREADABLE"
        _refuse(code, "its directory holds more than its end record counts")


def _check_method(raw: bytes, flags: int, method: int) -> None:
    if flags & _ENCRYPTED:
        _refuse("ARCHIVE-METHOD", "it is encrypted", _shown(raw))
    if flags & ~_ALLOWED_FLAGS:
        _refuse("ARCHIVE-METHOD", f"it has flags that no wheel needs ({flags:#06x})", _shown(raw))
    if method not in (STORED, DEFLATED):
        _refuse(
            "ARCHIVE-METHOD",
            f"it is compressed by method {method}; a wheel's files are stored or deflated",
            _shown(raw),
        )


def _check_version(raw: bytes, version: int) -> None:
    # The upper byte is for the system that wrote it; pip's reader goes by the lower one alone.
    if version & 0xFF > _NEWEST_VERSION:
        newest = f"{_NEWEST_VERSION // 10}.{_NEWEST_VERSION % 10}"
        _refuse("ARCHIVE-METHOD", f"it needs a newer ZIP than {newest}, which installers do not read", _shown(raw))


def _read_extra(data: bytes, raw: bytes) -> dict[int, bytes]:
    """Read a list of extra fields; it must fill its space, and name none of those that we follow twice."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            _refuse("ARCHIVE-HEADER", "its extra fields are damaged", _shown(raw))
        kind, length = struct.unpack_from("<2H", data, at)
        if at + 4 + length > len(data):
            _refuse("ARCHIVE-HEADER", "its extra fields are damaged", _shown(raw))
        if kind in fields:
            code = "ARCHIVE-ZIP64" if kind == _ZIP64 else "ARCHIVE-HEADER"
            _refuse(code, f"it has the extra field {kind:#06x} twice", _shown(raw))
        fields[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    path = fields.get(_UNICODE_PATH)
    if path is not None and path[_NAME_IN_UNICODE_PATH:] != raw:
        _refuse("ARCHIVE-HEADER", "a second name hides in its extra fields", _shown(raw))
    return fields


def _zip64_values(extra: dict[int, bytes], wide: dict[str, int], raw: bytes) -> dict[str, int]:
    """Replace 32-bit fields of all ones by the 64-bit values of the extra field."""
    field = extra.get(_ZIP64)
    missing = [name for name, value in wide.items() if value == _ALL_ONES[4]]
    if field is None:
        if missing:
            _refuse("ARCHIVE-ZIP64", f"its {missing[0]} points to a ZIP64 field that is not there", _shown(raw))
        return wide
    # Just the values that are asked for: readers differ in what they take the others for.
    if len(field) != 8 * len(missing):
        _refuse("ARCHIVE-ZIP64", f"its ZIP64 field has {len(field)} bytes", _shown(raw))
    return {**wide, **dict(zip(missing, struct.unpack(f"<{len(missing)}Q", field), strict=True))}


def _read_local(stream: BinaryIO, entry: _Central, limit: int) -> tuple[RawMember, int]:
    """Compare the local header with the directory's; return the member and where its bytes end."""
    where = _shown(entry.raw_name)
    if entry.offset + _LOCAL_HEADER.size > limit:
        _refuse("ARCHIVE-OVERLAP", "it begins behind the archive's members", where)
    header = _LOCAL_HEADER.unpack(_take(stream, entry.offset, _LOCAL_HEADER.size))
    signature, version, flags, method, time, date, crc, compressed, size, names, extras = header
    if signature != _LOCAL:
        _refuse("ARCHIVE-HEADER", f"no member begins at {entry.offset}, where the directory says", where)
    _check_version(entry.raw_name, version)
    data = entry.offset + _LOCAL_HEADER.size + names + extras
    end = data + entry.compressed
    if end > limit:
        _refuse("ARCHIVE-OVERLAP", "it reaches into the archive's directory", where)
    variable = _take(stream, entry.offset + _LOCAL_HEADER.size, names + extras)
    if variable[:names] != entry.raw_name:
        _refuse("ARCHIVE-HEADER", f"its own header calls it {_shown(variable[:names])!r}", where)
    if (flags, method, date << 16 | time) != (entry.flags, entry.method, entry.stamp):
        _refuse("ARCHIVE-HEADER", "its own header and the directory differ in flags, method or time", where)
    extra = _read_extra(variable[names:], entry.raw_name)
    values = _local_sizes(extra, size, compressed, where)
    told = (crc, values["compressed"], values["size"])
    real = (entry.crc, entry.compressed, entry.size)
    if entry.flags & _DESCRIBED:
        if told not in ((0, 0, 0), real):
            _refuse("ARCHIVE-HEADER", "its own header and the directory differ in size or checksum", where)
        end = _read_descriptor(stream, end, limit, entry, "<L2Q" if _ZIP64 in extra else "<3L")
    elif told != real:
        _refuse("ARCHIVE-HEADER", "its own header and the directory differ in size or checksum", where)
    if entry.method == STORED and entry.compressed != entry.size:
        _refuse("ARCHIVE-DATA", "it is stored, and yet its two sizes differ", where)
    member = RawMember(
        entry.raw_name,
        bool(entry.flags & _UTF8),
        entry.method,
        entry.crc,
        entry.compressed,
        entry.size,
        data,
        entry.mode,
    )
    return member, end


def _local_sizes(extra: dict[int, bytes], size: int, compressed: int, where: str) -> dict[str, int]:
    """Return a local header's sizes; its ZIP64 field, when there, must hold both (APPNOTE 4.5.3)."""
    field = extra.get(_ZIP64)
    wide = {"size": size, "compressed": compressed}
    if field is None:
        if _ALL_ONES[4] in (size, compressed):
            _refuse("ARCHIVE-ZIP64", "its own header points to a ZIP64 field that is not there", where)
        return wide
    if len(field) != _TWO_SIZES:
        _refuse("ARCHIVE-ZIP64", f"the ZIP64 field of its own header has {len(field)} bytes", where)
    values = dict(zip(wide, struct.unpack("<2Q", field), strict=True))
    if any(short not in (values[name], _ALL_ONES[4]) for name, short in wide.items()):
        _refuse("ARCHIVE-ZIP64", "the ZIP64 field of its own header contradicts that header", where)
    return values


def _read_descriptor(stream: BinaryIO, at: int, limit: int, entry: _Central, form: str) -> int:
    """Read what follows a member's data; return where it ends.

    The signature is optional; sizes have 8 bytes where the local header has a ZIP64 field (APPNOTE 4.3.9.2).
    """
    stream.seek(at)
    data = stream.read(min(24, limit - at))
    for signature in (_DESCRIPTOR, b""):
        length = len(signature) + struct.calcsize(form)
        if data.startswith(signature) and len(data) >= length:
            values = struct.unpack_from(form, data, len(signature))
            rest = data[length : length + 4]
            plausible = rest in (b"", _LOCAL, _CENTRAL) or at + length == limit
            if values == (entry.crc, entry.compressed, entry.size) and plausible:
                return at + length
    reason = "what follows its data does not say its size and checksum"
    raise RefusedError(Fault("ARCHIVE-HEADER", _shown(entry.raw_name), reason))


def _unclaimed(stream: BinaryIO, start: int, end: int) -> NoReturn:
    if _holds(stream, start, end, _END):
        _refuse("ARCHIVE-STACKED", f"another archive lies at {start}, among its members")
    if start == 0:
        _refuse("ARCHIVE-LEADING", f"{end} bytes stand in front of its first member")
    what = "a member that its directory does not list" if _signature(stream, start) == _LOCAL else "bytes of nobody"
    _refuse("ARCHIVE-HIDDEN", f"{what} at {start}, {end - start} bytes long")


def content(stream: BinaryIO, member: RawMember) -> Iterator[bytes]:
    """Yield a member's content in pieces, and end only when size and checksum held.

    No more than the declared size is ever made, whatever the data would unpack to.

    Raises:
        RefusedError: the data is damaged or not what the headers say.
    """
    where = _shown(member.raw_name)
    crc, size = 0, 0
    for piece in _inflate(stream, member, where) if member.method == DEFLATED else _copy(stream, member):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != member.size:
        _refuse("ARCHIVE-DATA", f"it has {size} bytes instead of {member.size}", where)
    if crc != member.crc:
        _refuse("ARCHIVE-DATA", "its checksum is wrong", where)


def _copy(stream: BinaryIO, member: RawMember) -> Iterator[bytes]:
    left, at = member.size, member.data
    while left:
        piece = _take(stream, at, min(_CHUNK, left))
        left, at = left - len(piece), at + len(piece)
        yield piece


def _inflate(stream: BinaryIO, member: RawMember, where: str) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left, at, size = member.compressed, member.data, 0
    chunk = b""
    while not inflater.eof:
        if not chunk and left:
            chunk = _take(stream, at, min(_CHUNK, left))
            left, at = left - len(chunk), at + len(chunk)
        try:
            # One byte more than is due shows that there is more.
            piece = inflater.decompress(chunk, min(_CHUNK, member.size - size + 1))
        except zlib.error as error:
            _refuse("ARCHIVE-DATA", f"its data cannot be unpacked: {error}", where)
        size += len(piece)
        if size > member.size:
            _refuse("ARCHIVE-DATA", f"it unpacks to more than the {member.size} bytes it declares", where)
        if piece:
            yield piece
        elif not inflater.eof and not left and not inflater.unconsumed_tail:
            _refuse("ARCHIVE-DATA", "its compressed data has no end", where)
        chunk = inflater.unconsumed_tail
    if inflater.unused_data or left:
        _refuse("ARCHIVE-DATA", "bytes follow the end of its compressed data", where)


def hash_stream(stream: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256, hexadecimal, and the size of a whole stream."""
    digest, size = hashlib.sha256(), 0
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
