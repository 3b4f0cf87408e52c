"""Check any wheel: read it in locked-down children, run every check, and give an account."""

from __future__ import annotations

import sys
from pathlib import Path

from truewheel.checks.archive import findings_of
from truewheel.checks.isa_rules import needles
from truewheel.checks.policy import Policy, default_policy
from truewheel.checks.run import gather, rate, run_checks
from truewheel.errors import PlanError
from truewheel.inference.system_info import SYSTEM_INFO, SystemInfo, ask_libraries
from truewheel.inspection.run import inspect_wheel
from truewheel.report import Report, make_report, report_of_malformed
from truewheel.wheel.archive import MalformedWheelError


def check_wheel(
    path: str | Path,
    *,
    policy: Policy | None = None,
    run: bool = False,
    cache: bool = True,
) -> Report:
    """Check a wheel, anybody's, and return the account; `report.passed` says whether it may be trusted.

    Args:
        path: the wheel.
        policy: which codes refuse it; None for the default.
        run: also install it into a fresh environment, load its libraries in a locked-down child, and compare
            what they say of themselves.
        cache: take what is known of a file with the same name and hash.

    Raises:
        PlanError: this is not Linux.
        CheckError: it cannot be opened, or is no regular file.
    """
    if not sys.platform.startswith("linux"):
        raise PlanError(
            f"wheels are checked on Linux, and this is {sys.platform}", hint="check it in a Linux container"
        )
    path = Path(path)
    policy = policy or default_policy()
    try:
        read = inspect_wheel(path, needles=needles(), cache=cache)
    except MalformedWheelError as error:
        return report_of_malformed(path, rate(findings_of(error.faults, path.name), policy, own=False))
    told: tuple[SystemInfo, ...] = ()
    if run:
        able = [name for name, facts in read.libraries.items() if facts.elf and SYSTEM_INFO in facts.elf.defined]
        told = ask_libraries(read.wheel, able)
    facts = gather(read, told=told)
    return make_report(facts, run_checks(facts, policy), {})
