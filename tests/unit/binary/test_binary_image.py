"""An ELF file in memory: ranges, symbols, frames and relocations, of sound files and of damaged ones."""

import struct

import pytest
from code_builder import RET, build_library, function, variable
from elf_builder import build_elf

from truewheel.binary import headers
from truewheel.binary.elf import elf_facts
from truewheel.binary.image import ElfImage, Relocation, is_function, is_object, is_resolver
from truewheel.binary.places import Places

SHOWN = function("shown", RET, exported=True)
HIDDEN = function("hidden", b"\x90", RET)
CHOSEN = function("chosen", RET, exported=True, resolver=True)
TABLE = variable("table", "hidden", b"12345678", "@shown", exported=True)
WHOLE = build_library(
    SHOWN,
    HIDDEN,
    CHOSEN,
    variables=[TABLE, variable("slot")],
    chosen=[("slot", "hidden")],
    imports=["__cpu_model"],
    frames=True,
)
"""Every kind of everything."""


def named(symbols):
    return {symbol.name: symbol for symbol in symbols if symbol.name}


def test_a_sound_library_has_no_damage():
    image = ElfImage(WHOLE.data)
    assert image.damage == ""
    assert image.x86_64
    assert elf_facts(image).defined == ("chosen", "shown", "table")


@pytest.mark.parametrize("machine", [3, 183])
def test_another_machine_is_not_ours(machine):
    assert not ElfImage(build_elf(machine=machine)).x86_64


def test_symbols_say_what_they_are():
    symbols = named(ElfImage(WHOLE.data).symbols(dynamic=True))
    assert sorted(symbols) == ["__cpu_model", "chosen", "shown", "table"]
    assert is_function(symbols["shown"])
    assert not is_resolver(symbols["shown"])
    assert is_resolver(symbols["chosen"])
    assert is_object(symbols["table"])
    assert not symbols["__cpu_model"].defined
    assert (symbols["shown"].value, symbols["shown"].size) == (WHOLE.addresses["shown"], 1)


def test_the_full_table_has_the_hidden_ones_too():
    symbols = named(ElfImage(WHOLE.data).symbols(dynamic=False))
    assert symbols["hidden"].size == 2
    assert symbols["hidden"].value == WHOLE.addresses["hidden"]


def test_a_stripped_library_has_no_full_table():
    assert ElfImage(build_library(SHOWN, HIDDEN, symtab=False).data).symbols(dynamic=False) == []


def test_dynamic_symbols_are_found_without_a_section_table():
    bare = ElfImage(build_library(SHOWN, HIDDEN, CHOSEN, section_table=False).data)
    assert bare.damage == ""
    assert sorted(named(bare.symbols(dynamic=True))) == ["chosen", "shown"]
    assert bare.symbols(dynamic=False) == []


def test_relocations_say_slot_target_and_kind():
    at = WHOLE.addresses
    found = set(ElfImage(WHOLE.data).relocations())
    assert found == {
        Relocation(at["table"], 8, 0, at["hidden"]),
        Relocation(at["table"] + 16, 1, 1, 0),
        Relocation(at["got:__cpu_model"], 6, 4, 0),
        Relocation(at["slot"], 37, 0, at["hidden"]),
    }


def test_packed_relocations_are_the_same_as_unpacked_ones():
    table = variable("table", "hidden", bytes(8), "hidden", "shown")
    plain, packed = (build_library(SHOWN, HIDDEN, variables=[table], packed=packed) for packed in (False, True))
    distance = packed.addresses["hidden"] - plain.addresses["hidden"]
    moved = packed.addresses["table"] - plain.addresses["table"]
    expected = [
        row._replace(slot=row.slot + moved, addend=row.addend + distance) for row in ElfImage(plain.data).relocations()
    ]
    assert list(ElfImage(packed.data).relocations()) == expected


def test_bitmaps_stand_for_the_words_behind_the_last_address():
    words = variable("words", *(struct.pack("<Q", number) for number in range(1, 131)))
    library = build_library(SHOWN, variables=[words])
    start = library.addresses["words"]
    # An address, then the words 1, 3 and 63 behind it, then the words 64 and 126.
    chain = struct.pack("<QQQ", start, 1 | 1 << 1 | 1 << 3 | 1 << 63, 1 | 1 << 1 | 1 << 63)
    rows = list(ElfImage(library.data)._packed(chain))
    assert [(row.slot - start) // 8 for row in rows] == [0, 1, 3, 63, 64, 126]
    assert [row.addend for row in rows] == [1, 2, 4, 64, 65, 127]


def test_frames_are_the_functions():
    image = ElfImage(WHOLE.data)
    at = WHOLE.addresses
    assert image.frames() == [(at["shown"], 1), (at["hidden"], 2), (at["chosen"], 1)]
    assert ElfImage(build_library(SHOWN).data).frames() == []


@pytest.mark.parametrize(("position", "value"), [(0, 2), (2, 0x0B), (3, 0x3C)])
def test_a_table_of_frames_that_no_linker_writes_is_not_read(position, value):
    data = bytearray(WHOLE.data)
    data[WHOLE.sections[".eh_frame_hdr"] + position] = value
    assert ElfImage(bytes(data)).frames() == []


def test_more_frames_than_the_file_holds_are_not_made_up():
    data = bytearray(WHOLE.data)
    struct.pack_into("<I", data, WHOLE.sections[".eh_frame_hdr"] + 8, 0xFFFFFFFF)
    frames = ElfImage(bytes(data)).frames()
    assert (WHOLE.addresses["hidden"], 2) in frames
    assert len(frames) < len(data) // 8


def test_code_is_found_by_section_and_without_sections_by_segment():
    (by_section,) = ElfImage(WHOLE.data).executable_ranges()
    assert (by_section.name, by_section.address) == (".text", WHOLE.sections[".text"])
    bare = build_library(SHOWN, HIDDEN, section_table=False)
    (by_segment,) = ElfImage(bare.data).executable_ranges()
    assert (by_segment.name, by_segment.address, by_segment.size) == ("segment", bare.sections[".text"], 18)


def test_bytes_are_read_by_address():
    image = ElfImage(WHOLE.data)
    start = WHOLE.addresses["table"]
    assert image.read(start + 8, 8) == b"12345678"
    assert image.offset_of(start) == start
    assert image.read(1 << 40, 8) == b""
    assert image.offset_of(1 << 40) == -1


def test_dynamic_tags_hold_every_value():
    tags = ElfImage(WHOLE.data).dynamic_tags()
    assert tags[headers.DT_SYMTAB] == [WHOLE.sections[".dynsym"]]
    assert tags[headers.DT_RELASZ] == [4 * 24]


def test_places_find_the_stretch_that_holds_an_address():
    places = Places([(10, 20), (20, 25), (40, 41)])
    assert [places.find(address) for address in (9, 10, 19, 20, 24, 25, 39, 40, 41)] == [-1, 0, 0, 1, 1, -1, -1, 2, -1]
    assert Places([]).find(0) == -1


def test_a_cut_off_section_table_is_damage_and_the_rest_is_read():
    for length in range(WHOLE.section_table, len(WHOLE.data), 16):
        image = ElfImage(WHOLE.data[:length])
        assert image.damage.startswith("its section table cannot be read: ")
        assert elf_facts(image).damage == image.damage
        assert sorted(named(image.symbols(dynamic=True))) == ["__cpu_model", "chosen", "shown", "table"]
        assert [part.name for part in image.executable_ranges()] == ["segment"]


def with_section(name, **fields):
    """Return the library with other numbers in a section's header."""
    data = bytearray(WHOLE.data)
    places = {"kind": (4, "<I"), "offset": (24, "<Q"), "size": (32, "<Q"), "link": (40, "<I"), "entry": (56, "<Q")}
    (count,) = struct.unpack_from("<H", data, 60)
    for number in range(1, count):
        header = WHOLE.section_table + 64 * number
        (at,) = struct.unpack_from("<Q", data, header + 24)
        if at == WHOLE.sections[name]:
            for field, value in fields.items():
                offset, layout = places[field]
                struct.pack_into(layout, data, header + offset, value)
    return bytes(data)


@pytest.mark.parametrize("name", [".text", ".dynsym", ".symtab", ".shstrtab", ".data"])
@pytest.mark.parametrize("field", ["offset", "size"])
@pytest.mark.parametrize("value", [1 << 20, 1 << 62, (1 << 64) - 1])
def test_a_section_that_reaches_beyond_the_file_is_damage(name, field, value):
    image = ElfImage(with_section(name, **{field: value}))
    assert image.damage
    assert [part.name for part in image.executable_ranges()] == ["segment"]
    assert "shown" in named(image.symbols(dynamic=True))


@pytest.mark.parametrize("link", [0, 1, 200, 0xFFFFFFFF])
def test_a_symbol_table_with_a_wrong_link_gives_facts_or_a_value_error(link):
    for name in (".symtab", ".dynsym"):
        try:
            facts = elf_facts(ElfImage(with_section(name, link=link)))
        except ValueError:
            continue
        assert facts.soname == "libtoy.so"


def test_names_beyond_their_table_and_names_without_end_are_cut():
    data = bytearray(WHOLE.data)
    struct.pack_into("<I", data, WHOLE.sections[".dynsym"] + 24, 0xFFFFFFF0)
    assert ElfImage(bytes(data)).symbols(dynamic=True)[1].name == ""
    endless = build_library(function("x" * 5000, RET, exported=True))
    assert len(ElfImage(endless.data).symbols(dynamic=True)[1].name) == 500


def test_another_size_of_entry_in_a_segment_table_is_a_value_error():
    data = bytearray(WHOLE.data)
    for size, count in ((0, 7), (1, 7), (56, 0xFFFE), (0xFFFF, 7)):
        struct.pack_into("<HH", data, 54, size, count)
        with pytest.raises(ValueError, match="damaged ELF file"):
            elf_facts(ElfImage(bytes(data)))
