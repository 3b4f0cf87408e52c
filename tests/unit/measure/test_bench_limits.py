"""What the machine can do at most: which kernels, how the program is made and kept, and what is made of its output."""

import json
import os
import re
from importlib import resources

import msgspec
import pytest
from factories import make_host, make_toolchain

from truewheel.console import Console
from truewheel.cpu.features import feature_table, with_implied
from truewheel.cpu.levels import level_features
from truewheel.errors import BuildError, FetchError
from truewheel.measure import limits_program
from truewheel.measure.limits import (
    FRONTS,
    KERNELS,
    LimitsError,
    choose_bytes,
    choose_kernels,
    choose_threads,
    last_level_cache,
    make_limits,
    measure_limits,
    order_cpus,
    read_output,
)
from truewheel.measure.limits_program import OPTIONAL, build_program, program_key

QUIET = Console(quiet=True)
SOURCE = resources.files("truewheel.measure").joinpath("kernels/limits.c").read_text()
COMPILERS_NAMES = {"avx512vnni": "avx512_vnni", "avxvnni": "avx_vnni", "amx-tile": "amx_tile", "amx-int8": "amx_int8"}
PROGRAM = """\
#!/bin/sh
echo "$@" >> "$0.calls"
for kernel in $(echo "$1" | tr , ' '); do
    for work in 90 100 80; do echo "{\\"kernel\\": \\"$kernel\\", \\"work\\": $work$2, \\"seconds\\": 0.5}"; done
done
echo "{\\"bytes\\": $6, \\"bound\\": $2}"
"""


def make_compiler(folder, program=PROGRAM, refuses_without=""):
    """Return a compiler whose every program is `program`, and that refuses to work without one option."""
    folder.mkdir()
    compiler = folder / "cc"
    (folder / "program").write_text(program)
    wanted = f'case "$*" in *{refuses_without}*) ;; *) echo "limits.c:1: error: no such target"; exit 1 ;; esac'
    compiler.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/calls\n{wanted}\ncp {folder}/program limits && chmod +x limits\n'
    )
    compiler.chmod(0o755)
    return make_toolchain(cc=str(compiler))


def calls(path):
    return path.read_text().splitlines()


def test_each_kernel_needs_just_what_it_is_compiled_for():
    found = dict(re.findall(r"^(?:INT8|F32|READ)\((\w+), \"([\w,-]+)\"", SOURCE, re.MULTILINE))
    found |= {name: needs for needs, name in re.findall(r"FEATURES\(\"([\w,-]+)\"\) uint64_t (\w+)\(", SOURCE)}
    compiled = {
        name.replace("_", "-", 1): {COMPILERS_NAMES.get(need, need) for need in needs.split(",")} - {"sse2"}
        for name, needs in found.items()
    }
    assert compiled == {name: set(needs) for name, needs in KERNELS.items()}
    assert set(re.findall(r"^#ifndef (WITHOUT_\w+)", SOURCE, re.MULTILINE)) == set(OPTIONAL)
    listed = set(re.findall(r'(?:READS\(|\.name = )"([\w-]+)"', SOURCE))
    assert listed == set(KERNELS)


def test_nothing_but_the_kernels_is_run_that_this_cpu_has():
    assert choose_kernels(()) == ("read-sse2", "read-sse2-fronts", "f32-sse2")
    second = choose_kernels(level_features("x86-64-v2"))
    assert second == ("read-sse2", "read-sse2-fronts", "int8-ssse3", "f32-sse2")
    third = choose_kernels(level_features("x86-64-v3"))
    assert third == ("read-avx2", "read-avx2-fronts", "int8-avx2", "int8-ssse3", "f32-fma", "f32-sse2")
    fourth = choose_kernels({*level_features("x86-64-v4"), "avx512_vnni", "amx_int8"})
    # amx_tile is missing: the system may keep it off.
    assert fourth[:3] == ("read-avx512", "read-avx512-fronts", "int8-avx512_vnni")
    assert choose_kernels(feature_table())[2:] == tuple(name for name in KERNELS if not name.startswith("read-"))


@pytest.mark.parametrize("missing", sorted(set().union(*KERNELS.values())))
def test_a_feature_that_is_missing_takes_all_kernels_along_that_need_it(missing):
    chosen = choose_kernels(set(feature_table()) - {missing})
    assert not [name for name in chosen if missing in with_implied(KERNELS[name.removesuffix(FRONTS)])]
    assert chosen[-1] == "f32-sse2"


def test_the_usual_numbers_of_threads_are_one_half_and_all():
    assert [choose_threads(cores) for cores in (1, 2, 3, 8, 64)] == [(1,), (1, 2), (1, 2, 3), (1, 4, 8), (1, 32, 64)]


def test_the_first_cpus_are_on_cores_of_their_own():
    assert order_cpus({0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}) == (0, 1, 4, 5)
    assert order_cpus({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}) == (0, 2, 1, 3)
    assert order_cpus({7: "7", 3: "3"}) == (3, 7)


def write_cache(system, cpu, index, level, size, shared):
    folder = system / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
        (folder / name).write_text(f"{text}\n")


def test_every_last_level_cache_counts_once(tmp_path):
    for cpu, shared in ((0, "0-1"), (1, "0-1"), (2, "2-3")):
        write_cache(tmp_path, cpu, 0, 1, "48K", cpu)
        write_cache(tmp_path, cpu, 3, 3, "16M", shared)
    write_cache(tmp_path, 9, 0, "", "much", "")
    assert last_level_cache([0, 1], tmp_path) == 16 << 20
    assert last_level_cache([0, 1, 2], tmp_path) == 32 << 20
    assert last_level_cache([8, 9], tmp_path) == 0


def test_far_more_is_read_than_caches_hold_where_memory_allows():
    assert choose_bytes(0, 64 << 30) == 512 << 20
    assert choose_bytes(100 << 20, 64 << 30) == 800 << 20
    assert choose_bytes(100 << 20, 1 << 30) == 512 << 20
    assert choose_bytes(1 << 20, 256 << 20) == 128 << 20


OUTPUT = """\
{"kernel": "int8-amx", "failed": "the system gives no permission to use tiles"}
{"kernel": "read-avx2", "work": 1000, "seconds": 0.5}
{"kernel": "read-avx2-fronts", "work": 3000, "seconds": 0.5}
{"kernel": "int8-avx2", "work": 4000, "seconds": 0.5}
{"kernel": "int8-ssse3", "work": 1500, "seconds": 0.5}
{"kernel": "f32-fma", "work": 700, "seconds": 0.5}
{"kernel": "read-avx2", "work": 1200, "seconds": 0.5}
{"kernel": "int8-avx2", "work": 3900, "seconds": 0.5}
{"bytes": 4096, "bound": 2}
"""
DAMAGED = """\
{"kernel": "int8-avx2", "work": 99999
{"kernel": "int8-avx2", "work": "99999", "seconds": 0.5}
{"kernel": "int8-avx2", "work": -99999, "seconds": -0.5}
{"kernel": "int8-avx2", "work": 99999, "seconds": 0}
{"kernel": "int8-avx2", "work": 99999, "seconds": NaN}
{"kernel": "int8-avx2", "work": 99999, "seconds": 1e-320}
{"kernel": "int8-abacus", "work": 99999, "seconds": 0.5}
{"kernel": "int8-abacus", "failed": "too old"}
[99999]
99999
\x00\ufffd
"""


def test_of_several_windows_the_best_counts():
    reading = read_output(OUTPUT)
    assert reading.rates == {
        "read-avx2": 2400,
        "read-avx2-fronts": 6000,
        "int8-avx2": 8000,
        "int8-ssse3": 3000,
        "f32-fma": 1400,
    }
    assert reading.failures == {"int8-amx": "the system gives no permission to use tiles"}
    assert (reading.bytes, reading.bound, reading.ran) == (4096, 2, 1.0)


def test_the_most_disturbed_of_the_best_windows_is_remembered():
    row = '{{"kernel": "{}", "work": {}, "seconds": 0.5, "ran": {}}}'
    rows = [("int8-avx2", 90, 0.3), ("int8-avx2", 100, 0.9), ("f32-fma", 10, 0.99), ("f32-fma", 9, 0.2)]
    assert read_output("\n".join(row.format(*each) for each in rows)).ran == 0.9


def test_damaged_lines_change_nothing():
    assert read_output(DAMAGED + OUTPUT) == read_output(OUTPUT + DAMAGED) == read_output(OUTPUT)
    assert read_output(DAMAGED).rates == {}


def test_of_each_kind_the_best_kernel_is_the_limit():
    limits = make_limits(2, read_output(OUTPUT))
    assert msgspec.to_builtins(limits) == {
        "threads": 2,
        "read": 6000,
        "int8": 8000,
        "int8-kernel": "avx2",
        "f32": 1400,
        "f32-kernel": "fma",
        "others": {"ssse3": 3000},
    }


def test_a_kind_without_a_figure_is_no_limit_of_zero():
    rows = [row for row in OUTPUT.splitlines() if '"work"' not in row or "int8" not in row]
    with pytest.raises(LimitsError, match="no int8 kernel gave a figure: int8-amx: the system gives no permission"):
        make_limits(2, read_output("\n".join(rows)))
    with pytest.raises(LimitsError, match="no read kernel gave a figure: this CPU runs none of them"):
        make_limits(2, read_output(""))


def test_a_program_is_kept_by_source_compiler_and_options(tmp_path):
    toolchain = make_compiler(tmp_path / "a")
    key = program_key(b"int main;", toolchain)
    assert key == program_key(b"int main;", toolchain)
    others = {program_key(b"int main ;", toolchain)}
    others |= {
        program_key(b"int main;", msgspec.structs.replace(toolchain, **change))
        for change in ({"version": "13.3.0"}, {"kind": "clang"}, {"kind": "zig"}, {"target": "x86_64-linux-gnu.2.17"})
    }
    others.add(program_key(b"int main;", make_compiler(tmp_path / "b")))
    os.utime(toolchain.cc, ns=(1, 1))
    others.add(program_key(b"int main;", toolchain))
    assert len(others) == 7
    assert key not in others


def test_a_program_is_compiled_once_and_nothing_is_left_behind(tmp_path):
    toolchain = make_compiler(tmp_path / "compiler")
    folder = tmp_path / "cache" / "bench"
    program = build_program(toolchain, folder, QUIET)
    assert build_program(toolchain, folder, QUIET) == program
    assert calls(tmp_path / "compiler" / "calls") == ["-O2 -std=c11 -pthread -march=x86-64 limits.c -o limits"]
    assert sorted(folder.iterdir()) == [program, program.with_name(f"{program.name}.seal")]
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize("option", OPTIONAL)
def test_what_a_compiler_is_too_old_for_is_left_out_and_nothing_else(tmp_path, option):
    toolchain = make_compiler(tmp_path / "compiler", refuses_without=option)
    program = build_program(toolchain, tmp_path / "bench", QUIET)
    last = calls(tmp_path / "compiler" / "calls")[-1]
    assert program.read_text() == PROGRAM
    assert [word for word in last.split() if word.startswith("-D")] == [f"-D{option}"]


def test_a_compiler_that_refuses_all_is_an_error_and_leaves_nothing(tmp_path):
    toolchain = make_compiler(tmp_path / "compiler", refuses_without="-fmagic")
    with pytest.raises(BuildError, match=r"gcc 13\.2\.0 cannot compile the kernels: limits\.c:1: error: no such"):
        build_program(toolchain, tmp_path / "bench", QUIET)
    assert list((tmp_path / "bench").iterdir()) == []


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bench"


def test_the_program_is_asked_for_what_this_cpu_runs_on_the_cpus_that_are_named(tmp_path, own_cache, capsys):
    toolchain = make_compiler(tmp_path / "compiler")
    found = measure_limits((1, 2), make_host(), Console(), cpus=(3, 5), seconds=0.5, windows=3, toolchain=toolchain)
    assert [(each.threads, each.read, each.int8_kernel, each.f32_kernel) for each in found] == [
        (1, 2002, "avx2", "fma"),
        (2, 2004, "avx2", "fma"),
    ]
    assert found[1].others == {"ssse3": 2004, "sse2": 2004}
    rows = [row.split() for row in calls(next(path for path in own_cache.iterdir() if path.suffix == ".calls"))]
    kernels = ",".join(choose_kernels(make_host().features))
    assert [row[:5] for row in rows] == [[kernels, "1", "3", "0.5", "3"], [kernels, "2", "3,5", "0.5", "3"]]
    said = capsys.readouterr().err
    assert f"2 threads read {int(rows[1][5]) >> 20} MiB of memory again and again" in said
    assert "measuring what this machine can do: 36 of 36" in said


@pytest.mark.usefixtures("own_cache")
def test_what_could_not_be_done_is_said(tmp_path, capsys):
    failed = json.dumps({"kernel": "int8-avx2", "failed": "the compiler is too old for it"})
    program = PROGRAM.replace('\\"bound\\": $2', '\\"bound\\": 0') + f"echo '{failed}'\n"
    program = program.replace('\\"seconds\\": 0.5', '\\"seconds\\": 0.5, \\"ran\\": 0.7')
    measure_limits((2,), make_host(), Console(), windows=1, toolchain=make_compiler(tmp_path / "compiler", program))
    said = capsys.readouterr().err
    assert "int8-avx2 is not measured: the compiler is too old for it" in said
    assert "only 0 of 2 threads could be bound to a CPU" in said
    assert "warning: 2 threads: something else took up to 30% of the CPU time even in the best windows" in said


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("#!/bin/sh\nkill -ILL $$\n", "died by SIGILL"),
        ("#!/bin/sh\necho int8-avx2 computes wrongly >&2; exit 1\n", "failed: int8-avx2 computes wrongly"),
        ("#!/bin/sh\nexit 3\n", "failed: exit code 3"),
        ("no program", "failed: .*Exec format error"),
        ("#!/bin/sh\necho nothing\n", "no read kernel gave a figure"),
    ],
)
def test_a_program_that_fails_is_an_error_in_words(tmp_path, program, words):
    with pytest.raises(LimitsError, match=words):
        measure_limits((1,), make_host(), QUIET, toolchain=make_compiler(tmp_path / "compiler", program))


def raise_fetch(*_, **__):
    raise FetchError("ziglang cannot be had", hint="go online")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("find", "words"),
    [
        (lambda *_, **__: (None, []), "no compiler for the kernels: none is on this machine"),
        (
            lambda *_, **__: (None, [make_toolchain(refusal="makes code that dies")]),
            r"no compiler for the kernels: gcc 13\.2\.0: makes code that dies",
        ),
        (raise_fetch, "ziglang cannot be had"),
    ],
)
def test_without_a_compiler_there_is_an_error_that_the_caller_can_tell(monkeypatch, find, words):
    monkeypatch.setattr(limits_program, "find_toolchain", find)
    with pytest.raises(LimitsError, match=words):
        measure_limits((1,), make_host(), QUIET)


def test_a_cache_folder_that_is_none_and_a_compiler_that_is_gone_are_errors_too(tmp_path, monkeypatch):
    toolchain = make_compiler(tmp_path / "compiler")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(LimitsError, match="cannot be measured"):
        measure_limits((1,), make_host(), QUIET, toolchain=toolchain)
    with pytest.raises(LimitsError, match="cannot be measured"):
        measure_limits((1,), make_host(), QUIET, toolchain=make_toolchain(cc=str(tmp_path / "gone")))


def test_other_machines_have_no_kernels():
    with pytest.raises(LimitsError, match="no kernels for Linux on aarch64"):
        measure_limits((1,), make_host(machine="aarch64"), QUIET)
