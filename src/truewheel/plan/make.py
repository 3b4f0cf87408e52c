"""The pure function from recipe, profile, compiler and machine to a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from truewheel.config.dialects import dialects
from truewheel.config.tables import PackageSource, Profile, Recipe, RecipeLibraries
from truewheel.cpu.features import feature_table
from truewheel.cpu.host import Host
from truewheel.errors import PlanError
from truewheel.machine.probe import Toolchain
from truewheel.plan.cargo import plan_flags, plan_libraries, plan_release
from truewheel.plan.cmake import plan_cmake
from truewheel.plan.code import plan_code
from truewheel.plan.plan import (
    CMakeSettings,
    Code,
    Expectation,
    MaturinPlan,
    Plan,
    PlannedCompiler,
    PlannedSource,
    PlannedSubject,
    PlannedWheel,
    ScikitBuildPlan,
    Writer,
)
from truewheel.targets.targets import Target, target_of, zig_target

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


def make_plan(
    recipe: Recipe,
    profile: Profile,
    toolchain: Toolchain,
    host: Host,
    *,
    source: PlannedSource,
    tools: dict[str, str],
    writer: Writer,
    prover: str,
    adapter: str,
    base: Plan | None = None,
) -> Plan:
    """Return the plan for one recipe and profile; nothing is done and nothing is looked up.

    Args:
        recipe: what is built.
        profile: how.
        toolchain: a compiler that passed its trial.
        host: the machine, which matters to `native` profiles alone.
        source: the recipe's source with the hashes of its patches.
        tools: versions of the build's helpers, rustc among them for an engine that has Rust.
        writer: who writes the wheel.
        prover: hash of the code that proves it.
        adapter: SHA-256 of the file that drives the engine.
        base: the plan of the recipe that an engine's libraries are taken from, for the same profile.

    Raises:
        PlanError: the combination makes no sense.
    """
    target = target_of(host)
    _refuse_nonsense(recipe, profile, toolchain)
    code = plan_code(recipe, profile, toolchain, host, target, base)
    cmake = plan_cmake(recipe, profile, toolchain, code, target)
    if base is not None and isinstance(recipe.libraries, RecipeLibraries):
        # What the libraries were built by is what this engine's code was built by: it is shown and checked as such.
        cmake = msgspec.structs.replace(cmake, defines=base.builder.cmake.defines)
    return Plan(
        schema=2,
        writer=writer,
        subject=PlannedSubject(
            engine=recipe.engine.name,
            import_name=recipe.engine.import_name,
            profile=profile.label,
            source=source,
        ),
        compiler=PlannedCompiler(
            kind=toolchain.kind, version=toolchain.version, target=toolchain.target, isa_note=toolchain.isa_note
        ),
        code=code,
        wheel=PlannedWheel(
            # Of wheels with the same tags pip takes the highest build number: it must be the one that runs everywhere.
            number=_SAFE_EVERYWHERE if profile.dispatch else 1,
            label=f"{profile.label}_{code.family}" if code.family else profile.label,
            platform=target.platform(profile.glibc or ""),
            license_files=recipe.package.license_files,
        ),
        builder=_BUILDERS[recipe.build.backend](
            _Parts(recipe, profile, code, cmake, dict(sorted(tools.items())), target, base)
        ),
        expect=Expectation(
            prover=prover,
            adapter=adapter,
            driver=recipe.engine.driver,
            isa_units=recipe.checks.isa_units,
            isa_libraries=tuple(filter(None, [recipe.checks.isa_library])),
            max_wheel_mib=_max_wheel_mib(recipe, profile, base),
            in_process=recipe.checks.in_process,
        ),
    )


class _Parts(NamedTuple):
    """What the builder's part of a plan is made from."""

    recipe: Recipe
    profile: Profile
    code: Code
    cmake: CMakeSettings
    tools: dict[str, str]
    target: Target
    base: Plan | None


# The engine's CMake asks git for a commit and would find a repository around the cache folder.
_ENVIRONMENT = MappingProxyType({"GIT_CEILING_DIRECTORIES": "{sources}", "LC_ALL": "C.UTF-8"})


def _plan_scikit_build(parts: _Parts) -> ScikitBuildPlan:
    return ScikitBuildPlan(
        tools=parts.tools,
        environment=dict(_ENVIRONMENT),
        cmake=parts.cmake,
        exclude=parts.recipe.build.wheel_exclude,
    )


def _plan_maturin(parts: _Parts) -> MaturinPlan:
    rust = parts.profile.rust
    return MaturinPlan(
        tools=parts.tools,
        environment=dict(_ENVIRONMENT),
        cmake=parts.cmake,
        target=parts.target.rust,
        flags=plan_flags(parts.code, parts.cmake.link_flags),
        profile=plan_release(parts.profile),
        features=() if rust.allocator == "system" else (rust.allocator,),
        libraries=plan_libraries(parts.recipe, parts.base),
    )


_BUILDERS: dict[str, Callable[[_Parts], ScikitBuildPlan | MaturinPlan]] = {
    "scikit-build-core": _plan_scikit_build,
    "maturin": _plan_maturin,
}


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
    variants = recipe.backends.variant if recipe.backends and dialects()[recipe.build.isa].options else ()
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
    if profile.openmp and toolchain.kind == "zig":
        raise PlanError(
            f"profile {profile.label}: zig has no OpenMP run-time",
            hint="set openmp = false, or choose another toolchain",
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
