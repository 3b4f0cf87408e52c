"""How many threads to compute with when nobody says."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def usable_cpus() -> set[int]:
    """Return the CPUs that this process may run on."""
    return os.sched_getaffinity(0)


def default_threads(cpus: Collection[int]) -> tuple[int, int]:
    """Return how many threads decode and read prompts on these CPUs: what the wheel's own module says.

    A build that truewheel did not make has no such module; there each CPU gets a thread.
    """
    try:
        from .truewheel_cores import fit_threads
    except ImportError:
        return len(cpus), len(cpus)
    found = fit_threads(cpus)
    return found.decode, found.prompt
