"""The tables of `recipe.toml` and of a profile; parser, schema and reference page come from here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower-case words joined by hyphens")]
Module = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a Python module's name")]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}$", description="lower-case letters, digits and underscores")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")]
Positive = Annotated[float, Meta(gt=0)]
Define = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

Level = Literal["native", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]
ToolchainKind = Literal["clang", "gcc", "zig"]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The base of every table: frozen, named fields only, unknown keys are errors."""


class Engine(Table, frozen=True, kw_only=True):
    """Which engine a recipe builds.

    Attributes:
        name: project name, normalized; also the name on the command line.
        import_name: the package that the wheel installs.
        driver: the smoke driver that can run it.
    """

    name: Name
    import_name: Module
    driver: Module


class PackageSource(Table, frozen=True, kw_only=True, tag="package", tag_field="type"):
    """A source distribution from the package index that the user's own settings name.

    Attributes:
        name: project name.
        version: exact version.
        sha256: hash of the source archive.
        patches: patch files, relative to the recipe, applied in order.
        exclude: glob patterns of files that are left in the archive.
    """

    name: Name
    version: str
    sha256: Sha256
    patches: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class PathSource(Table, frozen=True, kw_only=True, tag="path", tag_field="type"):
    """A source tree beside the recipe; for engines under development and for tests.

    Attributes:
        path: folder, relative to the recipe.
        version: the version that the tree builds.
        patches: patch files, relative to the recipe, applied in order.
        exclude: glob patterns of files that are not copied.
    """

    path: str
    version: str
    patches: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Build(Table, frozen=True, kw_only=True):
    """How the engine is built.

    Attributes:
        backend: the PEP 517 backend that the engine declares.
        define: CMake definitions, the same for every profile.
        isa: what ISA options the engine's CMake knows.
        commit: upstream commits inside the source, by name; recorded in the wheel.
        wheel_exclude: glob patterns that the backend leaves out of the wheel.
    """

    backend: Literal["scikit-build-core"]
    define: dict[Define, bool | int | str] = {}
    isa: Literal["ggml", "none"] = "none"
    commit: dict[str, str] = {}
    wheel_exclude: tuple[str, ...] = ()


class Checks(Table, frozen=True, kw_only=True):
    """What the checks need to know about this engine.

    Attributes:
        max_wheel_mib: the largest wheel that passes, MiB.
        isa_units: glob patterns of the compile units that may carry ISA flags.
        isa_library: the library of the wheel whose code is built for the level.
        dispatched: glob patterns of libraries that the engine chooses at run time, so that they may exceed the level.
        in_process: refuse a wheel where the smoke child cannot be kept from starting processes and opening sockets.
    """

    max_wheel_mib: Positive
    dispatched: tuple[str, ...] = ()
    isa_units: tuple[str, ...] = ()
    isa_library: str = ""
    in_process: bool = True


class Package(Table, frozen=True, kw_only=True):
    """What goes into the wheel besides what the backend puts there.

    Attributes:
        license_files: licence files of the source tree, copied into the wheel.
    """

    license_files: tuple[str, ...] = ()


class Recipe(Table, frozen=True, kw_only=True):
    """WHAT can be built: one engine.

    Attributes:
        schema: version of this format.
        engine: which engine.
        source: where its source comes from.
        build: how it is built.
        package: what is added to the wheel.
        checks: what its wheels are held to.
    """

    schema: Literal[1]
    engine: Engine
    source: PackageSource | PathSource
    build: Build
    package: Package = Package()
    checks: Checks


class Profile(Table, frozen=True, kw_only=True):
    """HOW an engine is built: one variant.

    Attributes:
        schema: version of this format.
        label: the variant's name, on the command line and in the wheel.
        level: x86-64 level, or `native` for exactly this machine.
        toolchain: compilers in order of preference; the first that is here and fit is used.
        openmp: link an OpenMP run-time instead of the engine's own thread pool.
        lto: link-time optimization.
        define: further CMake definitions of this variant.
        flags: further compiler flags of this variant.
    """

    schema: Literal[1]
    label: Label
    level: Level
    toolchain: Annotated[tuple[ToolchainKind, ...], Meta(min_length=1)]
    openmp: bool = False
    lto: bool = False
    define: dict[Define, bool | int | str] = {}
    flags: tuple[str, ...] = ()
