"""The tables of `recipe.toml` and of a profile; parser, schema and reference page come from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from truewheel.config.dialects import dialects
from truewheel.cpu.levels import LEVELS

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower-case words joined by hyphens")]
Module = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a Python module's name")]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}$", description="lower-case letters, digits and underscores")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")]
Glibc = Annotated[str, Meta(pattern=r"^2\.[0-9]{1,2}$", description="a glibc version, e.g. 2.17")]
Positive = Annotated[float, Meta(gt=0)]
Define = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

if TYPE_CHECKING:
    Level = str
    Isa = str
else:
    Level = Literal[("native", *LEVELS)]
    Isa = Literal[tuple(dialects())]
Compiler = Annotated[
    str,
    Meta(
        pattern=r"^(clang|gcc|zig)(>=[0-9]{1,3}(\.[0-9]{1,3}){0,2})?$",
        description="clang, gcc or zig, with the oldest version that is meant where not all are, e.g. clang>=19",
    ),
]


class TomlTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The base of every table: frozen, named fields only, unknown keys are errors."""


class RecipeEngine(TomlTable, frozen=True, kw_only=True):
    """Which engine a recipe builds.

    Attributes:
        name: project name, normalized; also the name on the command line.
        import_name: the package that the wheel installs.
        driver: its adapter, a file without `.py`: beside the recipe, or one of `child/engines/`.
    """

    name: Name
    import_name: Module
    driver: Module


class PackageSource(TomlTable, frozen=True, kw_only=True, tag="package", tag_field="type"):
    """A source distribution from the package index that the user's own settings name.

    Attributes:
        name: project name.
        version: exact version.
        sha256: hash of the source archive.
        patches: patch files, relative to the recipe, applied in order.
        add: folders of our own files, relative to the recipe, and where in the tree each is laid.
        exclude: glob patterns of files that are left in the archive.
    """

    name: Name
    version: str
    sha256: Sha256
    patches: tuple[str, ...] = ()
    add: dict[str, str] = {}
    exclude: tuple[str, ...] = ()


class PathSource(TomlTable, frozen=True, kw_only=True, tag="path", tag_field="type"):
    """A source tree beside the recipe; for engines under development and for tests.

    Attributes:
        path: folder, relative to the recipe.
        version: the version that the tree builds.
        patches: patch files, relative to the recipe, applied in order.
        add: folders of our own files, relative to the recipe, and where in the tree each is laid.
        exclude: glob patterns of files that are not copied.
    """

    path: str
    version: str
    patches: tuple[str, ...] = ()
    add: dict[str, str] = {}
    exclude: tuple[str, ...] = ()


class Build(TomlTable, frozen=True, kw_only=True):
    """How the engine is built.

    Attributes:
        backend: the PEP 517 backend that the engine declares.
        define: CMake definitions, the same for every profile.
        isa: the dialect of the engine's CMake, which says what ISA options it knows.
        commit: upstream commits inside the source, by name; recorded in the wheel.
        wheel_exclude: glob patterns that the backend leaves out of the wheel.
    """

    backend: Literal["scikit-build-core", "maturin"]
    define: dict[Define, bool | int | str] = {}
    isa: Isa = "none"
    commit: dict[str, str] = {}
    wheel_exclude: tuple[str, ...] = ()


class RecipeLibraries(TomlTable, frozen=True, kw_only=True, tag="recipe", tag_field="source"):
    """The engine's C++ is what another recipe builds, taken out of that recipe's wheel of the same profile.

    Attributes:
        recipe: name of that recipe.
        take: its libraries and what they are called in this wheel, so that both can be loaded in one process;
            `*` stands for the same on both sides. A new name may not be longer than the old one.
        link: which of them this engine is linked with, by their names in this wheel.
        headers: folders of headers in that recipe's source tree.
    """

    recipe: Name
    take: dict[str, str]
    link: tuple[str, ...]
    headers: tuple[str, ...]


class CrateLibraries(TomlTable, frozen=True, kw_only=True, tag="crate", tag_field="source"):
    """The engine's C++ is the copy that a crate carries, built by cargo and linked in.

    Attributes:
        crate: name of the crate whose build script calls CMake.
    """

    crate: Name


class Checks(TomlTable, frozen=True, kw_only=True):
    """What the checks need to know about this engine.

    Attributes:
        max_wheel_mib: the largest wheel that passes, MiB.
        isa_units: glob patterns of the compile units that may carry ISA flags; with `[backends]`, its targets are.
        isa_library: the library whose code is built for the level; with `[backends]`, its libraries are.
        in_process: refuse a wheel where the smoke child cannot be kept from starting processes and opening sockets.
    """

    max_wheel_mib: Positive
    isa_units: tuple[str, ...] = ()
    isa_library: str = ""
    in_process: bool = True


class Variant(TomlTable, frozen=True, kw_only=True):
    """One CPU backend that the engine can build besides others, to be chosen from at run time.

    Attributes:
        name: the engine's name of it.
        features: CPU features that it is compiled for, beyond plain x86-64; what they imply need not be named.
    """

    name: Label
    features: tuple[str, ...]


class Backends(TomlTable, frozen=True, kw_only=True):
    """CPU backends that are libraries of their own, loaded by the wheel's import guard; `*` is `-NAME`, or nothing.

    Attributes:
        loader: the library of the wheel that loads a backend (`ggml_backend_load`).
        library: a backend's library in the wheel.
        target: a backend's CMake target, whose units alone carry ISA flags.
        single: CMake definitions of a wheel with one backend.
        several: CMake definitions of a wheel with all of them; `{names}` is filled in.
        max_wheel_mib: the largest wheel with all of them that passes, MiB.
        variant: the backends of such a wheel, the best first: the first that a CPU can run is loaded.
    """

    loader: str
    library: str
    target: str
    single: dict[Define, bool | int | str] = {}
    several: dict[Define, bool | int | str] = {}
    max_wheel_mib: Positive | None = None
    variant: tuple[Variant, ...] = ()


class Package(TomlTable, frozen=True, kw_only=True):
    """What goes into the wheel besides what the backend puts there.

    Attributes:
        license_files: licence files of the source tree, copied into the wheel.
    """

    license_files: tuple[str, ...] = ()


class Recipe(TomlTable, frozen=True, kw_only=True):
    """WHAT can be built: one engine.

    Attributes:
        schema: version of this format.
        engine: which engine.
        source: where its source comes from.
        build: how it is built.
        package: what is added to the wheel.
        checks: what its wheels are held to.
        backends: its CPU backends, when they are libraries that are loaded at run time.
        libraries: where a Rust engine's C++ libraries come from.
    """

    schema: Literal[1]
    engine: RecipeEngine
    source: PackageSource | PathSource
    build: Build
    package: Package = Package()
    backends: Backends | None = None
    libraries: RecipeLibraries | CrateLibraries | None = None
    checks: Checks


class Rust(TomlTable, frozen=True, kw_only=True):
    """How the Rust part of an engine is built; always with opt-level 3, one codegen unit, unwinding, stripped.

    Attributes:
        lto: link-time optimization over the crates.
        allocator: what allocates Rust's own memory; the C++ libraries are not touched by it.
    """

    lto: Literal["thin", "fat"] = "fat"
    allocator: Literal["system", "jemalloc", "mimalloc"] = "system"


class Profile(TomlTable, frozen=True, kw_only=True):
    """HOW an engine is built: one variant.

    Attributes:
        schema: version of this format.
        label: the variant's name, on the command line and in the wheel.
        level: x86-64 level that the CPU must have, or `native` for exactly this machine.
        features: CPU features that it must have beyond the level.
        dispatch: build every backend that the recipe names, and let the wheel choose at run time.
        glibc: oldest glibc that the wheel runs with; left out, it runs with this machine's.
        toolchain: compilers in order of preference, `zig`, `clang>=19`; the first that is here and fit is used, and
            zig is fetched when the list comes to it.
        openmp: link an OpenMP run-time instead of the engine's own thread pool.
        lto: link-time optimization.
        define: further CMake definitions of this variant.
        flags: further compiler flags of this variant.
        rust: how an engine's Rust is built.
    """

    schema: Literal[1]
    label: Label
    level: Level
    features: tuple[str, ...] = ()
    dispatch: bool = False
    glibc: Glibc | msgspec.UnsetType = msgspec.UNSET
    toolchain: Annotated[tuple[Compiler, ...], Meta(min_length=1)]
    openmp: bool = False
    lto: bool = False
    define: dict[Define, bool | int | str] = {}
    flags: tuple[str, ...] = ()
    rust: Rust = Rust()
