"""Whether a loader can map an ELF file, on every machine that a tag can name."""

import sys

import pytest
from plain_elf import MACHINES, PT_DYNAMIC, plain_elf

from truewheel.binary.elf import read_elf
from truewheel.binary.loads import find_inits, read_loads


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


def test_a_sound_library_of_any_machine_is_read(machine):
    found = read_loads(plain_elf(machine))
    assert (found.machine, found.bits, found.order) == MACHINES[machine]
    assert found.kind == "shared"
    assert found.faults == ()


def test_what_makes_modules_is_found_in_every_width_and_order(machine):
    assert "PyInit_ext" in read_elf(plain_elf(machine)).init
    assert "PyInit_ext" not in read_elf(plain_elf(machine, symbols=("PyInit_other",))).init


@pytest.mark.parametrize(("kind", "name"), [(1, "object"), (2, "program"), (3, "shared"), (4, "core"), (9, "other")])
def test_the_kind_of_file_is_told(machine, kind, name):
    assert read_loads(plain_elf(machine, kind=kind)).kind == name


def test_a_position_independent_program_is_told_from_a_library(machine):
    assert read_loads(plain_elf(machine, tags=[(0x6FFFFFFB, 0x08000000)])).kind == "program"
    assert read_loads(plain_elf(machine, tags=[(21, 0)], interpreter=True)).kind == "program"
    # Some libraries can be run as well: they name a loader, and nobody left room for a debugger.
    assert read_loads(plain_elf(machine, interpreter=True)).kind == "shared"
    assert read_loads(plain_elf(machine, tags=[(0x6FFFFFFB, 1)])).kind == "shared"


def field(segment, column, value):
    def change(rows):
        rows[segment][column] = value(rows[segment][column]) if callable(value) else value

    return change


def reverse(rows):
    rows[2] = [1, 4, 0, 0, 16, 16, 0x1000]
    rows[0][3] += 0x10000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (field(0, 6, 1), "aligned to 1 bytes"),
        (field(0, 6, 16), "aligned to 16 bytes"),
        (field(0, 6, 0), "aligned to 0 bytes"),
        (field(0, 6, 0x3000), "aligned to 12288 bytes"),
        (field(0, 3, 0x10), "not page-aligned"),
        (field(0, 2, 8), "not page-aligned"),
        (field(0, 4, lambda size: size + 1), "1 bytes beyond the end of the file"),
        (field(0, 2, 0x1000), "beyond the end of the file"),
        (field(0, 5, 4), "more bytes in the file than in memory"),
        (field(0, 0, 0), "no segment to load"),
        (field(1, 0, 0), "no dynamic segment"),
        (field(1, 2, 1 << 20), "its dynamic segment lies beyond"),
        (reverse, "not in the order of their addresses"),
    ],
)
def test_segments_that_cannot_be_mapped_are_found(machine, change, words):
    (fault, *_) = read_loads(plain_elf(machine, change=change)).faults
    assert words in fault


def test_a_file_that_is_cut_off_has_a_fault_wherever_it_was_cut(machine):
    data = plain_elf(machine)
    for length in range(len(data)):
        assert read_loads(data[:length]).faults


def test_a_program_without_a_dynamic_segment_is_a_static_one(machine):
    assert read_loads(plain_elf(machine, kind=2, dynamic=False)).faults == ()


def test_hostile_counts_cost_nothing():
    data = bytearray(plain_elf())
    data[56:58] = b"\xff\xff"
    assert "65535 segments" in read_loads(bytes(data)).faults[0]
    rows = [[PT_DYNAMIC, 6, 0, 0, 1 << 60, 1 << 60, 8]]
    assert read_loads(plain_elf(segments=rows)).kind == "shared"
    assert len(find_inits(b"".join(b"\0PyInit_a%d\0" % number for number in range(10_000)))) <= 100


def test_the_interpreter_of_this_machine_is_a_program():
    with open(sys.executable, "rb") as stream:  # noqa: PTH123 - what runs the tests
        found = read_loads(stream.read())
    assert found.kind == "program"
    assert found.faults == ()
