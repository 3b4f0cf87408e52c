"""What can be run of a wheel when it is examined; each returns the facts with what it showed.

They take how the engine is driven; without it, that is as the recipe says that builds the wheel's project.
"""

from __future__ import annotations

from pathlib import Path

from truewheel.child.confinement import OWN, STRANGERS, UNCONFINED, Required
from truewheel.child.emulated_cpus import plan_runs
from truewheel.child.emulation import run_emulated
from truewheel.child.registry import EngineEntry, engine_for
from truewheel.child.smoke import run_smoke, unproven
from truewheel.child.system_info import SYSTEM_INFO, ask_libraries
from truewheel.console import Console
from truewheel.cpu.host import Host, detect_host
from truewheel.examine.facts import Facts
from truewheel.examine.isa_account import target_of
from truewheel.models.models import Model
from truewheel.plan.plan import Plan


def smoke(
    facts: Facts,
    *,
    model: Model,
    console: Console,
    engine: EngineEntry | None = None,
    log: Path | None = None,
    required: Required = STRANGERS,
) -> Facts:
    """Run the smoke test; a wheel of ours that needs another CPU than this one is unproven instead.

    Raises:
        LoadError: no driver knows the wheel.
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    host, plan = detect_host(), facts.plan
    if plan and (lacks := list_lacking(plan, host)):
        record = unproven(model, f"not provable here: this CPU lacks {', '.join(lacks)}")
        console.say(f"         {record.ending}")
    else:
        record = run_smoke(
            facts.wheel,
            model,
            engine or engine_for(facts.wheel.name.project),
            threads=host.usable_cores,
            console=console,
            required=_required(facts, required),
            log=log,
        )
    return facts._replace(smoke=record)


def list_lacking(plan: Plan, host: Host) -> list[str]:
    """Return the features that a wheel demands and this CPU lacks; Linux does not tell of all that a native one has."""
    return [] if plan.code.native else [name for name in plan.code.features if name not in host.features]


def _required(facts: Facts, required: Required) -> Required:
    """Return what a child of this wheel may not be without: of one that was just built here, as its recipe says."""
    if facts.plan is None:
        return required
    return OWN if facts.plan.expect.in_process else UNCONFINED


def load_libraries(facts: Facts, *, required: Required = STRANGERS) -> Facts:
    """Load the libraries that can tell what they were compiled with, and let them.

    Raises:
        CheckError: the wheel's METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    able = [path for path, elf in facts.libraries.items() if SYSTEM_INFO in elf.defined]
    return facts._replace(told=ask_libraries(facts.wheel, able, _required(facts, required)))


def emulate(
    facts: Facts,
    *,
    model: Model,
    console: Console,
    engine: EngineEntry | None = None,
    required: Required = STRANGERS,
) -> Facts:
    """Run the wheel on emulated CPUs, and on this one to compare.

    Raises:
        LoadError: no driver knows the wheel.
        FetchError: a dependency cannot be had.
        CheckError: there is no emulator, or the wheel's METADATA cannot be followed.
    """
    host, target = detect_host(), target_of(facts)
    engine = engine or engine_for(facts.wheel.name.project)
    orders = plan_runs(target, frozenset(host.features))
    asked = _required(facts, required)
    runs = run_emulated(facts.wheel, model, engine, target, orders, host=host, console=console, required=asked)
    return facts._replace(emulation=runs)
