"""A process that waits until we are gone, however that comes about, and ends what we had started.

Run as `python -IS guardian.py MARK` with the standard library alone. Standard input is a pipe that we hold the other
end of; on it comes `+NUMBER` for each session that we began, `-NUMBER` when that one is over, and `.` when we left in
order. A program is ours when it is in such a session (compilers leave their group, ninja sees to that) or has our mark
in the environment that it was started with (servers leave their session).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Collection, Iterator

VARIABLE = "TRUEWHEEL_RUN"
"""The variable that holds the mark."""
_POLL_SECONDS = 0.02
_GRACE_SECONDS = 0.5
_MOST_SECONDS = 5.0
_STATE, _SESSION = 0, 3


def find_processes(mark: str, sessions: Collection[int] = (), spared: Collection[str] = ()) -> list[int]:
    """Return the numbers of processes that run with a mark, or in one of these sessions; never our own.

    Args:
        mark: the whole mark of one program that was started, or the beginning of all marks up to its dot.
        sessions: numbers of sessions.
        spared: whole marks that are not meant.
    """
    sign = re.compile(rb"\0%s=(%s%s)\0" % (VARIABLE.encode(), mark.encode(), b"[0-9]*" if mark.endswith(".") else b""))
    own, kept = os.getpid(), {each.encode() for each in spared}
    return [number for number in _processes() if number != own and _belongs(number, sign, sessions, kept)]


def _processes() -> Iterator[int]:
    try:
        yield from (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - and so starts in a moment
    except OSError:
        return


def _belongs(number: int, sign: re.Pattern[bytes], sessions: Collection[int], spared: Collection[bytes]) -> bool:
    fields = _read(number, "stat").rpartition(b")")[2].split()
    if len(fields) <= _SESSION or fields[_STATE] in (b"Z", b"X"):
        return False
    if int(fields[_SESSION]) in sessions:
        return True
    found = sign.search(b"\0" + _read(number, "environ"))
    return found is not None and found[1] not in spared


def _read(number: int, name: str) -> bytes:
    try:
        with open(f"/proc/{number}/{name}", "rb") as stream:  # noqa: PTH123 - hundreds of processes
            return stream.read()
    except OSError:
        return b""


def end_processes(
    mark: str, sessions: Collection[int] = (), *, spared: Collection[str] = (), grace: float = _GRACE_SECONDS
) -> None:
    """End what `find_processes` finds, until nothing is found: first politely, then for good.

    Args:
        mark: see there.
        sessions: see there.
        spared: see there.
        grace: seconds that they have to end by themselves.
    """
    start = time.monotonic()
    if grace:
        _send(find_processes(mark, sessions, spared), signal.SIGTERM)
    while (found := find_processes(mark, sessions, spared)) and time.monotonic() < start + _MOST_SECONDS:
        if time.monotonic() >= start + grace:
            _send(found, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _send(numbers: Collection[int], wanted: signal.Signals) -> None:
    for number in numbers:
        for each in (wanted, signal.SIGCONT):
            with contextlib.suppress(OSError):
                os.kill(number, each)


class Guard:
    """The marks of what a process starts, and its guardian, which is started with the first of them."""

    def __init__(self) -> None:
        self.token = ""
        self._pipe, self._owner, self._count = -1, -1, 0
        self._live: dict[str, int] = {}

    def next_mark(self) -> str:
        """Return the mark of the next program; the guardian is there then."""
        if self._owner != os.getpid():
            # The first time, or in a process that was forked off: what it starts is its own.
            self._owner, self._count, self._live = os.getpid(), 0, {}
            self.token = f"{self._owner}-{os.urandom(8).hex()}."
            self._pipe = _start_guardian(self.token)
        self._count += 1
        return f"{self.token}{self._count}"

    def began(self, mark: str, session: int) -> None:
        """Tell the guardian of a program's session."""
        self._live[mark] = session
        self._tell(f"+{session}")

    def over(self, mark: str) -> None:
        """Tell the guardian that a session's number may be another's by now."""
        if (session := self._live.pop(mark, None)) is not None:
            self._tell(f"-{session}")

    def end_all(self) -> None:
        """End everything that this process started and that is still there."""
        if self._owner == os.getpid():
            end_processes(self.token, set(self._live.values()))

    def end_leftovers(self) -> None:
        """End what programs left behind that are over: servers that they started, say."""
        if self._owner == os.getpid():
            end_processes(self.token, spared=self._live)

    def leave(self) -> None:
        """Let the guardian go."""
        if self._owner == os.getpid() and self._pipe >= 0:
            self._tell(".")
            os.close(self._pipe)
            self._pipe = -1

    def _tell(self, line: str) -> None:
        # That it is gone, or was stopped, is no reason to fail.
        with contextlib.suppress(OSError):
            os.write(self._pipe, f"{line}\n".encode())


def _start_guardian(token: str) -> int:
    """Start the guardian and return our end of its pipe; -1 where there is none to be had."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    command = [sys.executable, "-IS", __file__, token]
    try:
        os.posix_spawn(command[0], command, {}, file_actions=[(os.POSIX_SPAWN_DUP2, reads, 0), *quiet])
    except (OSError, ValueError):
        os.close(writes)
        return -1
    finally:
        os.close(reads)
    return writes


def main() -> None:
    """Wait until the other end of the pipe is closed, and end what is left."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setsid()
    os.chdir("/")
    # Whatever else we held open, a pipe that somebody waits for the end of, say.
    os.closerange(3, 1 << 16)
    sessions: set[int] = set()
    for line in sys.stdin.buffer:
        if line == b".\n":
            return
        (sessions.discard if line.startswith(b"-") else sessions.add)(int(line[1:]))
    end_processes(sys.argv[1], sessions)


if __name__ == "__main__":
    main()
