"""Run `auditwheel show --json WHEEL` in a process that can start no other, open no socket, and no file but these.

Run as `python -I -B audit.py FOLDER WHEEL` with FOLDER on the import path.
"""

from __future__ import annotations

import os
import runpy
import sys

_CPU_SECONDS = 300
_MEMORY = 8 << 30
_FILE = 8 << 30

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from truewheel.child.programs import landlock, lockdown

    wheel, python = sys.argv[2], [sys.executable, sys.prefix, f"{sys.base_prefix}/lib", *sys.path]
    lockdown.limit(_CPU_SECONDS, _MEMORY, _FILE)  # type: ignore[no-untyped-call]
    landlock.restrict([wheel, *python], [os.environ["TMPDIR"]])  # type: ignore[no-untyped-call]
    lockdown.forbid()  # type: ignore[no-untyped-call]
    sys.argv = ["auditwheel", "show", "--json", wheel]
    runpy.run_module("auditwheel", run_name="__main__", alter_sys=True)
