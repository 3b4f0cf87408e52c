"""Makers of wheels that must not pass: every kind of the reader's own, fields told wrongly, and trees gone wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import malformed
import planted_installed
from malformed import DIST_INFO, FILENAME, INIT, make_entry, sound_archive, sound_files, wheel_text
from plain_elf import MACHINES, plain_elf

from truewheel.checks.policy import default_policy

Maker = Callable[[Path], Path]
LINUX = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
_HEADER = ("signature", "flags", "method", "time", "date", "crc", "packed", "size", "name_length", "extra_length")
_WIDTHS = {"H": 16, "I": 32, "Q": 64}


def wheel_makers() -> dict[str, Maker]:
    """Return a maker for each kind, by what is wrong."""
    return {
        **{f"reader: {title}": kind.build for title, kind in malformed.KINDS.items()},
        **dict(_fields()),
        **dict(_installed()),
        **dict(_loading()),
        **dict(_texts()),
        **dict(_names()),
    }


def _changes(code: str) -> dict[str, Callable[[int], int]]:
    top = 1 << _WIDTHS[code]
    return {
        "one more": lambda value: (value + 1) % top,
        "one less": lambda value: (value - 1) % top,
        "its highest bit": lambda value: value ^ top >> 1,
    }


def _archived(change: Callable[[Any], None]) -> Maker:
    def make(folder: Path) -> Path:
        archive = sound_archive()
        change(archive)
        return archive.save(folder / FILENAME)

    return make


_WITHOUT_VERSIONS = [field for field in malformed.END64_FIELDS if field not in ("made_by", "version")]
_RECORDS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "local": (malformed.LOCAL_FIELDS, _HEADER),
    "central": (malformed.CENTRAL_FIELDS, (*_HEADER, "comment_length", "disk", "offset")),
    "end": (malformed.END_FIELDS, tuple(malformed.END_FIELDS)),
    "end64": (
        malformed.END64_FIELDS,
        tuple(field for field in malformed.END64_FIELDS if field not in ("made_by", "version")),
    ),
    "locator": (malformed.LOCATOR_FIELDS, ("signature", "disk", "offset")),
    "signed": (malformed.DESCRIPTOR_FIELDS["signed"], tuple(malformed.DESCRIPTOR_FIELDS["signed"])),
    "bare": (malformed.DESCRIPTOR_FIELDS["bare"], tuple(malformed.DESCRIPTOR_FIELDS["bare"])),
}
"""Records by name, with the widths of their fields and the fields of which every value but one is a lie."""


def _fields() -> Iterator[tuple[str, Maker]]:
    """Yield wheels in which one field of one record is told wrongly."""
    for record, (widths, fields) in _RECORDS.items():
        for field in fields:
            for how, change in _changes(widths[field]).items():
                yield f"field: {record} {field}, {how}", _archived(_tell(record, field, change))
    for version in (64, 99, 255):
        for record in ("local", "central", "both"):
            told = _tell(record, "version", lambda _, version=version: version)
            yield f"field: {record} version {version}, which pip does not read", _archived(told)


def _tell(record: str, field: str, change: Callable[[int], int]) -> Callable[[Any], None]:
    """Return what changes a field of a record of an archive."""

    def tell(archive: Any) -> None:
        entry = archive.entries[1]
        if record in ("end64", "locator"):
            archive.end64, archive.locator = {}, {}
        if record in ("signed", "bare"):
            entry.descriptor, entry.trailer = record, {field: change}
        else:
            getattr(archive if record in ("end", "end64", "locator") else entry, record)[field] = change

    return tell


def _with(files: dict[str, bytes], *, filename: str = FILENAME, wheel: bytes | None = None) -> Maker:
    """Return the maker of a wheel with further files, whose RECORD is right."""
    changes = {} if wheel is None else {"wheel": wheel}
    return lambda folder: sound_archive({**sound_files(**changes), **files}).save(folder / filename)


def _refuses(code: str) -> bool:
    return default_policy().severity_of(code, own=False) == "error"


def _installed() -> Iterator[tuple[str, Maker]]:
    """Yield wheels that are archives like any other, of which an installer makes what they must not be."""
    for code, members in planted_installed.MEMBERS.items():
        for member in filter(lambda _: _refuses(code), members):
            name = member.replace("toy_engine/lib/libtoy-cpu.so", "toy_engine/engine.py")
            yield f"installed: {code}: {name}", _with({name: b"1\n"})
    for text in planted_installed.PTH["INSTALL-PTH-HIDDEN"]:
        yield f"installed: .pth that runs {text[:40]!r}", _with({"toy_engine.pth": text.encode()})
    for code, names in planted_installed.ENTRIES.items():
        for name in filter(lambda _: _refuses(code), names):
            text = f"[console_scripts]\n{name} = toy_engine:run\n".encode()
            yield f"installed: {code}: program {name!r}", _with({f"{DIST_INFO}/entry_points.txt": text})


def _loading() -> Iterator[tuple[str, Maker]]:
    """Yield wheels with files that no loader of their tag takes."""
    path = "toy_engine/ext.abi3.so"
    bad: dict[str, bytes] = {
        "nothing": b"",
        "text": b"import this\n",
        "PE": b"MZ" + bytes(100),
        "Mach-O": b"\xcf\xfa\xed\xfe" + bytes(100),
        "object file": plain_elf(kind=1),
        "program": plain_elf(kind=2),
        "position-independent program": plain_elf(tags=[(0x6FFFFFFB, 0x08000000)]),
        "no machine": plain_elf(number=0),
        "no init": plain_elf(symbols=("PyInit_other",)),
        **{f"for {machine}": plain_elf(machine) for machine in MACHINES if machine != "x86_64"},
        **{f"cut at {length}": plain_elf()[:length] for length in (4, 40, 64, 150, 300)},
    }
    for title, data in bad.items():
        wheel = wheel_text("py3-none-linux_x86_64").replace(b"Purelib: true", b"Purelib: false")
        yield f"loading: {title}", _with({path: data}, filename=LINUX, wheel=wheel)


def _texts() -> Iterator[tuple[str, Maker]]:
    """Yield wheels with another METADATA, WHEEL or entry_points.txt, whose RECORD is right."""
    metadata = malformed.metadata()
    wheel = wheel_text()
    told = {
        "METADATA of version 3": {"metadata": metadata.replace(b"2.1", b"3.0")},
        "METADATA of a version that is a word": {"metadata": metadata.replace(b"2.1", b"new")},
        "METADATA in UTF-16": {"metadata": metadata.decode().encode("utf-16")},
        "METADATA in Latin-1": {"metadata": metadata + "Author: J\u00fcrgen\n".encode("latin-1")},
        "METADATA with NUL": {"metadata": metadata + b"Summary: a\0b\n"},
        "METADATA of a name with a path": {"metadata": metadata.replace(b"toy-engine", b"../toy-engine")},
        "METADATA of a name of a thousand letters": {"metadata": malformed.metadata("a" * 1000)},
        "METADATA of a requirement that is none": {"metadata": metadata + b"Requires-Dist: toy => 1\n"},
        "METADATA of a Python that is none": {"metadata": metadata + b"Requires-Python: three\n"},
        "METADATA of a Python that is too old": {"metadata": metadata + b"Requires-Python: <3\n"},
        "METADATA of a licence that is missing": {"metadata": metadata + b"License-File: COPYING\n"},
        "WHEEL in UTF-16": {"wheel": wheel.decode().encode("utf-16")},
        "WHEEL with NUL": {"wheel": wheel + b"Generator: a\0b\n"},
        "WHEEL of version 1.x": {"wheel": wheel.replace(b"1.0", b"1.x", 1)},
        "WHEEL of version 10": {"wheel": wheel.replace(b"1.0", b"10.0", 1)},
        "WHEEL of a negative version": {"wheel": wheel.replace(b"1.0", b"-1.0", 1)},
        "WHEEL of two places for its root": {"wheel": wheel + b"Root-Is-Purelib: false\n"},
        "WHEEL of a place that is none": {"wheel": wheel.replace(b"Purelib: true", b"Purelib: maybe")},
        "WHEEL of a place in Cyrillic letters": {"wheel": wheel.replace(b"true", "tru\u0435".encode())},
    }
    for title, changes in told.items():
        yield f"text: {title}", _changed_texts(changes)
    for title, text in {
        "that is no INI file": b"[console_scripts\ntoy\n",
        "without a section": b"toy = toy_engine:run\n",
        "that leads nowhere": b"[console_scripts]\ntoy = toy_engine.gone:run\n",
        "of a reference that is none": b"[console_scripts]\ntoy = import os\n",
        "of two programs of one name": b"[console_scripts]\na = toy_engine:a\n[gui_scripts]\nA = toy_engine:b\n",
    }.items():
        yield f"text: entry points {title}", _with({f"{DIST_INFO}/entry_points.txt": text})


def _changed_texts(changes: dict[str, bytes]) -> Maker:
    return lambda folder: sound_archive(sound_files(**changes)).save(folder / FILENAME)


def _names() -> Iterator[tuple[str, Maker]]:
    """Yield wheels with a further member of a bad name, in each folder that an installer looks at."""
    data = "toy_engine-1.2.3.data"
    for folder in ("toy_engine", DIST_INFO, f"{data}/purelib", f"{data}/scripts", f"{data}/data"):
        for bad in ("../x.py", "./x.py", "/x.py", "a//x.py", "a\\x.py", "x.py.", "x.py ", "a\nb.py", "a\u202eb.py"):
            yield f"name: {folder}/{bad!r}", _named(f"{folder}/{bad}")
    for name in (
        INIT.upper(),
        INIT.replace("engine", "\uff45ngine"),
        f"{DIST_INFO.upper()}/WHEEL",
    ):
        yield f"name: {name!r} beside its twin", _named(name)


def _named(name: str) -> Maker:
    def make(folder: Path) -> Path:
        archive = sound_archive({**sound_files(), name: b"1\n"})
        archive.entries[-2] = make_entry(name, b"1\n")
        return archive.save(folder / FILENAME)

    return make
