"""The runs of a wheel on other CPUs, as a section of its account."""

from __future__ import annotations

from collections.abc import Iterator

from truewheel.child.emulated_run import EmulatedRun
from truewheel.pages.document import Paragraph, Section, Table
from truewheel.report import Report
from truewheel.text import clean, cut, join_words

_HEADINGS = ("CPU", "level", "expected", "outcome", "backend", "seconds")
_BACKEND_WIDTH = 24


def emulation_sections(report: Report) -> Iterator[Section]:
    """Yield a table of the runs in their order, if there were any, under a line that names the emulator."""
    if report.emulation:
        emulators = ", ".join(dict.fromkeys(run.emulator for run in report.emulation if run.emulator))
        intro = (Paragraph(f"Emulated by {emulators}."),) if emulators else ()
        table = Table(_HEADINGS, tuple(map(_row, report.emulation)), frozenset({len(_HEADINGS) - 1}))
        yield Section("On other CPUs", (*intro, table))


def _row(run: EmulatedRun) -> tuple[str, ...]:
    # A family is named where the CPU has another name.
    cpu = run.cpu if run.family.replace(" ", "") in ("", run.cpu) else f"{run.cpu} ({run.family})"
    backend = cut(clean(run.backend), _BACKEND_WIDTH) or "-"
    return cpu, run.level, _expected(run), _outcome(run), backend, f"{run.seconds:.1f}"


def _expected(run: EmulatedRun) -> str:
    if run.lacks:
        return f"refused: lacks {join_words(run.lacks, 2)}"
    return f"{run.expected}, asked for" if run.asked else run.expected or "passed"


def _outcome(run: EmulatedRun) -> str:
    if run.surplus:
        return "another CPU"
    if run.canary == "survived":
        return "canary survived"
    return f"{run.outcome}, no canary" if run.canary == "not reached" and run.outcome == "passed" else run.outcome
