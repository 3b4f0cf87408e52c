"""Successive halving: many settings are tried briefly, the better half again and longer, until few are left. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

import msgspec

from truewheel.config.presets import Settings

_OTHER = 0.1
"""Weight of what is not the goal: between two that are as good for it, the better one for the rest wins."""
_SLOWER = 0.8
"""A setting that saves memory may cost this much of the defaults' speed of generating, and no more."""


class Seen(msgspec.Struct, frozen=True):
    """What a setting showed once, beside the defaults.

    Attributes:
        prefill: tokens/s.
        decode: tokens/s.
        first: seconds to the first token of an answer; 0 where the goal does not ask for it.
        peak: bytes.
    """

    prefill: float
    decode: float
    first: float
    peak: float


class Contender:
    """A setting on its way.

    Attributes:
        number: 1, 2, 3 …; the first is the engine's own defaults.
        settings: what it is.
        seen: one for each time that it took turns with the defaults.
        rung: how far it came.
        dropped: why it went no further.
    """

    def __init__(self, number: int, settings: Settings) -> None:
        self.number, self.settings = number, settings
        self.seen: list[Seen] = []
        self.rung = 0
        self.dropped = ""

    def middle(self) -> Seen:
        """Return the medians of what was seen; zeros where nothing was."""
        if not self.seen:
            return Seen(0.0, 0.0, 0.0, 0.0)
        fields = (statistics.median(getattr(seen, name) for seen in self.seen) for name in Seen.__struct_fields__)
        return Seen(*fields)


def score(goal: str, seen: Seen, defaults: Seen) -> float:
    """Return how much better than the defaults a setting is for a goal; 1 is as good, 0 is not to be used.

    Args:
        goal: `decode` (tokens a second), `prefill` (the same, of a prompt), `latency` (seconds to the first token and
            24 more) or `memory` (most resident bytes, while generating stays above 80 % of the defaults').
        seen: what the setting showed.
        defaults: what the engine's own defaults showed.
    """
    if min(seen.prefill, seen.decode, seen.peak, defaults.prefill, defaults.decode, defaults.peak) <= 0:
        return 0.0
    prefill, decode = seen.prefill / defaults.prefill, seen.decode / defaults.decode
    if goal == "decode":
        return float(decode * prefill**_OTHER)
    if goal == "prefill":
        return float(prefill * decode**_OTHER)
    if goal == "latency":
        return (defaults.first + _TOKENS / defaults.decode) / (seen.first + _TOKENS / seen.decode)
    if decode < _SLOWER:
        return 0.0
    return float(defaults.peak / seen.peak * (decode * prefill) ** (_OTHER / 2))


_TOKENS = 24
_LATE = 6
"""From so few candidates on each is asked whether it may win, which costs a run."""


def rank(goal: str, candidates: Sequence[Contender], defaults: Seen) -> list[Contender]:
    """Return candidates, the best first; of equals the earlier."""
    return sorted(candidates, key=lambda each: (-score(goal, each.middle(), defaults), each.number))


def plan_rungs(size: int, finalists: int = 3) -> list[int]:
    """Return how many settings are left at each rung, e.g. 24, 12, 6, 3."""
    rungs = [size]
    while rungs[-1] > finalists:
        rungs.append(max(finalists, math.ceil(rungs[-1] / 2)))
    return rungs


def turns_of(rung: int) -> int:
    """Return how often a setting takes turns with the defaults at a rung, the first being 1: twice as often each."""
    return int(2 ** (rung - 1))


def halve(
    goal: str,
    defaults: Seen,
    candidates: Sequence[Contender],
    try_out: Callable[[Contender, int], list[Seen] | str],
    keep: Callable[[Contender], str],
    time_left: Callable[[], float],
) -> list[Contender]:
    """Try candidates, drop the worse half, try the others longer, and return the finalists, the best first.

    Args:
        goal: see `score`.
        defaults: what the engine's own defaults showed.
        candidates: all others.
        try_out: run a setting in a fresh process, in turn with the defaults so many times; a text says why it cannot
            be used.
        keep: asked before a candidate enters the last rungs; a text says why it must not win.
        time_left: seconds; with none left the present ranking counts, once one was tried.
    """
    alive = list(candidates)
    for rung, size in enumerate(plan_rungs(len(candidates)), 1):
        alive = _thin(goal, alive, defaults, size, keep if size <= _LATE else _allow) if rung > 1 else alive
        for candidate in alive:
            if time_left() <= 0 and any(each.seen for each in alive):
                return _survivors(goal, alive, defaults, keep)
            candidate.rung = max(candidate.rung, rung)
            seen = try_out(candidate, turns_of(rung))
            if isinstance(seen, str):
                candidate.dropped = seen
            else:
                candidate.seen.extend(seen)
        alive = [candidate for candidate in alive if not candidate.dropped]
    return _survivors(goal, alive, defaults, keep)


def _allow(_: Contender) -> str:
    return ""


def _thin(
    goal: str, alive: Sequence[Contender], defaults: Seen, size: int, keep: Callable[[Contender], str]
) -> list[Contender]:
    """Return the best `size` candidates; those that must not win make place for the next."""
    chosen: list[Contender] = []
    for candidate in rank(goal, alive, defaults):
        if len(chosen) >= size:
            candidate.dropped = "others were better"
        elif reason := keep(candidate):
            candidate.dropped = reason
        else:
            chosen.append(candidate)
    return chosen


def _survivors(
    goal: str, alive: Sequence[Contender], defaults: Seen, keep: Callable[[Contender], str]
) -> list[Contender]:
    tried = [candidate for candidate in alive if candidate.seen and not candidate.dropped]
    found = []
    for candidate in rank(goal, tried, defaults):
        if reason := keep(candidate):
            candidate.dropped = reason
        else:
            found.append(candidate)
    return found
