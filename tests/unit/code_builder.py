"""Write small x86-64 shared libraries with real code by hand: functions, symbols, frames, pointers, relocations."""

import struct
from typing import NamedTuple

from elf_builder import EM_X86_64, Strings

_FUNC, _IFUNC, _OBJECT = 2, 10, 1
_BY_VALUE, _GLOB_DAT, _JUMP_SLOT, _RELATIVE, _IRELATIVE = 1, 6, 7, 8, 37
_LOAD, _DYNAMIC, _NOTE, _EH_FRAME, _STACK = 1, 2, 4, 0x6474E550, 0x6474E551
_RELA = struct.Struct("<QIIq")
_READ, _READ_RUN, _READ_WRITE = 4, 5, 6
_ALLOC, _WRITE, _EXECUTE = 2, 1, 4
_HEADER, _SEGMENT, _SECTION = 64, 56, 64
RET = b"\xc3"
PADDING = b"\x90"
CPUID = bytes.fromhex("53 31c0 0fa2 5b")
"""push rbx; xor eax, eax; cpuid; pop rbx."""


class Fixup(NamedTuple):
    """An instruction that refers to a place by its distance: what stands before the distance, the place, what follows.

    `shift` is added to the place.
    """

    before: bytes
    place: str
    after: bytes = b""
    shift: int = 0

    @property
    def size(self):
        return len(self.before) + 4 + len(self.after)


def call(place):
    """Return `call place`."""
    return Fixup(b"\xe8", place)


def jump(place):
    """Return `jmp place`."""
    return Fixup(b"\xe9", place)


def take(place):
    """Return `lea rax, [place]`."""
    return Fixup(b"\x48\x8d\x05", place)


def load(place):
    """Return `mov eax, [place]`."""
    return Fixup(b"\x8b\x05", place)


def load_wide(place):
    """Return `mov rax, [place]`."""
    return Fixup(b"\x48\x8b\x05", place)


def store(place):
    """Return `mov [place], eax`."""
    return Fixup(b"\x89\x05", place)


def store_wide(place):
    """Return `mov [place], rax`."""
    return Fixup(b"\x48\x89\x05", place)


def compare(place):
    """Return `cmp dword ptr [place], 0`."""
    return Fixup(b"\x83\x3d", place, b"\0")


def call_by(place):
    """Return `call [place]`."""
    return Fixup(b"\xff\x15", place)


def jump_by(place):
    """Return `jmp [place]`."""
    return Fixup(b"\xff\x25", place)


def size_of(part):
    """Return the bytes that a part of a function takes."""
    return part.size if isinstance(part, Fixup) else len(part)


class Function(NamedTuple):
    """A piece of the text section.

    Attributes:
        name: by which others refer to it.
        parts: bytes and fixups.
        exported: whether it is in the dynamic symbol table.
        resolver: whether its symbol is STT_GNU_IFUNC.
        known: whether symbol table and unwinder know it; data in the text section is not.
        sized: whether its symbols have a size.
        typed: whether its symbols say that it is a function, as nasm's do not.
        align: of its address.
    """

    name: str
    parts: tuple = (RET,)
    exported: bool = False
    resolver: bool = False
    known: bool = True
    sized: bool = True
    typed: bool = True
    align: int = 16


def function(name, *parts, **options):
    """Return a function of the parts given, which ends itself."""
    return Function(name, parts, **options)


def data_in_text(name, *parts, align=16):
    """Return bytes in the text section that no symbol and no frame names."""
    return Function(name, parts, known=False, align=align)


class Variable(NamedTuple):
    """A piece of the data section: words of bytes, and names of places whose addresses the loader writes.

    A name that begins with "@" is found by its dynamic symbol, any other by a relative relocation.
    """

    name: str
    words: tuple = (bytes(8),)
    exported: bool = False

    @property
    def size(self):
        return sum(8 if isinstance(word, str) else len(word) for word in self.words)


def variable(name, *words, exported=False):
    """Return a variable of the words given; eight zeros when none are."""
    return Variable(name, words or (bytes(8),), exported)


class Library(NamedTuple):
    """A library: its bytes, and where each function and variable, each section and the section table stands."""

    data: bytes
    addresses: dict
    sections: dict
    section_table: int


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    data: bytes
    link: str = ""
    info: int = 0
    entry_size: int = 0


class _Content(NamedTuple):
    """What `build_library` was asked for."""

    functions: tuple
    variables: tuple
    chosen: tuple
    imports: tuple
    start: tuple
    packed: bool
    tail: bytes
    note: bytes
    jumps: tuple

    @property
    def exported(self):
        return [item for item in (*self.functions, *self.variables) if item.exported]

    @property
    def pointers(self):
        return [word for item in self.variables for word in item.words if isinstance(word, str)]

    @property
    def relative_count(self):
        return sum(not word.startswith("@") for word in self.pointers)


class _Layout:
    """Where everything lies; offsets in the file and addresses are the same."""

    def __init__(self, content, names, framed):
        relative = content.relative_count
        count = len(content.pointers) + len(content.chosen) + len(content.imports)
        count += len(set(content.jumps) - set(content.imports))
        self.places = {}
        self.at = _HEADER + 7 * _SEGMENT
        self._put(".note.gnu.property", len(content.note))
        self._put(".dynsym", 24 * (1 + len(content.exported) + len(content.imports)))
        self._put(".dynstr", len(names))
        self._put(".rela.dyn", 24 * (count - relative if content.packed else count))
        self._put(".relr.dyn", 8 * relative if content.packed else 0)
        self._put(".eh_frame_hdr", 12 + 8 * len(framed) if framed else 0)
        self._put(".eh_frame", 24 + 24 * len(framed) + 4 if framed else 0)
        self.addresses, self.ends = {}, {}
        self._put(".plt", 16 * len(content.jumps), 64)
        for number, name in enumerate(content.jumps):
            self.addresses[f"jump:{name}"] = self.places[".plt"] + 16 * number
        self._put(".text", 0, 64)
        for item in content.functions:
            self._place(item, sum(size_of(part) for part in item.parts), item.align)
        self.text_end = self.addresses["tail"] = self.at
        self.at = self.tail_end = self.at + len(content.tail)
        self._put(".data", 0, 64)
        for item in content.variables:
            self._place(item, item.size, 8)
        self.data_end = self.at
        self._put(".dynamic", 0)

    def _put(self, name, size, align=8):
        self.at += -self.at % align
        self.places[name] = self.at
        self.at += size

    def _place(self, item, size, align):
        self.at += -self.at % align
        self.addresses[item.name] = self.at
        self.at += size
        self.ends[item.name] = self.at


def build_library(
    *functions,
    variables=(),
    symtab=True,
    frames=False,
    start=(),
    chosen=(),
    imports=(),
    jumps=(),
    packed=False,
    section_table=True,
    tail=b"",
    note=b"",
    machine=EM_X86_64,
):
    """Return a shared library.

    Args:
        functions: what is in its text section, in this order.
        variables: what is in its data section.
        symtab: whether it has a full symbol table.
        frames: whether the unwinder's table knows its functions.
        start: names of the functions in .init_array.
        chosen: pairs of a variable and the resolver that an IRELATIVE relocation runs for it.
        imports: symbols of others, each with a slot `got:NAME`.
        jumps: symbols of others, or exported ones of its own, that are called through an entry of the linkage
            table, `jump:NAME`.
        packed: whether relative relocations are packed in DT_RELR.
        section_table: whether it has one.
        tail: bytes behind the code in the executable segment, in no section, called `tail`.
        note: a `.note.gnu.property` section.
        machine: ELF's number of the machine.
    """
    imports = [*imports, *(name for name in jumps if not any(item.name == name for item in functions))]
    slots = [Variable(f"got:{name}") for name in dict.fromkeys([*imports, *jumps])]
    started = [Variable("init_array", tuple(start))] if start else []
    every = (*variables, *slots, *started)
    content = _Content(functions, every, tuple(chosen), tuple(imports), tuple(start), packed, tail, note, tuple(jumps))
    strings = Strings()
    soname = strings.add("libtoy.so")
    names = [item.name for item in content.exported] + list(imports)
    names_at = {name: strings.add(name) for name in names}
    framed = [item for item in functions if item.known] if frames else []
    layout = _Layout(content, strings.data, framed)
    data, relocations, relative = _fill(content, layout, names)
    symbols = bytes(24) + b"".join(_symbol(names_at[item.name], item, layout) for item in content.exported)
    symbols += b"".join(struct.pack("<IBBHQQ", names_at[name], 0x10, 0, 0, 0, 0) for name in imports)
    header, unwinding = _frames(framed, layout) if frames else (b"", b"")
    dynamic = _dynamic(content, layout, soname, len(strings.data), relocations, relative)
    sections = [
        _Section(".note.gnu.property", 7, _ALLOC, note),
        _Section(".dynsym", 11, _ALLOC, symbols, ".dynstr", 1, 24),
        _Section(".dynstr", 3, _ALLOC, strings.data),
        _Section(".rela.dyn", 4, _ALLOC, b"".join(_RELA.pack(*row) for row in relocations), ".dynsym", 0, 24),
        _Section(".relr.dyn", 19, _ALLOC, b"".join(struct.pack("<Q", slot) for slot in relative), "", 0, 8),
        _Section(".eh_frame_hdr", 1, _ALLOC, header),
        _Section(".eh_frame", 1, _ALLOC, unwinding),
        _Section(".plt", 1, _ALLOC | _EXECUTE, _jumps(content, layout)),
        _Section(".text", 1, _ALLOC | _EXECUTE, _text(content, layout)),
        _Section(".data", 1, _ALLOC | _WRITE, data),
        _Section(".dynamic", 6, _ALLOC | _WRITE, dynamic, ".dynstr", 0, 16),
    ]
    if symtab:
        local = Strings()
        rows = [item for item in (*functions, *every) if getattr(item, "known", True)]
        table = bytes(24) + b"".join(_symbol(local.add(item.name), item, layout) for item in rows)
        sections += [_Section(".symtab", 2, 0, table, ".strtab", 1, 24), _Section(".strtab", 3, 0, local.data)]
    return _write([part for part in sections if part.data], layout, content, section_table, machine)


def _jumps(content, layout):
    """Return the linkage table, with entries as a linker writes them that binds at once."""
    data = b""
    for name in content.jumps:
        distance = layout.addresses[f"got:{name}"] - (layout.addresses[f"jump:{name}"] + 10)
        data += b"\xf3\x0f\x1e\xfa\xff\x25" + struct.pack("<i", distance) + b"\x66\x0f\x1f\x44\0\0"
    return data


def _text(content, layout):
    """Return the text section with every distance filled in."""
    start = layout.places[".text"]
    text = bytearray(PADDING * (layout.text_end - start))
    for item in content.functions:
        at = layout.addresses[item.name]
        for part in item.parts:
            data = part
            if isinstance(part, Fixup):
                distance = layout.addresses[part.place] + part.shift - (at + part.size)
                data = part.before + struct.pack("<i", distance) + part.after
            text[at - start : at - start + len(data)] = data
            at += len(data)
    return bytes(text)


def _fill(content, layout, names):
    """Return the data section, the relocations, and the slots of the packed ones."""
    start = layout.places[".data"]
    data = bytearray(layout.data_end - start)
    indices = {name: number for number, name in enumerate(names, start=1)}
    relocations, relative = [], []
    for item in content.variables:
        at = layout.addresses[item.name]
        for word in item.words:
            value = word
            if isinstance(word, str) and word.startswith("@"):
                relocations.append((at, _BY_VALUE, indices[word[1:]], 0))
                value = bytes(8)
            elif isinstance(word, str):
                target = layout.addresses[word]
                value = struct.pack("<Q", target)
                if content.packed:
                    relative.append(at)
                else:
                    relocations.append((at, _RELATIVE, 0, target))
            data[at - start : at - start + len(value)] = value
            at += len(value)
    addresses = layout.addresses
    relocations += [
        (addresses[f"got:{name}"], _JUMP_SLOT if name in content.jumps else _GLOB_DAT, indices[name], 0)
        for name in dict.fromkeys([*content.imports, *content.jumps])
    ]
    relocations += [(addresses[slot], _IRELATIVE, 0, addresses[resolver]) for slot, resolver in content.chosen]
    return bytes(data), relocations, relative


def _symbol(name_at, item, layout):
    start, size = layout.addresses[item.name], layout.ends[item.name] - layout.addresses[item.name]
    if isinstance(item, Variable):
        kind = _OBJECT
    else:
        kind = _IFUNC if item.resolver else _FUNC if item.typed else 0
        size = size if item.sized else 0
    return struct.pack("<IBBHQQ", name_at, 0x10 | kind, 0, 1, start, size)


def _dynamic(content, layout, soname, names_size, relocations, relative):
    places = layout.places
    tags = [(14, soname), (5, places[".dynstr"]), (10, names_size), (6, places[".dynsym"]), (11, 24)]
    if relocations:
        tags += [(7, places[".rela.dyn"]), (8, 24 * len(relocations)), (9, 24)]
    if relative:
        tags += [(36, places[".relr.dyn"]), (35, 8 * len(relative)), (37, 8)]
    if content.start:
        tags += [(25, layout.addresses["init_array"]), (27, 8 * len(content.start))]
    return b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])


def _frames(functions, layout):
    """Return .eh_frame_hdr and .eh_frame as every linker for x86-64 writes them."""
    header_at, frames_at = layout.places[".eh_frame_hdr"], layout.places[".eh_frame"]
    # CIE: version 1, "zR", factors 1 and -8, return address in register 16, pointers relative, 4 bytes, signed.
    data, rows = struct.pack("<II", 20, 0) + b"\x01zR\0\x01\x78\x10\x01\x1b" + bytes(7), []
    for item in functions:
        at = frames_at + len(data)
        begin = layout.addresses[item.name]
        data += struct.pack("<IIiIB7x", 20, at + 4 - frames_at, begin - (at + 8), layout.ends[item.name] - begin, 0)
        rows.append((begin - header_at, at - header_at))
    header = struct.pack("<4BiI", 1, 0x1B, 0x03, 0x3B, frames_at - (header_at + 4), len(rows))
    return header + b"".join(struct.pack("<ii", *row) for row in sorted(rows)), data + bytes(4)


def _segments(layout, sizes):
    places = layout.places
    text, data = places[".plt"], places[".data"]
    end = places[".dynamic"] + sizes[".dynamic"]
    segments = [
        (_LOAD, _READ, 0, text),
        (_LOAD, _READ_RUN, text, layout.tail_end - text),
        (_LOAD, _READ_WRITE, data, end - data),
        (_DYNAMIC, _READ_WRITE, places[".dynamic"], sizes[".dynamic"]),
        (_STACK, _READ_WRITE, 0, 0),
    ]
    for kind, name in ((_EH_FRAME, ".eh_frame_hdr"), (_NOTE, ".note.gnu.property")):
        if name in sizes:
            segments.append((kind, _READ, places[name], sizes[name]))
    return segments


def _write(sections, layout, content, section_table, machine):
    places, names = layout.places, Strings()
    labels = {part.name: names.add(part.name) for part in sections}
    segments = _segments(layout, {part.name: len(part.data) for part in sections})
    if section_table:
        labels[".shstrtab"] = names.add(".shstrtab")
        sections = [*sections, _Section(".shstrtab", 3, 0, names.data)]
    else:
        sections = [part for part in sections if part.flags & _ALLOC]
    result = bytearray()
    for part in sections:
        at = places.setdefault(part.name, len(result) + -len(result) % 8)
        result += bytes(at - len(result)) + part.data
        if part.name == ".text":
            result += content.tail
    table_at = len(result) + -len(result) % 8 if section_table else 0
    count = len(sections) + 1 if section_table else 0
    result[:_HEADER] = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH",
        3, machine, 1, 0, _HEADER, table_at, 0, _HEADER, _SEGMENT, len(segments), _SECTION, count, max(0, count - 1),
    )  # fmt: skip
    for number, (kind, flags, at, size) in enumerate(segments):
        row = struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, 8)
        result[_HEADER + _SEGMENT * number : _HEADER + _SEGMENT * (number + 1)] = row
    if section_table:
        result += bytes(table_at - len(result) + _SECTION)
        index = {part.name: number for number, part in enumerate(sections, start=1)}
        for part in sections:
            at = places[part.name]
            result += struct.pack(
                "<IIQQQQIIQQ",
                labels[part.name], part.kind, part.flags, at if part.flags & _ALLOC else 0, at, len(part.data),
                index.get(part.link, 0), part.info, 8, part.entry_size,
            )  # fmt: skip
    return Library(bytes(result), layout.addresses, places, table_at)
