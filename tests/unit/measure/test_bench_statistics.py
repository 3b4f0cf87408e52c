"""Medians, intervals and verdicts."""

from __future__ import annotations

import random

import pytest

from truewheel.measure.result import Floor, Interval
from truewheel.measure.statistics import compare, interval, judge, noise_floor, pair_turns

WORDS = ("faster", "slower")
QUIET = Floor(key="tg64", ratio=Interval(1.0, 0.99, 1.01), floor=0.0101, quiet=True)


def test_interval_holds_the_median_and_is_always_the_same():
    values = [1.0, 1.1, 0.9, 1.05, 0.97]
    found = interval(values)
    assert found == interval(values)
    assert found.low <= found.median == 1.0 <= found.high
    assert min(values) <= found.low
    assert found.high <= max(values)


def test_interval_of_one_value_has_no_width():
    assert interval([2.5]) == Interval(2.5, 2.5, 2.5)


def test_interval_is_about_as_wide_as_theory_says():
    generator = random.Random(1)
    values = [generator.gauss(100, 10) for _ in range(200)]
    found = interval(values)
    # The median of n normal values deviates by 1.253 s / sqrt(n): 0.89 here, so 95 % are within about 1.7.
    assert 1.5 < found.high - found.low < 7


def test_drift_does_not_reach_the_ratio():
    # The machine gets slower by 5 % with each run; the order is A B B A.
    speeds = [0.95**step for step in range(8)]
    a = [speeds[0], speeds[3], speeds[4], speeds[7]]
    b = [speeds[1], speeds[2], speeds[5], speeds[6]]
    found = compare([b], [a], lower_is_better=False)
    assert found.median == pytest.approx(1.0)
    assert found.high == pytest.approx(found.low)


def test_turns_are_paired_and_an_unfinished_one_is_left_out():
    assert pair_turns([1.0, 4.0, 9.0]) == [2.0]
    assert pair_turns([3.0]) == [3.0]
    assert pair_turns([]) == []


def test_less_is_better_for_seconds():
    assert compare([[1.0, 1.0]], [[2.0, 2.0]], lower_is_better=True).median == 2.0
    assert compare([[1.0, 1.0]], [[2.0, 2.0]], lower_is_better=False).median == 0.5


def test_rounds_that_one_of_both_missed_do_not_count():
    assert compare([[2.0], []], [[1.0], [9.0]], lower_is_better=False) == Interval(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare([[]], [[1.0]], lower_is_better=False)


def test_what_differs_from_process_to_process_widens_the_interval():
    alike = [[1.0, 1.0, 1.1, 1.1, 1.2, 1.2, 1.3, 1.3]] * 4
    apart = [[value, value] * 4 for value in (1.0, 1.1, 1.2, 1.3)]
    ones = [[1.0] * 8] * 4
    inside, between = (compare(each, ones, lower_is_better=False) for each in (alike, apart))
    assert between.high - between.low > inside.high - inside.low


@pytest.mark.parametrize(("again", "quiet"), [([1.01, 1.01, 0.99, 0.99], True), ([1.2, 1.2, 0.9, 0.9], False)])
def test_noise_floor_is_how_far_the_interval_reaches(again, quiet):
    floor = noise_floor("tg64", [again], [[1.0] * 4], 0.03)
    assert floor.quiet is quiet
    assert floor.floor == pytest.approx(max(floor.ratio.high, 1 / floor.ratio.low) - 1)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (Interval(1.2, 1.1, 1.3), "faster"),
        (Interval(0.8, 0.7, 0.9), "slower"),
        (Interval(1.2, 0.99, 1.3), "none: the interval includes 1"),
        (Interval(1.005, 1.001, 1.009), "none: inside the noise floor of 1.0%"),
        (Interval(0.995, 0.991, 0.999), "none: inside the noise floor of 1.0%"),
    ],
)
def test_a_difference_is_called_one_only_outside_the_noise(ratio, verdict):
    assert judge(ratio, QUIET, 0.03, WORDS) == verdict


def test_there_is_no_verdict_where_the_noise_is_loud():
    loud = Floor(key="tg64", ratio=Interval(1.0, 0.9, 1.1), floor=0.111, quiet=False)
    assert judge(Interval(3.0, 2.9, 3.1), loud, 0.03, WORDS) == "none: A against A is 11.1% apart, more than 3%"
