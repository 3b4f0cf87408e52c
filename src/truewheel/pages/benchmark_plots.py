"""The plots of a benchmark and of a tuning, each with its caption and with the same figures as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from truewheel.measure.result import Benchmark, Interval, Trial, Tuning
from truewheel.pages.benchmark_figures import (
    Roofline,
    bar_facets,
    depth_series,
    find_roofline,
    goal_floor,
    scored_trials,
    spread_trials,
    subject_mark,
)
from truewheel.pages.benchmark_tables import trial_standing
from truewheel.pages.benchmark_words import interval_words, percent, rate_words, round_number
from truewheel.pages.document import Plot, Table
from truewheel.pages.plot import (
    BAND,
    QUIET,
    SUBJECTS,
    TEXT,
    Axis,
    Facet,
    Line,
    Mark,
    Note,
    PointChart,
    Points,
    RowChart,
    linear_ticks,
)
from truewheel.text import cut, join_words, number_words

_EMPTY = Table((), ())
_MOST_NAMES = 12
_ROOM_FOR_LIMIT = 2.5
_MOST_KEYS = 4
_CLOSE = 1.4
_TRIAL_MARKS = {"winner": ("*", SUBJECTS[1], 5.0), "runner-up": ("D", SUBJECTS[0], 3.0), "defaults": ("s", TEXT, 3.0)}
_OTHER_TRIALS = Mark("other trials", "o", QUIET, 2.0)


def plot_bars(benchmark: Benchmark, phase: str) -> Plot:
    """Return the speeds of a phase, `prefill` or `decode`, as bars with their intervals."""
    facets = bar_facets(benchmark, phase)
    title = f"Speed of {phase} in tokens/s"
    if not facets:
        return Plot(phase, title, None, "", f"There is no plot of {phase}: nothing of it was measured.", _EMPTY)
    drawn = {key: facet if _limit_fits(facet) else _without_limits(facet) for key, facet in facets.items()}
    chart = RowChart(tuple(drawn.values()))
    caption = "Medians with their 95 % intervals."
    if any(_limits(facet) for facet in drawn.values()):
        caption += " The dashed line is the machine's limit."
    beyond = [
        f"{key} {round_number(min(_limits(facet)))} tokens/s"
        for key, facet in facets.items()
        if drawn[key] is not facet
    ]
    caption += f" The machine's limit lies beyond the axis: {', '.join(beyond)}." if beyond else ""
    return Plot(phase, title, chart, _names(benchmark), caption, _bar_table(facets))


def plot_roofline(benchmark: Benchmark) -> Plot:
    """Return how far below the machine's limits the speeds lie."""
    title = "Roofline: operations/s over operations a byte"
    found = find_roofline(benchmark)
    if isinstance(found, str):
        return Plot("roofline", title, None, "", f"There is no roofline: {found}.", _EMPTY)
    integer = benchmark.model.cost is not None and benchmark.model.cost.integer
    caption = (
        f"Lines: what this machine did at most with {number_words(found.limits.threads, 'thread')}, reading from "
        "memory up to the ridge, calculating right of it. Points: what was reached, with intervals. "
        f"The weights {'are quantized: int8' if integer else 'are not quantized: f32'} is their roof."
    )
    rows = tuple(
        (
            spot.key,
            spot.name,
            f"{spot.intensity:.3g}",
            rate_words(spot.rate.median, "op/s"),
            rate_words(spot.attainable, "op/s"),
        )
        for spot in found.spots
    )
    table = Table(("metric", "subject", "op a byte", "reached", "attainable"), rows, frozenset({2, 3, 4}))
    return Plot("roofline", title, _roofline_chart(found), _names(benchmark), caption, table)


def plot_depths(benchmark: Benchmark) -> Plot:
    """Return the speed of decode over how many tokens are in the context."""
    tokens, series = depth_series(benchmark)
    title = "Speed of decode over the depth of the context"
    if not series:
        reason = "There is no plot over the depth: decode was measured at one depth or none."
        return Plot("depth", title, None, "", reason, _EMPTY)
    caption = f"Tokens/s of {number_words(tokens, 'token')} behind a context of so many others, with intervals."
    highest = max(speed.high for each in series for _, speed in each.points) * 1.08
    depths = sorted({depth for each in series for depth, _ in each.points})
    ticks = tuple((depth, f"{depth:.0f}") for depth in _apart(depths))
    x = Axis("tokens in the context before", -0.05 * depths[-1], 1.05 * depths[-1], ticks)
    y = Axis("tokens/s", 0.0, highest, linear_ticks(0.0, highest))
    rows = tuple(
        (each.mark.name, f"{depth:.0f}", *interval_words(speed)) for each in series for depth, speed in each.points
    )
    table = Table(("subject", "depth", "tokens/s", "interval"), rows, frozenset({1, 2, 3}))
    chart = PointChart(x, y, series, legend=tuple(each.mark for each in series))
    return Plot("depth", title, chart, _names(benchmark), caption, table)


def plot_path(tuning: Tuning) -> Plot:
    """Return the trials of a tuning by how far they came, with the noise floor as a band."""
    trials, floor = scored_trials(tuning), goal_floor(tuning)
    title = "Scores of the trials by rung"
    if not trials:
        return Plot("path", title, None, "", "There is no plot of the trials: none has a score.", _EMPTY)
    caption = "Each point is a trial, on the last rung that it reached; 1 is as good as the engine's own defaults. "
    marks = [_trial_mark(trial, tuning) for trial in trials]
    # Those with a standing are named one by one, and the others together.
    legend = [mark for mark in marks if mark is not _OTHER_TRIALS]
    legend += [_OTHER_TRIALS] if len(legend) < len(marks) else []
    band = None
    if floor is None:
        caption += "No noise floor of this goal was measured, so that there is no band."
    else:
        caption += f"The band is the noise floor of {floor.key} in the last comparison, {percent(floor.floor)}."
        legend.append(Mark(f"noise floor of {floor.key}, {percent(floor.floor)}", "s", BAND, 4.5))
        band = (1 / (1 + floor.floor), 1 + floor.floor)
    if left_out := len(tuning.trials) - len(trials):
        caption += f" Not drawn, because their score is 0: {number_words(left_out, 'trial')}."
    words = f"{number_words(len(trials), 'trial')}; the table has their scores."
    rows = tuple(
        (str(trial.number), str(trial.rung), f"{trial.score:.3f}", trial_standing(trial.number, tuning) or "-")
        for trial in trials
    )
    table = Table(("trial", "rung", "score", "what"), rows, frozenset({0, 1, 2}))
    return Plot("path", title, _path_chart(trials, marks, band, tuple(legend)), words, caption, table)


def _names(benchmark: Benchmark) -> str:
    names = [subject.label for subject in benchmark.subjects]
    return f"Of {join_words(names, _MOST_NAMES)}. The table below has the figures."


def _limits(facet: Facet) -> list[float]:
    return [bar.limit for bar in facet.bars if bar.limit is not None]


def _limit_fits(facet: Facet) -> bool:
    """Return whether the machine's limit can be drawn without squeezing the bars."""
    highest = max((bar.value.high for bar in facet.bars if bar.value is not None), default=0.0)
    return all(limit <= _ROOM_FOR_LIMIT * highest for limit in _limits(facet))


def _without_limits(facet: Facet) -> Facet:
    return facet._replace(bars=tuple(bar._replace(limit=None) for bar in facet.bars))


def _bar_table(facets: dict[str, Facet]) -> Table:
    rows = []
    for key, facet in facets.items():
        for bar in facet.bars:
            value, interval = interval_words(bar.value) if bar.value is not None else ("not measured", "")
            limit = round_number(bar.limit) if bar.limit is not None else "-"
            rows.append((key, bar.name, value, interval or "-", limit))
    return Table(("metric", "subject", "tokens/s", "interval", "limit"), tuple(rows), frozenset({2, 3, 4}))


def _roofline_chart(found: Roofline) -> PointChart:
    """Return the slope of the memory and the roofs of the arithmetic, with the points below them."""
    limits, spots = found.limits, found.spots
    ridges = [limits.int8 / limits.read, limits.f32 / limits.read]
    left = min(*(spot.intensity for spot in spots), *ridges) / 4
    right = max(*(spot.intensity for spot in spots), *ridges) * 4
    top = max(limits.int8, limits.f32) * 3
    bottom = min(*(spot.rate.low for spot in spots), limits.read * left * 4) / 12
    high, low = ("int8", "f32") if limits.int8 >= limits.f32 else ("f32", "int8")
    lines = [Line((left, limits.read * left), (max(ridges), limits.read * max(ridges)))]
    start, end = left * 1.25, max(min(ridges), left * 2.5)
    slope = f"memory, {rate_words(limits.read, 'B/s')}"
    notes = [Note((start, limits.read * start), slope, 4.0, along=(end, limits.read * end))]
    for name in (high, low):
        rate, kernel = getattr(limits, name), getattr(limits, f"{name}_kernel")
        lines.append(Line((rate / limits.read, rate), (right, rate)))
        words = f"{name} {cut(kernel, 16)}, {rate_words(rate, 'op/s')}"
        notes.append(Note((right, rate), words, 3.0 if name == high else -10.0, "end"))
    named, dropped = _name_intensities(found, bottom, top)
    marks = {spot.place: subject_mark(spot.place, spot.name) for spot in spots}
    series = tuple(Points(marks[spot.place], ((spot.intensity, spot.rate),)) for spot in spots)
    x = Axis("operations a byte read from memory", left, right, _decades(left, right), log=True)
    y = Axis("operations/s", bottom, top, _decades(bottom, top), log=True)
    return PointChart(x, y, series, (*lines, *dropped), (*notes, *named), legend=tuple(marks.values()), height=223.0)


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return the powers of ten between two ends, at most seven of them."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    step = math.ceil(len(powers) / 7) or 1
    return tuple((10.0**power, rate_words(10.0**power, "").strip()) for power in powers[::step])


def _name_intensities(found: Roofline, bottom: float, top: float) -> tuple[list[Note], list[Line]]:
    """Return under each place of the points which metrics they are; places that are close share one list."""
    places: list[tuple[float, list[str]]] = []
    for intensity, key in sorted({(spot.intensity, spot.key) for spot in found.spots}):
        if places and intensity < places[-1][0] * _CLOSE:
            places[-1][1].append(key)
        else:
            places.append((intensity, [key]))
    notes, lines = [], []
    for intensity, keys in places:
        shown = keys if len(keys) <= _MOST_KEYS else [*keys[: _MOST_KEYS - 1], f"and {len(keys) - _MOST_KEYS + 1} more"]
        lowest = min(spot.rate.low for spot in found.spots if spot.key in keys)
        start = bottom * (top / bottom) ** (0.06 * len(shown) + 0.02)
        lines.append(Line((intensity, min(start, lowest)), (intensity, lowest), dotted=True))
        notes += [
            Note((intensity, bottom), key, 4.0 + 10.0 * line, "middle") for line, key in enumerate(reversed(shown))
        ]
    return notes, lines


def _path_chart(
    trials: Sequence[Trial], marks: Sequence[Mark], band: tuple[float, float] | None, legend: tuple[Mark, ...]
) -> PointChart:
    rungs = sorted({trial.rung for trial in trials})
    scores = [trial.score for trial in trials] + [1.0, *(band or ())]
    room = (max(scores) - min(scores)) * 0.08 or 0.1
    low, high = min(scores) - room, max(scores) + room
    x = Axis("last rung reached", rungs[0] - 0.6, rungs[-1] + 0.6, tuple((float(rung), str(rung)) for rung in rungs))
    y = Axis("score", low, high, linear_ticks(low, high))
    points = tuple(
        Points(mark, ((place, Interval(trial.score, trial.score, trial.score)),))
        for mark, place, trial in zip(marks, spread_trials(trials), trials, strict=True)
    )
    even = Line((x.low, 1.0), (x.high, 1.0))
    return PointChart(x, y, points, (even,), band=band, legend=legend, height=180.0)


def _trial_mark(trial: Trial, tuning: Tuning) -> Mark:
    standing = trial_standing(trial.number, tuning)
    kind = next((word for word in _TRIAL_MARKS if word in standing), None)
    return Mark(f"{standing}: trial {trial.number}", *_TRIAL_MARKS[kind]) if kind else _OTHER_TRIALS


def _apart(depths: Sequence[float]) -> list[float]:
    """Return the depths whose labels have room beside each other; the deepest is always among them."""
    kept = [depths[-1]]
    for depth in reversed(depths[:-1]):
        if kept[-1] - depth >= 0.14 * depths[-1]:
            kept.append(depth)
    return kept[::-1]
