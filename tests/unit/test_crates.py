"""The licences of crates, as cargo says where they lie."""

import json

import pytest

from truewheel.build.crates import read_licences
from truewheel.errors import BuildError


@pytest.fixture
def cargo(tmp_path):
    """Return what reads the licences of these crates through a cargo that knows them."""

    def make(crates, compiled):
        packages = []
        for name, files in crates.items():
            folder = tmp_path / name
            for file, text in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text)
            where = {"name": name, "version": "1.0.0", "manifest_path": str(folder / "Cargo.toml")}
            packages.append({**where, "source": None if name == "own" else "registry"})
        (tmp_path / "metadata.json").write_text(json.dumps({"packages": packages}))
        program = tmp_path / "cargo"
        program.write_text(f"#!/bin/sh\necho talk >&2\ncat '{tmp_path}/metadata.json'\n")
        program.chmod(0o755)
        return read_licences(program, tmp_path, "x", compiled, {"PATH": "/bin:/usr/bin"}, tmp_path / "log").decode()

    return make


def test_each_text_stands_once_below_all_that_have_it(cargo):
    crates = {"a-b": {"LICENSE-MIT": "be kind"}, "c": {"licence": "be kind", "COPYING": "copy"}}
    text = cargo(crates, {"a_b", "c"})
    assert text.count("be kind") == 1
    assert text.index("a-b 1.0.0: LICENSE-MIT") < text.index("c 1.0.0: licence") < text.index("be kind")
    assert "c 1.0.0: COPYING" in text


def test_what_lies_one_folder_deeper_is_found(cargo):
    assert "sys 1.0.0: llama.cpp/LICENSE" in cargo({"sys": {"llama.cpp/LICENSE": "MIT", "src/lib.rs": "x"}}, {"sys"})


def test_what_is_not_in_the_wheel_and_what_is_our_own_is_left_out(cargo):
    assert cargo({"helper": {"LICENSE": "1"}, "own": {"LICENSE": "2"}}, {"own"}) == ""


def test_a_cargo_that_says_nothing(tmp_path):
    program = tmp_path / "cargo"
    program.write_text("#!/bin/sh\necho 'error: no lock file' >&2\nexit 101\n")
    program.chmod(0o755)
    with pytest.raises(BuildError, match="does not tell where the crates are"):
        read_licences(program, tmp_path, "x", set(), {"PATH": "/bin"}, tmp_path / "log")
