"""What this host has: CPU, memory, C library, and what its control groups allow."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from truewheel.carried.cores import count_usable
from truewheel.cpu.architecture import machine_levels
from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import highest_level
from truewheel.files import read_file

_CGROUP = Path("/sys/fs/cgroup")
_LOADERS = Path("/lib")
_MOST_BYTES = 64 << 20


class Host(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A machine as builds and checks need to know it.

    Attributes:
        system: kernel name, e.g. `Linux`.
        machine: architecture as `uname -m` says it.
        vendor: CPUID vendor string.
        model: the CPU's marketing name.
        level: highest x86-64 level whose features are all enabled.
        features: known features that the CPU has and the system enables, sorted.
        physical_cores: cores without their hardware threads.
        logical_cores: hardware threads.
        usable_cores: what affinity and control groups leave of them, at least 1.
        memory_bytes: installed memory, or the control group's limit if that is less.
        libc: C library and version, e.g. `glibc 2.36`.
    """

    system: str
    machine: str
    vendor: str
    model: str
    level: str
    features: tuple[str, ...]
    physical_cores: int
    logical_cores: int
    usable_cores: int
    memory_bytes: int
    libc: str


def detect_host() -> Host:
    """Look at the machine we run on."""
    import archspec.cpu.detect

    machine = platform.machine()
    known = frozenset(feature_table())
    if levels := machine_levels(machine):
        info = archspec.cpu.detect.detected_info()
        features = frozenset(info.features) & known
        vendor, level = info.vendor, highest_level(features, levels)
    else:
        features, vendor, level = frozenset(), "unknown", machine
    cpuinfo = _cpuinfo_blocks(_read(Path("/proc/cpuinfo")))
    logical = os.cpu_count() or 1
    return Host(
        system=platform.system(),
        machine=machine,
        vendor=vendor,
        model=cpuinfo[0].get("model name", "unknown") if cpuinfo else "unknown",
        level=level,
        features=tuple(sorted(features)),
        physical_cores=count_physical_cores(cpuinfo) or logical,
        logical_cores=logical,
        usable_cores=count_usable(),
        memory_bytes=_memory_bytes(),
        libc=" ".join(platform.libc_ver()).strip() or ("musl" if list(_LOADERS.glob("ld-musl-*")) else "unknown"),
    )


def _read(path: Path) -> str:
    try:
        return read_file(path, _MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _cpuinfo_blocks(text: str) -> list[dict[str, str]]:
    """Split /proc/cpuinfo into one table a logical CPU."""
    blocks = []
    for block in text.strip().split("\n\n"):
        pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line)
        blocks.append({key.strip(): value.strip() for key, value in pairs})
    return [block for block in blocks if block]


def count_physical_cores(blocks: list[dict[str, str]]) -> int:
    """Count distinct (socket, core) pairs; 0 where the kernel names none."""
    pairs = {(block.get("physical id", "0"), block["core id"]) for block in blocks if "core id" in block}
    return len(pairs)


def _own_cgroup() -> Path:
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        if line.startswith("0::"):
            return _CGROUP / line[3:].lstrip("/")
    return _CGROUP


def _memory_bytes() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(_own_cgroup() / "memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def available_memory(meminfo: Mapping[str, int] | None = None) -> int:
    """Return the bytes that programs can still take without swapping; 0 if unknown."""
    table = _meminfo() if meminfo is None else meminfo
    return table.get("MemAvailable", 0)


def _meminfo() -> dict[str, int]:
    table = {}
    for line in _read(Path("/proc/meminfo")).splitlines():
        key, _, value = line.partition(":")
        fields = value.split()
        if fields and fields[0].isdigit():
            table[key] = int(fields[0]) * 1024
    return table
