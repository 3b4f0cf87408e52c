"""The runs on other CPUs as a table, for every form of the account."""

from __future__ import annotations

from typing import NamedTuple

from truewheel.child.emulated_run import EmulatedRun
from truewheel.report import Report
from truewheel.text import clean, cut, join_words

HEADINGS = ("CPU", "level", "expected", "outcome", "backend", "seconds")

_BACKEND_WIDTH = 24


class Row(NamedTuple):
    """One run, in words that are safe to show; the fields are those of `HEADINGS`."""

    cpu: str
    level: str
    expected: str
    outcome: str
    backend: str
    seconds: str


def emulation_rows(report: Report) -> list[Row]:
    """Return a row for each run, in their order."""
    return [
        Row(
            cpu=_cpu(run),
            level=run.level,
            expected=_expected(run),
            outcome=_outcome(run),
            backend=cut(clean(run.backend), _BACKEND_WIDTH) or "-",
            seconds=f"{run.seconds:.1f}",
        )
        for run in report.emulation
    ]


def emulator_words(report: Report) -> str:
    """Return what emulated the CPUs; empty where nothing did."""
    return ", ".join(dict.fromkeys(run.emulator for run in report.emulation if run.emulator))


def _cpu(run: EmulatedRun) -> str:
    """Name the CPU, and its family where that has another name."""
    return run.cpu if run.family.replace(" ", "") in ("", run.cpu) else f"{run.cpu} ({run.family})"


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
