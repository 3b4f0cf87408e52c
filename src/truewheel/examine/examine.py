"""The one examination of a wheel: read in locked-down children, run where that is asked for, complete at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from truewheel.examine.facts import Facts, facts_of
from truewheel.examine.isa_rules import needles
from truewheel.examine.run import inspect_wheel
from truewheel.wheel.archive import MalformedWheelError

if TYPE_CHECKING:
    from truewheel.repair.repair import RepairedWheel

WheelRun = Callable[[Facts], Facts]
"""Runs a wheel that was read, and returns its facts with what that showed; `runs.py` has those that there are."""


def examine(
    path: Path,
    runs: Sequence[WheelRun] = (),
    *,
    built: RepairedWheel | None = None,
    cache: bool = True,
    unsound: bool = False,
) -> Facts:
    """Return everything that is known of a wheel, anybody's.

    Args:
        path: the wheel.
        runs: how it is run once it was read; nothing of it is run otherwise.
        built: what it was built as; None for a wheel that is not fresh from the build. A fresh one is always read anew.
        cache: take what is known of a file with the same name and hash.
        unsound: also return what is known of a wheel with faults that an installer may pass over; it is not run.

    Raises:
        MalformedWheelError: it is not accepted.
        CheckError: it cannot be opened, or the children cannot be run; or as a run says.
    """
    facts = facts_of(inspect_wheel(path, needles=needles(), cache=cache and built is None))
    if facts.wheel.faults:
        if not unsound:
            raise MalformedWheelError(path, facts.wheel.faults)
        return facts
    if built is not None:
        facts = facts._replace(plan=built.plan, evidence=built.evidence)
    for run in runs:
        facts = run(facts)
    return facts
