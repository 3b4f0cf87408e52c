"""cmake, ninja, zig and compile caches: the machine's own where fit, else from the package index."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from packaging.version import Version

from truewheel import process
from truewheel.config.locations import cache_root
from truewheel.decoding import load_table
from truewheel.errors import FetchError
from truewheel.kept.entry import is_kept, is_sealed, keep
from truewheel.locks import locked
from truewheel.machine import index

Say = Callable[[str], None]
"""Who is told, in one line, what takes a while."""


class Tool(NamedTuple):
    """A program that a build calls.

    Attributes:
        name: e.g. `cmake`.
        path: the program.
        version: as it says itself.
        origin: `machine` or `package index`.
    """

    name: str
    path: Path
    version: str
    origin: str


class ToolPin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `tools.toml` says of a tool."""

    version: str = ""
    sha256: str = ""
    program: str = ""
    mebibytes: int = 0
    minimum: str = ""


class BackendNeeds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `tools.toml` says of a build backend."""

    modules: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    compilers: tuple[str, ...] = ()


class _Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    backend: dict[str, BackendNeeds]
    tool: dict[str, ToolPin]


@functools.cache
def _tables() -> _Tables:
    return load_table("truewheel.machine", "tools.toml", _Tables)


def tool_pins() -> dict[str, ToolPin]:
    """Return the pinned tools by name."""
    return _tables().tool


def backend_needs(backend: str) -> BackendNeeds:
    """Return which helpers a build backend needs."""
    return _tables().backend[backend]


def on_machine(name: str) -> Tool | None:
    """Return the machine's own tool if it is there and new enough."""
    found = shutil.which(name)
    if found is None:
        return None
    done = process.run([found, "--version"], timeout=20, merge_stderr=False)
    match = re.search(r"\d+(\.\d+)+", done.output)
    if done.returncode != 0 or match is None:
        return None
    if Version(match[0]) < Version(tool_pins()[name].minimum or "0"):
        return None
    return Tool(name, Path(found), match[0], "machine")


def in_cache(name: str) -> Tool | None:
    """Return a tool that was fetched before; before it is run, `fetch_tool` looks whether it still is what it was."""
    pin = tool_pins()[name]
    path = _folder(name) / pin.program
    there = pin.program and is_sealed(_folder(name)) and path.is_file()
    return Tool(name, path, pin.version, "package index") if there else None


def fetch_tool(name: str, say: Say) -> Tool:
    """Return a tool from the cache, fetching it from the package index when it is not there or no longer what it was.

    Args:
        name: a tool of `tools.toml`.
        say: is told before anything is fetched.

    Raises:
        FetchError: it cannot be had.
    """
    pin = tool_pins()[name]
    if not pin.program:
        raise FetchError(f"{name} is not on this machine, and no package provides it")
    folder = _folder(name)
    if folder not in _looked_at:
        _obtain(name, folder, say)
        _looked_at.add(folder)
    return Tool(name, folder / pin.program, pin.version, "package index")


_looked_at: set[Path] = set()
"""Folders of tools that this process has looked at: zig alone has 20,000 files."""


def _obtain(name: str, folder: Path, say: Say) -> None:
    pin = tool_pins()[name]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / ".lock", name):
        if is_kept(folder):
            return
        say(f"         fetching {name} {pin.version} ({pin.mebibytes} MiB) from the package index")
        index.install_tool(name, pin.version, pin.sha256, folder)
        program = folder / pin.program
        program.chmod(program.stat().st_mode | 0o755)
        keep(folder)


def find_tool(name: str, say: Say) -> Tool:
    """Return the machine's own tool, else the fetched one, else fetch it."""
    return on_machine(name) or fetch_tool(name, say)


def _folder(name: str) -> Path:
    pin = tool_pins()[name]
    return cache_root() / "tools" / f"{name}-{pin.version}-{pin.sha256[:12]}"


def planned_versions(backend: str) -> dict[str, str]:
    """Return the versions of the build's helpers, the machine's own where fit, else the pinned; nothing is fetched.

    Compilers are not among them.

    Args:
        backend: the engine's build backend.
    """
    needs = backend_needs(backend)
    versions = {name: importlib.metadata.version(name) for name in needs.modules}
    versions |= {name: tool_pins()[name].version for name in needs.fetched}
    for name in needs.tools:
        tool = on_machine(name)
        versions[name] = tool.version if tool else tool_pins()[name].version
    return versions


def search_path(*tools: Tool) -> str:
    """Return a PATH with the folders of these tools before the machine's own."""
    folders = dict.fromkeys(str(tool.path.parent) for tool in tools)
    return os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
