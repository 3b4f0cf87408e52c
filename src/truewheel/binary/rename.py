"""Give a shared library, and those that it needs, other names, without moving anything in it.

patchelf does it by moving the whole symbol table into a new, writable segment: llama.cpp's library grew by a fifth. A
name that is not longer than the old one fits where the old one stands, and every other byte stays what it was.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from truewheel.errors import RepairError

_NAMES = ("DT_SONAME", "DT_NEEDED")
_TEXTS = (*_NAMES, "DT_RPATH", "DT_RUNPATH")


def rename_library(data: bytes, names: Mapping[str, str]) -> bytes:
    """Return a library that is called, and needs, what `names` says instead.

    Args:
        data: the ELF file.
        names: new names by old ones; what is not named stays as it is.

    Raises:
        RepairError: it is no shared library or a damaged one, a new name is longer, or an old one is shared with
            something else.
    """
    try:
        start, tags, used = _read_names(data)
    except RepairError:
        raise
    except Exception as error:
        # pyelftools raises anything on bytes that it did not expect.
        raise RepairError(f"it cannot be read as a shared library: {type(error).__name__}: {error}") from error
    result = bytearray(data)
    for name, offset in tags:
        if name not in _NAMES:
            continue
        end = data.find(0, start + offset)
        if end < 0:
            raise RepairError("it cannot be read as a shared library: a name in it has no end")
        old = data[start + offset : end].decode("ascii", "replace")
        new = names.get(old, old).encode()
        if len(new) > len(old):
            raise RepairError(f"{old} has no room for the longer name {new.decode()}")
        if new != old.encode() and (shared := [other for other in used if offset < other < offset + len(old)]):
            raise RepairError(f"{old} shares its end with another name, at {min(shared)} in its table of strings")
        result[start + offset : end] = new.ljust(len(old), b"\0")
    return bytes(result)


def _read_names(data: bytes) -> tuple[int, list[tuple[str, int]], set[int]]:
    """Return where the table of strings begins, the dynamic section's tags, and the offsets in the table in use."""
    elf = ELFFile(io.BytesIO(data))
    dynamic = elf.get_section_by_name(".dynamic")
    strings = elf.get_section_by_name(".dynstr")
    if not isinstance(dynamic, DynamicSection) or strings is None:
        raise RepairError("it has no dynamic section, so no name to change")
    tags = [(str(tag.entry.d_tag), int(tag.entry.d_val)) for tag in dynamic.iter_tags()]
    used = {offset for name, offset in tags if name in _TEXTS} | _symbol_names(elf)
    return int(strings["sh_offset"]), tags, used


def _symbol_names(elf: ELFFile) -> set[int]:
    section = elf.get_section_by_name(".dynsym")
    if not isinstance(section, SymbolTableSection):
        return set()
    return {int(symbol.entry.st_name) for symbol in section.iter_symbols()}
