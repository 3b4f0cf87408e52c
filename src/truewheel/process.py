"""The only caller of subprocesses: argument lists, one log, a time limit, whole groups ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from truewheel import signals
from truewheel.guardian import VARIABLE, end_processes
from truewheel.scratch import GUARD, SCRATCH

_TAIL_LINES = 400
_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.01
_WATCH_SECONDS = 0.25
_ERROR_BYTES = 64 << 10
_LINE_BYTES = 1 << 20
"""A line that is longer is passed on in pieces: one without an end would fill the memory."""
_TAIL_BYTES = 1 << 20
_LOG_BYTES = 256 << 20
_CUT = b"\n... the rest of what it printed is left out\n"
_PR_SET_DUMPABLE = 4


class Completed(NamedTuple):
    """How a command ended.

    Attributes:
        command: the quoted command line.
        returncode: exit status; negative is the number of the signal that ended it.
        output: standard output (and standard error, where merged), at most the last lines asked for.
        timed_out: whether we ended it because its time was up.
        seconds: wall time.
        excess: why whoever watched it ended it; empty where it was not.
    """

    command: str
    returncode: int
    output: str
    timed_out: bool
    seconds: float
    excess: str = ""


_PASSED = (
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
    "ZIG_GLOBAL_CACHE_DIR",
)
"""Variables that a compiler needs to run at all and that do not change what it makes."""


def plain_environment() -> dict[str, str]:
    """Return PATH and what else programs need to run, without anything that changes what compilers make."""
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**environment, "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


def hide() -> None:
    """Keep other processes of this person, children above all, from reading our memory and environment."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def quote(command: Sequence[str | os.PathLike[str]]) -> str:
    """Return the command as a person would type it."""
    return shlex.join(os.fspath(part) for part in command)


class Child:
    """A program that runs, in a process group of its own.

    Between its turns it can be stopped, with all of its threads: then it takes no CPU time, whatever it waits for.

    Attributes:
        pid: number of its process and of its group.
        timed_out: whether its time was up.
        excess: why whoever watches it ended it.
        over: whether it was waited for to its end, or ended: its number may be another's by now.
    """

    def __init__(self, process: subprocess.Popen[bytes], quoted: str, answers: int, mark: str) -> None:
        self._process, self._quoted, self._answers, self._mark = process, quoted, answers, mark
        self._start = time.monotonic()
        self.pid, self.timed_out, self.over = process.pid, False, False
        self.excess = ""

    def running(self) -> bool:
        """Return whether it has not left yet; those that it started may be there all the same."""
        return self._process.poll() is None

    def ask(self, line: bytes, timeout: float) -> bool:
        """Send a line and wait for a byte in answer; return False when it has ended or its time was up.

        Args:
            line: what is sent to its standard input, without a line end.
            timeout: seconds.
        """
        deadline = time.monotonic() + timeout
        if self.timed_out or not self._send(line + b"\n", deadline):
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                self.timed_out = True
                return False
        return bool(os.read(self._answers, 1))

    def _send(self, data: bytes, deadline: float) -> bool:
        """Write to its standard input; return False when it has ended, or does not read in time."""
        stream = self._process.stdin
        if stream is None or stream.closed:
            return False
        os.set_blocking(stream.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_WRITE)
            while data:
                if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                    self.timed_out = True
                    return False
                try:
                    data = data[os.write(stream.fileno(), data) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return False
        return True

    def stop(self) -> None:
        """Let it rest until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Send it the end of its input."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def finish(self, timeout: float) -> bool:
        """Send it the end of its input, and return whether it left by itself within so many seconds."""
        self.go_on()
        self.close()
        return self.wait(time.monotonic() + (0.1 if self.timed_out else timeout))

    def wait(self, deadline: float | None) -> bool:
        """Wait until it has left, and end it when its time is up; return whether it left by itself.

        Args:
            deadline: by the monotonic clock; None for none.
        """
        while self.running():
            if deadline is not None and time.monotonic() >= deadline:
                self.expire()
            else:
                time.sleep(_POLL_SECONDS)
        self.over = True
        return not self.timed_out

    def expire(self) -> None:
        """End it because its time is up."""
        self.timed_out = True
        self.end()

    def end(self) -> None:
        """End it and everything that it started: first politely, then for good."""
        self.over = True
        self.go_on()
        self._end_group()
        # Ninja gives each compiler a group of its own, and a server leaves even the session.
        end_processes(self._mark, {self.pid}, grace=0)

    def _end_group(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_GRACE_SECONDS)
            if number == signal.SIGTERM and self._process.returncode is not None:
                # Grandchildren may outlive a leader that went at once.
                self._signal(signal.SIGKILL)
                return

    def completed(self, output: str) -> Completed:
        """Return how it ended, when it has."""
        seconds = time.monotonic() - self._start
        return Completed(self._quoted, self._process.returncode, output, self.timed_out, seconds, self.excess)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


Watch = Callable[[int], str]
"""Is given the number of a process, and returns what it has too much of, in words; an empty text where all is well."""


@contextlib.contextmanager
def _watched(child: Child, watch: Watch | None) -> Iterator[None]:
    """Look at a program beside whatever waits for it, and end it where it has too much of something."""
    if watch is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(_WATCH_SECONDS) and child.running():
            if excess := watch(child.pid):
                child.excess = excess
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextlib.contextmanager
def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    answers: int = -1,
    descriptors: tuple[int, ...] = (),
    watch: Watch | None = None,
) -> Iterator[Child]:
    """Start a program; one that still runs when the block is left is ended, with its group.

    Args:
        command: program and arguments, never a shell line.
        env: the whole environment but for the mark by which it is found; None inherits ours.
        cwd: the folder to run in.
        stdin: what it reads; nothing by itself.
        stdout: where it prints.
        stderr: where it prints errors.
        answers: an open file from which `ask` reads its answers.
        descriptors: open files that it inherits.
        watch: is asked again and again what it has too much of; where that is anything, it is ended.

    Raises:
        OSError: there is no such program.
    """
    child = None
    try:
        with signals.postponed():
            mark = GUARD.next_mark()
            process = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=_marked(env, mark),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=descriptors,
                start_new_session=True,
            )
            child = Child(process, quote(command), answers, mark)
            GUARD.began(mark, child.pid)
        with _watched(child, watch):
            yield child
    except BaseException:
        # What it left behind is ended too.
        if child is not None and not child.over:
            child.end()
        raise
    finally:
        if child is not None:
            if child.running():
                child.end()
            GUARD.over(mark)
            child.close()


def _marked(env: Mapping[str, str] | None, mark: str) -> dict[str, str]:
    """Return the environment of a child: it is found by its mark, and leaves temporary files where we clear up."""
    environment = dict(os.environ if env is None else env)
    usual = environment.get("TMPDIR") in (None, os.environ.get("TMPDIR"))
    if usual and (folder := SCRATCH.for_children()) is not None:
        environment["TMPDIR"] = str(folder)
    return {**environment, VARIABLE: mark}


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
    watch: Watch | None = None,
    merge_stderr: bool = True,
    keep_lines: int = _TAIL_LINES,
    most: int = _LOG_BYTES,
) -> Completed:
    """Run a command to its end and return how it ended; a missing program returns 127.

    Args:
        command: program and arguments, never a shell line.
        env: the whole environment; None for the plain one.
        cwd: the folder to run in.
        log: a file that everything printed is appended to.
        timeout: seconds after which the whole process group is ended.
        on_line: called with each line as it comes.
        stdin: bytes to feed; None is an empty input.
        watch: see `start`.
        merge_stderr: take standard error together with standard output, else drop it.
        keep_lines: how many of the last lines are returned.
        most: bytes that the log may grow by; what is printed after them is read, and left out there.
    """
    quoted = quote(command)
    tail = _Tail(keep_lines, on_line)
    with contextlib.ExitStack() as stack:
        sink = _Sink(stack.enter_context(log.open("ab")), most) if log is not None else None
        feed = subprocess.DEVNULL if stdin is None else stack.enter_context(_file_of(stdin))
        if sink is not None:
            sink.write(f"$ {quoted}\n".encode())
        reads, writes = os.pipe()
        pipe = stack.enter_context(os.fdopen(reads, "rb", buffering=0))
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            errors = writes if merge_stderr else subprocess.DEVNULL
            whole = plain_environment() if env is None else env
            files: dict[str, Any] = {"stdin": feed, "stdout": writes, "stderr": errors}
            child = stack.enter_context(start(command, env=whole, cwd=cwd, watch=watch, **files))
        except OSError as error:
            return Completed(quoted, 127, str(error), timed_out=False, seconds=0.0)
        finally:
            os.close(writes)
        if _pump(child, pipe.fileno(), sink, tail, deadline):
            child.expire()
        child.wait(deadline)
        return child.completed(tail.text())


def _file_of(data: bytes) -> IO[bytes]:
    """Return a file to read from: no pipe, so that nobody waits for a reader, whenever the program reads it."""
    feed = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the block that asked for it
    feed.write(data)
    feed.seek(0)
    return feed


def _pump(
    child: Child,
    descriptor: int,
    sink: _Sink | None,
    tail: _Tail,
    deadline: float | None,
) -> bool:
    """Read lines until the pipe closes or the program is gone; return whether the deadline came first."""
    timed_out = False
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            wait = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if wait <= 0:
                timed_out = True
                break
            if not selector.select(timeout=wait):
                if not child.running():
                    # Somebody it left behind still holds the pipe.
                    break
                continue
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            if sink is not None:
                sink.write(chunk)
            tail.take(chunk)
    tail.end()
    return timed_out


class _Sink:
    """A log that takes so many bytes of a program, and then says that there were more.

    Args:
        stream: the open file.
        most: bytes.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._room = stream, most

    def write(self, data: bytes) -> None:
        """Write what there is room for, so that it is there whatever happens next."""
        if self._room < 0:
            return
        self._stream.write(data[: self._room] + (_CUT if len(data) > self._room else b""))
        self._stream.flush()
        self._room = self._room - len(data) if len(data) <= self._room else -1


class _Tail:
    """The last lines of what a program prints, each passed on as it comes; neither one nor all can grow without end.

    Args:
        most_lines: how many are kept; where that is more than usual, all their bytes are.
        on_line: called with each.
    """

    def __init__(self, most_lines: int, on_line: Callable[[str], None] | None) -> None:
        self._lines: deque[str] = deque(maxlen=most_lines)
        self._on_line = on_line
        self._room = _TAIL_BYTES if most_lines <= _TAIL_LINES else most_lines * _TAIL_BYTES
        self._size = 0
        self._pending: list[bytes] = []
        self._waiting = 0

    def take(self, chunk: bytes) -> None:
        """Take what was read."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._pending.append(line)
            self.end(always=True)
        if rest:
            self._pending.append(rest)
            self._waiting += len(rest)
        if self._waiting >= _LINE_BYTES:
            self.end()

    def end(self, *, always: bool = False) -> None:
        """Pass on what waits for the end of its line; an empty line too, if `always`."""
        raw, self._pending, self._waiting = b"".join(self._pending), [], 0
        if raw or always:
            self._pass_on(raw.decode("utf-8", "replace"))

    def text(self) -> str:
        """Return the last lines."""
        return "".join(self._lines)

    def _pass_on(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(line)
        if len(self._lines) == self._lines.maxlen:
            self._size -= len(self._lines.popleft())
        self._lines.append(line + "\n")
        self._size += len(line) + 1
        while self._size > self._room and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())


@contextlib.contextmanager
def background(command: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a helper program beside us and end it, with its group, when the block is left."""
    try:
        with log.open("ab") as sink, start(command, env=env, stdout=sink, stderr=sink) as child:
            try:
                yield
            finally:
                child.end()
    finally:
        # A program that does not find its server may start one of its own.
        GUARD.end_leftovers()


class Talk(NamedTuple):
    """A program that does one thing after another as it is told: a line on its standard input, a byte in answer.

    Attributes:
        child: to be asked, and stopped between its turns.
        answers: the number of the open file on which it answers.
        output: what it printed.
    """

    child: Child
    answers: int
    output: IO[bytes]

    def finish(self, timeout: float) -> Completed:
        """Let it leave within so many seconds, and return how it ended."""
        self.child.finish(timeout)
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - _TAIL_BYTES))
        lines = self.output.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines(keepends=True)
        return self.child.completed("".join(lines[-_TAIL_LINES:]))


@contextlib.contextmanager
def converse(
    command: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str], cwd: Path, watch: Watch | None = None
) -> Iterator[Talk]:
    """Start a program that is told what to do line by line, and end it, with its group, when the block is left.

    Args:
        command: program and arguments, never a shell line.
        env: the whole environment.
        cwd: the folder to run in.
        watch: see `start`.
    """
    with contextlib.ExitStack() as stack:
        answers, writes = os.pipe()
        stack.callback(os.close, answers)
        output = stack.enter_context(tempfile.TemporaryFile())
        options: dict[str, Any] = {"env": env, "cwd": cwd, "answers": answers, "descriptors": (writes,), "watch": watch}
        with os.fdopen(writes, "wb"):
            talking = start(command, stdin=subprocess.PIPE, stdout=output, stderr=output, **options)
            child = stack.enter_context(talking)
        yield Talk(child, writes, output)


class Job(NamedTuple):
    """A command that runs beside others: what it reads and inherits, its environment and folder, who watches it."""

    command: Sequence[str | os.PathLike[str]]
    stdin: bytes
    descriptors: tuple[int, ...] = ()
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    watch: Watch | None = None


class Result(NamedTuple):
    """How a job ended: its exit status (negative: a signal), what it printed, if its time was up, and its excess."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    excess: str = ""


def run_together(
    jobs: Sequence[Job], *, env: Mapping[str, str], timeout: float, most: int | None = None
) -> list[Result]:
    """Run commands side by side to their ends and return how each ended.

    Args:
        jobs: the commands; all start at once.
        env: the whole environment of each that has none of its own.
        timeout: seconds after which those that still run are ended, with their groups.
        most: bytes of what each printed that are read; None for all.
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        started = []
        for job in jobs:
            # Files, not pipes: what a child wrote before it died is there.
            feed = stack.enter_context(_file_of(job.stdin))
            output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            place: dict[str, Any] = {"env": env if job.env is None else job.env, "cwd": job.cwd, "watch": job.watch}
            begun = start(job.command, stdin=feed, stdout=output, stderr=errors, descriptors=job.descriptors, **place)
            started.append((stack.enter_context(begun), output, errors))
        for child, _, _ in started:
            child.wait(deadline)
        return [_result(*each, most) for each in started]


def _result(child: Child, output: IO[bytes], errors: IO[bytes], most: int | None) -> Result:
    output.seek(0)
    errors.seek(0)
    returncode = child.completed("").returncode
    said, problems = output.read(-1 if most is None else most), errors.read(_ERROR_BYTES)
    return Result(returncode, said, problems, child.timed_out, child.excess)
