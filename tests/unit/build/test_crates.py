"""Crates are fetched before the build, and their licences are where cargo says."""

import json
import os

import pytest

from truewheel.build.crates import crate_folders, fetch_crates, for_each_folder, read_licences
from truewheel.errors import BuildError, FetchError


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


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Fetch with a cargo that does what a script says; return what was said meanwhile."""
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo home"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "logs").mkdir()

    def call(script):
        program = tmp_path / "bin" / "cargo"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        said = []
        fetch_crates(program, tmp_path / "tree", "x86_64-toy", tmp_path / "logs" / "log", said.append)
        return said

    return call


def test_cargo_fetches_what_the_lock_file_names_and_leaves_the_tree_alone(fetch, tmp_path):
    # The real one writes down what it learnt of rustc where it would compile.
    script = 'echo "$@"; pwd -P; mkdir -p "${CARGO_TARGET_DIR:-target}"; echo x > "${CARGO_TARGET_DIR:-target}/facts"'
    fetch(script)
    assert not list((tmp_path / "tree").iterdir())
    _, arguments, folder = (tmp_path / "logs" / "log").read_text().splitlines()
    assert arguments == "fetch --locked --target x86_64-toy"
    assert folder == os.path.realpath(tmp_path / "tree")


def test_what_decides_of_a_build_is_kept_out_and_the_way_to_the_network_is_let_in(fetch, tmp_path, monkeypatch):
    stray = {"RUSTFLAGS": "-g", "CARGO_BUILD_TARGET": "y", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL": "git"}
    wanted = {"https_proxy": "http://proxy:1", "CARGO_HTTP_CAINFO": "/ca.pem", "CARGO_NET_OFFLINE": "true"}
    for name, value in {**stray, **wanted}.items():
        monkeypatch.setenv(name, value)
    fetch("env")
    lines = (tmp_path / "logs" / "log").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines[1:])
    assert {name: found.get(name) for name in wanted} == wanted
    assert not set(stray) & set(found)
    assert found["CARGO_HOME"] == str(tmp_path / "cargo home")
    assert found["PATH"].split(":")[0] == str(tmp_path / "bin")


def test_that_something_is_downloaded_is_said_once(fetch):
    assert fetch("echo '    Updating crates.io index'") == []
    said = fetch("echo ' Downloading crates ...'; echo '  Downloaded a v1.0.0'; echo ' Downloading b'")
    assert said == ["         fetching crates from cargo's registry"]


UNREACHABLE = """
    Updating crates.io index
warning: spurious network error (3 tries remaining): [6] Could not resolve hostname
error: failed to get `a` as a dependency of package `b v0.1.0`

Caused by:
  download of config.json failed

Caused by:
  [6] Could not resolve hostname
"""
UNLOCKED = """
error: cannot update the lock file /x/Cargo.lock because --locked was passed to prevent this
If you want to try to generate the lock file without accessing the network, remove the --locked flag.
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (UNREACHABLE, "failed to get `a` as a dependency of package `b v0.1.0`: [6] Could not resolve hostname"),
        (UNLOCKED, "cannot update the lock file /x/Cargo.lock because --locked was passed to prevent this"),
        ("something else", "something else"),
        ("", "it printed nothing"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(fetch, tmp_path, output, reason):
    with pytest.raises(FetchError) as caught:
        fetch(f"cat >&2 <<'END'\n{output}\nEND\nexit 101")
    assert caught.value.message == f"the crates cannot be fetched: {reason}"
    assert caught.value.hint.endswith(f"the full log is {tmp_path}/logs/log")
    assert output in (tmp_path / "logs" / "log").read_text()


def test_each_registry_has_its_flag_in_the_order_of_names(tmp_path, monkeypatch):
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    flags = ["-a", "--remap-path-prefix={crates}=crates", "-b"]
    assert for_each_folder(flags, crate_folders()) == ["-a", "-b"]
    source = tmp_path / "registry" / "src"
    for name in ("mirror.example-2", "index.example-1"):
        (source / name).mkdir(parents=True)
    (source / "file").write_text("")
    assert for_each_folder(flags, crate_folders()) == [
        "-a",
        f"--remap-path-prefix={source}/index.example-1=crates",
        f"--remap-path-prefix={source}/mirror.example-2=crates",
        "-b",
    ]
