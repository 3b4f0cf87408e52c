"""A benchmark and a tuning for a terminal: plain text in 100 columns, the noise floor first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from truewheel.measure.result import Benchmark, Tuning
from truewheel.measure.statistics import LOUD
from truewheel.pages.bench_outcome import outcome_words
from truewheel.pages.bench_tables import Block, Group, Row, Table, figure_groups, floor_table, limit_table, trial_table
from truewheel.pages.bench_words import (
    floor_intro,
    loud_words,
    machine_words,
    model_words,
    quiet_words,
    reading_words,
    subject_facts,
)
from truewheel.text import clean, cut

_WIDTH = 100
_SHORTEST = 12
_CELL = 34
_LAST = 20


def to_lines(benchmark: Benchmark) -> list[str]:
    """Return a benchmark for a terminal, without style: noise floor, the machine's limit, figures, notes."""
    lines = ["noise floor", *_wrap("  ", "  ", floor_intro(benchmark))]
    lines += _table_lines(floor_table(benchmark)) if benchmark.floors else []
    lines += [line for words in loud_words(benchmark) for line in _wrap("  ", "    ", words)]
    lines += ["", "the machine's limit", *_wrap("  ", "  ", machine_words(benchmark.machine))]
    if benchmark.limits:
        lines += _table_lines(limit_table(benchmark))
    else:
        lines += _wrap("  ", "  ", f"not measured: {benchmark.limits_reason or 'no reason was given'}")
    lines += ["", "model", *_wrap("  ", "  ", model_words(benchmark.model))]
    for group in figure_groups(benchmark):
        lines += ["", *_group_lines(group)]
    return [*lines, "", *_note_lines(benchmark)]


def tuning_to_lines(tuning: Tuning) -> list[str]:
    """Return a tuning for a terminal, without style: its outcome, the last comparison, all trials."""
    words = [*loud_words(tuning.final), *outcome_words(tuning)]
    lines = [line for each in words for line in _wrap("  ", "    ", each)]
    title = f"tuning for {clean(tuning.goal)}"
    return [title, *lines, "", *to_lines(tuning.final), "", "trials", *_trial_lines(tuning)]


def _group_lines(group: Group) -> list[str]:
    """Return the metrics of a group, each with its subjects in rows; all of a group share their columns."""
    lines = _wrap("", "  ", f"{group.title.lower()}: {group.intro}" if group.intro else group.title.lower())
    rows = [row for block in group.blocks for row in block.rows if row.value]
    widths = [max(map(len, column)) for column in zip(*map(_cells, rows), strict=True)] or [0] * 4
    names = [clean(row.name) for block in group.blocks for row in block.rows]
    room = _WIDTH - 4 - sum(2 + width for width in widths)
    label = max(_SHORTEST, min(room, max(map(len, names), default=0)))
    for block in group.blocks:
        lines += _block_lines(block, label, widths)
    for failed, error in group.failed:
        lines += _wrap(f"    {_short(failed, label)}  ", "      ", f"failed: {error}", 2)
    return lines


def _block_lines(block: Block, label: int, widths: Sequence[int]) -> list[str]:
    title = f": {block.title}" if block.title != block.key else ""
    lines = _wrap("  ", "    ", f"{block.key}{title}, {block.unit}")
    reasons: dict[str, list[str]] = {}
    for row in block.rows:
        name = _short(row.name, label)
        if row.missing:
            lines += _wrap(f"    {name}  ", "      ", row.missing, 2)
            continue
        value, ratio, verdict, share = _cells(row)
        cells = f"{value:<{widths[0]}}  {ratio:<{widths[1]}}  {verdict:<{widths[2]}}  {share:>{widths[3]}}"
        lines.append(f"    {name}  {cells}".rstrip()[:_WIDTH])
        # That the reference against itself is too far apart stands above, once for all.
        if row.reason and not row.reason.startswith(LOUD):
            reasons.setdefault(row.reason, []).append(row.label)
    for reason, labels in reasons.items():
        lines += _wrap("      ", "        ", f"none for {', '.join(labels)}: {reason}")
    return lines


def _cells(row: Row) -> tuple[str, str, str, str]:
    ratio = "reference" if row.standing == "reference" else f"{row.ratio} {row.ratio_interval}".rstrip()
    return f"{row.value} {row.interval}".rstrip(), ratio, clean(row.verdict)[:_LAST], clean(row.share)[:_LAST]


def _note_lines(benchmark: Benchmark) -> list[str]:
    lines = ["what was run"]
    for subject in benchmark.subjects:
        lines.append(f"  {cut(clean(subject.label), _WIDTH - 2)}")
        for label, text in subject_facts(subject):
            lines += _wrap(f"    {label:<10}", "              ", text)
    lines += ["", "notes", *_wrap("  ", "  ", reading_words(benchmark))]
    return [*lines, *_wrap("  ", "  ", f"{quiet_words(benchmark)}; {benchmark.when}")]


def _trial_lines(tuning: Tuning) -> list[str]:
    """Return the trials; settings and what became of them stand below each, because they are long."""
    table = trial_table(tuning)
    rows = [table.headings[:7], *(row[:7] for row in table.rows)]
    lines = _columns(rows, table.numeric)
    told = [lines[0]]
    for line, row in zip(lines[1:], table.rows, strict=True):
        told += [line, *_wrap("      ", "        ", row[7])]
        told += _wrap("      ", "        ", f"went no further: {row[8]}") if row[8] != "-" else []
    return told


def _table_lines(table: Table) -> list[str]:
    """Return a table whose last column takes what room is left, and goes on below where that is not enough."""
    lines = []
    bodies = _columns([row[:-1] for row in (table.headings, *table.rows)], table.numeric)
    for body, row in zip(bodies, (table.headings, *table.rows), strict=True):
        last = clean(row[-1])
        if len(body) + 2 + len(last) <= _WIDTH:
            lines.append(f"{body}  {last}")
        else:
            lines += [body.rstrip(), *_wrap("      ", "      ", last)]
    return lines


def _columns(rows: Sequence[Sequence[str]], numeric: frozenset[int]) -> list[str]:
    cells = [[cut(clean(cell), _CELL) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(
            f"{cell:>{width}}" if number in numeric else f"{cell:<{width}}"
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]


def _short(name: str, width: int) -> str:
    """Return a name in a column of its own width, its middle cut out where it is too long."""
    return f"{cut(clean(name), max(width, 1)):<{width}}"


def _wrap(first: str, rest: str, text: str, most: int | None = None) -> list[str]:
    """Return a stranger's text in lines that fit, at most so many of them."""
    return textwrap.wrap(
        clean(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        max_lines=most,
        placeholder=" …",
        break_on_hyphens=False,
    ) or [first.rstrip()]
