"""The best of the wheels that fit, and why: one table of criteria gives both the order and the words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace
from packaging.version import Version

from truewheel.cpu.features import feature_table
from truewheel.pick.candidate import QUESTIONS, Candidate, Choice
from truewheel.text import cut, join_words

_SHOWN = 3


class _Criterion(NamedTuple):
    """One way to be better: the rank, the higher the better, and what is said of winner and loser."""

    rank: Callable[[Candidate], Any]
    won: str
    lost: str


_CRITERIA = (
    _Criterion(lambda each: not Version(each.version).is_prerelease, "and is no pre-release", "is a pre-release"),
    _Criterion(lambda each: Version(each.version), "and is the newest that fits", "is an older version"),
    _Criterion(lambda each: each.proven == "passed", "and is proven", "is not proven"),
    _Criterion(lambda each: _count_kernels(each.uses), "the most of what this CPU has", "uses less of this CPU"),
    _Criterion(lambda each: len(each.uses), "the most of what this CPU has", "uses less of this CPU"),
    _Criterion(lambda each: each.native, "and was built for this very CPU", "was not built for this very CPU"),
    _Criterion(lambda each: not each.dispatched, "and has just one backend", "has several backends to choose from"),
    _Criterion(lambda each: -each.size, "and is the smallest of its kind", "is larger"),
    _Criterion(lambda each: _read_build(each.build), "and has the highest build tag", "has a lower build tag"),
)
"""From the weightiest to the lightest; where none tells two wheels apart, the name does."""
_BY_NAME = _Criterion(str, "and comes first by name", "comes later by name")


def _count_kernels(features: Iterable[str]) -> int:
    """Count the features that kernels are written for; a level brings others along that no kernel gains by."""
    return sum(1 for name in features if name in feature_table() and feature_table()[name].option)


def choose(project: str, candidates: Iterable[Candidate]) -> Choice:
    """Choose among the judged wheels of one project, whatever their order."""
    ordered = sorted(candidates, key=lambda each: (each.name, str(each.path)))
    fit = sorted((each for each in ordered if each.fit), key=_rank, reverse=True)
    unfit = sorted((each for each in ordered if not each.fit), key=_nearness, reverse=True)
    if not fit:
        return Choice(project=project, best=None, others=tuple(unfit), why=f"{unfit[0].name}: {unfit[0].reason}")
    best, *rivals = fit
    why = _explain_best(best, rivals, unfit)
    lost = (replace(rival, reason=f"it fits, but {_compare(best, rival).lost}") for rival in rivals)
    return Choice(project=project, best=replace(best, reason=why), others=(*lost, *unfit), why=why)


def _rank(candidate: Candidate) -> tuple[Any, ...]:
    return tuple(criterion.rank(candidate) for criterion in _CRITERIA)


def _nearness(candidate: Candidate) -> tuple[Any, ...]:
    version = Version(candidate.version or "0")
    return QUESTIONS.index(candidate.failed), -len(candidate.lacks), not version.is_prerelease, version


def _read_build(build: str) -> tuple[int, str]:
    """Return the number and the rest of a build tag; a wheel without one comes behind all others."""
    rest = build.lstrip("0123456789")
    return int(build.removesuffix(rest) or -1), rest


def _compare(best: Candidate, other: Candidate) -> _Criterion:
    """Return the weightiest way in which one wheel is better than another."""
    return next((each for each in _CRITERIA if each.rank(best) != each.rank(other)), _BY_NAME)


def _explain_best(best: Candidate, rivals: Sequence[Candidate], unfit: Sequence[Candidate]) -> str:
    """Say what the best one uses, what made it the best, and what one that would use more lacks."""
    group = (best, *rivals, *unfit)
    uses = f"uses {join_words(best.uses, _SHOWN)}" if best.uses else "needs nothing that only newer CPUs have"
    won = "and is the only one that fits" if unfit else "and is the only one there is"
    if rivals:
        won = _compare(best, rivals[0]).won
    near = next((each for each in unfit if each.lacks and Version(each.version) >= Version(best.version)), None)
    tail = f"; {_label(near, group)} needs {join_words(near.lacks, _SHOWN)}, which this CPU lacks" if near else ""
    return f"{_label(best, group)} {uses}, {won}{tail}"


def _label(candidate: Candidate, group: Iterable[Candidate]) -> str:
    """Return the shortest name of a wheel that no other of its project has."""
    if not candidate.profile or sum(each.profile == candidate.profile for each in group) > 1:
        return cut(candidate.name)
    return f"backend {candidate.backend} of {candidate.profile}" if candidate.dispatched else candidate.profile


def find_nearest(choices: Iterable[Choice]) -> Candidate:
    """Return what came nearest to fit, of choices in which nothing does."""
    return max((choice.others[0] for choice in choices), key=_nearness)
