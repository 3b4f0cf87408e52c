"""Wheels that attack whoever runs them: none gets out of its child, hangs, or is said to have passed by its own word.

Each is run as `truewheel smoke` runs it. An attack tries something while the package is imported, and says what came
of it in a file of its own folder, or leaves a trace where it could not have written.
"""

from __future__ import annotations

import os
import resource
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.faults.frame import Case
from tests.hostile import DATA, write_wheel

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from factories import ANSWERS

from truewheel.child import environment
from truewheel.child.challenge import open_reference
from truewheel.child.excess import find_excess
from truewheel.child.limits import ANSWER
from truewheel.child.programs import landlock
from truewheel.child.registry import EngineEntry
from truewheel.child.smoke import SmokeRecord, run_smoke
from truewheel.console import Console
from truewheel.models.models import Model, find_model
from truewheel.wheel.archive import read_wheel

SECRET = "correct horse battery staple"
ENGINE = EngineEntry(import_name="llama_cpp", driver="llama_cpp", shape="llama.cpp", name="llama-cpp-python")
SCRIPT = "#!/bin/sh\ntouch {trace}\nexec true\n"
PRELUDE = """
import ctypes, json, os, resource, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
parent, me = os.getppid(), os.getpid()
def system(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def got(what):
    print("GOT", what, flush=True)
"""
"""Whatever an attack reaches, it prints: what the child printed is in the record."""


class Field(NamedTuple):
    """Where an attack happens.

    Attributes:
        folder: for the wheel.
        home: a person's folder, with a secret; also where the parent runs.
        trace: a file that nobody may make.
        model: what is loaded.
    """

    folder: Path
    home: Path
    trace: Path
    model: Path


class Attack(NamedTuple):
    """One kind of hostile wheel.

    Attributes:
        name: what it tries.
        code: of its package.
        members: further members of the wheel, or what makes them.
        code_expected: the code that the record must have; empty for any but passed.
        seconds: wall time that it is given.
    """

    name: str
    code: str = ""
    members: Callable[[Field], dict[str, str]] | None = None
    code_expected: str = ""
    seconds: float = 60.0


def _scripts(*names: str) -> Callable[[Field], dict[str, str]]:
    return lambda field: dict.fromkeys(names, SCRIPT.format(trace=field.trace))


def _python(*names: str) -> Callable[[Field], dict[str, str]]:
    text = "open({0!r}, 'w').write('x')\nprint('GOT code', flush=True)\n"
    return lambda field: dict.fromkeys(names, text.format(str(field.trace)))


def _call(number: int, *arguments: str) -> str:
    return f"got(system({number}, {', '.join(arguments)}))" if arguments else f"got(system({number}))"


def _read(path: str) -> str:
    return f"got(open({path}, 'rb').read(4096)[:200])"


def _write(path: str) -> str:
    return f"open({path}, 'w').write('x'); got('wrote')"


OUT = "os.environ['HOME'] + '/../../../' + "
INSTALLED = [
    Attack("a script called python", members=_scripts(f"{DATA}/scripts/python", f"{DATA}/scripts/python3")),
    Attack("an interpreter among its data", members=_scripts(f"{DATA}/data/bin/python", f"{DATA}/data/bin/python3.11")),
    Attack("settings of an environment", members=lambda _: {f"{DATA}/data/pyvenv.cfg": "home = /nowhere\n"}),
    Attack("a site customization", members=_python("sitecustomize.py")),
    Attack("a user customization", members=_python("usercustomize.py")),
    Attack(
        "a start-up hook",
        members=lambda field: {"hook.pth": f"import os; os.close(os.open({str(field.trace)!r}, os.O_CREAT | 1))\n"},
    ),
    Attack("encodings of its own", members=_python("encodings/__init__.py", "encodings/utf_8.py")),
    Attack("modules of the standard library", members=_python("json.py", "os.py", "struct.py", "ctypes/__init__.py")),
    Attack("our own package", members=_python("truewheel/__init__.py", "truewheel/child/programs/smoke.py")),
    Attack("pip's own packages", members=_python("pip/__init__.py", "packaging.py", "_distutils_hack/__init__.py")),
    Attack("a header scheme", members=_scripts(f"{DATA}/headers/python")),
]
"""What lies in a wheel and is never run."""

CALLS = [
    ("fork", "os.fork(); got('fork')"),
    ("vfork", _call(58)),
    ("clone a process", _call(56, "17", "0", "0", "0", "0")),
    ("clone into a namespace", _call(56, "0x10000011", "0", "0", "0", "0")),
    ("exec", "os.execv('/bin/true', ['true'])"),
    ("exec by descriptor", _call(322, "-1", "b'/bin/true'", "None", "None", "0x1000")),
    ("a shell", "os.system('true'); got('shell')"),
    ("ptrace", _call(101, "16", "parent", "0", "0")),
    ("read the parent's memory", _call(310, "parent", "b'x' * 16", "1", "b'x' * 16", "1", "0")),
    ("write the parent's memory", _call(311, "parent", "b'x' * 16", "1", "b'x' * 16", "1", "0")),
    ("open the parent's memory", "os.open(f'/proc/{parent}/mem', os.O_RDWR); got('mem')"),
    ("read the parent's environment", _read("f'/proc/{parent}/environ'")),
    ("read the parent's command line", _read("f'/proc/{parent}/cmdline'")),
    ("list the parent's files", "got(os.listdir(f'/proc/{parent}/fd'))"),
    ("list all processes", "got(os.listdir('/proc'))"),
    ("the parent's descriptor", _call(434, "parent", "0")),
    ("take a descriptor", _call(438, "0", "1", "0")),
    ("signal by descriptor", _call(424, "0", "9", "None", "0")),
    ("kill the parent", "os.kill(parent, 15); got('killed')"),
    ("stop the parent", "os.kill(parent, 19); got('stopped')"),
    ("stop everybody", "os.kill(-1, 19); got('stopped')"),
    ("stop the parent's group", "os.killpg(os.getpgid(parent), 19); got('stopped')"),
    ("queue a signal", _call(129, "parent", "19", "b'x' * 128")),
    ("signal a thread of the parent", _call(234, "parent", "parent", "19")),
    ("signal by a file's owner", "import fcntl; fcntl.fcntl(1, fcntl.F_SETOWN, parent); got('owner')"),
    ("the parent's priority", "os.setpriority(os.PRIO_PROCESS, parent, 19); got('priority')"),
    ("the parent's cores", "os.sched_setaffinity(parent, {0}); got('cores')"),
    ("the parent's limits", "resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, 3)); got('limits')"),
    ("the parent's scheduler", _call(144, "parent", "5", "b'\\0' * 4")),
    ("a local socket", "socket.socket(socket.AF_UNIX); got('socket')"),
    ("an Internet socket", "socket.socket(); got('socket')"),
    ("an IPv6 socket", "socket.socket(socket.AF_INET6); got('socket')"),
    ("a netlink socket", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); got('socket')"),
    ("a socket to the host", "socket.socket(40); got('socket')"),
    ("a pair of datagrams", "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); got('pair')"),
    ("mount", _call(165, "b'x'", "b'/tmp'", "b'tmpfs'", "0", "None")),
    ("open a tree", _call(428, "-100", "b'/'", "1")),
    ("open a file system", _call(430, "b'tmpfs'", "0")),
    ("configure a file system", _call(431, "0", "6", "None", "None", "0")),
    ("move a mount", _call(429, "0", "b''", "-100", "b'/tmp'", "4")),
    ("change a mount", _call(442, "-100", "b'/'", "0", "b'x' * 32", "32")),
    ("unshare", _call(272, "0x10000000")),
    ("enter a namespace", _call(308, "0", "0")),
    ("change the root", "os.chroot('/'); got('root')"),
    ("keys", _call(250, "0", "-3", "0")),
    ("page faults", _call(323, "0")),
    ("counters", _call(298, "b'x' * 128", "0", "-1", "-1", "0")),
    ("asynchronous calls", _call(425, "8", "b'\\0' * 120")),
    ("kernel programs", _call(321, "0", "b'x' * 64", "64")),
    ("memory without a name", _call(319, "b'x'", "0")),
    ("shared memory", _call(29, "0x1234", "4096", "0o1600")),
    ("a file by its handle", _call(304, "0", "b'x' * 64", "0")),
    ("another filter", _call(317, "0", "0", "None")),
    ("outlive the parent", "assert not libc.prctl(1, 0, 0, 0, 0), 'refused'; got('outlives')"),
    ("a 32-bit number", _call(0x40000000 + 39)),
    ("read a key", _read("{home!r} + '/.ssh/id_rsa'")),
    ("read the working folder", _read("{home!r} + '/secret.txt'")),
    ("read by a link in its folder", "os.symlink({home!r} + '/secret.txt', 'l'); " + _read("'l'")),
    ("read by a second name", "os.link({home!r} + '/secret.txt', 'l'); " + _read("'l'")),
    ("read by its own root", _read("'/proc/self/root' + {home!r} + '/secret.txt'")),
    ("list a home", "got(os.listdir({home!r}))"),
    ("write into a home", _write("{trace!r}")),
    ("write into the temporary folder", _write("'/tmp/truewheel-hostile-trace'")),
    ("write into what is installed", _write("os.path.dirname(__file__) + '/new.py'")),
    ("write into the cache", _write("{cache!r} + '/x'")),
    ("delete a file", "os.unlink({home!r} + '/secret.txt'); got('deleted')"),
    ("rename a file", "os.rename({home!r} + '/secret.txt', 'x'); got('renamed')"),
    ("cut a file off", "os.truncate({home!r} + '/secret.txt', 0); got('cut')"),
    ("cut the model off", "os.open({model!r}, os.O_RDONLY | os.O_TRUNC); got('cut')"),
    ("write the model", _write("{model!r}")),
    ("a named pipe", "os.mkfifo('p'); got('pipe')"),
    ("a device", "os.mknod('d', 0o20666, os.makedev(1, 1)); got('device')"),
    ("shared memory's folder", _write("'/dev/shm/truewheel-hostile-trace'")),
]
"""What an attack may try: it must not print that it got anything."""

FLOODS = [
    Attack("endless", "while True: pass", code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("asleep", "time.sleep(1000)", code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("deaf to signals", "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\nwhile True: pass",
           code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("stopped by itself", "os.kill(me, 19)", code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("memory", "x = []\nwhile True: x.append(bytearray(64 << 20))"),
    Attack("threads", """
        threading.stack_size(64 << 10)
        while True:
            try: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            except RuntimeError: time.sleep(0.01)
        """, seconds=30),
    Attack("many files", """
        for n in range(10**9): open('f%d' % n, 'w').close()
        """, seconds=60),
    Attack("a large disk", """
        for n in range(10**6):
            with open('f%d' % n, 'wb') as f: f.write(bytes(32 << 20))
        """, seconds=60),
    Attack("a disk without names", """
        kept = []
        for n in range(200):
            f = open('f', 'wb'); os.unlink('f'); f.write(bytes(32 << 20)); f.flush(); kept.append(f)
        time.sleep(1000)
        """, seconds=60),
    Attack("printing", "while True: os.write(1, b'x' * 65536 + b'\\n')", code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("printing without an end of line", "while True: os.write(2, b'x' * 65536)",
           code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("a thread that outlives", "threading.Thread(target=time.sleep, args=(1000,)).start(); raise SystemExit(0)",
           code_expected="SMOKE-TIMEOUT", seconds=3),
    Attack("an exit without a word", "os._exit(0)", code_expected="SMOKE-FAILED"),
    Attack("a signal that says nothing", "os.kill(me, signal.SIGSEGV)", code_expected="SMOKE-SEGFAULT"),
    Attack("a link in place of events", """
        os.unlink('events.jsonl'); os.symlink('/dev/zero', 'events.jsonl'); os._exit(0)
        """),
    Attack("a folder in place of events", "os.unlink('events.jsonl'); os.mkdir('events.jsonl'); os._exit(0)"),
    Attack("events without an end", """
        with open('events.jsonl', 'ab', buffering=0) as f:
            try:
                while True: f.write(b'{' * 65536)
            except OSError: os._exit(0)
        """),
]  # fmt: skip

FORGER = (
    PRELUDE
    + """
frame = sys._getframe()
while not hasattr(frame.f_locals.get("run"), "request"):
    frame = frame.f_back
request = frame.f_locals["run"].request
answers = {answers!r}
if answers:
    count, few = request["decode"], request["few"]
    answers["tokenize"]["texts"] = [
        {"tokens": list(map({bytewise!r}.get, text.encode())), "back": text.encode().hex()} for text in request["texts"]
    ]
    prompt = list(map({bytewise!r}.get, request["drawn"][0].encode()))
    answers["prefill"]["tokens"] = request["prefill"]
    answers["decode"] = {
        "tokens": [5] * count, "margins": [1.0] * count, "text": {expect!r}, "tokens-per-second": 10.0,
        "drawn": {"prompt": prompt, "tokens": [5] * few, "margins": [1.0] * few},
    }
    answers["stream"]["others"] = [" and"] * (len(request["drawn"]) - 1)
with open(request["events"], "a") as stream:
    for step in request["steps"]:
        if step != "import":
            stream.write(json.dumps({"step": step, "state": "begin"}) + "\\n")
        facts = answers.get(step, {})
        stream.write(json.dumps({"step": step, "state": "passed", "seconds": 0.5, "facts": facts}) + "\\n")
os._exit(0)
"""
)
"""Writes that each step passed, out of the request that it finds in our program, and leaves before that can object."""


def _body(code: str, field: Field) -> str:
    words = {"home": str(field.home), "trace": str(field.trace), "model": str(field.model)}
    words["cache"] = os.environ["TRUEWHEEL_CACHE_DIR"]
    code = textwrap.dedent(code)
    for name, value in words.items():
        code = code.replace(f"{{{name}!r}}", repr(value))
    return code


def _attempting(code: str, field: Field) -> str:
    """Return a package that tries, and goes on to fail in an ordinary way when it is refused."""
    body = textwrap.indent(_body(code, field), "    ")
    return f"{PRELUDE}\ntry:\n{body}\nexcept Exception as error:\n    print('REFUSED', error, flush=True)\n"


def _run(attack: Attack, package: str, field: Field, model: Model | None = None) -> SmokeRecord:
    members = {"llama_cpp/__init__.py": package, **(attack.members(field) if attack.members else {})}
    wheel = read_wheel(write_wheel(field.folder, members))
    model = model or Model("any", field.model, "Once", "", vocabulary_round_trips=True)
    began = time.monotonic()
    asked = {"threads": 1, "console": Console(quiet=True), "wall_seconds": attack.seconds}
    # Of a flood, the last lines are enough.
    log = None if attack in FLOODS else field.folder / "log"
    record = run_smoke(wheel, model, ENGINE, **asked, log=log)
    if log is not None:
        record = msgspec.structs.replace(record, output=log.read_text(errors="replace"))
        log.unlink()
    took = time.monotonic() - began
    assert took < attack.seconds + 90, f"it took {took:.0f} s"
    return record


def _judge(attack: Attack, record: SmokeRecord, field: Field) -> None:
    assert not record.passed, "it is said to have passed"
    assert "GOT" not in record.output, record.output
    assert SECRET not in record.output, "a secret was read"
    assert not field.trace.exists(), "it wrote where it must not"
    assert (field.home / "secret.txt").read_text() == SECRET, "a file was changed"
    assert field.model.read_bytes() == b"any", "the model was changed"
    assert record.code in (attack.code_expected or record.code), f"{record.code}: {record.ending}"
    for name in ("/tmp/truewheel-hostile-trace", "/dev/shm/truewheel-hostile-trace"):
        assert not Path(name).exists(), name
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak < 700 << 10, f"the parent took {peak >> 10} MiB"


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Field:
    """Plant secrets where a person has them, and go there."""
    if not landlock.version():
        pytest.skip("this system has no Landlock: a stranger's wheel is not run")
    home, cache = tmp_path / "home", tmp_path / "cache"
    (home / ".ssh").mkdir(parents=True)
    cache.mkdir()
    (home / ".ssh" / "id_rsa").write_text(SECRET)
    (home / "secret.txt").write_text(SECRET)
    (tmp_path / "model.gguf").write_bytes(b"any")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SECRET_TOKEN", SECRET)
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(cache))
    monkeypatch.chdir(home)
    (tmp_path / "wheels").mkdir()
    return Field(tmp_path / "wheels", home, home / "trace", tmp_path / "model.gguf")


def _cases(attacks: list[Attack], make: Callable[[Attack, Field], str], field: Field) -> list[Case]:
    def attempt(attack: Attack) -> None:
        for name in ("trace",):
            (field.home / name).unlink(missing_ok=True)
        _judge(attack, _run(attack, make(attack, field), field), field)

    return [Case(attack.name, lambda attack=attack: attempt(attack)) for attack in attacks]


def test_what_lies_in_a_wheel_is_not_run(survive, field, monkeypatch):
    # Such a wheel is not installed at all; where that is overlooked, nothing of it is run.
    monkeypatch.setattr(environment, "explain_takeover", lambda _: "")
    survive("hostile wheels: files", _cases(INSTALLED, lambda *_: "", field), short=3)


def test_what_a_package_calls_is_refused(survive, field):
    attacks = [Attack(name, code) for name, code in CALLS]
    survive("hostile wheels: calls", _cases(attacks, lambda one, at: _attempting(one.code, at), field), short=8)


def test_what_a_package_floods_is_bounded(survive, field):
    cases = _cases(FLOODS, lambda one, at: PRELUDE + _body(one.code, at), field)
    survive("hostile wheels: floods", cases, short=3)


def _forge(model: Model, answers: dict[str, Any]) -> str:
    """Return a package that writes these answers, and what it can know of a model without computing it."""
    reference = open_reference(model.path)
    assert reference is not None
    tokens = {piece: number for number, piece in enumerate(reference.pieces)}
    bytewise = {byte: tokens[bytes([byte])] for byte in range(256)}
    package = FORGER
    for name, value in {"answers": answers, "bytewise": bytewise, "expect": model.expect}.items():
        package = package.replace(f"{{{name}!r}}", repr(value))
    return package


@pytest.mark.parametrize(("answers", "where"), [({}, "import"), (ANSWERS, "decode")])
def test_a_package_that_forges_each_event_and_leaves_does_not_pass(field, answers, where):
    model, attack = find_model("tiny"), Attack(f"forged up to {where}", code_expected="SMOKE-FAILED")
    answers = {**answers, "system-info": {"text": "AVX2"}} if answers else {}
    record = _run(attack, _forge(model, answers), field, model)
    _judge(attack, record, field)
    states = {step.name: step.state for step in record.steps}
    assert (states[where], record.locked) == ("failed", True), record.ending
    assert record.ending.startswith(f"at {where}: ")


def test_an_honest_package_that_is_no_engine_fails_in_an_ordinary_way(field):
    record = _run(Attack("honest"), "", field)
    assert record.code == "SMOKE-FAILED"
    assert record.confinement.enough


def test_an_attack_that_succeeds_would_be_seen(field):
    record = _run(Attack("planted"), f"{PRELUDE}\ngot('something')\nraise ValueError", field)
    with pytest.raises(AssertionError, match="GOT"):
        _judge(Attack("planted"), record, field)


def test_too_many_threads_files_and_bytes_are_told(tmp_path, monkeypatch):
    limits = ANSWER._replace(files=3, folder_bytes=1 << 20)
    assert find_excess(os.getpid(), (tmp_path,), limits) == ""
    (tmp_path / "large").write_bytes(bytes(2 << 20))
    assert find_excess(os.getpid(), (tmp_path,), limits) == "it wrote more than 1 MiB"
    (tmp_path / "large").unlink()
    for number in range(4):
        (tmp_path / str(number)).touch()
    assert find_excess(os.getpid(), (tmp_path,), limits) == "it made more than 3 files"
    monkeypatch.setattr("truewheel.child.excess._MOST_THREADS", 0)
    assert "threads" in find_excess(os.getpid(), (), limits)
