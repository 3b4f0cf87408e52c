"""Medians, bootstrap intervals, the noise floor, and when a difference may be called one. Pure."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from truewheel.measure.result import Floor, Interval

_RESAMPLES = 2000
_LOW, _HIGH = 0.025, 0.975
LOUD = "A against A is"
"""How the reason begins for which there is no verdict where the noise is loud."""


def interval(values: Sequence[float]) -> Interval:
    """Return the median of values and its 95 % percentile-bootstrap interval; always the same for the same values.

    Args:
        values: at least one; of one alone the interval has no width.
    """
    generator = random.Random(0)  # noqa: S311 - resampling, nothing secret
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return Interval(statistics.median(values), medians[int(_LOW * _RESAMPLES)], medians[int(_HIGH * _RESAMPLES)])


def spell(value: Interval) -> str:
    """Write a ratio and its interval."""
    return f"{value.median:.3f} [{value.low:.3f}, {value.high:.3f}]"


def pair_turns(samples: Sequence[float]) -> list[float]:
    """Return the geometric mean of the two turns of each repetition; what has one turn alone stays as it is.

    In the order A B B A a drift of the machine's speed is the same for A's and B's mean.

    Args:
        samples: of one round: first and second turn of each repetition, in order.
    """
    if len(samples) == 1:
        return list(samples)
    return [math.sqrt(first * second) for first, second in zip(samples[::2], samples[1::2], strict=False)]


def compare(
    subject: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], *, lower_is_better: bool
) -> Interval:
    """Return the median of the repetitions' ratios and its interval; above 1 the subject is better.

    The bootstrap draws rounds first and repetitions of them second: what differs from process to process counts.

    Args:
        subject: samples of the subject, round by round.
        reference: samples of the reference, of the same rounds.
        lower_is_better: for seconds and bytes.

    Raises:
        ValueError: there is no round with samples of both.
    """
    groups = []
    for own_round, other_round in zip(subject, reference, strict=False):
        pairs = zip(pair_turns(own_round), pair_turns(other_round), strict=False)
        if ratios := [other / own if lower_is_better else own / other for own, other in pairs]:
            groups.append(ratios)
    if not groups:
        raise ValueError("there is nothing to compare")
    generator = random.Random(0)  # noqa: S311 - resampling, nothing secret
    medians = sorted(statistics.median(_resample(generator, groups)) for _ in range(_RESAMPLES))
    middle = statistics.median(ratio for group in groups for ratio in group)
    return Interval(middle, medians[int(_LOW * _RESAMPLES)], medians[int(_HIGH * _RESAMPLES)])


def _resample(generator: random.Random, groups: Sequence[Sequence[float]]) -> list[float]:
    drawn = generator.choices(groups, k=len(groups))
    return [ratio for group in drawn for ratio in generator.choices(group, k=len(group))]


def noise_floor(
    key: str, again: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], worst: float
) -> Floor:
    """Return the noise floor of a metric: the reference against itself, as if it were another.

    Args:
        key: the metric.
        again: samples of the reference's double, round by round.
        reference: its own.
        worst: the floor above which there is no verdict.
    """
    ratio = compare(again, reference, lower_is_better=False)
    floor = max(ratio.high, 1 / ratio.low) - 1
    return Floor(key=key, ratio=ratio, floor=floor, quiet=floor <= worst)


def judge(ratio: Interval, floor: Floor, worst: float, words: tuple[str, str]) -> str:
    """Return which word a ratio earns, or `none: ` and why.

    Args:
        ratio: above 1 is better.
        floor: noise floor of the same metric in the same run.
        worst: the floor above which there is no verdict.
        words: what a better and a worse one is called.
    """
    if not floor.quiet:
        return f"none: {LOUD} {floor.floor:.1%} apart, more than {worst:.0%}"
    if ratio.low <= 1 <= ratio.high:
        return "none: the interval includes 1"
    if 1 / (1 + floor.floor) <= ratio.median <= 1 + floor.floor:
        return f"none: inside the noise floor of {floor.floor:.1%}"
    return words[0] if ratio.median > 1 else words[1]
