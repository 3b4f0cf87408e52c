"""A benchmark and a tuning as Markdown; names and texts of strangers become no markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from truewheel.measure.result import Benchmark, Tuning
from truewheel.pages.bench_outcome import outcome_words
from truewheel.pages.bench_tables import Group, Row, Table, figure_groups, floor_table, limit_table, trial_table
from truewheel.pages.bench_words import (
    floor_intro,
    loud_words,
    machine_words,
    model_words,
    quiet_words,
    reading_words,
    subject_facts,
)
from truewheel.pages.report_markdown import escape


def to_markdown(benchmark: Benchmark) -> str:
    """Return a benchmark as Markdown: noise floor, the machine's limit, figures, what was run."""
    return "\n".join([f"# Benchmark of {escape(benchmark.model.name)}", "", *_benchmark_lines(benchmark)]) + "\n"


def tuning_to_markdown(tuning: Tuning) -> str:
    """Return a tuning as Markdown: its outcome, the last comparison, all trials."""
    lines = [f"# Tuning for {escape(tuning.goal)}", "", *_loud_lines(tuning.final)]
    lines += [f"- {escape(words)}" for words in outcome_words(tuning)]
    lines += ["", *_benchmark_lines(tuning.final, loud=False)]
    return "\n".join([*lines, "", "## Trials", "", *_table_lines(trial_table(tuning))]) + "\n"


def _benchmark_lines(benchmark: Benchmark, *, loud: bool = True) -> list[str]:
    lines = _loud_lines(benchmark) if loud else []
    lines += [f"- model: {escape(model_words(benchmark.model))}"]
    lines += [f"- machine: {escape(machine_words(benchmark.machine))}"]
    lines += [f"- run: {escape(benchmark.when)}; {escape(quiet_words(benchmark))}"]
    lines += ["", "## Noise floor", "", escape(floor_intro(benchmark))]
    lines += ["", *_table_lines(floor_table(benchmark))] if benchmark.floors else []
    lines += ["", "## The machine's limit", ""]
    if benchmark.limits:
        lines += _table_lines(limit_table(benchmark))
    else:
        lines.append(f"Not measured: {escape(benchmark.limits_reason or 'no reason was given')}.")
    groups = figure_groups(benchmark)
    lines += ["", escape(reading_words(benchmark))] if groups else []
    for group in groups:
        lines += ["", f"## {group.title}", "", *([group.intro, ""] if group.intro else []), *_group_lines(group)]
    return [*lines, "", "## What was run", *_subject_lines(benchmark)]


def _loud_lines(benchmark: Benchmark) -> list[str]:
    return [line for words in loud_words(benchmark) for line in (f"**{escape(words)}**", "")]


def _group_lines(group: Group) -> list[str]:
    """Return one table, a row a metric and subject; a subject that failed is a row with its error."""
    headings = ("metric", "subject", "value", "ratio", "verdict", *(("of the limit",) if group.shares else ()))
    rows = [(block.key, *_cells(row, block.unit)) for block in group.blocks for row in block.rows]
    rows += [("all", label, f"failed: {error}", "", "", "") for label, error in group.failed]
    return _table(headings, ([escape(cell) for cell in row[: len(headings)]] for row in rows))


def _cells(row: Row, unit: str) -> tuple[str, str, str, str, str]:
    if row.missing:
        return row.name, row.missing, "", "", ""
    value = f"{row.value} {row.interval}".rstrip()
    verdict = f"{row.verdict}: {row.reason}" if row.reason else row.verdict
    return row.name, f"{value} {unit}", f"{row.ratio} {row.ratio_interval}".rstrip(), verdict, row.share


def _subject_lines(benchmark: Benchmark) -> list[str]:
    lines = []
    for subject in benchmark.subjects:
        lines += ["", f"### {escape(subject.label)}", ""]
        lines += [f"- {label}: {escape(text)}" for label, text in subject_facts(subject)]
        lines += [f"- its answer began: {escape(subject.text)}"] if subject.text.strip() else []
    return lines


def _table_lines(table: Table) -> list[str]:
    return _table(table.headings, ([escape(cell) for cell in row] for row in table.rows), table.numeric)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: frozenset[int] = frozenset()) -> list[str]:
    """Return a table; the cells are escaped already."""
    rule = ["---:" if number in numeric else "---" for number in range(len(headings))]
    return [f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows)]
