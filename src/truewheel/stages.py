"""The frame of a stage: what is shown, what is timed, and which exit code it fails with."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from truewheel.console import Console
from truewheel.errors import TruewheelError
from truewheel.text import clean


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add to `seconds` how long it took."""
    start = time.monotonic()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.monotonic() - start


@contextlib.contextmanager
def stage(
    console: Console, seconds: dict[str, float], family: type[TruewheelError], name: str, what: str
) -> Iterator[None]:
    """Frame a stage and give what the system refuses (a full disk, say) the stage's own exit code."""
    with console.stage(name, what), timed(seconds, name), refusals_told(family, name):
        yield


@contextlib.contextmanager
def refusals_told(family: type[TruewheelError], name: str) -> Iterator[None]:
    """Tell what the system refuses (a full disk, a folder that cannot be written to) as an error of a family."""
    try:
        yield
    except (OSError, MemoryError) as error:
        raise refusal_of(error, family, name) from error


def refusal_of(error: OSError | MemoryError, family: type[TruewheelError], name: str) -> TruewheelError:
    """Return what the system refused as an error of a family.

    Args:
        error: what was raised; some libraries raise an OSError of their own, without a number.
        family: of the stage that it happened in.
        name: of that stage.
    """
    if isinstance(error, MemoryError):
        return family(f"{name} stopped: there is not enough memory", hint=_HINTS[errno.ENOMEM])
    reason = error.strerror or str(error) or type(error).__name__
    path = error.filename2 or error.filename
    where = f" ({os.fsdecode(path)})" if isinstance(path, str | bytes | os.PathLike) else ""
    return family(f"{name} stopped: {clean(f'{reason}{where}')}", hint=_HINTS.get(error.errno or 0, _HINT))


_CACHE = "set TRUEWHEEL_CACHE_DIR to a folder that can be written to"
_DISK = "free disk space; `truewheel doctor` shows where caches are"
_FILES = "close other programs, or allow more open files: `ulimit -n 4096`"
_FAULT = "look at the disk and its mount: `dmesg` may tell more"
_NAME = "use shorter paths, without links that lead to themselves"
_HINT = "check the path and its permissions; TRUEWHEEL_CACHE_DIR and TMPDIR choose other folders"
_HINTS = {
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.EFBIG: _DISK,
    errno.EACCES: "check the permissions, or set TRUEWHEEL_CACHE_DIR",
    errno.EPERM: "check the permissions, or set TRUEWHEEL_CACHE_DIR",
    errno.EROFS: _CACHE,
    errno.ENOTDIR: _CACHE,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EIO: _FAULT,
    errno.ESTALE: _FAULT,
    errno.ENAMETOOLONG: _NAME,
    errno.ELOOP: _NAME,
    errno.ENOMEM: "close other programs, or take a machine with more memory",
}
