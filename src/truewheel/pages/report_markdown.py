"""A report as Markdown.

Names and messages come from strangers' wheels: none of them may become markup, a link or a cell of a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from truewheel.checks.finding import Severity
from truewheel.child.smoke import SmokeRecord
from truewheel.pages.emulation import HEADINGS, emulation_rows, emulator_words
from truewheel.pages.report_words import (
    fact_rows,
    find_advice,
    find_chosen,
    group_findings,
    level_words,
    needs_in_short,
    reason_words,
)
from truewheel.plan.plan import Plan
from truewheel.report import Report
from truewheel.text import clean, join_words, size_words

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
_PLACES = 20
_MARKUP = re.compile(r"([\\`*~$\[\]|]|(?<![^\W_])_|_(?![^\W_]))")
"""An underscore between letters or figures is no markup, and names are full of them."""
_FENCE = re.compile(r"`+")


def to_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    advice = " Do not install it." if report.verdict == "malformed" else ""
    lines = [f"# {escape(report.wheel)}", "", f"**{report.verdict}**, {escape(reason_words(report))}.{advice}"]
    lines += ["", f"- sha256: {quote(report.sha256)}", f"- checked: {report.created}"]
    if report.plan is not None:
        lines += _plan_lines(report.plan, report.digest)
    rows = fact_rows(report)
    if rows:
        title = "Claims against facts" if report.isa else "The file"
        lines += ["", f"## {title}", "", *(f"- {label}: {escape(text)}" for label, text in rows)]
    lines += ["", "## Findings", "", *_finding_lines(report)]
    lines += _library_lines(report)
    chosen = find_chosen(report)
    if chosen:
        lines += ["", "## Chosen at run time", ""]
        lines += _table(
            ("rule", "functions", "for", "why it is let through"),
            ((quote(each.rule), str(each.functions), level_words(each.features), each.meaning) for each in chosen),
        )
    if report.unchecked:
        lines += ["", "## Not checked", "", *(f"- {escape(text)}" for text in report.unchecked)]
    if report.emulation:
        emulator = emulator_words(report)
        lines += ["", "## On other CPUs", "", *([f"Emulated by {escape(emulator)}.", ""] if emulator else [])]
        lines += _table(HEADINGS, (tuple(map(escape, row)) for row in emulation_rows(report)))
    if report.smoke is not None:
        lines += _smoke_lines(report.smoke)
    if report.seconds:
        lines += ["", "## Time", ""]
        lines += _table(("stage", "seconds"), ((escape(k), f"{seconds:.1f}") for k, seconds in report.seconds.items()))
    return "\n".join(lines) + "\n"


def to_markdown_table(reports: Sequence[Report]) -> str:
    """Return several wheels as one Markdown table, a row each."""
    rows = (
        (
            report.verdict,
            quote(report.wheel),
            size_words(report.size),
            needs_in_short(report),
            ", ".join(group.code for group in group_findings(report, "error")) or "-",
        )
        for report in reports
    )
    return "\n".join(_table(("verdict", "wheel", "size", "needs", "errors"), rows)) + "\n"


def escape(text: str) -> str:
    """Return a stranger's text as prose without markup."""
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An address in plain text would become a link.
    return _MARKUP.sub(r"\\\1", plain).replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def quote(text: str) -> str:
    """Return a stranger's text as code, for a cell of a table or elsewhere."""
    plain = clean(text)
    if "|" in plain:
        # A bar ends a cell even inside code, and outside of tables its backslash would be shown.
        return escape(plain)
    fence = "`" * (1 + max(map(len, _FENCE.findall(plain)), default=0))
    room = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{room}{plain}{room}{fence}" if plain.strip() else "-"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table; the cells are escaped already, figures stand to the right."""
    numbers = {"functions", "seconds", "size"}
    rule = ["---:" if heading in numbers else "---" for heading in headings]
    return [f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows)]


def _plan_lines(plan: Plan, digest: str) -> list[str]:
    subject, compiler, code = plan.subject, plan.compiler, plan.code
    cpu = f" ({quote(code.family)})" if code.family else ""
    commits = "".join(f", {escape(name)} {quote(commit)}" for name, commit in subject.source.commit.items())
    return [
        f"- plan: {quote(digest)}",
        f"- engine: {escape(subject.engine)} {escape(subject.source.version)}{commits}",
        f"- profile: {escape(subject.profile)}; level {code.level}{cpu}",
        f"- compiler: {compiler.kind} {escape(compiler.version)} {compiler.target}".rstrip(),
        f"- CPU features that its code may use: {escape(', '.join(code.features)) or 'none beyond x86-64'}",
    ]


def _finding_lines(report: Report) -> list[str]:
    groups = [(severity, group) for severity in _SEVERITIES for group in group_findings(report, severity)]
    if not groups:
        return ["None."]
    rows: list[tuple[str, str, str, str]] = []
    for severity, group in groups:
        shown = group.findings[:_PLACES]
        rows += [(group.code, severity, quote(finding.where), escape(finding.message)) for finding in shown]
        if len(group.findings) > _PLACES:
            rows.append((group.code, severity, f"and {len(group.findings) - _PLACES} more", ""))
    lines = _table(("code", "severity", "where", "what"), rows)
    lines += ["", *(f"- **{group.code}**: {escape(group.meaning)}" for _, group in groups)]
    advice = find_advice(report)
    if advice:
        lines += ["", "## What to do", "", *(f"- {', '.join(codes)}: {escape(hint)}" for codes, hint in advice)]
    return lines


def _library_lines(report: Report) -> list[str]:
    if not report.libraries:
        return []
    rows = (
        (
            quote(library.path),
            size_words(library.size),
            escape(f"{library.level or '?'} {join_words(library.needs, 4)}".strip()),
            escape(", ".join(library.needed)) or "-",
            escape(library.isa_level) or "-",
        )
        for library in report.libraries
    )
    return ["", "## Libraries", "", *_table(("library", "size", "its code needs", "links", "ELF note"), rows)]


def _smoke_lines(record: SmokeRecord) -> list[str]:
    ending = "passed" if record.passed else f"ended {record.ending}"
    lines = ["", f"## Smoke test on {escape(record.model)}", "", f"It {escape(ending)}.", ""]
    lines += _table(
        ("step", "result", "seconds"), ((step.name, step.state, f"{step.seconds:.2f}") for step in record.steps)
    )
    decode = record.facts("decode")
    if decode:
        said = f"It continued with {decode['text']!r}; smallest margin between the two best logits"
        lines += ["", f"{escape(said)} {min(decode['margins']):.4f}."]
    if record.output:
        fence = "`" * (3 + max(map(len, _FENCE.findall(record.output)), default=0))
        lines += ["", f"{fence}text", *(clean(line) for line in record.output.splitlines()), fence]
    return lines
