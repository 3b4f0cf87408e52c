"""The Rust part of a plan: what rustc is told, and where the C++ libraries come from."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from truewheel.config.tables import CrateLibraries, Profile, Recipe, RecipeLibraries
from truewheel.cpu.features import rust_features
from truewheel.errors import PlanError
from truewheel.plan.placeholders import CRATES_PLACEHOLDER, SOURCE_PLACEHOLDER


class PlannedRust(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How the Rust of an engine is built.

    Attributes:
        version: rustc's version.
        flags: what every crate of the wheel is compiled with (RUSTFLAGS), in order.
        profile: cargo's release profile, by the names of its variables.
        features: features of the engine's own crate.
    """

    version: str
    flags: tuple[str, ...]
    profile: dict[str, str]
    features: tuple[str, ...]


class PlannedLibraries(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Where the C++ libraries of a Rust engine come from.

    Attributes:
        source: `recipe` or `crate`.
        name: the recipe, or the crate.
        digest: the digest of that recipe's plan; empty for a crate, whose hash is in the lock file.
        version: version of that recipe's source.
        sha256: hash of that recipe's source.
        commit: upstream commits inside it, by name.
        take: libraries of that recipe's wheel and their names in this one.
        link: libraries that the engine is linked with, by their names in this wheel.
        headers: folders of headers in that recipe's source.
        license_files: licences in that recipe's source, copied into this wheel too.
    """

    source: str
    name: str
    digest: str = ""
    version: str = ""
    sha256: str = ""
    commit: dict[str, str] = {}
    take: dict[str, str] = {}
    link: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    license_files: tuple[str, ...] = ()


def plan_rust(
    profile: Profile, features: tuple[str, ...], link_flags: tuple[str, ...], version: str, *, native: bool
) -> PlannedRust:
    """Return what rustc is told for a profile.

    Args:
        profile: how.
        features: what the CPU must have.
        link_flags: what the linker is told; stripping is cargo's part.
        version: rustc's version.
        native: whether it is for exactly this machine.
    """
    names = rust_features(features)
    isa = ["-Ctarget-cpu=native"] if native else [f"-Ctarget-feature={','.join(f'+{name}' for name in names)}"]
    return PlannedRust(
        version=version,
        flags=(
            *(isa if native or names else []),
            # rustc's own linker takes no notice of `-z x86-64-v3`; the compiler of the C++ links instead.
            "-Clinker-features=-lld",
            *(f"-Clink-arg={flag}" for flag in link_flags if flag != "-s"),
            f"--remap-path-prefix={SOURCE_PLACEHOLDER}=.",
            f"--remap-path-prefix={CRATES_PLACEHOLDER}=crates",
        ),
        profile={
            "CARGO_PROFILE_RELEASE_OPT_LEVEL": "3",
            "CARGO_PROFILE_RELEASE_LTO": profile.rust.lto,
            "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "1",
            "CARGO_PROFILE_RELEASE_PANIC": "unwind",
            "CARGO_PROFILE_RELEASE_STRIP": "symbols",
            "CARGO_PROFILE_RELEASE_DEBUG": "false",
        },
        features=() if profile.rust.allocator == "system" else (profile.rust.allocator,),
    )


class Origin(NamedTuple):
    """The plan that libraries are built by, as far as an engine with those libraries tells of it.

    Attributes:
        digest: the plan's digest.
        version: version of its source.
        sha256: hash of its source.
        commit: upstream commits inside the source, by name.
        license_files: licences of the source that travel with the libraries.
    """

    digest: str
    version: str
    sha256: str
    commit: dict[str, str]
    license_files: tuple[str, ...]


def plan_libraries(recipe: Recipe, origin: Origin | None) -> PlannedLibraries | None:
    """Return where the libraries of an engine come from; None for an engine that builds its own.

    Args:
        recipe: the engine's recipe.
        origin: the plan of the recipe that it takes them from.

    Raises:
        PlanError: a new name is longer than the old one.
    """
    table = recipe.libraries
    if isinstance(table, CrateLibraries):
        return PlannedLibraries(source="crate", name=table.crate)
    if not isinstance(table, RecipeLibraries) or origin is None:
        return None
    for old, new in table.take.items():
        if len(new.rpartition("/")[2]) > len(old.rpartition("/")[2]):
            raise PlanError(
                f"recipe {recipe.engine.name}: libraries.take: {new} is a longer name than {old}",
                hint="a library is renamed in its place, where there is room for a shorter name alone",
            )
    return PlannedLibraries(
        source="recipe",
        name=table.recipe,
        take=table.take,
        link=table.link,
        headers=table.headers,
        **origin._asdict(),
    )


def renamed(path: str, take: Mapping[str, str]) -> str:
    """Return what a library of the other wheel is called in this one; empty when it is not taken.

    Args:
        path: its path in the other wheel.
        take: patterns and new names; what `*` stands for is kept.
    """
    for old, new in take.items():
        if fnmatch.fnmatchcase(path, old):
            before, _, after = old.partition("*")
            return new.replace("*", path[len(before) : len(path) - len(after)]) if "*" in old else new
    return ""
