"""The program that measures what this machine can do: compiled once for each compiler, and kept."""

from __future__ import annotations

import hashlib
import os
from importlib import resources
from pathlib import Path

from truewheel import process
from truewheel.config.load import load_profile
from truewheel.console import Console
from truewheel.cpu.host import Host
from truewheel.errors import BuildError
from truewheel.files import sync
from truewheel.kept.entry import is_kept, keep
from truewheel.machine.probe import Toolchain, find_toolchain, first_error
from truewheel.scratch import SCRATCH

OPTIONAL = ("WITHOUT_AMX", "WITHOUT_AVX_VNNI")
"""What leaves out of the program those kernels that some compilers are too old for."""

_HINT = "`truewheel doctor` shows the compilers; all but the machine's limits is measured without one"
_COMPILE_SECONDS = 300.0


def find_compiler(host: Host, console: Console) -> Toolchain:
    """Return the compiler that `truewheel build` takes for this machine, of those that are here where one is.

    The kernels are written for the CPU's instructions, so that no compiler is worth fetching for speed.

    Raises:
        BuildError: none is fit.
        FetchError: zig was needed and cannot be had.
        LoadError: the profile that names the compilers is wrong.
    """
    wanted = load_profile("native").toolchain
    toolchain, passed = find_toolchain(wanted, host, console.say, native=True, fetch=False)
    if toolchain is None:
        toolchain, passed = find_toolchain(wanted, host, console.say, native=True)
    if toolchain is None:
        reasons = "; ".join(f"{tried.kind} {tried.version}: {tried.refusal}" for tried in passed)
        raise BuildError(f"no compiler for the kernels: {reasons or 'none is on this machine'}", hint=_HINT)
    return toolchain


def build_program(toolchain: Toolchain, folder: Path, console: Console) -> Path:
    """Return the program, compiled before or now; kernels that the compiler is too old for are left out of it.

    Args:
        toolchain: compiler.
        folder: where programs are kept.
        console: is told before it is compiled.

    Raises:
        BuildError: the compiler refuses it.
        OSError: the folder cannot be written to.
    """
    source = resources.files("truewheel.measure").joinpath("kernels/limits.c").read_bytes()
    program = folder / f"limits-{program_key(source, toolchain)}"
    if is_kept(program, always=True):
        return program
    console.say(f"         compiling the kernels with {toolchain.kind} {toolchain.version}")
    folder.mkdir(parents=True, exist_ok=True)
    with SCRATCH.folder(".limits", folder) as work:
        (work / "limits.c").write_bytes(source)
        done = _compile(toolchain, work, [])
        if done.returncode != 0:
            done = _compile(toolchain, work, _too_new(toolchain, work))
        if done.returncode != 0:
            what = f"{toolchain.kind} {toolchain.version}"
            raise BuildError(f"{what} cannot compile the kernels: {first_error(done.output)}", hint=_HINT)
        sync(work / "limits")
        (work / "limits").replace(program)
    keep(program)
    return program


def program_key(source: bytes, toolchain: Toolchain) -> str:
    """Return what changes with the source, the compiler and its options.

    Raises:
        OSError: the compiler is gone.
    """
    status = Path(toolchain.cc).stat()
    parts = [toolchain.kind, toolchain.version, toolchain.target, toolchain.cc, os.path.realpath(toolchain.cc)]
    parts += [str(status.st_size), str(status.st_mtime_ns), *_options(toolchain), *OPTIONAL]
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + source).hexdigest()[:32]


def _options(toolchain: Toolchain) -> list[str]:
    """Return the options; what is not a kernel is for any x86-64 CPU, whatever the compiler's own default is."""
    march = "x86_64" if toolchain.kind == "zig" else "x86-64"
    return ["-O2", "-std=c11", "-pthread", f"-march={march}"]


def _compile(toolchain: Toolchain, work: Path, without: list[str]) -> process.Completed:
    options = [*_options(toolchain), *(f"-D{name}" for name in without)]
    command = [toolchain.cc, *options, "limits.c", "-o", "limits"]
    return process.run(command, env=process.plain_environment(), cwd=work, timeout=_COMPILE_SECONDS)


def _too_new(toolchain: Toolchain, work: Path) -> list[str]:
    """Return what must be left out: each that cannot be compiled even without the others."""
    return [
        name
        for name in OPTIONAL
        if _compile(toolchain, work, [other for other in OPTIONAL if other != name]).returncode != 0
    ]
