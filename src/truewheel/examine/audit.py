"""Run `auditwheel show --json WHEEL` in a process that can start no other, open no socket, and no file but these.

Run as `python -I -B audit.py FOLDER WHEEL SECONDS MEMORY FILE` with FOLDER on the import path, and with the limits of
its processor time, its address space and of each file that it writes.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from truewheel.child.programs import landlock, lockdown

    wheel, python = sys.argv[2], [sys.executable, sys.prefix, f"{sys.base_prefix}/lib", *sys.path]
    # It ends with whoever waits for it. (PR_SET_PDEATHSIG)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    lockdown.limit(*map(int, sys.argv[3:6]))  # type: ignore[no-untyped-call]
    landlock.restrict([wheel, *python], [os.environ["TMPDIR"]])  # type: ignore[no-untyped-call]
    lockdown.forbid()  # type: ignore[no-untyped-call]
    sys.argv = ["auditwheel", "show", "--json", wheel]
    runpy.run_module("auditwheel", run_name="__main__", alter_sys=True)
