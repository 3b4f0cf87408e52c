"""What a build gave: of one profile, or of all of them, with the comparison of their answers."""

from __future__ import annotations

import msgspec

from truewheel.compare.run import Comparison
from truewheel.pages.comparison import describe_comparison
from truewheel.pages.document import Block, Document, Inline, Span, Table, verdict_of
from truewheel.pages.wheel import describe_wheel
from truewheel.report import Report
from truewheel.text import mib_words


class Built(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One wheel that was built.

    Attributes:
        path: where it is stored.
        fresh: whether it was built now; else it was there before.
        report: its account.
    """

    path: str
    fresh: bool
    report: Report


class BuiltProfile(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """What became of one profile: a wheel, or an error with its exit code."""

    profile: str
    path: str = ""
    fresh: bool | None = None
    report: Report | None = None
    error: str = ""
    exit_code: int = 0


class BuiltSeries(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What became of every profile, and whether the wheels give the same answers; None where two are not there."""

    wheels: tuple[BuiltProfile, ...]
    comparison: Comparison | None


def describe_series(series: BuiltSeries, *, brief: bool = False) -> Document:
    """Return a table of the profiles, the comparison, and unless it is to be brief the account of each wheel."""
    blocks: list[Block] = [Table(("verdict", "MiB", "profile"), tuple(map(_row, series.wheels)), frozenset({1}))]
    if series.comparison is not None:
        blocks.append(describe_comparison(series.comparison))
    if not brief:
        blocks += [describe_wheel(each.report) for each in series.wheels if each.report is not None]
    return Document("What became of each profile", tuple(blocks))


def _row(built: BuiltProfile) -> tuple[Inline, ...]:
    if built.report is None:
        return verdict_of("failed"), "-", (Span(built.profile, "code"), f": {built.error}")
    return verdict_of(built.report.verdict), mib_words(built.report.size), Span(built.profile, "code")
