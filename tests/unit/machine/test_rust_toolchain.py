"""Is Rust found, and a Rust that cannot build refused in words?"""

from pathlib import Path

import pytest

from truewheel.errors import BuildError, PlanError
from truewheel.machine import rust
from truewheel.machine.probe import Toolchain


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Write programs that say something, into a folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo home"))

    def write(**says):
        for name, text in says.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        return tmp_path

    return write


def test_a_fit_one_is_taken(programs):
    folder = programs(cargo="exit 1", rustc="echo 'rustc 1.95.0 (abc 2026-01-01)'")
    assert rust.find_rust() == rust.RustToolchain("1.95.0", folder / "cargo")


def test_the_folder_of_rustup_is_looked_into(programs):
    folder = programs(cargo="exit 1", rustc="echo 'rustc 1.95.0 (abc 2026-01-01)'")
    (folder / "cargo home" / "bin").mkdir(parents=True)
    for name in ("cargo", "rustc"):
        (folder / name).rename(folder / "cargo home" / "bin" / name)
    assert rust.find_rust().cargo == folder / "cargo home" / "bin" / "cargo"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({}, "cargo is not on this machine"),
        ({"cargo": "exit 0"}, "rustc is not on this machine"),
        ({"cargo": "exit 0", "rustc": "echo 'rustc 1.89.0 (abc)'"}, "rustc 1.89.0 is too old: 1.90"),
        ({"cargo": "exit 0", "rustc": "echo nothing"}, "--version` fails and prints: nothing"),
        ({"cargo": "exit 0", "rustc": "echo 'no toolchain is installed'; exit 1"}, "no toolchain is installed"),
    ],
)
def test_what_is_not_fit_is_refused(programs, says, reason):
    programs(**says)
    with pytest.raises(PlanError, match=reason) as caught:
        rust.find_rust()
    assert "1.90" in caught.value.hint


def test_a_program_is_asked_once(programs):
    folder = programs(cargo="exit 1", rustc='echo asked >> "$0.log"; echo "rustc 1.95.0 (abc)"')
    assert [rust.find_rust().version for _ in range(3)] == ["1.95.0"] * 3
    assert (folder / "rustc.log").read_text() == "asked\n"


def test_one_that_is_not_fit_is_asked_once(programs):
    folder = programs(cargo="exit 1", rustc='echo asked >> "$0.log"; echo "rustc 1.2.3 (abc)"')
    for _ in range(2):
        with pytest.raises(PlanError, match=r"rustc 1\.2\.3 is too old"):
            rust.find_rust()
    assert (folder / "rustc.log").read_text() == "asked\n"


def test_where_crates_are_kept_is_told_for_every_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARGO_HOME", "crates")
    monkeypatch.setenv("RUSTUP_HOME", "/rust up")
    monkeypatch.delenv("RUSTUP_TOOLCHAIN", raising=False)
    assert rust.rust_environment() == {"CARGO_HOME": str(tmp_path / "crates"), "RUSTUP_HOME": "/rust up"}
    monkeypatch.delenv("CARGO_HOME")
    assert rust.rust_environment() == {"RUSTUP_HOME": "/rust up"}
    assert rust.cargo_home() == Path.home() / ".cargo"


def test_header_folders_are_those_that_the_compiler_names(programs):
    text = "printf '#include <...> search starts here:\\n /a b/include\\n /c\\nEnd of search list.\\n /d\\n'"
    folder = programs(cc=text)
    toolchain = Toolchain(kind="gcc", version="1", cc=str(folder / "cc"), cxx="c++")
    assert rust.header_folders(toolchain) == ["/a b/include", "/c"]


def test_a_compiler_that_names_none_is_refused(programs):
    folder = programs(cc="exit 0")
    with pytest.raises(BuildError, match="does not say where its headers are"):
        rust.header_folders(Toolchain(kind="gcc", version="1", cc=str(folder / "cc"), cxx="c++"))
