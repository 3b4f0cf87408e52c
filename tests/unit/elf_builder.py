"""Write small 64-bit ELF shared libraries by hand, so that no test needs a compiler or somebody's files."""

import struct

EM_X86_64 = 62
_LOAD, _DYNAMIC, _NOTE = 1, 2, 4
_STRTAB, _DYNAMIC_SECTION, _NOTE_SECTION, _SYMTAB, _DYNSYM, _PROGBITS = 3, 6, 7, 2, 11, 1
_VERNEED = 0x6FFFFFFE
_HEADER, _SEGMENT, _SECTION = 64, 56, 64


class Strings:
    """A string table that grows."""

    def __init__(self):
        self.data = b"\0"

    def add(self, text):
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


def property_note(properties):
    """Return a `.note.gnu.property` section; `properties` are its (kind, data) pairs."""
    body = b"".join(struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8) for kind, data in properties)
    return struct.pack("<III4s", 4, len(body), 5, b"GNU\0") + body


def isa_note(mask):
    """Return a note that needs the ISA levels of a bit mask."""
    return property_note([(0xC0008002, struct.pack("<I", mask))])


def build_elf(
    *,
    soname="libtoy.so",
    needed=(),
    runpath=None,
    rpath=None,
    versions=None,
    note=b"",
    symbols=("answer",),
    local_symbols=(),
    debug=b"",
    machine=EM_X86_64,
):
    """Return the bytes of a shared library that says what the arguments say."""
    strings, names = Strings(), Strings()
    entries = [(1, strings.add(library)) for library in needed]
    if soname:
        entries.append((14, strings.add(soname)))
    if runpath is not None:
        entries.append((29, strings.add(runpath)))
    if rpath is not None:
        entries.append((15, strings.add(rpath)))
    dynsym = _symbols(symbols, strings)
    verneed = _verneed(versions or {}, strings)
    # (name, type, data, link to, info, entry size); links are names of sections.
    sections = [(".dynsym", _DYNSYM, dynsym, ".dynstr", 1, 24), (".dynstr", _STRTAB, strings.data, "", 0, 0)]
    if verneed:
        sections.append((".gnu.version_r", _VERNEED, verneed, ".dynstr", len(versions), 0))
    if note:
        sections.append((".note.gnu.property", _NOTE_SECTION, note, "", 0, 0))
    sections.append((".dynamic", _DYNAMIC_SECTION, bytes(16 * (len(entries) + 3)), ".dynstr", 0, 16))
    if local_symbols:
        local = Strings()
        sections.append((".symtab", _SYMTAB, _symbols(local_symbols, local), ".strtab", 1, 24))
        sections.append((".strtab", _STRTAB, local.data, "", 0, 0))
    if debug:
        sections.append((".debug_info", _PROGBITS, debug, "", 0, 0))
    segments = 3 if note else 2
    offsets, position = {}, _HEADER + segments * _SEGMENT
    for name, _, data, *_ in sections:
        position += -position % 8
        offsets[name] = position
        position += len(data)
    entries += [(5, offsets[".dynstr"]), (10, len(strings.data)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    sections = [(name, kind, dynamic if name == ".dynamic" else data, *rest) for name, kind, data, *rest in sections]
    return _assemble(sections, offsets, position, names, machine)


def _symbols(symbols, strings):
    table = bytes(24)
    for symbol in symbols:
        table += struct.pack("<IBBHQQ", strings.add(symbol), 0x12, 0, 1, 0, 0)
    return table


def _verneed(versions, strings):
    data = b""
    for position, (library, names) in enumerate(versions.items()):
        size = 16 + 16 * len(names)
        last = position == len(versions) - 1
        data += struct.pack("<HHIII", 1, len(names), strings.add(library), 16, 0 if last else size)
        for index, name in enumerate(names):
            data += struct.pack("<IHHII", 0, 0, 2, strings.add(name), 0 if index == len(names) - 1 else 16)
    return data


def _assemble(sections, offsets, position, names, machine):
    labels = {name: names.add(name) for name, *_ in sections}
    labels[".shstrtab"] = names.add(".shstrtab")
    offsets[".shstrtab"] = position
    sections.append((".shstrtab", _STRTAB, names.data, "", 0, 0))
    index = {name: number for number, (name, *_) in enumerate(sections, start=1)}
    table_at = position + len(names.data)
    table_at += -table_at % 8
    sizes = {name: len(data) for name, _, data, *_ in sections}
    segments = [(_LOAD, 0, table_at), (_DYNAMIC, offsets[".dynamic"], sizes[".dynamic"])]
    if ".note.gnu.property" in offsets:
        segments.append((_NOTE, offsets[".note.gnu.property"], sizes[".note.gnu.property"]))
    result = bytearray(table_at)
    ident = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    result[:_HEADER] = ident + struct.pack(
        "<HHIQQQIHHHHHH",
        3, machine, 1, 0, _HEADER, table_at, 0, _HEADER, _SEGMENT, len(segments), _SECTION, len(sections) + 1,
        index[".shstrtab"],
    )  # fmt: skip
    for number, (kind, offset, size) in enumerate(segments):
        start = _HEADER + number * _SEGMENT
        result[start : start + _SEGMENT] = struct.pack("<IIQQQQQQ", kind, 4, offset, offset, offset, size, size, 8)
    for name, _, data, *_ in sections:
        result[offsets[name] : offsets[name] + len(data)] = data
    result += bytes(_SECTION)
    for name, kind, data, link, info, entry_size in sections:
        offset = offsets[name]
        result += struct.pack(
            "<IIQQQQIIQQ",
            labels[name], kind, 2, offset, offset, len(data), index.get(link, 0), info, 8, entry_size,
        )  # fmt: skip
    return bytes(result)
