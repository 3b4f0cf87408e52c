"""The import guard: where it is put, what it asks the CPU, which backend it loads, what it says."""

import ast
import ctypes
import functools
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest
from factories import (
    LOADER,
    make_backend_plan,
    make_dispatch_plan,
    make_plan_of,
    make_portable,
    make_profile,
    make_shipped_plan,
    make_toolchain,
    wheel_members,
)
from hypothesis import given
from hypothesis import strategies as st

from truewheel.carried.cores import fit_threads
from truewheel.cpu.features import feature_table, with_implied
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.cpu.models import cpu_models
from truewheel.errors import RepairError
from truewheel.repair import guard
from truewheel.repair.carried import add_carried
from truewheel.repair.guard import LIBRARY as HELPER
from truewheel.repair.guard import MODULE, add_guard, guard_source, insert_import
from truewheel.wheel.archive import Member

TABLE = feature_table()
IMPORT = "from . import truewheel as _truewheel_guard\n"
START = "_BACKEND = _start()\n"
ALL_STATES = 0x600E7
NOT_ENABLED = "(the system has not enabled its registers)"
REGISTERS = ("eax", "ebx", "ecx", "edx")
MODELS = {model.name: model.features & TABLE.keys() for model in cpu_models()}
PORTABLE = ("dispatch", "x86_64_v2", "x86_64_v3", "x86_64_v3_vnni", "x86_64_v4", "x86_64_v4_vnni")
PLANS = {
    "level": make_plan_of(profile=make_profile(label="level", level="x86-64-v3")),
    "native": make_plan_of(),
    "one backend": make_backend_plan(),
    "native backend": make_backend_plan(profile=make_profile(), toolchain=make_toolchain()),
    "several backends": make_dispatch_plan(),
    **{name: make_shipped_plan(name) for name in (*PORTABLE, "native")},
}


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


def model(name, **how):
    return Cpu(MODELS[name], **how)


def plan_for(features, **changes):
    return make_plan_of(toolchain=make_toolchain(native_features=tuple(sorted(features))), **changes)


def content_of(plan):
    """Return the libraries of a plan's wheel."""
    loaders = [plan.code.kernels.loader] if plan.code.backends else []
    paths = [*(backend.library for backend in plan.code.backends), *loaders]
    return {path: Member(b"\x7fELF " + path.encode(), executable=True) for path in paths}


def members_of(plan, **extra):
    return wheel_members(**content_of(plan), **extra)


def libraries_of(plan):
    return {f"toy_engine/{HELPER}": b"\x7fELF cpuid", **{name: each.data for name, each in content_of(plan).items()}}


def source_of(plan):
    return guard_source(plan, libraries_of(plan))


def guard_of(plan):
    """Return the guard that is made for a plan, before it looks at any CPU."""
    namespace = {"__name__": "toy_engine.truewheel"}
    exec(compile(source_of(plan).removesuffix(START), "guard", "exec"), namespace)
    return SimpleNamespace(**namespace)


@functools.cache
def shipped(profile):
    return guard_of(PLANS[profile])


def seen(guarding, cpu):
    return guarding.read_features(cpu.cpuid, cpu.xcr0)


def chosen(guarding, cpu, forced=""):
    return guarding.choose(seen(guarding, cpu), forced)


def refused(guarding, cpu, forced=""):
    """Return the sentence with which a choice is refused."""
    with pytest.raises(ImportError) as caught:
        chosen(guarding, cpu, forced)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def missing(plan, cpu):
    """Return the features for which the guard of a plan refuses a CPU, without its words."""
    guarding = guard_of(plan)
    words = guarding.lacking(guarding.TABLE["required"], seen(guarding, cpu))
    return [word.removesuffix(f" {NOT_ENABLED}") for word in words]


# The line in the package


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
    changed = insert_import(source).replace("from . import truewheel as _truewheel_guard", "order.append('guard')")
    order = []
    exec(compile(changed, "init", "exec"), {"order": order})
    assert order == ["guard", "first statement"]


def test_the_guard_is_added_to_the_package():
    plan = make_plan_of()
    members = add_guard(wheel_members(), plan, b"\x7fELF cpuid")
    assert members["toy_engine/__init__.py"].data.decode() == f'"""A toy."""\n{IMPORT}'
    own = {f"toy_engine/{HELPER}": b"\x7fELF cpuid"}
    own |= {name: each.data for name, each in wheel_members().items() if each.data[:4] == b"\x7fELF"}
    assert members[f"toy_engine/{MODULE}.py"].data.decode() == guard_source(plan, own)
    assert members[f"toy_engine/{HELPER}"] == Member(b"\x7fELF cpuid", executable=True)
    assert set(members) == {*wheel_members(), f"toy_engine/{MODULE}.py", f"toy_engine/{HELPER}"}


@pytest.mark.parametrize("plan", [make_backend_plan(), make_dispatch_plan()], ids=["one", "several"])
def test_the_guard_knows_each_backend_by_its_content(plan):
    members = add_guard(members_of(plan), plan, b"\x7fELF cpuid")
    own = {path: each.data for path, each in members.items() if each.data[:4] == b"\x7fELF"}
    assert members[f"toy_engine/{MODULE}.py"].data.decode() == guard_source(plan, own)
    table = guard_of(plan).TABLE
    for name, path, features in table["backends"]:
        (digest,) = [row[2] for row in table["files"] if row[0] == path]
        backend = next(backend for backend in plan.code.backends if backend.name == name)
        assert digest == hashlib.sha256(members[path].data).hexdigest()
        assert (path, features) == (backend.library, backend.features)


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


def test_a_package_that_has_a_module_of_that_name_is_refused():
    members = wheel_members(**{"toy_engine/truewheel.py": Member(b"")})
    with pytest.raises(RepairError, match=r"has a toy_engine/truewheel\.py of its own") as caught:
        add_guard(members, make_plan_of(), b"")
    assert "import guard" in caught.value.hint


@pytest.mark.parametrize("lost", [LOADER, "toy_engine/lib/libtoy-cpu-base.so"])
def test_a_wheel_without_one_of_its_libraries_is_refused(lost):
    plan = make_dispatch_plan()
    members = members_of(plan)
    del members[lost]
    with pytest.raises(RepairError, match=f"has no {lost}") as caught:
        add_guard(members, plan, b"")
    assert "[backends]" in caught.value.hint


# The module


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_guard_is_a_module_for_python_3_8(plan):
    source = source_of(plan)
    ast.parse(source, feature_version=(3, 8))
    assert source.endswith(START)
    assert source.splitlines()[0].startswith('"""')
    assert max(len(line) for line in source.splitlines()) <= 120


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_guard_imports_the_standard_library_alone(plan):
    names = [
        name
        for node in ast.walk(ast.parse(source_of(plan)))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert names == ["ctypes", "functools", "hashlib", "os", "sys", "collections"]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_the_same_plan_gives_the_same_module(plan):
    assert source_of(plan) == source_of(plan)
    assert guard_source(plan, dict(reversed(libraries_of(plan).items()))) == source_of(plan)


_PRINT_SOURCE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from factories import make_shipped_plan
from truewheel.repair.guard import guard_source
plan = make_shipped_plan("dispatch")
print(guard_source(plan, {{backend.library: b"0" for backend in plan.code.backends}}), end="")
"""


def test_the_module_does_not_depend_on_the_order_of_sets():
    plan = make_shipped_plan("dispatch")
    expected = guard_source(plan, {backend.library: b"0" for backend in plan.code.backends})
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _PRINT_SOURCE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected


def test_the_module_has_its_documentation_and_its_table():
    guarding = guard_of(make_dispatch_plan())
    assert "TRUEWHEEL_BACKEND" in guarding.__doc__
    assert guarding.TABLE["profile"] == "dispatch"
    assert guarding.TABLE["loader"] == LOADER
    assert [row[0] for row in guarding.TABLE["backends"]] == ["best", "good", "base"]
    assert guarding.TABLE["required"] == make_dispatch_plan().code.features


def test_the_guard_says_how_many_threads_fit(tmp_path):
    package = tmp_path / "toy_engine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "truewheel.py").write_text(source_of(make_dispatch_plan()).removesuffix(START))
    members = add_carried({}, make_dispatch_plan())
    (package / "truewheel_cores.py").write_bytes(members["toy_engine/truewheel_cores.py"].data)
    program = "import toy_engine.truewheel as it; print(it.threads({0})); print(it.threads() == it.threads(None))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = fit_threads({0})
    assert done.stdout.splitlines() == [str(found), "True"]
    assert (found.decode, found.prompt) == (1, 1)


@pytest.mark.parametrize("lost", ["TABLE = {}  # truewheel fills this in", START])
def test_a_template_that_lacks_a_line_is_a_fault(monkeypatch, tmp_path, lost):
    text = resources.files("truewheel.carried").joinpath("guard_template.py").read_text()
    (tmp_path / "guard_template.py").write_text(text.replace(lost, "pass\n"))
    monkeypatch.setattr(guard.resources, "files", lambda _package: tmp_path)
    with pytest.raises(RepairError, match="the guard template lacks the line"):
        guard_source(make_plan_of(), {})


def test_the_guard_asks_for_each_feature_of_the_plan_the_levels_and_the_backends():
    plan = make_shipped_plan("dispatch")
    rows = guard_of(plan).TABLE["features"]
    named = {*plan.code.features, *level_features("x86-64-v4")}
    assert set(rows) == named.union(*(backend.features for backend in plan.code.backends))
    assert rows["avx2"] == (7, 0, 1, 5, 6)
    assert rows["amx_int8"] == (7, 0, 3, 25, 0x60000)


# What the CPU has


@pytest.mark.parametrize("level", ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_a_cpu_of_just_the_level_lacks_nothing(level):
    plan = make_plan_of(profile=make_profile(label="level", level=level))
    assert missing(plan, Cpu(level_features(level))) == []


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_of_a_cpu_is_told(level):
    guarding = guard_of(make_plan_of())
    assert guarding.level_of(seen(guarding, Cpu(level_features(level)))) == level
    assert guarding.level_of(seen(guarding, Cpu(TABLE))) == "x86-64-v4"
    unsaved = seen(guarding, Cpu(level_features(level), xcr0=0x3))
    assert guarding.level_of(unsaved) == min(level, "x86-64-v2", key=LEVELS.index)


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


def test_a_feature_that_the_cpu_lacks_and_one_that_the_system_withholds_are_told_apart():
    guarding = guard_of(plan_for(TABLE))
    features = seen(guarding, Cpu(set(TABLE) - {"fma"}, xcr0=0x3))
    assert guarding.lacking(["fma", "avx", "sse3"], features) == ["fma", f"avx {NOT_ENABLED}"]


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


# The choice

BEST = {
    **dict.fromkeys(("Nehalem", "Westmere", "Silvermont", "Goldmont", "Tremont"), "sse42"),
    **dict.fromkeys(("Sandy Bridge", "Bulldozer"), "sandybridge"),
    **dict.fromkeys(("Ivy Bridge", "Jaguar"), "ivybridge"),
    **dict.fromkeys(("Piledriver", "Steamroller"), "piledriver"),
    **dict.fromkeys(("Haswell", "Broadwell", "Skylake", "Comet Lake", "Excavator", "Zen", "Zen 2", "Zen 3"), "haswell"),
    **dict.fromkeys(("Alder Lake", "Arrow Lake-S", "Sierra Forest", "Gracemont"), "alderlake"),
    "Skylake-X": "skylakex",
    **dict.fromkeys(("Cascade Lake", "Cooper Lake"), "cascadelake"),
    **dict.fromkeys(("Ice Lake", "Tiger Lake", "Rocket Lake", "Ice Lake-SP"), "icelake"),
    **dict.fromkeys(("Zen 4", "Zen 5"), "zen4"),
    **dict.fromkeys(("Sapphire Rapids", "Granite Rapids"), "sapphirerapids"),
}
"""The backend of the shipped wheel that each family of CPUs gets."""
TOO_OLD = {"Merom", "Penryn", "K8", "K10", "Bobcat"}


def test_every_family_of_cpus_and_every_backend_has_its_place():
    assert BEST.keys() | TOO_OLD == MODELS.keys()
    assert set(BEST.values()) == {backend.name for backend in PLANS["dispatch"].code.backends}


@pytest.mark.parametrize(("name", "backend"), BEST.items(), ids=BEST)
def test_each_cpu_gets_the_best_that_it_can_run(name, backend):
    guarding = shipped("dispatch")
    assert guarding.refusal(seen(guarding, model(name))) == ""
    found = chosen(guarding, model(name))
    assert (found.name, found.library) == (backend, f"llama_cpp/lib/libggml-cpu-{backend}.so")
    assert (found.level, found.forced) == (guarding.level_of(seen(guarding, model(name))), False)
    names = [planned.name for planned in PLANS["dispatch"].code.backends]
    assert list(found.passed_over) == names[: names.index(backend)]


@pytest.mark.parametrize("name", sorted(TOO_OLD))
def test_a_cpu_below_the_floor_is_refused_with_its_level_and_what_to_do(name):
    guarding = shipped("dispatch")
    sentence = guarding.refusal(seen(guarding, model(name)))
    lacks = sorted(level_features("x86-64-v2") - MODELS[name])
    assert sentence == (
        f"this wheel was built for x86-64-v2 CPUs; this CPU is x86-64 and lacks {', '.join(lacks)}: "
        "no portable wheel of llama-cpp-python 0.3.36 runs on less than x86-64-v2"
    )


@pytest.mark.parametrize("backend", PLANS["dispatch"].code.backends, ids=lambda backend: backend.name)
def test_just_its_features_get_a_backend_and_one_less_gets_another(backend):
    guarding = shipped("dispatch")
    assert chosen(guarding, Cpu(backend.features)).name == backend.name
    for name in backend.features:
        less = Cpu(set(backend.features) - {name})
        try:
            found = chosen(guarding, less)
        except ImportError:
            found = None
        assert found is None or found.name != backend.name


NAMED = sorted({name for backend in PLANS["dispatch"].code.backends for name in backend.features})
_SOME = st.sets(st.sampled_from(NAMED))
_MOST = st.sets(st.sampled_from(NAMED), max_size=4).map(lambda lost: set(NAMED) - lost)
_CLOSED = _SOME.map(with_implied).map(set)


def fits(backend, features, xcr0):
    """Tell, without the guard, whether a CPU can run a backend."""
    state = xcr0 or 0
    return all(name in features and state & TABLE[name].state == TABLE[name].state for name in backend.features)


@given(features=_SOME | _MOST | _CLOSED, xcr0=st.sampled_from([ALL_STATES, 0xE7, 0x7, 0x3, None]))
def test_never_one_that_the_cpu_cannot_run_and_never_a_worse_one_than_it_can(features, xcr0):
    guarding, cpu = shipped("dispatch"), Cpu(features, xcr0=xcr0)
    # test_profiles.py shows that their order is that of upstream's scores.
    able = [backend.name for backend in PLANS["dispatch"].code.backends if fits(backend, features, xcr0)]
    if not able:
        assert "no backend of this wheel runs on this CPU" in refused(guarding, cpu)
        return
    found = chosen(guarding, cpu)
    assert found.name == able[0]
    assert not found.passed_over.keys() & set(able)
    assert all(found.passed_over.values())


@given(features=_SOME | _MOST | _CLOSED, forced=st.sampled_from(sorted(set(BEST.values()))))
def test_a_forced_backend_is_that_one_or_refused(features, forced):
    guarding, cpu = shipped("dispatch"), Cpu(features)
    backend = next(backend for backend in PLANS["dispatch"].code.backends if backend.name == forced)
    if not fits(backend, features, ALL_STATES):
        sentence = refused(guarding, cpu, forced)
        assert sentence.startswith(f"TRUEWHEEL_BACKEND={forced}: this CPU (x86-64")
        for name in set(backend.features) - features:
            assert name in sentence
        return
    found = chosen(guarding, cpu, forced)
    assert (found.name, found.forced, found.passed_over) == (forced, True, {})


@pytest.mark.parametrize(
    ("xcr0", "backend", "level", "better"),
    [
        (ALL_STATES, "sapphirerapids", "x86-64-v4", ""),
        (0xE7, "zen4", "x86-64-v4", f"; sapphirerapids needs amx_int8 {NOT_ENABLED}, amx_tile {NOT_ENABLED}"),
        (0x200E7, "zen4", "x86-64-v4", f"; sapphirerapids needs amx_int8 {NOT_ENABLED}, amx_tile {NOT_ENABLED}"),
        (0x7, "alderlake", "x86-64-v3", f"; skylakex needs avx512bw {NOT_ENABLED}, avx512cd {NOT_ENABLED}, "),
        (0x67, "alderlake", "x86-64-v3", f"; skylakex needs avx512bw {NOT_ENABLED}, avx512cd {NOT_ENABLED}, "),
        (0x3, "sse42", "x86-64-v2", f"; sandybridge needs avx {NOT_ENABLED}"),
        (None, "sse42", "x86-64-v2", f"; sandybridge needs avx {NOT_ENABLED}"),
    ],
)
def test_registers_that_the_system_has_not_enabled_drop_to_a_lesser_backend_and_it_says_so(
    xcr0, backend, level, better
):
    found = chosen(shipped("dispatch"), model("Sapphire Rapids", xcr0=xcr0))
    assert found.name == backend
    assert found.why.startswith(f"the best of 11 backends that this CPU ({level}) can run{better}")


@pytest.mark.parametrize("profile", ["x86_64_v3", "x86_64_v4"])
def test_a_system_without_avx_is_told_apart_from_a_cpu_without_it(profile):
    guarding = shipped(profile)
    sentence = guarding.refusal(seen(guarding, model("Sapphire Rapids", xcr0=0x3)))
    assert "this CPU is x86-64-v2 and lacks avx " + NOT_ENABLED in sentence
    assert "install the wheel x86_64_v2 or dispatch" in sentence
    assert NOT_ENABLED not in guarding.refusal(seen(guarding, model("Nehalem")))


def test_why_names_the_next_better_backend_and_what_it_needs():
    assert chosen(shipped("dispatch"), model("Haswell")).why == (
        "the best of 11 backends that this CPU (x86-64-v3) can run; alderlake needs avx_vnni"
    )
    assert chosen(shipped("dispatch"), model("Zen 4")).passed_over == {"sapphirerapids": ["amx_int8", "amx_tile"]}


def test_a_forced_backend_says_that_it_was():
    found = chosen(shipped("dispatch"), model("Zen 4"), "haswell")
    assert (found.name, found.forced, found.why) == ("haswell", True, "TRUEWHEEL_BACKEND=haswell is set")
    assert found.level == "x86-64-v4"


def test_a_forced_backend_that_this_cpu_cannot_run_is_refused_with_those_that_it_can():
    assert refused(shipped("dispatch"), model("Ivy Bridge"), "haswell") == (
        "TRUEWHEEL_BACKEND=haswell: this CPU (x86-64-v2) cannot run that backend, it lacks avx2, bmi2, fma: "
        "choose one of ivybridge, sandybridge, sse42, or unset it"
    )
    disabled = refused(shipped("dispatch"), model("Sapphire Rapids", xcr0=0x3), "sandybridge")
    assert f"it lacks avx {NOT_ENABLED}: choose one of sse42, or unset it" in disabled


@pytest.mark.parametrize("forced", ["znver4", "Haswell", "haswell ", "x64", "../haswell", "llama_cpp/lib/evil.so"])
def test_a_forced_backend_that_nobody_made_is_refused_with_those_that_there_are(forced):
    sentence = refused(shipped("dispatch"), model("Zen 4"), forced)
    names = ", ".join(backend.name for backend in PLANS["dispatch"].code.backends)
    assert sentence == f"TRUEWHEEL_BACKEND={forced}: this wheel has no such backend; it has {names}"


@pytest.mark.parametrize("profile", PORTABLE[1:])
def test_a_wheel_with_one_backend_takes_it_where_it_is_not_refused(profile):
    guarding, plan = shipped(profile), PLANS[profile]
    found = chosen(guarding, Cpu(plan.code.features))
    assert (found.name, found.library) == (profile, "llama_cpp/lib/libggml-cpu.so")
    assert found.why == f"the only one of this wheel, made for {guarding.TABLE['made_for']}"
    assert (found.forced, found.passed_over) == (False, {})
    for name, features in MODELS.items():
        able = set(plan.code.features) <= features
        assert (guarding.refusal(seen(guarding, model(name))) == "") is able


def test_the_one_backend_may_be_forced_and_no_other():
    guarding = shipped("x86_64_v3")
    assert chosen(guarding, model("Haswell"), "x86_64_v3").forced
    assert refused(guarding, model("Haswell"), "haswell") == (
        "TRUEWHEEL_BACKEND=haswell: this wheel has no such backend; it has x86_64_v3"
    )


def test_a_wheel_without_backends_has_its_kernels_linked_in():
    guarding = guard_of(make_plan_of())
    found = chosen(guarding, Cpu(level_features("x86-64-v3")))
    assert (found.name, found.library, found.forced) == ("native", None, False)
    assert found.why == "it is linked into the engine"
    assert refused(guarding, Cpu(TABLE), "haswell") == (
        "TRUEWHEEL_BACKEND=haswell: this wheel has no such backend; it has none that can be chosen"
    )


@pytest.mark.parametrize(
    ("profile", "name", "built_for", "level", "advice"),
    [
        ("x86_64_v2", "Penryn", "x86-64-v2", "x86-64", "no portable wheel of llama-cpp-python 0.3.36 runs on less"),
        ("x86_64_v3", "Ivy Bridge", "x86-64-v3", "x86-64-v2", "install the wheel x86_64_v2 or dispatch of"),
        ("x86_64_v4", "Zen 3", "x86-64-v4", "x86-64-v3", "install the wheel x86_64_v3 or dispatch of"),
        ("x86_64_v3_vnni", "Zen 3", "x86-64-v3 with avx_vnni", "x86-64-v3", "install the wheel x86_64_v3 or"),
        ("x86_64_v3_vnni", "Zen 4", "x86-64-v3 with avx_vnni", "x86-64-v4", "install the wheel x86_64_v4 or"),
        ("x86_64_v4_vnni", "Skylake-X", "x86-64-v4 with avx512_vnni, avx512vbmi", "x86-64-v4", "x86_64_v4 or"),
    ],
)
def test_a_refusal_names_both_cpus_and_a_wheel_that_runs(profile, name, built_for, level, advice):
    guarding = shipped(profile)
    sentence = guarding.refusal(seen(guarding, model(name)))
    assert sentence.startswith(f"this wheel was built for {built_for} CPUs; this CPU is {level} and lacks ")
    assert advice in sentence
    assert "\n" not in sentence


# The import


class Engine:
    """A library that loads backends, and remembers what it was told."""

    def __init__(self, answer=1, says=()):
        self.loaded, self.listeners = [], []

        def ggml_log_set(listener, _data):
            self.listeners.append(listener)

        def ggml_backend_load(path):
            self.loaded.append(path)
            listen = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
            for text in says:
                ctypes.cast(self.listeners[-1], listen)(4, text, None)
            return answer

        self.ggml_log_set, self.ggml_backend_load = ggml_log_set, ggml_backend_load


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """Import a package with a guard on a CPU of our choice."""
    monkeypatch.delenv("TRUEWHEEL_BACKEND", raising=False)

    def load(plan, cpu, engine=None):
        folder = tmp_path / "toy_engine"
        init = {"toy_engine/__init__.py": Member(b'"""A toy."""\nWORKS = True\n')}
        for name, member in add_guard(members_of(plan, **init), plan, b"\x7fELF cpuid").items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(member.data)

        class Library:
            def __init__(self):
                self.truewheel_xcr0 = functools.partial(cpu.xcr0)
                self.truewheel_cpuid = lambda leaf, subleaf, result: result.__setitem__(
                    slice(0, 4), cpu.cpuid(leaf.value, subleaf.value)
                )

        def open_library(path):
            if path == str(folder / HELPER):
                return Library()
            assert path == str(tmp_path / LOADER)
            assert engine is not None, "no library but the helper may be opened"
            return engine

        monkeypatch.setattr(ctypes, "CDLL", open_library)
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


def test_the_package_tells_which_backend_it_has_loaded(guarded, tmp_path):
    engine = Engine()
    package = guarded(make_dispatch_plan(), model("Haswell"), engine)
    found = package.truewheel.backend()
    path = str(tmp_path / "toy_engine/lib/libtoy-cpu-good.so")
    assert (found.name, found.library, found.level) == ("good", path, "x86-64-v3")
    assert engine.loaded == [os.fsencode(path)]
    assert package.WORKS


def test_the_variable_forces_a_backend(guarded, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_BACKEND", "base")
    found = guarded(make_dispatch_plan(), model("Haswell"), Engine()).truewheel.backend()
    assert (found.name, found.forced) == ("base", True)


@pytest.mark.parametrize(("forced", "words"), [("best", "cannot run that backend"), ("none", "has no such backend")])
def test_the_variable_cannot_force_what_does_not_run(guarded, monkeypatch, forced, words):
    monkeypatch.setenv("TRUEWHEEL_BACKEND", forced)
    with pytest.raises(ImportError, match=words):
        guarded(make_dispatch_plan(), model("Haswell"))


def test_the_variable_does_not_get_around_a_refusal(guarded, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_BACKEND", "base")
    with pytest.raises(ImportError, match="this CPU is x86-64 and lacks"):
        guarded(make_dispatch_plan(), model("Penryn"))


def test_an_empty_variable_is_none(guarded, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_BACKEND", "")
    assert guarded(make_dispatch_plan(), model("Zen 4"), Engine()).truewheel.backend().name == "best"


def test_a_native_wheel_says_in_one_sentence_what_is_missing_and_what_to_do(guarded):
    with pytest.raises(ImportError) as caught:
        guarded(make_plan_of(), Cpu(level_features("x86-64-v3") - {"avx2", "fma"}))
    assert str(caught.value) == (
        "this wheel was built for the CPU of the machine that built it (haswell, x86-64-v3); "
        "this CPU is x86-64-v2 and lacks avx2, fma: install a build of toy-engine for this machine instead, "
        "made here with `truewheel build toy-engine`"
    )


def test_a_wheel_of_a_level_names_the_level(guarded):
    plan = make_backend_plan(profile=make_portable(label="v4", level="x86-64-v4"))
    with pytest.raises(ImportError) as caught:
        guarded(plan, Cpu(level_features("x86-64-v3")))
    assert str(caught.value) == (
        "this wheel was built for x86-64-v4 CPUs; this CPU is x86-64-v3 and lacks avx512bw, avx512cd, avx512dq, "
        "avx512f, avx512vl: install the wheel x86_64_v3 or dispatch of toy-engine 1.2.3 instead"
    )


# The file of a backend


@pytest.fixture
def root(tmp_path):
    """A folder with the backends of the made-up engine, as a wheel is unpacked there."""
    folder = tmp_path / "wo's größte Räder sind"
    for path, member in content_of(make_dispatch_plan()).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(member.data)
    return folder


def load(root, monkeypatch, engine=None):
    """Load the backend that a Haswell gets; no library may be opened unless an engine is given."""
    guarding = guard_of(make_dispatch_plan())

    def open_library(path):
        assert engine is not None, "a library was opened"
        assert path == str(root / LOADER)
        return engine

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    return guarding._load(str(root), chosen(guarding, model("Haswell")))


GOOD = "toy_engine/lib/libtoy-cpu-good.so"


def test_a_backend_is_loaded_from_its_own_path_and_the_engine_is_left_as_it_was(root, monkeypatch):
    engine = Engine()
    found = load(root, monkeypatch, engine)
    assert found.library == str(root / GOOD)
    assert engine.loaded == [os.fsencode(str(root / GOOD))]
    assert len(engine.listeners) == 2
    assert engine.listeners[-1] is None


def test_a_backend_that_is_not_there_is_told_before_anything_is_opened(root, monkeypatch):
    (root / GOOD).unlink()
    with pytest.raises(ImportError) as caught:
        load(root, monkeypatch)
    assert str(caught.value) == (f"{root / GOOD} cannot be read (No such file or directory): install the wheel again")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_folder_in_the_place_of_a_backend_is_told(root, monkeypatch):
    (root / GOOD).unlink()
    (root / GOOD).mkdir()
    with pytest.raises(ImportError, match=r"is not the file that came with this wheel: install the wheel again"):
        load(root, monkeypatch)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda _data: b"",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda _data: content_of(make_dispatch_plan())["toy_engine/lib/libtoy-cpu-best.so"].data,
    ],
    ids=["truncated", "longer", "empty", "one bit", "another backend"],
)
def test_a_backend_that_is_not_the_wheels_own_is_never_opened(root, monkeypatch, change):
    (root / GOOD).write_bytes(change((root / GOOD).read_bytes()))
    with pytest.raises(ImportError) as caught:
        load(root, monkeypatch)
    assert str(caught.value) == f"{root / GOOD} is not the file that came with this wheel: install the wheel again"


def test_other_backends_do_not_matter(root, monkeypatch):
    (root / "toy_engine/lib/libtoy-cpu-best.so").unlink()
    (root / "toy_engine/lib/libtoy-cpu-base.so").write_bytes(b"foreign")
    assert load(root, monkeypatch, Engine()).name == "good"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ([], "it says nothing"),
        ([b" undefined symbol: toy\n", b"\xff second\n"], "undefined symbol: toy \ufffd second"),
        ([None], "it says nothing"),
    ],
)
def test_a_backend_that_the_engine_refuses_is_told_in_its_words(root, monkeypatch, says, words):
    engine = Engine(answer=None, says=says)
    with pytest.raises(ImportError) as caught:
        load(root, monkeypatch, engine)
    assert str(caught.value) == f"the engine does not take the backend {root / GOOD}: {words}"
    assert engine.listeners[-1] is None


# Other Pythons

_IMPORT_THERE = """
import ctypes, json, sys
registers = {tuple(map(int, key.split())): value for key, value in json.loads(sys.argv[2]).items()}
class Helper:
    def __init__(self):
        def truewheel_cpuid(leaf, subleaf, result):
            result[:] = registers.get((leaf.value, subleaf.value), [0, 0, 0, 0])
        def truewheel_xcr0():
            return 0x600E7
        self.truewheel_cpuid, self.truewheel_xcr0 = truewheel_cpuid, truewheel_xcr0
class Engine:
    def __init__(self):
        def ggml_log_set(listener, data):
            self.listener = listener
        def ggml_backend_load(path):
            listen = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
            ctypes.cast(self.listener, listen)(2, b"loaded", None)
            return 1
        self.ggml_log_set, self.ggml_backend_load = ggml_log_set, ggml_backend_load
ctypes.CDLL = lambda path: Helper() if path.endswith("_truewheel_cpuid.so") else Engine()
sys.path.insert(0, sys.argv[1])
try:
    import toy_engine
except ImportError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print(json.dumps(toy_engine.truewheel.backend()._asdict()))
"""


@functools.cache
def interpreter(minor):
    """Return the path of a Python of this version, and None where there is none."""
    name = f"python3.{minor}"
    path = shutil.which(name)
    if path is None:
        return None
    # A version manager's stand-in is told which one is meant.
    environment = {**os.environ, "PYENV_VERSION": f"3.{minor}"}
    done = subprocess.run(
        [path, "-c", "import ctypes, sys; print(sys.executable)"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.mark.parametrize("minor", range(8, 16))
def test_the_guard_runs_under_every_python_that_is_here(minor, tmp_path):
    path = interpreter(minor)
    if path is None:
        pytest.skip(f"there is no Python 3.{minor}")
    plan = make_dispatch_plan()
    for name, member in add_guard(members_of(plan), plan, b"\x7fELF cpuid").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(member.data)
    guarding = guard_of(plan)
    for name in ("Zen 4", "Haswell", "Nehalem", "Penryn"):
        cpu = model(name)
        registers = {f"{leaf} {subleaf}": row for (leaf, subleaf), row in cpu.registers.items()}
        done = subprocess.run(
            [path, "-I", "-B", "-W", "error", "-c", _IMPORT_THERE, str(tmp_path), json.dumps(registers)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        if sentence := guarding.refusal(seen(guarding, cpu)):
            assert json.loads(done.stdout) == {"refused": sentence}
        else:
            expected = chosen(guarding, cpu)
            assert json.loads(done.stdout) == {
                **expected._asdict(),
                "library": str(tmp_path / expected.library),
            }


# Files that are not the wheel's

_TOUCH = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
try:
    import toy_engine
except ImportError as error:
    print(error)
else:
    print("works")
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A package whose helper is a real library, as the build compiles it, and another library beside it."""
    root = tmp_path_factory.mktemp("real")
    source = resources.files("truewheel.carried").joinpath("cpuid.c").read_text()
    (root / "cpuid.c").write_text(source)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-nostdlib", "cpuid.c", "-o", "cpuid.so"]
    subprocess.run(command, cwd=root, check=True, timeout=60)
    helper = (root / "cpuid.so").read_bytes()
    plan = make_plan_of(toolchain=make_toolchain(native_features=()))
    members = add_guard(wheel_members(**{"toy_engine/lib/libother.so": Member(helper + b"more")}), plan, helper)
    for name, member in members.items():
        (root / "wheel" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "wheel" / name).write_bytes(member.data)
    return root / "wheel"


def touch(real, path, change):
    """Import the package in a process of its own, with a file of it changed; return how it ended and what it said."""
    before = path.read_bytes()
    try:
        change(path)
        command = [sys.executable, "-I", "-B", "-c", _TOUCH, str(real)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(before)
    return done.returncode, done.stdout.strip()


def _write(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


def _put(make):
    def change(path):
        path.unlink()
        make(path)

    return change


def _for_another_machine(data):
    return data[:18] + (183).to_bytes(2, "little") + data[20:]


NOT_OURS = {
    "cut in its headers": _write(lambda data: data[:100]),
    "cut before its end": _write(lambda data: data[: len(data) // 2]),
    "cut by a byte": _write(lambda data: data[:-1]),
    "empty": _write(lambda _data: b""),
    "longer": _write(lambda data: data + b"\0"),
    "no library": _write(lambda data: b"#" * len(data)),
    "a folder": _put(lambda path: path.mkdir()),
    "a pipe": _put(os.mkfifo),
}
FLIPPED = {
    "a bit of its code": _write(lambda data: data[:-700] + bytes([data[-700] ^ 1]) + data[-699:]),
    "for another machine": _write(_for_another_machine),
}


def test_a_package_with_its_own_files_works(real):
    assert touch(real, real / "toy_engine" / HELPER, lambda _path: None) == (0, "works")


@pytest.mark.parametrize("change", [*NOT_OURS.values(), *FLIPPED.values()], ids=[*NOT_OURS, *FLIPPED])
def test_a_helper_that_is_not_the_wheels_own_is_told_in_words(real, change):
    path = real / "toy_engine" / HELPER
    said = f"{path} is not the file that came with this wheel: install the wheel again"
    assert touch(real, path, change) == (0, said)


@pytest.mark.parametrize("name", [HELPER, "lib/libother.so"])
def test_a_library_that_is_gone_is_told_in_words(real, name):
    path = real / "toy_engine" / name
    said = f"{path} cannot be read (No such file or directory): install the wheel again"
    assert touch(real, path, Path.unlink) == (0, said)


@pytest.mark.parametrize("change", [each for name, each in NOT_OURS.items() if name != "no library"])
def test_a_cut_library_that_the_engine_opens_itself_is_told_in_words(real, change):
    path = real / "toy_engine" / "lib" / "libother.so"
    said = f"{path} is not the file that came with this wheel: install the wheel again"
    assert touch(real, path, change) == (0, said)


def test_without_the_guards_look_a_cut_helper_would_end_python(real, tmp_path):
    cut = tmp_path / "cut.so"
    data = (real / "toy_engine" / HELPER).read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    command = [sys.executable, "-I", "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", str(cut)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0
