"""Reading a wheel: nothing is trusted, and nothing is used before all of it was accepted."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from truewheel.allowance import Allowance, OverworkedError
from truewheel.errors import CheckError
from truewheel.files import open_file
from truewheel.wheel.container import Fault, RawMember, RefusedError, content, hash_stream, printable, read_members
from truewheel.wheel.identity import check_identity, find_dist_info
from truewheel.wheel.installed import fold, is_pth
from truewheel.wheel.name import WheelName, parse_wheel_name
from truewheel.wheel.record import Digests, asked_algorithms, verify_record
from truewheel.wheel.told import EntryPoints, HeaderFields, read_texts

_MAX_PTH, _MAX_PTHS = 64 << 10, 100
_MAX_RECORD, _RECORD_FREE, _RECORD_LINE = 32 << 20, 256 << 10, 256
_NAME_COST, _KEPT_COST = 100, 16
_MAX_NAME, _MAX_PART = 1024, 255
_TEXTS = {"METADATA": 1 << 20, "WHEEL": 256 << 10, "entry_points.txt": 256 << 10, "truewheel.json": 1 << 20}
"""Texts of the `.dist-info` folder that are read, with the bytes that each may have: many times what any has."""

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")
_WINDOWS_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)))
)
_EMPTY_DEFLATED = 2
_KINDS = {b"\x7fELF": "elf", b"MZ": "pe", b"\xcf\xfa\xed\xfe": "macho", b"\xca\xfe\xba\xbe": "macho"}
_MAX_FAULTS = 100


def kind_of(data: bytes) -> str:
    """Return `elf`, `pe` or `macho` as the first bytes of a file say; else an empty text."""
    return next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), "")


class Member(NamedTuple):
    """One file of a wheel, to be written.

    Attributes:
        data: its content.
        executable: whether its mode lets somebody run it.
    """

    data: bytes
    executable: bool = False


class Entry(msgspec.Struct, frozen=True):
    """One accepted file of a wheel.

    Attributes:
        size: bytes of its content.
        sha256: of its content, hexadecimal.
        executable: whether its mode lets somebody run it.
        kind: `elf`, `pe` or `macho` as its first bytes say; else empty.
        compressed: bytes that it takes in the archive.
    """

    size: int
    sha256: str
    executable: bool = False
    kind: str = ""
    compressed: int = 0


class WheelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was read whole, in which every reader sees the same files.

    Attributes:
        path: where it was read from.
        name: the parts of its file name.
        sha256: of the file, hexadecimal.
        size: of the file, in bytes.
        entries: accepted files by their path in the archive, in its order.
        dist_info: name of the `.dist-info` folder.
        texts: METADATA, WHEEL and others of that folder, and what Python reads when it starts, by path.
        metadata: what METADATA says.
        wheel_fields: what WHEEL says.
        entry_points: what `entry_points.txt` says.
        faults: what is wrong with it that an installer may pass over; none in a sound wheel.
    """

    path: Path
    name: WheelName
    sha256: str
    size: int
    entries: dict[str, Entry]
    dist_info: str
    texts: dict[str, str]
    metadata: HeaderFields = HeaderFields()
    wheel_fields: HeaderFields = HeaderFields()
    entry_points: EntryPoints = EntryPoints()
    faults: tuple[Fault, ...] = ()

    @property
    def installed_size(self) -> int:
        """Return the bytes of its whole content."""
        return sum(entry.size for entry in self.entries.values())

    def shared_objects(self) -> list[str]:
        """Return the paths of its ELF files."""
        return [path for path, entry in self.entries.items() if entry.kind == "elf"]


class MalformedWheelError(CheckError):
    """A wheel that is not accepted, with every fault that was found before reading ended."""

    def __init__(self, path: Path, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)[:_MAX_FAULTS]
        first = self.faults[0]
        where = f"{first.where!r}: " if first.where else ""
        more = f" (and {len(self.faults) - 1} more faults)" if len(self.faults) > 1 else ""
        super().__init__(
            f"{path.name} is malformed: {first.code}: {where}{first.message}{more}",
            hint="do not install it; get it again, or tell whoever made it",
        )


def read_wheel(path: Path, *, stream: BinaryIO | None = None) -> WheelFile:
    """Read a wheel whole and accept it, or say what is wrong with it.

    Args:
        path: its path; the file name is a part of a wheel.
        stream: the open file, when somebody else opened it.

    Raises:
        MalformedWheelError: it is not accepted.
        CheckError: it is no regular file, or cannot be opened.
    """
    wheel = read_unsound(path, stream=stream)
    if wheel.faults:
        raise MalformedWheelError(path, wheel.faults)
    return wheel


def read_unsound(path: Path, *, stream: BinaryIO | None = None) -> WheelFile:
    """Read a wheel whole, with the faults that it has where these leave no doubt what its files are.

    An installer may take such a wheel, so there is something to judge besides its faults.

    Args:
        path: its path; the file name is a part of a wheel.
        stream: the open file, when somebody else opened it.

    Raises:
        MalformedWheelError: what its files are depends on who reads it, or cannot be told.
        CheckError: it is no regular file, or cannot be opened.
    """
    if stream is not None:
        return _read(path, stream)
    with open_wheel(path) as opened:
        return _read(path, opened)


def open_wheel(path: Path) -> BinaryIO:
    """Open a wheel's file without waiting for anybody.

    Raises:
        CheckError: it is not there, no regular file, or cannot be read.
    """
    try:
        return open_file(path)
    except OSError as error:
        hint = "check the path; a wheel is read more than once, and its file name counts: save a pipe first"
        raise CheckError(f"cannot read {path}: {error.strerror or error}", hint=hint) from error


def read_all(path: Path) -> tuple[WheelFile, dict[str, Member]]:
    """Read a wheel with the content of all its files, as far as memory goes; for wheels of our own.

    Raises:
        MalformedWheelError: it is not accepted.
    """
    with open_wheel(path) as stream:
        wheel = read_wheel(path, stream=stream)
        reader = WheelReader(stream, wheel)
        members = {name: Member(reader.read(name), entry.executable) for name, entry in wheel.entries.items()}
    return wheel, members


class WheelReader:
    """Reads single files out of a wheel that was accepted before.

    Args:
        stream: the open file.
        wheel: what was accepted.

    Raises:
        MalformedWheelError: the archive changed since.
    """

    def __init__(self, stream: BinaryIO, wheel: WheelFile) -> None:
        self._stream, self._wheel = stream, wheel
        try:
            raws = read_members(stream, os.fstat(stream.fileno()).st_size)
        except RefusedError as error:
            raise MalformedWheelError(wheel.path, [_changed()]) from error
        self._raws = {raw.raw_name: raw for raw in raws}

    def read(self, name: str) -> bytes:
        """Return one file's content.

        Raises:
            KeyError: the wheel has no such file.
            MalformedWheelError: the archive changed since it was accepted.
        """
        expected = self._wheel.entries[name].sha256
        try:
            data = b"".join(content(self._stream, self._raws[name.encode()]))
        except (RefusedError, KeyError) as error:
            raise MalformedWheelError(self._wheel.path, [_changed()]) from error
        if hashlib.sha256(data).hexdigest() != expected:
            raise MalformedWheelError(self._wheel.path, [_changed()])
        return data


def _changed() -> Fault:
    return Fault("ARCHIVE-CHANGED", "", "the file changed while it was read")


def _read(path: Path, stream: BinaryIO) -> WheelFile:
    before = _state(_status(stream))
    try:
        name = parse_wheel_name(path.name)
    except CheckError as error:
        raise MalformedWheelError(path, [Fault("IDENTITY-FILE", "", error.message)]) from error
    try:
        of_file = hash_stream(stream)
        named, faults = _accept_names(read_members(stream, of_file[1]), name, Allowance(of_file[1]))
        wheel, more = _accept_content(path, name, stream, named, of_file)
    except RefusedError as error:
        raise MalformedWheelError(path, error.faults if _state(_status(stream)) == before else [_changed()]) from error
    except OSError as error:
        raise CheckError(f"cannot read {path}: {error.strerror or error}", hint="check the disk") from error
    if _state(_status(stream)) != before:
        raise MalformedWheelError(path, [_changed()])
    return msgspec.structs.replace(wheel, faults=(*faults, *more)[:_MAX_FAULTS])


def _status(stream: BinaryIO) -> os.stat_result:
    return os.fstat(stream.fileno())


def _state(status: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when a file is written to; the last of it cannot be set back."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _accept_names(
    raws: list[RawMember], wheel: WheelName, allowance: Allowance
) -> tuple[list[tuple[str, RawMember]], list[Fault]]:
    """Return the members of an archive by name, folders with them, and what is wrong with names that can be told."""
    windows = any(platform.startswith("win") for platform in wheel.platforms)
    named = [(_decode(raw), raw) for raw in raws]
    for name, raw in named:
        reason = _unsafe(name, windows=windows)
        if reason:
            raise RefusedError(Fault("ARCHIVE-NAME", printable(name), reason))
        reason = _odd_kind(name, raw)
        if reason:
            raise RefusedError(Fault("ARCHIVE-KIND", name, reason))
    names = [name for name, _ in named]
    faults = [Fault("ARCHIVE-KIND", name, "it would run with its owner's rights") for name, raw in named if _lends(raw)]
    try:
        parents = _list_parents(names, allowance)
        _refuse_doubles(names, parents)
        faults += _list_collisions(names, parents, allowance)
    except OverworkedError as error:
        raise RefusedError(Fault("ARCHIVE-LIMIT", "", "its names hold more folders than its size allows")) from error
    return named, faults


def _decode(raw: RawMember) -> str:
    try:
        name = raw.raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = printable(raw.raw_name[:200].decode("utf-8", "backslashreplace"))
        raise RefusedError(Fault("ARCHIVE-NAME", shown, f"its name is not UTF-8: {error.reason}")) from error
    if not raw.utf8 and not name.isascii():
        raise RefusedError(Fault("ARCHIVE-NAME", name[:200], "its name is not ASCII and not marked as UTF-8"))
    return name


def _unsafe(name: str, *, windows: bool) -> str:
    """Return why a name is unsafe, or an empty text."""
    # Not taken apart by PurePosixPath, which drops "." and empty parts: they would let two names mean one file.
    parts = name.removesuffix("/").split("/")
    devices = windows and any(part.split(".")[0].casefold() in _WINDOWS_DEVICES for part in parts)
    faults = {
        "its name is empty or longer than 1024 bytes": not name or len(name.encode()) > _MAX_NAME,
        "its name holds a control character": any(
            unicodedata.category(character) == "Cc" or character in _BIDI for character in name
        ),
        "its name has a backslash or is absolute": "\\" in name or name.startswith("/"),
        "its name leads elsewhere, or can be spelled in two ways": any(part in ("", ".", "..") for part in parts),
        "its name begins with a drive letter": parts[0][1:2] == ":",
        "a part of its name ends in a dot or a space, or is longer than 255 bytes": any(
            part[-1:] in (".", " ") or len(part.encode()) > _MAX_PART for part in parts
        ),
        "a part of its name is a device on Windows": devices,
    }
    return next((reason for reason, found in faults.items() if found), "")


def _odd_kind(name: str, raw: RawMember) -> str:
    """Return why a member is neither a plain file nor a folder, or an empty text."""
    folder = name.endswith("/")
    kind = stat.S_IFMT(raw.mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a link, a device, a pipe or a socket"
    if kind and (kind == stat.S_IFDIR) != folder:
        return "its name and its mode disagree about whether it is a folder"
    if folder and (raw.size or raw.compressed > _EMPTY_DEFLATED):
        return "it is a folder that has content"
    return ""


def _lends(raw: RawMember) -> bool:
    """Tell whether a file would run with its owner's rights; installers give it none."""
    return bool(raw.mode & (stat.S_ISUID | stat.S_ISGID)) and not raw.raw_name.endswith(b"/")


def _refuse_doubles(names: list[str], parents: set[str]) -> None:
    """Let no two members have one name."""
    exact: set[str] = set()
    for name in names:
        plain = name.removesuffix("/")
        if plain in exact:
            raise RefusedError(Fault("ARCHIVE-TWICE", name, "two members have this name"))
        exact.add(plain)
    files = {name for name in names if not name.endswith("/")}
    for parent in parents & files:
        raise RefusedError(Fault("ARCHIVE-TWICE", parent, "it is a file and a folder"))


def _list_collisions(names: list[str], parents: set[str], allowance: Allowance) -> Iterator[Fault]:
    """Yield the members that are one file on some file systems, though not on those of Linux."""
    seen: dict[str, str] = {}
    for name in names:
        folded = fold(name.removesuffix("/"))
        allowance.spend(_NAME_COST + len(folded))
        other = seen.setdefault(folded, name)
        if other != name:
            yield Fault("ARCHIVE-COLLISION", name, f"on some file systems it is the same as {other!r}")
    files = {fold(name) for name in names if not name.endswith("/")}
    for parent in sorted(parents):
        if fold(parent) in files:
            yield Fault("ARCHIVE-COLLISION", parent, "on some file systems it is a file and a folder")


def _list_parents(names: list[str], allowance: Allowance) -> set[str]:
    """Return every folder that a name lies in."""
    found: set[str] = set()
    for name in names:
        parent = name.removesuffix("/").rpartition("/")[0]
        # Those above one that is known are known too.
        while parent and parent not in found:
            allowance.spend(_KEPT_COST * (_NAME_COST + len(parent)))
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found


def _accept_content(
    path: Path, name: WheelName, stream: BinaryIO, named: list[tuple[str, RawMember]], of_file: tuple[str, int]
) -> tuple[WheelFile, list[Fault]]:
    """Read every file once, and compare with RECORD, WHEEL and METADATA."""
    paths = [member for member, _ in named]
    for member, raw in named:
        if member.endswith("/"):
            for _ in content(stream, raw):
                pass
    named = [(member, raw) for member, raw in named if not member.endswith("/")]
    dist_info, faults = find_dist_info(paths, name)
    raws = dict(named)
    kept = _refuse_long_texts(raws, dist_info)
    kept.update([member for member, raw in named if is_pth(member) and raw.size <= _MAX_PTH][:_MAX_PTHS])
    record = f"{dist_info}/RECORD"
    record_data = b"".join(content(stream, raws[record])) if record in raws else None
    asked = asked_algorithms(record_data or b"")
    entries: dict[str, Entry] = {}
    files: dict[str, Digests] = {}
    texts: dict[str, bytes] = {}
    for member, raw in named:
        keep = member in kept
        digests, first, data = _digest(content(stream, raw), asked.get(member, ""), keep=keep)
        files[member] = digests
        entries[member] = Entry(digests.size, digests.sha256, bool(raw.mode & 0o111), kind_of(first), raw.compressed)
        if keep:
            texts[member] = data
    faults += itertools.islice(verify_record(record_data, record, files), _MAX_FAULTS)
    faults += itertools.islice(check_identity(paths, dist_info, texts, name), _MAX_FAULTS)
    decoded = {member: data.decode("utf-8", "replace") for member, data in texts.items()}
    wheel = WheelFile(
        path=path,
        name=name,
        sha256=of_file[0],
        size=of_file[1],
        entries=entries,
        dist_info=dist_info,
        texts=decoded,
        **read_texts(decoded, dist_info),
    )
    return wheel, faults


def _refuse_long_texts(raws: dict[str, RawMember], dist_info: str) -> set[str]:
    """Return the texts that are to be read, and refuse what is longer than any wheel's.

    Raises:
        RefusedError: one of them, or RECORD, is.
    """
    longest = {f"{dist_info}/{text}": most for text, most in _TEXTS.items()}
    lines = sum(2 * len(member) + _RECORD_LINE for member in raws)
    for member, most in {**longest, f"{dist_info}/RECORD": min(_MAX_RECORD, _RECORD_FREE + lines)}.items():
        if member in raws and raws[member].size > most:
            raise RefusedError(Fault("ARCHIVE-LIMIT", member, f"it has {raws[member].size} bytes of at most {most}"))
    return set(longest)


def _digest(pieces: Iterator[bytes], algorithm: str, *, keep: bool) -> tuple[Digests, bytes, bytes]:
    """Hash a content as it comes; return its digests, its first bytes, and all of it when asked to."""
    sha256 = hashlib.sha256()
    other = hashlib.new(algorithm) if algorithm in ("sha384", "sha512") else None
    size, first, kept = 0, b"", []
    for piece in pieces:
        size += len(piece)
        first = first or piece[:16]
        sha256.update(piece)
        if other is not None:
            other.update(piece)
        if keep:
            kept.append(piece)
    others = {algorithm: other.hexdigest()} if other is not None else {}
    return Digests(size, sha256.hexdigest(), others), first, b"".join(kept)
