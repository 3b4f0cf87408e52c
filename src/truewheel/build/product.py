"""What a build is given and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from truewheel.build.cache import CompileCache
from truewheel.build.evidence import Evidence
from truewheel.fetch.source import SourceTree
from truewheel.machine.probe import Toolchain
from truewheel.machine.tools import Tool
from truewheel.plan.plan import Plan


class BuiltWheel(NamedTuple):
    """What the backend made, and the evidence of how.

    Attributes:
        path: the wheel as the backend wrote it.
        plan: the plan that was carried out.
        source: the tree that it was built from.
        evidence: CMake's cache and compile commands.
        cpuid_library: a helper that reads CPUID, built for plain x86-64.
        compiler: the compiler's own version line.
        base: the build that its C++ libraries were taken from; None where it has its own.
        licences: licence files of what was built in besides the source, by the path that they get in the wheel.
    """

    path: Path
    plan: Plan
    source: SourceTree
    evidence: Evidence
    cpuid_library: bytes
    compiler: str
    base: BuiltWheel | None = None
    licences: Mapping[str, bytes] = MappingProxyType({})


class BuildTools(NamedTuple):
    """The programs of one build.

    Attributes:
        toolchain: compilers.
        cmake: cmake.
        ninja: ninja.
        cache: compile cache, or None for none.
    """

    toolchain: Toolchain
    cmake: Tool
    ninja: Tool
    cache: CompileCache | None


def process_reason(output: str) -> str:
    """Return the last line of an output that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"
