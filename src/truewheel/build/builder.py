"""A builder drives one build backend: its programs, variables, command, progress and evidence."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from truewheel.build.evidence import Evidence
from truewheel.build.objects import build_note, build_probe, compiler_line
from truewheel.build.product import BuildTools, BuiltWheel
from truewheel.build.progress import Reader
from truewheel.console import Console
from truewheel.errors import BuildError
from truewheel.fetch.source import SourceTree
from truewheel.machine.tools import Say
from truewheel.plan.placeholders import NOTE_PLACEHOLDER
from truewheel.plan.plan import Plan

Follow = Callable[[str], None]
"""Takes each line that a build prints."""


class BuildJob(NamedTuple):
    """One plan, and where it is carried out.

    Attributes:
        plan: what to build.
        source: the patched tree.
        base: the build that its C++ libraries are taken from; None where it has its own.
        work: the work folder; always the same, so that compile caches hit.
        log: gets everything that is printed.
        kept: folder where a builder may keep what only helps to build; None to keep nothing.
        say: is told before anything is fetched.
    """

    plan: Plan
    source: SourceTree
    base: BuiltWheel | None
    work: Path
    log: Path
    kept: Path | None
    say: Say


class Builder(ABC):
    """One build by one backend; to make it fetches what the build needs beyond a compiler, cmake and ninja.

    Args:
        job: the plan, and where it is carried out.

    Raises:
        FetchError: what it needs cannot be had.
    """

    compile_cache_tells = True
    """Whether the compile cache's statistics are about this build."""
    reader: Reader
    """Follows the build's output."""

    def __init__(self, job: BuildJob) -> None:
        self.job = job

    @property
    def note(self) -> Path:
        """Return where the object with the ELF note is."""
        return self.job.work / "isa_note.o"

    @abstractmethod
    def lay_out(self) -> None:
        """Make the folders of the build; the work folder is there and empty."""

    @abstractmethod
    def variables(self, tools: BuildTools, jobs: int) -> dict[str, str]:
        """Return the whole environment of the build.

        Args:
            tools: compilers and helpers.
            jobs: compilers at once.
        """

    @abstractmethod
    def call(self, tools: BuildTools, environment: dict[str, str], follow: Follow) -> None:
        """Call the backend, which leaves a wheel in `wheel` of the work folder.

        Raises:
            BuildError: it failed; names the log and the first error.
        """

    @abstractmethod
    def evidence(self) -> Evidence:
        """Return what CMake and the compilers were given."""

    def licences(self, environment: dict[str, str]) -> dict[str, bytes]:  # noqa: ARG002
        """Return licence files of what was built in besides the source, by their paths in the wheel."""
        return {}


def carry_out(builder: Builder, tools: BuildTools, jobs: int, console: Console) -> BuiltWheel:
    """Carry a plan out.

    Args:
        builder: drives the backend.
        tools: compilers and helpers.
        jobs: compilers at once.
        console: shows the progress.

    Raises:
        BuildError: the engine did not configure, compile or link; names the log and the first error.
    """
    job = builder.job
    shutil.rmtree(job.work, ignore_errors=True)
    (job.work / "wheel").mkdir(parents=True)
    builder.lay_out()
    environment = builder.variables(tools, jobs)
    if NOTE_PLACEHOLDER in job.plan.builder.cmake.link_flags:
        build_note(tools.toolchain, job.plan.code, builder.note, environment, job.log)
    with console.steps("compiling") as steps:

        def follow(line: str) -> None:
            if builder.reader.feed(line):
                steps.advance(builder.reader.done, builder.reader.total, builder.reader.detail)

        builder.call(tools, environment, follow)
    wheels = list((job.work / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"the backend left {len(wheels)} wheels instead of one", hint=f"the full log is {job.log}")
    if job.base is not None:
        probe = job.base.cpuid_library
    else:
        probe = build_probe(tools.toolchain, job.plan.code, job.work, environment, job.log)
    return BuiltWheel(
        path=wheels[0],
        plan=job.plan,
        source=job.source,
        evidence=builder.evidence(),
        cpuid_library=probe,
        compiler=compiler_line(tools.toolchain),
        base=job.base,
        licences=builder.licences(environment),
    )
