"""How quiet the machine is while something is measured: load, and time that the host took away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from truewheel.cpu.host import Host
from truewheel.decoding import UnreadableError, read_text
from truewheel.measure.result import Machine

_STEAL = 7
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class Clock(NamedTuple):
    """CPU time of all CPUs since boot, in ticks.

    Attributes:
        stolen: while we wanted to run and the host let another machine.
        whole: all of it.
        load: load average of the last minute.
    """

    stolen: int
    whole: int
    load: float


def read_clock(path: Path = Path("/proc/stat")) -> Clock:
    """Read CPU times; zeros where the system does not say."""
    try:
        ticks = [int(word) for word in read_text(path).splitlines()[0].split()[1:]]
        load = os.getloadavg()[0]
    except (UnreadableError, OSError, ValueError, IndexError):
        return Clock(0, 0, 0.0)
    # Guests' time is counted in user time as well.
    return Clock(ticks[_STEAL] if len(ticks) > _STEAL else 0, sum(ticks[: _STEAL + 1]), load)


def describe_machine(host: Host, before: Clock, after: Clock) -> Machine:
    """Return the machine, and how quiet it was between two readings."""
    return Machine(
        cpu=host.model,
        level=host.level,
        cores=host.usable_cores,
        system=f"{os.uname().sysname} {os.uname().release}, {host.libc}",
        huge_pages=_read_choice(_HUGE_PAGES),
        load_before=before.load,
        load_after=after.load,
        steal=(after.stolen - before.stolen) / max(1, after.whole - before.whole),
    )


def _read_choice(path: Path) -> str:
    """Return the chosen word of a kernel setting such as `always [madvise] never`."""
    try:
        text = read_text(path)
    except UnreadableError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0] or "unknown"
