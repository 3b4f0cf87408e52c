"""What the programs that we ask and fetch with are given: nothing that decides what they say or run."""

import pytest

from truewheel.machine.index import pip_environment
from truewheel.machine.tools import on_machine

KEPT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "https_proxy", "NO_PROXY", "REQUESTS_CA_BUNDLE", "NETRC")
DROPPED = ("PIP_TARGET", "PIP_NO_DEPS", "LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "GITHUB_TOKEN", "CC")


@pytest.mark.parametrize("name", KEPT)
def test_pip_is_told_where_packages_are(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert pip_environment()[name] == "x"


@pytest.mark.parametrize("name", DROPPED)
def test_pip_is_told_nothing_else(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert name not in pip_environment()


def test_a_version_is_what_a_program_says_and_not_what_the_loader_says(monkeypatch, tmp_path):
    program = tmp_path / "cmake"
    program.write_text('#!/bin/sh\necho "ld.so: object /lib/none-9.9.9.so: ignored" >&2\necho "cmake version 4.1.2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert on_machine("cmake").version == "4.1.2"


def test_a_library_to_load_first_changes_nothing(monkeypatch, tmp_path):
    program = tmp_path / "cmake"
    program.write_text('#!/bin/sh\necho "cmake version 4.1.${LD_PRELOAD:-2}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("LD_PRELOAD", "/lib/none-9.9.9.so")
    assert on_machine("cmake").version == "4.1.2"
