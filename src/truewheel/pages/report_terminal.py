"""A report for a terminal: one screen of plain text, the verdict first and what to do last."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from truewheel.checks.finding import Finding
from truewheel.pages.emulation import HEADINGS, emulation_rows, emulator_words
from truewheel.pages.report_words import (
    SEVERITY_WORDS,
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
from truewheel.text import clean, cut, first_sentence, join_words, number_words

_WIDTH = 100
_LABEL = 13
_PLACES = 3
_MIB = 1 << 20
_VERDICTS = {"malformed": ". Do not install it", "unproven": ". Not all of it could be run here"}


def to_lines(report: Report, *, verbose: bool = False) -> list[str]:
    """Return the report for a terminal, without style.

    Args:
        report: of any wheel.
        verbose: show every place of every finding, those that are information too, and cut nothing short.
    """
    most = None if verbose else 3
    lines = [f"{report.verdict}: {clean(report.wheel)}"]
    lines += _wrap("  ", "  ", f"{reason_words(report)}{_VERDICTS.get(report.verdict, '')}", most)
    lines += ["", "claims against facts" if report.isa else "the file"]
    for label, text in [*fact_rows(report), *_built_rows(report), *([("sha256", report.sha256)] if verbose else [])]:
        lines += _row(label, text, most)
    lines += _emulation_lines(report)
    if verbose and (chosen := find_chosen(report)):
        lines += ["", "chosen at run time"]
        for each in chosen:
            what = f"{number_words(each.functions, 'function')} for {level_words(each.features)}: {each.meaning}"
            lines += _wrap("  ", "      ", f"{each.rule}: {what}", None)
    lines += _finding_lines(report, verbose=verbose)
    silent = _silent_lines(report, verbose=verbose)
    lines += ["", *silent] if silent else []
    return [*lines, "", *_advice_lines(report, verbose=verbose)]


def to_table_lines(reports: Sequence[Report]) -> list[str]:
    """Return several wheels as a table: a row each, under one row of headings.

    The names stand last: a long one then breaks no column.
    """
    rows = [("verdict", "MiB", "needs", "errors", "wheel")]
    rows += [
        (
            report.verdict,
            f"{report.size / _MIB:.2f}",
            needs_in_short(report),
            join_words([group.code for group in group_findings(report, "error")], _PLACES) or "-",
            clean(report.wheel),
        )
        for report in reports
    ]
    verdict, size, needs, errors, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [f"{row[0]:<{verdict}}  {row[1]:>{size}}  {row[2]:<{needs}}  {row[3]:<{errors}}  {row[4]}" for row in rows]


def _built_rows(report: Report) -> list[tuple[str, str]]:
    """Return what only a wheel of our own has."""
    rows = []
    if report.plan is not None:
        compiler, family = report.plan.compiler, report.plan.code.family
        cpu = f", made for {family}" if family else ""
        words = f"{report.level}{cpu}, {compiler.kind} {compiler.version}, digest {report.digest[:12]}"
        rows.append(("built", words))
    if report.smoke is not None:
        rows.append(("smoke", f"on {report.smoke.model}: {report.smoke.ending}"))
    return rows


def _emulation_lines(report: Report) -> list[str]:
    """Return the runs on other CPUs as a table under a line that names the emulator."""
    if not report.emulation:
        return []
    rows = [HEADINGS, *emulation_rows(report)]
    *widths, last = (max(map(len, column)) for column in zip(*rows, strict=True))
    cells = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)) for row in rows]
    emulator = emulator_words(report)
    return [
        "",
        f"on other CPUs{f', emulated by {emulator}' if emulator else ''}",
        *(f"  {line}  {row[-1]:>{last}}" for line, row in zip(cells, rows, strict=True)),
    ]


def _finding_lines(report: Report, *, verbose: bool) -> list[str]:
    lines = []
    errors = group_findings(report, "error")
    if errors:
        lines += ["", SEVERITY_WORDS["error"]]
        lines += [line for group in errors for line in _group_lines(group, report, verbose=verbose)]
    warnings = group_findings(report, "warning")
    if warnings:
        lines += ["", SEVERITY_WORDS["warning"]]
        for group in warnings:
            lines += _group_lines(group, report, verbose=True) if verbose else [_brief_line(group, report)]
    infos = group_findings(report, "info")
    if infos and verbose:
        lines += ["", SEVERITY_WORDS["info"]]
        lines += [line for group in infos for line in _group_lines(group, report, verbose=verbose)]
    return lines


def _silent_lines(report: Report, *, verbose: bool) -> list[str]:
    """Return what the findings above do not tell: what is only counted, and what was not checked."""
    lines = []
    infos = group_findings(report, "info")
    if infos and not verbose:
        counted = ", ".join(f"{group.code} ({len(group.findings)})" for group in infos)
        lines += _wrap("for information (`truewheel check --verbose`): ", "  ", counted, 2)
    return [*lines, *(line for text in report.unchecked for line in _wrap("not checked: ", "  ", text, None))]


def _group_lines(group: Group, report: Report, *, verbose: bool) -> list[str]:
    """Return a code with its meaning, and under it its places."""
    lines = _wrap("  ", "      ", f"{group.code}: {group.meaning}", None if verbose else 2)
    shown = group.findings if verbose or len(group.findings) <= _PLACES + 1 else group.findings[:_PLACES]
    for finding in shown:
        lines += _wrap("    - ", "      ", _place(finding, report, whole=verbose), None if verbose else 2)
    if len(group.findings) > len(shown):
        lines.append(f"    - … and {len(group.findings) - len(shown)} more")
    return lines


def _brief_line(group: Group, report: Report) -> str:
    """Return a code with its first place, or with its meaning when it is about the whole wheel."""
    finding = group.findings[0]
    text = _place(finding, report, whole=False)
    if finding.where == report.wheel and group.meaning:
        text = f"{first_sentence(group.meaning)}: {text}"
    number = f" ({len(group.findings)})" if len(group.findings) > 1 else ""
    return _wrap("  ", "", f"{group.code}{number}: {text}", 1)[0]


def _place(finding: Finding, report: Report, *, whole: bool) -> str:
    """Return where something was found, and what; the wheel's own name stands in the first line already."""
    where = clean(finding.where) if whole else cut(clean(finding.where))
    return finding.message if finding.where == report.wheel else f"{where}: {finding.message}"


def _advice_lines(report: Report, *, verbose: bool) -> list[str]:
    advice = find_advice(report)
    if not advice and report.passed:
        warned = bool(group_findings(report, "warning"))
        return ["what to do: nothing" + ("; the warnings are for whoever makes the wheel" if warned else "")]
    lines = ["what to do"]
    for codes, hint in advice:
        lines += _wrap("  ", "      ", f"{', '.join(codes)}: {hint}", None)
    if report.verdict == "refused" and report.plan is None:
        lines.append("  If you did not make it: do not rely on it, and show this to whoever did.")
    code = advice[0][0][0] if advice else group_findings(report, "error")[0].code
    more = "" if verbose else ", `truewheel check --verbose` shows all"
    return [*lines, f"  `truewheel explain {code}` tells more{more}."]


def _row(label: str, text: str, most: int | None) -> list[str]:
    return _wrap(f"  {label:<{_LABEL}}", " " * (_LABEL + 2), text, most)


def _wrap(first: str, rest: str, text: str, most: int | None) -> list[str]:
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
