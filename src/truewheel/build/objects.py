"""What every build compiles of our own: the object with the ELF note, and the helper that reads CPUID."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from truewheel import process
from truewheel.build.product import process_reason
from truewheel.config.hardening import hardening
from truewheel.errors import BuildError
from truewheel.files import read_file
from truewheel.machine.probe import Toolchain
from truewheel.plan.plan import Code
from truewheel.targets.targets import target_named


def build_note(toolchain: Toolchain, code: Code, path: Path, environment: dict[str, str], log: Path) -> None:
    """Assemble the object that marks a library with its level.

    Raises:
        BuildError: the compiler refuses it.
    """
    target = target_named(code.target)
    assert target.note is not None
    source = path.with_suffix(".S")
    source.write_bytes(resources.files("truewheel.build").joinpath(target.note.source).read_bytes())
    # As `gcc -mneeded` writes it: the bits of the level and of all below it.
    bits = (2 << target.levels.index(code.level)) - 1
    command = [toolchain.cc, "-c", f"-DLEVEL={bits}", source.name, "-o", path.name]
    _compile(command, "the ELF note cannot be assembled", path.parent, environment, log)


def build_probe(toolchain: Toolchain, code: Code, work: Path, environment: dict[str, str], log: Path) -> bytes:
    """Compile the library that asks the CPU for the least CPU of its architecture, without any run-time library.

    Raises:
        BuildError: the compiler refuses it.
    """
    probe = target_named(code.target).probe
    assert probe is not None
    (work / "cpuid.c").write_bytes(resources.files("truewheel.carried").joinpath(probe.source).read_bytes())
    march = probe.march.get(toolchain.kind, probe.march["any"])
    flags = ["-shared", "-fPIC", "-O2", f"-march={march}", "-nostdlib", "-s", "-Wl,--build-id=none"]
    flags += [*hardening().bare, *hardening().link_flags(toolchain.kind)]
    command = [toolchain.cc, *flags, "cpuid.c", "-o", "cpuid.so"]
    _compile(command, "the CPUID helper cannot be compiled", work, environment, log)
    return read_file(work / "cpuid.so")


def _compile(command: list[str], failure: str, work: Path, environment: dict[str, str], log: Path) -> None:
    done = process.run(command, cwd=work, env=environment, log=log, timeout=300)
    if done.returncode != 0:
        raise BuildError(f"{failure}: {process_reason(done.output)}", hint=f"the full log is {log}")


def compiler_line(toolchain: Toolchain) -> str:
    """Return the line that a compiler says its version in."""
    done = process.run([toolchain.cc, "--version"], timeout=20, merge_stderr=False)
    return done.output.splitlines()[0] if done.returncode == 0 and done.output else toolchain.version
