"""Build a wheel through the engine's own PEP 517 backend, scikit-build-core."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from truewheel import process
from truewheel.build.builder import Builder, BuildJob, Follow
from truewheel.build.environment import build_environment
from truewheel.build.evidence import Evidence, read_evidence
from truewheel.build.product import BuildTools, process_reason
from truewheel.build.progress import NinjaReader
from truewheel.errors import BuildError, TruewheelError
from truewheel.fetch.source import SourceTree
from truewheel.machine.tools import search_path
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import ScikitBuildPlan
from truewheel.scratch import SCRATCH


class CMakeBuilder(Builder):
    """Builds with CMake through the engine's own PEP 517 backend, scikit-build-core."""

    def __init__(self, job: BuildJob, settings: ScikitBuildPlan) -> None:
        super().__init__(job)
        self.settings, self.reader = settings, NinjaReader()

    def lay_out(self) -> None:
        """Leave all folders to the backend."""

    def variables(self, tools: BuildTools, jobs: int) -> dict[str, str]:
        """Return the environment that a plan is carried out in."""
        return build_variables(self.settings, self.job.source, tools, self.job.work, jobs)

    def call(self, tools: BuildTools, environment: dict[str, str], follow: Follow) -> None:
        """Call the backend's hooks in children whose output is logged and followed."""
        from build import BuildBackendException, BuildException, ProjectBuilder

        job, tree = self.job, self.job.source.path
        settings = config_settings(self.settings, tree, job.work / "build", tools, self.note)

        def runner(
            cmd: Sequence[str],
            cwd: str | None = None,
            extra_environ: Mapping[str, str] | None = None,
        ) -> None:
            done = process.run(
                cmd,
                env={**environment, **(extra_environ or {})},
                cwd=Path(cwd) if cwd is not None else None,
                log=job.log,
                on_line=follow,
            )
            if done.returncode != 0:
                reason = self.reader.error or process_reason(done.output)
                raise BuildError(f"the build failed: {reason}", hint=f"the full log is {job.log}")

        hint = f"the full log is {job.log}"
        try:
            with SCRATCH.for_libraries():
                project = ProjectBuilder(tree, python_executable=sys.executable, runner=runner)
                project.build("wheel", job.work / "wheel", settings)
        except BuildBackendException as error:
            # The frontend wraps whatever the runner raises; ours already says all.
            if isinstance(error.exception, TruewheelError):
                raise error.exception from None
            raise BuildError(f"the engine's build failed: {error.exception}", hint=hint) from error
        except BuildException as error:
            raise BuildError(f"the engine's build cannot be started: {error}", hint=hint) from error

    def evidence(self) -> Evidence:
        """Return CMake's cache and the compile commands."""
        return read_evidence(self.job.work / "build", self.job.source.path)


def config_settings(
    plan: ScikitBuildPlan, source: Path, build: Path, tools: BuildTools, note: Path
) -> dict[str, str | list[str]]:
    """Return scikit-build-core's settings for a plan."""
    link_flags = " ".join(shlex.quote(flag.replace(NOTE_PLACEHOLDER, str(note))) for flag in plan.cmake.link_flags)
    settings: dict[str, str | list[str]] = {
        "build-dir": str(build),
        "build.verbose": "false",
        "cmake.build-type": "Release",
        "cmake.args": ["-G", "Ninja"],
        "search.site-packages": "false",
        "logging.level": "WARNING",
        "wheel.exclude": list(plan.exclude),
    }
    flags = " ".join(shlex.quote(_place(flag, source, build)) for flag in plan.cmake.c_flags)
    defines = {
        **plan.cmake.defines,
        "CMAKE_C_FLAGS": flags,
        "CMAKE_CXX_FLAGS": flags,
        "CMAKE_SHARED_LINKER_FLAGS": link_flags,
        "CMAKE_MODULE_LINKER_FLAGS": link_flags,
        "CMAKE_MAKE_PROGRAM": str(tools.ninja.path),
    }
    archivers = {"CMAKE_AR": tools.toolchain.ar, "CMAKE_RANLIB": tools.toolchain.ranlib}
    defines |= {name: path for name, path in archivers.items() if path}
    if tools.cache is not None and tools.cache.launcher:
        defines |= {
            "CMAKE_C_COMPILER_LAUNCHER": tools.cache.launcher,
            "CMAKE_CXX_COMPILER_LAUNCHER": tools.cache.launcher,
        }
    settings |= {f"cmake.define.{key}": value for key, value in defines.items()}
    return settings


def _place(text: str, source: Path, build: Path) -> str:
    return text.replace(SOURCE_PLACEHOLDER, str(source)).replace(BUILD_PLACEHOLDER, str(build))


def build_variables(
    plan: ScikitBuildPlan, source: SourceTree, tools: BuildTools, work: Path, jobs: int
) -> dict[str, str]:
    """Return the environment that a plan is carried out in."""
    # zig remembers objects whether it is asked to or not: without a cache it does so in the work folder.
    cache = tools.cache.environment if tools.cache else {"ZIG_LOCAL_CACHE_DIR": str(work / "zig-cache")}
    extra = {
        "CC": tools.toolchain.cc,
        "CXX": tools.toolchain.cxx,
        "CMAKE_EXECUTABLE": str(tools.cmake.path),
        "CMAKE_GENERATOR": "Ninja",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
        "NINJA_STATUS": "[%f/%t] ",
        **cache,
    }
    path = search_path(tools.cmake, tools.ninja)
    return build_environment(plan.environment, source=source.path, search_path=path, extra=extra)
