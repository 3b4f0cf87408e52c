"""Engine by profile: what can be built on this machine, what can be proven on it, and why not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import msgspec

from truewheel.config.load import available, backends_of, load_profile, load_recipe
from truewheel.config.tables import Profile, Recipe
from truewheel.cpu.features import with_implied
from truewheel.cpu.host import Host
from truewheel.cpu.levels import level_features
from truewheel.errors import LoadError, PlanError
from truewheel.machine.probe import Toolchain, find_toolchain, split_wish
from truewheel.machine.rust import other_compilers
from truewheel.machine.tools import Say, tool_pins
from truewheel.targets.targets import target_of, targets

Emulated = tuple[tuple[str, frozenset[str]], ...]
"""CPUs that can be emulated here: their names and features, from the least."""

_SHOWN = 4


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One engine with one profile.

    Attributes:
        engine: recipe name.
        profile: profile label.
        buildable: whether this machine can build it.
        build: with which compiler, or why not.
        provable: whether everything that the wheel holds can be run here, on this CPU or an emulated one.
        proof: where it can be run, or what cannot be and why.
    """

    engine: str
    profile: str
    buildable: bool
    build: str
    provable: bool
    proof: str


class Platform(msgspec.Struct, frozen=True):
    """A platform: whether wheels can be built for it at all, or why not."""

    name: str
    supported: bool
    reason: str


class Matrix(msgspec.Struct, frozen=True):
    """What this machine can do.

    Attributes:
        level: the x86-64 level of its CPU.
        platforms: every platform that is known.
        cells: engine by profile.
    """

    level: str
    platforms: tuple[Platform, ...]
    cells: tuple[Cell, ...]


def make_matrix(host: Host, emulated: Emulated, say: Say) -> Matrix:
    """Look at every engine and profile; compilers that are here are tried, nothing is fetched.

    Args:
        host: this machine.
        emulated: CPUs that can be emulated here.
        say: is told before a compiler is tried.
    """
    find = functools.cache(lambda wanted, native: first_fit(wanted, host, say, native=native))
    platforms = tuple(Platform(target.name, not target.refusal, target.refusal) for target in targets())
    return Matrix(host.level, platforms, tuple(make_cells(host, emulated, find)))


def first_fit(wanted: Iterable[str], host: Host, say: Say, *, native: bool) -> Toolchain | None:
    """Return the first fit compiler that is already on this machine."""
    return find_toolchain(tuple(wanted), host, say, native=native, fetch=False)[0]


def make_cells(
    host: Host, emulated: Emulated, find: Callable[[tuple[str, ...], bool], Toolchain | None]
) -> Iterable[Cell]:
    """Yield a cell for each engine and profile.

    Args:
        host: a machine.
        emulated: CPUs that can be emulated on it.
        find: returns its first fit compiler of some kinds, for native builds or portable ones.
    """
    for engine in available("recipes"):
        for label in available("profiles"):
            try:
                recipe, profile = load_recipe(engine).recipe, load_profile(label)
            except LoadError as error:
                yield Cell(
                    engine=engine, profile=label, buildable=False, build=error.message, provable=False, proof="no wheel"
                )
                continue
            buildable, build = _build_of(recipe, profile, host, find)
            provable, proof = _proof_of(recipe, profile, host, emulated) if buildable else (False, "no wheel")
            yield Cell(engine=engine, profile=label, buildable=buildable, build=build, provable=provable, proof=proof)


def _build_of(
    recipe: Recipe, profile: Profile, host: Host, find: Callable[[tuple[str, ...], bool], Toolchain | None]
) -> tuple[bool, str]:
    try:
        target_of(host)
    except PlanError as error:
        return False, error.message
    backends = backends_of(recipe)
    if profile.dispatch and not (backends and backends.variant):
        return False, "it has no backends to choose from at run time"
    try:
        other_compilers(recipe.build.backend)
    except PlanError as error:
        return False, error.message
    # Of those before zig, the first fit one that is here; zig can be had wherever there is a network.
    kinds = [split_wish(wish)[0] for wish in profile.toolchain]
    before = profile.toolchain[: kinds.index("zig") + 1] if "zig" in kinds else profile.toolchain
    fit = find(before, profile.level == "native")
    if fit is not None:
        return True, f"with {fit.kind} {fit.version}"
    if "zig" in kinds:
        pin = tool_pins()["ziglang"]
        return True, f"with zig {pin.version}, which will be fetched ({pin.mebibytes} MiB)"
    return False, f"no fit compiler among {', '.join(profile.toolchain)}"


def _proof_of(recipe: Recipe, profile: Profile, host: Host, emulated: Emulated) -> tuple[bool, str]:
    if profile.level == "native" or recipe.build.isa == "none":
        return True, "on this CPU"
    backends = backends_of(recipe)
    if profile.dispatch and backends is not None:
        parts = {variant.name: with_implied(variant.features) for variant in backends.variant}
    else:
        parts = {"": level_features(profile.level) | with_implied(profile.features)}
    places = {name: _place_of(features, host, emulated) for name, features in parts.items()}
    lost = [name for name, place in places.items() if not place]
    if not profile.dispatch:
        return _single_proof(parts[""], places[""], host)
    by_place: dict[str, list[str]] = {}
    for name, place in places.items():
        by_place.setdefault(place, []).append(name)
    shown = [f"{', '.join(names)} {place}" for place, names in by_place.items() if place]
    words = "; ".join(shown) or "nothing of it can be run here"
    return not lost, f"{words}; not provable here: {', '.join(lost)}" if lost else words


def _single_proof(features: frozenset[str], place: str, host: Host) -> tuple[bool, str]:
    if place:
        return True, place
    lacks = sorted(features - set(host.features))
    more = f" and {len(lacks) - _SHOWN} more" if len(lacks) > _SHOWN else ""
    return False, f"this CPU lacks {', '.join(lacks[:_SHOWN])}{more}, and no CPU that can be emulated here has them"


def _place_of(features: frozenset[str], host: Host, emulated: Emulated) -> str:
    """Return where code with these features can be run: a phrase, or an empty text."""
    if features <= set(host.features):
        return "on this CPU"
    return next((f"emulated as {name}" for name, has in emulated if features <= has), "")
