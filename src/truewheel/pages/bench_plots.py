"""The plots of a benchmark and of a tuning, each with its caption and with the same figures as a table."""

from __future__ import annotations

from typing import NamedTuple

from truewheel.measure.result import Benchmark, Tuning
from truewheel.pages import bench_draw as draw
from truewheel.pages.bench_plot_data import (
    DepthSeries,
    Facet,
    Roofline,
    Step,
    bar_facets,
    depth_series,
    find_roofline,
    goal_floor,
    tuning_steps,
)
from truewheel.pages.bench_tables import Table
from truewheel.pages.bench_words import interval_words, percent, rate_words, round_number
from truewheel.text import clean, join_words, number_words


class Plot(NamedTuple):
    """One plot for a page.

    Attributes:
        name: identifies it within the page.
        title: what it shows.
        svg: the drawing, its texts escaped; empty where there is nothing to draw.
        caption: how it is read, or why it is not there.
        table: its figures.
    """

    name: str
    title: str
    svg: str
    caption: str
    table: Table


_EMPTY = Table((), ())
_MOST_NAMES = 12


def plot_bars(benchmark: Benchmark, phase: str) -> Plot:
    """Return the speeds of a phase, `prefill` or `decode`, as bars with their intervals."""
    facets = bar_facets(benchmark, phase)
    title = f"Speed of {phase} in tokens/s"
    if not facets:
        return Plot(phase, title, "", f"There is no plot of {phase}: nothing of it was measured.", _EMPTY)
    svg = draw.draw_bars(facets, phase, title, _names(benchmark))
    return Plot(phase, title, svg, _bar_caption(facets), _bar_table(facets))


def plot_roofline(benchmark: Benchmark) -> Plot:
    """Return how far below the machine's limits the speeds lie."""
    title = "Roofline: operations/s over operations a byte"
    found = find_roofline(benchmark)
    if isinstance(found, str):
        return Plot("roofline", title, "", f"There is no roofline: {found}.", _EMPTY)
    limits = found.limits
    caption = (
        f"Lines: what this machine did at most with {number_words(limits.threads, 'thread')}, reading from memory "
        "up to the ridge, calculating right of it. Points: what was reached, with intervals. "
        f"The weights {'are quantized: int8' if _integer(benchmark) else 'are not quantized: f32'} is their roof."
    )
    svg = draw.draw_roofline(found, title, _names(benchmark))
    return Plot("roofline", title, svg, caption, _roofline_table(found))


def plot_depths(benchmark: Benchmark) -> Plot:
    """Return the speed of decode over how many tokens are in the context."""
    tokens, series = depth_series(benchmark)
    title = "Speed of decode over the depth of the context"
    if not series:
        return Plot(
            "depth", title, "", "There is no plot over the depth: decode was measured at one depth or none.", _EMPTY
        )
    caption = f"Tokens/s of {number_words(tokens, 'token')} behind a context of so many others, with intervals."
    svg = draw.draw_depths(series, title, _names(benchmark))
    return Plot("depth", title, svg, caption, _depth_table(series))


def plot_path(tuning: Tuning) -> Plot:
    """Return the trials of a tuning by how far they came, with the noise floor as a band."""
    steps, floor = tuning_steps(tuning), goal_floor(tuning)
    title = "Scores of the trials by rung"
    if not steps:
        return Plot("path", title, "", "There is no plot of the trials: none has a score.", _EMPTY)
    caption = "Each point is a trial, on the last rung that it reached; 1 is as good as the engine's own defaults. "
    if floor is None:
        caption += "No noise floor of this goal was measured, so that there is no band."
    else:
        caption += f"The band is the noise floor of {floor.key} in the last comparison, {percent(floor.floor)}."
    left_out = len(tuning.trials) - len(steps)
    if left_out:
        caption += f" Not drawn, because their score is 0: {number_words(left_out, 'trial')}."
    svg = draw.draw_path(steps, floor, title, f"{number_words(len(steps), 'trial')}; the table has their scores.")
    return Plot("path", title, svg, caption, _path_table(steps))


def _names(benchmark: Benchmark) -> str:
    names = [clean(subject.label) for subject in benchmark.subjects]
    return f"Of {join_words(names, _MOST_NAMES)}. The table below has the figures."


def _integer(benchmark: Benchmark) -> bool:
    return benchmark.model.cost is not None and benchmark.model.cost.integer


def _bar_caption(facets: tuple[Facet, ...]) -> str:
    caption = "Medians with their 95 % intervals."
    limits = [(facet, [bar.limit for bar in facet.bars if bar.limit is not None]) for facet in facets]
    if any(found and draw.limit_fits(facet) for facet, found in limits):
        caption += " The dashed line is the machine's limit."
    beyond = [
        f"{facet.key} {round_number(min(found))} tokens/s"
        for facet, found in limits
        if found and not draw.limit_fits(facet)
    ]
    return caption + (f" The machine's limit lies beyond the axis: {', '.join(beyond)}." if beyond else "")


def _bar_table(facets: tuple[Facet, ...]) -> Table:
    rows = []
    for facet in facets:
        for bar in facet.bars:
            value, interval = interval_words(bar.value) if bar.value is not None else ("not measured", "")
            limit = round_number(bar.limit) if bar.limit is not None else "-"
            rows.append((facet.key, bar.name, value, interval or "-", limit))
    return Table(("metric", "subject", "tokens/s", "interval", "limit"), tuple(rows), frozenset({2, 3, 4}))


def _roofline_table(found: Roofline) -> Table:
    rows = (
        (
            spot.key,
            spot.name,
            f"{spot.intensity:.3g}",
            rate_words(spot.rate.median, "op/s"),
            rate_words(spot.attainable, "op/s"),
        )
        for spot in found.spots
    )
    return Table(("metric", "subject", "op a byte", "reached", "attainable"), tuple(rows), frozenset({2, 3, 4}))


def _depth_table(series: tuple[DepthSeries, ...]) -> Table:
    rows = ((each.name, str(depth), *interval_words(speed)) for each in series for depth, speed in each.points)
    return Table(("subject", "depth", "tokens/s", "interval"), tuple(rows), frozenset({1, 2, 3}))


def _path_table(steps: tuple[Step, ...]) -> Table:
    rows = ((str(step.number), str(step.rung), f"{step.score:.3f}", step.standing or "-") for step in steps)
    return Table(("trial", "rung", "score", "what"), tuple(rows), frozenset({0, 1, 2}))
