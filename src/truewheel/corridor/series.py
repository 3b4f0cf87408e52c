"""Several builds one after another: every profile of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from truewheel.child.registry import engine_of
from truewheel.compare.run import Comparison, compare_wheels
from truewheel.config.load import available, backends_of, load_profile, load_recipe
from truewheel.console import Console
from truewheel.corridor.pipeline import Outcome, build
from truewheel.corridor.prepare import Order
from truewheel.cpu.host import detect_host
from truewheel.errors import TruewheelError
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.targets.targets import target_of


class ProfileOutcome(NamedTuple):
    """What one of several builds came to.

    Attributes:
        profile: its profile.
        outcome: the wheel; None when there is none.
        error: why there is none; None when there is one.
    """

    profile: str
    outcome: Outcome | None
    error: TruewheelError | None


def build_all(order: Order, house: Wheelhouse, console: Console) -> tuple[ProfileOutcome, ...]:
    """Build every profile that makes sense for the engine; one that fails does not keep the others from being built.

    What does not depend on the CPU is compiled once: all portable profiles share it through the compile cache.

    Args:
        order: what is asked for; its profile is not looked at.
        house: where the wheels go.
        console: shows the progress.

    Raises:
        LoadError: there is no such engine, or its recipe is wrong.
        PlanError: nothing can be built on this platform.
    """
    recipe = load_recipe(order.engine).recipe
    backends = backends_of(recipe)
    target_of(detect_host())
    results = []
    for label in available("profiles"):
        profile = load_profile(label)
        if profile.dispatch and not (backends and backends.variant):
            console.say(f"  {label} is left out: {recipe.engine.name} has no backends to choose from at run time")
            continue
        try:
            results.append(ProfileOutcome(label, build(order._replace(profile=label), house, console), None))
        except TruewheelError as error:
            console.error(f"{label}: {error.message}", error.hint)
            results.append(ProfileOutcome(label, None, error))
    return tuple(results)


def compare_results(order: Order, results: Sequence[ProfileOutcome], console: Console) -> Comparison | None:
    """Give one model to every wheel that was built and compare the answers; None when there is nothing to compare.

    Args:
        order: what was asked for.
        results: what `build_all` returned.
        console: shows what is run.

    Raises:
        CheckError: nothing gave logits that others could be compared with.
    """
    paths = [result.outcome.stored.path for result in results if result.outcome is not None]
    if len(paths) < 2:  # noqa: PLR2004 - one has nobody to be compared with
        return None
    engine = engine_of(load_recipe(order.engine))
    return compare_wheels(paths, order.model, threads=detect_host().usable_cores, console=console, engine=engine)
