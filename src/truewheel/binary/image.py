"""An ELF file in memory: its segments, its executable ranges, symbols, frames and relocations.

pyelftools reads headers, segments and notes. Tables of a hundred thousand rows are read by `struct`
here, because one object a row would take seconds.
"""

from __future__ import annotations

import bisect
import io
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_ENTRIES = 10_000
"""More sections or segments than any library has; in a damaged file their chains can be endless."""
MAX_ROWS = 8_000_000

_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC, _STT_IFUNC = 0, 1, 2, 10
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_DYNSYM = 1, 2, 11
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_PF_X = 1
_HEADER_BYTES = 64
_LONGEST_NAME = 500
_CHUNK_WORDS = 63


class Range(NamedTuple):
    """A stretch of code: its section's name, address, and place in the file."""

    name: str
    address: int
    offset: int
    size: int


class Symbol(NamedTuple):
    """One symbol: name, address (0 when undefined), size, kind (ELF's STT), binding (STB), whether it is defined."""

    name: str
    value: int
    size: int
    kind: int
    binding: int
    defined: bool
    visible: bool


class Relocation(NamedTuple):
    """One dynamic relocation: the slot's address, ELF's type, the symbol's index, and the addend."""

    slot: int
    kind: int
    symbol: int
    addend: int


class ElfImage:
    """An ELF file in memory.

    Args:
        data: the file's bytes.

    Attributes:
        damage: why its section table could not be read; empty when it could. The loader does not look at
            that table, so such a library still runs.

    Raises:
        ValueError: it is no ELF file, or even its segments cannot be read.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.damage = ""
        self._symbols: dict[bool, list[Symbol]] = {}
        try:
            self.elf = self._open(data)
        except Exception as error:  # noqa: BLE001 - pyelftools raises anything on bytes that it did not expect
            self.damage = f"its section table cannot be read: {type(error).__name__}: {error}"
            without = data[:40] + bytes(8) + data[48:58] + bytes(6) + data[_HEADER_BYTES:]
            try:
                self.elf = self._open(without)
            except Exception as second:
                raise ValueError(f"damaged ELF file: {second}") from second
        try:
            # Read once: each look at pyelftools' tables makes every object anew.
            self.parts = list(self.elf.iter_segments())
            self.sections = list(self.elf.iter_sections())
            self._loads = [
                (int(part["p_vaddr"]), int(part["p_offset"]), int(part["p_filesz"]))
                for part in self.segments("PT_LOAD")
            ]
        except Exception as error:
            raise ValueError(f"damaged ELF file: its segments cannot be read: {error}") from error

    @staticmethod
    def _open(data: bytes) -> Any:
        from elftools.elf.elffile import ELFFile

        elf = ELFFile(io.BytesIO(data))
        if max(elf.num_sections(), elf.num_segments()) > MAX_ENTRIES:
            raise ValueError(f"it claims {elf.num_sections()} sections and {elf.num_segments()} segments")
        for section in elf.iter_sections():
            if section["sh_type"] != "SHT_NOBITS" and section["sh_offset"] + section["sh_size"] > len(data):
                raise ValueError(f"section {section.name!r} reaches beyond the file")
        return elf

    @property
    def x86_64(self) -> bool:
        """Return whether it holds 64-bit x86 code."""
        return str(self.elf["e_machine"]) == "EM_X86_64" and self.elf.elfclass == 64  # noqa: PLR2004

    def segments(self, kind: str) -> list[Any]:
        """Return the program headers of a type."""
        return [part for part in self.parts if part["p_type"] == kind]

    def offset_of(self, address: int) -> int:
        """Return where an address lies in the file, or -1."""
        for start, offset, size in self._loads:
            if start <= address < start + size:
                return offset + address - start
        return -1

    def read(self, address: int, size: int) -> bytes:
        """Return bytes by address; fewer, or none, where the file has none."""
        offset = self.offset_of(address)
        return self.data[offset : offset + size] if offset >= 0 else b""

    def undebugged(self) -> list[tuple[int, int]]:
        """Return the stretches of the file, by offset, that are not sections for debuggers."""
        debug = sorted(
            (int(part["sh_offset"]), int(part["sh_offset"]) + int(part["sh_size"]))
            for part in self.sections
            if part.name.startswith((".debug_", ".zdebug_")) and part["sh_type"] != "SHT_NOBITS"
        )
        kept, at = [], 0
        for start, end in debug:
            if start > at:
                kept.append((at, start))
            at = max(at, end)
        return [*kept, (at, len(self.data))]

    def executable_ranges(self) -> list[Range]:
        """Return the executable sections, and what executable segments hold besides any section.

        The loader looks at segments alone: code that no section names runs all the same.
        """
        sections = [
            (int(part["sh_addr"]), int(part["sh_addr"]) + int(part["sh_size"]), part)
            for part in self.sections
            if part["sh_flags"] & _SHF_ALLOC
        ]
        ranges = [
            Range(str(part.name), start, int(part["sh_offset"]), end - start)
            for start, end, part in sections
            if part["sh_type"] == "SHT_PROGBITS" and part["sh_flags"] & _SHF_EXECINSTR and end > start
        ]
        headers = int(self.elf["e_phoff"]) + int(self.elf["e_phnum"]) * int(self.elf["e_phentsize"])
        for part in self.segments("PT_LOAD"):
            if part["p_flags"] & _PF_X:
                offset, address = int(part["p_offset"]), int(part["p_vaddr"])
                size = min(int(part["p_filesz"]), len(self.data) - offset)
                # The file's own header is no code, although it is often mapped together with it.
                at = address + max(0, headers - offset) if offset < headers else address
                ranges += _besides(at, address + size, offset - address, [(start, end) for start, end, _ in sections])
        return _apart(sorted(ranges, key=lambda found: found.address))

    def symbols(self, *, dynamic: bool) -> list[Symbol]:
        """Return the symbols that the loader sees, or those of the full table; none where it was stripped."""
        if dynamic not in self._symbols:
            self._symbols[dynamic] = self._read_symbols(dynamic=dynamic)
        return self._symbols[dynamic]

    def _read_symbols(self, *, dynamic: bool) -> list[Symbol]:
        table = self._symbol_table(dynamic=dynamic)
        if table is None:
            return []
        offset, size, names_at, names_size = table
        names = self.data[names_at : names_at + names_size]
        count = min(size // _SYMBOL.size, MAX_ROWS)
        rows = _SYMBOL.iter_unpack(self.data[offset : offset + count * _SYMBOL.size])
        return [
            Symbol(_name_at(names, name), value, length, info & 0xF, info >> 4, section != 0, other & 3 not in (1, 2))
            for name, info, other, section, value, length in rows
        ]

    def _symbol_table(self, *, dynamic: bool) -> tuple[int, int, int, int] | None:
        wanted = "SHT_DYNSYM" if dynamic else "SHT_SYMTAB"
        for section in self.sections:
            if section["sh_type"] == wanted:
                names = self.elf.get_section(section["sh_link"])
                return (
                    int(section["sh_offset"]),
                    int(section["sh_size"]),
                    int(names["sh_offset"]),
                    int(names["sh_size"]),
                )
        return self._dynamic_table() if dynamic else None

    def _dynamic_table(self) -> tuple[int, int, int, int] | None:
        """Find the dynamic symbols without sections: they end where the strings begin, as linkers lay them."""
        tags = self.dynamic_tags()
        symbols, strings, size = (tags.get(name, [0])[0] for name in ("DT_SYMTAB", "DT_STRTAB", "DT_STRSZ"))
        start, end = self.offset_of(symbols), self.offset_of(strings)
        return (start, end - start, end, size) if 0 <= start < end else None

    def dynamic_tags(self) -> dict[str, list[int]]:
        """Return the values of the dynamic section by tag."""
        tags: dict[str, list[int]] = {}
        # One is all that the loader takes.
        for part in self.segments("PT_DYNAMIC")[:1]:
            for number, tag in enumerate(part.iter_tags()):
                if number > MAX_ENTRIES:
                    break
                tags.setdefault(str(tag.entry.d_tag), []).append(int(tag.entry.d_val))
        return tags

    def relocations(self) -> Iterator[Relocation]:
        """Yield the dynamic relocations, also those that DT_RELR packs."""
        tags = self.dynamic_tags()
        for table, size in (("DT_RELA", "DT_RELASZ"), ("DT_JMPREL", "DT_PLTRELSZ")):
            if table in tags and size in tags:
                data = self.read(tags[table][0], min(tags[size][0], MAX_ROWS * _RELA.size))
                for slot, info, addend in _RELA.iter_unpack(data[: len(data) // _RELA.size * _RELA.size]):
                    yield Relocation(slot, info & 0xFFFFFFFF, info >> 32, addend)
        if "DT_RELR" in tags and "DT_RELRSZ" in tags:
            yield from self._packed(self.read(tags["DT_RELR"][0], min(tags["DT_RELRSZ"][0], MAX_ROWS)))

    def _packed(self, data: bytes) -> Iterator[Relocation]:
        """Unpack relative relocations: an address, then bitmaps of the 63 words that follow each."""
        base = 0
        for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8]):
            slots = [word] if not word & 1 else [base + 8 * bit for bit in range(_CHUNK_WORDS) if word >> bit + 1 & 1]
            base = word + 8 if not word & 1 else base + 8 * _CHUNK_WORDS
            for slot in slots:
                value = self.read(slot, 8)
                if len(value) == 8:  # noqa: PLR2004
                    yield Relocation(slot, 8, 0, struct.unpack("<q", value)[0])

    def frames(self) -> list[tuple[int, int]]:
        """Return (address, size) of each function that the unwinder knows, sorted; it knows them in stripped files too.

        Format: .eh_frame_hdr of the Linux Standard Base, with the table that every linker writes.
        """
        parts = self.segments("PT_GNU_EH_FRAME")
        if not parts:
            return []
        address = int(parts[0]["p_vaddr"])
        head = self.read(address, 12)
        if len(head) < 12 or head[0] != 1 or head[2] != 0x03 or head[3] != 0x3B:  # noqa: PLR2004
            return []
        encoded = 4 if head[1] & 0x0F in (0x03, 0x0B) else 8
        (count,) = struct.unpack_from("<I", self.read(address + 4 + encoded, 4))
        rows = self.read(address + 8 + encoded, 8 * min(count, MAX_ROWS))
        result = []
        for start, frame in struct.iter_unpack("<ii", rows[: len(rows) // 8 * 8]):
            # Length, CIE pointer, then begin and size: 4 bytes each in every x86-64 compiler's output.
            entry = self.read(address + frame, 16)
            if len(entry) == 16:  # noqa: PLR2004
                result.append((address + start, struct.unpack_from("<I", entry, 12)[0]))
        return sorted(result)


def _besides(start: int, end: int, shift: int, taken: list[tuple[int, int]]) -> list[Range]:
    """Return the stretches of [start, end) that none of the others covers."""
    rest = []
    for first, last in sorted(taken):
        if last <= start or first >= end:
            continue
        if first > start:
            rest.append(Range("segment", start, start + shift, first - start))
        start = max(start, last)
    if start < end:
        rest.append(Range("segment", start, start + shift, end - start))
    return rest


def _apart(ranges: list[Range]) -> list[Range]:
    """Cut off what overlaps, as in a damaged file."""
    result: list[Range] = []
    at = 0
    for part in ranges:
        lost = max(0, at - part.address)
        if part.size > lost:
            result.append(Range(part.name, part.address + lost, part.offset + lost, part.size - lost))
            at = part.address + part.size
    return result


class Places:
    """Sorted stretches of addresses, to find which one holds an address.

    Args:
        stretches: (start, end), sorted, not overlapping.
    """

    def __init__(self, stretches: list[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in stretches]
        self._ends = [end for _, end in stretches]

    def find(self, address: int) -> int:
        """Return the index of the stretch that holds an address, or -1."""
        index = bisect.bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self._ends[index] else -1


def is_function(symbol: Symbol) -> bool:
    """Tell whether a symbol names code."""
    return symbol.defined and symbol.kind in (_STT_FUNC, _STT_IFUNC)


def is_label(symbol: Symbol) -> bool:
    """Tell whether a symbol may name code without saying so, as assemblers' do."""
    return symbol.defined and symbol.kind == _STT_NOTYPE and bool(symbol.name)


def is_resolver(symbol: Symbol) -> bool:
    """Tell whether a symbol is chosen at load time by the function that it names."""
    return symbol.kind == _STT_IFUNC


def is_object(symbol: Symbol) -> bool:
    """Tell whether a symbol names data."""
    return symbol.defined and symbol.kind == _STT_OBJECT


def _name_at(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset, offset + _LONGEST_NAME)
    return names[offset : end if end >= 0 else offset + _LONGEST_NAME].decode("utf-8", "backslashreplace")
