"""The program that measures: what it writes down, and how it takes orders; a stand-in for the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from truewheel import process
from truewheel.child.events import Listener
from truewheel.child.measure import Session
from truewheel.child.request import CutRequest, MeasureRequest
from truewheel.child.run_account import read_run, script_of
from truewheel.child.work import Work, Workload

import truewheel.child  # isort: skip

MAIN = Path(truewheel.child.__file__).parent / "programs" / "main.py"
ADAPTER = """
import os
from truewheel.child.engines import base

class Engine(base.Engine):
    followed = ("n_threads",)
    def load(self):
        if "socket" in self.settings:
            import socket
            socket.socket()
        return super().load()
    def open(self, model, context, preset=False, every=False):
        if "broken" in self.settings:
            raise OSError("no such model")
        return {"n_threads": 3}
    def notes(self):
        return ["it is a stand-in"]
    def vocabulary(self):
        return 256
    def tokenize(self, text, special=True):
        return list(text.encode())
    def detokenize(self, tokens, before=()):
        return bytes(tokens)
    def truncate(self, position):
        pass
    def feed(self, tokens):
        if len(tokens) == 1:
            raise base.Absent("it has no low level")
    def answer(self, prompt, tokens):
        if "dies" in self.settings and tokens > 4:
            os.kill(os.getpid(), 11)
        return {"first": 0.5, "seconds": 1.5, "prompt": len(prompt), "count": tokens, "text": "x" * 1000}
"""
WORK = [
    Work("answer", "answer", 8, repeat=1),
    Work("pp100", "prefill", 100, repeat=2),
    Work("tg4", "decode", 4, repeat=2),
]


@pytest.fixture
def stand(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stand_in.py").write_text("__version__ = '7'")
    (tmp_path / "stand_in.py").write_text(ADAPTER)
    return tmp_path


def make_request(stand, **more):
    return MeasureRequest(
        program="measure", site=str(stand / "site"), events=str(stand / "events.jsonl"), cpu_seconds=60,
        memory_bytes=4 << 30, file_bytes=1 << 20, adapter=str(stand / "stand_in.py"), import_name="stand_in",
        readable=(str(stand / "site"),), writable=(str(stand),),
        start_hooks=True, model="m.gguf", context=512, prompt="Once upon", work=tuple(WORK),
        **{"settings": {"n_threads": 3, "poll": 1}, **more},
    )  # fmt: skip


def command(*_):
    return [sys.executable, "-I", "-S", "-B", str(MAIN)]


def run(stand, **more):
    request = msgspec.json.encode(make_request(stand, **more)).decode()
    done = subprocess.run(command(stand), input=request, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 97:
        pytest.skip("this machine has no seccomp filter")
    ended = process.Completed("driver", done.returncode, done.stdout + done.stderr, timed_out=False, seconds=1.0)
    return read_run(listen(stand, cut="cut" in more).hear(), ended)


def listen(stand, *, cut=False):
    listener = Listener(stand / "events.jsonl", script_of(Workload(tuple(WORK), 0), cut=cut))
    listener.most_lines += sum(item.repeat for item in WORK)
    return listener


def test_everything_is_measured_and_told(stand):
    found = run(stand, cut=CutRequest("abcdef", 3))
    assert found.failure == ""
    assert (found.version, found.text) == ("7", "abc")
    assert [event["count"] for event in found.measured["pp100"]] == [100, 100]
    assert all(event["seconds"] > 0 for event in found.measured["pp100"])
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


def test_an_adapter_is_not_read_before_the_lock(stand):
    (stand / "stand_in.py").write_text("import os; os.fork()")
    assert "start a process" in run(stand).failure


@pytest.mark.parametrize(
    ("text", "reason"), [("this is no Python", "SyntaxError: "), ("import nothing", "ModuleNotFoundError: ")]
)
def test_an_adapter_that_cannot_be_loaded_says_why(stand, text, reason):
    (stand / "stand_in.py").write_text(text)
    assert run(stand).failure.startswith(f"at import: {reason}")


def start(stand, **more):
    talk = process.converse(command(stand), env={**os.environ}, cwd=stand)
    return talk, make_request(stand, **more)


def test_orders_are_followed_one_by_one(stand):
    talking, request = start(stand)
    with talking as talk:
        session = Session(talk, listen(stand), 60.0)
        session.begin(msgspec.structs.replace(request, orders=talk.answers))
        if not session.alive:
            pytest.skip("this machine has no seccomp filter")
        assert session.skipped() == {"tg4"}
        assert session.measure("pp100")["count"] == 100
        assert session.measure("answer")["count"] == 8
        assert session.measure("pp100")["id"] == "pp100"
        found = session.finish()
    assert found.failure == ""
    assert len(found.measured["pp100"]) == 2
    assert found.peak > 1 << 20


def test_who_dies_at_an_order_is_told_apart(stand):
    talking, request = start(stand, settings={"dies": 1})
    with talking as talk:
        session = Session(talk, listen(stand), 60.0)
        session.begin(msgspec.structs.replace(request, orders=talk.answers))
        if not session.alive:
            pytest.skip("this machine has no seccomp filter")
        assert session.measure("answer") is None
        assert session.measure("pp100") is None
        assert "segmentation fault" in session.finish().failure


def test_a_program_that_is_stopped_takes_no_time(tmp_path):
    body = "import sys, os\nfor line in sys.stdin:\n    os.write(int(line), b'.')\n    while True: pass\n"
    with process.converse([sys.executable, "-c", body], env={**os.environ}, cwd=tmp_path) as talk:
        assert talk.child.ask(str(talk.answers).encode(), 60)
        talk.child.stop()
        pid = talk.child.pid
        before = read_cpu(pid)
        os.sched_yield()
        subprocess.run(["sleep", "0.3"], check=True)
        assert read_cpu(pid) - before <= 1
        talk.child.go_on()
        assert talk.finish(0.2).timed_out


def test_who_waits_stopped_ends_with_whoever_told_it(stand):
    # A program of ours that is killed cannot let its children go on: they would be there for ever.
    path = stand / "teller.py"
    path.write_text(
        f"""
import os, signal, sys
from pathlib import Path
import msgspec
from truewheel import process
from truewheel.child.events import Listener
from truewheel.child.measure import Session
from truewheel.child.request import MeasureRequest
from truewheel.child.run_account import script_of
from truewheel.child.work import Workload
request = msgspec.json.decode({msgspec.json.encode(make_request(stand))!r}, type=MeasureRequest)
with process.converse({command(stand)!r}, env=dict(os.environ), cwd=Path({str(stand)!r})) as talk:
    session = Session(talk, Listener(Path(request.events), script_of(Workload(request.work, 0))), 60.0)
    session.begin(msgspec.structs.replace(request, orders=talk.answers))
    print(talk.child.pid, flush=True)
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
    with process.converse([sys.executable, "-c", "input(); input()"], env={**os.environ}, cwd=tmp_path) as talk:
        assert not talk.child.ask(b"hello", 0.2)
        assert not talk.child.ask(b"again", 60)
        assert talk.finish(60).timed_out


def test_a_program_that_has_left_gives_no_answer(tmp_path):
    script = "print('it says why'); raise SystemExit(3)"
    with process.converse([sys.executable, "-c", script], env={**os.environ}, cwd=tmp_path) as talk:
        assert not talk.child.ask(b"hello", 60)
        done = talk.finish(60)
    assert (done.returncode, done.output) == (3, "it says why\n")
