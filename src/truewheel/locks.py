"""Locks that programs take turns by: whoever waits for one says for whom."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from truewheel.console import Console

_QUIET_SECONDS = 1.0


@contextlib.contextmanager
def locked(path: Path, what: str, *, timeout: float = -1.0, console: Console | None = None) -> Iterator[None]:
    """Hold a lock file; a wait of more than a second is told, with who holds it.

    Args:
        path: the file; its folder must exist.
        what: what it is about, as it is told.
        timeout: seconds; negative to wait for ever.
        console: told; None for standard error.

    Raises:
        filelock.Timeout: it was not to be had in that time.
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=_QUIET_SECONDS if timeout < 0 else min(timeout, _QUIET_SECONDS))
    except Timeout:
        if 0 <= timeout <= _QUIET_SECONDS:
            raise
        (console or Console()).say(f"         waiting for {what}: {_holder(path)} has it")
        lock.acquire(timeout=timeout if timeout < 0 else timeout - _QUIET_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Name the process that holds a lock, as far as the system tells."""
    try:
        inode = path.stat().st_ino
        lines = [line.split() for line in _read("/proc/locks").splitlines()]
        number = next(int(line[4]) for line in lines if "->" not in line and line[5].endswith(f":{inode}"))
        command = _read(f"/proc/{number}/comm").strip()
    except (OSError, ValueError, IndexError, StopIteration):
        return "another program"
    if number == os.getpid():
        return "another thread of this process"
    return f"process {number} ({command})" if command.isprintable() else f"process {number}"


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="backslashreplace")
