"""The import guard: where it is put, what it asks the CPU, what it says."""

import ctypes
import functools
import importlib
import sys
from importlib import resources

import pytest
from factories import make_host, make_plan_of, make_profile, make_toolchain, wheel_members
from hypothesis import given
from hypothesis import strategies as st

from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import level_features
from truewheel.errors import RepairError
from truewheel.repair import guard
from truewheel.repair.guard import LIBRARY, MODULE, add_guard, guard_source, insert_import
from truewheel.wheel.archive import Member

TABLE = feature_table()
IMPORT = "from . import _truewheel as _truewheel_guard\n"
ALL_STATES = 0x600E7
REGISTERS = ("eax", "ebx", "ecx", "edx")


class Cpu:
    """A CPU that was never made.

    Args:
        features: what it has.
        xcr0: what its system has enabled; None for a system that does not save extended registers.
        highest: its highest basic leaf.
        subleaves: the highest subleaf of leaf 7.
        extended: its highest extended leaf.
    """

    def __init__(self, features, *, xcr0=ALL_STATES, highest=0x1F, subleaves=2, extended=0x80000008):
        self.xcr0_value = xcr0
        self.registers = {(0, 0): [highest, 0, 0, 0], (0x80000000, 0): [extended, 0, 0, 0], (1, 0): [0, 0, 0, 0]}
        self.registers[7, 0] = [subleaves, 0, 0, 0]
        if xcr0 is not None:
            self.registers[1, 0][2] |= 1 << 27
        for name in features:
            feature = TABLE[name]
            place = self.registers.setdefault((feature.leaf, feature.subleaf), [0, 0, 0, 0])
            place[REGISTERS.index(feature.register)] |= 1 << feature.bit

    def cpuid(self, leaf, subleaf):
        return tuple(self.registers.get((leaf, subleaf), (0, 0, 0, 0)))

    def xcr0(self):
        assert self.xcr0_value is not None, "XGETBV would be an illegal instruction"
        return self.xcr0_value


def plan_for(features, **changes):
    return make_plan_of(toolchain=make_toolchain(native_features=tuple(sorted(features))), **changes)


def missing(plan, cpu):
    """Run the guard that is made for a plan on a CPU."""
    namespace = {}
    exec(compile(guard_source(plan).removesuffix("check()\n"), "guard", "exec"), namespace)
    return namespace["missing_features"](cpu.cpuid, cpu.xcr0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "{}"),
        ("import os\n", "{}import os\n"),
        ("# a comment\nimport os\n", "{}# a comment\nimport os\n"),
        ('"""Doc."""\n', '"""Doc."""\n{}'),
        ('"""Doc."""', '"""Doc."""\n{}'),
        ('"""Doc."""\nimport os\n', '"""Doc."""\n{}import os\n'),
        ('"""Doc\nof three\nlines."""\nimport os\n', '"""Doc\nof three\nlines."""\n{}import os\n'),
        ("from __future__ import annotations\nimport os\n", "from __future__ import annotations\n{}import os\n"),
        (
            '"""Doc."""\n\nfrom __future__ import (\n    annotations,\n    division,\n)\nimport os\n',
            '"""Doc."""\n\nfrom __future__ import (\n    annotations,\n    division,\n)\n{}import os\n',
        ),
        (
            "from __future__ import annotations\nfrom __future__ import division\nx = 1\n",
            "from __future__ import annotations\nfrom __future__ import division\n{}x = 1\n",
        ),
        ('#!/usr/bin/python\n# x\n"""Doc."""\nimport os\n', '#!/usr/bin/python\n# x\n"""Doc."""\n{}import os\n'),
        (
            '"""Doc."""\nfrom __future__ import annotations',
            '"""Doc."""\nfrom __future__ import annotations\n{}',
        ),
        ('x = 1\n"""Not a docstring."""\n', '{}x = 1\n"""Not a docstring."""\n'),
    ],
)
def test_the_import_stands_behind_docstring_and_future_imports(source, expected):
    assert insert_import(source) == expected.format(IMPORT)


def test_windows_line_ends_are_kept():
    assert insert_import('"""Doc."""\r\nimport os\r\n') == f'"""Doc."""\r\n{IMPORT}import os\r\n'


@pytest.mark.parametrize("character", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"])
def test_characters_that_end_no_line_for_python_do_not_move_it(character):
    source = f'"""A{character}doc\nof two lines."""\nimport os\n'
    assert insert_import(source) == source.replace("import os", f"{IMPORT}import os")


def test_a_statement_on_the_same_line_comes_behind_the_guard():
    assert insert_import('"""Döc."""; import os\n') == f'"""Döc."""; {IMPORT.strip()}; import os\n'
    source = "from __future__ import annotations; import os\nx = 1\n"
    assert insert_import(source) == source.replace("import os", f"{IMPORT.strip()}; import os")


_DOCUMENTATION = st.text(st.characters(exclude_categories=("Cs",), exclude_characters='\0"\\\r'), max_size=20).map(
    '"""{} """'.format
)


@given(
    docstring=st.just("") | _DOCUMENTATION,
    future=st.booleans(),
    comment=st.booleans(),
    separator=st.sampled_from("\n;"),
)
def test_the_guard_runs_before_the_first_statement(docstring, future, comment, separator):
    parts = [docstring] if docstring else []
    parts += ["from __future__ import annotations"] if future else []
    source = ("# a comment\n" if comment else "") + separator.join([*parts, "order.append('first statement')"]) + "\n"
    changed = insert_import(source).replace("from . import _truewheel as _truewheel_guard", "order.append('guard')")
    order = []
    exec(compile(changed, "init", "exec"), {"order": order})
    assert order == ["guard", "first statement"]


def test_the_guard_is_added_to_the_package():
    plan = make_plan_of()
    members = add_guard(wheel_members(), plan, b"\x7fELF cpuid")
    assert members["toy_engine/__init__.py"].data.decode() == f'"""A toy."""\n{IMPORT}'
    assert members[f"toy_engine/{MODULE}.py"].data.decode() == guard_source(plan)
    assert members[f"toy_engine/{LIBRARY}"] == Member(b"\x7fELF cpuid", executable=True)
    assert set(members) == {*wheel_members(), f"toy_engine/{MODULE}.py", f"toy_engine/{LIBRARY}"}


def test_a_byte_order_mark_is_no_obstacle():
    init = {"toy_engine/__init__.py": Member(b"\xef\xbb\xbfimport os\n")}
    assert add_guard(wheel_members(**init), make_plan_of(), b"")["toy_engine/__init__.py"].data.startswith(
        b"from . import"
    )


def test_a_wheel_without_its_package_is_refused():
    members = wheel_members()
    del members["toy_engine/__init__.py"]
    with pytest.raises(RepairError, match=r"has no toy_engine/__init__\.py") as caught:
        add_guard(members, make_plan_of(), b"")
    assert "import-name" in caught.value.hint


@pytest.mark.parametrize("data", [b"def", b"print 1\n", b"x = '\xff'\n", b"x = 1\0\n"])
def test_a_package_that_cannot_be_parsed_is_refused(data):
    with pytest.raises(RepairError, match="cannot be parsed"):
        add_guard(wheel_members(**{"toy_engine/__init__.py": Member(data)}), make_plan_of(), b"")


def test_the_guard_imports_the_standard_library_alone():
    source = guard_source(make_plan_of())
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["import ctypes", "import os"]


@pytest.mark.parametrize("lost", ["REQUIREMENTS = ()", 'MADE_FOR = ""', 'ADVICE = ""'])
def test_a_template_that_lacks_a_line_is_a_fault(monkeypatch, tmp_path, lost):
    text = resources.files("truewheel.repair").joinpath("guard_template.py").read_text()
    (tmp_path / "guard_template.py").write_text(text.replace(lost, "pass"))
    monkeypatch.setattr(guard.resources, "files", lambda _package: tmp_path)
    with pytest.raises(RepairError, match="the guard template lacks the line"):
        guard_source(make_plan_of())


def test_the_guard_asks_for_each_feature_of_the_plan():
    namespace = {}
    source = guard_source(make_plan_of())
    exec(compile(source.removesuffix("check()\n"), "guard", "exec"), namespace)
    rows = {row[0]: row[1:] for row in namespace["REQUIREMENTS"]}
    assert set(rows) == set(make_plan_of().features)
    assert rows["avx2"] == (7, 0, 1, 5, 6)


@pytest.mark.parametrize("level", ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_a_cpu_of_just_the_level_lacks_nothing(level):
    plan = make_plan_of(profile=make_profile(label="level", level=level))
    assert missing(plan, Cpu(level_features(level))) == []


def test_a_cpu_with_everything_lacks_nothing():
    assert missing(plan_for(TABLE), Cpu(TABLE)) == []


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_missing_bit_is_named(name):
    assert missing(plan_for(TABLE), Cpu(set(TABLE) - {name})) == [name]


def test_without_osxsave_everything_with_wide_registers_is_missing():
    found = missing(plan_for(TABLE), Cpu(TABLE, xcr0=None))
    assert set(found) == {name for name, feature in TABLE.items() if feature.state}
    assert {"avx", "avx2", "fma", "f16c", "avx512f", "amx_tile"} <= set(found)
    assert "sse4_2" not in found


@pytest.mark.parametrize(
    ("xcr0", "lost", "kept"),
    [
        (0x7, {"avx512f", "avx512_vnni", "amx_tile"}, {"avx2", "fma"}),
        (0xE7, {"amx_tile", "amx_int8"}, {"avx512f", "avx2"}),
        (0x67, {"avx512f"}, {"avx2"}),
        (0x200E7, {"amx_tile"}, {"avx512f"}),
        (0x3, {"avx", "avx2", "avx512f"}, {"sse4_2", "popcnt"}),
    ],
)
def test_registers_that_the_system_does_not_save_make_features_missing(xcr0, lost, kept):
    found = set(missing(plan_for(TABLE), Cpu(TABLE, xcr0=xcr0)))
    assert lost <= found
    assert not kept & found


def test_a_leaf_beyond_the_highest_is_missing_whatever_it_reads():
    found = missing(plan_for(TABLE), Cpu(TABLE, highest=1))
    assert set(found) == {name for name, feature in TABLE.items() if 1 < feature.leaf < 0x80000000}


def test_an_extended_leaf_beyond_the_highest_is_missing_whatever_it_reads():
    found = missing(plan_for(TABLE), Cpu(TABLE, extended=0x80000000))
    assert set(found) == {name for name, feature in TABLE.items() if feature.leaf > 0x80000000}


def test_a_subleaf_beyond_the_highest_is_missing_whatever_it_reads():
    found = missing(plan_for(TABLE), Cpu(TABLE, subleaves=0))
    assert set(found) == {name for name, feature in TABLE.items() if feature.leaf == 7 and feature.subleaf}
    assert "avx_vnni" in found


@given(st.sets(st.sampled_from(sorted(TABLE))), st.sets(st.sampled_from(sorted(TABLE))))
def test_what_is_missing_is_what_the_plan_has_and_the_cpu_has_not(wanted, present):
    assert set(missing(plan_for(wanted), Cpu(present))) == wanted - present


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """Import a package with a guard on a CPU of our choice."""

    def load(plan, cpu):
        folder = tmp_path / "toy_engine"
        folder.mkdir()
        init = {"toy_engine/__init__.py": Member(b'"""A toy."""\nWORKS = True\n')}
        for name, member in add_guard(wheel_members(**init), plan, b"cpuid").items():
            if name.startswith("toy_engine/") and "/lib/" not in name:
                (tmp_path / name).write_bytes(member.data)

        class Library:
            def __init__(self, path):
                assert path == str(folder / LIBRARY)
                self.truewheel_xcr0 = functools.partial(cpu.xcr0)
                self.truewheel_cpuid = lambda leaf, subleaf, result: result.__setitem__(
                    slice(0, 4), cpu.cpuid(leaf.value, subleaf.value)
                )

        monkeypatch.setattr(ctypes, "CDLL", Library)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        try:
            return importlib.import_module("toy_engine")
        finally:
            for name in [name for name in sys.modules if name.startswith("toy_engine")]:
                del sys.modules[name]

    return load


def test_the_package_is_imported_on_the_right_cpu(guarded):
    assert guarded(make_plan_of(), Cpu(level_features("x86-64-v3"))).WORKS


def test_a_native_wheel_says_in_one_sentence_what_is_missing_and_what_to_do(guarded):
    with pytest.raises(ImportError) as caught:
        guarded(make_plan_of(), Cpu(level_features("x86-64-v3") - {"avx2", "fma"}))
    assert str(caught.value) == (
        "this wheel was built for the CPU of the machine that built it (haswell, x86-64-v3) "
        "and this CPU lacks avx2, fma: install a build of toy-engine for this machine instead, "
        "made here with `truewheel build toy-engine`"
    )


def test_a_wheel_of_a_level_names_the_level(guarded):
    plan = make_plan_of(profile=make_profile(label="v4", level="x86-64-v4"), host=make_host())
    with pytest.raises(ImportError, match="was built for x86-64-v4 CPUs and this CPU lacks avx512bw, "):
        guarded(plan, Cpu(level_features("x86-64-v3")))
