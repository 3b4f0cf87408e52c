"""The Rust engine's crates: formatted, without a warning of clippy's, and their own tests pass."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from truewheel.config.load import load_recipe
from truewheel.config.locations import cache_root
from truewheel.errors import FetchError, PlanError
from truewheel.fetch.source import fetch_source, read_changes
from truewheel.machine.probe import candidates
from truewheel.machine.rust import find_rust, header_folders
from truewheel.machine.tools import fetch_tool
from truewheel.plan.make import planned_source

CRATE = Path(__file__).parents[2] / "recipes" / "llama-rs" / "crate"


@pytest.fixture(scope="module")
def cargo(request):
    """Call cargo on the workspace: `cargo(*arguments, **variables) -> CompletedProcess`."""
    try:
        program = find_rust().cargo
    except PlanError as error:
        pytest.skip(error.message)
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler, which links what rustc compiles")
    kept = {"CARGO_TARGET_DIR": str(request.config.cache.mkdir("cargo")), "CARGO_PROFILE_DEV_DEBUG": "0"}

    def call(*arguments, **variables):
        environment = {**os.environ, **kept, **variables, "CARGO_TERM_COLOR": "never"}
        return subprocess.run(
            [program, *arguments], cwd=CRATE, env=environment, capture_output=True, text=True, check=False
        )

    return call


def need_component(cargo, name):
    if (found := cargo(name, "--version")).returncode != 0:
        reason = (found.stderr.strip() or "it says nothing").splitlines()[0]
        pytest.skip(f"`cargo {name}` does not run here, `rustup component add` brings it: {reason}")


def need_crates(cargo):
    if (fetched := cargo("fetch", "--locked")).returncode != 0 and cargo("fetch", "--locked", "--offline").returncode:
        # A lock file that does not fit is a fault of the workspace, not of the network.
        assert "--locked" not in fetched.stderr, fetched.stderr
        pytest.skip(f"the crates cannot be fetched: {fetched.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def bindings(cargo):
    """The variables with which llama.cpp's headers are found; nothing is linked where crates are only checked."""
    need_crates(cargo)
    compiler = next((found for kind in ("clang", "gcc") for found in candidates(kind)), None)
    if compiler is None:
        pytest.skip("there is neither clang nor gcc, which say where the C library's headers are")
    try:
        clang = fetch_tool("libclang", print)
        loaded = load_recipe("llama-cpp-python")
        changes = read_changes(loaded)
        source = planned_source(loaded.recipe, changes, "")
        tree = fetch_source(loaded, source, changes, cache_root(), os.environ["PATH"]).path
    except FetchError as error:
        pytest.skip(f"llama.cpp's headers or libclang cannot be fetched: {error.message}")
    libraries = load_recipe("llama-rs").recipe.libraries
    return {
        "LLAMA_CPP_INCLUDE": ":".join(str(tree / folder) for folder in libraries.headers),
        "LLAMA_CPP_LIBRARIES": str(tree),
        "LLAMA_CPP_LINK": ",",
        "LIBCLANG_PATH": str(clang.path.parent),
        "BINDGEN_EXTRA_CLANG_ARGS": " ".join(f'-isystem "{folder}"' for folder in header_folders(compiler)),
    }


def test_the_crates_are_formatted(cargo):
    need_component(cargo, "fmt")
    done = cargo("fmt", "--all", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_clippy_finds_nothing_in_all_crates(cargo, bindings):
    need_component(cargo, "clippy")
    done = cargo("clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings", **bindings)
    assert done.returncode == 0, done.stderr


def test_the_crates_own_tests_pass(cargo):
    need_crates(cargo)
    done = cargo("test", "--package", "llama-rs-logic", "--locked", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test result: ok" in done.stdout
