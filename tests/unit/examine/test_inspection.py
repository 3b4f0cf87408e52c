"""Handing a wheel to locked-down children: what they cannot do, and what becomes of it when one of them dies."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from code_builder import RET, build_library, call, function
from elf_builder import build_elf
from factories import DIST_INFO, LIBRARY, wheel_members

import truewheel.child.programs
from truewheel import process
from truewheel.child.programs import filters
from truewheel.decoding import UnreadableError
from truewheel.errors import CheckError
from truewheel.examine import run
from truewheel.examine.child import AnswerLine, Fault, ReadRequest, read_library, work
from truewheel.examine.reading import LibraryFacts, WheelFacts, decode, encode
from truewheel.wheel.archive import MalformedWheelError, Member, read_wheel
from truewheel.wheel.writer import write_wheel

FILENAME = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
DRIVERS = Path(truewheel.child.programs.__file__).parent
NO_FILTER = 97
SECOND, THIRD = "toy_engine/lib/libsecond.so", "toy_engine/lib/libthird.so"
KERNEL = build_library(
    function("entry", call("kernel"), RET, exported=True), function("kernel", bytes.fromhex("c5f5fec2"), RET)
).data
PLAIN = build_elf(needed=("libc.so.6",))
NEEDLES = {"openssl": ("libtoy", "answer"), "nobody": ("no such text",)}

CONFINE = f"""
import sys
sys.path.insert(0, {str(DRIVERS.parents[2])!r})
from truewheel.child.programs import lockdown
sys.path.pop(0)
import ctypes, os, signal, socket, subprocess, threading, time, hashlib, zlib, json, random
libc = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
stream = open({str(DRIVERS / "lockdown.py")!r}, "rb")

def system(*arguments):
    result = libc.syscall(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

if reason := lockdown.confine():
    print(reason)
    sys.exit({NO_FILTER})
"""


# What a confined process cannot do


def confined(body, *arguments):
    """Run a body in a child that has confined itself."""
    script = CONFINE + textwrap.dedent(body)
    command = [sys.executable, "-I", "-S", "-B", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def child():
    """Skip where this system lets no process confine itself."""
    done = confined("pass")
    if done.returncode == NO_FILTER:
        pytest.skip(f"no process can lock itself down here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    return confined


FORBIDDEN = {
    "read a file": "open('/etc/hostname')",
    "read itself": "open('/proc/self/maps')",
    "read by number": "os.open('/proc/self/fd/0', os.O_RDONLY)",
    "write a file": "open(sys.argv[1] + '/new', 'w')",
    "write to a device": "open('/dev/null', 'w')",
    "make a folder": "os.mkdir(sys.argv[1] + '/new')",
    "list a folder": "os.listdir(sys.argv[1])",
    "look at a file": "os.stat(sys.argv[1])",
    "look for a file": "system(21, sys.argv[1].encode(), 0)",
    "remove a file": "os.unlink(sys.argv[1] + '/old')",
    "rename a file": "os.rename(sys.argv[1] + '/old', sys.argv[1] + '/new')",
    "link a file": "os.symlink(sys.argv[1] + '/old', sys.argv[1] + '/new')",
    "change a mode": "os.chmod(sys.argv[1] + '/old', 0o777)",
    "change an owner": "os.chown(sys.argv[1] + '/old', 0, 0)",
    "cut a file": "os.truncate(sys.argv[1] + '/old', 0)",
    "read a link": "os.readlink('/proc/self/exe')",
    "change the folder": "os.chdir('/')",
    "open as openat2": "system(437, -100, b'/etc/hostname', bytes(24), 24)",
    "open a socket": "socket.socket(socket.AF_INET)",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "open a pair of sockets": "socket.socketpair()",
    "connect": "system(42, 1, bytes(16), 16)",
    "send": "system(44, 1, b'x', 1, 0, 0, 0)",
    "make a pipe": "os.pipe()",
    "make a file in memory": "os.memfd_create('x')",
    "fork": "os.fork()",
    "fork by number": "system(57)",
    "clone by number": "system(56, 17, 0, 0, 0, 0)",
    "clone3 by number": "system(435, bytes(88), 88)",
    "vfork by number": "system(58)",
    "start a thread": "threading.Thread(target=print).start()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "run a program by number": "system(322, -1, b'/bin/true', 0, 0, 0)",
    "spawn a program": "os.posix_spawn('/bin/true', ['true'], {})",
    "call subprocess": "subprocess.run(['/bin/true'])",
    "trace": "system(101, 16, parent, 0, 0)",
    "read another's memory": "system(310, parent, 0, 0, 0, 0, 0)",
    "write another's memory": "system(311, parent, 0, 0, 0, 0, 0)",
    "kill": "os.kill(parent, 0)",
    "kill itself by kill": "os.kill(os.getpid(), 0)",
    "signal a thread of another": "system(234, parent, parent, 0)",
    "signal with data": "system(129, parent, 0, bytes(128))",
    "lift a limit": "system(160, 4, bytes(16))",
    "lift another's limit": "system(302, parent, 4, bytes(16), 0)",
    "use a ring": "system(425, 1, bytes(120))",
    "load a program into the kernel": "system(321, 0, 0, 0)",
    "mount": "system(165, b'x', b'/x', b'tmpfs', 0, 0)",
    "leave its namespace": "system(272, 0x10000000)",
    "ask its parent": "system(110)",
    "ask its control": "system(157, 3, 0, 0, 0, 0)",
    "control a device": "system(16, 1, 0x5412, b'x')",
    "control a file": "system(72, 0, 3, 0)",
    "copy a number of a file": "os.dup(0)",
    "share memory": "system(29, 0, 4096, 0o1600)",
    "use a key": "system(250, 0, -3, 1, 0, 0)",
    "catch page faults": "system(323, 0)",
    "open by handle": "system(304, -100, bytes(16), 0)",
    "set the clock": "time.clock_settime(time.CLOCK_REALTIME, 0)",
    "call the 32-bit x way": "system(0x40000000 | 2, b'/etc/hostname', 0)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_confined_process_cannot(child, tmp_path, what):
    (tmp_path / "old").write_text("kept")
    body = f"""
        try:
            {FORBIDDEN[what]}
        except (OSError, RuntimeError) as error:
            print("refused", getattr(error, "errno", 1))
        else:
            print("done")
    """
    result = child(body, tmp_path)
    assert (result.returncode, result.stdout) in {(0, "refused 1\n"), (0, "refused 38\n"), (0, "refused None\n")}, (
        result.stderr
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "kept")]


def test_a_confined_process_computes_on_what_is_open(child):
    body = """
        data = stream.read()
        stream.seek(0)
        again = stream.read(10)
        big = bytearray(64 << 20)
        os.fstat(stream.fileno())
        packed = zlib.compress(data)
        print(len(data) > 100, again == data[:10], len(big) >> 20, hashlib.sha256(data).hexdigest()[:0] == "")
        print(zlib.decompress(packed) == data, json.loads("[1]"), 0 <= random.random() < 1, time.time() > 0)
        sys.stdout.flush()
        os.urandom(4)
        time.sleep(0.001)
        stream.close()
    """
    result = child(body)
    assert (result.returncode, result.stdout) == (0, "True True 64 True\nTrue [1] True True\n"), result.stderr


def test_a_confined_process_ends_by_an_ordinary_error(child):
    result = child("raise ValueError('told')")
    assert result.returncode == 1
    assert "told" in result.stderr


def test_a_confined_process_that_aborts_is_gone(child):
    assert child("os.abort()").returncode < 0


def test_confinement_cannot_be_lifted(child):
    body = """
        for again in (lockdown.confine, lockdown.forbid, lambda: libc.prctl(22, 0, 0, 0, 0)):
            try:
                again()
            except OSError:
                pass
        try:
            open("/etc/hostname")
        except OSError as error:
            print(error.errno)
    """
    result = child(body)
    assert (result.returncode, result.stdout) == (0, "1\n"), result.stderr


def test_the_program_of_the_filter_is_sound():
    code = filters.computing()
    assert len(code) % 8 == 0
    rows = [(code[at], code[at + 2], code[at + 3], code[at + 4 : at + 8]) for at in range(0, len(code), 8)]
    for position, (operation, if_true, if_false, _) in enumerate(rows):
        if operation & 0x07 == 0x05:
            assert position + 1 + max(if_true, if_false) < len(rows)
    # What no rule lets through is refused, not allowed; see the lock-down's own tests.
    assert rows[-1][0] == 0x06


# The work of a child


def test_a_library_is_read_with_its_marks():
    facts = read_library(PLAIN, NEEDLES)
    assert (facts.elf.needed, facts.marks, facts.damage) == (("libc.so.6",), ("openssl",), "")
    assert facts.code.functions == 0


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(100), PLAIN[:70]])
def test_what_is_no_library_gives_the_reason(data):
    facts = read_library(data, {})
    assert (facts.elf, facts.code) == (None, None)
    assert facts.damage


def test_a_library_for_another_machine_is_not_disassembled():
    facts = read_library(build_elf(machine=183), {})
    assert (facts.elf.machine, facts.code, facts.damage) == ("EM_AARCH64", None, "")


def test_an_error_while_reading_code_is_damage_and_the_links_are_known(monkeypatch):
    def fail(_image):
        raise IndexError("list index out of range")

    monkeypatch.setattr("truewheel.examine.child.read_code", fail)
    facts = read_library(KERNEL, {})
    assert (facts.elf.soname, facts.code, facts.damage) == ("libtoy.so", None, "IndexError: list index out of range")


def test_facts_survive_the_way_between_processes():
    facts = read_library(KERNEL, NEEDLES)
    assert decode(encode(facts), LibraryFacts) == facts
    assert [kernel.name for kernel in decode(encode(facts), LibraryFacts).code.kernels] == ["kernel"]


def test_facts_of_another_shape_are_refused():
    for data in (b"", b"{", b"[]", b'{"elf": 1, "code": null}', b'{"elf": null, "code": {"functions": 1}}'):
        with pytest.raises(UnreadableError):
            decode(data, LibraryFacts)


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path / FILENAME)


def make_wheel(path, **libraries):
    """Write a wheel with three libraries, the largest first read."""
    libraries = {LIBRARY: KERNEL, SECOND: PLAIN, THIRD: PLAIN + bytes(8), **libraries}
    members = {path: Member(data, executable=True) for path, data in libraries.items()}
    write_wheel(path, wheel_members(**members), DIST_INFO)
    return path


def test_a_child_accepts_a_wheel_or_tells_its_faults(wheel):
    with wheel.open("rb") as stream:
        (answer,) = work(ReadRequest(descriptor=0, path=wheel), stream)
    assert answer.wheel.sha256 == read_wheel(wheel).sha256
    wheel.write_bytes(wheel.read_bytes()[:-4])
    with wheel.open("rb") as stream:
        (answer,) = work(ReadRequest(descriptor=0, path=wheel), stream)
    assert answer.wheel is None
    assert answer.faults


def test_a_child_reads_what_it_is_asked_for(wheel):
    accepted = read_wheel(wheel)
    request = ReadRequest(descriptor=0, path=wheel, wheel=accepted, libraries=(SECOND,), sources=True, needles=NEEDLES)
    with wheel.open("rb") as stream:
        answers = list(work(request, stream))
    assert [answer.sources is not None for answer in answers].count(True) == 1
    (library,) = [answer for answer in answers if answer.library]
    assert (library.library, library.facts.marks) == (SECOND, ("openssl",))


# Wheels in children


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def alone(monkeypatch):
    """Leave auditwheel out, which takes a second and is another's program."""
    monkeypatch.setattr(run, "_wants_audit", lambda _wheel: False)


@contextlib.contextmanager
def within(seconds):
    """Fail when what is done takes longer."""

    def late(_number, _frame):
        pytest.fail(f"it took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def no_child(*_arguments, **_options):
    pytest.fail("a child was started")


def test_a_wheel_is_read_by_children(wheel, child):
    assert child
    facts = run.inspect_wheel(wheel, needles=NEEDLES)
    assert facts.locked
    assert facts.wheel == read_wheel(wheel)
    assert list(facts.libraries) == facts.wheel.shared_objects()
    assert [kernel.name for kernel in facts.libraries[LIBRARY].code.kernels] == ["kernel"]
    assert facts.libraries[SECOND].marks == ("openssl",)
    assert facts.libraries[SECOND] == read_library(PLAIN, NEEDLES)
    assert facts.sources is not None
    assert not any(library.damage for library in facts.libraries.values())


def test_a_wheel_without_code_starts_no_auditwheel(tmp_path):
    wheel = tmp_path / "toy_engine-1.2.3-py3-none-any.whl"
    members = wheel_members(
        **{f"{DIST_INFO}/WHEEL": Member(b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")}
    )
    del members[LIBRARY]
    write_wheel(wheel, members, DIST_INFO)
    facts = run.inspect_wheel(wheel)
    assert (facts.libraries, facts.policy) == ({}, None)
    assert facts.sources is not None


@pytest.mark.usefixtures("alone")
def test_what_was_read_is_kept_by_name_and_hash(wheel, monkeypatch, tmp_path):
    first = run.inspect_wheel(wheel, needles=NEEDLES)
    with monkeypatch.context() as patch:
        patch.setattr(process, "run_together", no_child)
        assert run.inspect_wheel(wheel, needles=NEEDLES) == first
        # The same file in another folder.
        moved = tmp_path / "elsewhere" / wheel.name
        moved.parent.mkdir()
        shutil.copy(wheel, moved)
        again = run.inspect_wheel(moved, needles=NEEDLES)
        assert again.wheel.path == moved
        assert again.libraries == first.libraries


@contextlib.contextmanager
def counting(monkeypatch):
    """Count how often children were started."""
    calls = []
    real = process.run_together

    def counted(jobs, **options):
        calls.append(len(jobs))
        return real(jobs, **options)

    with monkeypatch.context() as patch:
        patch.setattr(process, "run_together", counted)
        yield calls


@pytest.mark.parametrize("change", ["builder", "needles", "name", "content", "no cache", "damaged", "another shape"])
@pytest.mark.usefixtures("alone")
def test_what_was_kept_is_not_used_for_something_else(wheel, monkeypatch, cache, change):
    run.inspect_wheel(wheel, needles=NEEDLES)
    (kept,) = (cache / "facts").iterdir()
    options = {"needles": NEEDLES}
    if change == "builder":
        monkeypatch.setattr(run, "prover_hash", lambda: "c" * 64)
    elif change == "needles":
        options = {"needles": {**NEEDLES, "third": ("libc",)}}
    elif change == "name":
        wheel = wheel.rename(wheel.with_name("toy_engine-1.2.3-1-py3-none-linux_x86_64.whl"))
    elif change == "content":
        make_wheel(wheel, **{SECOND: PLAIN + b"\0" * 16})
    elif change == "no cache":
        options["cache"] = False
    elif change == "damaged":
        kept.write_bytes(kept.read_bytes()[:-5])
    else:
        kept.write_bytes(b'{"wheel": {}}')
    with counting(monkeypatch) as calls, contextlib.suppress(MalformedWheelError):
        run.inspect_wheel(wheel, **options)
    assert calls


@pytest.mark.usefixtures("alone")
def test_nothing_is_kept_where_nothing_can_be_written(wheel, cache):
    cache.write_text("a file where the folder should be")
    assert run.inspect_wheel(wheel).libraries


@pytest.mark.usefixtures("alone")
def test_what_an_unlocked_child_read_is_not_kept(wheel, monkeypatch, cache):
    accept = run._accept
    monkeypatch.setattr(run, "_accept", lambda path, stream: (accept(path, stream)[0], False))
    assert not run.inspect_wheel(wheel).locked
    assert not (cache / "facts").exists()


# Children that die


class Cores(msgspec.Struct):
    """A machine, as far as it matters how many children run."""

    usable_cores: int


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Let children be ended by the library that holds a text, in the way that it says."""
    folder = tmp_path / "inspection"
    folder.mkdir()
    shutil.copy(run._HERE / "audit.py", folder)
    (folder / "child.py").write_text(
        textwrap.dedent(
            """
            import os, sys
            sys.path.insert(0, sys.argv[1])
            from truewheel.examine import child
            real = child.read_library

            def read(data, needles, weight):
                if b"deadly: abort" in data:
                    os.abort()
                if b"deadly: exit" in data:
                    os._exit(0)
                if b"deadly: error" in data:
                    raise MemoryError
                if b"deadly: loop" in data:
                    while True:
                        pass
                return real(data, needles, weight)

            child.read_library = read
            child.main()
            """
        )
    )
    monkeypatch.setattr(run, "_HERE", folder)
    monkeypatch.setattr(run, "_wants_audit", lambda _wheel: False)
    monkeypatch.setattr(run, "detect_host", lambda: Cores(1))


@pytest.mark.parametrize("way", ["abort", "exit", "error"])
@pytest.mark.parametrize("path", [LIBRARY, SECOND, THIRD])
@pytest.mark.usefixtures("deadly")
def test_a_library_that_ends_its_child_is_damage_and_the_others_are_read(tmp_path, path, way):
    data = PLAIN + b"deadly: " + way.encode()
    facts = run.inspect_wheel(make_wheel(tmp_path / FILENAME, **{path: data}))
    for name, library in facts.libraries.items():
        assert ("the child that read it died" in library.damage) == (name == path)
        assert (library.elf is None) == (name == path)
    assert facts.sources is not None


@pytest.mark.usefixtures("deadly")
def test_every_library_ends_its_child(tmp_path):
    libraries = dict.fromkeys((LIBRARY, SECOND, THIRD), PLAIN + b"deadly: abort")
    facts = run.inspect_wheel(make_wheel(tmp_path / FILENAME, **libraries))
    assert all("died" in library.damage for library in facts.libraries.values())


@pytest.mark.usefixtures("deadly")
def test_a_library_that_takes_for_ever_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_WALL_SECONDS", 3.0)
    wheel = make_wheel(tmp_path / FILENAME, **{SECOND: PLAIN + b"deadly: loop"})
    with within(60):
        facts = run.inspect_wheel(wheel)
    assert "died" in facts.libraries[SECOND].damage
    assert not facts.libraries[LIBRARY].damage


@pytest.mark.usefixtures("deadly")
def test_that_a_child_died_is_not_kept(tmp_path, cache):
    # It may have been the machine that had no memory left.
    run.inspect_wheel(make_wheel(tmp_path / FILENAME, **{SECOND: PLAIN + b"deadly: abort"}))
    assert not list(cache.glob("facts/*.json"))


@pytest.mark.usefixtures("alone")
def test_a_library_that_needs_more_memory_than_its_child_may_have(tmp_path, monkeypatch):
    real = run._ask

    def ask(stream, requests, **options):
        small = [msgspec.structs.replace(request, memory_bytes=1 << 20) for request in requests if request.wheel]
        return real(stream, small or requests, **options)

    monkeypatch.setattr(run, "_ask", ask)
    facts = run.inspect_wheel(make_wheel(tmp_path / FILENAME, **{THIRD: PLAIN + bytes(64 << 20)}))
    assert "died" in facts.libraries[THIRD].damage


def answering(monkeypatch, *answers):
    """Let every child that reads contents answer the same."""
    real = run._ask

    def ask(stream, requests, **options):
        if requests[0].wheel is None:
            return real(stream, requests, **options)
        return [list(answers) for _ in requests], None

    monkeypatch.setattr(run, "_ask", ask)


@pytest.mark.usefixtures("alone")
def test_a_child_that_says_that_it_is_done_and_left_something_out(wheel, monkeypatch):
    answering(monkeypatch, AnswerLine(locked=""), AnswerLine(done=True))
    with within(30):
        facts = run.inspect_wheel(wheel)
    assert all(library.damage for library in facts.libraries.values())


@pytest.mark.usefixtures("alone")
def test_a_child_cannot_speak_for_a_library_that_another_reads(wheel, monkeypatch):
    real = run._ask
    forged = LibraryFacts(elf=None, code=None, marks=("forged",))

    def ask(stream, requests, **options):
        found, audited = real(stream, requests, **options)
        if requests[0].wheel is not None:
            # Hostile bytes that took over one child name the libraries of the others.
            lies = [AnswerLine(library=name, facts=forged) for name in (LIBRARY, SECOND, THIRD)]
            mine = requests[-1].libraries
            found[-1] = [answer for answer in lies if answer.library not in mine] + found[-1]
        return found, audited

    monkeypatch.setattr(run, "_ask", ask)
    monkeypatch.setattr(run, "detect_host", lambda: Cores(3))
    facts = run.inspect_wheel(wheel)
    assert not any("forged" in library.marks for library in facts.libraries.values())


def test_answers_that_are_no_answers_are_not_believed():
    lines = b"\n".join([encode(AnswerLine(locked="")), b"not an answer", encode(AnswerLine(done=True))])
    assert list(run._lines(lines, AnswerLine)) == [AnswerLine(locked="")]
    assert list(run._lines(b'{"library": 5}', AnswerLine)) == []


@pytest.mark.parametrize("answers", [[], [AnswerLine(locked=""), AnswerLine(faults=())]])
def test_a_child_that_says_nothing_of_the_wheel(wheel, monkeypatch, answers):
    monkeypatch.setattr(run, "_ask", lambda *_arguments, **_options: ([answers], None))
    with pytest.raises(CheckError, match=r"could not be read: the child that reads it died"):
        run.inspect_wheel(wheel)


def test_a_child_that_refuses_says_why(wheel, monkeypatch):
    answers = [AnswerLine(locked=""), AnswerLine(refusal="cannot read it: the disk is broken")]
    monkeypatch.setattr(run, "_ask", lambda *_arguments, **_options: ([answers], None))
    with pytest.raises(CheckError, match="the disk is broken"):
        run.inspect_wheel(wheel)


def test_the_faults_that_a_child_found_are_told(wheel, monkeypatch):
    answers = [AnswerLine(locked=""), AnswerLine(faults=(Fault("RECORD-HASH", "x.py", "another hash"),))]
    monkeypatch.setattr(run, "_ask", lambda *_arguments, **_options: ([answers], None))
    with pytest.raises(MalformedWheelError) as caught:
        run.inspect_wheel(wheel)
    assert [tuple(fault) for fault in caught.value.faults] == [("RECORD-HASH", "x.py", "another hash")]


def test_a_malformed_wheel_is_told_by_a_real_child(wheel):
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(MalformedWheelError) as caught:
        run.inspect_wheel(wheel)
    assert caught.value.faults


@pytest.mark.parametrize("said", [b"", b"no table", b"{", b'{"a": ', b"[1]"])
@pytest.mark.parametrize("returncode", [0, 1])
def test_what_auditwheel_cannot_say_is_nothing(said, returncode):
    assert run._read_audit(process.Result(returncode, said, b"", timed_out=False)) is None


def test_what_auditwheel_says_is_read_behind_its_warnings():
    assert run._read_audit(process.Result(0, b'a warning\n{"sym": 1}', b"", timed_out=False)) == {"sym": 1}
    assert run._read_audit(process.Result(1, b'{"sym": 1}', b"", timed_out=False)) is None
    assert run._read_audit(None) is None


# A file that is no wheel, or does not stay one


@pytest.mark.usefixtures("alone")
def test_a_wheel_that_was_written_over_before_it_was_accepted(wheel, monkeypatch):
    accept = run._accept

    def late(path, stream):
        make_wheel(path.with_name("other.whl"), **{SECOND: PLAIN + bytes(64)})
        path.write_bytes(path.with_name("other.whl").read_bytes())
        return accept(path, stream)

    monkeypatch.setattr(run, "_accept", late)
    with pytest.raises(MalformedWheelError) as caught:
        run.inspect_wheel(wheel)
    assert [fault.code for fault in caught.value.faults] == ["ARCHIVE-CHANGED"]


@pytest.mark.parametrize("how", ["another wheel", "cut off", "one byte"])
@pytest.mark.usefixtures("alone")
def test_a_wheel_that_was_written_over_after_it_was_accepted(wheel, monkeypatch, cache, how):
    read_contents = run._read_contents
    before = wheel.read_bytes()

    def late(accepted, stream, *rest):
        path = accepted.path
        if how == "another wheel":
            other = path.with_name("other.whl")
            make_wheel(other, **{SECOND: PLAIN + bytes(64)})
            path.write_bytes(other.read_bytes())
        elif how == "cut off":
            os.truncate(path, 100)
        else:
            at = before.index(b"libsecond.so") + 60
            path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        return read_contents(accepted, stream, *rest)

    monkeypatch.setattr(run, "_read_contents", late)
    with pytest.raises(MalformedWheelError) as caught:
        run.inspect_wheel(wheel)
    assert [fault.code for fault in caught.value.faults] == ["ARCHIVE-CHANGED"]
    assert not list(cache.glob("facts/*.json"))


@pytest.mark.usefixtures("alone")
def test_another_file_under_the_same_name_is_not_looked_at(wheel, monkeypatch):
    # Whoever puts another file in its place does not change the one that is open.
    accept = run._accept
    expected = read_wheel(wheel).sha256

    def late(path, stream):
        make_wheel(path, **{SECOND: PLAIN + bytes(64)})
        return accept(path, stream)

    monkeypatch.setattr(run, "_accept", late)
    assert run.inspect_wheel(wheel).wheel.sha256 == expected


@pytest.fixture(params=["pipe", "folder", "device", "link to a device", "nothing", "link to nothing", "socket"])
def no_file(request, tmp_path):
    """A path that is there, or not, and no regular file."""
    path = tmp_path / FILENAME
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path = Path("/dev/zero")
    elif request.param == "link to a device":
        path.symlink_to("/dev/zero")
    elif request.param == "link to nothing":
        path.symlink_to("nowhere")
    elif request.param == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as listener:
            folder = os.open(tmp_path, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{folder}/{FILENAME}")
            os.close(folder)
    return path


def test_what_is_no_file_is_told_in_one_line_without_waiting(no_file, monkeypatch):
    monkeypatch.setattr(process, "run_together", no_child)
    with within(10), pytest.raises(CheckError) as caught:
        run.inspect_wheel(no_file)
    assert not isinstance(caught.value, MalformedWheelError)
    assert "\n" not in caught.value.message
    assert str(no_file) in caught.value.message


def test_libraries_are_dealt_out_evenly():
    class Wheel(msgspec.Struct):
        entries: dict

    sizes = {"a": 50 << 20, "b": 30 << 20, "c": 20 << 20, **{f"small_{number}": 100 for number in range(8)}}
    wheel = Wheel({name: msgspec.defstruct("Entry", [("size", int)])(size) for name, size in sizes.items()})
    shares = run._share(wheel, list(sizes), 2)
    assert sorted(name for share in shares for name in share) == sorted(sizes)
    assert sum("a" in share for share in shares) == 1
    assert {"b", "c"} <= set(next(share for share in shares if "a" not in share))
    assert run._share(wheel, [], 4) == [[]]
    assert run._share(wheel, ["a"], 4) == [["a"]]


@pytest.mark.usefixtures("alone")
def test_facts_of_a_whole_wheel_survive_the_cache(wheel):
    facts = run.inspect_wheel(wheel, needles=NEEDLES)
    assert decode(encode(facts), WheelFacts) == facts
