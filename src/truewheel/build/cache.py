"""The compile cache: zig's own for zig; else ccache or sccache of the machine, else sccache from the package index."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from truewheel import process
from truewheel.cpu.host import Host
from truewheel.kept.entry import growing
from truewheel.machine.tools import Say, Tool, fetch_tool, on_machine

_MAX_SIZE = "5G"
_IDLE_SECONDS = "900"
"""Longer than any one compiler runs; a server that a client starts in the place of ours ends by itself then."""


class CompileCache(NamedTuple):
    """A compile cache that is ready.

    Attributes:
        tool: the program.
        launcher: what CMake puts before each compiler call; empty for zig, which needs nothing.
        environment: its variables.
    """

    tool: Tool
    launcher: str
    environment: dict[str, str]


def find_cache_tool(kind: str, say: Say) -> Tool:
    """Return what caches the objects of a kind of compiler.

    zig remembers every object that it makes; a second cache around it would keep them twice.

    Args:
        kind: `clang`, `gcc` or `zig`.
        say: is told before anything is fetched.

    Raises:
        FetchError: the machine has no cache and the package cannot be had.
    """
    if kind == "zig":
        return fetch_tool("ziglang", say)
    return on_machine("ccache") or on_machine("sccache") or fetch_tool("sccache", say)


@contextlib.contextmanager
def open_cache(tool: Tool, folder: Path, host: Host, log: Path) -> Iterator[CompileCache]:
    """Run the compile cache for the length of a build; what it keeps is looked at before, and sealed behind.

    `-march=native` says the same on every CPU and means something else on each, so this CPU's
    features are made part of every key: a cache folder that two machines share stays right.

    Args:
        tool: what `find_cache_tool` returned.
        folder: where objects are kept.
        host: the machine.
        log: gets what the cache's server says.
    """
    # zig finds what it made by a list of its own, and does not bear that a file of it is missing.
    with growing(folder, piecemeal=tool.name != "ziglang"), _run_cache(tool, folder, host, log) as cache:
        yield cache


@contextlib.contextmanager
def _run_cache(tool: Tool, folder: Path, host: Host, log: Path) -> Iterator[CompileCache]:
    salt = hashlib.sha256("\0".join((host.model, *host.features)).encode()).hexdigest()[:16]
    if tool.name == "ziglang":
        yield CompileCache(tool, "", {"ZIG_LOCAL_CACHE_DIR": str(folder / salt)})
        return
    if tool.name == "ccache":
        environment = {
            "CCACHE_DIR": str(folder),
            "CCACHE_MAXSIZE": _MAX_SIZE,
            "CCACHE_NAMESPACE": salt,
            "CCACHE_COMPILERCHECK": "content",
        }
        yield CompileCache(tool, str(tool.path), environment)
        return
    # Socket paths are limited to about 100 bytes, which a cache folder may exceed: the abstract one has no path.
    socket = f"\\x00truewheel-{os.getpid()}-{salt}"
    environment = {
        "SCCACHE_DIR": str(folder),
        "SCCACHE_CACHE_SIZE": _MAX_SIZE,
        "SCCACHE_C_CUSTOM_CACHE_BUSTER": salt,
        "SCCACHE_SERVER_UDS": socket,
        "SCCACHE_IDLE_TIMEOUT": _IDLE_SECONDS,
        "SCCACHE_IGNORE_SERVER_IO_ERROR": "1",
    }
    server = {
        **{name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ},
        **environment,
        "SCCACHE_START_SERVER": "1",
        "SCCACHE_NO_DAEMON": "1",
    }
    with process.background([tool.path], env=server, log=log):
        yield CompileCache(tool, str(tool.path), environment)


def cache_statistics(cache: CompileCache) -> str:
    """Return hits and misses in one line, or nothing where they cannot be told."""
    if cache.tool.name == "ziglang":
        return ""
    arguments = ["--print-stats"] if cache.tool.name == "ccache" else ["--show-stats"]
    environment = {**process.plain_environment(), **cache.environment}
    done = process.run([cache.tool.path, *arguments], env=environment, timeout=20)
    if cache.tool.name == "ccache":
        table = dict(line.split("\t", 1) for line in done.output.splitlines() if "\t" in line)
        hits = sum(int(table.get(key, "0")) for key in ("direct_cache_hit", "preprocessed_cache_hit"))
        return f"{hits} hits, {table.get('cache_miss', '?')} misses since the cache was made"
    hits_match = re.search(r"^Cache hits\s+(\d+)$", done.output, re.MULTILINE)
    misses_match = re.search(r"^Cache misses\s+(\d+)$", done.output, re.MULTILINE)
    return f"{hits_match[1]} hits, {misses_match[1]} misses" if hits_match and misses_match else ""
