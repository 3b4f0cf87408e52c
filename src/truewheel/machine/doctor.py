"""What this machine is, and what it can and cannot build."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from truewheel.config.locations import cache_root, wheelhouse_root
from truewheel.cpu.host import Host, available_memory, detect_host
from truewheel.errors import PlanError
from truewheel.machine.extras import describe_missing
from truewheel.machine.matrix import Cell, Emulated, make_matrix
from truewheel.machine.probe import Toolchain, candidates, try_toolchain
from truewheel.machine.rust import find_rust
from truewheel.machine.tools import Say, Tool, in_cache, on_machine, tool_pins
from truewheel.targets.targets import target_of

_NEEDED_DISK = 3 << 30
_NEEDED_MEMORY = 2 << 30
_TOOLS = ("cmake", "ninja", "ccache", "sccache", "ziglang", "maturin", "libclang")


class ToolState(msgspec.Struct, frozen=True):
    """A helper program: where it comes from, or what fetching it would take."""

    name: str
    version: str
    origin: str
    path: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Everything that `doctor` shows.

    Attributes:
        host: the machine.
        compilers: every compiler found, each with its trial.
        tools: helper programs.
        cells: what can be built.
        memory_available: bytes.
        disk_free: bytes, where the caches are.
        cache: our cache folder.
        wheelhouse: the wheelhouse.
        confinement: what is in force where a wheel is run.
        problems: what would stop a build or a benchmark, a sentence each.
    """

    host: Host
    compilers: tuple[Toolchain, ...]
    tools: tuple[ToolState, ...]
    cells: tuple[Cell, ...]
    memory_available: int
    disk_free: int
    cache: str
    wheelhouse: str
    problems: tuple[str, ...]
    confinement: str = ""


def diagnose(emulated: Emulated, say: Say, confinement: str = "") -> Diagnosis:
    """Look at everything; compilers that are here are tried, nothing is fetched.

    Args:
        emulated: CPUs that can be emulated here.
        say: is told before a compiler is tried.
        confinement: what is in force where a wheel is run.
    """
    host = detect_host()
    cache = cache_root()
    free = shutil.disk_usage(_existing(cache)).free
    compilers = tuple(
        try_toolchain(candidate, host, say) for kind in ("clang", "gcc", "zig") for candidate in candidates(kind)
    )
    problems = describe_missing()
    try:
        target_of(host)
    except PlanError as error:
        problems.append(error.message)
    if free < _NEEDED_DISK:
        problems.append(
            f"only {free >> 20} MiB of disk are free at {cache}; a build needs about {_NEEDED_DISK >> 30} GiB"
        )
    if available_memory() < _NEEDED_MEMORY:
        problems.append(
            f"only {available_memory() >> 20} MiB of memory are available; a build may need {_NEEDED_MEMORY >> 30} GiB"
        )
    return Diagnosis(
        host=host,
        compilers=compilers,
        tools=(*(_tool_state(name) for name in _TOOLS), _rust_state()),
        cells=make_matrix(host, emulated, say).cells,
        memory_available=available_memory(),
        disk_free=free,
        cache=str(cache),
        wheelhouse=str(wheelhouse_root()),
        problems=tuple(problems),
        confinement=confinement,
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _rust_state() -> ToolState:
    """Tell of Rust, which only engines in Rust need and no package of the index carries."""
    try:
        rust = find_rust()
    except PlanError as error:
        return ToolState("rustc", "", f"needed for llama-rs alone: {error.message}", "")
    return ToolState("rustc", rust.version, "machine", str(rust.cargo.with_name("rustc")))


def _tool_state(name: str) -> ToolState:
    tool: Tool | None = (on_machine(name) if name != "ziglang" else None) or in_cache(name)
    if tool is not None:
        return ToolState(name, tool.version, tool.origin, str(tool.path))
    pin = tool_pins()[name]
    if pin.version:
        return ToolState(name, pin.version, f"can be fetched ({pin.mebibytes} MiB)", "")
    return ToolState(name, "", "not here, not needed", "")
