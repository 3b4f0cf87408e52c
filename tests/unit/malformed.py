"""A small ZIP writer that can lie, malformed wheels made with it by what is wrong, and sound ones that look odd.

Every field of every record can be overridden, and bytes can be put in front of, between and behind the records. An
override is a value, or a function of the true value. The writer keeps the place of every field that it wrote, so that
tests can change bytes and know what they changed.
"""

import base64
import bz2
import csv
import dataclasses
import gzip
import hashlib
import io
import itertools
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

FILENAME = "toy_engine-1.2.3-py3-none-any.whl"
DIST_INFO = "toy_engine-1.2.3.dist-info"
RECORD = f"{DIST_INFO}/RECORD"
METADATA = f"{DIST_INFO}/METADATA"
WHEEL = f"{DIST_INFO}/WHEEL"
INIT = "toy_engine/__init__.py"

STORED, DEFLATED = 0, 8
UTF8_FLAG, DESCRIPTOR_FLAG = 1 << 11, 1 << 3
ALL_ONES = 0xFFFFFFFF
END_SIGNATURE = b"PK\5\6"
EMPTY_ARCHIVE = END_SIGNATURE + bytes(18)

LOCAL_FIELDS = {
    "signature": "I",
    "version": "H",
    "flags": "H",
    "method": "H",
    "time": "H",
    "date": "H",
    "crc": "I",
    "packed": "I",
    "size": "I",
    "name_length": "H",
    "extra_length": "H",
}
CENTRAL_FIELDS = {
    "signature": "I",
    "made_by": "H",
    "version": "H",
    "flags": "H",
    "method": "H",
    "time": "H",
    "date": "H",
    "crc": "I",
    "packed": "I",
    "size": "I",
    "name_length": "H",
    "extra_length": "H",
    "comment_length": "H",
    "disk": "H",
    "internal": "H",
    "external": "I",
    "offset": "I",
}
DESCRIPTOR_FIELDS = {
    "bare": {"crc": "I", "packed": "I", "size": "I"},
    "signed": {"signature": "I", "crc": "I", "packed": "I", "size": "I"},
    "bare64": {"crc": "I", "packed": "Q", "size": "Q"},
    "signed64": {"signature": "I", "crc": "I", "packed": "Q", "size": "Q"},
}
END64_FIELDS = {
    "signature": "I",
    "record_size": "Q",
    "made_by": "H",
    "version": "H",
    "disk": "I",
    "directory_disk": "I",
    "entries_here": "Q",
    "entries": "Q",
    "directory_size": "Q",
    "directory_offset": "Q",
}
LOCATOR_FIELDS = {"signature": "I", "disk": "I", "offset": "Q", "disks": "I"}
END_FIELDS = {
    "signature": "I",
    "disk": "H",
    "directory_disk": "H",
    "entries_here": "H",
    "entries": "H",
    "directory_size": "I",
    "directory_offset": "I",
    "comment_length": "H",
}
LOCAL, CENTRAL, DESCRIPTOR, END, END64, LOCATOR = 0x04034B50, 0x02014B50, 0x08074B50, 0x06054B50, 0x06064B50, 0x07064B50


class Paper:
    """Bytes being written, and where each field went."""

    def __init__(self):
        self.data = bytearray()
        self.spans = {}

    def put(self, place, data):
        """Append bytes and remember their place."""
        self.spans[place] = range(len(self.data), len(self.data) + len(data))
        self.data += data

    def record(self, owner, fields, values, changes):
        """Append a record; what `changes` has replaces what `values` has, the texts behind the fields among it."""
        told = {key: _overridden(changes, key, value) for key, value in values.items()}
        for text in ("name", "extra", "comment"):
            if text in values:
                told[f"{text}_length"] = _overridden(changes, f"{text}_length", len(told[text]))
        for field, code in fields.items():
            self.put(f"{owner}.{field}", struct.pack(f"<{code}", told[field]))
        for text in ("name", "extra", "comment"):
            if text in told:
                self.put(f"{owner}.{text}", told[text])


def _overridden(changes, key, value):
    change = changes.get(key, value)
    return change(value) if callable(change) else change


@dataclasses.dataclass
class Entry:
    """One member, with all that can be told wrongly about it."""

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    mode: int = 0o100644
    flags: int = 0
    system: int = 3
    stream: bytes | None = None
    """Bytes to write as its data; those that the method gives, when None."""
    descriptor: str = ""
    before: bytes = b""
    both: dict = dataclasses.field(default_factory=dict)
    local: dict = dataclasses.field(default_factory=dict)
    central: dict = dataclasses.field(default_factory=dict)
    trailer: dict = dataclasses.field(default_factory=dict)
    """Overrides: of both headers, of either, of the data descriptor."""
    in_body: bool = True
    in_directory: bool = True

    @property
    def packed(self):
        """Return the bytes to write as its data."""
        if self.stream is not None:
            return self.stream
        return deflate(self.data) if self.method == DEFLATED else self.data

    def values(self):
        """Return the true values of the fields that both headers have."""
        return {
            "version": 20,
            "flags": self.flags | (DESCRIPTOR_FLAG if self.descriptor else 0),
            "method": self.method,
            "time": 0x6000,
            "date": 0x0021,
            "crc": zlib.crc32(self.data),
            "packed": len(self.packed),
            "size": len(self.data),
            "name": self.name,
            "extra": b"",
        }

    def write_local(self, paper, owner):
        """Write header, data and data descriptor."""
        paper.put(f"{owner}.before", self.before)
        values = self.values()
        streamed = {"crc": 0, "packed": 0, "size": 0} if self.descriptor else {}
        paper.record(
            f"{owner}.local", LOCAL_FIELDS, {"signature": LOCAL, **values, **streamed}, {**self.both, **self.local}
        )
        paper.put(f"{owner}.data", self.packed)
        if self.descriptor:
            told = {"signature": DESCRIPTOR, **{key: values[key] for key in ("crc", "packed", "size")}}
            paper.record(f"{owner}.descriptor", DESCRIPTOR_FIELDS[self.descriptor], told, self.trailer)

    def write_central(self, paper, owner, offset):
        """Write the header of the central directory."""
        values = {
            "signature": CENTRAL,
            "made_by": self.system << 8 | 20,
            **self.values(),
            "disk": 0,
            "internal": 0,
            "external": self.mode << 16,
            "offset": offset,
            "comment": b"",
        }
        paper.record(f"{owner}.central", CENTRAL_FIELDS, values, {**self.both, **self.central})

    def header(self):
        """Return the bytes of the local header."""
        paper = Paper()
        dataclasses.replace(self, stream=b"", both={"packed": len(self.packed), **self.both}).write_local(paper, "")
        return bytes(paper.data)


class Built(NamedTuple):
    """A written archive and the places of its fields."""

    data: bytes
    spans: dict[str, range]


@dataclasses.dataclass
class Archive:
    """An archive with all that can be told wrongly about it."""

    entries: list[Entry]
    lead: bytes = b""
    gap: bytes = b""
    behind_directory: bytes = b""
    tail: bytes = b""
    end: dict = dataclasses.field(default_factory=dict)
    end64: dict | None = None
    locator: dict | None = None
    directory_order: Callable = list
    """Bytes between the parts, overrides of the three end records, and the order of the central directory."""

    def __getitem__(self, name):
        return next(entry for entry in self.entries if entry.name == name.encode())

    def build(self):
        """Return the archive's bytes and their places."""
        paper, offsets = Paper(), {}
        paper.put("lead", self.lead)
        for number, entry in enumerate(self.entries):
            offsets[number] = len(paper.data) + len(entry.before)
            if entry.in_body:
                entry.write_local(paper, str(number))
        paper.put("gap", self.gap)
        start = len(paper.data)
        listed = [number for number, entry in enumerate(self.entries) if entry.in_directory]
        for number in self.directory_order(listed):
            self.entries[number].write_central(paper, str(number), offsets[number])
        self._write_end(paper, start, len(listed))
        return Built(bytes(paper.data), paper.spans)

    def _write_end(self, paper, start, count):
        values = {
            "disk": 0,
            "directory_disk": 0,
            "entries_here": count,
            "entries": count,
            "directory_size": len(paper.data) - start,
            "directory_offset": start,
        }
        paper.put("behind_directory", self.behind_directory)
        offset64 = len(paper.data)
        if self.end64 is not None:
            values64 = {"signature": END64, "record_size": 44, "made_by": 45, "version": 45, **values}
            paper.record("end64", END64_FIELDS, values64, self.end64)
        if self.locator is not None:
            locator = {"signature": LOCATOR, "disk": 0, "offset": offset64, "disks": 1}
            paper.record("locator", LOCATOR_FIELDS, locator, self.locator)
        paper.record("end", END_FIELDS, {"signature": END, **values, "comment": b""}, self.end)
        paper.put("tail", self.tail)

    def save(self, path):
        """Write the archive and return its path."""
        path.unlink(missing_ok=True)
        path.write_bytes(self.build().data)
        return path


def plus(number):
    """Return the override that adds a number to the true value."""
    return lambda value: value + number


def deflate(data, *, level=9):
    """Return the raw deflate stream of the data."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def urlsafe(digest):
    """Return a digest as RECORD spells it."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def record_row(path, data, algorithm="sha256"):
    """Return the row of RECORD that fits a file."""
    return [path, f"{algorithm}={urlsafe(hashlib.new(algorithm, data).digest())}", str(len(data))]


def csv_text(rows, newline="\n"):
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator=newline).writerows(rows)
    return text.getvalue()


def metadata(name="toy-engine", version="1.2.3"):
    """Return the content of METADATA."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()


def wheel_text(*tags, version="1.0", more=""):
    """Return the content of WHEEL."""
    told = "".join(f"Tag: {tag}\n" for tag in tags or ("py3-none-any",))
    return f"Wheel-Version: {version}\nGenerator: hand 1.0\nRoot-Is-Purelib: true\n{told}{more}".encode()


def sound_files(**changes):
    """Return the files of a small sound wheel without its RECORD; each change gives METADATA or WHEEL other text."""
    return {
        INIT: b'"""A toy that is an engine, or an engine that is a toy."""\n' * 3,
        "toy_engine/engine.py": b"def run():\n    return 1\n",
        "toy_engine/table.bin": bytes(range(32)),
        METADATA: changes.get("metadata", metadata()),
        WHEEL: changes.get("wheel", wheel_text()),
    }


def sound_rows(files, record=RECORD):
    """Return the rows of the RECORD that fits the files; signatures of RECORD and folders have none."""
    unlisted = (f"{record}.jws", f"{record}.p7s")
    rows = [record_row(name, data) for name, data in files.items() if name not in unlisted and not name.endswith("/")]
    return [*rows, [record, "", ""]]


def make_entry(name, data, **attributes):
    """Return the entry of a file or folder, with the flag and the mode that its name asks for."""
    folder = name.endswith("/")
    known = {
        "flags": 0 if name.isascii() else UTF8_FLAG,
        "mode": 0o040755 if folder else 0o100644,
        "method": STORED if folder or name.endswith(".bin") else DEFLATED,
    }
    return Entry(name.encode(), data, **{**known, **attributes})


def sound_archive(files=None, record=None):
    """Return an archive of these files with the RECORD that fits them, or with that given."""
    files = sound_files() if files is None else files
    folder = next(name for name in files if ".dist-info/" in name).partition("/")[0]
    told = csv_text(sound_rows(files, f"{folder}/RECORD")).encode() if record is None else record
    return Archive([make_entry(name, data) for name, data in {**files, f"{folder}/RECORD": told}.items()])


class Kind(NamedTuple):
    """A kind of malformed wheel: how it is made, and the code of the first fault to be told of it."""

    build: Callable[[Path], Path]
    code: str


def _archived(change, *, files=None, filename=FILENAME):
    """Return the builder of a sound archive changed by a function."""

    def build(folder):
        archive = sound_archive(files)
        change(archive)
        return archive.save(folder / filename)

    return build


def _whole(**attributes):
    """Return the builder of an archive with other attributes."""
    return _archived(lambda archive: vars(archive).update(attributes))


def _first(**attributes):
    """Return the builder of an archive whose first entry has other attributes."""
    return _archived(lambda archive: vars(archive.entries[0]).update(attributes))


def _each(**attributes):
    """Return the builder of an archive whose entries all have other attributes."""

    def change(archive):
        for entry in archive.entries:
            vars(entry).update(attributes)

    return _archived(change)


def _bytes(change):
    """Return the builder of a file made from the bytes of a sound wheel."""

    def build(folder):
        path = folder / FILENAME
        path.write_bytes(change(sound_archive().build().data))
        return path

    return build


def _added(*names, filename=FILENAME, **attributes):
    """Return the builder of a wheel with further members, whose RECORD has them as far as it can."""

    def build(folder):
        texts = {name if isinstance(name, str) else name.decode("utf-8", "replace"): b"1\n" for name in names}
        archive = sound_archive({**texts, **sound_files()})
        added = [Entry(name, b"1\n") if isinstance(name, bytes) else make_entry(name, b"1\n") for name in names]
        for entry in added:
            vars(entry).update(attributes)
        archive.entries = [*added, *archive.entries[len(texts) :]]
        return archive.save(folder / filename)

    return build


def _files(change, filename=FILENAME):
    """Return the builder of a wheel of other files, whose RECORD is right."""
    return lambda folder: sound_archive(change(sound_files())).save(folder / filename)


def _rows(change, newline="\n"):
    """Return the builder of a wheel with other rows in RECORD."""
    return lambda folder: sound_archive(record=csv_text(change(sound_rows(sound_files())), newline).encode()).save(
        folder / FILENAME
    )


def _record(change):
    """Return the builder of a wheel with other bytes in RECORD."""
    return lambda folder: sound_archive(record=change(csv_text(sound_rows(sound_files())).encode())).save(
        folder / FILENAME
    )


def _first_row(*, digest=None, size=None, path=None):
    """Return the builder of a wheel whose RECORD has another first row; the changes are functions of its fields."""

    def change(rows):
        fields = zip(rows[0], (path, digest, size), strict=True)
        return [[new(old) if new else old for old, new in fields], *rows[1:]]

    return _rows(change)


def _texts(filename=FILENAME, **changes):
    """Return the builder of a wheel with another METADATA or WHEEL, whose RECORD is right."""
    return lambda folder: sound_archive(sound_files(**changes)).save(folder / filename)


def _without(*names):
    """Return the builder of a wheel without some files, whose RECORD knows that."""
    return _files(lambda files: {name: data for name, data in files.items() if name not in names})


def _moved(old, new):
    """Return the files with another start of their names."""
    return lambda files: {name.replace(old, new): data for name, data in files.items()}


def _end64(**changes):
    """Return the builder of an archive with ZIP64 end records, changed."""
    return _whole(**{"end64": {}, "locator": {}, **changes})


def extra_field(number, data):
    """Return one extra field."""
    return struct.pack("<HH", number, len(data)) + data


def extra64(*values):
    """Return the ZIP64 extra field of these values."""
    return extra_field(1, struct.pack(f"<{len(values)}Q", *values))


def unicode_path(header_name, name):
    """Return Info-ZIP's extra field that gives a member another name."""
    return extra_field(0x7075, struct.pack("<BI", 1, zlib.crc32(header_name)) + name)


def widen_local(entry, *, extra=None, **more):
    """Tell an entry's sizes by the ZIP64 extra field in its local header."""
    told = extra64(len(entry.data), len(entry.packed)) if extra is None else extra
    entry.local = {"packed": ALL_ONES, "size": ALL_ONES, "extra": told, "version": 45, **more}


def widen_central(entry, *, extra=None, **more):
    """Tell an entry's sizes by the ZIP64 extra field in the central directory."""
    told = extra64(len(entry.data), len(entry.packed)) if extra is None else extra
    entry.central = {"packed": ALL_ONES, "size": ALL_ONES, "extra": told, "version": 45, **more}


def _local64(**changes):
    return _archived(lambda archive: widen_local(archive.entries[0], **changes))


def _central64(extra):
    return _archived(lambda archive: widen_central(archive.entries[0], extra=extra(archive.entries[0])))


def _truthful64(entry):
    return extra64(len(entry.data), len(entry.packed))


def _two_offsets(archive):
    """Let one reader take the second member's offset from the first value, which is its size, and one from the last."""
    first, second = archive.entries[:2]
    offset = len(first.header()) + len(first.packed)
    second.central = {"offset": ALL_ONES, "extra": extra64(len(second.data), len(second.packed), offset)}


def _two_sizes(archive):
    entry = archive.entries[0]
    entry.central = {"packed": ALL_ONES, "extra": _truthful64(entry)}


def _first_packed(change, **attributes):
    """Return the builder of a wheel whose first member has another stream, of which the headers tell the length."""

    def build(archive):
        entry = archive.entries[0]
        vars(entry).update(stream=change(entry.data), **attributes)

    return _archived(build)


def _quoted_bomb(folder):
    """Write members each of which quotes the header of the next in a stored block and then shares its stream.

    All headers are true and every member unpacks to what they say: only the shared bytes are wrong.
    """
    count, kernel = 40, bytes(1 << 20)
    chain = [Entry(b"toy_engine/zeros_39.bin", kernel)]
    for number in range(count - 2, -1, -1):
        following = chain[0]
        header = following.header()
        quote = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header
        name = f"toy_engine/zeros_{number:02}.bin".encode()
        chain.insert(0, Entry(name, header + following.data, stream=quote + following.packed))
    offset = 0
    for entry, following in itertools.pairwise(chain):
        offset += len(entry.header()) + 5
        following.central["offset"] = offset
        following.in_body = False
    archive = sound_archive({**{entry.name.decode(): entry.data for entry in chain}, **sound_files()})
    archive.entries = [*chain, *archive.entries[count:]]
    return archive.save(folder / FILENAME)


def _zeros_bomb(folder):
    """Write a member of 100 MiB of zeros that says so."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(100):
        crc = zlib.crc32(bytes(1 << 20), crc)
    archive = sound_archive()
    told = {"size": 100 << 20, "crc": crc}
    archive.entries.insert(0, Entry(b"toy_engine/zeros.bin", stream=block * 100 + deflate(b""), both=told))
    return archive.save(folder / FILENAME)


def _hidden_bomb(archive):
    """Let a member unpack to 64 MiB, of which its headers tell 10 bytes."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    entry = archive.entries[0]
    vars(entry).update(data=bytes(10), stream=block * 64 + deflate(b""))


def _many_members(folder):
    """Write one member more than a wheel may have, all of them empty, in an archive that is right."""
    count = 100_001
    paper = Paper()
    Entry(b"f/000000", method=STORED).write_local(paper, "")
    local = bytes(paper.data)
    paper = Paper()
    Entry(b"f/000000", method=STORED).write_central(paper, "", 0)
    central = bytes(paper.data)
    names = [b"%06d" % number for number in range(count)]
    body = b"".join(local[:-6] + name for name in names)
    start, end = central[:42], central[46:-6]
    offsets = (number.to_bytes(4, "little") for number in range(0, count * len(local), len(local)))
    directory = b"".join(start + offset + end + name for offset, name in zip(offsets, names, strict=True))
    paper = Paper()
    place = {"disk": 0, "directory_disk": 0, "entries_here": count, "entries": count}
    place = {**place, "directory_size": len(directory), "directory_offset": len(body)}
    values = {"signature": END64, "record_size": 44, "made_by": 45, "version": 45, **place}
    paper.record("end64", END64_FIELDS, values, {})
    located = {"signature": LOCATOR, "disk": 0, "offset": len(body) + len(directory), "disks": 1}
    paper.record("locator", LOCATOR_FIELDS, located, {})
    told = {"entries_here": 0xFFFF, "entries": 0xFFFF}
    paper.record("end", END_FIELDS, {"signature": END, **place, "comment": b""}, told)
    path = folder / FILENAME
    path.write_bytes(body + directory + paper.data)
    return path


def _declared(size, count):
    """Return the builder of a wheel of members that declare a size which they do not have."""

    def change(archive):
        for entry in archive.entries[:count]:
            entry.both["size"] = size

    return _archived(change)


def _declared64(archive):
    entry = archive.entries[0]
    told = extra64(1 << 40, len(entry.packed))
    widen_local(entry, extra=told)
    widen_central(entry, extra=told)


def _renamed(filename):
    return lambda folder: sound_archive().save(folder / filename)


def _same_place(archive):
    """List the first member's bytes a second time under another name, which its local header does not have."""
    first = archive.entries[0]
    other = dataclasses.replace(first, name=b"toy_engine/__main__.py", in_body=False, central={"offset": 0})
    archive.entries.insert(1, other)


def _listed_twice(archive):
    archive.entries.insert(1, dataclasses.replace(archive.entries[0], in_body=False, central={"offset": 0}))


def _swallowing(archive):
    """Let the first member, stored, reach over the whole of the second."""
    paper = Paper()
    archive.entries[1].write_local(paper, "")
    first = archive.entries[0]
    vars(first).update(method=STORED, data=first.data + bytes(paper.data))
    start = len(first.header()) + len(first.data) - len(paper.data)
    vars(archive.entries[1]).update(in_body=False, central={"offset": start})


def _into_directory(archive):
    """Let the last member, stored, reach into the central directory."""
    last = archive.entries[-1]
    last.method = STORED
    last.both = {"packed": plus(20), "size": plus(20)}


def _stacked_behind(data):
    """Return two wheels one after the other, the second with offsets that count from the start of the file."""
    archive = sound_archive(sound_files(metadata=metadata("other-engine")))
    archive.lead = data
    return archive.build().data


def _twice(archive):
    archive.entries.insert(2, dataclasses.replace(archive.entries[0], data=b"import os\n"))


def _local_only(place):
    def change(archive):
        archive.entries.insert(place, Entry(b"toy_engine/evil.py", b"import os\n", in_directory=False))

    return _archived(change)


def _central_only(archive):
    offset = len(archive.build().data)
    archive.entries.insert(1, Entry(b"toy_engine/evil.py", b"1\n", in_body=False, central={"offset": offset}))


def _descriptor_kind(**attributes):
    return _first(**{"descriptor": "signed", **attributes})


def _no_descriptor(archive):
    archive.entries[0].both = {"flags": DESCRIPTOR_FLAG}
    archive.entries[0].local = {"crc": 0, "packed": 0, "size": 0}


def _stray_descriptor(archive):
    first = archive.entries[0]
    packed = len(first.packed)
    archive.entries[1].before = struct.pack("<IIII", DESCRIPTOR, zlib.crc32(first.data), packed, len(first.data))


def _narrow_descriptor(archive):
    archive.entries[0].descriptor = "signed"
    widen_local(archive.entries[0], extra=extra64(0, 0))


def _standard_base64(rows):
    """Spell a hash that has both letters in which the alphabets differ in the wrong alphabet."""
    row = rows[0]
    algorithm, _, digest = row[1].partition("=")
    return [[row[0], f"{algorithm}={digest.replace('-', '+').replace('_', '/')}", row[2]], *rows[1:]]


def _differing_alphabets(folder):
    """Write a wheel whose first file was chosen for a hash that the two alphabets spell differently."""
    contents = (b"%d\n" % number for number in range(1000))
    data = next(data for data in contents if {"-", "_"} <= set(urlsafe(hashlib.sha256(data).digest())))
    files = {**sound_files(), INIT: data}
    return sound_archive(files, csv_text(_standard_base64(sound_rows(files))).encode()).save(folder / FILENAME)


def _swapped_hashes(rows):
    return [[rows[0][0], *rows[1][1:]], [rows[1][0], *rows[0][1:]], *rows[2:]]


def _swallowed_rows(rows):
    """Put two rows into the quoted path of one."""
    return [[f"{rows[0][0]},{rows[0][1]},{rows[0][2]}\n{rows[1][0]}", *rows[1][1:]], *rows[2:]]


def _one_field_row(rows):
    """Quote a whole row, so that a reader who splits at commas sees three fields and CSV has one."""
    return [[",".join(rows[0])], *rows[1:]]


def _hashed_by(algorithm):
    """Return the change that hashes the first file by another algorithm."""
    return lambda rows: [record_row(INIT, sound_files()[INIT], algorithm), *rows[1:]]


_NAMES = {
    "empty name": b"",
    "absolute name": b"/etc/passwd",
    "name of two slashes in front": b"//server/share.py",
    "name that climbs out": b"../evil.py",
    "name that climbs inside": b"toy_engine/../evil.py",
    "name that ends by climbing": b"toy_engine/..",
    "name with a dot part in front": b"./toy_engine/evil.py",
    "name with a dot part inside": b"toy_engine/./evil.py",
    "name with an empty part": b"toy_engine//evil.py",
    "name with a backslash": b"toy_engine\\evil.py",
    "name that climbs by backslashes": b"..\\..\\evil.py",
    "name with a drive": b"c:evil.py",
    "name with a drive and a slash": b"C:/evil.py",
    "name cut by NUL": b"toy_engine/a.py\0.txt",
    "name with a line feed": b"toy_engine/a\n.py",
    "name with a tabulator": b"toy_engine/a\t.py",
    "name with an escape sequence": b"toy_engine/\x1b[2Ka.py",
    "name with DEL": b"toy_engine/a\x7f.py",
    "name longer than 1024 bytes": b"toy_engine/" + b"/".join([b"a" * 100] * 11),
    "name with a part longer than 255 bytes": b"toy_engine/" + b"a" * 256,
    "name that ends in a dot": b"toy_engine/a.py.",
    "name that ends in a space": b"toy_engine/a.py ",
    "name with a part that ends in a dot": b"toy_engine/a./b.py",
    "name with a part that ends in a space": b"toy_engine/a /b.py",
}
_UNICODE_NAMES = {
    "name with a C1 control character": "toy_engine/a\x85.py".encode(),
    "name with a bidirectional override": "toy_engine/a\u202eyp.exe".encode(),
    "name with a bidirectional isolate": "toy_engine/a\u2066b.py".encode(),
    "name that is not UTF-8": b"toy_engine/\xff\xfe.py",
    "name of overlong UTF-8": b"toy_engine/\xc0\xafa.py",
    "name with a lone surrogate": b"toy_engine/\xed\xa0\x80.py",
}
_MODES = {
    "symbolic link": 0o120777,
    "named pipe": 0o010644,
    "character device": 0o020644,
    "block device": 0o060644,
    "socket": 0o140755,
    "set-user-id program": 0o104755,
    "set-group-id program": 0o102755,
    "folder's mode under a file's name": 0o040755,
}
_COLLISIONS = {
    "upper and lower case": ("toy_engine/readme.txt", "toy_engine/README.txt"),
    "Kelvin sign": ("toy_engine/K.py", "toy_engine/\u212a.py"),
    "ligature": ("toy_engine/first.py", "toy_engine/\ufb01rst.py"),
    "composed and decomposed letters": ("toy_engine/caf\u00e9.py", "toy_engine/cafe\u0301.py"),
    "sharp s": ("toy_engine/stra\u00dfe.py", "toy_engine/strasse.py"),
    "full-width letters": ("toy_engine/a.py", "toy_engine/\uff41.py"),
}
_METHODS = {
    "shrunk": (1, lambda data: data),
    "imploded": (6, lambda data: data),
    "deflate64": (9, deflate),
    "bzip2": (12, bz2.compress),
    "LZMA": (14, lzma.compress),
    "Zstandard": (93, lambda data: data),
    "AES-encrypted": (99, lambda data: data),
}
_FLAGS = {"encrypted": 0, "enhanced": 4, "patched": 5, "strongly encrypted": 6, "unknown": 7, "masked": 13, "last": 15}

_STRUCTURE = {
    "empty file": Kind(_bytes(lambda _: b""), "ARCHIVE-UNREADABLE"),
    "error page instead of a wheel": Kind(_bytes(lambda _: b"<html>404: not found</html>\n"), "ARCHIVE-UNREADABLE"),
    "gzip instead of a wheel": Kind(_bytes(gzip.compress), "ARCHIVE-UNREADABLE"),
    "cut in the first local header": Kind(_bytes(lambda data: data[:20]), "ARCHIVE-UNREADABLE"),
    "cut in the first member": Kind(_bytes(lambda data: data[:80]), "ARCHIVE-UNREADABLE"),
    "cut in the middle": Kind(_bytes(lambda data: data[: len(data) // 2]), "ARCHIVE-UNREADABLE"),
    "cut before the directory": Kind(_bytes(lambda data: data[: data.index(b"PK\1\2")]), "ARCHIVE-UNREADABLE"),
    "cut in the directory": Kind(_bytes(lambda data: data[: data.index(b"PK\1\2") + 60]), "ARCHIVE-UNREADABLE"),
    "cut before the end record": Kind(_bytes(lambda data: data[:-22]), "ARCHIVE-UNREADABLE"),
    "cut in the end record": Kind(_bytes(lambda data: data[:-10]), "ARCHIVE-UNREADABLE"),
    "last byte missing": Kind(_bytes(lambda data: data[:-1]), "ARCHIVE-UNREADABLE"),
    "first byte missing": Kind(_bytes(lambda data: data[1:]), "ARCHIVE-UNREADABLE"),
    "directory behind the file's end": Kind(_whole(end={"directory_offset": 1 << 30}), "ARCHIVE-UNREADABLE"),
    "directory one byte late": Kind(_whole(end={"directory_offset": plus(1)}), "ARCHIVE-UNREADABLE"),
    "directory of another signature": Kind(_first(central={"signature": LOCAL}), "ARCHIVE-UNREADABLE"),
    "directory one byte longer": Kind(_whole(end={"directory_size": plus(1)}), "ARCHIVE-UNREADABLE"),
    "directory one byte shorter": Kind(_whole(end={"directory_size": plus(-1)}), "ARCHIVE-HIDDEN"),
    "one entry more told": Kind(_whole(end={"entries": plus(1), "entries_here": plus(1)}), "ARCHIVE-UNREADABLE"),
    "one entry fewer told": Kind(_whole(end={"entries": plus(-1), "entries_here": plus(-1)}), "ARCHIVE-UNREADABLE"),
    "two counts of entries": Kind(_whole(end={"entries_here": plus(-1)}), "ARCHIVE-UNREADABLE"),
    "last of several disks": Kind(_whole(end={"disk": 1}), "ARCHIVE-UNREADABLE"),
    "directory on another disk": Kind(_whole(end={"directory_disk": 1}), "ARCHIVE-UNREADABLE"),
    "member on another disk": Kind(_first(central={"disk": 1}), "ARCHIVE-UNREADABLE"),
    "member on a disk that only ZIP64 could tell": Kind(_first(central={"disk": 0xFFFF}), "ARCHIVE-UNREADABLE"),
    "all-ones count of entries without ZIP64 record": Kind(
        _whole(end={"entries": 0xFFFF, "entries_here": 0xFFFF}), "ARCHIVE-UNREADABLE"
    ),
    "comment told but missing": Kind(_whole(end={"comment_length": 5}), "ARCHIVE-UNREADABLE"),
    "directory's name runs over its end": Kind(
        _archived(lambda archive: archive.entries[-1].central.update(name_length=plus(1))), "ARCHIVE-UNREADABLE"
    ),
    "script in front, offsets right": Kind(_whole(lead=b"#!/bin/sh\nexit 1\n"), "ARCHIVE-LEADING"),
    "script in front, offsets not changed": Kind(_bytes(lambda data: b"#!/bin/sh\nexit 1\n" + data), "ARCHIVE-LEADING"),
    "all offsets one byte early": Kind(_bytes(lambda data: b"\n" + data), "ARCHIVE-LEADING"),
    "zeros in front, offsets right": Kind(_whole(lead=bytes(512)), "ARCHIVE-LEADING"),
    "one byte in front, offset right": Kind(_whole(lead=b"\n"), "ARCHIVE-LEADING"),
    "line feed behind": Kind(_whole(tail=b"\n"), "ARCHIVE-TRAILING"),
    "zeros behind": Kind(_whole(tail=bytes(4096)), "ARCHIVE-TRAILING"),
    "zeros behind, more than a comment may have": Kind(_whole(tail=bytes(70000)), "ARCHIVE-UNREADABLE"),
    "archive comment": Kind(_whole(end={"comment": b"made by hand"}), "ARCHIVE-TRAILING"),
    "comment shorter than told": Kind(
        _whole(end={"comment": b"made by hand", "comment_length": 4}), "ARCHIVE-TRAILING"
    ),
    "wheel behind a wheel": Kind(_bytes(lambda data: data + data), "ARCHIVE-STACKED"),
    "wheel behind a wheel, offsets right": Kind(_bytes(_stacked_behind), "ARCHIVE-STACKED"),
    "empty archive in front": Kind(_whole(lead=EMPTY_ARCHIVE), "ARCHIVE-STACKED"),
    "empty archive as the comment": Kind(_whole(end={"comment": EMPTY_ARCHIVE}), "ARCHIVE-STACKED"),
    "end record's signature in the comment": Kind(_whole(end={"comment": b"PK\5\6 comment"}), "ARCHIVE-STACKED"),
    "cut end record behind": Kind(_whole(tail=END_SIGNATURE + bytes(8)), "ARCHIVE-STACKED"),
    "wheel between members": Kind(
        _archived(lambda archive: vars(archive.entries[1]).update(before=sound_archive().build().data)),
        "ARCHIVE-STACKED",
    ),
    "wheel before the directory": Kind(
        _archived(lambda archive: vars(archive).update(gap=sound_archive().build().data)), "ARCHIVE-STACKED"
    ),
    "empty archive behind the directory": Kind(_whole(behind_directory=EMPTY_ARCHIVE), "ARCHIVE-STACKED"),
    "end record within the directory's size": Kind(
        _whole(behind_directory=EMPTY_ARCHIVE, end={"directory_size": plus(22)}), "ARCHIVE-STACKED"
    ),
    "cut archive in front, offsets not changed": Kind(_bytes(lambda data: b"PK\5\6 cut\n" + data), "ARCHIVE-STACKED"),
    "bytes between members": Kind(
        _archived(lambda archive: vars(archive.entries[1]).update(before=b"hidden")), "ARCHIVE-HIDDEN"
    ),
    "bytes before the directory": Kind(_whole(gap=b"\0"), "ARCHIVE-HIDDEN"),
    "bytes behind the directory": Kind(_whole(behind_directory=b"\0"), "ARCHIVE-HIDDEN"),
    "digital signature behind the directory": Kind(_whole(behind_directory=b"PK\5\5\x04\0sign"), "ARCHIVE-HIDDEN"),
    "extra data record before the directory": Kind(_whole(gap=b"PK\6\x08\4\0\0\0data"), "ARCHIVE-HIDDEN"),
    "member that the directory does not list": Kind(_local_only(2), "ARCHIVE-HIDDEN"),
    "last member that the directory does not list": Kind(_local_only(6), "ARCHIVE-HIDDEN"),
    "data descriptor that no flag tells of": Kind(_archived(_stray_descriptor), "ARCHIVE-HIDDEN"),
    "comment of a member": Kind(_first(central={"comment": b"hidden"}), "ARCHIVE-HIDDEN"),
    "ZIP64 record without locator": Kind(_whole(end64={}), "ARCHIVE-HIDDEN"),
    "bomb of members that quote each other": Kind(_quoted_bomb, "ARCHIVE-OVERLAP"),
    "two names of the same bytes": Kind(_archived(_same_place), "ARCHIVE-OVERLAP"),
    "member listed twice": Kind(_archived(_listed_twice), "ARCHIVE-OVERLAP"),
    "member within a member": Kind(_archived(_swallowing), "ARCHIVE-OVERLAP"),
    "member that reaches into the directory": Kind(_archived(_into_directory), "ARCHIVE-OVERLAP"),
    "bomb of zeros": Kind(_zeros_bomb, "ARCHIVE-LIMIT"),
    "too many members": Kind(_many_members, "ARCHIVE-LIMIT"),
    "three members that declare 4 GiB each": Kind(_declared(ALL_ONES - 1, 3), "ARCHIVE-LIMIT"),
    "one member that declares a tebibyte": Kind(_archived(_declared64), "ARCHIVE-LIMIT"),
    "member only in the directory": Kind(_archived(_central_only), "ARCHIVE-OVERLAP"),
}

_ZIP64 = {
    "ZIP64 locator without record": Kind(_whole(locator={"offset": 0}), "ARCHIVE-ZIP64"),
    "ZIP64 locator that points behind the file": Kind(_end64(locator={"offset": 1 << 40}), "ARCHIVE-ZIP64"),
    "ZIP64 locator that points one byte beside": Kind(_end64(locator={"offset": plus(-1)}), "ARCHIVE-ZIP64"),
    "ZIP64 record of another signature": Kind(_end64(end64={"signature": END}), "ARCHIVE-ZIP64"),
    "ZIP64 record that is too short": Kind(_end64(end64={"record_size": 43}), "ARCHIVE-ZIP64"),
    "ZIP64 record that tells too many entries": Kind(
        _end64(end64={"entries": plus(1), "entries_here": plus(1)}), "ARCHIVE-ZIP64"
    ),
    "ZIP64 record that tells another directory size": Kind(_end64(end64={"directory_size": plus(46)}), "ARCHIVE-ZIP64"),
    "ZIP64 record that tells another directory": Kind(_end64(end64={"directory_offset": plus(1)}), "ARCHIVE-ZIP64"),
    "ZIP64 record that tells the start as the directory": Kind(_end64(end64={"directory_offset": 0}), "ARCHIVE-ZIP64"),
    "all-ones directory size without ZIP64 record": Kind(_whole(end={"directory_size": ALL_ONES}), "ARCHIVE-ZIP64"),
    "all-ones directory offset without ZIP64 record": Kind(_whole(end={"directory_offset": ALL_ONES}), "ARCHIVE-ZIP64"),
    "ZIP64 locator of two disks": Kind(_end64(locator={"disks": 2}), "ARCHIVE-ZIP64"),
    "all-ones size without ZIP64 field": Kind(_first(both={"size": ALL_ONES}), "ARCHIVE-ZIP64"),
    "all-ones packed size without ZIP64 field": Kind(_first(central={"packed": ALL_ONES}), "ARCHIVE-ZIP64"),
    "all-ones offset without ZIP64 field": Kind(_first(central={"offset": ALL_ONES}), "ARCHIVE-ZIP64"),
    "all-ones local size without ZIP64 field": Kind(_local64(extra=b""), "ARCHIVE-ZIP64"),
    "ZIP64 field that is too short": Kind(_central64(lambda entry: extra64(len(entry.data))), "ARCHIVE-ZIP64"),
    "ZIP64 field that is too long": Kind(
        _central64(lambda entry: extra64(len(entry.data), len(entry.packed), 0)), "ARCHIVE-ZIP64"
    ),
    "ZIP64 offset behind sizes that nobody asks for": Kind(_archived(_two_offsets), "ARCHIVE-ZIP64"),
    "ZIP64 packed size behind a size that nobody asks for": Kind(_archived(_two_sizes), "ARCHIVE-ZIP64"),
    "ZIP64 field of 15 bytes": Kind(
        _central64(lambda entry: extra_field(1, _truthful64(entry)[4:-1])), "ARCHIVE-ZIP64"
    ),
    "ZIP64 field twice": Kind(_central64(lambda entry: _truthful64(entry) * 2), "ARCHIVE-ZIP64"),
    "ZIP64 field twice with different sizes": Kind(
        _central64(lambda entry: extra64(1, 1) + _truthful64(entry)), "ARCHIVE-ZIP64"
    ),
    "local ZIP64 field twice": Kind(
        _archived(lambda archive: widen_local(archive.entries[0], extra=_truthful64(archive.entries[0]) * 2)),
        "ARCHIVE-ZIP64",
    ),
    "local ZIP64 field that is too short": Kind(_local64(extra=extra64(1)), "ARCHIVE-ZIP64"),
    "needless local ZIP64 field that lies": Kind(_first(local={"extra": extra64(1, 1)}), "ARCHIVE-ZIP64"),
    "needless ZIP64 field in the directory": Kind(_first(central={"extra": extra64(1, 1)}), "ARCHIVE-ZIP64"),
}

_HEADERS = {
    "local header of another name": Kind(_first(local={"name": b"toy_engine/__evil__.py"}), "ARCHIVE-HEADER"),
    "local header of another case": Kind(_first(local={"name": b"toy_engine/__INIT__.py"}), "ARCHIVE-HEADER"),
    "local header of a shorter name": Kind(_first(local={"name": b"toy_engine/__init__.p"}), "ARCHIVE-HEADER"),
    "local header of another signature": Kind(_first(local={"signature": CENTRAL}), "ARCHIVE-HEADER"),
    "UTF-8 flag only in the local header": Kind(_first(local={"flags": UTF8_FLAG}), "ARCHIVE-HEADER"),
    "UTF-8 flag only in the directory": Kind(_first(central={"flags": UTF8_FLAG}), "ARCHIVE-HEADER"),
    "encryption flag only in the local header": Kind(_first(local={"flags": 1}), "ARCHIVE-HEADER"),
    "local header of another method": Kind(_first(local={"method": STORED}), "ARCHIVE-HEADER"),
    "local header of another time": Kind(_first(local={"time": 0}), "ARCHIVE-HEADER"),
    "local header of another date": Kind(_first(local={"date": 0x5821}), "ARCHIVE-HEADER"),
    "local header of another checksum": Kind(_first(local={"crc": 0}), "ARCHIVE-HEADER"),
    "local header of another size": Kind(_first(local={"size": plus(1)}), "ARCHIVE-HEADER"),
    "local header of another packed size": Kind(_first(local={"packed": plus(-1)}), "ARCHIVE-HEADER"),
    "local header of another size by ZIP64": Kind(_local64(extra=extra64(1, 1)), "ARCHIVE-HEADER"),
    "directory of another checksum": Kind(_first(central={"crc": 0}), "ARCHIVE-HEADER"),
    "data descriptor of another checksum": Kind(_descriptor_kind(trailer={"crc": 0}), "ARCHIVE-HEADER"),
    "data descriptor of another size": Kind(_descriptor_kind(trailer={"size": plus(1)}), "ARCHIVE-HEADER"),
    "data descriptor of another packed size": Kind(_descriptor_kind(trailer={"packed": plus(1)}), "ARCHIVE-HEADER"),
    "data descriptor of another signature": Kind(_descriptor_kind(trailer={"signature": LOCAL}), "ARCHIVE-HEADER"),
    "bare data descriptor of another checksum": Kind(
        _descriptor_kind(descriptor="bare", trailer={"crc": 0}), "ARCHIVE-HEADER"
    ),
    "data descriptor missing": Kind(_archived(_no_descriptor), "ARCHIVE-HEADER"),
    "data descriptor and another local size": Kind(_descriptor_kind(local={"size": 7}), "ARCHIVE-HEADER"),
    "data descriptor of 64 bits without ZIP64 field": Kind(_first(descriptor="signed64"), "ARCHIVE-HEADER"),
    "data descriptor of 32 bits and a ZIP64 field": Kind(_archived(_narrow_descriptor), "ARCHIVE-HEADER"),
    "Unicode path of another name in both headers": Kind(
        _first(both={"extra": unicode_path(INIT.encode(), b"toy_engine/__evil__.py")}), "ARCHIVE-HEADER"
    ),
    "Unicode path of another name in the directory": Kind(
        _first(central={"extra": unicode_path(INIT.encode(), b"toy_engine/__evil__.py")}), "ARCHIVE-HEADER"
    ),
    "Unicode path of another name in the local header": Kind(
        _first(local={"extra": unicode_path(INIT.encode(), b"toy_engine/__evil__.py")}), "ARCHIVE-HEADER"
    ),
    "Unicode path that is too short": Kind(_first(central={"extra": extra_field(0x7075, b"\1")}), "ARCHIVE-HEADER"),
    "extra field longer than its list": Kind(_first(both={"extra": b"UT\x09\0\1"}), "ARCHIVE-HEADER"),
    "extra field list with bytes left over": Kind(
        _first(both={"extra": extra_field(0x5455, b"\1" + bytes(4)) + b"\0\0\0"}), "ARCHIVE-HEADER"
    ),
    "local extra field longer than its list": Kind(_first(local={"extra": b"UT\xff\xff"}), "ARCHIVE-HEADER"),
    **{
        f"{title} member": Kind(_first_packed(pack, method=method), "ARCHIVE-METHOD")
        for title, (method, pack) in _METHODS.items()
    },
    **{f"flag bit {bit}: {title}": Kind(_first(flags=1 << bit), "ARCHIVE-METHOD") for title, bit in _FLAGS.items()},
}

_HEADERS |= {
    "version needed that pip does not read": Kind(_first(both={"version": 64}), "ARCHIVE-METHOD"),
    "version needed that pip does not read, in the directory": Kind(_first(central={"version": 255}), "ARCHIVE-METHOD"),
    "version needed that pip does not read, in the local header": Kind(_first(local={"version": 64}), "ARCHIVE-METHOD"),
}

_WINDOWS = "toy_engine-1.2.3-py3-none-win_amd64.whl"
_DEVICES = ("con", "NUL.py", "aux.tar.gz", "Com1.txt", "lpt9", "prn/a.py")


def _on_windows(name):
    """Return the builder of a wheel for Windows with a further member."""
    files = {name: b"1\n", **sound_files(wheel=wheel_text("py3-none-win_amd64"))}
    return lambda folder: sound_archive(files).save(folder / _WINDOWS)


def _folders(*names):
    """Return the builder of a wheel with entries of folders at its end."""
    return _archived(lambda archive: archive.entries.extend(make_entry(name, b"") for name in names))


_MEMBERS = {
    **{title: Kind(_added(name), "ARCHIVE-NAME") for title, name in _NAMES.items()},
    **{title: Kind(_added(name, flags=UTF8_FLAG), "ARCHIVE-NAME") for title, name in _UNICODE_NAMES.items()},
    "foreign letters without UTF-8 flag": Kind(_added("toy_engine/stra\u00dfe.py", flags=0), "ARCHIVE-NAME"),
    "code page 437 without UTF-8 flag": Kind(_added(b"toy_engine/stra\xe1e.py"), "ARCHIVE-NAME"),
    "folder that climbs out": Kind(_folders("../evil/"), "ARCHIVE-NAME"),
    "folder that is the root": Kind(_folders("/"), "ARCHIVE-NAME"),
    **{f"Windows device {name}": Kind(_on_windows(f"toy_engine/{name}"), "ARCHIVE-NAME") for name in _DEVICES},
    **{title: Kind(_added("toy_engine/odd", mode=mode), "ARCHIVE-KIND") for title, mode in _MODES.items()},
    "file's mode under a folder's name": Kind(_added("toy_engine/odd/", data=b"", mode=0o100644), "ARCHIVE-KIND"),
    "symbolic link under a folder's name": Kind(_added("toy_engine/odd/", data=b"", mode=0o120777), "ARCHIVE-KIND"),
    "folder with content that is told only by its packed size": Kind(
        _archived(
            lambda archive: archive.entries.append(make_entry("toy_engine/", b"", method=DEFLATED, stream=b"?!"))
        ),
        "ARCHIVE-DATA",
    ),
    "folder with a checksum": Kind(
        _archived(lambda archive: archive.entries.append(make_entry("toy_engine/", b"", both={"crc": 5}))),
        "ARCHIVE-DATA",
    ),
    "folder with content": Kind(_added("toy_engine/odd/"), "ARCHIVE-KIND"),
    "name twice": Kind(_archived(_twice), "ARCHIVE-TWICE"),
    "folder twice": Kind(_folders("toy_engine/", "toy_engine/"), "ARCHIVE-TWICE"),
    "file that is another's folder": Kind(_added("toy_engine"), "ARCHIVE-TWICE"),
    "file that is an empty folder": Kind(_folders("toy_engine/engine.py/"), "ARCHIVE-TWICE"),
    "file that is a folder further up": Kind(_added("toy_engine/a", "toy_engine/a/b/c.py"), "ARCHIVE-TWICE"),
    "collision by two folders": Kind(_folders("toy_engine/Sub/", "toy_engine/sub/"), "ARCHIVE-COLLISION"),
    **{f"collision by {title}": Kind(_added(*names), "ARCHIVE-COLLISION") for title, names in _COLLISIONS.items()},
}

_DATA = {
    "deflate stream with a changed byte": Kind(
        _first_packed(lambda data: deflate(data)[:9] + b"\x55" + deflate(data)[10:]), "ARCHIVE-DATA"
    ),
    "deflate stream of a reserved block": Kind(_first_packed(lambda _: b"\x07" * 20), "ARCHIVE-DATA"),
    "deflate stream cut at its end": Kind(_first_packed(lambda data: deflate(data)[:-1]), "ARCHIVE-DATA"),
    "deflate stream cut in the middle": Kind(_first_packed(lambda data: deflate(data)[:20]), "ARCHIVE-DATA"),
    "deflate stream without a last block": Kind(
        _first_packed(lambda data: struct.pack("<BHH", 0, len(data), len(data) ^ 0xFFFF) + data), "ARCHIVE-DATA"
    ),
    "deflate stream that gives less": Kind(_first(both={"size": plus(1)}), "ARCHIVE-DATA"),
    "deflate stream that gives more": Kind(_first(both={"size": plus(-1)}), "ARCHIVE-DATA"),
    "deflate stream that gives nothing": Kind(_first_packed(lambda _: deflate(b"")), "ARCHIVE-DATA"),
    "bytes behind a deflate stream": Kind(_first_packed(lambda data: deflate(data) + b"hidden"), "ARCHIVE-DATA"),
    "deflate stream behind a deflate stream": Kind(_first_packed(lambda data: deflate(data) * 2), "ARCHIVE-DATA"),
    "zlib stream as deflate": Kind(_first_packed(zlib.compress), "ARCHIVE-DATA"),
    "gzip stream as deflate": Kind(_first_packed(gzip.compress), "ARCHIVE-DATA"),
    "stored data as deflate": Kind(_first_packed(bytes), "ARCHIVE-DATA"),
    "bomb that declares ten bytes": Kind(_archived(_hidden_bomb), "ARCHIVE-DATA"),
    "wrong checksum": Kind(_first(both={"crc": plus(-1)}), "ARCHIVE-DATA"),
    "wrong checksum of stored data": Kind(_first(method=STORED, both={"crc": 0}), "ARCHIVE-DATA"),
    "wrong checksum and data descriptor": Kind(
        _first(descriptor="signed", central={"crc": 1}, trailer={"crc": 1}), "ARCHIVE-DATA"
    ),
    "stored data that gives less": Kind(_first(method=STORED, both={"size": plus(1)}), "ARCHIVE-DATA"),
    "stored data that gives more": Kind(_first(method=STORED, both={"size": plus(-1)}), "ARCHIVE-DATA"),
}

_RECORDS = {
    "no RECORD": Kind(_archived(lambda archive: vars(archive).update(entries=archive.entries[:-1])), "RECORD-MISSING"),
    "RECORD elsewhere": Kind(
        _archived(lambda archive: vars(archive[RECORD]).update(name=b"toy_engine/RECORD")), "RECORD-MISSING"
    ),
    "RECORD that is not UTF-8": Kind(_record(lambda text: text + b"\xff,,\n"), "RECORD-FORMAT"),
    "RECORD in UTF-16": Kind(_record(lambda text: text.decode().encode("utf-16")), "RECORD-FORMAT"),
    "RECORD with an open quote": Kind(_record(lambda text: text + b'"toy_engine/x.py,,\n'), "RECORD-FORMAT"),
    "RECORD with text behind a quote": Kind(
        _record(lambda text: text.replace(INIT.encode(), b'"toy_engine"/__init__.py', 1)), "RECORD-FORMAT"
    ),
    "row of two fields": Kind(_rows(lambda rows: [rows[0][:2], *rows[1:]]), "RECORD-FORMAT"),
    "row of four fields": Kind(_rows(lambda rows: [[*rows[0], ""], *rows[1:]]), "RECORD-FORMAT"),
    "empty row": Kind(_record(lambda text: b"\n" + text), "RECORD-FORMAT"),
    "row of a hundred thousand letters and more": Kind(
        _record(lambda text: text + b"a" * 140_000 + b",,\n"), "RECORD-FORMAT"
    ),
    "row that is one quoted field": Kind(_rows(_one_field_row), "RECORD-FORMAT"),
    "row that swallows another in quotes": Kind(_rows(_swallowed_rows), "RECORD-FORMAT"),
    "size that is a word": Kind(_first_row(size=lambda _: "many"), "RECORD-FORMAT"),
    "negative size": Kind(_first_row(size=lambda size: f"-{size}"), "RECORD-FORMAT"),
    "signed size": Kind(_first_row(size=lambda size: f"+{size}"), "RECORD-FORMAT"),
    "size with a space": Kind(_first_row(size=lambda size: f" {size}"), "RECORD-FORMAT"),
    "size with an underscore": Kind(_first_row(size=lambda size: f"{size[0]}_{size[1:]}"), "RECORD-FORMAT"),
    "size in Arabic digits": Kind(
        _first_row(size=lambda size: "".join(chr(0x660 + int(digit)) for digit in size)), "RECORD-FORMAT"
    ),
    "size of five thousand digits": Kind(_first_row(size=lambda _: "9" * 5000), "RECORD-FORMAT"),
    "hexadecimal size": Kind(_first_row(size=lambda size: hex(int(size))), "RECORD-FORMAT"),
    "RECORD with a climbing path": Kind(_first_row(path=lambda _: "../evil.py"), "RECORD-FORMAT"),
    "RECORD with an absolute path": Kind(_first_row(path=lambda path: f"/{path}"), "RECORD-FORMAT"),
    "RECORD with backslashes": Kind(_first_row(path=lambda path: path.replace("/", "\\")), "RECORD-FORMAT"),
    "RECORD with NUL in a path": Kind(_first_row(path=lambda path: f"{path}\0"), "RECORD-FORMAT"),
    "RECORD with an empty path": Kind(_rows(lambda rows: [["", "", ""], *rows]), "RECORD-FORMAT"),
    "RECORD with its own hash": Kind(_rows(lambda rows: [*rows[:-1], record_row(RECORD, b"itself")]), "RECORD-FORMAT"),
    "RECORD with its own size": Kind(_rows(lambda rows: [*rows[:-1], [RECORD, "", "99"]]), "RECORD-FORMAT"),
    "path twice in RECORD": Kind(_rows(lambda rows: [rows[0], *rows]), "RECORD-TWICE"),
    "path twice in RECORD, once quoted": Kind(
        _record(lambda text: text + b'"' + text.splitlines()[0].replace(b",", b'",', 1) + b"\n"), "RECORD-TWICE"
    ),
    "path twice in RECORD with two hashes": Kind(
        _rows(lambda rows: [rows[0], record_row(INIT, b"import os\n"), *rows[1:]]), "RECORD-TWICE"
    ),
    "RECORD twice in itself": Kind(_rows(lambda rows: [*rows, rows[-1]]), "RECORD-TWICE"),
    "row of a file that is missing": Kind(
        _rows(lambda rows: [record_row("toy_engine/gone.py", b""), *rows]), "RECORD-ABSENT"
    ),
    "row of a file in other case": Kind(_rows(lambda rows: [record_row(INIT.upper(), b""), *rows]), "RECORD-ABSENT"),
    "row of a signature that is missing": Kind(_rows(lambda rows: [*rows, [f"{RECORD}.jws", "", ""]]), "RECORD-ABSENT"),
    "RECORD with a byte order mark": Kind(_record(lambda text: b"\xef\xbb\xbf" + text), "RECORD-ABSENT"),
    "row of a folder": Kind(_rows(lambda rows: [record_row("toy_engine", b""), *rows]), "RECORD-ABSENT"),
    "file that RECORD lacks": Kind(_rows(lambda rows: rows[1:]), "RECORD-UNLISTED"),
    "METADATA that RECORD lacks": Kind(
        _rows(lambda rows: [row for row in rows if row[0] != METADATA]), "RECORD-UNLISTED"
    ),
    "RECORD that is empty": Kind(_record(lambda _: b""), "RECORD-UNLISTED"),
    "signature outside of the dist-info folder": Kind(
        lambda folder: sound_archive(
            {"toy_engine/RECORD.jws": b"{}", **sound_files()}, csv_text(sound_rows(sound_files())).encode()
        ).save(folder / FILENAME),
        "RECORD-UNLISTED",
    ),
    "RECORD that lacks itself": Kind(_rows(lambda rows: rows[:-1]), "RECORD-UNLISTED"),
    "hash of another file": Kind(_first_row(digest=lambda _: record_row("", b"import os\n")[1]), "RECORD-HASH"),
    "hashes of two files swapped": Kind(_rows(_swapped_hashes), "RECORD-HASH"),
    "hash with bits that nobody decodes": Kind(
        _first_row(digest=lambda digest: digest[:-1] + chr(ord(digest[-1]) + 1)), "RECORD-HASH"
    ),
    "size one too small": Kind(_first_row(size=lambda size: str(int(size) - 1)), "RECORD-HASH"),
    "size one too big": Kind(_first_row(size=lambda size: str(int(size) + 1)), "RECORD-HASH"),
    "no hash": Kind(_first_row(digest=lambda _: ""), "RECORD-WEAK"),
    "neither hash nor size": Kind(_first_row(digest=lambda _: "", size=lambda _: ""), "RECORD-WEAK"),
    "hash by MD5": Kind(_rows(_hashed_by("md5")), "RECORD-WEAK"),
    "hash by SHA-1": Kind(_rows(_hashed_by("sha1")), "RECORD-WEAK"),
    "hash by SHA-224": Kind(_rows(_hashed_by("sha224")), "RECORD-WEAK"),
    "hash by an unknown algorithm": Kind(_first_row(digest=lambda _: "crc32=AAAAAA"), "RECORD-WEAK"),
    "hash by an algorithm without length": Kind(_first_row(digest=lambda _: "shake_128=AAAAAA"), "RECORD-WEAK"),
    "hash without algorithm": Kind(_first_row(digest=lambda digest: digest.partition("=")[2]), "RECORD-WEAK"),
    "hash cut short": Kind(_first_row(digest=lambda digest: digest[:-3]), "RECORD-WEAK"),
    "hash too long": Kind(_first_row(digest=lambda digest: f"{digest}A"), "RECORD-WEAK"),
    "hash with a line feed": Kind(_first_row(digest=lambda digest: f"{digest}\n"), "RECORD-WEAK"),
    "hash with a space in front": Kind(_first_row(digest=lambda digest: f" {digest}"), "RECORD-WEAK"),
    "padded hash": Kind(_first_row(digest=lambda digest: f"{digest}="), "RECORD-WEAK"),
    "hexadecimal hash": Kind(
        _rows(
            lambda rows: [[INIT, f"sha256={hashlib.sha256(sound_files()[INIT]).hexdigest()}", rows[0][2]], *rows[1:]]
        ),
        "RECORD-WEAK",
    ),
    "hash in the standard alphabet": Kind(_differing_alphabets, "RECORD-WEAK"),
}


def _many_tags():
    return "-".join(".".join(f"{letter}{number}" for number in range(80)) for letter in "abc")


_IDENTITY = {
    "file name of one part": Kind(_renamed("toy_engine.whl"), "IDENTITY-FILE"),
    "file name of four parts": Kind(_renamed("toy_engine-1.2.3-py3-none.whl"), "IDENTITY-FILE"),
    "file name of another ending": Kind(_renamed("toy_engine-1.2.3-py3-none-any.zip"), "IDENTITY-FILE"),
    "file name without a version": Kind(_renamed("toy_engine-newest-py3-none-any.whl"), "IDENTITY-FILE"),
    "file name with a build tag of letters": Kind(_renamed("toy_engine-1.2.3-x-py3-none-any.whl"), "IDENTITY-FILE"),
    "no dist-info folder": Kind(
        _archived(lambda archive: vars(archive).update(entries=archive.entries[:3])), "IDENTITY-FOLDER"
    ),
    "dist-info folder of another name": Kind(
        _files(_moved(DIST_INFO, "other_engine-1.2.3.dist-info")), "IDENTITY-FOLDER"
    ),
    "dist-info folder of another version": Kind(
        _files(_moved(DIST_INFO, "toy_engine-1.2.4.dist-info")), "IDENTITY-FOLDER"
    ),
    "file of another version": Kind(_renamed("toy_engine-1.2.4-py3-none-any.whl"), "IDENTITY-FOLDER"),
    "two dist-info folders": Kind(
        _files(lambda files: {**files, "other-1.0.dist-info/METADATA": metadata("other", "1.0")}), "IDENTITY-FOLDER"
    ),
    "two dist-info folders, one of them empty": Kind(_folders("other-1.0.dist-info/"), "IDENTITY-FOLDER"),
    "data folder of another name": Kind(
        _files(lambda files: {"other-1.2.3.data/scripts/run": b"#!python\n", **files}), "IDENTITY-FOLDER"
    ),
    "data folder of another version": Kind(
        _files(lambda files: {"toy_engine-1.2.4.data/scripts/run": b"#!python\n", **files}), "IDENTITY-FOLDER"
    ),
    "empty data folder of another name": Kind(_folders("other-1.2.3.data/"), "IDENTITY-FOLDER"),
    "file of a dist-info folder's name": Kind(_added("other-1.0.dist-info"), "IDENTITY-FOLDER"),
    "archive without members": Kind(_bytes(lambda _: EMPTY_ARCHIVE), "IDENTITY-FOLDER"),
    "METADATA of another name": Kind(_texts(metadata=metadata("other-engine")), "IDENTITY-NAME"),
    "METADATA of a longer name": Kind(_texts(metadata=metadata("toy-engine-cpu")), "IDENTITY-NAME"),
    "METADATA of another version": Kind(_texts(metadata=metadata(version="1.2.4")), "IDENTITY-VERSION"),
    "METADATA of a local version": Kind(_texts(metadata=metadata(version="1.2.3+cpu")), "IDENTITY-VERSION"),
    "METADATA of a version of five thousand digits": Kind(
        _texts(metadata=metadata(version="1" * 5000)), "IDENTITY-VERSION"
    ),
    "WHEEL of another tag": Kind(_texts(wheel=wheel_text("py2-none-any")), "IDENTITY-TAGS"),
    "WHEEL of a further tag": Kind(_texts(wheel=wheel_text("py3-none-any", "py2-none-any")), "IDENTITY-TAGS"),
    "WHEEL of another platform": Kind(_texts(wheel=wheel_text("py3-none-linux_x86_64")), "IDENTITY-TAGS"),
    "WHEEL that lacks a tag": Kind(_texts("toy_engine-1.2.3-py2.py3-none-any.whl"), "IDENTITY-TAGS"),
    "WHEEL without a tag": Kind(
        _texts(wheel=b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"), "IDENTITY-TAGS"
    ),
    "WHEEL of an empty tag": Kind(_texts(wheel=wheel_text("")), "IDENTITY-TAGS"),
    "WHEEL of a tag that is none": Kind(_texts(wheel=wheel_text("nonsense")), "IDENTITY-TAGS"),
    "WHEEL of a tag that stands for half a million": Kind(_texts(wheel=wheel_text(_many_tags())), "IDENTITY-TAGS"),
    "WHEEL of another build": Kind(
        _texts("toy_engine-1.2.3-1-py3-none-any.whl", wheel=wheel_text(more="Build: 2\n")), "IDENTITY-BUILD"
    ),
    "WHEEL of a build that the file name lacks": Kind(_texts(wheel=wheel_text(more="Build: 1\n")), "IDENTITY-BUILD"),
    "WHEEL of two builds": Kind(
        _texts("toy_engine-1.2.3-1-py3-none-any.whl", wheel=wheel_text(more="Build: 1\nBuild: 1\n")), "IDENTITY-BUILD"
    ),
    "no WHEEL": Kind(_without(WHEEL), "IDENTITY-FORMAT"),
    "no METADATA": Kind(_without(METADATA), "IDENTITY-FORMAT"),
    "WHEEL that is not UTF-8": Kind(_texts(wheel=wheel_text() + b"Generator: \xff\n"), "IDENTITY-FORMAT"),
    "METADATA that is not UTF-8": Kind(_texts(metadata=metadata() + b"Author: \xff\n"), "IDENTITY-FORMAT"),
    "METADATA that is empty": Kind(_texts(metadata=b""), "IDENTITY-FORMAT"),
    "METADATA without a name": Kind(_texts(metadata=b"Metadata-Version: 2.1\nVersion: 1.2.3\n"), "IDENTITY-FORMAT"),
    "METADATA without a version": Kind(
        _texts(metadata=b"Metadata-Version: 2.1\nName: toy-engine\n"), "IDENTITY-FORMAT"
    ),
    "METADATA with its name in the body": Kind(
        _texts(metadata=b"Metadata-Version: 2.1\nVersion: 1.2.3\n\nName: toy-engine\n"), "IDENTITY-FORMAT"
    ),
    "METADATA with two names": Kind(_texts(metadata=metadata() + b"Name: other\n"), "IDENTITY-FORMAT"),
    "METADATA with its name twice": Kind(_texts(metadata=metadata() + b"name: toy-engine\n"), "IDENTITY-FORMAT"),
    "METADATA with two versions": Kind(_texts(metadata=metadata() + b"Version: 9\n"), "IDENTITY-FORMAT"),
    "METADATA of a version that is none": Kind(_texts(metadata=metadata(version="newest")), "IDENTITY-VERSION"),
    "WHEEL without a version": Kind(
        _texts(wheel=b"Generator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"), "IDENTITY-FORMAT"
    ),
    "WHEEL of two versions": Kind(_texts(wheel=wheel_text() + b"Wheel-Version: 1.0\n"), "IDENTITY-FORMAT"),
    "WHEEL that begins with another text": Kind(_texts(wheel=b"hello\n" + wheel_text()), "IDENTITY-FORMAT"),
    "METADATA that begins with an empty line": Kind(_texts(metadata=b"\n" + metadata()), "IDENTITY-FORMAT"),
    "METADATA without its own version": Kind(_texts(metadata=b"Name: toy-engine\nVersion: 1.2.3\n"), "IDENTITY-FORMAT"),
    "METADATA with a second name behind a bare carriage return": Kind(
        _texts(metadata=metadata() + b"Summary: a\rName: other\n"), "IDENTITY-FORMAT"
    ),
    "WHEEL of a version that is no number": Kind(_texts(wheel=wheel_text(version="one")), "IDENTITY-FORMAT"),
    "WHEEL of version 2": Kind(_texts(wheel=wheel_text(version="2.0")), "IDENTITY-FORMAT"),
    "WHEEL of two roots": Kind(_texts(wheel=wheel_text(more="Root-Is-Purelib: false\n")), "IDENTITY-FORMAT"),
    "WHEEL of a root that is neither": Kind(_texts(wheel=wheel_text().replace(b"true", b"perhaps")), "IDENTITY-FORMAT"),
    "WHEEL of version 0": Kind(_texts(wheel=wheel_text(version="0.9")), "IDENTITY-FORMAT"),
}

KINDS: dict[str, Kind] = {**_STRUCTURE, **_ZIP64, **_HEADERS, **_MEMBERS, **_DATA, **_RECORDS, **_IDENTITY}
"""Kinds of malformed wheels by what is wrong."""


class _Pipe(io.RawIOBase):
    """A stream that cannot be turned back, so that zipfile writes data descriptors."""

    def __init__(self, stream):
        self._stream = stream

    def writable(self):
        return True

    def write(self, data):
        return self._stream.write(data)


def _by_zipfile(*, streamed=False, force_zip64=False):
    """Return the builder of a wheel written by Python's zipfile."""

    def build(folder):
        path = folder / FILENAME
        with path.open("wb") as stream, zipfile.ZipFile(_Pipe(stream) if streamed else stream, "w") as archive:
            for entry in sound_archive().entries:
                info = zipfile.ZipInfo(entry.name.decode(), (2024, 5, 6, 7, 8, 10))
                info.compress_type = entry.method
                with archive.open(info, "w", force_zip64=force_zip64) as member:
                    member.write(entry.data)
        return path

    return build


def _with_folders(archive):
    archive.entries[:0] = [make_entry("toy_engine/", b""), make_entry("toy_engine/empty/", b"")]
    archive.entries.append(make_entry(f"{DIST_INFO}/", b"", mode=0o755))


def _info_zip_times(archive):
    """Give members the timestamps of Info-ZIP: access and creation time stand in the local header only."""
    for entry in archive.entries:
        owner = extra_field(0x7875, b"\1\4" + bytes(4) + b"\4" + bytes(4))
        entry.local["extra"] = extra_field(0x5455, b"\3" + struct.pack("<II", 1700000000, 1700000001)) + owner
        entry.central["extra"] = extra_field(0x5455, b"\3" + struct.pack("<I", 1700000000)) + owner


def _hashed(algorithm):
    files = sound_files()
    rows = [record_row(name, data, algorithm) for name, data in files.items()]
    return _record(lambda _: csv_text([*rows, [RECORD, "", ""]]).encode())


def _wide_locals(archive):
    for entry in archive.entries:
        widen_local(entry)


def _wide_descriptors(archive):
    for number, entry in enumerate(archive.entries):
        entry.descriptor = "signed64" if number % 2 else "bare64"
        widen_local(entry, extra=extra64(0, 0))


SOUND: dict[str, Callable[[Path], Path]] = {
    "the plain wheel": _whole(),
    "the wheel that zipfile writes": _by_zipfile(),
    "the wheel that zipfile streams": _by_zipfile(streamed=True),
    "the wheel that zipfile writes with ZIP64 forced": _by_zipfile(force_zip64=True),
    "the wheel that zipfile streams with ZIP64 forced": _by_zipfile(streamed=True, force_zip64=True),
    "ZIP64 fields in the local headers": _archived(_wide_locals),
    "ZIP64 field in the directory": _archived(lambda archive: widen_central(archive.entries[0])),
    "ZIP64 end records that are true but needless": _end64(),
    "ZIP64 end records that are needed": _end64(
        end={"entries": 0xFFFF, "entries_here": 0xFFFF, "directory_size": ALL_ONES, "directory_offset": ALL_ONES}
    ),
    "data descriptors with signature": _each(descriptor="signed"),
    "data descriptors without signature": _each(descriptor="bare"),
    "data descriptors of 64 bits": _archived(_wide_descriptors),
    "stored members": _each(method=STORED),
    "folders": _archived(_with_folders),
    "UTF-8 names": _added("toy_engine/stra\u00dfe.py", "toy_engine/\u6587.txt"),
    "UTF-8 flags on plain names": _each(flags=UTF8_FLAG),
    "flags of the deflate level": _each(flags=0b110),
    "empty file": _files(lambda files: {"toy_engine/py.typed": b"", "toy_engine/none.bin": b"", **files}),
    "folder that is deflated": _archived(
        lambda archive: archive.entries.append(make_entry("toy_engine/", b"", method=DEFLATED))
    ),
    "members by Windows": _each(system=0, mode=0, central={"external": 0x20}),
    "modes without a kind": _each(mode=0o644),
    "programs": _each(mode=0o100755),
    "timestamps of Info-ZIP": _archived(_info_zip_times),
    "directory in another order": _whole(directory_order=lambda numbers: numbers[::-1]),
    "wheel within a wheel": lambda folder: sound_archive(
        {"toy_engine/inner.bin": sound_archive().build().data, **sound_files()}
    ).save(folder / FILENAME),
    "Windows device in a wheel for all": _added("toy_engine/aux.py"),
    "signatures that RECORD lacks": _files(lambda files: {**files, f"{RECORD}.jws": b"{}", f"{RECORD}.p7s": b"{}"}),
    "RECORD with CRLF": _rows(list, newline="\r\n"),
    "RECORD with a quoted comma": _added("toy_engine/a,b.txt"),
    "RECORD with every field quoted": _record(
        lambda text: b"".join(b'"' + line.replace(b",", b'","') + b'"\n' for line in text.splitlines())
    ),
    "RECORD without a last line feed": _record(bytes.rstrip),
    "hashes by SHA-384": _hashed("sha384"),
    "hashes by SHA-512": _hashed("sha512"),
    "data folder": _files(lambda files: {"toy_engine-1.2.3.data/scripts/run": b"#!python\n", **files}),
    "dist-info folder further in": _files(lambda files: {**files, "toy_engine/x-1.dist-info/METADATA": b"Name: x\n"}),
    "name with dots and capitals": lambda folder: sound_archive(
        _moved(DIST_INFO, "Toy.Engine-1.2.3.dist-info")(sound_files(metadata=metadata("Toy.Engine")))
    ).save(folder / "Toy.Engine-1.2.3-py3-none-any.whl"),
    "METADATA of the same name spelled otherwise": _texts(metadata=metadata("Toy._Engine")),
    "local version": lambda folder: sound_archive(
        _moved(DIST_INFO, "toy_engine-1.0+cpu.dist-info")(sound_files(metadata=metadata(version="1.0+cpu")))
    ).save(folder / "toy_engine-1.0+cpu-py3-none-any.whl"),
    "METADATA of the same version spelled otherwise": _texts(metadata=metadata(version="v1.2.3")),
    "METADATA with foreign letters and a body": _texts(
        metadata=metadata() + "Author: J\u00fcrgen\n\nName: in the text\nVersion: too\n".encode()
    ),
    "build tag": _texts("toy_engine-1.2.3-1_cpu-py3-none-any.whl", wheel=wheel_text(more="Build: 1_cpu\n")),
    "build tag that WHEEL lacks": _texts("toy_engine-1.2.3-1-py3-none-any.whl"),
    "compressed tags": _texts(
        "toy_engine-1.2.3-py2.py3-none-any.whl", wheel=wheel_text("py3-none-any", "py2-none-any")
    ),
    "WHEEL that does not tell its root": _texts(wheel=wheel_text().replace(b"Root-Is-Purelib: true\n", b"")),
    "WHEEL of a root in capitals": _texts(wheel=wheel_text().replace(b"true", b"True")),
    "version needed of the newest that pip reads": _each(both={"version": 63}),
    "version needed with the system that wrote it": _each(both={"version": 0x0314}),
    "WHEEL of version 1.9": _texts(wheel=wheel_text(version="1.9")),
    "WHEEL and METADATA with CRLF": _texts(
        wheel=wheel_text().replace(b"\n", b"\r\n"), metadata=metadata().replace(b"\n", b"\r\n")
    ),
}
"""Wheels that look odd and are sound, by what is odd."""
