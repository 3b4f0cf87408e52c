"""Run `auditwheel show --json WHEEL` in a process that can start no other and open no socket."""

from __future__ import annotations

import ctypes
import runpy
import signal
import sys
from pathlib import Path

_CPU_SECONDS = 300
_MEMORY = 8 << 30
_FILE = 8 << 30

if __name__ == "__main__":
    drivers = str(Path(__file__).resolve().parents[1] / "child" / "programs")
    sys.path.insert(0, drivers)
    import lockdown  # type: ignore[import-not-found]

    sys.path.remove(drivers)
    # It ends with whoever waits for it. (PR_SET_PDEATHSIG)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    lockdown.limit(_CPU_SECONDS, _MEMORY, _FILE)
    lockdown.forbid()
    sys.argv = ["auditwheel", "show", "--json", sys.argv[1]]
    runpy.run_module("auditwheel", run_name="__main__", alter_sys=True)
