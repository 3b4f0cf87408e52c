"""The environment of a build: what is let in, and what is named when it is kept out."""

import os
from pathlib import Path

import pytest

from truewheel.build.environment import build_environment, ignored_variables

SOURCE = Path("/cache/sources/toy-1.2.3-abc")
STRAY = {
    "CFLAGS": "-O0",
    "CXXFLAGS": "-march=native",
    "LDFLAGS": "-lx",
    "CMAKE_ARGS": "-DGGML_AVX=OFF",
    "CC": "tcc",
    "SOURCE_DATE_EPOCH": "1",
    "GGML_NATIVE": "OFF",
    "LLAMA_CURL": "ON",
    "SKBUILD_CMAKE_ARGS": "x",
    "CMAKE_BUILD_TYPE": "Debug",
    "LD_PRELOAD": "/x.so",
    "PYTHONPATH": "/x",
    "LANG": "de_DE.UTF-8",
    "CPATH": "/x",
    "COMPILER_PATH": "/x",
    "GCC_EXEC_PREFIX": "/x",
    "SECRET_TOKEN": "x",
}


@pytest.fixture
def _stray(monkeypatch):
    for name, value in STRAY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("TMPDIR", "/scratch")


def make(planned=None, extra=None):
    return build_environment(planned or {}, source=SOURCE, search_path="/tools:/bin", extra=extra or {})


@pytest.mark.usefixtures("_stray")
def test_stray_variables_are_kept_out():
    assert not set(STRAY) & set(make())


@pytest.mark.usefixtures("_stray")
def test_what_programs_need_is_let_in():
    environment = make()
    assert environment["HOME"] == "/home/somebody"
    assert environment["TMPDIR"] == "/scratch"
    assert environment["PATH"] == "/tools:/bin"
    assert environment["LC_ALL"] == "C.UTF-8"


@pytest.mark.usefixtures("_stray")
def test_nothing_else_is_let_in():
    allowed = {
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "LD_LIBRARY_PATH",
        "PATH",
        "LC_ALL",
    }
    assert set(make()) <= {*allowed, "ZIG_GLOBAL_CACHE_DIR"}


def test_a_variable_that_is_not_set_is_not_made_up(monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    assert "TMPDIR" not in make()


def test_the_plans_variables_are_placed():
    environment = make({"GIT_CEILING_DIRECTORIES": "{sources}", "LC_ALL": "C"})
    assert environment["GIT_CEILING_DIRECTORIES"] == "/cache/sources"
    assert environment["LC_ALL"] == "C"


def test_the_compilers_variables_come_last():
    assert make({"CC": "planned"}, {"CC": "/usr/bin/gcc", "PATH": "/only"})["CC"] == "/usr/bin/gcc"


@pytest.mark.usefixtures("_stray")
def test_variables_that_would_change_another_build_are_named_in_order():
    assert [name for name in ignored_variables(os.environ) if name in STRAY] == [
        "CC",
        "CFLAGS",
        "CMAKE_ARGS",
        "CMAKE_BUILD_TYPE",
        "CPATH",
        "CXXFLAGS",
        "GGML_NATIVE",
        "LDFLAGS",
        "LD_PRELOAD",
        "LLAMA_CURL",
        "SKBUILD_CMAKE_ARGS",
        "SOURCE_DATE_EPOCH",
    ]


@pytest.mark.parametrize(
    "environ", [{}, {"CFLAGS": ""}, {"HOME": "/x", "MY_CFLAGS": "x", "LLAMA": "x", "ggml_native": "x"}]
)
def test_other_variables_are_not_named(environ):
    assert ignored_variables(environ) == []
