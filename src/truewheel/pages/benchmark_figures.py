"""What the plots show, as numbers: what cannot be drawn is left out here, and the tables beside the plots show it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from truewheel.measure.result import Benchmark, Cost, Figure, Floor, Interval, Limits, Subject, Trial, Tuning
from truewheel.pages.benchmark_tables import find_figure, standing_name
from truewheel.pages.benchmark_words import interval_words, key_words, parse_key
from truewheel.pages.plot import SUBJECTS, Bar, Facet, Mark, Points
from truewheel.pages.svg import MARKERS

_GOAL_KEYS = {"latency": ("answer-first", "answer-whole"), "memory": ("peak",)}


class Spot(NamedTuple):
    """One speed on the roofline.

    Attributes:
        place: of the subject among all.
        name: of the subject.
        key: the metric.
        intensity: operations a byte of what is read from memory.
        rate: operations/s that were reached.
        attainable: operations/s that the machine allows at this intensity.
    """

    place: int
    name: str
    key: str
    intensity: float
    rate: Interval
    attainable: float


class Roofline(NamedTuple):
    """The machine's limits and what was reached below them."""

    limits: Limits
    spots: tuple[Spot, ...]


def bar_facets(benchmark: Benchmark, phase: str) -> dict[str, Facet]:
    """Return the bars of a phase by metric: at an empty context, and end to end for those without it.

    Args:
        benchmark: what was measured.
        phase: `prefill` or `decode`.
    """
    keys = dict.fromkeys(figure.key for subject in benchmark.subjects for figure in subject.figures)
    wanted = [key for key in keys if (parsed := parse_key(key)) and parsed.phase == phase and not parsed.depth]
    facets = {}
    for key in (*wanted, f"answer-{phase}"):
        bars = tuple(_bar(place, subject, key, benchmark) for place, subject in enumerate(benchmark.subjects))
        if any(bar.value is not None for bar in bars):
            facets[key] = Facet(f"{key}: {key_words(key)}", bars)
    return facets


def find_roofline(benchmark: Benchmark) -> Roofline | str:
    """Return the limits that the shares are of, with every low-level speed below them; else why there is none."""
    cost = benchmark.model.cost
    if not benchmark.limits:
        return f"the machine's limits were not measured ({benchmark.limits_reason or 'no reason was given'})"
    if cost is None or min(cost.weights, cost.operations) <= 0:
        return "the model's header does not say what a token costs"
    limits = max(benchmark.limits, key=lambda each: (each.read, each.int8))
    if min(limits.read, limits.int8, limits.f32) <= 0:
        return "one of the machine's limits was measured as nothing"
    spots = [
        spot
        for place, subject in enumerate(benchmark.subjects)
        for figure in subject.figures
        if (spot := _spot(place, subject, figure, cost, limits)) is not None
    ]
    return Roofline(limits, tuple(spots)) if spots else "no speed was measured by an engine's low level"


def depth_series(benchmark: Benchmark) -> tuple[int, tuple[Points, ...]]:
    """Return how many tokens were generated, and the speeds over the depth; nothing where there is one depth alone."""
    depths: dict[int, set[int]] = {}
    for subject in benchmark.subjects:
        for figure in subject.figures:
            parsed = parse_key(figure.key)
            if parsed is not None and parsed.phase == "decode" and _drawable(figure):
                depths.setdefault(parsed.tokens, set()).add(parsed.depth)
    tokens = max(depths, key=lambda count: len(depths[count]), default=0)
    if len(depths.get(tokens, ())) <= 1:
        return 0, ()
    series = []
    for place, subject in enumerate(benchmark.subjects):
        points = []
        for depth in sorted(depths[tokens]):
            found = find_figure(subject, f"tg{tokens}@{depth}" if depth else f"tg{tokens}")
            if found is not None and found.value is not None and _drawable(found):
                points.append((float(depth), found.value))
        if points:
            series.append(Points(subject_mark(place, subject.label), tuple(points), joined=True))
    return tokens, tuple(series)


def scored_trials(tuning: Tuning) -> tuple[Trial, ...]:
    """Return the trials that have a score."""
    return tuple(trial for trial in tuning.trials if trial.score > 0 and math.isfinite(trial.score))


def spread_trials(trials: Sequence[Trial]) -> list[float]:
    """Return where each trial stands on the axis of rungs: beside each other, in the order of their numbers."""
    counts = Counter(trial.rung for trial in trials)
    seen: Counter[int] = Counter()
    places = []
    for trial in trials:
        gap = min(0.12, 0.8 / counts[trial.rung])
        places.append(trial.rung + (seen[trial.rung] - (counts[trial.rung] - 1) / 2) * gap)
        seen[trial.rung] += 1
    return places


def goal_floor(tuning: Tuning) -> Floor | None:
    """Return the highest noise floor of the goal's metrics in the last comparison; None where none was measured."""
    wanted = [floor for floor in tuning.final.floors if _is_goal(floor.key, tuning.goal) and math.isfinite(floor.floor)]
    return max(wanted, key=lambda floor: floor.floor, default=None)


def _is_goal(key: str, goal: str) -> bool:
    parsed = parse_key(key)
    return parsed.phase == goal if parsed is not None else key in _GOAL_KEYS.get(goal, ())


def subject_mark(place: int, name: str) -> Mark:
    """Return the mark of a subject, the same in every plot."""
    markers = tuple(MARKERS)
    marker = markers[(place + place // len(SUBJECTS)) % len(markers)]
    return Mark(name, marker, SUBJECTS[place % len(SUBJECTS)], hollow=True)


def _bar(place: int, subject: Subject, key: str, benchmark: Benchmark) -> Bar:
    figure, name = find_figure(subject, key), standing_name(subject, benchmark)
    colour = SUBJECTS[place % len(SUBJECTS)]
    if figure is None or figure.value is None or not _drawable(figure):
        return Bar(name, "not measured", None, colour)
    share = figure.share
    limit = figure.value.median / share if share is not None and math.isfinite(share) and share > 0 else None
    return Bar(name, " ".join(interval_words(figure.value)).rstrip(), figure.value, colour, limit)


def _spot(place: int, subject: Subject, figure: Figure, cost: Cost, limits: Limits) -> Spot | None:
    """Return where a speed lies: weights are read once a pass, keys and values once a token, as for the shares."""
    parsed = parse_key(figure.key)
    if parsed is None or figure.value is None or not _drawable(figure):
        return None
    middle = parsed.depth + parsed.tokens / 2
    operations = cost.operations + cost.attention * middle
    if parsed.phase == "prefill":
        intensity = operations * parsed.tokens / cost.weights
    else:
        intensity = operations / (cost.weights + cost.cache * middle)
    roof = limits.int8 if cost.integer else limits.f32
    rate = Interval(*(end * operations for end in (figure.value.median, figure.value.low, figure.value.high)))
    return Spot(place, subject.label, figure.key, intensity, rate, min(limits.read * intensity, roof))


def _drawable(figure: Figure) -> bool:
    """Return whether a figure can stand on an axis: positive and finite, with an interval in its order."""
    value = figure.value
    if value is None:
        return False
    return all(math.isfinite(end) and end > 0 for end in (value.median, value.low, value.high))
