"""The Rust compiler of this machine, and where a C compiler keeps its headers, which bindgen must be told."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from truewheel import process
from truewheel.errors import BuildError, PlanError
from truewheel.machine.probe import Toolchain, first_error
from truewheel.machine.tools import backend_needs

MINIMUM_RUST = "1.90"
"""The first rustc where another linker than its own can be asked for by a stable option."""

_PASSED_ON = ("CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN")
_SECONDS = 120.0


class RustToolchain(NamedTuple):
    """Cargo and rustc.

    Attributes:
        version: rustc's version.
        cargo: the program `cargo`; rustc lies beside it, or is what it finds.
    """

    version: str
    cargo: Path


def find_rust() -> RustToolchain:
    """Return the machine's Rust.

    Raises:
        PlanError: there is none, or it is too old.
    """
    hint = f"install Rust {MINIMUM_RUST} or newer with rustup, or as the packages cargo and rustc of your system"
    # rustup puts its folder into PATH for login shells alone.
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), str(cargo_home() / "bin")])
    cargo, rustc = shutil.which("cargo", path=places), shutil.which("rustc", path=places)
    if cargo is None or rustc is None:
        raise PlanError(f"{'cargo' if cargo is None else 'rustc'} is not on this machine", hint=hint)
    done = _ask_version(rustc)
    match = re.search(r"rustc (\d+\.\d+\.\d+)", done.output)
    if done.returncode != 0 or match is None:
        raise PlanError(f"`{rustc} --version` fails and prints: {first_error(done.output)}", hint=hint)
    if Version(match[1]) < Version(MINIMUM_RUST):
        raise PlanError(f"rustc {match[1]} is too old: {MINIMUM_RUST} or newer is needed", hint=hint)
    return RustToolchain(match[1], Path(cargo))


def other_compilers(backend: str) -> dict[str, str]:
    """Return the versions of the compilers that a build backend needs beside those of C and C++.

    Raises:
        PlanError: one is not on this machine, or too old.
    """
    return {name: _FINDERS[name]().version for name in backend_needs(backend).compilers}


_FINDERS = {"rustc": find_rust}


@functools.cache
def _ask_version(rustc: str) -> process.Completed:
    """Return how `rustc --version` ended; a program is asked once, since a table asks for Rust in many of its cells."""
    return process.run([rustc, "--version"], env=process.plain_environment() | rust_environment(), timeout=_SECONDS)


def cargo_home() -> Path:
    """Return the folder where cargo keeps its programs and crates."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo").absolute()


def rust_environment() -> dict[str, str]:
    """Return what a build needs of the user's environment to find Rust and the crates: where they are kept."""
    passed = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
    if "CARGO_HOME" in passed:
        # Cargo is called in another folder than ours.
        passed["CARGO_HOME"] = str(cargo_home())
    return passed


def header_folders(toolchain: Toolchain) -> list[str]:
    """Return the folders in which a C compiler looks for its own headers and those of the C library.

    Raises:
        BuildError: it does not say.
    """
    done = process.run(
        [toolchain.cc, "-E", "-v", "-x", "c", os.devnull], env=process.plain_environment(), timeout=_SECONDS
    )
    inside, folders = False, []
    for line in done.output.splitlines():
        if line.startswith("#include <...>"):
            inside = True
        elif line.startswith("End of search list"):
            inside = False
        elif inside:
            folders.append(line.strip())
    if done.returncode != 0 or not folders:
        raise BuildError(
            f"{toolchain.kind} {toolchain.version} does not say where its headers are",
            hint="`truewheel doctor` shows which compiler was taken",
        )
    return folders
