"""A report as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from truewheel import __version__
from truewheel.checks.finding import Severity
from truewheel.cpu.levels import LEVELS, highest_level, level_features
from truewheel.cpu.models import CpuModel, lacking, oldest_with
from truewheel.pages.emulation import HEADINGS, Row, emulation_rows, emulator_words
from truewheel.pages.report_words import (
    SEVERITY_WORDS,
    Chosen,
    Group,
    fact_rows,
    find_advice,
    find_chosen,
    group_findings,
    kind_shares,
    level_words,
    needs_in_short,
    reason_words,
)
from truewheel.report import Report
from truewheel.text import clean, number_words, size_words

if TYPE_CHECKING:
    from jinja2 import Template

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
_PLACES = 100


class Rung(NamedTuple):
    """One level of the ladder.

    Attributes:
        level: its name.
        features: the features of it, but not of the one below, that the code needs, and in how many functions.
        standing: `reached` when code needs it, `beyond` when that is more than is claimed, else `above`.
        marks: what is to be said of it: that it is needed, that it is claimed.
    """

    level: str
    features: tuple[tuple[str, int], ...]
    standing: str
    marks: tuple[str, ...]


class Section(NamedTuple):
    """Findings of one severity."""

    severity: Severity
    title: str
    groups: tuple[Group, ...]


class View(NamedTuple):
    """What the page shows of one wheel."""

    report: Report
    reason: str
    facts: list[tuple[str, str]]
    ladder: list[Rung]
    beyond: tuple[tuple[str, int], ...]
    oldest: tuple[CpuModel, ...]
    without: tuple[CpuModel, ...]
    chosen: tuple[Chosen, ...]
    sections: tuple[Section, ...]
    advice: list[tuple[tuple[str, ...], str]]
    kinds: list[tuple[str, int, float]]
    largest: list[tuple[str, int, float]]
    emulation: list[Row]
    emulator: str


def to_html(reports: Sequence[Report]) -> str:
    """Return the reports as one page; every text of a wheel is escaped."""
    return _template().render(views=[make_view(report) for report in reports], version=__version__)


def make_view(report: Report) -> View:
    """Work out what the page shows of one wheel."""
    needs = report.isa.needs if report.isa and report.isa.libraries else None
    return View(
        report=report,
        reason=reason_words(report),
        facts=fact_rows(report),
        ladder=_ladder(report),
        beyond=_counted(report, report.isa.beyond) if report.isa else (),
        oldest=oldest_with(needs) if needs is not None else (),
        without=lacking(needs) if needs is not None and oldest_with(needs) else (),
        chosen=find_chosen(report),
        sections=tuple(
            Section(severity, SEVERITY_WORDS[severity], groups)
            for severity in _SEVERITIES
            if (groups := group_findings(report, severity))
        ),
        advice=find_advice(report),
        kinds=kind_shares(report.space) if report.space else [],
        largest=_largest(report),
        emulation=emulation_rows(report),
        emulator=emulator_words(report),
    )


@functools.cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(bytes=size_words, level=level_words)
    environment.globals.update(number=number_words, short=needs_in_short, places=_PLACES, run_headings=HEADINGS)
    text = resources.files("truewheel.pages").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def _finalize(value: Any) -> Any:
    """Take what could turn the order of letters out of every text; what is markup already was made by the page."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _ladder(report: Report) -> list[Rung]:
    """Return the four levels with what the code needs of each; empty where nothing is known."""
    isa = report.isa
    if isa is None or not isa.libraries:
        return []
    # An ELF note claims nothing by itself, and a wheel with notes alone promises to run everywhere.
    claimed = highest_level(isa.claimed) if any(claim.features is not None for claim in isa.claims) else ""
    ladder = []
    for number, level in enumerate(LEVELS):
        below = level_features(LEVELS[number - 1]) if number else frozenset()
        own = _counted(report, tuple(feature for feature in isa.needs if feature in level_features(level) - below))
        reached = number <= LEVELS.index(isa.level)
        unclaimed = any(feature not in isa.claimed for feature, _ in own)
        standing = "beyond" if unclaimed else "reached" if reached else "above"
        marks = (("needed",) if level == isa.level else ()) + (("claimed",) if level == claimed else ())
        ladder.append(Rung(level, own, standing, marks))
    return ladder


def _counted(report: Report, features: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Return features with the number of functions that need each."""
    libraries = report.isa.libraries.values() if report.isa else ()
    return tuple((feature, sum(library.counts.get(feature, 0) for library in libraries)) for feature in features)


def _largest(report: Report) -> list[tuple[str, int, float]]:
    """Return the largest files with their share of all that is installed."""
    if report.space is None or not report.installed_size:
        return []
    return [(path, size, 100 * size / report.installed_size) for path, size in report.space.largest]
