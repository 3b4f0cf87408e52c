"""Real runs on emulated CPUs, of a stand-in for an engine that does on purpose what must be found."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from factories import make_facts
from test_planted_code import compiler

import truewheel.child.programs
from truewheel.checks.emulation import check
from truewheel.child.emulated_cpus import CpuPromise, EmulatedCpu, PlannedRun, canary_codes, emulated_cpus
from truewheel.child.emulation import find_emulator, run_emulated
from truewheel.child.registry import EngineEntry
from truewheel.console import Console
from truewheel.cpu.features import feature_table
from truewheel.cpu.host import detect_host
from truewheel.cpu.levels import level_features
from truewheel.models.models import Model
from truewheel.wheel.archive import Member, read_wheel
from truewheel.wheel.writer import write_wheel

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("qemu-x86_64") is None, reason="qemu-x86_64 is not here"
)

SHAPE = Path(__file__).parents[1] / "data" / "tiny-engine" / "source" / "tiny_engine" / "__init__.py"
SOURCE = """
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
const char *tiny_system_info(void) { %s; return "CPU : "; }
void tiny_logits(int last, float *out, int count) {
    for (int number = 0; number < count; number++) out[number] = (float)((number * 37 + last) %% 251);
}
"""
AVX2 = '__asm__ volatile("vpxor %%ymm0, %%ymm0, %%ymm0" ::: "xmm0")'
REFUSAL = 'raise ImportError("this wheel was built for x86-64-v3 CPUs; this CPU lacks avx2")\n'
LEAVE = """
import os, sys
sys.setprofile(lambda frame, *_: frame.f_code.co_name == "try_canary" and os._exit(0))
"""
CPUS = {cpu.name: cpu for cpu in emulated_cpus()}
V2, V3 = level_features("x86-64-v2"), level_features("x86-64-v3")
DIST_INFO = "tiny_engine-1.0.dist-info"


@pytest.fixture
def emulate(tmp_path, monkeypatch):
    """Make a wheel with a statement in C or Python planted, and run it: the runs, and the codes that they give."""
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))

    def run(*cpus, statement="", python="", floor=frozenset()):
        source, library, model = (tmp_path / name for name in ("tiny.c", "libtiny.so", "model"))
        source.write_text(SOURCE % statement)
        model.write_bytes(b"any")
        command = [*compiler("gcc"), "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        path = tmp_path / "tiny_engine-1.0-py3-none-linux_x86_64.whl"
        members = {
            "tiny_engine/__init__.py": Member(python.encode() + SHAPE.read_bytes()),
            "tiny_engine/lib/libtiny.so": Member(library.read_bytes(), executable=True),
            f"{DIST_INFO}/METADATA": Member(b"Metadata-Version: 2.1\nName: tiny-engine\nVersion: 1.0\n"),
            f"{DIST_INFO}/WHEEL": Member(b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"),
        }
        write_wheel(path, members, DIST_INFO)
        wheel = read_wheel(path)
        runs = run_emulated(
            wheel,
            Model("any", model, "Once", "", vocabulary_round_trips=True),
            EngineEntry(name="tiny-engine", import_name="tiny_engine", driver="llama_cpp"),
            CpuPromise(floor),
            [PlannedRun(cpu) for cpu in cpus],
            host=detect_host(),
            console=Console(quiet=True),
        )
        return runs, {finding.code for finding in check(make_facts(plan=None, wheel=wheel, emulation=runs))}

    return run


def test_a_sound_wheel_passes_here_and_there(emulate):
    runs, codes = emulate(None, CPUS["Nehalem"], CPUS["Haswell"])
    assert [(run.cpu, run.outcome, run.canary) for run in runs] == [
        ("this machine", "passed", "not needed"),
        ("Nehalem", "passed", "died"),
        ("Haswell", "passed", "died"),
    ]
    assert [run.level for run in runs[1:]] == ["x86-64-v2", "x86-64-v3"]
    assert runs[0].tokens == runs[1].tokens == runs[2].tokens != ()
    assert codes == {"EMULATE-PASSED"}


def test_code_beyond_the_cpu_is_found_where_the_cpu_lacks_it_alone(emulate):
    runs, codes = emulate(CPUS["Nehalem"], CPUS["Haswell"], statement=AVX2)
    assert [(run.cpu, run.outcome) for run in runs] == [("Nehalem", "illegal"), ("Haswell", "passed")]
    assert runs[0].ending.startswith("at system-info: illegal instruction")
    assert "llama_print_system_info" in runs[0].output
    assert codes == {"EMULATE-ILLEGAL", "EMULATE-PASSED"}


@pytest.mark.parametrize(
    "statement",
    [
        "if (fork() == 0) _exit(0)",
        "socket(AF_INET, SOCK_STREAM, 0)",
        'execl("/bin/true", "true", (char *)0)',
        'popen("true", "r")',
    ],
)
def test_a_wheel_that_would_escape_is_stopped(emulate, statement):
    ((run,), codes) = emulate(CPUS["Nehalem"], statement=statement)
    assert (run.outcome, codes) == ("failed", {"EMULATE-FAILED"})
    assert run.ending == "at system-info: it tried to start a process, open a socket or reach for another process"


def test_a_refusal_in_words_and_a_wheel_that_runs_all_the_same(emulate):
    ((run,), codes) = emulate(CPUS["Nehalem"], python=REFUSAL, floor=V3)
    # With nothing that could run it, the refusal is all that was shown.
    assert (run.outcome, run.canary, codes) == ("refused", "died", {"EMULATE-PASSED", "EMULATE-UNPROVEN"})
    ((run,), codes) = emulate(CPUS["Nehalem"], floor=V3)
    assert (run.outcome, set(run.lacks)) == ("passed", V3 - V2)
    assert codes == {"EMULATE-SILENT", "EMULATE-UNPROVEN"}


def test_a_refusal_of_a_cpu_that_has_everything(emulate):
    assert emulate(CPUS["Nehalem"], python=REFUSAL, floor=V2)[1] == {"EMULATE-FAILED"}


def test_an_emulator_that_runs_what_the_cpu_lacks_is_found_out(emulate):
    everything = EmulatedCpu(name="max", family="Nehalem", canary="avx2")
    ((run,), codes) = emulate(everything)
    assert run.canary == "survived"
    assert {"avx", "avx2"} <= set(run.surplus)
    assert codes == {"EMULATE-CANARY"}


def test_a_wheel_that_leaves_before_the_canary_has_not_passed(emulate):
    ((run,), codes) = emulate(CPUS["Nehalem"], python=LEAVE)
    assert (run.canary, codes) == ("not reached", {"EMULATE-CANARY"})


@pytest.mark.parametrize("cpu", emulated_cpus(), ids=lambda cpu: cpu.name)
def test_an_emulated_cpu_is_as_the_table_says(cpu):
    places = {
        name: (place.leaf, place.subleaf, ("eax", "ebx", "ecx", "edx").index(place.register), place.bit, place.state)
        for name, place in feature_table().items()
    }
    drivers = str(Path(truewheel.child.programs.__file__).parent)
    code = f"""
import sys; sys.path.insert(0, {drivers!r})
import emulate
print(*emulate.read_features({places!r}), flush=True)
emulate.run_canary({canary_codes()[cpu.canary]!r})
print("survived")
"""
    command = [find_emulator().path, "-cpu", f"{cpu.name},check=off", sys.executable, "-I", "-S", "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGILL, done.stderr
    # A newer emulator may give it more of what its family has, and nothing else.
    assert cpu.features <= set(done.stdout.split()) <= cpu.of_family


def test_the_wheel_that_chooses_takes_the_right_backend_on_each_cpu(truewheel, engine):
    result = truewheel("build", str(engine), "dispatch", "--emulate", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)["report"]
    runs = {run["cpu"]: (run["outcome"], run["backend"]) for run in report["emulation"]}
    assert runs.pop("Penryn") == ("refused", "")
    assert runs.pop("this machine", ("passed", "haswell"))[0] == "passed"
    sse42, sandybridge, haswell = (("passed", name) for name in ("sse42", "sandybridge", "haswell"))
    assert runs == {
        "Nehalem": sse42,
        "Westmere": sse42,
        "SandyBridge": sandybridge,
        "IvyBridge": sandybridge,
        "Opteron_G5": sandybridge,
        "Haswell": haswell,
        "EPYC-Milan": haswell,
    }
    assert "EMULATE-PASSED" in {finding["code"] for finding in report["findings"]}
