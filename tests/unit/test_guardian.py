"""What ends the programs of a run that is gone, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from truewheel.guardian import VARIABLE, Guard, end_processes, find_processes

TOKEN = "1-0123456789abcdef."
SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def begin():
    """Return a function that starts a program with a mark and waits until it runs."""
    started = []

    def run(mark, command=SLEEP, **options):
        environment = {**os.environ, VARIABLE: mark} if mark else None
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)
        started.append(child)
        assert child.stdout.readline() == "up\n"
        return child

    yield run
    for child in started:
        child.kill()
        child.communicate()


def test_a_program_is_found_by_its_whole_mark_or_by_what_all_marks_begin_with(begin):
    one, two, other = begin(f"{TOKEN}1"), begin(f"{TOKEN}12"), begin("")
    assert find_processes(f"{TOKEN}1") == [one.pid]
    assert set(find_processes(TOKEN)) == {one.pid, two.pid}
    assert find_processes(TOKEN, spared=[f"{TOKEN}1"]) == [two.pid]
    assert find_processes(f"{TOKEN}2", {os.getsid(other.pid)}).count(other.pid) == 1


def test_a_mark_that_is_part_of_another_value_is_none(begin, monkeypatch):
    monkeypatch.setenv("OTHER", f"{VARIABLE}={TOKEN}1")
    begin(f"{TOKEN}1x")
    assert find_processes(TOKEN) == []


def test_a_session_is_found_though_its_members_have_no_mark(begin):
    child = begin("", start_new_session=True)
    assert find_processes("none.", {child.pid}) == [child.pid]


@pytest.mark.parametrize(("command", "number"), [(SLEEP, signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_programs_are_ended_politely_then_for_good(begin, command, number):
    child, other = begin(f"{TOKEN}1", command), begin("2-0123456789abcdef.1")
    end_processes(TOKEN, grace=0.5)
    assert child.wait(timeout=5) == -number
    assert other.poll() is None


def test_one_that_was_stopped_is_ended_too(begin):
    child = begin(f"{TOKEN}1")
    child.send_signal(signal.SIGSTOP)
    end_processes(TOKEN)
    assert child.wait(timeout=5) == -signal.SIGTERM


HOST = """
import os, subprocess, sys
from truewheel.guardian import VARIABLE, Guard
guard = Guard()
mark = guard.next_mark()
command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
marked = subprocess.Popen(command, env={VARIABLE: mark}, stdout=subprocess.DEVNULL)
unmarked = subprocess.Popen(command, env={}, start_new_session=True, stdout=subprocess.DEVNULL)
guard.began(mark, unmarked.pid)
print(marked.pid, unmarked.pid, flush=True)
sys.stdin.readline()
if sys.argv[1] == "over":
    guard.over(mark)
if sys.argv[1] == "leave":
    guard.leave()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("how", "left"), [("die", [False, False]), ("over", [False, True]), ("leave", [True, True])])
def test_the_guardian_ends_what_is_left_when_we_are_killed(how, left):
    host = subprocess.Popen([sys.executable, "-c", HOST, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    numbers = [int(word) for word in host.stdout.readline().split()]
    try:
        host.communicate("go\n")
        until = time.monotonic() + (1.0 if all(left) else 10.0)
        while [_runs(number) for number in numbers] != left and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        assert [_runs(number) for number in numbers] == left
    finally:
        for number in numbers:
            if _runs(number):
                os.kill(number, signal.SIGKILL)


def _runs(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_fails_when_the_guardian_is_gone(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    guard = Guard()
    mark = guard.next_mark()
    guard.began(mark, 1)
    guard.over(mark)
    guard.leave()
    assert mark == f"{guard.token}1"


def test_a_process_that_was_forked_off_has_marks_of_its_own(monkeypatch):
    guard = Guard()
    first, token = guard.next_mark(), guard.token
    guard.leave()
    monkeypatch.setattr("truewheel.guardian.os.getpid", lambda: 1)
    guard.over(first)
    assert guard.next_mark() == f"{guard.token}1"
    assert guard.token != token
    guard.leave()
