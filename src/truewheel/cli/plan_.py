"""`truewheel plan`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, order_arguments, print_json, toolchain_option


@click.command("plan", short_help=VERBS["plan"])
@order_arguments
@toolchain_option
@json_option
def command(engine: str, profile: str, toolchain: str | None, as_json: bool) -> None:
    """Show every define, flag, environment variable and version of a build, and its digest.

    Nothing is built. If zig is the compiler to use, it is fetched, because the plan contains what the compiler
    detects of this CPU.

    \b
    Examples:
      truewheel plan
      truewheel plan llama-cpp-python native --json
    """
    from truewheel.console import Console
    from truewheel.corridor.prepare import Order, prepare
    from truewheel.machine.extras import require

    require("build", "plan")
    console = Console()
    ready = prepare(Order(engine, profile, toolchain or ""), console)
    if as_json:
        print_json(console, ready.plan.to_dict())
        return
    for tried in ready.passed_over:
        console.say(f"passed over {tried.kind} {tried.version}: {tried.refusal}")
    console.data(*_lines(ready.plan.to_dict()))


def _lines(table: dict[str, object], indent: str = "") -> list[str]:
    lines = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
            for item in value:
                lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        elif isinstance(value, list | tuple):
            lines.append(f"{indent}{key}: {' '.join(str(item) for item in value)}".rstrip())
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
