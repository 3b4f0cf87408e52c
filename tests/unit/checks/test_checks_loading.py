"""The check of what loaders take, from files to findings, on every machine that a tag can name."""

import pytest
from factories import DIST_INFO, make_facts, wheel_members
from plain_elf import MACHINES, plain_elf

from truewheel.checks.loading import CODES, check
from truewheel.examine.child import read_library
from truewheel.examine.facts import facts_of
from truewheel.examine.reading import WheelFacts
from truewheel.wheel.archive import Member, read_unsound
from truewheel.wheel.sources import scan_sources
from truewheel.wheel.writer import write_wheel

MODULE = "toy_engine/ext.abi3.so"
LIBRARY = "toy_engine/lib/libtoy.so.1"


def found(folder, files, platform="linux_x86_64"):
    """Return the findings of a wheel with these files, as code and place."""
    path = folder / f"toy_engine-1.2.3-cp310-abi3-{platform}.whl"
    own = {name: member for name, member in wheel_members().items() if not name.endswith(".so")}
    write_wheel(path, {**own, **{name: Member(data) for name, data in files.items()}}, DIST_INFO)
    wheel = read_unsound(path)
    libraries = {name: read_library(files[name], {}) for name in wheel.shared_objects() if name in files}
    facts = facts_of(WheelFacts(wheel=wheel, libraries=libraries, sources=scan_sources([]), policy=None, locked=True))
    findings = list(check(facts))
    assert all(finding.code in CODES and finding.message and finding.hint for finding in findings)
    return [(finding.code, finding.where) for finding in findings]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", ["linux", "manylinux_2_28", "musllinux_1_2"])
def test_what_is_made_for_the_tag_gives_nothing(machine, family, tmp_path):
    files = {MODULE: plain_elf(machine), LIBRARY: plain_elf(machine, symbols=("toy",))}
    assert found(tmp_path, files, f"{family}_{machine}") == []


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("other", MACHINES)
def test_a_file_for_another_machine_is_found(machine, other, tmp_path):
    expected = [] if machine == other else [("LOAD-MACHINE", MODULE)]
    assert found(tmp_path, {MODULE: plain_elf(other)}, f"manylinux_2_28_{machine}") == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_a_file_for_no_machine_is_found(machine, tmp_path):
    for number in (0, 9999):
        files = {LIBRARY: plain_elf(machine, number=number)}
        assert found(tmp_path, files, f"linux_{machine}") == [("LOAD-MACHINE", LIBRARY)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "data",
    [b"", b"import this\n", b"#!/bin/sh\n", b"MZ" + bytes(200), b"\xcf\xfa\xed\xfe" + bytes(200), b"\x7fEL", bytes(64)],
    ids=["nothing", "Python", "script", "PE", "Mach-O", "cut", "zeros"],
)
@pytest.mark.parametrize("name", [MODULE, LIBRARY, "toy_engine/libtoy.so", "toy_engine/plain.so"])
def test_a_file_that_is_no_library_is_found(machine, data, name, tmp_path):
    assert found(tmp_path, {name: data}, f"linux_{machine}") == [("LOAD-KIND", name)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("how", [{"kind": 1}, {"kind": 2}, {"kind": 4}, {"kind": 0}, {"tags": [(0x6FFFFFFB, 1 << 27)]}])
def test_an_object_file_and_a_program_are_no_libraries(machine, how, tmp_path):
    assert found(tmp_path, {MODULE: plain_elf(machine, **how)}, f"linux_{machine}") == [("LOAD-KIND", MODULE)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("segment", "column", "value"), [(0, 6, 8), (0, 3, 0x20), (0, 4, 1 << 20), (1, 0, 0)])
def test_segments_that_cannot_be_mapped_are_found(machine, segment, column, value, tmp_path):
    def change(rows):
        rows[segment][column] = value

    findings = found(tmp_path, {LIBRARY: plain_elf(machine, change=change)}, f"linux_{machine}")
    assert findings == [("LOAD-SEGMENTS", LIBRARY)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name",
    [
        "ext.abi3.so",
        "ext.cpython-311-x86_64-linux-gnu.so",
        "ext.cpython-313t-aarch64-linux-gnu.so",
        "ext.abi3t.so",
        "ext.pypy310-pp73-x86_64-linux-gnu.so",
        "ext.cpython-311.so",
    ],
)
@pytest.mark.parametrize("symbols", [(), ("PyInit_other",), ("PyInit_ex",), ("PyInit_ext2",), ("ext",)])
def test_a_module_without_what_makes_it_is_found(machine, name, symbols, tmp_path):
    path = f"toy_engine/{name}"
    assert found(tmp_path, {path: plain_elf(machine, symbols=symbols)}, f"linux_{machine}") == [("LOAD-INIT", path)]
    assert found(tmp_path, {path: plain_elf(machine)}, f"linux_{machine}") == []


@pytest.mark.parametrize(
    ("path", "symbol"),
    [
        ("toy_engine/__init__.abi3.so", "PyInit_toy_engine"),
        ("toy_engine/\u00e9.abi3.so", "PyInitU__9ca"),
        ("toy_engine/plain.so", "toy"),
        ("toy_engine/old.cpython-27m-x86_64-linux-gnu.so", "initold"),
        ("toy_engine-1.2.3.data/platlib/toy_engine/ext.abi3.so", "PyInit_ext"),
    ],
)
def test_names_that_python_spells_otherwise_give_nothing(path, symbol, tmp_path):
    assert found(tmp_path, {path: plain_elf(symbols=(symbol,))}) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("toy_engine/attach_linux_x86.so", "LOAD-MACHINE-OTHER"),
        ("toy_engine/i386/libtoy.so", "LOAD-MACHINE-OTHER"),
        ("toy_engine/x86_64/libtoy.so", "LOAD-MACHINE"),
        ("toy_engine/libtoy2.so", "LOAD-MACHINE"),
        ("toy_engine/i386/ext.abi3.so", "LOAD-MACHINE"),
    ],
)
def test_what_is_brought_for_others_on_purpose_is_told_apart(path, code, tmp_path):
    files = {
        "toy_engine/libtoy.so": plain_elf(),
        path: plain_elf("i686", symbols=("PyInit_ext" if "ext" in path else "toy",)),
    }
    assert found(tmp_path, files) == [(code, path)]


@pytest.mark.parametrize(
    ("symbols", "source", "code"),
    [
        (("answer",), "import ctypes\n", "LOAD-INIT-PLAIN"),
        (("answer",), "from cffi import FFI\n", "LOAD-INIT-PLAIN"),
        (("answer",), "from . import ext\n", "LOAD-INIT"),
        (("PyInit_other",), "import ctypes\n", "LOAD-INIT"),
    ],
)
def test_a_library_that_python_files_load_is_told_apart_from_a_broken_module(symbols, source, code):
    library = read_library(plain_elf(symbols=symbols), {})
    sources = scan_sources([("toy_engine/__init__.py", source.encode())])
    facts = make_facts(plan=None, libraries={MODULE: library.elf}, sources=sources)
    assert [finding.code for finding in check(facts)] == [code]


def test_code_for_other_processors_and_for_debuggers_is_no_library(tmp_path):
    files = {
        "toy_engine/kernel.hsaco": plain_elf(number=224),
        "toy_engine/libtoy.so.debug": plain_elf(change=lambda rows: rows[0].__setitem__(4, 1 << 20)),
    }
    assert found(tmp_path, files) == []


@pytest.mark.parametrize("platform", ["any", "plan9_x86_64"])
def test_a_tag_that_names_no_platform_promises_no_loader(platform, tmp_path):
    assert found(tmp_path, {"toy_engine/libtoy.so": b"\xcf\xfa\xed\xfe"}, platform) == []


@pytest.mark.parametrize(
    ("platform", "good"),
    [("macosx_11_0_arm64", b"\xcf\xfa\xed\xfe"), ("win_amd64", b"MZ"), ("ios_13_0_arm64", b"\xca\xfe\xba\xbe")],
)
def test_other_systems_take_their_own_alone(platform, good, tmp_path):
    assert found(tmp_path, {"toy_engine/plain.so": good + bytes(60)}, platform) == []
    assert found(tmp_path, {"toy_engine/plain.so": plain_elf()}, platform) == [("LOAD-KIND", "toy_engine/plain.so")]


@pytest.mark.parametrize(
    ("platform", "name", "good"),
    [
        ("win_amd64", "toy_engine/ext.pyd", b"MZ"),
        ("win32", "toy_engine/toy.dll", b"MZ"),
        ("macosx_11_0_arm64", "toy_engine/libtoy.dylib", b"\xcf\xfa\xed\xfe"),
    ],
)
def test_libraries_of_other_endings_are_asked_for_on_their_own_system(platform, name, good, tmp_path):
    assert found(tmp_path, {name: good + bytes(60)}, platform) == []
    assert found(tmp_path, {name: b""}, platform) == [("LOAD-KIND", name)]
    assert found(tmp_path, {name: plain_elf()}, platform) == [("LOAD-KIND", name)]
    assert found(tmp_path, {name: b""}, "linux_x86_64") == []
