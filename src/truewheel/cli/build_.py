"""`truewheel build`."""

from __future__ import annotations

from pathlib import Path

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


@click.command("build", short_help=VERBS["build"])
@order_arguments
@toolchain_option
@click.option("--jobs", type=click.IntRange(min=1), help="Compilers at once [default: the cores that may be used].")
@click.option("--no-cache", is_flag=True, help="Build anew, without the compile cache and whatever is stored.")
@click.option("--keep-work", is_flag=True, help="Leave the work folder where it is and say where.")
@model_option
@wheelhouse_option
@json_option
def command(
    engine: str,
    profile: str,
    toolchain: str | None,
    jobs: int | None,
    no_cache: bool,
    keep_work: bool,
    model: str,
    wheelhouse: Path | None,
    as_json: bool,
) -> None:
    """Build ENGINE as PROFILE says, prove the wheel, and store it in the wheelhouse.

    ENGINE is a recipe's name or a recipe.toml; PROFILE is a profile's name or a TOML file. Without
    arguments: llama-cpp-python for exactly this machine. A second identical build finds the first one.

    \b
    Examples:
      truewheel build
      truewheel build llama-cpp-python native --toolchain zig
      truewheel build --model smollm2 --json
    """
    from truewheel.account.terminal import to_lines
    from truewheel.config.locations import wheelhouse_root
    from truewheel.console import Console
    from truewheel.pipeline import Order, build
    from truewheel.process import quote
    from truewheel.report import to_dict
    from truewheel.wheelhouse.store import Wheelhouse

    console = Console()
    order = Order(engine, profile, toolchain or "", jobs or 0, not no_cache, keep_work, model)
    outcome = build(order, Wheelhouse(wheelhouse or wheelhouse_root()), console)
    path, report = outcome.stored
    if as_json:
        print_json(console, {"path": str(path), "fresh": outcome.fresh, "report": to_dict(report)})
        return
    for line in to_lines(report):
        console.say(line)
    if not outcome.fresh:
        console.say("  it was built before; nothing was to be done")
    console.say()
    console.say(f"install it with: {quote(['python3', '-m', 'pip', 'install', str(path)])}")
    console.data(str(path))
