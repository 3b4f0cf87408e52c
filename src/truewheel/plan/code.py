"""Which CPUs the code of a wheel is for, and which backends with the engine's kernels it has."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from truewheel.config.dialects import dialects
from truewheel.config.tables import Backends, Profile, Recipe, RecipeLibraries
from truewheel.cpu.features import engine_flags, feature_table, with_implied
from truewheel.cpu.host import Host
from truewheel.cpu.levels import level_features
from truewheel.cpu.models import name_family
from truewheel.errors import PlanError
from truewheel.machine.probe import Toolchain
from truewheel.plan.cargo import renamed
from truewheel.plan.plan import Code, EveryCpu, LinkedKernels, LoadedKernels, Plan, PlannedBackend, ThisCpu
from truewheel.targets.targets import Target


def plan_code(
    recipe: Recipe, profile: Profile, toolchain: Toolchain, host: Host, target: Target, base: Plan | None
) -> Code:
    """Return which CPUs the code is for.

    Args:
        recipe: what is built.
        profile: how.
        toolchain: by what.
        host: this machine, which matters to `native` profiles alone.
        target: the platform.
        base: the plan that libraries are taken from; None where none are.

    Raises:
        PlanError: the recipe names a feature that is not known or a backend twice, or none runs on all the CPUs that
            the profile is for.
    """
    cpu: ThisCpu | EveryCpu = EveryCpu()
    if not dialects()[recipe.build.isa].options:
        # Nothing of the engine is compiled for a CPU, so nothing may be claimed or demanded.
        level, wanted = target.levels[0], frozenset[str]()
    elif profile.level == "native":
        level, wanted = host.level, frozenset(toolchain.native_features)
        cpu = ThisCpu(family=name_family(wanted, host.vendor), tuning=toolchain.native_cpu)
    else:
        level, wanted = profile.level, level_features(profile.level) | with_implied(profile.features)
    features = tuple(sorted(wanted))
    if base is not None and isinstance(recipe.libraries, RecipeLibraries):
        kernels = _taken_kernels(base, recipe.libraries.take)
    else:
        kernels = _plan_kernels(recipe, profile, features)
    return Code(target=target.name, level=level, features=features, cpu=cpu, kernels=kernels)


def _taken_kernels(base: Plan, take: Mapping[str, str]) -> LinkedKernels | LoadedKernels:
    """Return the kernels of another build by the names that they get in this wheel."""
    kernels = base.code.kernels
    if isinstance(kernels, LinkedKernels):
        return kernels
    backends = tuple(
        msgspec.structs.replace(backend, library=renamed(backend.library, take)) for backend in kernels.backends
    )
    return LoadedKernels(loader=renamed(kernels.loader, take), backends=backends)


def _plan_kernels(recipe: Recipe, profile: Profile, features: tuple[str, ...]) -> LinkedKernels | LoadedKernels:
    table = recipe.backends
    if table is None or not dialects()[recipe.build.isa].options:
        return LinkedKernels()
    if not profile.dispatch:
        flags = ("-march=native",) if profile.level == "native" else engine_flags(features)
        return LoadedKernels(loader=table.loader, backends=(_backend(table, profile.label, "", features, flags),))
    backends: list[PlannedBackend] = []
    for variant in table.variant:
        try:
            wanted = tuple(sorted(with_implied(variant.features)))
        except KeyError as error:
            raise PlanError(
                f"recipe {recipe.engine.name}: backends.variant {variant.name}: {error.args[0]!r} is no CPU feature",
                hint=f"known are: {', '.join(sorted(feature_table()))}",
            ) from error
        if variant.name in (backend.name for backend in backends):
            raise PlanError(
                f"recipe {recipe.engine.name}: backends.variant: two are called {variant.name}",
                hint="a backend's name is part of its file's name",
            )
        backends.append(_backend(table, variant.name, f"-{variant.name}", wanted, engine_flags(wanted)))
    if not any(set(backend.features) <= set(features) for backend in backends):
        raise PlanError(
            f"profile {profile.label}: no backend of {recipe.engine.name} runs on every {profile.level} CPU",
            hint="raise the profile's level to that of the least backend",
        )
    return LoadedKernels(loader=table.loader, backends=tuple(backends))


def _backend(
    table: Backends, name: str, infix: str, features: tuple[str, ...], flags: tuple[str, ...]
) -> PlannedBackend:
    library, target = (text.replace("*", infix) for text in (table.library, table.target))
    return PlannedBackend(name=name, library=library, target=target, features=features, flags=flags)
