"""`truewheel list`."""

from __future__ import annotations

from pathlib import Path

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json, wheelhouse_option


@click.command("list", short_help=VERBS["list"])
@wheelhouse_option
@json_option
def command(wheelhouse: Path | None, as_json: bool) -> None:
    """List the wheels of the wheelhouse, proven and rejected: verdict, size, level, time.

    \b
    Examples:
      truewheel list
      truewheel list --json
    """
    from truewheel.config.locations import wheelhouse_root
    from truewheel.console import Console
    from truewheel.store.wheelhouse import Wheelhouse

    console = Console()
    house = Wheelhouse(wheelhouse or wheelhouse_root())
    stored = house.outlines()
    if as_json:
        rows = [
            {
                "path": str(path),
                "verdict": report.verdict,
                "size": report.size,
                "level": report.level,
                "created": report.created,
                "digest": report.digest,
                "findings": [finding.code for finding in report.findings],
            }
            for path, report in stored
        ]
        print_json(console, rows)
        return
    if not stored:
        console.say(f"the wheelhouse {house.root} is empty; `truewheel build` makes a wheel")
    for path, report in stored:
        console.data(
            f"{report.verdict:<8} {report.size / (1 << 20):5.2f} MiB  {report.level:<10} {report.created}  {path.name}"
        )
