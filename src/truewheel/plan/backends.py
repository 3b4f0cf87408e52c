"""The CPU backends of a wheel: libraries with the engine's kernels, one of which is loaded at import."""

from __future__ import annotations

import msgspec

from truewheel.config.tables import Backends, Profile, Recipe
from truewheel.cpu.features import engine_flags, feature_table, with_implied
from truewheel.errors import PlanError


class PlannedBackend(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
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


def plan_backends(
    recipe: Recipe, profile: Profile, features: tuple[str, ...], *, native: bool
) -> tuple[PlannedBackend, ...]:
    """Return the wheel's backends, the best first; nothing for an engine that has them linked in.

    Args:
        recipe: what is built.
        profile: how.
        features: what the CPU must have.
        native: whether it is for exactly this machine.

    Raises:
        PlanError: the recipe names a feature that is not known or a backend twice, or none runs on all the CPUs that
            the profile is for.
    """
    table = recipe.backends
    if table is None or recipe.build.isa == "none":
        return ()
    if not profile.dispatch:
        flags = ("-march=native",) if native else engine_flags(features)
        return (_backend(table, profile.label, "", features, flags),)
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
    return tuple(backends)


def _backend(
    table: Backends, name: str, infix: str, features: tuple[str, ...], flags: tuple[str, ...]
) -> PlannedBackend:
    library, target = (text.replace("*", infix) for text in (table.library, table.target))
    return PlannedBackend(name=name, library=library, target=target, features=features, flags=flags)
