"""The tables of a benchmark and of a tuning, as plain text in cells: written alike on a terminal, in Markdown, in HTML.

Labels, versions and errors in them come from strangers, and are not escaped yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from truewheel.measure.result import Benchmark, Figure, Floor, Subject, Trial, Tuning
from truewheel.pages.bench_words import (
    CLAIMS,
    LIMIT_WORDS,
    interval_words,
    key_words,
    loud_reason,
    parse_key,
    percent,
    rate_words,
    ratio_words,
    round_number,
    settings_words,
    unit_for,
)
from truewheel.text import number_words

_TITLES = {
    "prefill": ("Prefill", "The tokens of a prompt at once, by the engine's low level: no text, no sampling."),
    "decode": (
        "Decode",
        "One token after another, by the engine's low level; behind @ stands how deep the context was filled before.",
    ),
    "answer": ("Answer", "End to end, through the package's own Python API as its user calls it; nothing is random."),
    "footprint": ("Size, start and memory", "What it takes before and besides the answers."),
    "other": ("Other", ""),
}
_FOOTPRINT = ("wheel", "installed", "import", "load", "peak")


class Table(NamedTuple):
    """Headings and rows; every row has as many cells as there are headings.

    Attributes:
        headings: of the columns.
        rows: their cells.
        numeric: columns that are figures, and stand to the right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


class Row(NamedTuple):
    """One subject's figure of one metric.

    Attributes:
        label: the subject.
        standing: `reference`, `peer` or nothing.
        value: its median, in the unit of the block; empty where it was not measured.
        interval: in brackets; empty where it has no width.
        missing: what stands in the place of a value.
        ratio: against the reference.
        ratio_interval: in brackets.
        verdict: `faster`, `slower`, `smaller`, `larger`, `none` or nothing.
        reason: why the verdict is `none`.
        share: part of the machine's limit, and of which.
    """

    label: str
    standing: str
    value: str = ""
    interval: str = ""
    missing: str = ""
    ratio: str = ""
    ratio_interval: str = ""
    verdict: str = ""
    reason: str = ""
    share: str = ""

    @property
    def name(self) -> str:
        """Return the subject with its standing."""
        return f"{self.label} ({self.standing})" if self.standing else self.label

    @property
    def quality(self) -> str:
        """Return `better` or `worse` where the verdict claims something."""
        return CLAIMS.get(self.verdict, "")


class Block(NamedTuple):
    """One metric of all subjects.

    Attributes:
        key: the metric.
        title: what it measures.
        unit: of all its values.
        rows: one a subject that did not fail before it.
    """

    key: str
    title: str
    unit: str
    rows: tuple[Row, ...]


class Group(NamedTuple):
    """Metrics that belong together.

    Attributes:
        name: `prefill`, `decode`, `answer`, `footprint` or `other`.
        title: its heading.
        intro: what they have in common.
        blocks: the metrics.
        failed: label and error of each subject of which nothing could be measured.
        shares: whether anything is compared with the machine's limit.
    """

    name: str
    title: str
    intro: str
    blocks: tuple[Block, ...]
    failed: tuple[tuple[str, str], ...]
    shares: bool


def figure_groups(benchmark: Benchmark) -> list[Group]:
    """Return all figures, by group and metric; a group without a metric is left out."""
    keys: dict[str, list[str]] = {name: [] for name in _TITLES}
    for key in dict.fromkeys(figure.key for subject in benchmark.subjects for figure in subject.figures):
        keys[_group_of(key)].append(key)
    keys["footprint"].sort(key=_FOOTPRINT.index)
    failed = tuple((subject.label, subject.failure) for subject in benchmark.subjects if subject.failure)
    groups = []
    for name, found in keys.items():
        if found:
            blocks = tuple(_block(key, benchmark) for key in found)
            shares = any(row.share for block in blocks for row in block.rows)
            groups.append(Group(name, *_TITLES[name], blocks, failed, shares))
    return groups


def standing_of(subject: Subject, benchmark: Benchmark) -> str:
    """Return whether a subject is the reference or a peer."""
    if subject.label == benchmark.reference:
        return "reference"
    return "peer" if subject.peer else ""


def find_figure(subject: Subject, key: str) -> Figure | None:
    """Return a subject's figure of a metric."""
    return next((figure for figure in subject.figures if figure.key == key), None)


def floor_table(benchmark: Benchmark) -> Table:
    """Return the noise floor of each metric."""
    rows = (
        (
            floor.key,
            key_words(floor.key),
            " ".join(ratio_words(floor.ratio)).strip(),
            percent(floor.floor),
            "given" if floor.quiet else "none",
        )
        for floor in benchmark.floors
    )
    return Table(("metric", "what", "A / A", "floor", "verdicts"), tuple(rows), frozenset({2, 3}))


def limit_table(benchmark: Benchmark) -> Table:
    """Return what the machine did at most, a row a number of threads."""
    rows = (
        (
            number_words(limits.threads, "thread"),
            rate_words(limits.read, "B/s"),
            f"{rate_words(limits.int8, 'op/s')} ({limits.int8_kernel})",
            f"{rate_words(limits.f32, 'op/s')} ({limits.f32_kernel})",
            ", ".join(f"{name} {rate_words(rate, 'op/s')}" for name, rate in limits.others.items()) or "-",
        )
        for limits in benchmark.limits
    )
    headings = ("with", "memory read", "int8", "f32", "other kernels")
    return Table(headings, tuple(rows), frozenset({1, 2, 3}))


def trial_table(tuning: Tuning) -> Table:
    """Return the trials in the order in which they were tried."""
    peak = unit_for(max((trial.peak for trial in tuning.trials), default=0), "bytes")
    headings = ("trial", "rung", "prefill", "decode", "first token", "peak", "score", "settings", "went no further")
    rows = tuple(_trial_row(trial, tuning, peak) for trial in tuning.trials)
    return Table(headings, rows, frozenset(range(1, 7)))


def trial_standing(number: int, tuning: Tuning) -> str:
    """Return what a trial is: the winner, the runner-up, the engine's own defaults or nothing of it."""
    words = []
    if number == 1:
        words.append("defaults")
    if number == tuning.winner:
        words.append("winner")
    if number == tuning.runner_up:
        words.append("runner-up")
    return ", ".join(words)


def _trial_row(trial: Trial, tuning: Tuning, peak: tuple[float, str]) -> tuple[str, ...]:
    standing = trial_standing(trial.number, tuning)
    ran = trial.prefill > 0 or trial.decode > 0
    scale, unit = peak
    return (
        f"{trial.number} ({standing})" if standing else str(trial.number),
        str(trial.rung),
        round_number(trial.prefill) if ran else "-",
        round_number(trial.decode) if ran else "-",
        f"{trial.first:.3f} s" if trial.first > 0 else "-",
        f"{trial.peak / scale:.1f} {unit}" if trial.peak > 0 else "-",
        f"{trial.score:.3f}",
        settings_words(trial.settings),
        trial.dropped or "-",
    )


def _group_of(key: str) -> str:
    parsed = parse_key(key)
    if parsed is not None:
        return parsed.phase
    if key.startswith("answer-"):
        return "answer"
    return "footprint" if key in _FOOTPRINT else "other"


def _block(key: str, benchmark: Benchmark) -> Block:
    figures = [(subject, find_figure(subject, key)) for subject in benchmark.subjects]
    medians = [figure.value.median for _, figure in figures if figure is not None and figure.value is not None]
    unit = next(figure.unit for _, figure in figures if figure is not None)
    scale, shown = unit_for(max(medians, default=0.0), unit)
    floor = next((floor for floor in benchmark.floors if floor.key == key), None)
    return Block(key, key_words(key), shown, tuple(_rows(figures, floor, scale, benchmark)))


def _rows(
    figures: Sequence[tuple[Subject, Figure | None]], floor: Floor | None, scale: float, benchmark: Benchmark
) -> Iterator[Row]:
    """Yield a row a subject; those that failed and have no figure of this metric stand below the table."""
    for subject, figure in figures:
        row = Row(subject.label, standing_of(subject, benchmark))
        if figure is not None and figure.value is not None:
            yield _filled(row, figure, floor, scale, benchmark)
        elif not subject.failure:
            reason = f": {figure.reason}" if figure is not None and figure.reason else ""
            yield row._replace(missing=f"not measured{reason}")


def _filled(row: Row, figure: Figure, floor: Floor | None, scale: float, benchmark: Benchmark) -> Row:
    assert figure.value is not None
    value, interval = interval_words(figure.value, scale)
    ratio, ratio_interval = ratio_words(figure.ratio) if figure.ratio is not None else ("", "")
    word, _, reason = (part.strip() for part in figure.verdict.partition(":"))
    if floor is not None and not floor.quiet and word in CLAIMS:
        # A claim that its own noise floor forbids is not repeated, whoever made it.
        word, reason = "none", loud_reason(floor, benchmark)
    share = ""
    if figure.share is not None:
        share = f"{percent(figure.share)} {LIMIT_WORDS.get(figure.limit, figure.limit)}".rstrip()
    return row._replace(
        value=value,
        interval=interval,
        ratio=ratio,
        ratio_interval=ratio_interval,
        verdict=word,
        reason=reason,
        share=share,
    )
