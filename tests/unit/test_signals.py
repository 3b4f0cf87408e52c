"""A signal that asks us to end is raised once, wherever it finds us."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from truewheel import signals
from truewheel.signals import ENDING, EndedError, postponed, raised


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_signal_is_raised_and_its_meaning_left_as_it_was(number):
    before = signal.getsignal(number)
    with pytest.raises(EndedError) as caught, raised():
        send(number)
    assert caught.value.number == number
    assert signal.getsignal(number) is before


def clean_up_after(first, others, steps):
    try:
        send(first)
    finally:
        for number in others:
            send(number)
        steps.append("cleaned")


def test_others_do_not_break_off_the_clean_up():
    steps = []
    with pytest.raises(EndedError) as caught, raised():
        clean_up_after(signal.SIGTERM, ENDING, steps)
    assert (steps, caught.value.number) == (["cleaned"], signal.SIGTERM)


def test_one_is_raised_again_when_the_clean_up_takes_too_long(monkeypatch):
    monkeypatch.setattr(signals, "_PATIENCE_SECONDS", 0.0)
    steps = []
    with pytest.raises(EndedError) as caught, raised():
        clean_up_after(signal.SIGTERM, [signal.SIGINT], steps)
    assert (steps, caught.value.number) == ([], signal.SIGINT)


def make_things_that_belong_together(steps):
    with postponed():
        with postponed():
            send(signal.SIGTERM)
            steps.append("inner")
        steps.append("outer")
    steps.append("after")


def test_one_is_raised_at_the_end_of_what_belongs_together():
    steps = []
    with pytest.raises(EndedError), raised():
        make_things_that_belong_together(steps)
    assert steps == ["inner", "outer"]


def test_an_ignored_one_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised():
            send(signal.SIGHUP)
            signals.hold()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_beside_the_main_one_changes_nothing():
    seen = []

    def work():
        with raised():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


LOST = """
import os, signal, sys, time
from truewheel import signals
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
with signals.raised():
    try:
        Thing()
        print("went on", flush=True)
        time.sleep(30)
    except signals.EndedError as ended:
        signals.die_of(ended.number)
"""


def test_one_that_comes_where_nothing_can_be_raised_comes_again():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "went on\n", "")


def test_another_exception_there_is_shown_as_usual():
    script = LOST.replace("os.kill(os.getpid(), signal.SIGTERM)", "raise ValueError('shown')").replace("30", "0")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    assert "ValueError: shown" in done.stderr


def test_the_first_process_of_a_container_leaves_with_the_status_all_the_same(monkeypatch):
    # There the kernel drops a signal that has no handler.
    monkeypatch.setattr(signals.os, "kill", lambda *_: None)
    left = []
    monkeypatch.setattr(signals.os, "_exit", left.append)
    before = signal.getsignal(signal.SIGTERM)
    signals.die_of(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    assert left == [143]
