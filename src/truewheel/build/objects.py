"""What every build compiles of our own: the object with the ELF note, and the helper that reads CPUID."""

from __future__ import annotations

from pathlib import Path

from truewheel import process
from truewheel.build.product import process_reason
from truewheel.cpu.levels import LEVELS
from truewheel.errors import BuildError
from truewheel.machine.probe import Toolchain


def build_note(toolchain: Toolchain, level: str, target: Path, environment: dict[str, str], log: Path) -> None:
    """Assemble the object that marks a library with its level.

    Raises:
        BuildError: the compiler refuses it.
    """
    from importlib import resources

    source = target.with_suffix(".S")
    source.write_bytes(resources.files("truewheel.build").joinpath("isa_note.S").read_bytes())
    # As `gcc -mneeded` writes it: the bits of the level and of all below it.
    bits = (2 << LEVELS.index(level)) - 1
    command = [toolchain.cc, "-c", f"-DLEVEL={bits}", source.name, "-o", target.name]
    done = process.run(command, cwd=target.parent, env=environment, log=log, timeout=300)
    if done.returncode != 0:
        raise BuildError(
            f"the ELF note cannot be assembled: {process_reason(done.output)}", hint=f"the full log is {log}"
        )


def build_cpuid(toolchain: Toolchain, work: Path, environment: dict[str, str], log: Path) -> bytes:
    """Compile the CPUID helper for plain x86-64, without any run-time library.

    Raises:
        BuildError: the compiler refuses it.
    """
    from importlib import resources

    source = work / "cpuid.c"
    source.write_bytes(resources.files("truewheel.carried").joinpath("cpuid.c").read_bytes())
    library = work / "cpuid.so"
    flags = ["-shared", "-fPIC", "-O2", "-march=x86-64", "-nostdlib", "-s", "-Wl,--build-id=none"]
    if toolchain.kind == "zig":
        flags = [flag.replace("-march=x86-64", "-march=x86_64") for flag in flags]
    command = [toolchain.cc, *flags, "cpuid.c", "-o", "cpuid.so"]
    done = process.run(command, cwd=work, env=environment, log=log, timeout=300)
    if done.returncode != 0:
        raise BuildError(
            f"the CPUID helper cannot be compiled: {process_reason(done.output)}", hint=f"the full log is {log}"
        )
    return library.read_bytes()


def compiler_line(toolchain: Toolchain) -> str:
    """Return the line that a compiler says its version in."""
    done = process.run([toolchain.cc, "--version"], timeout=20)
    return done.output.splitlines()[0] if done.returncode == 0 and done.output else toolchain.version
