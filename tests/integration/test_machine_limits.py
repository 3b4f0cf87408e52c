"""What the machine can do at most, with real compilers: what their code is, and what the program measures here."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections import Counter
from typing import NamedTuple

import msgspec
import pytest

from truewheel.binary.code import read_code
from truewheel.binary.decode import find_stretches
from truewheel.binary.image import ElfImage
from truewheel.config.locations import cache_root
from truewheel.console import Console
from truewheel.cpu.features import with_implied
from truewheel.cpu.host import detect_host
from truewheel.errors import TruewheelError
from truewheel.machine.probe import candidates
from truewheel.measure.limits import KERNELS, choose_kernels, measure_limits
from truewheel.measure.limits_program import OPTIONAL, build_program, find_compiler

QUIET = Console(quiet=True)
HOST = detect_host()
CHAINED = {"VPMADDUBSW": 8, "VPMADDWD": 8, "VPADDD": 8}
LOOPS = {
    "int8_amx": {"TDPBUSD": 6},
    "int8_avx512_vnni": {"VPDPBUSD": 12},
    "int8_avx_vnni": {"VPDPBUSD": 12},
    "int8_avx2": CHAINED,
    "int8_ssse3": {name.removeprefix("V"): count for name, count in CHAINED.items()},
    "f32_avx512": {"VFMADDPS": 12},
    "f32_fma": {"VFMADDPS": 12},
    "f32_sse2": {"MULPS": 12, "ADDPS": 12},
    "read_avx512": {"VPADDQ": 8},
    "read_avx2": {"VPADDQ": 16},
    "read_sse2": {"PADDQ": 32},
}
"""What stands in the loop of each kernel at least; whoever reads has also as many loads as cache lines need."""
REGISTERS = {"avx512": "zmm", "avx512_vnni": "zmm", "amx": "tmm", "sse2": "xmm", "ssse3": "xmm"}

pytestmark = pytest.mark.skipif(HOST.machine != "x86_64", reason="the kernels are for x86-64")


class Loop(NamedTuple):
    """A loop: how often each instruction stands there, and what vectors they work on."""

    counts: Counter[str]
    loads: int
    registers: set[str]


@pytest.fixture(scope="module")
def toolchain():
    try:
        return find_compiler(HOST, QUIET)
    except TruewheelError as error:
        pytest.skip(error.message)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    # zig builds its own start files once; they are the same for every test.
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(cache_root() / "zig" / "global"))
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def compilers():
    return [found for kind in ("clang", "gcc", "zig") for found in candidates(kind)]


def find_loop(image, stretch, wanted):
    """Return the loop, of those without another one in them, that has most of the wanted instructions."""
    from iced_x86 import Decoder, FlowControl

    code = list(Decoder(64, image.read(stretch.start, stretch.end - stretch.start), ip=stretch.start))
    back = [
        (each.near_branch_target, each.ip)
        for each in code
        if each.flow_control == FlowControl.CONDITIONAL_BRANCH and stretch.start <= each.near_branch_target <= each.ip
    ]
    innermost = [
        loop for loop in back if not any(loop[0] <= at and end <= loop[1] for at, end in back if (at, end) != loop)
    ]
    loops = [read_loop([each for each in code if start <= each.ip <= end]) for start, end in innermost]
    return max(loops, key=lambda loop: sum(loop.counts[name] for name in wanted))


def read_loop(body):
    from iced_x86 import Formatter, FormatterSyntax, MemorySizeOptions, Mnemonic, OpKind

    names = {getattr(Mnemonic, name): name for name in dir(Mnemonic) if name[:1].isupper()}
    formatter = Formatter(FormatterSyntax.INTEL)
    formatter.memory_size_options = MemorySizeOptions.NEVER
    # Which operand of a fused multiply-add is overwritten is the compiler's choice.
    counts = Counter(re.sub(r"^(VFMADD)\d+", r"\1", names[each.mnemonic]) for each in body)
    loads = sum(
        each.mnemonic not in (Mnemonic.LEA, Mnemonic.NOP)
        and any(each.op_kind(index) == OpKind.MEMORY for index in range(each.op_count))
        for each in body
    )
    texts = [formatter.format(each) for each in body]
    return Loop(counts, loads, {name for name in ("xmm", "ymm", "zmm", "tmm") if name in " ".join(texts)})


@pytest.mark.parametrize("compiler", compilers(), ids=lambda compiler: f"{compiler.kind}-{compiler.version}")
def test_the_loops_are_what_they_are_called_and_all_else_is_for_any_cpu(compiler, tmp_path):
    program = build_program(compiler, tmp_path / "bench", QUIET)
    image = ElfImage(program.read_bytes())
    places = {stretch.name: stretch for stretch in find_stretches(image)}
    assert places.keys() >= LOOPS.keys()
    for name, expected in LOOPS.items():
        loop = find_loop(image, places[name], expected)
        kind, _, unit = name.partition("_")
        assert all(loop.counts[mnemonic] >= count for mnemonic, count in expected.items()), (name, loop)
        assert loop.registers == {REGISTERS.get(unit, "ymm")}, (name, loop)
        if kind == "read":
            assert loop.loads >= 8 * {"avx512": 1, "avx2": 2, "sse2": 4}[unit], (name, loop)
        else:
            assert loop.loads == 0, (name, loop)
            # Nothing else keeps the pipes busy: counting, and copies where an instruction overwrites its operand.
            others = sum(loop.counts.values()) - sum(loop.counts[mnemonic] for mnemonic in expected)
            assert others <= 3 + loop.counts["MOVDQA"], (name, loop)
    for kernel in read_code(image).kernels:
        name = kernel.name.replace("_", "-", 1)
        assert name in KERNELS, kernel
        assert set(kernel.features) <= with_implied(KERNELS[name]), kernel


@pytest.mark.alone
def test_the_figures_are_figures_and_only_kernels_of_this_cpu_run(toolchain, own_cache):
    one, two = measure_limits((1, 2), HOST, QUIET, seconds=0.05, windows=5, toolchain=toolchain)
    for limits in (one, two):
        figures = (limits.read, limits.int8, limits.f32, *limits.others.values())
        assert all(math.isfinite(figure) and figure > 0 for figure in figures)
        assert limits.int8 >= max(limits.others.get(name, 0.0) for name in ("avx512_vnni", "avx2", "ssse3"))
        ran = {f"int8-{limits.int8_kernel}", f"f32-{limits.f32_kernel}"}
        ran |= {name for name in KERNELS if name.partition("-")[2] in limits.others and not name.startswith("read-")}
        possible = {name for name in choose_kernels(HOST.features) if not name.startswith("read-")}
        assert ran <= possible
        # The system may refuse tiles to programs, and the compiler may be too old for two of them.
        assert possible - ran <= {"int8-amx", "int8-avx_vnni"}
    assert two.read > one.read / 2
    assert two.int8 > one.int8 / 2
    assert two.f32 > one.f32 / 2
    assert sorted(path.suffix for path in (own_cache / "bench").glob("limits-*")) == ["", ".seal"]


def test_a_cpu_that_lacks_features_is_asked_for_nothing_that_needs_them(toolchain, own_cache):
    assert own_cache
    old = msgspec.structs.replace(HOST, features=("ssse3",))
    (limits,) = measure_limits((1,), old, QUIET, seconds=0.02, windows=2, toolchain=toolchain)
    assert (limits.int8_kernel, limits.f32_kernel, limits.others) == ("ssse3", "sse2", {})


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="there is no emulator")
def test_it_runs_on_a_cpu_with_nothing_beyond_the_first_level(toolchain, tmp_path):
    program = build_program(toolchain, tmp_path / "bench", QUIET)
    command = ["qemu-x86_64", "-cpu", "qemu64,-sse3,-ssse3,-sse4.1,-sse4.2,-popcnt", str(program)]
    command += ["read-sse2,read-sse2-fronts,f32-sse2", "1", "0", "0.01", "1", "4000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert [row["kernel"] for row in rows[:-1]] == ["read-sse2", "read-sse2-fronts", "f32-sse2"]


def test_a_compiler_that_is_too_old_for_a_kernel_makes_the_others(toolchain, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-DWITHOUT_AVX_VNNI*) ;; *) echo "error: avxvnni is unknown"; exit 1 ;; esac\n'
        f'exec {toolchain.cc} "$@"\n'
    )
    compiler.chmod(0o755)
    old = msgspec.structs.replace(toolchain, cc=str(compiler))
    program = build_program(old, tmp_path / "bench", QUIET)
    symbols = {stretch.name for stretch in find_stretches(ElfImage(program.read_bytes()))}
    assert LOOPS.keys() - symbols == {"int8_avx_vnni"}
    command = [str(program), "int8-avx_vnni,f32-sse2", "1", "0", "0.01", "1", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(row) for row in done.stdout.splitlines()]
    assert rows[0] == {"kernel": "int8-avx_vnni", "failed": "the compiler is too old for it"}
    assert rows[1]["kernel"] == "f32-sse2"
    assert rows[1]["work"] > 0


def test_all_that_may_be_left_out_leaves_a_program(toolchain, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {toolchain.cc} {" ".join(f"-D{name}" for name in OPTIONAL)} "$@"\n')
    compiler.chmod(0o755)
    program = build_program(msgspec.structs.replace(toolchain, cc=str(compiler)), tmp_path / "bench", QUIET)
    symbols = {stretch.name for stretch in find_stretches(ElfImage(program.read_bytes()))}
    assert LOOPS.keys() - symbols == {"int8_avx_vnni", "int8_amx"}
