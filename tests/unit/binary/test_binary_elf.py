"""Reading ELF files: sound ones, and every kind of damage."""

import contextlib
import struct
import sysconfig
from pathlib import Path

import pytest
from elf_builder import build_elf, isa_note, property_note
from hypothesis import given
from hypothesis import strategies as st

from truewheel.binary.elf import ISA_1_LEVELS, _level, _property_masks, read_elf

ISA_NEEDED, ISA_USED, FEATURE_AND = 0xC0008002, 0xC0010002, 0xC0000002
WHOLE = build_elf(
    needed=("libstdc++.so.6", "libm.so.6", "libc.so.6"),
    runpath="$ORIGIN:/opt/lib",
    versions={"libc.so.6": ("GLIBC_2.34", "GLIBC_2.2.5"), "libm.so.6": ("GLIBC_2.29",)},
    note=isa_note(0b100),
    symbols=("answer", "question"),
    local_symbols=("hidden",),
    debug=b"line numbers",
)


def level_of(data):
    return _level(dict(_property_masks(data)).get(ISA_NEEDED, 0))


def test_a_library_says_everything_of_itself():
    facts = read_elf(WHOLE)
    assert facts.machine == "EM_X86_64"
    assert facts.soname == "libtoy.so"
    assert facts.needed == ("libstdc++.so.6", "libm.so.6", "libc.so.6")
    assert facts.runpath == ("$ORIGIN", "/opt/lib")
    assert facts.versions == {"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"), "libm.so.6": ("GLIBC_2.29",)}
    assert facts.isa_level == "x86-64-v3"
    assert facts.debug_sections == (".symtab", ".strtab", ".debug_info")
    assert facts.debug_bytes >= len(b"line numbers")
    assert not facts.fast_math_startup


def test_a_library_that_says_nothing():
    facts = read_elf(build_elf(soname=""))
    assert (facts.soname, facts.needed, facts.runpath, facts.versions, facts.isa_level) == ("", (), (), {}, "")
    assert (facts.debug_sections, facts.debug_bytes) == ((), 0)


def test_an_old_run_path_and_an_empty_one():
    assert read_elf(build_elf(rpath="/a:/b")).runpath == ("/a", "/b")
    assert read_elf(build_elf(rpath="/a", runpath="$ORIGIN")).runpath == ("$ORIGIN", "/a")
    assert read_elf(build_elf(runpath="")).runpath == ("",)


def test_another_machine():
    assert read_elf(build_elf(machine=183)).machine == "EM_AARCH64"


@pytest.mark.parametrize("table", ["symbols", "local_symbols"])
def test_fast_math_start_up_code_is_found_in_either_symbol_table(table):
    assert read_elf(build_elf(**{table: ("other", "set_fast_math")})).fast_math_startup


def test_a_name_that_only_contains_it_is_no_fast_math():
    assert not read_elf(build_elf(symbols=("reset_fast_math", "set_fast_math_mode"))).fast_math_startup


@pytest.mark.parametrize(
    ("mask", "level"),
    [
        (0, ""),
        (1, "x86-64"),
        (2, "x86-64-v2"),
        (4, "x86-64-v3"),
        (8, "x86-64-v4"),
        (0b0111, "x86-64-v3"),
        (16, "x86-64-v4"),
    ],
)
def test_the_note_needs_the_highest_level_of_its_mask(mask, level):
    assert read_elf(build_elf(note=isa_note(mask))).isa_level == level


def properties(*pairs):
    return b"".join(struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8) for kind, data in pairs)


def test_the_isa_property_is_found_behind_others():
    data = properties((FEATURE_AND, bytes(4)), (0x12345, bytes(20)), (ISA_NEEDED, struct.pack("<I", 2)))
    assert level_of(data) == "x86-64-v2"


def test_what_a_library_uses_is_not_what_it_needs():
    assert level_of(properties((ISA_USED, struct.pack("<I", 8)))) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<II", ISA_NEEDED, 4),
        struct.pack("<IIH", ISA_NEEDED, 4, 4),
        struct.pack("<III", ISA_NEEDED, 3, 4),
        struct.pack("<IIQ", ISA_NEEDED, 8, 4),
        struct.pack("<III", ISA_NEEDED, 0xFFFFFFFF, 4),
        struct.pack("<III", 0x1, 0xFFFFFFF0, 4),
    ],
)
def test_a_property_that_is_cut_off_or_has_another_size_says_nothing(data):
    assert level_of(data) == ""


@given(st.binary(max_size=64))
def test_any_bytes_of_properties_give_a_level_or_nothing(data):
    assert level_of(data) in {"", *ISA_1_LEVELS}


@given(
    st.sampled_from([1, 2, 4, 8]), st.lists(st.tuples(st.integers(0, 0xC0008001), st.binary(max_size=24)), max_size=4)
)
def test_the_isa_property_is_found_wherever_it_stands(mask, others):
    note = property_note([*others, (ISA_NEEDED, struct.pack("<I", mask)), (ISA_USED, struct.pack("<I", 8))])
    assert read_elf(build_elf(note=note)).isa_level == ISA_1_LEVELS[mask.bit_length() - 1]


def test_no_elf_at_all():
    for data in (b"", b"\x7fELF", b"MZ", b"#!/bin/sh\n", bytes(64)):
        with pytest.raises(ValueError, match="damaged ELF file"):
            read_elf(data)


def damage_of(data):
    """Return what is said of a damaged file, whether or not its segments can still be read."""
    try:
        return read_elf(data).damage
    except ValueError as error:
        return str(error)


def test_a_library_that_is_cut_off_is_damaged_wherever_it_is_cut():
    # The section table stands at the end, so that no part of the file can be missing.
    for length in [*range(0, len(WHOLE), 31), len(WHOLE) - 1]:
        assert damage_of(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_give_facts_or_a_value_error(changes):
    data = bytearray(WHOLE)
    for position, value in changes:
        data[position] = value
    read_or_refuse(data)


@given(st.integers(0, len(WHOLE) - 8), st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f" * 4]))
def test_extreme_numbers_give_facts_or_a_value_error(position, data):
    read_or_refuse(WHOLE[:position] + data + WHOLE[position + len(data) :])


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_header_give_facts_or_a_value_error(data):
    read_or_refuse(WHOLE[:64] + data)


def read_or_refuse(data):
    """Read damaged bytes; any other exception fails the test."""
    with contextlib.suppress(ValueError):
        assert read_elf(bytes(data)).isa_level in {"", *ISA_1_LEVELS}


def _section_header(name):
    """Return where the header of a section of WHOLE stands."""
    table, count, names = struct.unpack_from("<Q", WHOLE, 40)[0], *struct.unpack_from("<HH", WHOLE, 60)
    names_at = struct.unpack_from("<Q", WHOLE, table + 64 * names + 24)[0]
    for number in range(count):
        start = names_at + struct.unpack_from("<I", WHOLE, table + 64 * number)[0]
        if WHOLE[start:].startswith(name.encode() + b"\0"):
            return table + 64 * number
    raise AssertionError(name)


def changed(position, layout, value):
    data = bytearray(WHOLE)
    struct.pack_into(layout, data, position, value)
    return data


def test_an_endless_chain_of_versions_is_refused_soon():
    header = _section_header(".gnu.version_r")
    data = changed(header + 44, "<I", 0xFFFFFFFF)
    verneed = struct.unpack_from("<Q", WHOLE, header + 24)[0]
    struct.pack_into("<I", data, verneed + 12, 0)
    with pytest.raises(ValueError, match="more work"):
        read_elf(bytes(data))


def test_an_endless_list_of_versions_of_one_library_is_refused_soon():
    verneed = struct.unpack_from("<Q", WHOLE, _section_header(".gnu.version_r") + 24)[0]
    data = changed(verneed + 2, "<H", 0xFFFF)
    struct.pack_into("<I", data, verneed + 16 + 12, 0)
    read_or_refuse(data)


@pytest.mark.parametrize("entry_size", [0, 1, 64])
def test_too_many_sections_are_refused_soon(entry_size):
    data = changed(60, "<H", 0xFFFF)
    struct.pack_into("<H", data, 58, entry_size)
    # The loader does not look at sections, so such a library still runs, and its segments are read.
    assert "section table cannot be read" in read_elf(bytes(data)).damage


@pytest.mark.parametrize("entry_size", [0, 1, 56])
def test_too_many_segments_are_refused_soon(entry_size):
    data = changed(56, "<H", 0xFFFE)
    struct.pack_into("<H", data, 54, entry_size)
    with pytest.raises(ValueError, match="damaged ELF file"):
        read_elf(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 25, 1 << 62])
def test_a_symbol_table_with_a_wrong_entry_size(size):
    read_or_refuse(changed(_section_header(".dynsym") + 56, "<Q", size))


_EXTENSIONS = sorted((Path(sysconfig.get_path("stdlib")) / "lib-dynload").glob("*.so"))


@pytest.mark.skipif(not _EXTENSIONS, reason="this Python has its extension modules built in")
def test_a_library_that_a_real_linker_made():
    data = max(_EXTENSIONS, key=lambda path: path.stat().st_size).read_bytes()
    facts = read_elf(data)
    assert facts.machine.startswith("EM_")
    for length in (65, len(data) // 3, len(data) // 2, len(data) - 1):
        assert damage_of(data[:length])


@pytest.mark.parametrize(
    ("text", "needed", "rust"),
    [
        (b"", ("libc.so.6",), False),
        (b"/rustc/0123/library/core/src/fmt/mod.rs\0", ("libc.so.6",), True),
        (b"/rustc/0123/library/core/src/fmt/mod.rs\0", ("libstdc++.so.6", "libc.so.6"), False),
    ],
)
def test_rust_is_known_by_its_library_where_there_is_no_cxx(text, needed, rust):
    assert read_elf(build_elf(needed=needed) + text).rust is rust
