"""The frame of the fault tests: a kind of fault, its cases, how many were tried and how many survived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

SHORT = 12
"""Cases of a kind that are tried where not every one is."""


class Case(NamedTuple):
    """One fault.

    Attributes:
        name: says which, for whoever must repeat it.
        attempt: does it; raises AssertionError where the product did not survive.
    """

    name: str
    attempt: Callable[[], None]


class Tally(NamedTuple):
    """What became of a kind of fault.

    Attributes:
        kind: what was done, in a few words.
        cases: how many there are.
        tried: names of those that were tried.
        fell: what was seen of those that were not survived, by name.
    """

    kind: str
    cases: int
    tried: list[str]
    fell: dict[str, str]

    def row(self) -> dict[str, str | int]:
        """Return the numbers."""
        tried = len(self.tried)
        return {"kind": self.kind, "cases": self.cases, "tried": tried, "survived": tried - len(self.fell)}


def select(cases: Sequence[Case], most: int) -> list[Case]:
    """Return at most so many cases, evenly spaced from the first to the last."""
    if len(cases) <= most:
        return list(cases)
    return [cases[index * (len(cases) - 1) // max(1, most - 1)] for index in range(most)]


def attempt(tally: Tally, cases: Sequence[Case]) -> None:
    """Try cases, and count.

    Raises:
        AssertionError: one of them was not survived, or there was none.
    """
    for case in cases:
        tally.tried.append(case.name)
        try:
            case.attempt()
        except AssertionError as error:
            tally.fell[case.name] = str(error)[:2000] or "no reason given"
    assert tally.tried, "nothing was tried"
    assert not tally.fell, "\n".join(f"{name}: {reason}" for name, reason in tally.fell.items())
