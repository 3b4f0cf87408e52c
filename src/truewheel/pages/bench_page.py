"""A benchmark as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from truewheel import __version__
from truewheel.measure.result import Benchmark, Subject, Tuning
from truewheel.pages import bench_plots as plots
from truewheel.pages.bench_outcome import outcome_words
from truewheel.pages.bench_plots import Plot
from truewheel.pages.bench_tables import Group, Table, figure_groups, floor_table, limit_table, standing_of, trial_table
from truewheel.pages.bench_words import (
    floor_intro,
    loud_words,
    machine_words,
    model_words,
    quiet_words,
    reading_words,
    subject_facts,
)
from truewheel.text import clean

if TYPE_CHECKING:
    from jinja2 import Template


class Section(NamedTuple):
    """A group of metrics with its plots."""

    group: Group
    plots: tuple[Plot, ...]


class Ran(NamedTuple):
    """One subject: what was run and how."""

    subject: Subject
    standing: str
    facts: list[tuple[str, str]]


class View(NamedTuple):
    """What the page shows."""

    title: str
    facts: list[tuple[str, str]]
    loud: list[str]
    floor_intro: str
    floors: Table
    limits: Table
    limits_reason: str
    roofline: Plot
    reading: str
    sections: tuple[Section, ...]
    subjects: tuple[Ran, ...]
    outcome: list[str]
    compared: Group | None
    trials: Table | None
    path: Plot | None


def to_html(benchmark: Benchmark, tuning: Tuning | None = None) -> str:
    """Return a benchmark as one page, with the tuning that it belongs to; every text of a stranger is escaped."""
    return _template().render(view=make_view(benchmark, tuning), version=__version__)


def make_view(benchmark: Benchmark, tuning: Tuning | None = None) -> View:
    """Work out what the page shows."""
    groups, loud = figure_groups(benchmark), loud_words(benchmark)
    # A page of `tune` is the page of its last comparison; on one of `bench` that is another benchmark.
    final = tuning.final if tuning is not None and tuning.final != benchmark else None
    if final is not None:
        loud += [f"In the tuning's last comparison: {words}" for words in loud_words(final)]
    return View(
        title=f"Benchmark of {benchmark.model.name}",
        facts=[
            ("model", model_words(benchmark.model)),
            ("machine", machine_words(benchmark.machine)),
            ("run", f"{benchmark.when}; {quiet_words(benchmark)}"),
        ],
        loud=loud,
        floor_intro=floor_intro(benchmark),
        floors=floor_table(benchmark),
        limits=limit_table(benchmark),
        limits_reason=benchmark.limits_reason or "no reason was given",
        roofline=plots.plot_roofline(benchmark),
        reading=reading_words(benchmark),
        sections=_sections(groups, benchmark),
        subjects=tuple(
            Ran(subject, standing_of(subject, benchmark), subject_facts(subject)) for subject in benchmark.subjects
        ),
        outcome=outcome_words(tuning) if tuning is not None else [],
        compared=_merge(figure_groups(final)) if final is not None else None,
        trials=trial_table(tuning) if tuning is not None else None,
        path=plots.plot_path(tuning) if tuning is not None else None,
    )


def _merge(groups: list[Group]) -> Group | None:
    """Return all metrics as one group."""
    if not groups:
        return None
    blocks = tuple(block for group in groups for block in group.blocks)
    return groups[0]._replace(blocks=blocks, shares=any(group.shares for group in groups))


def _sections(groups: list[Group], benchmark: Benchmark) -> tuple[Section, ...]:
    """Return the groups with their plots; a phase that no low level measured is shown with the answers."""
    names = {group.name for group in groups}
    shown: dict[str, list[Plot]] = {group.name: [] for group in groups}
    for phase in ("prefill", "decode"):
        home = phase if phase in names else "answer"
        if home in names:
            shown[home].append(plots.plot_bars(benchmark, phase))
    if "decode" in names:
        shown["decode"].append(plots.plot_depths(benchmark))
    return tuple(Section(group, tuple(shown[group.name])) for group in groups)


@functools.cache
def _template() -> Template:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    # The drawings were escaped where they were written; nothing else goes through here.
    environment.filters.update(drawing=Markup)
    text = resources.files("truewheel.pages").joinpath("bench.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def _finalize(value: Any) -> Any:
    """Take what could turn the order of letters out of every text; what is markup already was made by the page."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
