"""The pure function from recipe, profile, compiler and machine to a plan, and the plan's digest."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from truewheel.config.tables import CrateLibraries, PackageSource, Profile, Recipe, RecipeLibraries
from truewheel.cpu.features import engine_names, engine_options, feature_table, with_implied
from truewheel.cpu.host import Host
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.errors import PlanError
from truewheel.machine.probe import Toolchain
from truewheel.plan.backends import PlannedBackend, plan_backends
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.rust import Origin, PlannedLibraries, PlannedRust, plan_libraries, plan_rust, renamed
from truewheel.targets.targets import target_of, zig_target

_SAFE_EVERYWHERE = 2
"""Build number of wheels that choose at run time; all others have 1."""


class Changes(NamedTuple):
    """What a recipe changes in its source.

    Attributes:
        patches: content of its patches by name, in the order of application.
        added: content of the files that it adds, by their paths in the source tree.
    """

    patches: dict[str, bytes]
    added: dict[str, bytes]


class PlannedSource(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is built: name, version, and hashes of everything that decides its content."""

    kind: str
    name: str
    version: str
    sha256: str
    patches: tuple[str, ...]
    exclude: tuple[str, ...]
    commit: dict[str, str]
    added: tuple[str, ...] = ()


class PlannedToolchain(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Which compiler builds it; where it lies does not matter to the result."""

    kind: str
    version: str
    target: str
    native_cpu: str
    isa_note: str


class Expectation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a wheel is held to: it decides what is proven, and no byte of the wheel.

    Attributes:
        prover: hash of the part of this program that proves wheels.
        driver: smoke driver.
        isa_units: compile units that carry the ISA flags.
        isa_library: the library that is built for the level, where it is no backend.
        max_wheel_mib: largest wheel that passes, MiB.
        in_process: refuse a wheel where the smoke child cannot be kept from starting processes and opening sockets.
    """

    prover: str
    driver: str
    isa_units: tuple[str, ...]
    isa_library: str
    max_wheel_mib: float
    in_process: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Everything that decides what a build gives and what is proven of it, and nothing that does not.

    Attributes:
        schema: version of this format.
        truewheel: version of this program.
        builder: hash of the part of this program that writes wheels.
        engine: engine name.
        import_name: package that the wheel installs.
        profile: variant label.
        source: what is built.
        toolchain: by what.
        tools: versions of the helpers: build backend, cmake, ninja.
        level: the x86-64 level that the code needs.
        march: the value of `-march` that the ISA-bearing units are compiled with, or empty.
        features: every CPU feature that the CPU must have, sorted.
        engine_features: what the engine's own system info must say is on, sorted; with several backends it is
            what the chosen one was compiled for.
        defines: CMake definitions.
        c_flags: flags of C and C++ compilers.
        link_flags: linker flags for shared libraries.
        environment: variables of the build, beyond PATH and HOME.
        number: the wheel's build number.
        label: what its build tag says of the variant.
        platform: the wheel's platform tag.
        backend: PEP 517 backend.
        wheel_exclude: what the backend leaves out of the wheel.
        license_files: licences that are copied into the wheel.
        expect: what it is held to.
        backends: CPU backends of the wheel, the best first; the first that a CPU can run is loaded.
        loader: the library of the wheel that loads them; empty without backends.
        rust: how the Rust of the engine is built; None for an engine without.
        libraries: where a Rust engine's C++ libraries come from; None for an engine without.
    """

    schema: int
    truewheel: str
    builder: str
    engine: str
    import_name: str
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
    number: int
    label: str
    platform: str
    backend: str
    wheel_exclude: tuple[str, ...]
    license_files: tuple[str, ...]
    expect: Expectation
    backends: tuple[PlannedBackend, ...] = ()
    loader: str = ""
    rust: PlannedRust | None = None
    libraries: PlannedLibraries | None = None

    @property
    def digest(self) -> str:
        """Return the SHA-256 of what decides the wheel's bytes, hexadecimal: its name, cache key, provenance."""
        return _digest(self._bytes())

    @property
    def proof(self) -> str:
        """Return the SHA-256 of what decides what is proven of it: the digest, and what the wheel is held to."""
        return _digest([self.digest, self.expect])

    @property
    def build_tag(self) -> str:
        """Return the wheel's build tag."""
        return f"{self.number}_{self.label}_{self.digest[:8]}"

    def _bytes(self) -> dict[str, Any]:
        table: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in table.items() if key != "expect"}

    def to_dict(self) -> dict[str, Any]:
        """Return the plan, its digests and its build tag as plain data."""
        table: dict[str, Any] = msgspec.to_builtins(self)
        return {"digest": self.digest, "proof": self.proof, "build-tag": self.build_tag, **table}

    def to_wheel(self) -> dict[str, Any]:
        """Return what the wheel itself carries of it: nothing that does not decide its bytes."""
        return {"digest": self.digest, "build-tag": self.build_tag, **self._bytes()}


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


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
    prover: str,
    rust: str = "",
    base: Plan | None = None,
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
        builder: hash of the code that writes wheels.
        prover: hash of the code that proves them.
        rust: version of rustc, for an engine that has Rust.
        base: the plan of the recipe that an engine's libraries are taken from, for the same profile.

    Raises:
        PlanError: the combination makes no sense.
    """
    target = target_of(host)
    _refuse_nonsense(recipe, profile, toolchain)
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
        level, wanted, march = profile.level, level_features(profile.level) | with_implied(profile.features), ""
    features = tuple(sorted(wanted))
    backends = plan_backends(recipe, profile, features, native=native)
    defines = _defines(recipe, profile, features, backends, native=native)
    loader = recipe.backends.loader if recipe.backends and backends else ""
    link_flags = ("-s", *_note_flags(toolchain, level))
    libraries = plan_libraries(recipe, _origin(base) if base else None)
    if base is not None and isinstance(recipe.libraries, RecipeLibraries):
        # What the libraries were built by is what this engine's code was built by: it is shown and checked as such.
        take, defines = recipe.libraries.take, base.defines
        loader = renamed(base.loader, take)
        backends = tuple(
            msgspec.structs.replace(backend, library=renamed(backend.library, take)) for backend in base.backends
        )
    return Plan(
        schema=2,
        truewheel=version,
        builder=builder,
        engine=recipe.engine.name,
        import_name=recipe.engine.import_name,
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
        engine_features=() if profile.dispatch else tuple(sorted(engine_names(features))),
        defines=defines,
        # zig writes debug sections unless it is told not to: a fifth more time, objects five times as large.
        c_flags=(
            "-g0",
            f"-ffile-prefix-map={SOURCE_PLACEHOLDER}=.",
            f"-ffile-prefix-map={BUILD_PLACEHOLDER}=.",
            *profile.flags,
        ),
        link_flags=link_flags,
        # The engine's CMake asks git for a commit and would find a repository around the cache folder.
        environment={"GIT_CEILING_DIRECTORIES": "{sources}", "LC_ALL": "C.UTF-8"},
        # Of wheels with the same tags pip takes the highest build number: that must be the one that runs everywhere.
        number=_SAFE_EVERYWHERE if profile.dispatch else 1,
        label=f"{profile.label}_{toolchain.native_cpu}" if native and toolchain.native_cpu else profile.label,
        platform=target.platform(profile.glibc),
        backend=recipe.build.backend,
        wheel_exclude=recipe.build.wheel_exclude,
        license_files=recipe.package.license_files,
        expect=Expectation(
            prover=prover,
            driver=recipe.engine.driver,
            isa_units=recipe.checks.isa_units,
            isa_library=recipe.checks.isa_library,
            max_wheel_mib=_max_wheel_mib(recipe, profile, base),
            in_process=recipe.checks.in_process,
        ),
        backends=backends,
        loader=loader,
        rust=plan_rust(profile, features, link_flags, rust, native=native) if rust else None,
        libraries=libraries,
    )


def _origin(base: Plan) -> Origin:
    source = base.source
    return Origin(base.digest, source.version, source.sha256, dict(source.commit), base.license_files)


def _note_flags(toolchain: Toolchain, level: str) -> tuple[str, ...]:
    """Return what makes the linker mark a library with the level that it needs."""
    if level == LEVELS[0]:
        return ()
    return (f"-Wl,-z,{level}",) if toolchain.isa_note == "linker" else (NOTE_PLACEHOLDER,)


def _max_wheel_mib(recipe: Recipe, profile: Profile, base: Plan | None) -> float:
    if profile.dispatch and base is not None:
        return base.expect.max_wheel_mib
    if profile.dispatch and recipe.backends and recipe.backends.max_wheel_mib:
        return recipe.backends.max_wheel_mib
    return recipe.checks.max_wheel_mib


def _refuse_nonsense(recipe: Recipe, profile: Profile, toolchain: Toolchain) -> None:
    """Refuse what the tables allow and nobody can build."""
    if unknown := sorted(set(profile.features) - feature_table().keys()):
        raise PlanError(
            f"profile {profile.label}: features: {unknown[0]!r} is no known CPU feature",
            hint=f"known are: {', '.join(sorted(feature_table()))}",
        )
    if profile.level == "native" and (profile.features or profile.dispatch or profile.glibc):
        raise PlanError(
            f"profile {profile.label}: level native takes all from this machine: no features, dispatch or glibc",
            hint='name a level, e.g. level = "x86-64-v3"',
        )
    variants = recipe.backends.variant if recipe.backends and recipe.build.isa != "none" else ()
    if profile.dispatch and not variants and not isinstance(recipe.libraries, RecipeLibraries):
        raise PlanError(
            f"profile {profile.label}: {recipe.engine.name} has no backends to choose from at run time",
            hint="the recipe names them in [[backends.variant]]",
        )
    if profile.glibc and not toolchain.target.endswith(f".{profile.glibc}"):
        raise PlanError(
            f"profile {profile.label}: {toolchain.kind} {toolchain.version} cannot build for glibc {profile.glibc}",
            hint=f'zig builds for {zig_target().floor}: toolchain = ["zig"] in the profile',
        )


def planned_source(recipe: Recipe, changes: Changes, tree_sha256: str) -> PlannedSource:
    """Return a recipe's source with the hash of each patch and of each file that is added.

    Args:
        recipe: the recipe.
        changes: content of its patches, whose order matters, and of the files that it adds.
        tree_sha256: hash of a path source's tree; unused for a package.
    """
    source = recipe.source
    package = isinstance(source, PackageSource)
    return PlannedSource(
        kind="package" if package else "path",
        name=source.name if isinstance(source, PackageSource) else recipe.engine.name,
        version=source.version,
        sha256=source.sha256 if isinstance(source, PackageSource) else tree_sha256,
        patches=_hashes(changes.patches),
        exclude=source.exclude,
        commit=dict(recipe.build.commit),
        added=_hashes(changes.added),
    )


def _hashes(files: dict[str, bytes]) -> tuple[str, ...]:
    return tuple(f"{name} sha256:{hashlib.sha256(data).hexdigest()}" for name, data in files.items())


def cmake_value(value: bool | int | str) -> str:
    """Spell a definition's value as CMake does."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def _defines(
    recipe: Recipe, profile: Profile, features: tuple[str, ...], backends: tuple[PlannedBackend, ...], *, native: bool
) -> dict[str, str]:
    """Merge the recipe's definitions, the ISA options, and the profile's, each given explicitly."""
    defines = {key: cmake_value(value) for key, value in recipe.build.define.items()}
    if recipe.build.isa == "ggml":
        defines["GGML_NATIVE"] = cmake_value(native)
        # Beside GGML_NATIVE the engine takes no notice of these; they are given all the same, so that
        # no default, which depends on the environment, ever decides.
        options = engine_options(() if profile.dispatch else features)
        defines |= {option: cmake_value(on) for option, on in options.items()}
        defines["GGML_OPENMP"] = cmake_value(profile.openmp)
        defines["GGML_LTO"] = cmake_value(profile.lto)
        for name, commit in recipe.build.commit.items():
            if name == "llama.cpp":
                defines |= {"LLAMA_BUILD_COMMIT": commit[:9], "LLAMA_BUILD_NUMBER": "0", "LLAMA_BUILD_IS_DEV": "OFF"}
    elif profile.lto:
        defines["CMAKE_INTERPROCEDURAL_OPTIMIZATION"] = "ON"
    if recipe.backends is not None:
        names = ";".join(backend.name for backend in backends)
        chosen = recipe.backends.several if profile.dispatch else recipe.backends.single
        defines |= {key: cmake_value(value).replace("{names}", names) for key, value in chosen.items()}
    defines |= {key: cmake_value(value) for key, value in profile.define.items()}
    if not isinstance(recipe.libraries, CrateLibraries):
        defines["CMAKE_INSTALL_RPATH"] = "$ORIGIN"
    defines["CMAKE_EXPORT_COMPILE_COMMANDS"] = "ON"
    return dict(sorted(defines.items()))
