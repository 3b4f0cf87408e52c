"""The frame of a stage: what is shown, what is timed, and which exit code it fails with."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator

from truewheel.console import Console
from truewheel.errors import TruewheelError


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
    except OSError as error:
        hints = {
            errno.ENOSPC: "free disk space; `truewheel doctor` shows where caches are",
            errno.EACCES: "check the permissions, or set TRUEWHEEL_CACHE_DIR",
            errno.EROFS: "set TRUEWHEEL_CACHE_DIR to a folder that can be written to",
        }
        if error.errno not in hints and not isinstance(error, FileNotFoundError | NotADirectoryError | FileExistsError):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise family(
            f"{name} stopped: {error.strerror}{where}", hint=hints.get(error.errno or 0, "set TRUEWHEEL_CACHE_DIR")
        ) from error
