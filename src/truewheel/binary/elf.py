"""The facts of one ELF shared library, read with pyelftools."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

ISA_1_LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
_GNU_PROPERTY_X86_ISA_1_NEEDED = 0xC0008002
_NT_GNU_PROPERTY_TYPE_0 = 5
_MAX_ENTRIES = 10_000
"""More sections, segments or symbol versions than any library has; in a damaged file their chains can be endless."""
_MASK_BYTES = 4


class ElfFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one ELF file says about itself.

    Attributes:
        machine: e.g. `EM_X86_64`.
        soname: DT_SONAME, or empty.
        needed: DT_NEEDED names in order.
        runpath: DT_RUNPATH and DT_RPATH entries, split at colons.
        versions: symbol versions asked of each needed library, e.g. `{"libc.so.6": ("GLIBC_2.34",)}`.
        isa_level: the x86 ISA level that its GNU property note demands, or empty.
        debug_sections: names of sections that a run does not need.
        debug_bytes: their bytes in the file.
        fast_math_startup: whether it changes the process's floating-point mode when loaded.
    """

    machine: str
    soname: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    isa_level: str
    debug_sections: tuple[str, ...]
    debug_bytes: int
    fast_math_startup: bool


def is_elf(data: bytes) -> bool:
    """Tell whether the bytes begin as an ELF file does."""
    return data[:4] == b"\x7fELF"


def read_elf(data: bytes) -> ElfFacts:
    """Read the facts of an ELF file held in memory.

    Raises:
        ValueError: the file is damaged.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    # What pyelftools raises on bytes that it did not expect.
    damage = (ELFError, ConstructError, struct.error, ArithmeticError, AssertionError, AttributeError, LookupError)
    try:
        elf = ELFFile(io.BytesIO(data))
        _refuse_endless(max(elf.num_sections(), elf.num_segments()))
        dynamic = list(_dynamic(elf))
        debug = [section for section in elf.iter_sections() if _is_debug(section)]
        return ElfFacts(
            machine=str(elf["e_machine"]),
            soname=next((tag.soname for tag in dynamic if tag.entry.d_tag == "DT_SONAME"), ""),
            needed=tuple(tag.needed for tag in dynamic if tag.entry.d_tag == "DT_NEEDED"),
            runpath=tuple(_runpath(dynamic)),
            versions=_versions(elf),
            isa_level=_isa_level(elf),
            debug_sections=tuple(section.name for section in debug),
            debug_bytes=sum(int(section["sh_size"]) for section in debug),
            fast_math_startup=_has_symbol(elf, "set_fast_math"),
        )
    except (*damage, TypeError, ValueError) as error:
        raise ValueError(f"damaged ELF file: {error}") from error


def _refuse_endless(count: int) -> None:
    if count > _MAX_ENTRIES:
        raise ValueError(f"it claims {count} sections, segments or symbol versions")


def _dynamic(elf: Any) -> Iterator[Any]:
    from elftools.elf.dynamic import DynamicSegment

    for segment in elf.iter_segments():
        if isinstance(segment, DynamicSegment):
            yield from segment.iter_tags()


def _runpath(dynamic: list[Any]) -> Iterator[str]:
    for tag in dynamic:
        if tag.entry.d_tag == "DT_RUNPATH":
            yield from tag.runpath.split(":")
        elif tag.entry.d_tag == "DT_RPATH":
            yield from tag.rpath.split(":")


def _versions(elf: Any) -> dict[str, tuple[str, ...]]:
    from elftools.elf.gnuversions import GNUVerNeedSection

    result: dict[str, tuple[str, ...]] = {}
    entries = 0
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for library, versions in section.iter_versions():
                names = [version.name for version in itertools.islice(versions, _MAX_ENTRIES)]
                entries += max(1, len(names))
                _refuse_endless(entries)
                result[library.name] = tuple(sorted(names))
    return result


def _isa_level(elf: Any) -> str:
    from elftools.elf.segments import NoteSegment

    for segment in elf.iter_segments():
        if not isinstance(segment, NoteSegment):
            continue
        for note in segment.iter_notes():
            if note["n_name"] == "GNU" and note["n_type"] in ("NT_GNU_PROPERTY_TYPE_0", _NT_GNU_PROPERTY_TYPE_0):
                level = _level_of_properties(note["n_descdata"])
                if level:
                    return level
    return ""


def _level_of_properties(data: bytes) -> str:
    """Find the ISA-needed property in a property note's bytes (x86-64 psABI, 8-byte aligned)."""
    offset = 0
    while offset + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, offset)
        if kind == _GNU_PROPERTY_X86_ISA_1_NEEDED and size == _MASK_BYTES and offset + 12 <= len(data):
            (mask,) = struct.unpack_from("<I", data, offset + 8)
            return ISA_1_LEVELS[min(mask.bit_length(), len(ISA_1_LEVELS)) - 1] if mask else ""
        offset += 8 + (size + 7) // 8 * 8
    return ""


def _is_debug(section: Any) -> bool:
    return section.name.startswith((".debug_", ".zdebug_")) or section.name in (".symtab", ".strtab")


def _has_symbol(elf: Any, name: str) -> bool:
    from elftools.elf.sections import SymbolTableSection

    return any(
        section.get_symbol_by_name(name) is not None
        for section in elf.iter_sections()
        if isinstance(section, SymbolTableSection)
    )
