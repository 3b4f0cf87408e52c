"""The plan: everything that decides a wheel and its proof, as complete values; and its two digests."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


class Planned(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The base of every part of a plan: frozen, and spelled as TOML spells keys."""


class PlannedSource(Planned, frozen=True, kw_only=True):
    """What is built: name, version, and hashes of everything that decides its content."""

    kind: str
    name: str
    version: str
    sha256: str
    patches: tuple[str, ...]
    exclude: tuple[str, ...]
    commit: dict[str, str]
    added: tuple[str, ...] = ()


class PlannedSubject(Planned, frozen=True, kw_only=True):
    """What is built, and which variant of it.

    Attributes:
        engine: engine name.
        import_name: package that the wheel installs.
        profile: variant label.
        source: its source.
    """

    engine: str
    import_name: str
    profile: str
    source: PlannedSource


class Writer(Planned, frozen=True, kw_only=True):
    """Who writes the wheel.

    Attributes:
        truewheel: version of this program.
        code: hash of the part of it that writes wheels.
    """

    truewheel: str
    code: str


class PlannedCompiler(Planned, frozen=True, kw_only=True):
    """Which compiler builds it; where it lies does not matter to the result."""

    kind: str
    version: str
    target: str
    isa_note: str


class ThisCpu(Planned, frozen=True, kw_only=True, tag="this"):
    """The code is for the CPU of the machine that builds it.

    Attributes:
        family: the oldest family of CPUs that has the features, as a part of the build tag; empty where none is known.
        tuning: what the compiler takes the CPU for, and tunes the code for; it may name another family.
    """

    family: str
    tuning: str


class EveryCpu(Planned, frozen=True, kw_only=True, tag="every"):
    """The code is for every CPU that has the features."""


class PlannedBackend(Planned, frozen=True, kw_only=True):
    """A CPU backend of the wheel, loaded when it is imported.

    Attributes:
        name: the engine's name of it, or the profile's label where it is the only one.
        library: its library in the wheel.
        target: its CMake target.
        features: CPU features that its code may use, sorted.
        flags: what its compile units, and no others, are given, sorted.
    """

    name: str
    library: str
    target: str
    features: tuple[str, ...]
    flags: tuple[str, ...]


class LinkedKernels(Planned, frozen=True, kw_only=True, tag="linked"):
    """The engine's kernels are linked into its libraries."""


class LoadedKernels(Planned, frozen=True, kw_only=True, tag="loaded"):
    """The engine's kernels are libraries of their own, one of which the import guard loads.

    Attributes:
        loader: the library of the wheel that loads them.
        backends: the best first; the first that a CPU can run is loaded.
    """

    loader: str
    backends: tuple[PlannedBackend, ...]


class Code(Planned, frozen=True, kw_only=True):
    """Which platform and which CPUs the code is for.

    Attributes:
        target: name of the platform.
        level: the level of the architecture that it needs.
        features: every CPU feature that the CPU must have, sorted.
        cpu: whether it is for this very CPU.
        kernels: where the engine's kernels are.
    """

    target: str
    level: str
    features: tuple[str, ...]
    cpu: ThisCpu | EveryCpu
    kernels: LinkedKernels | LoadedKernels

    @property
    def native(self) -> bool:
        """Return whether it is for the CPU of the machine that builds it."""
        return isinstance(self.cpu, ThisCpu)

    @property
    def family(self) -> str:
        """Return what kind of CPU it is for; empty where it is for many."""
        return self.cpu.family if isinstance(self.cpu, ThisCpu) else ""

    @property
    def backends(self) -> tuple[PlannedBackend, ...]:
        """Return the CPU backends that are loaded; nothing where the kernels are linked in."""
        return self.kernels.backends if isinstance(self.kernels, LoadedKernels) else ()


class PlannedWheel(Planned, frozen=True, kw_only=True):
    """What the wheel is called and what is added to it.

    Attributes:
        number: its build number.
        label: what its build tag says of the variant.
        platform: its platform tag.
        license_files: licences of the source that are copied into it.
    """

    number: int
    label: str
    platform: str
    license_files: tuple[str, ...]


class CMakeSettings(Planned, frozen=True, kw_only=True):
    """What the engine's CMake is given.

    Attributes:
        defines: definitions.
        c_flags: flags of C and C++ compilers.
        link_flags: linker flags for shared libraries.
    """

    defines: dict[str, str]
    c_flags: tuple[str, ...]
    link_flags: tuple[str, ...]


class ScikitBuildPlan(Planned, frozen=True, kw_only=True, tag="scikit-build-core"):
    """A build by CMake, called by scikit-build-core.

    Attributes:
        tools: versions of the helpers: build backend, cmake, ninja.
        environment: variables of the build, beyond PATH and HOME.
        cmake: what CMake is given.
        exclude: what the backend leaves out of the wheel.
    """

    tools: dict[str, str]
    environment: dict[str, str]
    cmake: CMakeSettings
    exclude: tuple[str, ...]


class TakenLibraries(Planned, frozen=True, kw_only=True, tag="taken"):
    """The C++ libraries of a Rust engine are taken from another recipe's build.

    Attributes:
        name: that recipe.
        digest: the digest of that recipe's plan.
        version: version of that recipe's source.
        sha256: hash of that recipe's source.
        commit: upstream commits inside it, by name.
        take: libraries of that recipe's wheel and their names in this one.
        link: libraries that the engine is linked with, by their names in this wheel.
        headers: folders of headers in that recipe's source.
        license_files: licences in that recipe's source, copied into this wheel too.
    """

    name: str
    digest: str
    version: str
    sha256: str
    commit: dict[str, str]
    take: dict[str, str]
    link: tuple[str, ...]
    headers: tuple[str, ...]
    license_files: tuple[str, ...]


class BundledLibraries(Planned, frozen=True, kw_only=True, tag="bundled"):
    """The C++ of a Rust engine is the copy that a crate carries; the crate's hash is in the lock file.

    Attributes:
        crate: the crate whose build script calls CMake.
    """

    crate: str


class MaturinPlan(Planned, frozen=True, kw_only=True, tag="maturin"):
    """A build by cargo, called by maturin.

    Attributes:
        tools: versions of the helpers: maturin, rustc, libclang, cmake, ninja.
        environment: variables of the build, beyond PATH and HOME.
        cmake: what the CMake of the libraries is given.
        target: target triple.
        flags: what every crate of the wheel is compiled with (RUSTFLAGS), in order.
        profile: cargo's release profile, by the names of its variables.
        features: features of the engine's own crate.
        libraries: where its C++ libraries come from.
    """

    tools: dict[str, str]
    environment: dict[str, str]
    cmake: CMakeSettings
    target: str
    flags: tuple[str, ...]
    profile: dict[str, str]
    features: tuple[str, ...]
    libraries: TakenLibraries | BundledLibraries


class Expectation(Planned, frozen=True, kw_only=True):
    """What a wheel is held to: it decides what is proven, and no byte of the wheel.

    Attributes:
        prover: hash of the part of this program that proves wheels.
        driver: the adapter that drives the engine.
        adapter: SHA-256 of that adapter; a recipe may carry it.
        isa_units: compile units that carry the ISA flags.
        isa_libraries: libraries that are built for the level and are no backends.
        max_wheel_mib: largest wheel that passes, MiB.
        in_process: refuse a wheel where the smoke child cannot be kept from starting processes and opening sockets.
    """

    prover: str
    driver: str
    adapter: str
    isa_units: tuple[str, ...]
    isa_libraries: tuple[str, ...]
    max_wheel_mib: float
    in_process: bool


class Plan(Planned, frozen=True, kw_only=True):
    """Everything that decides what a build gives and what is proven of it, and nothing that does not.

    Attributes:
        schema: version of this format.
        writer: who writes the wheel.
        subject: what is built.
        compiler: by which compiler.
        code: for which CPUs.
        wheel: what the wheel is called.
        builder: by which build backend, and what that is given.
        expect: what the wheel is held to.
    """

    schema: int
    writer: Writer
    subject: PlannedSubject
    compiler: PlannedCompiler
    code: Code
    wheel: PlannedWheel
    builder: ScikitBuildPlan | MaturinPlan
    expect: Expectation

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
        return f"{self.wheel.number}_{self.wheel.label}_{self.digest[:8]}"

    @property
    def taken(self) -> tuple[TakenLibraries, ...]:
        """Return the libraries that are taken from another recipe's build, if there are any."""
        libraries = self.builder.libraries if isinstance(self.builder, MaturinPlan) else None
        return (libraries,) if isinstance(libraries, TakenLibraries) else ()

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
