"""Signals at points of every verb, by time and by the n-th call that changes something: nothing runs on or stays."""

from __future__ import annotations

import functools
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from tests.faults.ends import VERBS, Ground, Place, end_and_look, lay_ground
from tests.faults.frame import Case

pytestmark = pytest.mark.alone
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POINTS = 100
_FIRST = 39
"""The short selection begins here, in the middle of a run."""
CALLS = "mkdir,rename,unlink,unlinkat,rmdir,fsync,flock,ftruncate,chmod,fchmod,symlink,write,clone,clone3,vfork"
"""What changes something on the disk or starts a program."""
_SHORT = {"build": 1, "check": 3, "list": 3, "plan": 2}
"""How many cases of a verb are tried where not every one is; of the others none, each takes seconds."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Return what every case begins with; made once, however many processes test."""
    if not all(shutil.which(name) for name in ("gcc", "g++", "cmake", "ninja")):
        pytest.skip("no gcc, cmake and ninja here, so that nothing can be built quickly")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with FileLock(shared / "ground.lock"):
        made = shared / "ground.made"
        if not made.exists():
            lay_ground(shared / "ground")
            made.touch()
    return Ground(Place(shared / "ground"))


@pytest.mark.parametrize("name", VERBS)
def test_signals_by_time(name, ground, survive, every, tmp_path):
    if not every and name not in _SHORT:
        pytest.skip("tried with --every alone")

    def attempt(index: int) -> None:
        number = SIGNALS[index % len(SIGNALS)]
        # From before the first module is imported until after the end.
        seconds = max(0.01, ground.know(name).seconds * 1.02 * index / POINTS)
        end_and_look(ground, name, number, tmp_path / str(index), list, seconds)

    cases = [
        Case(f"{name}: {SIGNALS[index % len(SIGNALS)].name} at {index}/{POINTS}", functools.partial(attempt, index))
        for index in range(1, POINTS + 1)
    ]
    survive(f"signals at points of {name}", cases[_FIRST:] + cases[:_FIRST], short=_SHORT.get(name, 1))


@pytest.mark.parametrize("name", ["build", "check", "smoke"])
def test_signals_by_calls(name, ground, survive, every, tmp_path):
    if not every and name != "check":
        pytest.skip("tried with --every alone")
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here, which sends a signal at the n-th call")
    counted = _count_calls(strace, name, ground, tmp_path / "counted")

    def attempt(folder: str, call: str, when: int, number: signal.Signals) -> None:
        inject = [
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            f"inject={call}:signal={number.name}:when={when}",
        ]
        end_and_look(ground, name, number, tmp_path / folder, lambda command: [strace, *inject, *command], 0)

    points = [(call, when) for call, count in sorted(counted.items()) for when in range(1, count + 1)]
    cases = []
    for index, (call, when) in enumerate(points):
        number = SIGNALS[index % 2 * (1 + index // 2 % 3)]
        cases.append(
            Case(
                f"{name}: {number.name} at {call} {when}",
                functools.partial(attempt, f"{call}{when}", call, when, number),
            )
        )
    survive(f"signals at calls of {name}", cases, short=1)


def _count_calls(strace: str, name: str, ground: Ground, folder: Path) -> dict[str, int]:
    """Return how often an undisturbed run calls what changes something; no more than thirty times are tried of each."""
    place = ground.place_for(name, folder)
    log = folder / "calls"
    command = [strace, "-qq", "-o", str(log), "-e", f"trace={CALLS}", *place.command(VERBS[name])]
    done = subprocess.run(command, **place.options(), timeout=300, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace cannot trace here: {done.stderr[-200:]}")
    counted: dict[str, int] = {}
    for match in re.finditer(r"^(\w+)\(", log.read_text(errors="replace"), re.MULTILINE):
        counted[match[1]] = min(30, counted.get(match[1], 0) + 1)
    shutil.rmtree(folder)
    return counted


def test_what_runs_on_or_stays_is_seen(ground, tmp_path):
    """The look itself must be able to fail."""
    place = ground.place_for("list", tmp_path / "place")
    (place.temporary / "truewheel-smoke.x").touch()
    (place.cache / "runs").mkdir()
    (place.cache / "runs" / "1-x").touch()
    assert place.litter() == ["temporary/truewheel-smoke.x", "cache/runs/1-x"]
    script = "setsid sleep 60 >/dev/null 2>&1 & exec sleep 60"
    with pytest.raises(AssertionError, match=r"still running: .*sleep 60"):
        end_and_look(ground, "list", signal.SIGTERM, tmp_path / "case", lambda _: ["/bin/sh", "-c", script], 0.3)
