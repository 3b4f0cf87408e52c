"""The headers of an ELF file: what it is, its segments, sections, dynamic section, notes and needed versions.

Each is read by `struct`, in either byte order and width, and no count or link in them is believed: tables end with
the file, chains end with the allowance, and texts are cut.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from typing import NamedTuple

from truewheel.allowance import Allowance

MAX_SECTIONS, MAX_SEGMENTS, MAX_ENTRIES = 10_000, 1_000, 10_000
"""More sections, segments and entries of the dynamic section than any library has."""

LONGEST_NAME = 500
_LONGEST_PATH = 4096
_IDENT = 16
_EXTENDED_SEGMENTS, _EXTENDED_NAMES = 0xFFFF, 0xFFFF
_NO_BITS = 8
_ROW_COST = 32

PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
PT_GNU_EH_FRAME, PT_GNU_STACK, PT_GNU_RELRO = 0x6474E550, 0x6474E551, 0x6474E552
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHT_DYNSYM, SHT_VERNEED = 1, 2, 3, _NO_BITS, 11, 0x6FFFFFFE
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_INIT, DT_FINI = 1, 5, 6, 10, 12, 13
DT_RELA, DT_RELASZ, DT_PLTRELSZ, DT_JMPREL, DT_RELRSZ, DT_RELR = 7, 8, 2, 23, 35, 36
DT_SONAME, DT_RPATH, DT_RUNPATH, DT_TEXTREL, DT_BIND_NOW, DT_FLAGS = 14, 15, 29, 22, 24, 30
DT_INIT_ARRAY, DT_FINI_ARRAY, DT_INIT_ARRAYSZ, DT_FINI_ARRAYSZ = 25, 26, 27, 28
DT_VERSYM, DT_FLAGS_1 = 0x6FFFFFF0, 0x6FFFFFFB


class SegmentHeader(NamedTuple):
    """A program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class SectionHeader(NamedTuple):
    """A section header, with its name."""

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class Need(NamedTuple):
    """A version that is asked of a library: the library's name, the version's, and the number that symbols use."""

    library: str
    version: str
    number: int


class Headers:
    """The header of an ELF file, and how its tables are laid out.

    Args:
        data: the file's bytes.
        allowance: what reading it may take.

    Attributes:
        wide: whether it is a 64-bit file.
        order: its byte order, as `struct` writes it.
        machine: ELF's name of the machine, e.g. `EM_X86_64`, or its number.
        kind: ELF's type: 1 for an object file, 3 for a shared library.
        entry: address of the entry point.
        end: offset of the first byte behind the table of segments.

    Raises:
        ValueError: it is no ELF file, or cut off in its header.
    """

    def __init__(self, data: bytes, allowance: Allowance) -> None:
        self._data, self._allowance = data, allowance
        if data[:4] != b"\x7fELF" or data[4:5] not in (b"\1", b"\2") or data[5:6] not in (b"\1", b"\2"):
            raise ValueError("it is no ELF file")
        self.wide, self.order = data[4] == 2, "<" if data[5] == 1 else ">"  # noqa: PLR2004 - ELFCLASS64
        fields = self._unpack("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH", _IDENT)
        self.kind, machine, _, self.entry, self._segments_at, self._sections_at = fields[:6]
        self._segment_size, self._segment_count, self._section_size, self._section_count, self._names = fields[8:]
        self.machine = machine_name(machine)
        self.end = self._segments_at + self._segment_count * self._segment_size

    def segments(self) -> list[SegmentHeader]:
        """Return the program headers.

        Raises:
            ValueError: they do not lie in the file, or are more than any library has.
        """
        count = self._segment_count
        if count == _EXTENDED_SEGMENTS:
            count = self._first_section()[7]
        form = "IIQQQQQQ" if self.wide else "IIIIIIII"
        rows = self._table(self._segments_at, count, self._segment_size, form, MAX_SEGMENTS, "segments")
        if self.wide:
            return [SegmentHeader(row[0], row[1], row[2], row[3], row[5], row[6]) for row in rows]
        return [SegmentHeader(row[0], row[6], row[1], row[2], row[4], row[5]) for row in rows]

    def sections(self) -> list[SectionHeader]:
        """Return the section headers.

        Raises:
            ValueError: they, or what they name, do not lie in the file, or they are more than any library has.
        """
        if not self._sections_at:
            return []
        count = self._section_count or self._first_section()[5]
        form = self._section_form()
        rows = self._table(self._sections_at, count, self._section_size, form, MAX_SECTIONS, "sections")
        names = self._first_section()[6] if self._names == _EXTENDED_NAMES else self._names
        if rows and names >= len(rows):
            raise ValueError("its sections have no names")
        start, size = (rows[names][4], rows[names][5]) if rows and names else (0, 0)
        named = [SectionHeader(self._text_in(start, size, row[0]), *row[1:8]) for row in rows]
        for section in named:
            if section.kind != SHT_NOBITS and section.offset + section.size > len(self._data):
                raise ValueError(f"section {section.name!r} reaches beyond the file")
        return named

    def dynamic(self, segment: SegmentHeader) -> list[tuple[int, int]]:
        """Return the entries of a dynamic segment, tag and value, up to the end mark."""
        form = "qQ" if self.wide else "iI"
        size = struct.calcsize(self.order + form)
        rows: list[tuple[int, int]] = []
        at = segment.offset
        while segment.file_size and len(rows) < MAX_ENTRIES:
            self._allowance.spend(_ROW_COST)
            tag, value = self._unpack(form, at)
            rows.append((tag, value))
            at += size
            if not tag:
                break
        return rows

    def notes(self, segment: SegmentHeader) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield name, type and content of each note of a segment, padded to 4 bytes each."""
        at, end = segment.offset, min(segment.offset + segment.file_size, len(self._data))
        while at + 12 < end:
            self._allowance.spend(_ROW_COST)
            name_size, size, kind = self._unpack("III", at)
            name = self._data[at + 12 : min(end, at + 12 + name_size)].partition(b"\0")[0][:LONGEST_NAME]
            at += 12 + (name_size + 3) // 4 * 4
            yield name, kind, self._data[at : min(end, at + size)]
            at += (size + 3) // 4 * 4

    def needed_versions(self, section: SectionHeader, strings: SectionHeader) -> Iterator[Need]:
        """Yield the versions that a section asks of other libraries.

        Raises:
            ValueError: its chains lead nowhere.
        """
        at = section.offset
        for _ in range(section.info):
            self._allowance.spend(_ROW_COST)
            _, count, library, first, step = self._unpack("HHIII", at)
            if not count:
                raise ValueError("a library of which it asks for no version")
            name = self._text_in(strings.offset, strings.size, library)
            row = at + first
            for _ in range(count):
                self._allowance.spend(_ROW_COST)
                _, _, index, version, following = self._unpack("IHHII", row)
                yield Need(name, self._text_in(strings.offset, strings.size, version), index)
                row += following
            at += step

    def text_at(self, offset: int) -> str:
        """Return a text that ends with a zero byte; a long one is cut."""
        if not 0 <= offset < len(self._data):
            raise ValueError("a name lies outside the file")
        end = self._data.find(b"\0", offset, offset + _LONGEST_PATH)
        text = self._data[offset : end if end >= 0 else offset + _LONGEST_PATH]
        self._allowance.spend(len(text) + _ROW_COST)
        return text.decode("utf-8", "backslashreplace")

    def _text_in(self, start: int, size: int, offset: int) -> str:
        """Return a text out of a table of strings; empty for one that lies outside of it."""
        if offset >= size:
            return ""
        end = min(start + size, start + offset + LONGEST_NAME)
        stop = self._data.find(b"\0", start + offset, end)
        text = self._data[start + offset : stop if stop >= 0 else end]
        self._allowance.spend(len(text) + _ROW_COST)
        return text.decode("utf-8", "backslashreplace")

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self._data, offset)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"it is cut off, or points out of itself, at {offset}") from error

    def _section_form(self) -> str:
        return "IIQQQQIIQQ" if self.wide else "IIIIIIIIII"

    def _first_section(self) -> tuple[int, ...]:
        """Return the first section header, which holds what the file's own header has no room for."""
        return self._unpack(self._section_form(), self._sections_at)

    def _table(self, at: int, count: int, step: int, form: str, most: int, what: str) -> list[tuple[int, ...]]:
        if count > most:
            raise ValueError(f"it claims {count} {what}")
        if count and step < struct.calcsize(self.order + form):
            raise ValueError(f"its {what} have headers of {step} bytes")
        self._allowance.spend(count * _ROW_COST)
        return [self._unpack(form, at + number * step) for number in range(count)]


@functools.cache
def _machines() -> dict[int, str]:
    from elftools.elf.enums import ENUM_E_MACHINE

    return {number: name for name, number in ENUM_E_MACHINE.items() if isinstance(number, int)}


def machine_name(number: int) -> str:
    """Return ELF's name for a machine, e.g. `EM_X86_64`."""
    return _machines().get(number, str(number))
