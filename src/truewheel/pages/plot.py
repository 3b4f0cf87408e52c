"""What plots show, as values: bars and points with their intervals on axes; `svg.py` draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from truewheel.measure.result import Interval

TEXT, QUIET, LINE, BAND = "currentColor", "var(--quiet)", "var(--line)", "var(--band)"
SUBJECTS = tuple(f"var(--subject-{number})" for number in range(1, 9))
"""Colours of subjects; those of more than eight come again, with another marker."""

_FEWEST_TICKS = 3


class Mark(NamedTuple):
    """How one thing is marked, in the plot and in its legend; hollow where others may lie behind it."""

    name: str
    marker: str
    colour: str
    size: float = 2.8
    hollow: bool = False


class Bar(NamedTuple):
    """One figure of a row chart.

    Attributes:
        name: stands above it, to the left.
        words: stand above it, to the right.
        value: None where there is none.
        colour: of the bar.
        limit: what it could be at most, drawn as a dashed line; None for no line.
    """

    name: str
    words: str
    value: Interval | None
    colour: str
    limit: float | None = None


class Facet(NamedTuple):
    """Bars on one axis under one title."""

    title: str
    bars: tuple[Bar, ...]


class RowChart(NamedTuple):
    """Bars with intervals, each facet on an axis of its own; or points with intervals about a base, all on one.

    Attributes:
        facets: below each other.
        base: where bars begin; points have a line there instead.
        log: whether the axes are logarithmic, which bars cannot be.
        points: draw points instead of bars.
    """

    facets: tuple[Facet, ...]
    base: float = 0.0
    log: bool = False
    points: bool = False


class Axis(NamedTuple):
    """One axis of a point chart: its ends, the figures that stand along it, its label."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies between the ends, from 0 to 1."""
        low, high, at = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return (at - low) / (high - low)


class Points(NamedTuple):
    """Points with their intervals that are marked alike, joined by a line or not."""

    mark: Mark
    points: tuple[tuple[float, Interval], ...]
    joined: bool = False


class Line(NamedTuple):
    """A straight line."""

    start: tuple[float, float]
    end: tuple[float, float]
    dotted: bool = False


class Note(NamedTuple):
    """Words beside a place, so many units above it; `along` is another place that they are written towards."""

    at: tuple[float, float]
    words: str
    above: float = 3.0
    anchor: str = "start"
    along: tuple[float, float] | None = None


class PointChart(NamedTuple):
    """Points over two axes, with lines and words among them, a band behind them and a legend below."""

    x: Axis
    y: Axis
    series: tuple[Points, ...]
    lines: tuple[Line, ...] = ()
    notes: tuple[Note, ...] = ()
    band: tuple[float, float] | None = None
    legend: tuple[Mark, ...] = ()
    height: float = 173.0


def ratio_chart(groups: Mapping[str, Sequence[tuple[str, Interval]]], *, log: bool = True) -> RowChart:
    """Return a chart of ratios with their intervals about 1, where nothing differs.

    Args:
        groups: by title, the names of what is compared and the ratios.
        log: on logarithmic axes, where twice as fast is as far from 1 as half as fast.
    """
    facets = (
        Facet(
            title,
            tuple(
                Bar(
                    name,
                    f"{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
                    ratio,
                    SUBJECTS[place % len(SUBJECTS)],
                )
                for place, (name, ratio) in enumerate(rows)
            ),
        )
        for title, rows in groups.items()
    )
    return RowChart(tuple(facets), base=1.0, log=log, points=True)


def linear_ticks(low: float, high: float, most: int = 5) -> tuple[tuple[float, str], ...]:
    """Return round figures between two ends."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return tuple(
        (number * step, f"{number * step:.10g}") for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    )


def ratio_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return figures for a logarithmic axis of ratios: as few as are needed, 1 always among them."""
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) >= _FEWEST_TICKS:
            break
    return tuple((value, f"{value:.3g}") for value in found) or ((1.0, "1"),)
