"""What no limit of a process bounds: all that it wrote together, how many files, how many threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from truewheel.child.limits import ChildLimits

_BLOCK = 512
_MOST_THREADS = 2048
"""An engine has some for each core."""


def find_excess(pid: int, folders: Sequence[Path], limits: ChildLimits) -> str:
    """Return what a child has too much of, in words; empty where all is well.

    Args:
        pid: its process.
        folders: where it may write.
        limits: what it may use.
    """
    if _count_threads(pid) > _MOST_THREADS:
        return f"it started more than {_MOST_THREADS} threads"
    size = count = 0
    for place in folders:
        for status in _walk(place):
            size, count = size + status.st_blocks * _BLOCK, count + 1
            if count > limits.files:
                return f"it made more than {limits.files} files"
            if size > limits.folder_bytes:
                return _too_large(limits)
    size += sum(_deleted_sizes(pid))
    return _too_large(limits) if size > limits.folder_bytes else ""


def _too_large(limits: ChildLimits) -> str:
    return f"it wrote more than {limits.folder_bytes >> 20} MiB"


def _count_threads(pid: int) -> int:
    try:
        # The number of names in it is the number of threads; nothing is read that a child could make long.
        return Path(f"/proc/{pid}/task").stat().st_nlink - 2
    except OSError:
        return 0


def _walk(folder: Path) -> Iterator[os.stat_result]:
    """Yield the state of everything below a folder; links are not followed, and what is gone meanwhile is not there."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue


def _deleted_sizes(pid: int) -> Iterator[int]:
    """Yield the sizes of files that have no name any more and are open."""
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for place in opened:
        try:
            status = place.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            yield status.st_blocks * _BLOCK
