"""The pure function from recipe, profile, compiler and machine to a plan, and the plan's digest."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from truewheel.config.tables import PackageSource, Profile, Recipe
from truewheel.cpu.features import engine_names
from truewheel.cpu.host import Host
from truewheel.cpu.levels import level_features
from truewheel.errors import PlanError
from truewheel.toolchain.probe import Toolchain

SOURCE_PLACEHOLDER = "{source}"
BUILD_PLACEHOLDER = "{build}"
"""Folders stand in a plan as placeholders, so that the same plan is the same on every machine."""

_GGML_ISA = {
    "GGML_SSE42": "sse4_2",
    "GGML_AVX": "avx",
    "GGML_AVX_VNNI": "avx_vnni",
    "GGML_AVX2": "avx2",
    "GGML_BMI2": "bmi2",
    "GGML_FMA": "fma",
    "GGML_F16C": "f16c",
    "GGML_AVX512": "avx512f",
    "GGML_AVX512_VBMI": "avx512vbmi",
    "GGML_AVX512_VNNI": "avx512_vnni",
    "GGML_AVX512_BF16": "avx512_bf16",
    "GGML_AMX_TILE": "amx_tile",
    "GGML_AMX_INT8": "amx_int8",
    "GGML_AMX_BF16": "amx_bf16",
}
"""Every ISA option of ggml's x86 CMake and the feature it stands for (ggml/CMakeLists.txt)."""


class PlannedSource(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is built: name, version, and hashes of everything that decides its content."""

    kind: str
    name: str
    version: str
    sha256: str
    patches: tuple[str, ...]
    exclude: tuple[str, ...]
    commit: dict[str, str]


class PlannedToolchain(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Which compiler builds it; where it lies does not matter to the result."""

    kind: str
    version: str
    target: str
    native_cpu: str
    isa_note: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Everything that decides what a build gives, and nothing that does not.

    Attributes:
        schema: version of this format.
        truewheel: version of this program.
        builder: hash of this program's own code.
        engine: engine name.
        import_name: package that the wheel installs.
        driver: smoke driver.
        profile: variant label.
        source: what is built.
        toolchain: by what.
        tools: versions of the helpers: build backend, cmake, ninja.
        level: the x86-64 level that the code needs.
        march: the value of `-march` that the ISA-bearing units are compiled with, or empty.
        features: every CPU feature that the code may use, sorted.
        engine_features: what the engine's own system info must say is on, sorted.
        defines: CMake definitions.
        c_flags: flags of C and C++ compilers.
        link_flags: linker flags for shared libraries.
        environment: variables of the build, beyond PATH and HOME.
        build_tag: the wheel's build tag.
        platform: the wheel's platform tag.
        backend: PEP 517 backend.
        wheel_exclude: what the backend leaves out of the wheel.
        license_files: licences that are copied into the wheel.
        isa_units: compile units that carry the ISA flags.
        isa_library: the library that is built for the level.
        max_wheel_mib: largest wheel that passes, MiB.
        in_process: refuse a wheel where the smoke child cannot be kept from starting processes and opening sockets.
        dispatched: libraries that the engine chooses at run time.
    """

    schema: int
    truewheel: str
    builder: str
    engine: str
    import_name: str
    driver: str
    profile: str
    source: PlannedSource
    toolchain: PlannedToolchain
    tools: dict[str, str]
    level: str
    march: str
    features: tuple[str, ...]
    engine_features: tuple[str, ...]
    defines: dict[str, str]
    c_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    environment: dict[str, str]
    build_tag: str
    platform: str
    backend: str
    wheel_exclude: tuple[str, ...]
    license_files: tuple[str, ...]
    isa_units: tuple[str, ...]
    isa_library: str
    max_wheel_mib: float
    in_process: bool
    dispatched: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the plan, hexadecimal: cache key, identity, provenance."""
        without_tag = msgspec.structs.replace(self, build_tag="")
        return hashlib.sha256(msgspec.json.encode(without_tag, order="deterministic")).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the plan and its digest as plain data."""
        table: dict[str, Any] = msgspec.to_builtins(self)
        return {"digest": self.digest, **table}


def check_platform(host: Host) -> None:
    """Refuse machines that no profile is for yet.

    Raises:
        PlanError: the system or the architecture is not supported.
    """
    if host.system != "Linux":
        raise PlanError(f"{host.system} is not supported yet: truewheel builds on Linux", hint="use a Linux machine")
    if host.machine != "x86_64":
        raise PlanError(
            f"{host.machine} is not supported yet: truewheel builds for x86-64", hint="use an x86-64 machine"
        )
    if not host.libc.startswith("glibc"):
        raise PlanError(
            f"the C library {host.libc} is not supported yet: truewheel builds for glibc", hint="musl is not"
        )


def make_plan(
    recipe: Recipe,
    profile: Profile,
    toolchain: Toolchain,
    host: Host,
    *,
    source: PlannedSource,
    tools: dict[str, str],
    version: str,
    builder: str,
) -> Plan:
    """Return the plan for one recipe and profile; nothing is done and nothing is looked up.

    Args:
        recipe: what is built.
        profile: how.
        toolchain: a compiler that passed its trial.
        host: the machine, which matters to `native` profiles alone.
        source: the recipe's source with the hashes of its patches.
        tools: versions of the build's helpers.
        version: version of truewheel.
        builder: hash of truewheel's code.

    Raises:
        PlanError: the combination makes no sense.
    """
    check_platform(host)
    if profile.openmp and toolchain.kind == "zig":
        raise PlanError(
            f"profile {profile.label}: zig has no OpenMP run-time",
            hint="set openmp = false, or choose another toolchain",
        )
    native = profile.level == "native"
    if recipe.build.isa == "none":
        # Nothing of the engine is compiled for a CPU, so nothing may be claimed or demanded.
        level, wanted, march = "x86-64", frozenset[str](), ""
    elif native:
        level, wanted, march = host.level, frozenset(toolchain.native_features), "native"
    else:
        level, wanted, march = profile.level, level_features(profile.level), ""
    features = tuple(sorted(wanted))
    defines = _defines(recipe, profile, features, native=native)
    plan = Plan(
        schema=1,
        truewheel=version,
        builder=builder,
        engine=recipe.engine.name,
        import_name=recipe.engine.import_name,
        driver=recipe.engine.driver,
        profile=profile.label,
        source=source,
        toolchain=PlannedToolchain(
            kind=toolchain.kind,
            version=toolchain.version,
            target=toolchain.target,
            native_cpu=toolchain.native_cpu if native else "",
            isa_note=toolchain.isa_note,
        ),
        tools=dict(sorted(tools.items())),
        level=level,
        march=march,
        features=features,
        engine_features=tuple(sorted(engine_names(features))),
        defines=defines,
        # zig writes debug sections unless it is told not to: a fifth more time, objects five times as large.
        c_flags=(
            "-g0",
            f"-ffile-prefix-map={SOURCE_PLACEHOLDER}=.",
            f"-ffile-prefix-map={BUILD_PLACEHOLDER}=.",
            *profile.flags,
        ),
        link_flags=("-s", *((f"-Wl,-z,{level}",) if toolchain.isa_note and level != "x86-64" else ())),
        # The engine's CMake asks git for a commit and would find a repository around the cache folder.
        environment={"GIT_CEILING_DIRECTORIES": "{sources}", "LC_ALL": "C.UTF-8"},
        build_tag="",
        platform="linux_x86_64",
        backend=recipe.build.backend,
        wheel_exclude=recipe.build.wheel_exclude,
        license_files=recipe.package.license_files,
        isa_units=recipe.checks.isa_units,
        isa_library=recipe.checks.isa_library,
        max_wheel_mib=recipe.checks.max_wheel_mib,
        in_process=recipe.checks.in_process,
        dispatched=recipe.checks.dispatched,
    )
    name = f"{profile.label}_{toolchain.native_cpu}" if native and toolchain.native_cpu else profile.label
    return msgspec.structs.replace(plan, build_tag=f"1_{name}_{plan.digest[:8]}")


def planned_source(recipe: Recipe, patches: dict[str, bytes], tree_sha256: str) -> PlannedSource:
    """Return a recipe's source with the hash of each patch.

    Args:
        recipe: the recipe.
        patches: content of its patch files by name, in the order of application, which matters.
        tree_sha256: hash of a path source's tree; unused for a package.
    """
    hashes = tuple(f"{name} sha256:{hashlib.sha256(data).hexdigest()}" for name, data in patches.items())
    source = recipe.source
    package = isinstance(source, PackageSource)
    return PlannedSource(
        kind="package" if package else "path",
        name=source.name if isinstance(source, PackageSource) else recipe.engine.name,
        version=source.version,
        sha256=source.sha256 if isinstance(source, PackageSource) else tree_sha256,
        patches=hashes,
        exclude=source.exclude,
        commit=dict(recipe.build.commit),
    )


def cmake_value(value: bool | int | str) -> str:
    """Spell a definition's value as CMake does."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def _defines(recipe: Recipe, profile: Profile, features: tuple[str, ...], *, native: bool) -> dict[str, str]:
    """Merge the recipe's definitions, the ISA options, and the profile's, each given explicitly."""
    defines = {key: cmake_value(value) for key, value in recipe.build.define.items()}
    if recipe.build.isa == "ggml":
        defines["GGML_NATIVE"] = cmake_value(native)
        # Beside GGML_NATIVE the engine takes no notice of these; they are given all the same, so that
        # no default, which depends on the environment, ever decides.
        defines |= {option: cmake_value(feature in features) for option, feature in _GGML_ISA.items()}
        defines["GGML_OPENMP"] = cmake_value(profile.openmp)
        defines["GGML_LTO"] = cmake_value(profile.lto)
        for name, commit in recipe.build.commit.items():
            if name == "llama.cpp":
                defines |= {"LLAMA_BUILD_COMMIT": commit[:9], "LLAMA_BUILD_NUMBER": "0", "LLAMA_BUILD_IS_DEV": "OFF"}
    elif profile.lto:
        defines["CMAKE_INTERPROCEDURAL_OPTIMIZATION"] = "ON"
    defines |= {key: cmake_value(value) for key, value in profile.define.items()}
    defines["CMAKE_INSTALL_RPATH"] = "$ORIGIN"
    defines["CMAKE_EXPORT_COMPILE_COMMANDS"] = "ON"
    return dict(sorted(defines.items()))
