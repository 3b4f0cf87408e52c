"""`truewheel build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truewheel.cli import VERBS
from truewheel.cli.common import (
    json_option,
    model_option,
    order_arguments,
    print_json,
    toolchain_option,
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
@json_option
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
    as_json: bool,
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
    from truewheel.pages.report_terminal import to_lines
    from truewheel.process import quote
    from truewheel.report import to_dict
    from truewheel.store.wheelhouse import Wheelhouse

    require("build", "build")
    console = Console()
    order = Order(engine, profile, toolchain or "", jobs or 0, not no_cache, keep_work, model, emulate)
    house = Wheelhouse(wheelhouse or wheelhouse_root())
    if every:
        context = click.get_current_context()
        if context.get_parameter_source("profile") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--all builds every profile; leave out {profile!r}")
        return _build_every(order, house, console, as_json=as_json)
    outcome = build(order, house, console)
    path, report = outcome.stored
    if as_json:
        print_json(console, {"path": str(path), "fresh": outcome.fresh, "report": to_dict(report)})
        return 0
    for line in to_lines(report):
        console.say(line)
    if not outcome.fresh:
        console.say("  it was built before; nothing was to be done")
    console.say()
    console.say(f"install it with: {quote(['python3', '-m', 'pip', 'install', str(path)])}")
    console.data(str(path))
    return 0


def _build_every(order: Order, house: Wheelhouse, console: Console, *, as_json: bool) -> int:
    from truewheel.cli.compare_ import to_lines
    from truewheel.corridor.series import build_all, compare_results
    from truewheel.errors import CheckError
    from truewheel.report import to_dict

    results = build_all(order, house, console)
    rows = []
    for result in results:
        row: dict[str, Any] = {"profile": result.profile}
        if result.outcome is not None:
            path, report = result.outcome.stored
            row |= {"path": str(path), "fresh": result.outcome.fresh, "report": to_dict(report)}
            if not as_json:
                console.say(f"  {report.verdict:<8} {result.profile:<15} {report.size / (1 << 20):5.2f} MiB")
                console.data(str(path))
        else:
            assert result.error is not None
            row |= {"error": result.error.message, "exit-code": result.error.exit_code}
            console.say(f"  failed   {result.profile:<15} {result.error.message}")
        rows.append(row)
    comparison = compare_results(order, results, console)
    if as_json:
        print_json(console, {"wheels": rows, "comparison": comparison})
    elif comparison is not None:
        console.say("\n".join(to_lines(comparison)))
    failed = [result.error for result in results if result.error is not None]
    if failed:
        return failed[0].exit_code
    return 0 if comparison is None or comparison.passed else CheckError.exit_code
