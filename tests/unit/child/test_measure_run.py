"""What a measuring child wrote, and how it ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from factories import hear

from truewheel.child.installed import Environment
from truewheel.child.limits import MEASURE
from truewheel.child.measure import Runner, _lend_model, _request
from truewheel.child.registry import EngineEntry
from truewheel.child.run_account import read_run as read_said_run
from truewheel.child.run_account import script_of
from truewheel.child.start import Confined
from truewheel.child.work import Work, Workload
from truewheel.process import Completed

LOCKED = {"step": "lock", "state": "passed", "reason": ""}
GOOD = [
    LOCKED,
    {"step": "import", "state": "passed", "seconds": 0.5, "facts": {"version": "1.2"}},
    {
        "step": "load",
        "state": "passed",
        "seconds": 2.0,
        "facts": {"n_threads": 2, "odd": [1], "notes": ["it wraps\nthe prompt"]},
    },
    {"step": "cut", "state": "passed", "facts": {"text": "Once upon", "tokens": 2}},
    {"step": "pp8", "state": "measured", "facts": {"seconds": 1.0, "count": 8, "disturbed": False}},
    {"step": "pp8", "state": "measured", "facts": {"seconds": 1.5, "count": 8, "disturbed": True}},
    {"step": "tg4", "state": "skipped", "reason": "no low level"},
    {"step": "memory", "state": "passed", "facts": {"peak": 4096}},
]


PLAN = Workload((Work("pp8", "prefill", 8), Work("tg4", "decode", 4)), 0)


def read_run(events, done):
    return read_said_run(hear(events, script_of(PLAN, cut=any(event["step"] == "cut" for event in events))), done)


def ended(returncode=0, output="", *, timed_out=False):
    return Completed("python driver.py", returncode, output, timed_out, 3.0)


def test_a_good_run_tells_everything():
    run = read_run(GOOD, ended())
    assert run.failure == ""
    assert (run.version, run.imported, run.loaded, run.peak, run.text) == ("1.2", 0.5, 2.0, 4096, "Once upon")
    assert run.took == {"n_threads": 2}
    assert run.notes == ("it wraps the prompt",)
    assert [event["seconds"] for event in run.measured["pp8"]] == [1.0, 1.5]
    assert run.skipped == {"tg4": "no low level"}
    assert run.repeated == 1


def test_a_child_that_stops_early_however_quietly_has_not_passed():
    assert "after load" in read_run(GOOD[:3], ended()).failure


def test_what_a_child_says_of_its_failure_is_the_reason():
    failed = {"step": "import", "state": "failed", "reason": "ImportError: undefined symbol"}
    assert read_run([LOCKED, failed], ended(98)).failure == "at import: ImportError: undefined symbol"


def test_deaths_are_told_apart():
    assert "illegal instruction" in read_run(GOOD[:4], ended(-signal.SIGILL)).failure
    assert "open a socket" in read_run([LOCKED], ended(-signal.SIGSYS)).failure
    assert "without an answer" in read_run([LOCKED], ended(-9, timed_out=True)).failure


def test_a_child_that_could_not_lock_itself_down_is_not_believed():
    unlocked = {"step": "lock", "state": "failed", "reason": "seccomp: denied"}
    assert "seccomp: denied" in read_run([unlocked], ended(97)).failure


def test_the_last_line_of_what_it_printed_helps():
    assert read_run([LOCKED], ended(1, "Traceback\nValueError: no\n")).failure.endswith("ValueError: no")


def test_what_makes_no_sense_is_not_believed():
    events = [
        LOCKED,
        {"step": "import", "state": "passed", "facts": {"version": ["1"]}},
        {"step": "load", "state": "passed", "facts": {"notes": "many"}},
        {"step": "pp8", "state": "measured", "facts": {"seconds": -1.0, "count": 8, "disturbed": False}},
        {"step": "pp8", "state": "measured", "facts": {"seconds": 1.0, "count": True, "disturbed": False}},
        {"step": "memory", "state": "passed", "facts": {"peak": True}},
    ]
    run = read_run(events, ended())
    assert (run.version, run.peak, run.notes, run.measured) == ("", 0, (), {})


@pytest.mark.parametrize("lends", ["", "link", "copy"])
def test_an_engine_gets_its_model_as_it_takes_it(tmp_path, lends):
    model, scratch = tmp_path / "model.gguf", tmp_path / "scratch"
    model.write_bytes(b"weights")
    scratch.mkdir()
    engine = EngineEntry(import_name="toy", driver="llama_cpp", lends=lends)
    runner = Runner(Environment(tmp_path, tmp_path, tmp_path, scratch), engine, {})
    with _lend_model(runner, model) as lent:
        confined = Confined(runner.environment, scratch, MEASURE)
        request = _request(runner, lent, Workload((), 8), "", confined)
        assert lent.read_bytes() == b"weights"
        assert (lent == model, lent.is_symlink()) == (not lends, lends == "link")
        # The person's own file can be written by none of them.
        assert request.writable == ((str(scratch), str(lent)) if lends == "copy" else (str(scratch),))
        assert (str(scratch) in {str(place.parent) for place in map(Path, request.readable)}) == bool(lends)
    assert not list(scratch.iterdir())
