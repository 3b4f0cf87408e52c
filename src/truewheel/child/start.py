"""The one place where confined engines are started: interpreter, flags, environment, and what they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel import process
from truewheel.child.excess import find_excess
from truewheel.child.installed import Environment
from truewheel.child.limits import ChildLimits
from truewheel.child.request import Request
from truewheel.scratch import SCRATCH

PYTHON_OPTIONS = ("-I", "-S", "-B", "-X", "faulthandler")
"""Isolated, without site-packages and so without .pth files, without bytecode; a fatal signal shows its traceback."""
MAIN = Path(__file__).resolve().parent / "programs" / "main.py"
INSIDE = "inside"
"""What the main program is told when it is the emulator's guest, see there."""
_MOST_PRINTED = 4 << 20
"""Bytes of what a child prints that are kept."""
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Or its threads alone would need more address space than a child has."""


class Confined(NamedTuple):
    """A place where children can be started.

    Attributes:
        environment: where the engine is installed.
        scratch: the folder to run in, home and place for temporary files.
        limits: what they may use.
        more: folders besides in which they may write.
    """

    environment: Environment
    scratch: Path
    limits: ChildLimits
    more: tuple[Path, ...] = ()

    def command(self, *more: str) -> list[str]:
        """Return what is started; from now on it could not read our memory either."""
        process.hide()
        return [str(self.environment.python), *PYTHON_OPTIONS, str(MAIN), *more]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the whole environment: a few fixed variables, which win over any others."""
        home = str(self.scratch)
        return {**(more or {}), "PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8"}

    def watch(self, pid: int) -> str:
        """Return what a child has too much of; see `excess.py`."""
        return find_excess(pid, (self.scratch, *self.more), self.limits)

    def run(
        self, request: Request, *, variables: Mapping[str, str] | None = None, log: Path | None = None
    ) -> process.Completed:
        """Run a program to its end."""
        return process.run(
            self.command(),
            env=self.variables(variables),
            cwd=self.scratch,
            log=log,
            timeout=self.limits.wall_seconds,
            watch=self.watch,
            stdin=msgspec.json.encode(request),
            most=_MOST_PRINTED,
        )

    def converse(self) -> contextlib.AbstractContextManager[process.Talk]:
        """Start a program that takes a request and then orders; see `process.converse`."""
        return process.converse(self.command(), env=self.variables(), cwd=self.scratch, watch=self.watch)

    def job(self, request: Request, *, variables: Mapping[str, str] | None = None) -> process.Job:
        """Return a program that runs beside others."""
        return process.Job(
            self.command(),
            msgspec.json.encode(request),
            env=self.variables(variables),
            cwd=self.scratch,
            watch=self.watch,
        )


def run_together(places: Sequence[Confined], requests: Sequence[Request]) -> list[process.Completed]:
    """Run programs side by side to their ends, each with one thread of BLAS."""
    jobs = [one.job(request, variables=ONE_BLAS_THREAD) for one, request in zip(places, requests, strict=True)]
    results = process.run_together(jobs, env={}, timeout=places[0].limits.wall_seconds, most=_MOST_PRINTED)
    found = []
    for one, result in zip(places, results, strict=True):
        output = (result.stdout + result.stderr).decode("utf-8", "replace")
        found.append(
            process.Completed("", result.returncode, output, result.timed_out, one.limits.wall_seconds, result.excess)
        )
    return found


@contextlib.contextmanager
def scratch_in(environment: Environment) -> Iterator[Path]:
    """Make a folder for one run, of a name that no run before could know and occupy, and delete it afterwards."""
    with SCRATCH.folder("run", environment.scratch) as folder:
        yield folder
