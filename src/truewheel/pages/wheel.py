"""The account of one wheel, or of several, as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from truewheel.checks.finding import Finding, Severity
from truewheel.pages.document import (
    Block,
    Document,
    Fields,
    Inline,
    Items,
    Paragraph,
    Section,
    Span,
    Style,
    Table,
    Topic,
    in_code,
    verdict_of,
)
from truewheel.pages.wheel_emulation import emulation_sections
from truewheel.pages.wheel_sections import level_sections, library_sections, plan_section, smoke_section, space_sections
from truewheel.pages.wheel_words import (
    Group,
    fact_rows,
    find_advice,
    find_chosen,
    group_findings,
    level_words,
    needs_in_short,
    reason_words,
)
from truewheel.report import Report
from truewheel.text import cut, first_sentence, join_words, mib_words, number_words

Form = Literal["brief", "verbose", "page"]
"""One screen of a terminal; everything, for a terminal; everything, for a page."""

_SEVERITIES: dict[Severity, tuple[str, Style]] = {
    "error": ("Errors, which refuse the wheel", "bad"),
    "warning": ("Warnings, which do not", "warn"),
    "info": ("Information", "quiet"),
}
_VERDICTS = {"unproven": ". Not all of it could be run here", "malformed": ". Do not install it"}
_PLACES = {"brief": 3, "page": 50}
_FOOTER = "It describes the files with these hashes, and no others of the same names."


def describe_wheel(report: Report, form: Form = "page", name: str = "") -> Document:
    """Return the account of one wheel.

    Args:
        report: of any wheel.
        form: how much it says.
        name: where links to it lead.
    """
    reason = f"{reason_words(report)}{_VERDICTS.get(report.verdict, '')}"
    blocks = _brief_blocks(report) if form == "brief" else _whole_blocks(report, form)
    return Document(report.wheel, tuple(blocks), verdict_of(report.verdict), reason, name, _FOOTER)


def describe_wheels(reports: Sequence[Report]) -> Document:
    """Return the accounts of several wheels under a table that leads to each; of one, its own."""
    if len(reports) == 1:
        return describe_wheel(reports[0])
    names = [f"wheel-{number}" for number in range(1, len(reports) + 1)]
    parts = [describe_wheel(report, name=name) for report, name in zip(reports, names, strict=True)]
    title = f"Account of {number_words(len(reports), 'wheel')}"
    return Document(title, (summarize_wheels(reports, names), *parts), footer=_FOOTER)


def summarize_wheels(reports: Sequence[Report], links: Sequence[str] = ()) -> Table:
    """Return several wheels as a table: a row each. The names stand last: a long one then breaks no column."""
    rows = (
        (
            verdict_of(report.verdict),
            mib_words(report.size),
            needs_in_short(report),
            join_words([group.code for group in group_findings(report, "error")], 3) or "-",
            Span(report.wheel, "code", links[number] if links else ""),
        )
        for number, report in enumerate(reports)
    )
    return Table(("verdict", "MiB", "needs", "errors", "wheel"), tuple(rows), frozenset({1}))


def _brief_blocks(report: Report) -> Iterator[Block]:
    """Yield what fits on a screen: what there is to do last."""
    yield Section(_facts_title(report), (Fields((*fact_rows(report), *_built_rows(report)), most=3),))
    yield from emulation_sections(report)
    errors, warnings, infos = (group_findings(report, severity) for severity in _SEVERITIES)
    if errors:
        title, style = _SEVERITIES["error"]
        yield Section(title, tuple(_topic(group, report, style, "brief") for group in errors))
    if warnings:
        yield Section(_SEVERITIES["warning"][0], tuple(_brief_topic(group, report) for group in warnings))
    if infos:
        counted = ", ".join(f"{group.code} ({len(group.findings)})" for group in infos)
        yield Paragraph(f"for information (`truewheel check --verbose`): {counted}", most=2)
    yield from (Paragraph(f"not checked: {text}") for text in report.unchecked)
    yield _advice(report, "brief")


def _whole_blocks(report: Report, form: Form) -> Iterator[Block]:
    """Yield everything; on a page with what there is to do first, on a terminal last."""
    if form == "page" and (find_advice(report) or not report.sound):
        yield _advice(report, form)
    if rows := fact_rows(report):
        yield Section(_facts_title(report), (Fields(tuple(rows)),))
    yield from level_sections(report)
    yield from _findings(report, form)
    if chosen := find_chosen(report):
        intro = (
            "This code needs more, and runs only where the CPU has it. Each row names the rule that lets it through."
        )
        rows_of = (
            (
                (Span(each.rule, "code"), str(each.functions), level_words(each.features), each.meaning),
                ("", ("in ", *in_code(each.libraries))),
            )
            for each in chosen
        )
        table = Table(
            ("rule", "functions", "for", "why"), tuple(row for pair in rows_of for row in pair), frozenset({1})
        )
        yield Section("Chosen at run time", (Paragraph(intro), table))
    yield from library_sections(report)
    yield from space_sections(report)
    yield from emulation_sections(report)
    if report.smoke is not None:
        yield smoke_section(report.smoke)
    if report.plan is not None:
        yield plan_section(report.plan, report)
    if report.unchecked:
        yield Section("Not checked", (Items(report.unchecked),))
    yield Section(
        "Identity", (Fields((("sha256", Span(report.sha256 or "not known", "code")), ("checked", report.created))),)
    )
    if form == "verbose":
        yield _advice(report, form)


def _facts_title(report: Report) -> str:
    return "Claims against facts" if report.isa else "The file"


def _built_rows(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what only a wheel of our own has, in short."""
    if report.plan is not None:
        compiler, family = report.plan.compiler, report.plan.code.family
        cpu = f", made for {family}" if family else ""
        yield "built", f"{report.level}{cpu}, {compiler.kind} {compiler.version}, digest {report.digest[:12]}"
    if report.smoke is not None:
        yield "smoke", f"on {report.smoke.model}: {report.smoke.ending}"
        if report.smoke.locked:
            yield "confined", report.smoke.confinement.words()


def _advice(report: Report, form: Form) -> Block:
    advice = find_advice(report)
    if not advice and report.passed:
        warned = bool(group_findings(report, "warning"))
        return Paragraph(f"what to do: nothing{'; the warnings are for the makers of the wheel' if warned else ''}")
    blocks: list[Block] = [Topic(", ".join(codes), hint) for codes, hint in advice]
    if report.verdict == "refused" and report.plan is None:
        blocks.append(Paragraph("If you did not make it: do not rely on it, and show this to its makers."))
    if form != "page":
        code = advice[0][0][0] if advice else group_findings(report, "error")[0].code
        more = "" if form == "verbose" else ", `truewheel check --verbose` shows all"
        blocks.append(Paragraph(f"`truewheel explain {code}` tells more{more}."))
    return Section("What to do", tuple(blocks))


def _findings(report: Report, form: Form) -> Iterator[Section]:
    for severity, (title, style) in _SEVERITIES.items():
        if groups := group_findings(report, severity):
            yield Section(title, tuple(_topic(group, report, style, form) for group in groups))
    if not report.findings:
        yield Section("Findings", (Paragraph("None."),))


def _topic(group: Group, report: Report, style: Style, form: Form) -> Topic:
    """Return a code with its meaning and its places."""
    places = _PLACES.get(form, len(group.findings))
    # One place more takes the line in which it would be counted.
    shown = group.findings if len(group.findings) <= places + 1 else group.findings[:places]
    return Topic(
        name=group.code,
        text=group.meaning,
        items=tuple(_place(finding, report, form) for finding in shown),
        style=style,
        left_out=len(group.findings) - len(shown),
        notes=tuple(f"To do: {hint}" for hint in group.hints) if form == "page" else (),
        folded=style != "bad",
        most=2 if form == "brief" else None,
    )


def _brief_topic(group: Group, report: Report) -> Topic:
    """Return a code with its first place, or with its meaning when it is about the whole wheel."""
    finding = group.findings[0]
    text = finding.message if finding.where == report.wheel else f"{cut(finding.where)}: {finding.message}"
    if finding.where == report.wheel and group.meaning:
        text = f"{first_sentence(group.meaning)}: {text}"
    number = f" ({len(group.findings)})" if len(group.findings) > 1 else ""
    return Topic(f"{group.code}{number}", text, most=1)


def _place(finding: Finding, report: Report, form: Form) -> Inline:
    """Return where something was found, and what; the wheel's own name stands in the first line already."""
    if form != "page" and finding.where == report.wheel:
        return finding.message
    return Span(cut(finding.where) if form == "brief" else finding.where, "code"), f": {finding.message}"
