"""The headers of an ELF file, of either width and byte order, and what contradicts itself in them."""

import struct

import pytest
from code_builder import RET, build_library, function
from elf_builder import build_elf

from truewheel.allowance import Allowance
from truewheel.binary.elf import elf_facts
from truewheel.binary.headers import PT_LOAD, Headers, machine_name
from truewheel.binary.image import ElfImage
from truewheel.binary.places import AddressMap, Range, list_besides, merge, set_apart


def narrow(order, machine):
    """Return a 32-bit file with one segment, two sections and a name."""
    names = b"\0.dynstr\0"
    at = 52
    head = struct.pack(f"{order}HHIIIIIHHHHHH", 3, machine, 1, 7, at + 16, at + 48, 0, 52, 32, 1, 40, 2, 1)
    segment = struct.pack(f"{order}8I", PT_LOAD, 0, 0x1000, 0, 60, 70, 5, 4096)
    sections = struct.pack(f"{order}10I", *([0] * 10)) + struct.pack(f"{order}10I", 1, 3, 2, 9, at, 9, 0, 0, 1, 0)
    return (
        b"\x7fELF\1"
        + (b"\1" if order == "<" else b"\2")
        + b"\1"
        + bytes(9)
        + head
        + names.ljust(16, b"\0")
        + segment
        + sections
    )


@pytest.mark.parametrize(("order", "machine"), [("<", 3), (">", 20)])
def test_a_narrow_file_is_read_in_its_own_order(order, machine):
    data = narrow(order, machine)
    headers = Headers(data, Allowance(len(data)))
    (segment,) = headers.segments()
    assert (headers.wide, headers.machine, headers.entry) == (False, machine_name(machine), 7)
    assert (segment.kind, segment.flags, segment.address, segment.file_size, segment.memory_size) == (
        1,
        5,
        0x1000,
        60,
        70,
    )
    assert [(part.name, part.kind, part.address) for part in headers.sections()] == [("", 0, 0), (".dynstr", 3, 9)]


def test_a_machine_without_a_name_is_a_number():
    assert (machine_name(62), machine_name(64_000)) == ("EM_X86_64", "64000")


def with_segment(number, offset, value):
    data = bytearray(build_library(function("f", RET, exported=True)).data)
    struct.pack_into("<Q", data, 64 + 56 * number + offset, value)
    return bytes(data)


def test_a_sound_library_contradicts_nothing():
    assert ElfImage(build_library(function("f", RET, exported=True)).data).damage == ""
    assert ElfImage(build_elf()).damage == ""


def test_segments_at_one_address_are_damage():
    sound = ElfImage(build_library(function("f", RET, exported=True)).data)
    loads = [number for number, part in enumerate(sound.parts) if part.kind == PT_LOAD and part.file_size]
    first, second = loads[0], loads[1]
    image = ElfImage(with_segment(second, 16, sound.parts[first].address))
    assert image.damage == "two of its segments lie at the same address"
    assert elf_facts(image).damage == image.damage


def test_code_that_is_mapped_twice_is_damage():
    sound = ElfImage(build_library(function("f", RET, exported=True)).data)
    loads = [number for number, part in enumerate(sound.parts) if part.kind == PT_LOAD and part.file_size]
    code = next(number for number in loads if sound.parts[number].flags & 1)
    other = next(number for number in loads if number != code)
    image = ElfImage(with_segment(other, 8, sound.parts[code].offset))
    assert "same bytes" in image.damage or "is not what its segments map" in image.damage


def test_ranges_are_set_apart_by_address_and_by_place():
    ranges = [Range("a", 0, 100, 10), Range("b", 5, 200, 10), Range("c", 50, 105, 10)]
    assert set_apart(ranges) == [Range("a", 0, 100, 10), Range("b", 10, 205, 5), Range("c", 55, 110, 5)]


def test_stretches_are_merged_and_what_is_beside_them_is_found():
    taken = merge([(30, 40), (10, 20), (15, 25)])
    assert taken == [(10, 25), (30, 40)]
    assert list_besides(0, 50, 100, taken) == [
        Range("segment", 0, 100, 10),
        Range("segment", 25, 125, 5),
        Range("segment", 40, 140, 10),
    ]
    assert list_besides(12, 20, 0, taken) == []


def test_an_address_is_found_among_many_segments():
    addresses = AddressMap(
        [ElfImage(build_elf()).parts[0]._replace(address=100 * n, offset=n, file_size=50) for n in range(999)]
    )
    assert (addresses.offset_of(70_049), addresses.offset_of(70_050), addresses.overlapping) == (700 + 49, -1, False)
    assert not AddressMap([])
