"""Fit a benchmark into the time that it may take, by what its turns have cost so far."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from truewheel.child.work import Work, Workload
from truewheel.measure.assemble import Series
from truewheel.measure.metrics import read_event
from truewheel.measure.result import Cut

FEWEST = 5
"""Repetitions that a verdict needs where time was short. In simulated runs of equal subjects three of them gave a wrong
verdict in 4.5 % of the cases, five in 0.7 % or less."""
_EASILY = 0.92
"""Which part of the time that is left is planned with at first, so that a slower turn does not shorten later rounds."""
_CLOSING = 0.97
"""Behind the last turn processes end, and intervals are drawn."""
_DECODE_WEIGHT = 8
_SPEED = 50.0
"""Tokens a second of an engine that has not shown anything yet."""


class Budget:
    """The time that a benchmark may take; it runs from when it is made.

    Args:
        seconds: how long; infinite by default.
        clock: returns seconds.
    """

    def __init__(self, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self._start = seconds, clock, clock()

    def left(self) -> float:
        """Return the seconds that may still be measured."""
        return _CLOSING * self.seconds - (self.clock() - self._start)


class Pace:
    """What is measured in which round: all that was asked for, or as much of it as fits into the time.

    Repetitions in one process are given up first, where there are enough rounds; then lengths, the longest before
    others; rounds last. The shortest prompt and the shortest generation always have one round.

    Args:
        plan: the work that was asked for.
        rounds: how many rounds were asked for.
        budget: the time.
    """

    def __init__(self, plan: Workload, rounds: int, budget: Budget) -> None:
        self.rounds, self.budget = rounds, budget
        self.order = tuple(sorted(plan.work, key=_weigh(plan)))
        self.chosen = list(self.order)
        self._plan = plan
        self._groups: Sequence[Sequence[Series]] = [[]]
        shortest = {item.kind: item.id for item in reversed(self.chosen) if item.kind != "answer"}
        self._least = set(shortest.values()) or {self.chosen[0].id}
        self._starts: dict[str, float] = {}
        self._turns: dict[tuple[str, str], list[float]] = {}
        self._speeds: dict[tuple[str, str], float] = {}
        self._done = {item.id: 0 for item in plan.work}
        self._full, self._number, self._finished, self._left, self._began = True, 0, 0, 0.0, 0.0

    def learn(self, one: Series, seconds: float, measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take from the trial of a subject how long it takes to start, and its speeds."""
        self._starts[one.asked.text] = seconds
        for item in self._plan.work:
            for event in measured.get(item.id, ()):
                self._read(one, item, event)

    def start_took(self, one: Series, seconds: float) -> None:
        """Remember how long a subject took to be loaded and warm."""
        self._starts[one.asked.text] = seconds

    def turn_took(self, one: Series, item: Work, seconds: float, event: Mapping[str, Any] | None) -> None:
        """Remember how long one turn took, with all that belongs to it."""
        self._turns.setdefault((one.asked.text, item.id), []).append(seconds)
        if event is not None and not item.depth:
            self._read(one, item, event)

    def begin(self, number: int, groups: Sequence[Sequence[Series]]) -> bool:
        """Decide what a round does, and whether there is one.

        Args:
            number: of the round, from 0.
            groups: who measures together, the reference in each.
        """
        self._number, self._groups, self._left, self._finished = number, groups, self.budget.left(), 0
        self._began, rest = self.budget.clock(), self.rounds - number
        # What began is kept up as long as it fits; what is added must fit easily.
        self._full = self._may_repeat(rest, self._left if number and self._full else _EASILY * self._left)
        if number == 0:
            return True
        kept: list[Work] = []
        for item in self.chosen:
            if item.id in self._least or self._needs([*kept, item], rest) <= self._left:
                kept.append(item)
        self.chosen = kept
        return self._needs(kept, 1) <= self._left

    def repetitions(self, item: Work) -> int:
        """Return how often a piece of work is repeated in this round; 0 where it is left out.

        In the first round that is decided just before, by what the shorter ones took.
        """
        if item not in self.chosen:
            return 0
        if self._number == 0 and item.id not in self._least:
            room = _EASILY * self._left
            self._full = self._may_repeat(self.rounds, room)
            if self._needs(self.chosen[: self.chosen.index(item) + 1], self.rounds) > room:
                self.chosen.remove(item)
                return 0
        return item.repeat if self._full else 1

    def finished(self, item: Work) -> None:
        """Count one repetition: all subjects of a group, there and back."""
        self._done[item.id] += 1
        self._finished += 1

    def progress(self) -> tuple[int, int, float]:
        """Return how many repetitions are done, how many there will be, and the seconds that are left."""
        done = sum(self._done.values())
        in_round = len(self._groups) * sum(item.repeat if self._full else 1 for item in self.chosen)
        total = done - self._finished + in_round * (self.rounds - self._number)
        taken = self.budget.clock() - self._began
        seconds = self._needs(self.chosen, self.rounds - self._number) - taken
        return done, max(total, done), max(0.0, min(seconds, self.budget.left()))

    @property
    def limited(self) -> bool:
        """Return whether there is a limit."""
        return math.isfinite(self.budget.seconds)

    def measured(self) -> Workload:
        """Return the work of the plan without what was left out."""
        return self._plan._replace(work=tuple(item for item in self._plan.work if self._done[item.id]))

    def enough(self, key: str, rounds: int) -> bool:
        """Return whether a metric was measured often enough for a verdict.

        Args:
            key: the metric.
            rounds: how many there were.
        """
        if not self.limited:
            return True
        work = "answer" if key.startswith("answer-") else key
        cut = next((each for each in self.cuts() if each.key == work), None)
        if cut is None:
            return work in self._done or rounds >= min(FEWEST, self.rounds)
        return cut.done >= min(FEWEST, cut.asked)

    def cuts(self) -> tuple[Cut, ...]:
        """Return what was measured less often than it was asked for, because time was short."""
        if not self.limited:
            return ()
        asked = [(item.id, self.rounds * item.repeat) for item in self._plan.work]
        done = {key: count // len(self._groups) for key, count in self._done.items()}
        return tuple(Cut(key=key, asked=most, done=done[key]) for key, most in asked if done[key] < most)

    def _may_repeat(self, rounds: int, room: float) -> bool:
        """Return whether all work that is left may be repeated in each process; few rounds need it."""
        return self.rounds < FEWEST or self._needs(self.chosen, rounds, full=True) <= room

    def _read(self, one: Series, item: Work, event: Mapping[str, Any]) -> None:
        with contextlib.suppress(ValueError):
            for key, value in read_event(item, event):
                kind = key.removeprefix("answer-") if item.kind == "answer" else item.kind
                self._speeds[one.asked.text, kind] = value

    def _needs(self, items: Sequence[Work], rounds: int, *, full: bool | None = None) -> float:
        """Return the seconds that so many rounds of this work take."""
        many = self._full if full is None else full
        present = [one for group in self._groups for one in group if not one.failure]
        turns = sum(
            2 * (item.repeat if many else 1) * self._turn(one, item)
            for one in present
            for item in items
            if item.id not in one.skipped
        )
        return rounds * (turns + sum(self._starts.get(one.asked.text, 0.0) for one in present))

    def _turn(self, one: Series, item: Work) -> float:
        """Return the seconds of one turn: as it was so far, or by the speeds of shorter work."""
        name = one.asked.text
        if seen := self._turns.get((name, item.id)):
            return sum(seen) / len(seen)
        decode = self._speeds.get((name, "decode")) or self._speeds.get((name, "whole"), _SPEED)
        prefill = self._speeds.get((name, "prefill"), decode)
        before = self._plan.prompt if item.kind == "answer" else item.depth
        return before / prefill + item.tokens / (prefill if item.kind == "prefill" else decode)


def _weigh(plan: Workload) -> Callable[[Work], int]:
    """Return what orders work by what it costs, the same for all machines."""
    return lambda item: (
        item.depth
        + (plan.prompt if item.kind == "answer" else 0)
        + item.tokens * (1 if item.kind == "prefill" else _DECODE_WEIGHT)
    )
