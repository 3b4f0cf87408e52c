"""The check of size: doubles, debug sections, strays, the limit."""

import pytest
from factories import DIST_INFO, LIBRARY, make_elf, make_facts, make_wheel, wheel_members
from planted import PLANTED

from truewheel.checks.policy import default_policy
from truewheel.checks.run import rate
from truewheel.checks.size import CODES, check
from truewheel.wheel.archive import Member

BIG = Member(b"\x7fELF" + bytes(9000))


def found(facts):
    found = rate(check(facts), default_policy(), own=facts.plan is not None)
    return [(finding.code, finding.severity) for finding in found]


def wheel_with(**members):
    return make_wheel(members=wheel_members(**members))


def test_a_sound_wheel_gives_nothing():
    assert found(make_facts()) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    assert found(PLANTED[code]()) == [(code, "error")]


def test_all_copies_are_named_in_one_finding():
    copies = {LIBRARY: BIG, f"{LIBRARY}.0": BIG, f"{LIBRARY}.0.1": BIG}
    (finding,) = check(make_facts(wheel=wheel_with(**copies)))
    assert (finding.code, finding.where) == ("SIZE-DOUBLED", LIBRARY)
    assert f"is there 3 times (0.0 MiB each): also {LIBRARY}.0, {LIBRARY}.0.1" in finding.message


def test_sizes_are_told_in_mebibytes():
    big = Member(b"\x7fELF" + bytes(3 << 20))
    (doubled,) = check(make_facts(wheel=wheel_with(**{LIBRARY: big, f"{LIBRARY}.0": big})))
    (limit,) = check(make_facts(wheel=make_wheel(size=5 << 19)))
    assert "is there 2 times (3.0 MiB each)" in doubled.message
    assert limit.message == "2.5 MiB, the recipe allows 1"


def test_small_files_may_be_the_same():
    same = {f"toy_engine/{number}/__init__.py": Member(bytes(4095)) for number in range(3)}
    assert found(make_facts(wheel=wheel_with(**same))) == []


def test_four_kibibytes_may_not():
    same = {f"toy_engine/{number}.py": Member(bytes(4096)) for number in range(2)}
    assert found(make_facts(wheel=wheel_with(**same))) == [("SIZE-DOUBLED", "error")]


def test_large_files_that_differ_are_no_doubles():
    different = {f"toy_engine/{number}.so": Member(bytes([number]) * 9000) for number in range(3)}
    assert found(make_facts(wheel=wheel_with(**different))) == []


def test_debug_sections_are_measured_and_named():
    sections = (".symtab", ".strtab", ".debug_info", ".debug_line", ".debug_str")
    (finding,) = check(make_facts(libraries={LIBRARY: make_elf(debug_sections=sections, debug_bytes=300 * 1024)}))
    assert finding.message == "300 KiB in .symtab, .strtab, .debug_info, .debug_line"


@pytest.mark.parametrize("code", ["SIZE-DOUBLED", "SIZE-DEBUG"])
def test_waste_in_a_wheel_of_somebody_else_is_a_warning(code):
    assert found(PLANTED[code]()._replace(plan=None)) == [(code, "warning")]


@pytest.mark.parametrize("code", ["SIZE-LIMIT", "SIZE-STRAY"])
def test_a_wheel_of_somebody_else_has_no_limit_and_no_package(code):
    assert found(PLANTED[code]()._replace(plan=None)) == []


@pytest.mark.parametrize(("size", "expected"), [(1 << 20, []), ((1 << 20) + 1, [("SIZE-LIMIT", "error")])])
def test_the_limit_itself_passes(size, expected):
    assert found(make_facts(wheel=make_wheel(size=size))) == expected


@pytest.mark.parametrize(
    "path",
    [
        "include/toy.h",
        "bin/toy",
        "lib/libtoy.so",
        "toy.py",
        "toy_engine_extra/x.py",
        "toy_engine-1.2.3.data/scripts/toy",
        "toy_engine/include/toy.h",
        "toy_engine/toy.hpp",
        "toy_engine/lib/libtoy.a",
        "toy_engine/lib/toy.o",
        "toy_engine/lib/cmake/toy-config.cmake",
        "toy_engine/lib/pkgconfig/toy.pc",
    ],
)
def test_what_does_not_belong_into_the_wheel(path):
    (finding,) = check(make_facts(wheel=wheel_with(**{path: Member(b"x")})))
    assert (finding.code, finding.where) == ("SIZE-STRAY", path)


@pytest.mark.parametrize(
    "path",
    ["toy_engine/py.typed", "toy_engine/data/table.json", f"{DIST_INFO}/licenses/LICENSE", f"{DIST_INFO}/RECORD"],
)
def test_what_belongs_into_the_wheel(path):
    assert found(make_facts(wheel=wheel_with(**{path: Member(b"x")}))) == []
