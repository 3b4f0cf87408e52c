"""The one way through the house: load, plan, fetch, build, repair, check, store."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from truewheel.build.environment import ignored_variables
from truewheel.build.product import BuiltWheel
from truewheel.checks.run import run_checks
from truewheel.child.registry import engine_of
from truewheel.config.locations import cache_root
from truewheel.console import Console
from truewheel.corridor.obtain import Place, obtain_build
from truewheel.corridor.prepare import Order, Prepared, prepare
from truewheel.errors import BuildError, CheckError, PlanError, RepairError, StoreError
from truewheel.examine import runs
from truewheel.examine.examine import WheelRun, examine
from truewheel.locks import locked
from truewheel.models.models import find_model
from truewheel.pages.terminal import to_lines
from truewheel.pages.wheel import describe_wheel
from truewheel.repair.repair import RepairedWheel, repair_wheel
from truewheel.report import Report, make_report
from truewheel.stages import refusals_told, stage, timed
from truewheel.store.wheelhouse import Stored, Wheelhouse


class Outcome(NamedTuple):
    """What a build came to.

    Attributes:
        stored: the wheel and its report.
        fresh: whether it was built now, rather than found.
    """

    stored: Stored
    fresh: bool


def build(order: Order, house: Wheelhouse, console: Console) -> Outcome:
    """Carry an order through the whole house.

    Raises:
        TruewheelError: of the family of the stage that failed; a refused wheel is a CheckError, and lies
            in the wheelhouse's `rejected` folder with its report.
    """
    seconds: dict[str, float] = {}
    with timed(seconds, "plan"), refusals_told(PlanError, "plan"):
        ready = prepare(order, console)
    if order.cache and (found := _find(order, ready, house)):
        return Outcome(found, fresh=False)
    house.prepare()
    _announce(ready, console)
    with _exclusive(console):
        # Whoever held the lock may have built just this.
        if order.cache and (found := _find(order, ready, house)):
            return Outcome(found, fresh=False)
        return _build(order, ready, house, console, seconds)


def _build(order: Order, ready: Prepared, house: Wheelhouse, console: Console, seconds: dict[str, float]) -> Outcome:
    place = Place(cache_root(), console, seconds)
    work, engine = place.work(ready), engine_of(ready.recipe)
    try:
        model = find_model(order.model)
        built = obtain_build(order, ready, place)
        with stage(console, seconds, RepairError, "repair", built.path.name):
            repaired = _repair(built, work)
        with stage(console, seconds, CheckError, "check", f"smoke on {order.model}, then every check"):
            wanted: list[WheelRun] = [
                partial(runs.smoke, model=model, console=console, engine=engine, log=place.log(ready))
            ]
            if order.emulate:
                wanted.append(partial(runs.emulate, model=model, console=console, engine=engine))
            facts = examine(repaired.wheel.path, wanted, built=repaired)
            findings = run_checks(facts)
        report = make_report(facts, findings, seconds)
        with stage(console, {}, StoreError, "store", str(house.root)):
            stored = house.add(repaired.wheel.path, report)
    finally:
        if order.keep_work:
            console.say(f"         the work folder is {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(place.cache / "work" / "base", ignore_errors=True)
    if not report.sound:
        for line in to_lines(describe_wheel(report, "brief"), paint=console.style):
            console.say(line)
        raise refusal(report, stored.path)
    return Outcome(stored, fresh=True)


def _find(order: Order, ready: Prepared, house: Wheelhouse) -> Stored | None:
    provable = not runs.list_lacking(ready.plan, ready.host)
    return house.find(ready.plan.digest, ready.plan.proof, order.model, emulated=order.emulate, provable=provable)


def _repair(built: BuiltWheel, work: Path) -> RepairedWheel:
    folder = work / "repaired"
    folder.mkdir(parents=True, exist_ok=True)
    return repair_wheel(built, folder)


def refusal(report: Report, path: Path) -> CheckError:
    """Return the error for a wheel that a check refused."""
    first = report.errors[0]
    more = f" (and {len(report.errors) - 1} more)" if len(report.errors) > 1 else ""
    return CheckError(
        f"the wheel was refused: {first.code}: {first.where}: {first.message}{more}",
        hint=f"{first.hint + '; ' if first.hint else ''}the report is {path}.report.md",
    )


def _announce(ready: Prepared, console: Console) -> None:
    for tried in ready.passed_over:
        console.say(f"         passed over {tried.kind} {tried.version}: {tried.refusal}")
    ignored = ignored_variables(os.environ)
    if ignored:
        console.warn(f"{', '.join(ignored)}: set in your environment, kept out of the build; use a profile instead")


@contextlib.contextmanager
def _exclusive(console: Console) -> Iterator[None]:
    """Let one build at a time use the work folder; say so when another one has it."""
    folder = cache_root()
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / ".build.lock", "another build", console=console))
        except OSError as error:
            raise BuildError(
                f"cannot use the cache folder {folder}: {error.strerror or error}",
                hint="set TRUEWHEEL_CACHE_DIR to a folder that can be written to",
            ) from error
        yield
