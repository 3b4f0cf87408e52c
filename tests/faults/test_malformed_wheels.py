"""Malformed wheels: none of them passes, none ends in a traceback, and the command says so and leaves with code 7."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import malformed
import pytest

from tests.faults.frame import Case, select
from tests.faults.malformed_wheels import Maker, wheel_makers
from truewheel.checks.archive import findings_of
from truewheel.checks.policy import default_policy
from truewheel.checks.run import rate, run_checks
from truewheel.cli import run
from truewheel.examine.child import ReadRequest, work
from truewheel.examine.facts import facts_of
from truewheel.examine.reading import WheelFacts
from truewheel.report import Report, make_report, report_of_malformed
from truewheel.wheel.sources import scan_sources

MAKERS = wheel_makers()
SHORT, COMMANDS = 120, 6
"""Kinds that CI tries in this process, and those that it gives to the command, which starts children."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def judge(path: Path) -> Report:
    """Return the report of a wheel, made by the code of the children in this process."""
    with path.open("rb") as stream:
        (answer,) = work(ReadRequest(descriptor=stream.fileno(), path=path), stream)
        if answer.wheel is None:
            assert answer.faults, f"neither read nor refused: {answer.refusal}"
            return report_of_malformed(path, rate(findings_of(answer.faults, path.name), default_policy(), own=False))
        request = ReadRequest(
            descriptor=stream.fileno(),
            path=path,
            wheel=answer.wheel,
            libraries=tuple(answer.wheel.shared_objects()),
        )
        libraries = {str(line.library): line.facts for line in work(request, stream) if line.facts is not None}
        sources = scan_sources((name, b"def run():\n    return 1\n") for name in answer.wheel.entries)
    read = WheelFacts(wheel=answer.wheel, libraries=libraries, sources=sources, policy=None, locked=True)
    facts = facts_of(read)
    return make_report(facts, run_checks(facts), {})


def refuse(maker: Maker, folder: Path) -> None:
    """Make a wheel and see it refused, for a reason that can be shown on one line."""
    path = made(maker, folder)
    try:
        report = judge(path)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder)
    assert not report.sound, f"it {report.verdict}"
    assert report.errors, "it was refused for no reason"
    for finding in report.errors:
        assert finding.message.isprintable(), f"its message is no line: {finding.message!r}"
        assert finding.where, "no place"


def command(maker: Maker, folder: Path, read: Callable[[], tuple[str, str]]) -> None:
    """Give a wheel to the command and see it leave with 7 and say why."""
    path = made(maker, folder)
    try:
        code = run(["check", os.fspath(path)])
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder)
    out, err = read()
    assert code == 7, f"it left with {code}: {out[:200]} {err[:200]}"
    assert "Traceback" not in out + err
    assert out.startswith(("malformed: ", "refused: ")), out[:200]
    assert "because of " in out, out[:300]


def made(maker: Maker, folder: Path) -> Path:
    """Return the path of a wheel that was just made, in a folder of its own."""
    folder.mkdir(parents=True)
    return maker(folder)


def cases(attempt: Callable[..., None], folder: Path, makers: Sequence[tuple[str, Maker]], *more: Any) -> list[Case]:
    """Return a case for each maker."""
    return [
        Case(title, partial(attempt, maker, folder / str(number), *more))
        for number, (title, maker) in enumerate(makers)
    ]


def test_there_are_enough_kinds() -> None:
    assert len(MAKERS) >= 400


def test_without_a_fault_the_same_wheel_passes(tmp_path: Path) -> None:
    assert judge(malformed.sound_archive().save(tmp_path / malformed.FILENAME)).verdict == "passed"


def test_no_malformed_wheel_is_accepted(survive: Callable[..., None], tmp_path: Path) -> None:
    survive("malformed wheels, judged", cases(refuse, tmp_path, list(MAKERS.items())), short=SHORT)


def test_the_command_refuses_malformed_wheels_on_one_line(
    survive: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = cases(command, tmp_path, list(MAKERS.items()), lambda: tuple(capsys.readouterr()))
    survive("malformed wheels, given to `truewheel check`", select(every, len(every) // 5), short=COMMANDS)
