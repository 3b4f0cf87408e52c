"""Build the wheel of a Rust engine with maturin, linked with the libraries of another build or of a crate."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec

from truewheel import process
from truewheel.build.builder import Builder, BuildJob, Follow
from truewheel.build.crates import crate_folders, fetch_crates, for_each_folder, read_licences
from truewheel.build.environment import build_environment
from truewheel.build.evidence import CrateUnit, Evidence, read_crate_unit, read_evidence
from truewheel.build.libraries import take_libraries
from truewheel.build.product import BuildTools, BuiltWheel, process_reason
from truewheel.decoding import UnreadableError, read_toml
from truewheel.errors import BuildError
from truewheel.machine.rust import find_rust, header_folders, rust_environment
from truewheel.machine.tools import fetch_tool, find_tool, search_path
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, CRATES_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import BundledLibraries, CMakeSettings, MaturinPlan, TakenLibraries

_COMPILING = re.compile(r"^\s*Compiling (?P<what>\S+ v\S+)")
_ERROR = re.compile(r"^(?P<text>(?:error(?:\[E\d+\])?: .*|.*panicked at .*|💥 .*))$")


class CargoReader:
    """Follow cargo's output: which crates are compiled, how, and the first error.

    Args:
        total: crates in all.
        target: target triple of the wheel.
    """

    def __init__(self, total: int, target: str) -> None:
        self.done, self.total, self.detail, self.error = 0, total, "", ""
        self.crates: list[CrateUnit] = []
        self._target = target

    def feed(self, line: str) -> bool:
        """Take one line; return whether it moved the progress."""
        if match := _COMPILING.match(line):
            self.done, self.detail = self.done + 1, match["what"]
            self.total = max(self.total, self.done)
            return True
        if unit := read_crate_unit(line, self._target):
            self.crates.append(unit)
        elif not self.error and (found := _ERROR.match(line.strip())):
            self.error = found["text"]
        return False


class CargoBuilder(Builder):
    """Builds with cargo through maturin, linked with the libraries of another build or of a crate."""

    compile_cache_tells = False
    reader: CargoReader

    def __init__(self, job: BuildJob, settings: MaturinPlan) -> None:
        super().__init__(job)
        self.settings = settings
        self.reader = CargoReader(_count_crates(job.source.path), settings.target)
        self.rust = find_rust()
        self.maturin, self.libclang = find_tool("maturin", job.say), fetch_tool("libclang", job.say)
        fetch_crates(self.rust.cargo, job.source.path, settings.target, job.log, job.say)
        # Macros, build scripts and bindgen are for this machine, the same for every profile, and most of the work.
        self.target = job.kept / f"rustc-{self.rust.version}" if job.kept else job.work / "target"
        self.tree = job.work / "source"

    def lay_out(self) -> None:
        """Copy the tree; what was compiled for a wheel never stays: each crate is seen to be compiled anew."""
        shutil.copytree(self.job.source.path, self.tree)
        shutil.rmtree(self.target / self.settings.target, ignore_errors=True)

    def variables(self, tools: BuildTools, jobs: int) -> dict[str, str]:
        """Return the variables of cargo, of the C compilers that crates call, and of the libraries."""
        environment = {**self._cargo_variables(tools, jobs), "CARGO_TARGET_DIR": str(self.target)}
        if self.job.base is not None and isinstance(self.settings.libraries, TakenLibraries):
            taken = self.job.work / "libraries"
            environment |= _library_variables(self.settings.libraries, self.job.base, taken, self.tree)
        return environment

    def call(self, tools: BuildTools, environment: dict[str, str], follow: Follow) -> None:  # noqa: ARG002
        """Call maturin."""
        command: list[str | Path] = [self.maturin.path, "build", "--release", "--locked", "--verbose"]
        command += ["--target", self.settings.target, "--auditwheel", "skip", "--compatibility", "linux"]
        command += ["--out", self.job.work / "wheel"]
        if self.settings.features:
            command += ["--features", ",".join(self.settings.features)]
        done = process.run(command, env=environment, cwd=self.tree, log=self.job.log, on_line=follow)
        if done.returncode != 0:
            reason = self.reader.error or process_reason(done.output)
            raise BuildError(f"the Rust build failed: {reason}", hint=f"the full log is {self.job.log}")

    def evidence(self) -> Evidence:
        """Return the calls of rustc, and what CMake was given for the libraries."""
        base = self.job.base
        told = base.evidence if base else _crate_evidence(self.settings, self.target, self.tree)
        return Evidence(told.cmake_cache, told.units, tuple(self.reader.crates))

    def licences(self, environment: dict[str, str]) -> dict[str, bytes]:
        """Return the licences of the crates."""
        compiled = {unit.crate for unit in self.reader.crates}
        text = read_licences(self.rust.cargo, self.tree, self.settings.target, compiled, environment, self.job.log)
        return {"crates.txt": text}

    def _cargo_variables(self, tools: BuildTools, jobs: int) -> dict[str, str]:
        toolchain, planned, work = tools.toolchain, self.settings, self.job.work
        cache = tools.cache.environment if tools.cache else {"ZIG_LOCAL_CACHE_DIR": str(work / "zig-cache")}
        crates = crate_folders()
        flags = [
            flag.replace(SOURCE_PLACEHOLDER, str(self.tree)).replace(NOTE_PLACEHOLDER, str(self.note))
            for flag in for_each_folder(planned.flags, crates)
        ]
        triple = planned.target.replace("-", "_")
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
            "LIBCLANG_PATH": str(self.libclang.path.parent),
            "BINDGEN_EXTRA_CLANG_ARGS": " ".join(f'-isystem "{folder}"' for folder in header_folders(toolchain)),
            **cache,
        }
        if toolchain.ar:
            extra |= {f"AR_{triple}": toolchain.ar, f"RANLIB_{triple}": toolchain.ranlib}
        if isinstance(planned.libraries, BundledLibraries):
            # The crate's build script passes on what is named so.
            extra |= planned.cmake.defines
            flags_of_c = _flags(planned.cmake, self.tree, crates)
            extra |= {f"CFLAGS_{triple}": flags_of_c, f"CXXFLAGS_{triple}": flags_of_c}
        path = f"{self.rust.cargo.parent}:{search_path(tools.cmake, tools.ninja)}"
        return build_environment(planned.environment, source=self.tree, search_path=path, extra=extra)


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


class _Lock(msgspec.Struct):
    package: tuple[dict[str, object], ...]


def _count_crates(tree: Path) -> int:
    try:
        return len(read_toml(tree / "Cargo.lock", _Lock).package)
    except UnreadableError:
        return 0


def _crate_evidence(planned: MaturinPlan, target: Path, tree: Path) -> Evidence:
    """Read what the crate's build script made CMake do; nothing is found where it called none."""
    crate = planned.libraries.crate if isinstance(planned.libraries, BundledLibraries) else ""
    builds = sorted(target.glob(f"{planned.target}/release/build/{crate}-*/out/build"))
    if not builds:
        return Evidence({}, ())
    # Units are named relative to the copy that was compiled, which lies wherever cargo keeps crates.
    home = read_evidence(builds[0], tree).cmake_cache.get("CMAKE_HOME_DIRECTORY", "")
    return read_evidence(builds[0], Path(home or tree))
