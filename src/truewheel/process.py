"""The only caller of subprocesses: argument lists, one log, a time limit, whole groups ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

_TAIL_LINES = 400
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.01
_ERROR_BYTES = 64 << 10


class Completed(NamedTuple):
    """How a command ended.

    Attributes:
        command: the quoted command line.
        returncode: exit status; negative is the number of the signal that ended it.
        output: standard output (and standard error, where merged), at most the last lines asked for.
        timed_out: whether we ended it because its time was up.
        seconds: wall time.
    """

    command: str
    returncode: int
    output: str
    timed_out: bool
    seconds: float


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


def quote(command: Sequence[str | os.PathLike[str]]) -> str:
    """Return the command as a person would type it."""
    return shlex.join(os.fspath(part) for part in command)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started and everything in its group: first politely, then for good."""
    for number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
        if number == signal.SIGTERM and process.returncode is not None:
            # Grandchildren may outlive a leader that went at once.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    stdin: bytes | None = None,
    merge_stderr: bool = True,
    keep_lines: int = _TAIL_LINES,
) -> Completed:
    """Run a command to its end and return how it ended; a missing program returns 127.

    Args:
        command: program and arguments, never a shell line.
        env: the whole environment; None inherits ours.
        cwd: the folder to run in.
        log: a file that everything printed is appended to.
        timeout: seconds after which the whole process group is ended.
        on_line: called with each line as it comes.
        stdin: bytes to feed; None is an empty input.
        merge_stderr: take standard error together with standard output, else drop it.
        keep_lines: how many of the last lines are returned.
    """
    quoted = quote(command)
    start = time.monotonic()
    tail: deque[str] = deque(maxlen=keep_lines)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("ab")) if log is not None else None
        feed: IO[bytes] | int = subprocess.DEVNULL
        if stdin is not None:
            # A file, not a pipe: whether and when the program reads it, neither side ever waits for the other.
            feed = stack.enter_context(tempfile.TemporaryFile())
            feed.write(stdin)
            feed.seek(0)
        if sink is not None:
            sink.write(f"$ {quoted}\n".encode())
            sink.flush()
        try:
            process = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=dict(env) if env is not None else None,
                cwd=cwd,
                stdin=feed,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge_stderr else subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return Completed(quoted, 127, str(error), timed_out=False, seconds=0.0)
        try:
            deadline = None if timeout is None else start + timeout
            timed_out = _pump(process, sink, tail, on_line, deadline) or not _leaves(process, deadline)
            if timed_out:
                end_group(process)
            process.wait()
        except BaseException:
            end_group(process)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
    return Completed(quoted, process.returncode, "".join(tail), timed_out, time.monotonic() - start)


def _pump(
    process: subprocess.Popen[bytes],
    sink: IO[bytes] | None,
    tail: deque[str],
    on_line: Callable[[str], None] | None,
    deadline: float | None,
) -> bool:
    """Read lines until the pipe closes; return whether the deadline came first."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    pending, timed_out = b"", False
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            wait = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if wait <= 0:
                timed_out = True
                break
            if not selector.select(timeout=wait):
                if process.poll() is not None:
                    # The program is gone; somebody it left behind still holds the pipe.
                    break
                continue
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            if sink is not None:
                sink.write(chunk)
                sink.flush()
            *lines, pending = (pending + chunk).split(b"\n")
            for raw in lines:
                _pass_on(raw, tail, on_line)
    if pending:
        _pass_on(pending, tail, on_line)
    return timed_out


def _pass_on(raw: bytes, tail: deque[str], on_line: Callable[[str], None] | None) -> None:
    line = raw.decode("utf-8", "replace")
    tail.append(line + "\n")
    if on_line is not None:
        on_line(line)


def _leaves(process: subprocess.Popen[bytes], deadline: float | None) -> bool:
    """Wait for a program that has closed its output; return whether it left before the deadline."""
    try:
        process.wait(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


@contextlib.contextmanager
def background(command: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a helper program beside us and end it, with its group, when the block is left."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [os.fspath(part) for part in command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end_group(process)


class Talk:
    """A program that does one thing after another as it is told: a line on its standard input, a byte in answer.

    Between its turns it can be stopped, with all of its threads: then it takes no CPU time, whatever it waits for.
    """

    def __init__(self, process: subprocess.Popen[bytes], answers: int, output: IO[bytes], quoted: str) -> None:
        self._process, self._answers, self._output, self._quoted = process, answers, output, quoted
        self._start = time.monotonic()
        self._timed_out = False

    def ask(self, line: bytes, timeout: float) -> bool:
        """Send a line and wait for the answer; return False when the program has ended or its time was up.

        Args:
            line: what is sent, without a line end.
            timeout: seconds.
        """
        if self._timed_out or self._process.stdin is None:
            return False
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(timeout=timeout):
                self._timed_out = True
                return False
        return bool(os.read(self._answers, 1))

    def stop(self) -> None:
        """Let it rest until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def finish(self, timeout: float) -> Completed:
        """Send the end of its input, wait until it leaves, and return how it ended.

        Args:
            timeout: seconds after which it is ended.
        """
        self.go_on()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=0.1 if self._timed_out else timeout)
        except subprocess.TimeoutExpired:
            self._timed_out = True
            end_group(self._process)
        self._output.seek(0)
        tail = deque(self._output.read().decode("utf-8", "replace").splitlines(keepends=True), maxlen=_TAIL_LINES)
        seconds = time.monotonic() - self._start
        return Completed(self._quoted, self._process.returncode, "".join(tail), self._timed_out, seconds)


@contextlib.contextmanager
def converse(
    command: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str], cwd: Path
) -> Iterator[tuple[Talk, int]]:
    """Start a program that is told what to do line by line, and end it, with its group, when the block is left.

    Yields the talk, and the number of the open file on which the program answers with one byte a line.

    Args:
        command: program and arguments, never a shell line.
        env: the whole environment.
        cwd: the folder to run in.
    """
    with contextlib.ExitStack() as stack:
        answers, writes = os.pipe()
        stack.callback(os.close, answers)
        output = stack.enter_context(tempfile.TemporaryFile())
        try:
            process = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(writes,),
                start_new_session=True,
            )
        finally:
            os.close(writes)
        try:
            yield Talk(process, answers, output, quote(command)), writes
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGCONT)
                end_group(process)
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


class Job(NamedTuple):
    """A command that runs beside others: what it reads, open files that it inherits, its own environment and folder."""

    command: Sequence[str | os.PathLike[str]]
    stdin: bytes
    descriptors: tuple[int, ...] = ()
    env: Mapping[str, str] | None = None
    cwd: Path | None = None


class Result(NamedTuple):
    """How a job ended: its exit status (negative: a signal), what it printed, and whether its time was up."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


def run_together(jobs: Sequence[Job], *, env: Mapping[str, str], timeout: float) -> list[Result]:
    """Run commands side by side to their ends and return how each ended.

    Args:
        jobs: the commands; all start at once.
        env: the whole environment of each that has none of its own.
        timeout: seconds after which those that still run are ended, with their groups.
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        started = [(_start_job(job, env, stack)) for job in jobs]
        late: set[int] = set()
        try:
            while any(process.poll() is None for process, _, _ in started):
                if time.monotonic() > deadline:
                    late = {number for number, (process, _, _) in enumerate(started) if process.poll() is None}
                    break
                time.sleep(_POLL_SECONDS)
        finally:
            for process, _, _ in started:
                if process.poll() is None:
                    end_group(process)
        results = []
        for number, (process, output, errors) in enumerate(started):
            output.seek(0)
            errors.seek(0)
            results.append(Result(process.returncode, output.read(), errors.read(_ERROR_BYTES), number in late))
        return results


def _start_job(
    job: Job, env: Mapping[str, str], stack: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
    # Files, not pipes: nobody waits for a reader, and what a child wrote before it died is there.
    feed, output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))  # noqa: SIM115
    feed.write(job.stdin)
    feed.seek(0)
    process = subprocess.Popen(
        [os.fspath(part) for part in job.command],
        env=dict(env if job.env is None else job.env),
        cwd=job.cwd,
        stdin=feed,
        stdout=output,
        stderr=errors,
        pass_fds=job.descriptors,
        start_new_session=True,
    )
    return process, output, errors
