"""The frame that drivers run in: what it writes down, and how it takes orders; a stand-in for the engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from truewheel import process
from truewheel.child.measure import Session, read_run
from truewheel.child.smoke import read_events

import truewheel.child.engines  # isort: skip

FOLDER = Path(truewheel.child.engines.__file__).parent
DRIVER = f"""
import importlib.util, os, sys, time

def load(name):
    spec = importlib.util.spec_from_file_location("truewheel_" + name, os.path.join({str(FOLDER)!r}, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

class Driver:
    def __init__(self, request):
        self.settings = request["settings"]
    def do_import(self):
        if "socket" in self.settings:
            import socket
            socket.socket()
        import stand_in
        return {{"version": stand_in.__version__}}
    def do_load(self):
        if "broken" in self.settings:
            raise OSError("no such model")
        return {{"n_threads": 3, "ignored": ["poll"]}}
    def notes(self):
        return ["it is a stand-in"]
    def cut(self, text, tokens):
        return text[:tokens], tokens
    def prefill(self, tokens, depth):
        return tokens / 1000
    def decode(self, tokens, depth):
        raise NotImplementedError("it has no low level")
    def answer(self, prompt, tokens):
        if "dies" in self.settings and tokens > 4:
            os.kill(os.getpid(), 11)
        return {{"first": 0.5, "seconds": 1.5, "prompt": len(prompt), "count": tokens, "text": "x" * 1000}}

load("common").main(Driver)
"""
WORK = [
    {"id": "answer", "kind": "answer", "tokens": 8, "repeat": 1},
    {"id": "pp100", "kind": "prefill", "tokens": 100, "repeat": 2},
    {"id": "tg4", "kind": "decode", "tokens": 4, "repeat": 2},
]


@pytest.fixture
def stand(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stand_in.py").write_text("__version__ = '7'")
    (tmp_path / "driver.py").write_text(textwrap.dedent(DRIVER))
    return tmp_path


def make_request(stand, **more):
    return {
        "site": str(stand / "site"), "settings": {}, "events": str(stand / "events.jsonl"), "prompt": "Once upon",
        "work": WORK, "cpu-seconds": 60, "memory-bytes": 4 << 30, "file-bytes": 1 << 20, **more,
    }  # fmt: skip


def command(stand):
    return [sys.executable, "-I", "-S", "-B", str(stand / "driver.py")]


def run(stand, **more):
    request = json.dumps(make_request(stand, **more))
    done = subprocess.run(command(stand), input=request, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 97:
        pytest.skip("this machine has no seccomp filter")
    ended = process.Completed("driver", done.returncode, done.stdout + done.stderr, timed_out=False, seconds=1.0)
    return read_run(read_events(stand / "events.jsonl"), ended)


def test_everything_is_measured_and_told(stand):
    found = run(stand, cut={"text": "abcdef", "tokens": 3})
    assert found.failure == ""
    assert (found.version, found.text) == ("7", "abc")
    assert [event["seconds"] for event in found.measured["pp100"]] == [0.1, 0.1]
    assert found.skipped == {"tg4": "it has no low level"}
    assert found.notes == ("it is a stand-in", "has no way to set poll")
    assert len(found.measured["answer"][0]["text"]) == 200
    assert found.peak > 1 << 20


def test_what_an_engine_raises_is_the_reason(stand):
    assert run(stand, settings={"broken": 1}).failure == "at load: OSError: no such model"


def test_a_socket_ends_it(stand):
    assert "open a socket" in run(stand, settings={"socket": 1}).failure


def test_a_package_cannot_run_before_the_lock(stand):
    # An environment's .pth files run code when it is opened; that happens only after the filter is there.
    (stand / "site" / "evil.pth").write_text("import os; os.fork()\n")
    assert "start a process" in run(stand).failure


def start(stand, **more):
    talk = process.converse(command(stand), env={**os.environ}, cwd=stand)
    return talk, make_request(stand, **more)


def test_orders_are_followed_one_by_one(stand):
    talking, request = start(stand)
    with talking as (talk, answers):
        session = Session(talk, stand / "events.jsonl", 60.0)
        session.begin({**request, "orders": answers})
        if not session.alive:
            pytest.skip("this machine has no seccomp filter")
        assert session.skipped() == {"tg4"}
        assert session.measure("pp100")["seconds"] == 0.1
        assert session.measure("answer")["count"] == 8
        assert session.measure("pp100")["id"] == "pp100"
        found = session.finish()
    assert found.failure == ""
    assert len(found.measured["pp100"]) == 2
    assert found.peak > 1 << 20


def test_who_dies_at_an_order_is_told_apart(stand):
    talking, request = start(stand, settings={"dies": 1})
    with talking as (talk, answers):
        session = Session(talk, stand / "events.jsonl", 60.0)
        session.begin({**request, "orders": answers})
        if not session.alive:
            pytest.skip("this machine has no seccomp filter")
        assert session.measure("answer") is None
        assert session.measure("pp100") is None
        assert "segmentation fault" in session.finish().failure


def test_a_program_that_is_stopped_takes_no_time(tmp_path):
    body = "import sys, os\nfor line in sys.stdin:\n    os.write(int(line), b'.')\n    while True: pass\n"
    with process.converse([sys.executable, "-c", body], env={**os.environ}, cwd=tmp_path) as (talk, answers):
        assert talk.ask(str(answers).encode(), 60)
        talk.stop()
        pid = talk._process.pid
        before = read_cpu(pid)
        os.sched_yield()
        subprocess.run(["sleep", "0.3"], check=True)
        assert read_cpu(pid) - before <= 1
        talk.go_on()
        assert talk.finish(0.2).timed_out


def test_who_waits_stopped_ends_with_whoever_told_it(stand):
    # A program of ours that is killed cannot let its children go on: they would be there for ever.
    path = stand / "teller.py"
    path.write_text(
        f"""
import json, os, signal, sys
from pathlib import Path
from truewheel import process
from truewheel.child.measure import Session
request = json.loads({json.dumps(json.dumps(make_request(stand)))})
with process.converse({command(stand)!r}, env=dict(os.environ), cwd=Path({str(stand)!r})) as (talk, answers):
    session = Session(talk, Path(request["events"]), 60.0)
    session.begin(dict(request, orders=answers))
    print(talk._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    waiting = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(100):
        if not waiting.exists() or waiting.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(int(done.stdout), signal.SIGKILL)
    pytest.fail("it is still there")


def read_cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_no_answer_in_time_is_told(tmp_path):
    with process.converse([sys.executable, "-c", "input(); input()"], env={**os.environ}, cwd=tmp_path) as (talk, _):
        assert not talk.ask(b"hello", 0.2)
        assert not talk.ask(b"again", 60)
        assert talk.finish(60).timed_out


def test_a_program_that_has_left_gives_no_answer(tmp_path):
    script = "print('it says why'); raise SystemExit(3)"
    with process.converse([sys.executable, "-c", script], env={**os.environ}, cwd=tmp_path) as (talk, _):
        assert not talk.ask(b"hello", 60)
        done = talk.finish(60)
    assert (done.returncode, done.output) == (3, "it says why\n")
