"""Build the wheel of a Rust engine with maturin, linked with the libraries of another build or of a crate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from truewheel import process
from truewheel.build.crates import crate_folders, for_each_folder, read_licences
from truewheel.build.environment import build_environment
from truewheel.build.evidence import CrateUnit, Evidence, read_crate_unit, read_evidence
from truewheel.build.libraries import take_libraries
from truewheel.build.objects import build_cpuid, build_note, compiler_line
from truewheel.build.product import BuildTools, BuiltWheel, process_reason
from truewheel.console import Console
from truewheel.errors import BuildError
from truewheel.fetch.source import SourceTree
from truewheel.machine.rust import TARGET, RustToolchain, header_folders, rust_environment
from truewheel.machine.tools import Tool, search_path
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, CRATES_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import BundledLibraries, CMakeSettings, MaturinPlan, Plan, TakenLibraries

_COMPILING = re.compile(r"^\s*Compiling (?P<what>\S+ v\S+)")
_ERROR = re.compile(r"^(?P<text>(?:error(?:\[E\d+\])?: .*|.*panicked at .*|💥 .*))$")


class RustTools(msgspec.Struct, frozen=True, kw_only=True):
    """The programs of a Rust build beyond those of every build.

    Attributes:
        rust: cargo and rustc.
        maturin: maturin.
        libclang: the library that bindgen reads headers with.
        kept: folder where what only helps to build is kept from build to build; None for the work folder.
    """

    rust: RustToolchain
    maturin: Tool
    libclang: Tool
    kept: Path | None = None


class _Reader:
    """Follow cargo's output: which crates are compiled, how, and the first error."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.detail, self.error = 0, total, "", ""
        self.crates: list[CrateUnit] = []

    def feed(self, line: str) -> bool:
        """Take one line; return whether it moved the progress."""
        if match := _COMPILING.match(line):
            self.done, self.detail = self.done + 1, match["what"]
            self.total = max(self.total, self.done)
            return True
        if unit := read_crate_unit(line, TARGET):
            self.crates.append(unit)
        elif not self.error and (found := _ERROR.match(line.strip())):
            self.error = found["text"]
        return False


def build_rust_wheel(
    plan: Plan,
    builder: MaturinPlan,
    source: SourceTree,
    tools: BuildTools,
    rust: RustTools,
    base: BuiltWheel | None,
    *,
    work: Path,
    log: Path,
    jobs: int,
    console: Console,
) -> BuiltWheel:
    """Carry the plan of a Rust engine out.

    Args:
        plan: what to build.
        builder: its part for this backend.
        source: the patched tree, a workspace with a pyproject.toml for maturin.
        tools: compilers and helpers.
        rust: Rust's.
        base: the build that its C++ libraries are taken from; None where a crate builds them.
        work: the folder; what it held before is deleted.
        log: gets everything that is printed, behind what it holds of the fetching of crates.
        jobs: compilers at once.
        console: shows the progress.

    Raises:
        BuildError: it did not compile or link; names the log and the first error.
    """
    shutil.rmtree(work, ignore_errors=True)
    tree = work / "source"
    work.mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source.path, tree)
    note = work / "isa_note.o"
    target = rust.kept or work / "target"
    # Macros, build scripts and bindgen are for this machine, the same for every profile, and most of the work. What
    # is compiled for the wheel never stays: each of its crates is compiled, and seen to be compiled, anew.
    shutil.rmtree(target / TARGET, ignore_errors=True)
    environment = {**_environment(builder, tree, tools, rust, work, jobs), "CARGO_TARGET_DIR": str(target)}
    if NOTE_PLACEHOLDER in builder.cmake.link_flags:
        build_note(tools.toolchain, plan.code.level, note, environment, log)
    if base is not None and isinstance(builder.libraries, TakenLibraries):
        environment |= _library_variables(builder.libraries, base, work / "libraries", tree)
    with console.steps("compiling") as steps:
        reader = _Reader(_count_crates(tree))

        def follow(line: str) -> None:
            if reader.feed(line):
                steps.advance(reader.done, reader.total, reader.detail)

        _call_maturin(builder, rust, tree, work / "wheel", environment, log, follow, reader)
    wheels = list((work / "wheel").glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"maturin left {len(wheels)} wheels instead of one", hint=f"the full log is {log}")
    compiled = {unit.crate for unit in reader.crates}
    told = base.evidence if base else _crate_evidence(builder, target, tree)
    return BuiltWheel(
        path=wheels[0],
        plan=plan,
        source=source,
        evidence=Evidence(told.cmake_cache, told.units, tuple(reader.crates)),
        cpuid_library=base.cpuid_library if base else build_cpuid(tools.toolchain, work, environment, log),
        compiler=compiler_line(tools.toolchain),
        base=base,
        licences={"crates.txt": read_licences(rust.rust.cargo, tree, TARGET, compiled, environment, log)},
    )


def _environment(
    planned: MaturinPlan, tree: Path, tools: BuildTools, rust: RustTools, work: Path, jobs: int
) -> dict[str, str]:
    toolchain = tools.toolchain
    cache = tools.cache.environment if tools.cache else {"ZIG_LOCAL_CACHE_DIR": str(work / "zig-cache")}
    crates = crate_folders()
    flags = [
        flag.replace(SOURCE_PLACEHOLDER, str(tree)).replace(NOTE_PLACEHOLDER, str(work / "isa_note.o"))
        for flag in for_each_folder(planned.flags, crates)
    ]
    triple = TARGET.replace("-", "_")
    extra = {
        **rust_environment(),
        **planned.profile,
        # Not RUSTFLAGS: a folder's name may hold a space.
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "CARGO_BUILD_JOBS": str(jobs),
        "CARGO_TERM_COLOR": "never",
        f"CARGO_TARGET_{triple.upper()}_LINKER": toolchain.cc,
        f"CC_{triple}": toolchain.cc,
        f"CXX_{triple}": toolchain.cxx,
        "CMAKE": str(tools.cmake.path),
        "CMAKE_GENERATOR": "Ninja",
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
        "LIBCLANG_PATH": str(rust.libclang.path.parent),
        "BINDGEN_EXTRA_CLANG_ARGS": " ".join(f'-isystem "{folder}"' for folder in header_folders(toolchain)),
        **cache,
    }
    if toolchain.ar:
        extra |= {f"AR_{triple}": toolchain.ar, f"RANLIB_{triple}": toolchain.ranlib}
    if isinstance(planned.libraries, BundledLibraries):
        # The crate's build script passes on what is named so.
        extra |= planned.cmake.defines
        flags_of_c = _flags(planned.cmake, tree, crates)
        extra |= {f"CFLAGS_{triple}": flags_of_c, f"CXXFLAGS_{triple}": flags_of_c}
    path = search_path(tools.cmake, tools.ninja)
    path = f"{rust.rust.cargo.parent}:{path}"
    return build_environment(planned.environment, source=tree, search_path=path, extra=extra)


def _flags(cmake: CMakeSettings, tree: Path, crates: list[Path]) -> str:
    """Return the flags of C and C++ for a crate that compiles some: its sources lie where cargo keeps crates."""
    flags = [flag.replace(SOURCE_PLACEHOLDER, str(tree)) for flag in cmake.c_flags if BUILD_PLACEHOLDER not in flag]
    return " ".join([*flags, *for_each_folder([f"-ffile-prefix-map={CRATES_PLACEHOLDER}=crates"], crates)])


def _library_variables(libraries: TakenLibraries, base: BuiltWheel, taken: Path, tree: Path) -> dict[str, str]:
    """Put the libraries where maturin packs them, and tell our binding crate of them."""
    digest = take_libraries(base.path, libraries.take, taken)
    shutil.copytree(taken, tree / "python", dirs_exist_ok=True)
    folders = {(taken / path).parent for path in libraries.link}
    if len(folders) != 1:
        raise BuildError("libraries.link in the recipe names libraries of several folders, or none")
    names = [path.rpartition("/")[2].removeprefix("lib").removesuffix(".so") for path in libraries.link]
    return {
        "LLAMA_CPP_LIBRARIES": str(folders.pop()),
        "LLAMA_CPP_LIBRARIES_SHA256": digest,
        "LLAMA_CPP_LINK": ",".join(names),
        "LLAMA_CPP_INCLUDE": ":".join(str(base.source.path / folder) for folder in libraries.headers),
    }


def _count_crates(tree: Path) -> int:
    try:
        return len(msgspec.toml.decode((tree / "Cargo.lock").read_bytes())["package"])
    except (OSError, KeyError, msgspec.DecodeError):
        return 0


def _call_maturin(
    planned: MaturinPlan,
    rust: RustTools,
    tree: Path,
    target: Path,
    environment: dict[str, str],
    log: Path,
    follow: Callable[[str], None],
    reader: _Reader,
) -> None:
    command: list[str | Path] = [rust.maturin.path, "build", "--release", "--locked", "--verbose", "--target", TARGET]
    command += ["--auditwheel", "skip", "--compatibility", "linux", "--out", target]
    if planned.features:
        command += ["--features", ",".join(planned.features)]
    done = process.run(command, env=environment, cwd=tree, log=log, on_line=follow)
    if done.returncode != 0:
        reason = reader.error or process_reason(done.output)
        raise BuildError(f"the Rust build failed: {reason}", hint=f"the full log is {log}")


def _crate_evidence(planned: MaturinPlan, target: Path, tree: Path) -> Evidence:
    """Read what the crate's build script made CMake do; nothing is found where it called none."""
    crate = planned.libraries.crate if isinstance(planned.libraries, BundledLibraries) else ""
    builds = sorted(target.glob(f"{planned.target}/release/build/{crate}-*/out/build"))
    if not builds:
        return Evidence({}, ())
    # Units are named relative to the copy that was compiled, which lies wherever cargo keeps crates.
    home = read_evidence(builds[0], tree).cmake_cache.get("CMAKE_HOME_DIRECTORY", "")
    return read_evidence(builds[0], Path(home or tree))
