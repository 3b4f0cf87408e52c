"""What several variants answered, compared, as a document."""

from __future__ import annotations

from truewheel.checks.equivalence import ComparedVariant
from truewheel.compare.run import Comparison
from truewheel.pages.document import Document, Inline, Paragraph, Section, Span, Style, Table, Topic

_HEADINGS = ("verdict", "mean KL", "max KL", "same best", "parts at (margin)", "variant")
_STYLES: dict[str, Style] = {"error": "bad", "warning": "warn", "info": "quiet"}


def describe_comparison(comparison: Comparison) -> Document:
    """Return a comparison: a row a variant, the names last, then the findings."""
    about = (
        f"{comparison.engine} on {comparison.model}, {comparison.positions} positions, {comparison.threads} threads; "
        f"KL in nats from {comparison.reference}"
    )
    findings = tuple(
        Topic(
            f"{finding.severity}: {finding.code}",
            (Span(finding.where, "code"), f": {finding.message}"),
            style=_STYLES.get(finding.severity, "strong"),
            notes=(f"hint: {finding.hint}",) if finding.hint else (),
        )
        for finding in comparison.findings
    )
    table = Table(_HEADINGS, tuple(map(_cells, comparison.rows)), frozenset({1, 2, 3, 4}))
    sections = (Section("Findings", findings),) if findings else ()
    return Document("Answers compared", (Paragraph(about), table, *sections))


def _cells(row: ComparedVariant) -> tuple[Inline, ...]:
    """Return a row of the table; what was not measured is a dash."""
    mean = largest = agreement = parted = "-"
    if row.mean_divergence is not None:
        mean, largest = f"{row.mean_divergence:.1e}", f"{row.max_divergence:.1e} at {row.max_position}"
        if row.verdict == "same bits":
            mean = largest = "0"
        agreement = f"{row.top_agreement:.1%}"
    if row.first_difference is not None:
        parted = f"{row.first_difference} ({row.margin:.4f})"
    return row.verdict, mean, largest, agreement, parted, Span(row.variant, "code")
