"""The Rust part of a plan: the flags of rustc, and where the C++ libraries come from."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from truewheel.config.tables import CrateLibraries, Profile, Recipe, RecipeLibraries
from truewheel.cpu.features import rust_features
from truewheel.errors import PlanError
from truewheel.plan.placeholders import CRATES_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import BundledLibraries, Code, Plan, TakenLibraries


def plan_flags(code: Code, link_flags: tuple[str, ...]) -> tuple[str, ...]:
    """Return what every crate of the wheel is compiled with.

    Args:
        code: which CPUs it is for.
        link_flags: flags of the linker; stripping is cargo's part.
    """
    names = rust_features(code.features)
    isa = ["-Ctarget-cpu=native"] if code.native else [f"-Ctarget-feature={','.join(f'+{name}' for name in names)}"]
    return (
        *(isa if code.native or names else []),
        # rustc's own linker takes no notice of `-z x86-64-v3`; the compiler of the C++ links instead.
        "-Clinker-features=-lld",
        *(f"-Clink-arg={flag}" for flag in link_flags if flag != "-s"),
        f"--remap-path-prefix={SOURCE_PLACEHOLDER}=.",
        f"--remap-path-prefix={CRATES_PLACEHOLDER}=crates",
    )


def plan_release(profile: Profile) -> dict[str, str]:
    """Return cargo's release profile by the names of its variables."""
    return {
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "3",
        "CARGO_PROFILE_RELEASE_LTO": profile.rust.lto,
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "1",
        "CARGO_PROFILE_RELEASE_PANIC": "unwind",
        "CARGO_PROFILE_RELEASE_STRIP": "symbols",
        "CARGO_PROFILE_RELEASE_DEBUG": "false",
    }


def plan_libraries(recipe: Recipe, base: Plan | None) -> TakenLibraries | BundledLibraries:
    """Return where the libraries of a Rust engine come from.

    Args:
        recipe: the engine's recipe.
        base: the plan of the recipe that it takes them from.

    Raises:
        PlanError: the recipe does not say, or a new name is longer than the old one.
    """
    table = recipe.libraries
    if isinstance(table, CrateLibraries):
        return BundledLibraries(crate=table.crate)
    if not isinstance(table, RecipeLibraries) or base is None:
        raise PlanError(
            f"recipe {recipe.engine.name}: libraries: a Rust engine says where its C++ libraries come from",
            hint='source = "recipe" takes them from another build, source = "crate" lets a crate build them',
        )
    for old, new in table.take.items():
        if len(new.rpartition("/")[2]) > len(old.rpartition("/")[2]):
            raise PlanError(
                f"recipe {recipe.engine.name}: libraries.take: {new} is a longer name than {old}",
                hint="a library is renamed in its place, where there is room for a shorter name alone",
            )
    source = base.subject.source
    return TakenLibraries(
        name=table.recipe,
        digest=base.digest,
        version=source.version,
        sha256=source.sha256,
        commit=dict(source.commit),
        take=table.take,
        link=table.link,
        headers=table.headers,
        license_files=base.wheel.license_files,
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
