"""Fault tests: by itself each kind tries a short selection of its cases; `--every` tries all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.frame import SHORT, Case, Tally, attempt, select

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
"""The makers of small libraries and wheels are those of the unit tests."""

_TALLIES = pytest.StashKey[list[Tally]]()
_ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", action="store_true", help="try every case of each kind of fault")
    parser.addoption("--tally", type=Path, help="write what was tried and survived to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLIES] = []
    config.stash[_ROWS] = []


@pytest.fixture
def every(request: pytest.FixtureRequest) -> bool:
    """Return whether all cases are to be tried."""
    return bool(request.config.getoption("--every"))


@pytest.fixture
def survive(request: pytest.FixtureRequest, every: bool) -> Callable[..., None]:
    """Return a function that tries the cases of a kind, counts, and fails when one was not survived."""

    def run(kind: str, cases: Sequence[Case], short: int = SHORT) -> None:
        tally = Tally(kind, len(cases), [], {})
        request.config.stash[_TALLIES].append(tally)
        attempt(tally, cases if every else select(cases, short))

    return run


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process beside this one has counted."""
    node.config.stash[_ROWS].extend(node.workeroutput.get("tallies", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = [tally.row() for tally in session.config.stash[_TALLIES]]
    output = getattr(session.config, "workeroutput", None)
    if output is None:
        session.config.stash[_ROWS].extend(rows)
    else:
        output["tallies"] = rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = sorted(config.stash[_ROWS], key=lambda row: str(row["kind"]))
    for row in rows:
        terminalreporter.write_line(
            f"{row['kind']}: tried {row['tried']} of {row['cases']}, survived {row['survived']}"
        )
    target = config.getoption("--tally")
    if target is not None:
        target.write_text(json.dumps(rows, indent=1) + "\n")
