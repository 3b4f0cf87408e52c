"""Check any wheel: read it in locked-down children, run every check, and give an account."""

from __future__ import annotations

import sys
from pathlib import Path

from truewheel.checks.archive import findings_of
from truewheel.checks.emulation import target_of
from truewheel.checks.finding import Facts
from truewheel.checks.isa_rules import needles
from truewheel.checks.policy import Policy, default_policy
from truewheel.checks.run import gather, rate, run_checks
from truewheel.child.emulated_cpus import plan_runs
from truewheel.child.emulated_run import EmulatedRun
from truewheel.child.emulation import run_emulated
from truewheel.child.registry import EngineEntry, engine_for
from truewheel.child.system_info import SYSTEM_INFO, SystemInfo, ask_libraries
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import PlanError
from truewheel.examine.run import inspect_wheel
from truewheel.models.models import find_model
from truewheel.report import Report, make_report, report_of_malformed
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
    """Check a wheel, anybody's, and return the account; `report.passed` says whether it may be trusted.

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
    try:
        read = inspect_wheel(path, needles=needles(), cache=cache)
    except MalformedWheelError as error:
        return report_of_malformed(path, rate(findings_of(error.faults, path.name), policy, own=False))
    told: tuple[SystemInfo, ...] = ()
    if run:
        able = [name for name, facts in read.libraries.items() if facts.elf and SYSTEM_INFO in facts.elf.defined]
        told = ask_libraries(read.wheel, able)
    facts = gather(read, told=told)
    if emulate:
        facts = _with_runs(facts, model, console or Console(quiet=True))
    return make_report(facts, run_checks(facts, policy), {})


def _with_runs(facts: Facts, model: str, console: Console) -> Facts:
    return facts._replace(emulation=emulate_wheel(facts, model, console))


def emulate_wheel(
    facts: Facts, model: str, console: Console, engine: EngineEntry | None = None
) -> tuple[EmulatedRun, ...]:
    """Run a wheel on emulated CPUs, and on this one to compare.

    Args:
        facts: what is known of it.
        model: name or path of what it loads.
        console: is told how each run ended.
        engine: how it is driven; None for as the recipe of its project says.

    Raises:
        LoadError: no driver can run it, or the model is no sound GGUF.
        FetchError: a dependency or the model cannot be had.
        CheckError: there is no emulator.
    """
    host, target = detect_host(), target_of(facts)
    engine = engine or engine_for(facts.wheel.name.project)
    orders = plan_runs(target, frozenset(host.features))
    return run_emulated(facts.wheel, find_model(model), engine, target, orders, host=host, console=console)
