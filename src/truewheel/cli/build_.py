"""`truewheel build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truewheel.cli import VERBS
from truewheel.cli.common import (
    Output,
    account_options,
    model_option,
    order_arguments,
    toolchain_option,
    unconfined_option,
    wheelhouse_option,
)

if TYPE_CHECKING:
    from truewheel.console import Console
    from truewheel.corridor.prepare import Order
    from truewheel.store.wheelhouse import Wheelhouse


@click.command("build", short_help=VERBS["build"])
@order_arguments
@toolchain_option
@click.option("--all", "every", is_flag=True, help="Build every profile, then compare their answers.")
@click.option("--emulate", is_flag=True, help="Also run the wheel on emulated CPUs, like `truewheel check --emulate`.")
@click.option("--jobs", type=click.IntRange(min=1), help="Number of parallel compilers [default: the usable cores].")
@click.option("--no-cache", is_flag=True, help="Build again, without the compile cache and stored wheels.")
@click.option("--keep-work", is_flag=True, help="Keep the work folder and print its path.")
@model_option
@wheelhouse_option
@unconfined_option
@account_options
def command(
    engine: str,
    profile: str,
    toolchain: str | None,
    every: bool,
    emulate: bool,
    jobs: int | None,
    no_cache: bool,
    keep_work: bool,
    model: str,
    wheelhouse: Path | None,
    output: Output,
) -> int:
    """Build ENGINE for PROFILE, prove the wheel, and store it in the wheelhouse.

    ENGINE is the name of a recipe or the path of a recipe.toml; PROFILE is the name of a profile or the path of a
    TOML file. The defaults build llama-cpp-python for exactly this machine. An identical build is found in the
    wheelhouse and not repeated.

    \b
    Examples:
      truewheel build
      truewheel build llama-cpp-python native --toolchain zig
      truewheel build --model smollm2 --json
      truewheel build llama-cpp-python --all
    """
    from truewheel.config.locations import wheelhouse_root
    from truewheel.console import Console
    from truewheel.corridor.pipeline import build
    from truewheel.corridor.prepare import Order
    from truewheel.machine.extras import require
    from truewheel.pages.built import Built
    from truewheel.pages.terminal import to_lines
    from truewheel.pages.wheel import describe_wheel
    from truewheel.process import quote
    from truewheel.store.wheelhouse import Wheelhouse

    require("build", "build")
    console = Console()
    order = Order(engine, profile, toolchain or "", jobs or 0, not no_cache, keep_work, model, emulate)
    house = Wheelhouse(wheelhouse or wheelhouse_root())
    if every:
        context = click.get_current_context()
        if context.get_parameter_source("profile") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--all builds every profile; leave out {profile!r}")
        return _build_every(order, house, console, output)
    outcome = build(order, house, console)
    path, report = outcome.stored
    built = Built(path=str(path), fresh=outcome.fresh, report=report)
    output.write(console, built, lambda: describe_wheel(report))
    if output.on_stdout:
        return 0
    console.say(*to_lines(describe_wheel(report, "brief"), paint=console.style))
    if not outcome.fresh:
        console.say("  it was built before; nothing was to be done")
    console.say()
    console.say(f"install it with: {quote(['python3', '-m', 'pip', 'install', str(path)])}")
    console.data(str(path))
    return 0


def _build_every(order: Order, house: Wheelhouse, console: Console, output: Output) -> int:
    from truewheel.corridor.series import build_all, compare_results
    from truewheel.errors import CheckError
    from truewheel.pages.built import BuiltProfile, BuiltSeries, describe_series
    from truewheel.pages.terminal import to_lines

    results = build_all(order, house, console)
    wheels = []
    for result in results:
        if result.outcome is not None:
            (path, report), fresh = result.outcome.stored, result.outcome.fresh
            wheels.append(BuiltProfile(profile=result.profile, path=str(path), fresh=fresh, report=report))
            if not output.on_stdout:
                console.data(str(path))
        else:
            assert result.error is not None
            error = result.error
            wheels.append(BuiltProfile(profile=result.profile, error=error.message, exit_code=error.exit_code))
    comparison = compare_results(order, results, console)
    series = BuiltSeries(wheels=tuple(wheels), comparison=comparison)
    output.write(console, series, lambda: describe_series(series))
    console.say(*to_lines(describe_series(series, brief=True), paint=console.style))
    failed = [result.error for result in results if result.error is not None]
    if failed:
        return failed[0].exit_code
    return 0 if comparison is None or comparison.passed else CheckError.exit_code
