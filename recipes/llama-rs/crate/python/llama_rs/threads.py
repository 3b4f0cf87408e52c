"""How many threads to compute with when nobody says."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def usable_cpus() -> set[int]:
    """Return the CPUs that this process may run on."""
    return os.sched_getaffinity(0)


def count_physical_cores(cpus: Iterable[int]) -> int:
    """Count cores, not hardware threads: two threads of a core share the units that decoding keeps busy."""
    return len({_read_siblings(cpu) for cpu in cpus}) or 1


def _read_siblings(cpu: int) -> str:
    try:
        with open(_SIBLINGS.format(cpu), encoding="ascii") as file:  # noqa: PTH123 -- pathlib is slow to import
            return file.read()
    except OSError:
        return str(cpu)
