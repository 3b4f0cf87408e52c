"""What is had before a build begins, and with which error it ends where it cannot be had."""

from types import SimpleNamespace

import pytest
from factories import make_crate_plan, make_host, make_toolchain

from truewheel.build import maturin
from truewheel.build.evidence import Evidence
from truewheel.build.kept import keep_build
from truewheel.build.product import BuiltWheel
from truewheel.console import Console
from truewheel.corridor import obtain
from truewheel.corridor.obtain import Place, obtain_build
from truewheel.corridor.prepare import Order, Prepared
from truewheel.errors import BuildError, FetchError
from truewheel.fetch.source import SourceTree
from truewheel.machine.rust import RustToolchain
from truewheel.machine.tools import Tool
from truewheel.plan.make import Changes


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make a machine of shell scripts, with nothing in cargo's home: its folder, a plan for it and a place."""
    home = tmp_path / "cargo home"
    monkeypatch.setenv("CARGO_HOME", str(home))
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()

    def program(name, text):
        path = bin_folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    program("cc", "printf '#include <...> search starts here:\\n /include\\nEnd of search list.\\n'")
    program(
        "maturin", f"echo \"$CARGO_ENCODED_RUSTFLAGS|$CFLAGS_x86_64_unknown_linux_gnu\" > '{tmp_path}/flags'; exit 1"
    )
    toolchain = make_toolchain(cc=str(bin_folder / "cc"), cxx=str(bin_folder / "cc"))
    plan = make_crate_plan(toolchain=toolchain)
    tree = tmp_path / "tree"
    tree.mkdir()
    source = SourceTree(tree, plan.subject.source, fresh=True)
    tool = lambda name, *_: Tool(name, bin_folder / name, "1", "machine")  # noqa: E731
    for module, name in ((obtain, "find_tool"), (maturin, "find_tool"), (maturin, "fetch_tool")):
        monkeypatch.setattr(module, name, tool)
    monkeypatch.setattr(obtain, "fetch_source", lambda *_: source)
    monkeypatch.setattr(maturin, "find_rust", lambda: RustToolchain("1.95.0", bin_folder / "cargo"))
    monkeypatch.setattr(obtain, "find_cache_tool", lambda *_: None)
    ready = Prepared(plan, None, Changes({}, {}), toolchain, [], make_host())
    place = Place(tmp_path / "cache", Console(quiet=True), {})
    return SimpleNamespace(folder=tmp_path, home=home, program=program, ready=ready, place=place, source=source)


def test_crates_are_fetched_before_flags_name_their_folders(machine):
    machine.program("cargo", 'mkdir -p "$CARGO_HOME/registry/src/two.example" "$CARGO_HOME/registry/src/one.example"')
    with pytest.raises(BuildError, match="the Rust build failed"):
        obtain_build(Order(), machine.ready, machine.place)
    rust, _, flags_of_c = (machine.folder / "flags").read_text().strip().partition("|")
    folders = [str(machine.home / "registry" / "src" / name) for name in ("one.example", "two.example")]
    remapped = [flag for flag in rust.split("\x1f") if flag.startswith("--remap-path-prefix=") and "=crates" in flag]
    assert remapped == [f"--remap-path-prefix={folder}=crates" for folder in folders]
    assert flags_of_c.endswith(" ".join(f"-ffile-prefix-map={folder}=crates" for folder in folders))
    assert "{crates}" not in rust + flags_of_c


def test_the_log_holds_the_fetching_and_the_build(machine):
    machine.program("cargo", "echo fetched")
    with pytest.raises(BuildError):
        obtain_build(Order(), machine.ready, machine.place)
    text = machine.place.log(machine.ready).read_text()
    assert text.index("fetched") < text.index("maturin build")


def test_the_log_begins_anew(machine):
    for word in ("first", "second"):
        machine.program("cargo", f"echo {word}")
        with pytest.raises(BuildError):
            obtain_build(Order(), machine.ready, machine.place)
    assert "first" not in machine.place.log(machine.ready).read_text()


def test_crates_that_cannot_be_had_are_no_failure_of_the_build(machine):
    machine.program("cargo", "echo 'error: no network' >&2; exit 101")
    with pytest.raises(FetchError, match="the crates cannot be fetched: no network"):
        obtain_build(Order(), machine.ready, machine.place)
    assert not (machine.folder / "flags").exists()


def test_a_kept_build_needs_no_crates(machine):
    machine.program("cargo", "exit 101")
    wheel = machine.folder / "toy-1.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    built = BuiltWheel(wheel, machine.ready.plan, machine.source, Evidence({}, ()), b"cpuid", "cc 1.0")
    keep_build(built, machine.place.cache / "built")
    assert obtain_build(Order(), machine.ready, machine.place).path.read_bytes() == b"a wheel"
    with pytest.raises(FetchError):
        obtain_build(Order(cache=False), machine.ready, machine.place)
