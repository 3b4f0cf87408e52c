"""An ELF file in memory: its segments, its executable ranges, symbols, frames and relocations.

Tables of a hundred thousand rows are read by `struct`, because one object a row would take seconds. No address is
looked up by going through all segments, no byte of code is read twice, and what remains is charged to the allowance.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import NamedTuple

from truewheel.allowance import Allowance
from truewheel.binary import headers
from truewheel.binary.headers import LONGEST_NAME, Headers, SectionHeader, SegmentHeader
from truewheel.binary.places import AddressMap, Range, list_besides, merge, run_twice, set_apart

MAX_ROWS = 8_000_000

_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_STT_NOTYPE, _STT_OBJECT, _STT_FUNC, _STT_IFUNC = 0, 1, 2, 10
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_PF_X = 1
_CHUNK_WORDS = 63
_ROW_COST = 64
_CHUNK_ROWS = 4096


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
        weight: bytes that it counts for; as many as it has by itself.

    Attributes:
        allowance: what reading it may still take.
        headers: what the file is.
        parts: its program headers.
        sections: its section headers.
        damage: why its section table could not be read, or how its tables contradict each other; empty when they are
            sound. The loader does not look at the section table, so such a library still runs.

    Raises:
        ValueError: it is no ELF file, or even its segments cannot be read.
    """

    def __init__(self, data: bytes, weight: int | None = None) -> None:
        self.data = data
        self.damage = ""
        self.allowance = Allowance(len(data) if weight is None else weight)
        self._symbols: dict[bool, list[Symbol]] = {}
        self._ranges: list[Range] | None = None
        self._tags: dict[int, list[int]] | None = None
        try:
            self.headers = Headers(data, self.allowance)
            self.parts = self.headers.segments()
        except ValueError as error:
            raise ValueError(f"damaged ELF file: its segments cannot be read: {error}") from error
        try:
            self.sections = self.headers.sections()
        except ValueError as error:
            self.damage = f"its section table cannot be read: {error}"
            self.sections = []
        self._map = AddressMap(self.segments(headers.PT_LOAD))
        self.damage = self.damage or self._contradiction()

    @property
    def x86_64(self) -> bool:
        """Return whether it holds 64-bit x86 code."""
        return self.headers.machine == "EM_X86_64" and self.headers.wide

    def segments(self, kind: int) -> list[SegmentHeader]:
        """Return the program headers of a type."""
        return [part for part in self.parts if part.kind == kind]

    def offset_of(self, address: int) -> int:
        """Return where an address lies in the file, or -1."""
        return self._map.offset_of(address)

    def read(self, address: int, size: int) -> bytes:
        """Return bytes by address; fewer, or none, where the file has none."""
        offset = self._map.offset_of(address)
        return self.data[offset : offset + size] if offset >= 0 else b""

    def undebugged(self) -> list[tuple[int, int]]:
        """Return the stretches of the file, by offset, that are not sections for debuggers."""
        debug = sorted(
            (part.offset, part.offset + part.size)
            for part in self.sections
            if part.name.startswith((".debug_", ".zdebug_")) and part.kind != headers.SHT_NOBITS
        )
        kept, at = [], 0
        for start, end in debug:
            if start > at:
                kept.append((at, start))
            at = max(at, end)
        return [*kept, (at, len(self.data))]

    def loaded(self) -> list[tuple[int, int]]:
        """Return the stretches of the file, by offset, that the loader maps; each byte once."""
        merged: list[tuple[int, int]] = []
        for start, size in sorted((part.offset, part.file_size) for part in self.segments(headers.PT_LOAD)):
            end = min(start + size, len(self.data))
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            elif start < end:
                merged.append((start, end))
        return merged

    def _contradiction(self) -> str:
        """Return how what is mapped is not one thing: no linker makes that, and a reader sees other code than runs."""
        if self._map.overlapping:
            return "two of its segments lie at the same address"
        if run_twice(self.segments(headers.PT_LOAD)):
            return "two of its segments run the same bytes of the file"
        for part in self.sections if self._map else ():
            if _is_code(part) and self._map.offset_of(part.address) != part.offset:
                return f"its section {part.name!r} is not what its segments map at that address"
        return ""

    def executable_ranges(self) -> list[Range]:
        """Return the executable sections, and what executable segments hold besides any section.

        The loader looks at segments alone: code that no section names runs all the same.
        """
        if self._ranges is None:
            self._ranges = set_apart([*self._code_sections(), *self._code_beside()])
        return self._ranges

    def _code_sections(self) -> Iterator[Range]:
        for part in self.sections:
            if _is_code(part) and (not self._map or self._map.offset_of(part.address) == part.offset):
                yield Range(part.name, part.address, part.offset, part.size)

    def _code_beside(self) -> Iterator[Range]:
        """Yield what executable segments hold besides any section."""
        taken = merge((part.address, part.address + part.size) for part in self.sections if part.flags & _SHF_ALLOC)
        for part in self.segments(headers.PT_LOAD):
            if part.flags & _PF_X:
                size = min(part.file_size, len(self.data) - part.offset)
                # The file's own header is no code, although it is often mapped together with it.
                at = part.address + (max(0, self.headers.end - part.offset) if part.offset < self.headers.end else 0)
                yield from list_besides(at, part.address + size, part.offset - part.address, taken)

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
        data = self.data[offset : offset + count * _SYMBOL.size]
        rows = _SYMBOL.iter_unpack(data[: len(data) // _SYMBOL.size * _SYMBOL.size])
        symbols: list[Symbol] = []
        # Many rows can share one long name, so what is kept is counted.
        while chunk := [_symbol_of(names, row) for row in itertools.islice(rows, _CHUNK_ROWS)]:
            self.allowance.spend(sum(len(symbol.name) for symbol in chunk) * 2 + len(chunk) * _ROW_COST)
            symbols += chunk
        return symbols

    def _symbol_table(self, *, dynamic: bool) -> tuple[int, int, int, int] | None:
        wanted = headers.SHT_DYNSYM if dynamic else headers.SHT_SYMTAB
        for section in self.sections:
            if section.kind == wanted:
                names = self.sections[section.link]
                return section.offset, section.size, names.offset, names.size
        return self._dynamic_table() if dynamic else None

    def _dynamic_table(self) -> tuple[int, int, int, int] | None:
        """Find the dynamic symbols without sections: they end where the strings begin, as linkers lay them."""
        tags = self.dynamic_tags()
        wanted = (headers.DT_SYMTAB, headers.DT_STRTAB, headers.DT_STRSZ)
        symbols, strings, size = (tags.get(tag, [0])[0] for tag in wanted)
        start, end = self.offset_of(symbols), self.offset_of(strings)
        return (start, end - start, end, size) if 0 <= start < end else None

    def dynamic_tags(self) -> dict[int, list[int]]:
        """Return the values of the dynamic section by tag."""
        if self._tags is None:
            self._tags = {}
            # One is all that the loader takes.
            for part in self.segments(headers.PT_DYNAMIC)[:1]:
                for tag, value in self.headers.dynamic(part):
                    self._tags.setdefault(tag, []).append(value)
        return self._tags

    def dynamic_texts(self, tag: int) -> list[str]:
        """Return the texts that entries of the dynamic section name, of one tag, in their order."""
        values = self.dynamic_tags().get(tag, [])
        start = self._dynamic_strings() if values else 0
        return [self.headers.text_at(start + value) for value in values]

    def _dynamic_strings(self) -> int:
        """Return where the texts of the dynamic section lie in the file.

        Raises:
            ValueError: it does not say.
        """
        (address, *_) = self.dynamic_tags().get(headers.DT_STRTAB, [-1])
        offset = self.offset_of(address)
        if offset < 0:
            raise ValueError("its dynamic section has no texts")
        return offset

    def relocations(self) -> Iterator[Relocation]:
        """Yield the dynamic relocations, also those that DT_RELR packs."""
        tags = self.dynamic_tags()
        for table, size in ((headers.DT_RELA, headers.DT_RELASZ), (headers.DT_JMPREL, headers.DT_PLTRELSZ)):
            if table in tags and size in tags:
                data = self.read(tags[table][0], min(tags[size][0], MAX_ROWS * _RELA.size))
                self.allowance.spend(len(data) // _RELA.size * _ROW_COST)
                for slot, info, addend in _RELA.iter_unpack(data[: len(data) // _RELA.size * _RELA.size]):
                    yield Relocation(slot, info & 0xFFFFFFFF, info >> 32, addend)
        if headers.DT_RELR in tags and headers.DT_RELRSZ in tags:
            yield from self._packed(self.read(tags[headers.DT_RELR][0], min(tags[headers.DT_RELRSZ][0], MAX_ROWS)))

    def _packed(self, data: bytes) -> Iterator[Relocation]:
        """Unpack relative relocations: an address, then bitmaps of the 63 words that follow each."""
        base = 0
        for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8]):
            slots = [word] if not word & 1 else [base + 8 * bit for bit in range(_CHUNK_WORDS) if word >> bit + 1 & 1]
            self.allowance.spend(len(slots) * _ROW_COST)
            base = word + 8 if not word & 1 else base + 8 * _CHUNK_WORDS
            for slot in slots:
                value = self.read(slot, 8)
                if len(value) == 8:  # noqa: PLR2004
                    yield Relocation(slot, 8, 0, struct.unpack("<q", value)[0])

    def frames(self) -> list[tuple[int, int]]:
        """Return (address, size) of each function that the unwinder knows, sorted; it knows them in stripped files too.

        Format: .eh_frame_hdr of the Linux Standard Base, with the table that every linker writes.
        """
        parts = self.segments(headers.PT_GNU_EH_FRAME)
        if not parts:
            return []
        address = parts[0].address
        head = self.read(address, 12)
        if len(head) < 12 or head[0] != 1 or head[2] != 0x03 or head[3] != 0x3B:  # noqa: PLR2004
            return []
        encoded = 4 if head[1] & 0x0F in (0x03, 0x0B) else 8
        (count,) = struct.unpack_from("<I", self.read(address + 4 + encoded, 4))
        rows = self.read(address + 8 + encoded, 8 * min(count, MAX_ROWS))
        self.allowance.spend(len(rows) // 8 * _ROW_COST)
        result = []
        for start, frame in struct.iter_unpack("<ii", rows[: len(rows) // 8 * 8]):
            # Length, CIE pointer, then begin and size: 4 bytes each in every x86-64 compiler's output.
            entry = self.read(address + frame, 16)
            if len(entry) == 16:  # noqa: PLR2004
                result.append((address + start, struct.unpack_from("<I", entry, 12)[0]))
        return sorted(result)


def _is_code(part: SectionHeader) -> bool:
    return part.kind == headers.SHT_PROGBITS and part.flags & 6 == _SHF_ALLOC | _SHF_EXECINSTR and part.size > 0


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


def _symbol_of(names: bytes, row: tuple[int, ...]) -> Symbol:
    name, info, other, section, value, size = row
    return Symbol(_name_at(names, name), value, size, info & 0xF, info >> 4, section != 0, other & 3 not in (1, 2))


def _name_at(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset, offset + LONGEST_NAME)
    return names[offset : end if end >= 0 else offset + LONGEST_NAME].decode("utf-8", "backslashreplace")
