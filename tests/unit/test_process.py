"""The one door for subprocesses: output, log, time limit, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from truewheel import process


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.3)


def shell(script, **options):
    return process.run(["/bin/sh", "-c", script], **options)


def is_running(number):
    """Tell whether a process is there and no zombie."""
    try:
        os.kill(number, 0)
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def assert_gone(number):
    """Give the kernel a moment to deliver the signal."""
    until = time.monotonic() + 5
    while is_running(number) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(number)


def test_quote_is_what_a_person_would_type(tmp_path):
    assert process.quote(["cc", "-DX=a b", tmp_path / "it's"]) == f"cc '-DX=a b' '{tmp_path}/it'\"'\"'s'"


def test_output_and_exit_status():
    done = shell("echo one; echo two >&2; exit 3")
    assert done.returncode == 3
    assert sorted(done.output.splitlines()) == ["one", "two"]
    assert not done.timed_out
    assert done.seconds > 0
    assert done.command == "/bin/sh -c 'echo one; echo two >&2; exit 3'"


def test_standard_error_can_be_left_out():
    assert shell("echo one; echo two >&2", merge_stderr=False).output == "one\n"


def test_a_missing_program_returns_127():
    done = process.run(["/nowhere/program", "x"])
    assert (done.returncode, done.timed_out) == (127, False)
    assert "No such file or directory" in done.output


def test_a_program_that_may_not_be_run_returns_127(tmp_path):
    (tmp_path / "program").write_text("#!/bin/sh\n")
    assert process.run([tmp_path / "program"]).returncode == 127


def test_a_folder_that_is_not_there_returns_127(tmp_path):
    assert shell("true", cwd=tmp_path / "gone").returncode == 127


def test_a_death_by_signal_is_a_negative_status():
    assert shell("kill -SEGV $$").returncode == -signal.SIGSEGV


def test_lines_are_passed_on_in_order_as_they_come():
    lines, times = [], []

    def take(line):
        lines.append(line)
        times.append(time.monotonic())

    done = shell("echo first; sleep 0.3; echo; echo third; printf fourth", on_line=take)
    assert lines == ["first", "", "third", "fourth"]
    assert times[1] - times[0] > 0.2
    assert done.output == "first\n\nthird\nfourth\n"


def test_a_very_long_line_stays_one_line():
    lines = []
    script = "import sys; sys.stdout.write('x' * 300_000 + '\\n' + 'y')"
    process.run([sys.executable, "-I", "-S", "-c", script], on_line=lines.append)
    assert [(line[0], len(line)) for line in lines] == [("x", 300_000), ("y", 1)]


def test_only_the_last_lines_are_kept():
    done = shell("i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); done", keep_lines=3)
    assert done.output == "47\n48\n49\n"


def test_output_that_is_no_utf_8_is_replaced():
    lines = []
    done = shell(r"printf 'a\377b\n'", on_line=lines.append)
    assert lines == ["a\ufffdb"]
    assert done.output == "a\ufffdb\n"


def test_the_log_gets_command_and_output_and_keeps_what_it_had(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    shell(r"printf 'a\377b\nlast'", log=log)
    shell("echo again", log=log)
    assert log.read_bytes() == (
        b"before\n$ /bin/sh -c 'printf '\"'\"'a\\377b\\nlast'\"'\"''\na\xffb\nlast$ /bin/sh -c 'echo again'\nagain\n"
    )


def test_the_log_names_a_program_that_is_missing(tmp_path):
    process.run(["/nowhere/program"], log=tmp_path / "log")
    assert (tmp_path / "log").read_text() == "$ /nowhere/program\n"


def test_the_environment_is_just_what_was_given_and_what_clears_up_after_it(monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    names = [line.partition("=")[0] for line in process.run(["/usr/bin/env"], env={"ONLY": "this"}).output.splitlines()]
    assert names == ["ONLY", "TMPDIR", "TRUEWHEEL_RUN"]
    chosen = process.run(["/usr/bin/env"], env={"TMPDIR": "/chosen"}).output.splitlines()
    assert chosen[0] == "TMPDIR=/chosen"
    assert "SECRET=x" not in process.run(["/usr/bin/env"]).output.splitlines()


_STRAY = (
    *("CFLAGS", "CC", "GGML_NATIVE", "PYTHONPATH", "PYTHONSTARTUP", "LANG", "LD_PRELOAD", "LD_AUDIT", "CPATH"),
    *("LIBRARY_PATH", "C_INCLUDE_PATH", "CMAKE_PREFIX_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH", "RUSTFLAGS"),
)


def test_the_plain_environment_has_nothing_that_changes_a_build(monkeypatch):
    for name in _STRAY:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HOME", "/home/somebody")
    plain = process.plain_environment()
    assert plain["HOME"] == "/home/somebody"
    assert plain["LC_ALL"] == "C.UTF-8"
    assert plain["PATH"] == os.environ["PATH"]
    assert not set(_STRAY) & set(plain)


def test_the_folder_to_run_in(tmp_path):
    assert shell("pwd -P", cwd=tmp_path).output.strip() == os.path.realpath(tmp_path)


def test_standard_input_is_fed_or_empty():
    assert process.run(["/bin/cat"], stdin=b"hello").output == "hello\n"
    assert process.run(["/bin/cat"]).output == ""


def test_a_program_that_does_not_read_its_input():
    assert shell("exit 4", stdin=b"x" * 1_000_000).returncode == 4


def test_a_program_that_writes_while_it_reads():
    done = process.run(["/bin/cat"], stdin=b"0123456789\n" * 100_000, timeout=20)
    assert not done.timed_out
    assert done.output.endswith("0123456789\n")


def test_input_that_is_never_read_does_not_outlast_the_time_limit():
    done = shell("sleep 60", stdin=b"x" * 1_000_000, timeout=0.2)
    assert done.timed_out
    assert done.seconds < 5


def test_the_time_limit_ends_the_program():
    done = shell("echo begun; sleep 60", timeout=0.2)
    assert done.timed_out
    assert done.returncode == -signal.SIGTERM
    assert done.output == "begun\n"
    assert done.seconds < 5


def test_what_was_printed_last_is_kept_when_the_time_is_up():
    lines = []
    done = shell("echo whole; printf 'half a line'; sleep 60", timeout=0.2, on_line=lines.append)
    assert lines == ["whole", "half a line"]
    assert done.output == "whole\nhalf a line\n"


def test_the_time_limit_ends_a_program_that_ignores_sigterm():
    done = shell("trap '' TERM; echo begun; while :; do sleep 0.1; done", timeout=0.2)
    assert done.timed_out
    assert done.returncode == -signal.SIGKILL
    assert done.seconds < 5


def test_the_time_limit_ends_grandchildren_too():
    done = shell("sleep 60 & echo $!; wait", timeout=0.2)
    assert done.timed_out
    assert_gone(int(done.output))


def test_the_time_limit_ends_grandchildren_that_ignore_sigterm():
    done = shell("(trap '' TERM; exec sleep 60) & echo $!; wait", timeout=0.2)
    assert done.timed_out
    assert_gone(int(done.output))


def test_the_time_limit_ends_a_program_that_closed_its_output():
    done = shell("exec >&- 2>&-; sleep 60", timeout=0.2)
    assert done.timed_out
    assert done.seconds < 5


def test_the_time_limit_ends_a_program_that_never_stops_printing():
    done = shell("while :; do echo x; done", timeout=0.2)
    assert done.timed_out
    assert done.seconds < 5


def test_a_program_that_leaves_somebody_behind_is_not_waited_for():
    start = time.monotonic()
    done = shell("sleep 30 & echo $!; printf half", timeout=20)
    number = int(done.output.split()[0])
    try:
        assert (done.returncode, done.timed_out) == (0, False)
        assert time.monotonic() - start < 10
        assert done.output == f"{number}\nhalf\n"
    finally:
        os.kill(number, signal.SIGKILL)


def test_an_exception_of_the_listener_ends_the_program():
    numbers = []

    def listen(line):
        numbers.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell("echo $$; exec sleep 60", on_line=listen)
    assert_gone(numbers[0])


def test_a_background_program_runs_as_long_as_the_block(tmp_path):
    log = tmp_path / "log"
    with process.background(["/bin/sh", "-c", "echo $$; exec sleep 60"], env={"PATH": "/bin:/usr/bin"}, log=log):
        until = time.monotonic() + 5
        while not log.read_text().strip() and time.monotonic() < until:
            time.sleep(0.01)
        number = int(log.read_text())
        assert is_running(number)
    assert_gone(number)


def test_a_background_program_is_ended_when_the_block_fails(tmp_path):
    log = tmp_path / "log"

    def fail():
        with process.background(["/bin/sh", "-c", "sleep 60 & echo $!; wait"], env={"PATH": "/bin:/usr/bin"}, log=log):
            until = time.monotonic() + 5
            while not log.read_text().strip() and time.monotonic() < until:
                time.sleep(0.01)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert_gone(int(log.read_text()))


def test_a_program_that_is_started_can_be_asked_stopped_and_waited_for(tmp_path):
    reads, writes = os.pipe()
    body = f"import os, sys\nfor line in sys.stdin:\n    os.write({writes}, line.encode()[:1])\n"
    options = {"env": {}, "stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-I", "-c", body]
    with process.start(command, **options, cwd=tmp_path, answers=reads, descriptors=(writes,)) as child:
        assert child.ask(b"x", 60)
        child.stop()
        assert not child.ask(b"x", 0.1)
        assert (child.timed_out, child.running()) == (True, True)
        child.go_on()
    os.close(reads)
    os.close(writes)
    assert_gone(child.pid)
    assert child.over


def test_what_a_program_left_behind_is_ended_when_the_block_fails_and_not_after_it_was_waited_for(monkeypatch):
    ended = []
    real = process.Child.end
    monkeypatch.setattr(process.Child, "end", lambda child: (ended.append(child.pid), real(child)))
    options = {"env": {"PATH": "/bin:/usr/bin"}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def fail(*, waited):
        with process.start(["/bin/sh", "-c", "sleep 2 & exit 0"], **options) as child:
            if waited:
                assert child.wait(None)
            raise ValueError(str(child.pid))

    with pytest.raises(ValueError, match=r"\d") as caught:
        fail(waited=False)
    assert ended == [int(str(caught.value))]
    with pytest.raises(ValueError, match=r"\d"):
        fail(waited=True)
    assert len(ended) == 1


def test_commands_side_by_side_have_each_their_own_place_and_input(tmp_path):
    script = ["/bin/sh", "-c", "pwd; cat; echo $NAME; echo problem >&2"]
    own = process.Job(script, b"hello\n", env={"PATH": "/bin:/usr/bin", "NAME": "own"}, cwd=tmp_path)
    shared = process.Job(script, b"there\n")
    late = process.Job(["/bin/sh", "-c", "echo begun; exec sleep 60"], b"")
    first, second, third = process.run_together(
        [own, shared, late], env={"PATH": "/bin:/usr/bin", "NAME": "shared"}, timeout=1.5
    )
    assert first == (0, f"{tmp_path}\nhello\nown\n".encode(), b"problem\n", False, "")
    assert second == (0, f"{Path.cwd()}\nthere\nshared\n".encode(), b"problem\n", False, "")
    assert third == (-signal.SIGTERM, b"begun\n", b"", True, "")


FLOOD = "import os\nfor _ in range(%d): os.write(1, b'x' * (1 << 20))\n"


def test_a_line_without_an_end_fills_neither_memory_nor_log(tmp_path):
    lengths = []
    command = [sys.executable, "-c", FLOOD % 100]
    tracemalloc.start()
    try:
        done = process.run(command, log=tmp_path / "log", on_line=lambda line: lengths.append(len(line)), most=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.returncode == 0
    assert peak < 24 << 20
    assert sum(lengths) == 100 << 20
    assert max(lengths) < 2 << 20
    assert len(done.output) <= 2 << 20
    size = (tmp_path / "log").stat().st_size
    assert 1 << 20 <= size < (1 << 20) + 1000
    assert (tmp_path / "log").read_bytes().endswith(b"the rest of what it printed is left out\n")


def test_a_log_that_has_room_takes_everything(tmp_path):
    process.run([sys.executable, "-c", "print('a\\n\\nb', end='')"], log=tmp_path / "log", most=1000)
    assert (tmp_path / "log").read_text().endswith("\na\n\nb")


def test_lines_that_come_in_pieces_are_passed_on_whole():
    script = "import os, time\nfor part in (b'a', b'b\\n\\nc', b'\\nd'):\n    os.write(1, part); time.sleep(0.05)\n"
    lines = []
    assert process.run([sys.executable, "-c", script], on_line=lines.append).output == "ab\n\nc\nd\n"
    assert lines == ["ab", "", "c", "d"]


def test_of_many_long_lines_no_more_than_some_are_kept():
    script = "for number in range(100): print(str(number) * 50_000)"
    done = process.run([sys.executable, "-c", script])
    assert len(done.output) < 2 << 20
    assert done.output.endswith("99\n")


def test_who_does_not_read_an_order_keeps_nobody_waiting(tmp_path):
    script = "import time; time.sleep(30)"
    with process.converse([sys.executable, "-c", script], env={**os.environ}, cwd=tmp_path) as talk:
        assert not talk.child.ask(b"x" * (1 << 20), 0.3)
        assert talk.child.timed_out
        assert talk.finish(0.1).timed_out


def test_a_talk_that_printed_much_shows_its_end(tmp_path):
    script = FLOOD % 20 + "print('\\nthe end')"
    with process.converse([sys.executable, "-c", script], env={**os.environ}, cwd=tmp_path) as talk:
        done = talk.finish(60)
    assert done.output.endswith("\nthe end\n")
    assert len(done.output) <= 1 << 20
