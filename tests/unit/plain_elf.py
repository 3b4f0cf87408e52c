"""Write small ELF files of any width, byte order and machine, whose headers can say anything."""

import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_STACK = 1, 2, 3, 0x6474E551
MACHINES = {
    "x86_64": (62, 64, "little"),
    "i686": (3, 32, "little"),
    "aarch64": (183, 64, "little"),
    "armv7l": (40, 32, "little"),
    "ppc64le": (21, 64, "little"),
    "ppc64": (21, 64, "big"),
    "s390x": (22, 64, "big"),
    "riscv64": (243, 64, "little"),
    "loongarch64": (258, 64, "little"),
}
"""Machines by the word of a platform tag: number, bits, byte order."""


def plain_elf(
    machine="x86_64",
    *,
    number=None,
    kind=3,
    symbols=("PyInit_ext",),
    tags=(),
    segments=None,
    change=None,
    interpreter=False,
    dynamic=True,
):
    """Return the bytes of a library that a loader could map.

    Args:
        machine: word of a platform tag.
        number: e_machine instead of the machine's own.
        kind: e_type.
        symbols: functions that it offers.
        tags: further entries of the dynamic section.
        segments: program headers instead of the usual ones; each as in `_segment`.
        change: is given the usual program headers as lists, and changes them.
        interpreter: whether it names a loader, as programs do.
        dynamic: whether it has a dynamic segment.
    """
    own, bits, order = MACHINES[machine]
    wide, mark = bits == 64, "<" if order == "little" else ">"
    header, row, symbol, entry = (64, 56, 24, 16) if wide else (52, 32, 16, 8)
    count = 3 + interpreter
    at = header + count * row
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in symbols)
    dynsym = bytes(symbol) + b"".join(
        _symbol(mark, wide, strings.index(b"\0" + name.encode() + b"\0") + 1) for name in symbols
    )
    table_at, strings_at = at, at + len(dynsym)
    dynamic_at = strings_at + len(strings) + -(strings_at + len(strings)) % 8
    rows = [(5, strings_at), (6, table_at), (10, len(strings)), (11, symbol), *tags, (0, 0)]
    body = dynsym + strings
    body += bytes(dynamic_at - at - len(body))
    body += b"".join(struct.pack(mark + ("qQ" if wide else "iI"), *pair) for pair in rows)
    total = at + len(body)
    usual = [
        [PT_LOAD, 7, 0, 0, total, total, 0x1000],
        [PT_DYNAMIC if dynamic else 0, 6, dynamic_at, dynamic_at, len(rows) * entry, len(rows) * entry, 8],
        [PT_STACK, 6, 0, 0, 0, 0, 16],
        *([[PT_INTERP, 4, at, at, 1, 1, 1]] if interpreter else []),
    ]
    if change:
        change(usual)
    told = usual if segments is None else segments
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "little" else 2, 1)) + bytes(9)
    fields = (kind, own if number is None else number, 1, 0, header, 0, 0, header, row, len(told), 0, 0, 0)
    head = ident + struct.pack(f"{mark}HHI{'QQQ' if wide else 'III'}IHHHHHH", *fields)
    return head + b"".join(_segment(mark, wide, each) for each in told) + bytes((count - len(told)) * row) + body


def _symbol(mark, wide, name):
    if wide:
        return struct.pack(f"{mark}IBBHQQ", name, 0x12, 0, 1, 0x40, 8)
    return struct.pack(f"{mark}IIIBBH", name, 0x40, 8, 0x12, 0, 1)


def _segment(mark, wide, fields):
    kind, flags, offset, address, size, memory, align = fields
    if wide:
        return struct.pack(f"{mark}IIQQQQQQ", kind, flags, offset, address, address, size, memory, align)
    return struct.pack(f"{mark}IIIIIIII", kind, offset, address, address, size, memory, flags, align)
