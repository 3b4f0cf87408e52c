"""Whoever waits for a lock says for whom, and can be interrupted."""

import os
import signal
import subprocess
import sys

import pytest
from filelock import Timeout

from truewheel import locks
from truewheel.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from truewheel.locks import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.readline()
"""
WAIT = """
import sys
from pathlib import Path
from truewheel import signals
from truewheel.locks import locked
with signals.raised():
    try:
        with locked(Path(sys.argv[1]), "it"):
            pass
    except signals.EndedError as ended:
        signals.die_of(ended.number)
"""


@pytest.fixture
def held(tmp_path):
    """A lock that another process holds; returns the file and the process."""
    path = tmp_path / ".lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    yield path, child
    child.communicate("\n")


def test_a_free_lock_is_taken_without_a_word(tmp_path, capsys):
    with locked(tmp_path / ".lock", "it"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_wait_says_who_has_it_and_can_be_interrupted(held):
    path, child = held
    waiter = subprocess.Popen([sys.executable, "-c", WAIT, str(path)], stderr=subprocess.PIPE, text=True)
    said = waiter.stderr.readline()
    assert said.startswith("         waiting for it: ")
    assert said.endswith(" has it\n")
    # A kernel without /proc/locks names nobody.
    assert f"process {child.pid} (" in said or "another program" in said
    waiter.send_signal(signal.SIGTERM)
    waiter.communicate(timeout=5)
    assert waiter.returncode == -signal.SIGTERM


def test_a_short_time_is_kept(held):
    with pytest.raises(Timeout), locked(held[0], "it", timeout=0.1):
        pass


def test_a_longer_time_is_kept_too(held, monkeypatch, capsys):
    monkeypatch.setattr(locks, "_QUIET_SECONDS", 0.1)
    with pytest.raises(Timeout), locked(held[0], "it", timeout=0.2):
        pass
    assert "waiting for it" in capsys.readouterr().err


def test_a_name_that_cannot_be_printed_is_left_out(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    path.touch()
    table = f"1: FLOCK ADVISORY WRITE {os.getppid()} 00:01:{path.stat().st_ino} 0 EOF\n"
    for name, said in (("cc\n", f"process {os.getppid()} (cc)"), ("a\n::error", f"process {os.getppid()}")):
        monkeypatch.setattr(locks, "_read", {"/proc/locks": table, f"/proc/{os.getppid()}/comm": name}.get)
        assert locks._holder(path) == said
