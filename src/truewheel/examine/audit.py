"""Run `auditwheel show --json WHEEL` in a process that can start no other and open no socket.

Run as `python -I -B audit.py WHEEL SECONDS MEMORY FILE`, with the limits of its processor time, its address space and
of each file that it writes.
"""

from __future__ import annotations

import ctypes
import runpy
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    drivers = str(Path(__file__).resolve().parents[1] / "child" / "programs")
    sys.path.insert(0, drivers)
    import lockdown  # type: ignore[import-not-found]

    sys.path.remove(drivers)
    # It ends with whoever waits for it. (PR_SET_PDEATHSIG)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    lockdown.limit(*map(int, sys.argv[2:5]))
    lockdown.forbid()
    sys.argv = ["auditwheel", "show", "--json", sys.argv[1]]
    runpy.run_module("auditwheel", run_name="__main__", alter_sys=True)
