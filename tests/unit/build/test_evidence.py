"""What a build leaves behind: CMake's cache and the compile commands."""

import json

import pytest

from truewheel.build.evidence import CrateUnit, read_crate_unit, read_evidence

CACHE = """\
# This is the CMakeCache file.
//Path to a program.
CMAKE_AR:FILEPATH=/usr/bin/ar
//Whether
GGML_AVX2:BOOL=ON
GGML_EMPTY:STRING=
GGML_TEXT:STRING=a=b:c # d
LLAMA_UNTYPED:UNINITIALIZED=OFF
CMAKE_AR-ADVANCED:INTERNAL=1

nonsense
"""


@pytest.fixture
def read(tmp_path):
    """Write a build folder and read its evidence."""

    def call(cache=None, commands=None):
        if cache is not None:
            (tmp_path / "CMakeCache.txt").write_text(cache)
        if commands is not None:
            (tmp_path / "compile_commands.json").write_text(json.dumps(commands))
        return read_evidence(tmp_path, tmp_path / "source")

    return call


def unit(command, file="/elsewhere/x.c"):
    return {"directory": "/b", "file": file, "command": command, "output": "x.o"}


def test_a_build_that_left_nothing(read):
    assert read() == ({}, (), ())


def test_the_cache_is_read_without_comments(read):
    assert read(CACHE).cmake_cache == {
        "CMAKE_AR": "/usr/bin/ar",
        "GGML_AVX2": "ON",
        "GGML_EMPTY": "",
        "GGML_TEXT": "a=b:c # d",
        "LLAMA_UNTYPED": "OFF",
        "CMAKE_AR-ADVANCED": "1",
    }


def test_files_of_the_source_are_named_relative_to_it(read, tmp_path):
    units = read(commands=[unit("cc -c x", str(tmp_path / "source/a/x.c")), unit("cc -c x")]).units
    assert [found.file for found in units] == ["a/x.c", "x.c"]


@pytest.mark.parametrize(
    ("command", "march", "features"),
    [
        ("cc -O3 -c x.c", (), ()),
        ("cc -march=native -O3 -c x.c", ("native",), ()),
        ("cc -march=native -c x.c -march=x86-64", ("native", "x86-64"), ()),
        ("cc -mcpu=znver4 -mtune=generic -c x.c", ("znver4",), ()),
        ("cc -msse4.2 -mno-avx -m64 -c x.c", (), ("-msse4.2", "-mno-avx", "-m64")),
        ("cc '-DTEXT=a -march=native' -c x.c", (), ()),
    ],
)
def test_isa_options_are_taken_from_the_command(read, command, march, features):
    (found,) = read(commands=[unit(command)]).units
    assert (found.file, found.march, found.features, found.target) == ("x.c", march, features, "x.o")


def test_other_options_are_taken_from_the_command_in_order(read):
    (found,) = read(commands=[unit("cc -O0 -g -DNDEBUG -fPIC -O3 -std=c11 -UNDEBUG -c x.c")]).units
    assert found.optimization == ("-O0", "-O3")
    assert found.other == ("-g", "-DNDEBUG", "-fPIC", "-std=c11", "-UNDEBUG")
    assert found.language == ".c"


TARGET = "x86_64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        (
            f"     Running `/x/rustc --crate-name a b.rs -C opt-level=3 -Ctarget-feature=+avx2 --target {TARGET}`",
            CrateUnit("a", ("opt-level=3", "target-feature=+avx2")),
        ),
        ("     Running `/x/rustc --crate-name build_script_build build.rs -C opt-level=0`", None),
        (f"     Running `/x/rustc --target {TARGET} b.rs`", None),
        (f"   Compiling a v1.0 --target {TARGET}", None),
        ("     Running `/x/rustc --crate-name 'a`", None),
        ("", None),
    ],
)
def test_a_call_of_rustc_is_read(line, unit):
    assert read_crate_unit(line, TARGET) == unit
