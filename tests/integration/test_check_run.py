"""`truewheel check --run`: a library tells what it was compiled with, and is compared with what its code is."""

import json
import sys
import sysconfig
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from factories import DIST_INFO, LIBRARY, wheel_members
from test_planted_code import compiler

from truewheel import process
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

FILENAME = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
SOURCE = """
#include <stdlib.h>
const char *llama_print_system_info(void) { %s; return "CPU : AVX2 = 1 | "; }
float scale(float x) { return x * 2; }
"""


@pytest.fixture
def check(tmp_path, truewheel):
    """Compile a library that says that it has AVX2, and check its wheel."""

    def run(statement="", *flags):
        source, library = tmp_path / "toy.c", tmp_path / "libtoy-cpu.so"
        source.write_text(SOURCE % statement)
        command = [*compiler("zig"), "-O2", "-shared", "-fPIC", "-s", *flags, "-o", str(library), str(source)]
        done = process.run(command, timeout=300)
        assert done.returncode == 0, done.output
        members = wheel_members(**{LIBRARY: Member(library.read_bytes(), executable=True)})
        write_wheel(tmp_path / FILENAME, members, DIST_INFO)
        result = truewheel("check", "--run", "--json", str(tmp_path / FILENAME))
        report = json.loads(result.stdout)
        return {finding["code"]: finding["message"] for finding in report["findings"]}

    return run


def test_a_library_that_says_what_it_is_not(check):
    codes = check()
    assert "AVX2 = 1" in codes["FLAGS-RUN"]
    assert "avx2" in codes["FLAGS-RUN-DIFFERS"]


def test_a_library_that_ends_its_process(check):
    assert "died by SIGABRT" in check("abort()")["FLAGS-RUN-FAILED"]


def test_a_library_that_would_start_a_process(check):
    codes = check('system("true")')
    assert "FLAGS-RUN" not in codes or "FLAGS-RUN-FAILED" in codes


@pytest.mark.skipif(sysconfig.get_platform() != "linux-x86_64", reason="for x86-64 alone")
def test_nothing_of_the_wheel_runs_without_being_asked(tmp_path, truewheel, check):
    check("abort()")
    report = json.loads(truewheel("check", "--json", str(tmp_path / FILENAME)).stdout)
    assert report["told"] == []
    assert any("was run" in sentence for sentence in report["unchecked"])
