"""Did the wheel answer, in a locked-down process of its own?"""

from __future__ import annotations

from collections.abc import Iterator

from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts

CODES = {
    "SMOKE-FAILED": "A step of the smoke test raised an exception, gave a wrong answer, or the child left without one.",
    "SMOKE-ILLEGAL": "The process died of an illegal instruction: the wheel ran code that this CPU, or this "
    "operating system, refuses. Either it was built for another CPU, or its compiler made wrong code.",
    "SMOKE-SEGFAULT": "The process died of a segmentation fault.",
    "SMOKE-ABORT": "The engine aborted the process instead of raising an exception.",
    "SMOKE-MEMORY": "The process was killed, or gave up, for want of memory; or it filled its "
    "folder, or started too many threads.",
    "SMOKE-TIMEOUT": "The process did not finish in its time.",
    "SMOKE-ESCAPE": "The process tried to start another process, to open a socket or to reach for another process. "
    "An in-process engine does nothing of the kind.",
    "SMOKE-DIED": "The process died by another signal.",
    "SMOKE-UNLOCKED": "This system does not let a process lock itself down: without seccomp the promise that the "
    "engine starts no process and opens no socket cannot be shown, and without Landlock a stranger's wheel could read "
    "and change your files. It was not run.",
    "SMOKE-INSTALL": "pip refuses to install the wheel here: its tags or its dependencies do not fit this Python and "
    "this machine.",
    "SMOKE-NOT-RUN": "The wheel was not run.",
    "SMOKE-ABSENT": "The engine has no call for a step, as its adapter says: nothing was shown of it, and the step "
    "has not passed.",
    "SMOKE-UNPROVEN": "This CPU cannot run the wheel, which is for a better one, so that it was not run: nothing "
    "speaks against it, and nothing was shown.",
}
"""What each code means."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yield how the smoke test ended when it did not pass, and the steps that the engine has no way to do."""
    record = facts.smoke
    if record is None:
        if facts.plan is not None:
            yield Finding(
                code="SMOKE-NOT-RUN",
                where=facts.wheel.path.name,
                message="a wheel that was never run is not proven",
            )
    elif record.code:
        yield Finding(
            code=record.code,
            where=f"model {record.model}",
            message=record.ending,
            hint=_HINTS.get(record.code, "the last lines that it printed are in the report"),
        )
    else:
        for step in record.steps:
            if step.state == "absent":
                message = f"no {step.name}: {step.reason}"
                yield Finding(code="SMOKE-ABSENT", where=f"model {record.model}", message=message)


_HINTS = {
    "SMOKE-ILLEGAL": "build the wheel for this machine with `truewheel build`",
    "SMOKE-MEMORY": "free memory, or try `--model tiny`",
    "SMOKE-ESCAPE": "the traceback in the report names the place",
    "SMOKE-UNPROVEN": "run `truewheel smoke` on it where the CPU has that, or `truewheel check --emulate` here",
    "SMOKE-UNLOCKED": "run it on Linux from 5.13 on with seccomp and Landlock, or insist with `--unconfined`",
}
