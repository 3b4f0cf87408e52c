"""From what a person asked for to a plan, with all that it was made from; nothing is built."""

from __future__ import annotations

from typing import NamedTuple

from truewheel import __version__
from truewheel.child.registry import engine_of
from truewheel.config.load import LoadedRecipe, load_profile, load_recipe
from truewheel.config.tables import Profile, RecipeLibraries
from truewheel.console import Console
from truewheel.cpu.host import Host, detect_host
from truewheel.errors import PlanError
from truewheel.fetch.source import read_changes, tree_hash
from truewheel.files import hash_file
from truewheel.machine.probe import Toolchain, find_toolchain
from truewheel.machine.rust import other_compilers
from truewheel.machine.tools import planned_versions
from truewheel.plan.identity import builder_hash, prover_hash
from truewheel.plan.make import Changes, make_plan, planned_source
from truewheel.plan.plan import Plan, Writer
from truewheel.targets.targets import target_of


class Order(NamedTuple):
    """What a person asked for.

    Attributes:
        engine: recipe name or path.
        profile: profile label or path.
        toolchain: `clang`, `gcc` or `zig` to use no other; empty for the profile's list.
        jobs: compilers at once; 0 for as many as there are usable cores.
        cache: use the compile cache, and what the wheelhouse has.
        keep_work: leave the work folder where it is.
        model: model of the smoke test.
        emulate: also run it on emulated CPUs.
    """

    engine: str = "llama-cpp-python"
    profile: str = "native"
    toolchain: str = ""
    jobs: int = 0
    cache: bool = True
    keep_work: bool = False
    model: str = "tiny"
    emulate: bool = False


class Prepared(NamedTuple):
    """A plan with what it was made from.

    Attributes:
        plan: the plan.
        recipe: the recipe and its folder.
        changes: what the recipe changes in its source.
        toolchain: the compiler that was chosen.
        passed_over: compilers that were tried before it and refused.
        host: this machine.
        base: what the recipe is made from that its libraries come from.
    """

    plan: Plan
    recipe: LoadedRecipe
    changes: Changes
    toolchain: Toolchain
    passed_over: list[Toolchain]
    host: Host
    base: Prepared | None = None


def prepare(order: Order, console: Console) -> Prepared:
    """Load recipe and profile, choose a compiler and make the plan; nothing is built.

    Raises:
        LoadError: recipe or profile are wrong.
        PlanError: no compiler is fit, or the platform is not supported.
        FetchError: zig was needed and cannot be had.
    """
    loaded, profile = load_recipe(order.engine), load_profile(order.profile)
    host = detect_host()
    target_of(host)
    compilers = other_compilers(loaded.recipe.build.backend)
    toolchain, passed = _choose(order, profile, host, console)
    base = _prepare_base(loaded, profile, toolchain, host)
    return _prepare(loaded, profile, toolchain, host, compilers, base)._replace(passed_over=passed)


def _prepare(
    loaded: LoadedRecipe,
    profile: Profile,
    toolchain: Toolchain,
    host: Host,
    compilers: dict[str, str],
    base: Prepared | None,
) -> Prepared:
    changes = read_changes(loaded)
    plan = make_plan(
        loaded.recipe,
        profile,
        toolchain,
        host,
        source=planned_source(loaded.recipe, changes, tree_hash(loaded)),
        tools=planned_versions(loaded.recipe.build.backend) | compilers,
        writer=Writer(truewheel=__version__, code=builder_hash()),
        prover=prover_hash(),
        adapter=hash_file(engine_of(loaded).adapter),
        base=base.plan if base else None,
    )
    return Prepared(plan, loaded, changes, toolchain, [], host, base)


def _prepare_base(loaded: LoadedRecipe, profile: Profile, toolchain: Toolchain, host: Host) -> Prepared | None:
    """Prepare the recipe that an engine's libraries come from, with the same compiler."""
    libraries = loaded.recipe.libraries
    if not isinstance(libraries, RecipeLibraries):
        return None
    other = load_recipe(libraries.recipe)
    if other.recipe.libraries is not None:
        raise PlanError(
            f"recipe {loaded.recipe.engine.name}: libraries.recipe: {libraries.recipe} has no libraries of its own",
            hint="name the recipe that builds them",
        )
    return _prepare(other, profile, toolchain, host, other_compilers(other.recipe.build.backend), None)


def _choose(order: Order, profile: Profile, host: Host, console: Console) -> tuple[Toolchain, list[Toolchain]]:
    kinds: tuple[str, ...] = (order.toolchain,) if order.toolchain else profile.toolchain
    toolchain, passed = find_toolchain(kinds, host, console.say, native=profile.level == "native")
    if toolchain is None:
        reasons = "; ".join(f"{tried.kind} {tried.version}: {tried.refusal}" for tried in passed)
        raise PlanError(
            f"no fit compiler among {', '.join(kinds)}: {reasons or 'none is on this machine'}",
            hint="`truewheel doctor` shows what was tried; --toolchain zig needs nothing on the machine",
        )
    return toolchain, passed
