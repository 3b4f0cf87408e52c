"""The frame itself: it must be able to fail."""

from __future__ import annotations

import pytest

from tests.faults.frame import Case, Tally, attempt, select


def _hold() -> None:
    pass


def _fall() -> None:
    raise AssertionError("it fell")


def test_selection_is_even_and_has_both_ends() -> None:
    cases = [Case(str(number), _hold) for number in range(100)]
    assert [case.name for case in select(cases, 4)] == ["0", "33", "66", "99"]
    assert select(cases[:3], 4) == cases[:3]
    assert [case.name for case in select(cases, 1)] == ["0"]


def test_a_case_that_falls_is_counted_and_fails() -> None:
    tally = Tally("planted", 3, [], {})
    with pytest.raises(AssertionError, match="second: it fell"):
        attempt(tally, [Case("first", _hold), Case("second", _fall), Case("third", _hold)])
    assert tally.fell == {"second": "it fell"}
    assert tally.row() == {"kind": "planted", "cases": 3, "tried": 3, "survived": 2}


def test_a_kind_without_cases_fails() -> None:
    with pytest.raises(AssertionError, match="nothing was tried"):
        attempt(Tally("nothing", 0, [], {}), [])
