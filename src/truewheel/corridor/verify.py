"""Check any wheel: examine it, run every check, and give an account."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from truewheel.checks import smoke as smoke_check
from truewheel.checks.archive import findings_of
from truewheel.checks.policy import Policy, default_policy
from truewheel.checks.run import rate, run_checks
from truewheel.console import Console
from truewheel.errors import CheckError, PlanError
from truewheel.examine import runs
from truewheel.examine.examine import WheelRun, examine
from truewheel.models.models import find_model
from truewheel.report import Report, make_report, report_of_malformed
from truewheel.stages import stage
from truewheel.wheel.archive import MalformedWheelError


def check_wheel(
    path: str | Path,
    *,
    policy: Policy | None = None,
    run: bool = False,
    cache: bool = True,
    emulate: bool = False,
    model: str = "tiny",
    console: Console | None = None,
) -> Report:
    """Check a wheel, anybody's, and return the account.

    A wheel that passes, `report.passed`, is not thereby harmless: nobody judges what its code does.

    Args:
        path: the wheel.
        policy: which codes refuse it; None for the default.
        run: also install it into a fresh environment, load its libraries in a locked-down child, and compare
            what they say of themselves.
        cache: take what is known of a file with the same name and hash.
        emulate: also run inference from it on other CPUs, which are emulated: those that it promises to run on, and
            the best that it does not.
        model: what it loads there.
        console: is told how each of these runs ended; None for nobody.

    Raises:
        PlanError: this is not Linux.
        LoadError: no driver can run it on other CPUs, or the model is no sound GGUF.
        FetchError: a dependency or the model cannot be had.
        CheckError: it cannot be opened, or is no regular file; or there is no emulator.
    """
    if not sys.platform.startswith("linux"):
        raise PlanError(
            f"wheels are checked on Linux, and this is {sys.platform}", hint="check it in a Linux container"
        )
    path = Path(path)
    policy = policy or default_policy()
    wanted: list[WheelRun] = [runs.load_libraries] if run else []
    if emulate:
        wanted.append(partial(runs.emulate, model=find_model(model), console=console or Console(quiet=True)))
    try:
        facts = examine(path, wanted, cache=cache, unsound=True)
    except MalformedWheelError as error:
        return report_of_malformed(path, rate(findings_of(error.faults, path.name), policy, own=False))
    return make_report(facts, run_checks(facts, policy), {})


def smoke_wheel(path: Path, model: str, console: Console) -> Report:
    """Run the smoke test on any wheel and report what it showed.

    Raises:
        LoadError: no driver knows it, or the model is no sound GGUF.
        CheckError: it cannot be installed here.
        FetchError: a dependency or the model cannot be had.
    """
    seconds: dict[str, float] = {}
    with stage(console, seconds, CheckError, "check", f"{path.name} on {model}"):
        facts = examine(path, [partial(runs.smoke, model=find_model(model), console=console)])
    return make_report(facts, rate(smoke_check.check(facts), default_policy(), own=False), seconds)
