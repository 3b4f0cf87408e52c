"""Build a wheel through the engine's own PEP 517 backend, scikit-build-core."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from truewheel import process
from truewheel.build.environment import build_environment
from truewheel.build.evidence import read_evidence
from truewheel.build.objects import build_cpuid, build_note, compiler_line
from truewheel.build.product import BuildTools, BuiltWheel, process_reason
from truewheel.build.progress import BuildReader
from truewheel.console import Console
from truewheel.errors import BuildError, TruewheelError
from truewheel.fetch.source import SourceTree
from truewheel.machine.tools import search_path
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import Plan, ScikitBuildPlan


def build_wheel(
    plan: Plan,
    builder: ScikitBuildPlan,
    source: SourceTree,
    tools: BuildTools,
    *,
    work: Path,
    log: Path,
    jobs: int,
    console: Console,
) -> BuiltWheel:
    """Carry a plan out in a folder that is always the same, so that compile caches hit.

    Args:
        plan: what to build.
        builder: its part for this backend.
        source: the patched tree.
        tools: compilers and helpers.
        work: the folder; what it held before is deleted.
        log: gets everything that is printed.
        jobs: compilers at once.
        console: shows the progress.

    Raises:
        BuildError: the engine did not configure, compile or link; names the log and the first error.
    """
    shutil.rmtree(work, ignore_errors=True)
    (work / "wheel").mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    environment = build_variables(builder, source, tools, work, jobs)
    note = work / "isa_note.o"
    if NOTE_PLACEHOLDER in builder.cmake.link_flags:
        build_note(tools.toolchain, plan.code.level, note, environment, log)
    settings = config_settings(builder, source.path, work / "build", tools, note)
    with console.steps("compiling") as steps:
        reader = BuildReader()

        def follow(line: str) -> None:
            if reader.feed(line):
                steps.advance(reader.done, reader.total, reader.detail)

        _call_backend(source.path, work / "wheel", settings, environment, log, follow, reader)
    wheels = list((work / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"the backend left {len(wheels)} wheels instead of one", hint=f"the full log is {log}")
    return BuiltWheel(
        path=wheels[0],
        plan=plan,
        source=source,
        evidence=read_evidence(work / "build", source.path),
        cpuid_library=build_cpuid(tools.toolchain, work, environment, log),
        compiler=compiler_line(tools.toolchain),
    )


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


def _call_backend(
    source: Path,
    target: Path,
    settings: dict[str, str | list[str]],
    environment: dict[str, str],
    log: Path,
    follow: Callable[[str], None],
    reader: BuildReader,
) -> None:
    """Call the backend's hooks in children whose output is logged and followed."""
    from build import BuildBackendException, BuildException, ProjectBuilder

    def runner(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        done = process.run(
            cmd,
            env={**environment, **(extra_environ or {})},
            cwd=Path(cwd) if cwd is not None else None,
            log=log,
            on_line=follow,
        )
        if done.returncode != 0:
            reason = reader.error or process_reason(done.output)
            raise BuildError(f"the build failed: {reason}", hint=f"the full log is {log}")

    try:
        builder = ProjectBuilder(source, python_executable=sys.executable, runner=runner)
        builder.build("wheel", target, settings)
    except BuildBackendException as error:
        # The frontend wraps whatever the runner raises; ours already says all.
        if isinstance(error.exception, TruewheelError):
            raise error.exception from None
        raise BuildError(f"the engine's build failed: {error.exception}", hint=f"the full log is {log}") from error
    except BuildException as error:
        raise BuildError(f"the engine's build cannot be started: {error}", hint=f"the full log is {log}") from error
