"""What a child wrote is read within bounds, and in one order; each kind of nonsense is planted once."""

from __future__ import annotations

import json
import os
import resource

import pytest
from factories import with_beginnings

from truewheel.child.events import Listener, Script, read_event, read_regular, read_said

SCRIPT = Script(("import", "load"))
LOCK = {"step": "lock", "state": "passed"}
GOOD = [
    LOCK,
    *(one for step in SCRIPT.steps for one in ({"step": step, "state": "begin"}, {"step": step, "state": "passed"})),
]


def write(path, events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def line(**event):
    return json.dumps(event).encode()


def begin(step):
    return {"step": step, "state": "begin"}


def passed(step):
    return {"step": step, "state": "passed"}


def failed(step):
    return {"step": step, "state": "failed", "reason": "x"}


def test_what_our_program_writes_is_read(tmp_path):
    said = read_said(write(tmp_path / "events", GOOD), SCRIPT)
    assert said.fault == ""
    assert [(event.step, event.state) for event in said.events] == [(one["step"], one["state"]) for one in GOOD]


@pytest.mark.parametrize(
    "events",
    [
        [LOCK, failed("import")],
        [LOCK, begin("import"), failed("import")],
        [LOCK, begin("import"), {**passed("import"), "state": "absent"}, begin("load")],
        [{**LOCK, "state": "failed", "reason": "no filter"}],
        [],
    ],
)
def test_a_run_that_ends_early_is_read_as_well(tmp_path, events):
    said = read_said(write(tmp_path / "events", events), SCRIPT)
    assert (len(said.events), said.fault) == (len(events), "")


@pytest.mark.parametrize(
    ("events", "place"),
    [
        (GOOD[1:], 1),
        ([LOCK, LOCK], 2),
        ([*GOOD, LOCK], 6),
        ([LOCK, passed("import")], 2),
        ([LOCK, begin("load")], 2),
        ([LOCK, begin("import"), begin("import")], 3),
        ([LOCK, begin("import"), begin("load")], 3),
        ([LOCK, begin("import"), passed("load")], 3),
        ([*GOOD, passed("load")], 6),
        ([*GOOD, begin("import")], 6),
        ([LOCK, failed("load")], 2),
        ([failed("lock"), begin("import")], 2),
        ([LOCK, failed("import"), passed("import")], 3),
        ([LOCK, failed("import"), begin("load")], 3),
        ([LOCK, begin("other")], 2),
        ([LOCK, {"step": "import", "state": "measured"}], 2),
        ([LOCK, {"step": "canary", "state": "begin"}], 2),
        ([{"step": "lock", "state": "absent"}], 1),
        ([begin("lock")], 1),
    ],
)
def test_the_first_word_out_of_turn_ends_the_reading(tmp_path, events, place):
    said = read_said(write(tmp_path / "events", events), SCRIPT)
    assert len(said.events) == place - 1
    assert said.fault.startswith(f"event {place} cannot be read: ")
    assert "is out of turn" in said.fault


def test_work_is_spoken_of_before_the_last_step_alone(tmp_path):
    script = Script(("import", "memory"), work=frozenset({"pp8"}))
    measured = {"step": "pp8", "state": "measured"}
    start = [LOCK, begin("import"), passed("import")]
    for events, count in (
        ([*start, measured, measured, begin("memory"), passed("memory")], 7),
        ([*start, {**measured, "state": "skipped"}, failed("pp8")], 5),
        ([LOCK, measured], 1),
        ([LOCK, begin("import"), measured], 2),
        ([*start, begin("memory"), measured], 4),
        ([*start, {**measured, "step": "pp9"}], 3),
    ):
        assert len(read_said(write(tmp_path / "events", events), script).events) == count


def test_the_canary_is_the_last_word(tmp_path):
    script = Script(("import",), before=("lock", "cpu"), canary=True)
    canary = [begin("canary"), {"step": "canary", "state": "survived"}]
    start = [LOCK, passed("cpu"), begin("import"), passed("import")]
    for events, count in (
        ([*start, *canary], 6),
        ([LOCK, passed("cpu"), failed("import"), *canary], 5),
        ([*start, canary[1]], 4),
        ([*start, canary[0], canary[0]], 5),
        ([*start[:-1], canary[0], passed("import")], 4),
        ([LOCK, *start[2:]], 1),
    ):
        assert len(read_said(write(tmp_path / "events", events), script).events) == count


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b'{"step": "a\xc3", "state": "begin"}', "can't decode"),
        (b"[1]", "Expected `object`"),
        (b'{"step": "import", "state": "begin"', "Expecting"),
        (b'{"step": "import", "state": "begin"} x', "Extra data"),
        (b'{"step": "import", "step": "load", "state": "begin"}', "twice"),
        (b'{"step": "import", "state": "begin", "facts": {"a": 1, "a": 2}}', "twice"),
        (line(step="import", state="begin", more=1), "unknown field"),
        (line(state="begin"), "missing required field"),
        (line(step="import", state="done"), "Invalid enum value"),
        (line(step="import", state=None), "Expected `str`"),
        (line(step="", state="begin"), "length >= 1"),
        (line(step="x" * 65, state="begin"), "length <= 64"),
        (line(step="a\nb", state="begin"), "matching regex"),
        (line(step="a\x1b[31m", state="begin"), "matching regex"),
        (line(step=7, state="begin"), "Expected `str`"),
        (line(step="import", state="passed", seconds=-1), ">= 0"),
        (line(step="import", state="passed", seconds=True), "Expected `float`"),
        (line(step="import", state="passed", seconds="1"), "Expected `float`"),
        (line(step="import", state="passed", seconds=1e300), "<= 10000000.0"),
        (b'{"step": "import", "state": "passed", "seconds": NaN}', "not finite"),
        (b'{"step": "import", "state": "passed", "seconds": 1e400}', "not finite"),
        (b'{"step": "import", "state": "passed", "facts": {"a": -Infinity}}', "not finite"),
        (b'{"step": "import", "state": "passed", "facts": {"a": ' + b"9" * 30 + b"}}", "too large"),
        (b'{"step": "import", "state": "passed", "facts": {"a": ' + b"9" * 5000 + b"}}", "integer"),
        (b'{"step": "import", "state": "passed", "facts": {"a": "\\ud800"}}', "truncated"),
        (b'{"step": "import", "state": "passed", "facts": {"a": "\x01"}}', "control character"),
        (line(step="import", state="failed", reason="x" * 4001), "length <= 4000"),
        (line(step="import", state="failed", reason=["x"]), "Expected `str`"),
        (line(step="import", state="passed", facts=[]), "Expected `object`"),
        (line(step="import", state="passed", facts={"a": [[[[[[1]]]]]]}), "too deeply"),
        (b'{"step": "import", "facts": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "too deeply"),
        (b"[" * 1_000_000, "too deeply"),
        (b'{"step": "' + b"x" * (1 << 20) + b'"}', "a line of"),
    ],
)
def test_a_line_that_our_program_would_not_write(tmp_path, data, words):
    with pytest.raises(ValueError, match=r".") as caught:
        read_event(data)
    assert words in str(caught.value)
    (tmp_path / "events").write_bytes(line(**LOCK) + b"\n" + data + b"\n")
    said = read_said(tmp_path / "events", SCRIPT)
    assert len(said.events) == 1
    assert said.fault.startswith("event 2 cannot be read: ")
    assert said.fault.isprintable()
    assert len(said.fault) < 300


def test_a_last_line_without_an_end_says_nothing_and_of_a_child_that_left_well_it_is_a_fault(tmp_path):
    (tmp_path / "events").write_bytes(line(**LOCK) + b'\n{"step": "imp')
    said = read_said(tmp_path / "events", SCRIPT)
    assert (len(said.events), said.fault) == (1, "its last line has no end")
    listener = Listener(tmp_path / "events", SCRIPT)
    assert listener.hear().fault == ""
    (tmp_path / "events").write_bytes(line(**LOCK) + b"\n" + line(**begin("import")) + b"\n")
    assert (len(listener.finish().events), listener.finish().fault) == (2, "")


@pytest.mark.parametrize("kind", ["pipe", "link", "zero", "folder", "socket", "holes", "large", "lines"])
def test_what_is_no_plain_file_of_some_size_is_not_read(tmp_path, kind):
    path = tmp_path / "events"
    {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(write(tmp_path / "other", GOOD)),
        "zero": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "socket": lambda: os.mknod(path, 0o140600),
        "holes": lambda: (path.touch(), os.truncate(path, 10 << 30)),
        "large": lambda: path.write_bytes(b" " * (2 << 20)),
        "lines": lambda: path.write_bytes(b"\n" * (1 << 20)),
    }[kind]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = read_said(path, SCRIPT)
    assert said.events == ()
    assert "its events are no plain file" in said.fault or "it has more than" in said.fault
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_child_that_left_no_events(tmp_path):
    assert read_said(tmp_path / "gone", SCRIPT) == ((), "")


def test_what_was_heard_once_cannot_be_taken_back(tmp_path):
    path = write(tmp_path / "events", GOOD[:3])
    listener = Listener(path, SCRIPT)
    assert len(listener.hear().events) == 3
    write(path, [{**LOCK, "state": "failed", "reason": "x" * 200}])
    said = listener.hear()
    assert said.events[0].state == "passed"
    assert said.fault or len(said.events) == 3


def test_more_is_heard_when_it_comes(tmp_path):
    path = tmp_path / "events"
    listener = Listener(path, SCRIPT)
    assert listener.hear() == ((), "")
    for count in range(1, len(GOOD) + 1):
        write(path, GOOD[:count])
        assert len(listener.hear().events) == count
    assert listener.hear().fault == ""


def test_a_file_is_read_from_a_place_on(tmp_path):
    (tmp_path / "file").write_bytes(b"abcdef")
    assert read_regular(tmp_path / "file", 10, 4) == b"ef"
    assert read_regular(tmp_path / "file", 10, 40) == b""
    with pytest.raises(ValueError, match="at most 5 bytes"):
        read_regular(tmp_path / "file", 5)


def test_events_of_the_helper_are_those_of_the_program():
    assert list(with_beginnings([LOCK, passed("import"), passed("load")])) == GOOD
