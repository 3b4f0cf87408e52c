"""The end of a run that somebody asked for: end what it started, remove what it made, say so, and die of the signal."""

from __future__ import annotations

import contextlib
import signal
from typing import NoReturn

from truewheel import signals

AGAIN = "run the same command again; what was fetched and compiled is kept"


def end_by(number: int) -> NoReturn:
    """End and remove what is still there, say so, and die of a signal."""
    signals.hold()
    from truewheel import scratch

    scratch.GUARD.end_all()
    scratch.tidy()
    what = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    # A terminal that was closed takes no more text.
    with contextlib.suppress(OSError, ValueError):
        from truewheel.console import Console

        Console().error(f"{what}; nothing half-made was left behind", AGAIN)
    signals.die_of(number)
