"""What a build leaves behind for the checks: CMake's cache and the compile commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.decoding import UnreadableError, read_json
from truewheel.errors import BuildError
from truewheel.files import read_file

_RUNNING = re.compile(r"^\s*Running `(?P<command>.*)`\s*$")
_ENTRY = re.compile(r"^(?P<key>[^#/:=]+):(?P<kind>[A-Z]+)=(?P<value>.*)$")


class CompileUnit(msgspec.Struct, frozen=True):
    """One compiler call.

    Attributes:
        file: the source file, relative to the source tree where it is inside.
        march: every `-march=` and `-mcpu=` value in order.
        features: every other `-m` option in order.
        target: the object file.
        optimization: every `-O` option in order.
        other: every other option that begins with `-f`, `-g`, `-D`, `-U` or `-std`, in order.
        language: the source's suffix, which says whether the plan's flags reach it.
    """

    file: str
    march: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    optimization: tuple[str, ...] = ("-O3",)
    other: tuple[str, ...] = ("-DNDEBUG",)
    language: str = ".c"


class CrateUnit(msgspec.Struct, frozen=True):
    """One call of rustc for the wheel, not for what only helps to build it.

    Attributes:
        crate: the crate's name.
        codegen: every `-C` option in order, without `-C`.
    """

    crate: str
    codegen: tuple[str, ...]


class Evidence(NamedTuple):
    """What CMake and the compilers were really told.

    Attributes:
        cmake_cache: CMake's cache by key.
        units: every compiler call.
        crates: every call of rustc; empty for an engine without Rust.
    """

    cmake_cache: dict[str, str]
    units: tuple[CompileUnit, ...]
    crates: tuple[CrateUnit, ...] = ()


class _Command(msgspec.Struct):
    directory: str
    file: str
    command: str = ""
    output: str = ""


def read_evidence(build: Path, source: Path) -> Evidence:
    """Read the evidence from a build folder; what is not there is empty.

    Raises:
        BuildError: the list of compile commands is none.
    """
    cache: dict[str, str] = {}
    units: list[CompileUnit] = []
    cache_file, commands_file = build / "CMakeCache.txt", build / "compile_commands.json"
    if cache_file.is_file():
        for line in read_file(cache_file).decode("utf-8", "replace").splitlines():
            if match := _ENTRY.match(line):
                cache[match["key"]] = match["value"]
    if commands_file.is_file():
        try:
            units = [_unit(command, source) for command in read_json(commands_file, list[_Command])]
        except (UnreadableError, ValueError) as error:
            raise BuildError(f"{commands_file.name} of the build cannot be read: {error}") from error
    return Evidence(cache, tuple(units))


def _output_of(words: list[str]) -> str:
    """Return what a compiler call writes; older versions of CMake name it in the call alone."""
    return words[words.index("-o") + 1] if "-o" in words[:-1] else ""


def _unit(command: _Command, source: Path) -> CompileUnit:
    words = shlex.split(command.command)
    march = tuple(word.split("=", 1)[1] for word in words if word.startswith(("-march=", "-mcpu=")))
    features = tuple(
        word for word in words if word.startswith("-m") and not word.startswith(("-march=", "-mcpu=", "-mtune="))
    )
    path = Path(command.file)
    file = path.relative_to(source).as_posix() if path.is_relative_to(source) else path.name
    return CompileUnit(
        file,
        march,
        features,
        command.output or _output_of(words),
        optimization=tuple(word for word in words if word.startswith("-O")),
        other=tuple(word for word in words if word.startswith(("-f", "-g", "-D", "-U", "-std"))),
        language=path.suffix,
    )


def read_crate_unit(line: str, target: str) -> CrateUnit | None:
    """Return what one line of cargo's verbose output says of a call of rustc for `target`, or None.

    Args:
        line: one line.
        target: the target triple; calls without it make programs that run during the build.
    """
    match = _RUNNING.match(line)
    if match is None:
        return None
    try:
        words = shlex.split(match["command"])
    except ValueError:
        return None
    if not any(word == target and words[at - 1] == "--target" for at, word in enumerate(words)):
        return None
    names = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--crate-name"]
    codegen = []
    for at, word in enumerate(words):
        if word == "-C" and at + 1 < len(words):
            codegen.append(words[at + 1])
        elif word.startswith("-C") and word != "-C":
            codegen.append(word.removeprefix("-C"))
    return CrateUnit(names[0], tuple(codegen)) if names else None
