"""Signals that ask us to end: each is raised where it finds us, cleaned up after, and then died of."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""What a terminal that is closed, a person, and a system that shuts down send."""

_PATIENCE_SECONDS = 20.0
"""So long is a second one kept from breaking off the clean-up after the first."""
_AGAIN_SECONDS = 0.05


class EndedError(BaseException):
    """Somebody asked us to end; as with KeyboardInterrupt, nothing but what cleans up may catch it on its way.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Postponed:
    """What came while nothing may be raised."""

    depth, number = 0, 0


_postponed = _Postponed()


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Raise what comes meanwhile at the end of the block: what it makes and writes down belongs together."""
    _postponed.depth += 1
    try:
        yield
    finally:
        _postponed.depth -= 1
        if not _postponed.depth and _postponed.number:
            number, _postponed.number = _postponed.number, 0
            _end(number, None)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise EndedError where such a signal finds us, so that children are ended and folders tidied up.

    One that whoever started us had ignored (`nohup`, a job in the background) stays so. In a thread beside the main
    one nothing is changed: none can be caught there.
    """
    # Who has not imported it has one thread.
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in ENDING if signal.getsignal(number) in usual}
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_raise_again, hook)
    _catch(before)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _catch(numbers: Any) -> None:
    for number in numbers:
        signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    """Raise, and let no other one break off what is cleaned up then: `timeout` sends it twice."""
    if _postponed.depth:
        _postponed.number = number
        return
    until = time.monotonic() + _PATIENCE_SECONDS

    def hold(another: int, _frame: object) -> None:
        if time.monotonic() >= until:
            raise EndedError(another)

    for each in ENDING:
        # Unlike an ignored signal, a caught one is as usual again for programs that we start.
        if signal.getsignal(each) is _end:
            signal.signal(each, hold)
    raise EndedError(number)


def _raise_again(usual: Callable[[sys.UnraisableHookArgs], Any], lost: sys.UnraisableHookArgs) -> None:
    """Send a signal anew that found us where nothing can be raised: in what is called when an object goes."""
    if not isinstance(lost.exc_value, EndedError):
        usual(lost)
        return
    import threading

    number = lost.exc_value.number
    _catch(each for each in ENDING if getattr(signal.getsignal(each), "__name__", "") == "hold")
    threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number)).start()


def hold() -> None:
    """Let none of them break in any more."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def die_of(number: int) -> NoReturn:
    """Die of a signal, as whoever waits for us must see: a shell ends its loop when Ctrl-C ended a command of it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # The first process of a container survives that.
    os._exit(128 + number)
