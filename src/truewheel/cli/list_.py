"""`truewheel list`."""

from __future__ import annotations

from pathlib import Path

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, wheelhouse_option


@click.command("list", short_help=VERBS["list"])
@wheelhouse_option
@account_options
def command(wheelhouse: Path | None, output: Output) -> None:
    """List the wheels of the wheelhouse, proven and rejected: verdict, size, level, time.

    Beside the verdicts of reports there are: damaged (the wheel or its report is not what was stored), lost (the wheel
    is gone), unknown (it has no report) and unsealed (another version of truewheel wrote the report).

    \b
    Examples:
      truewheel list
      truewheel list --json
    """
    from truewheel.config.locations import wheelhouse_root
    from truewheel.console import Console
    from truewheel.pages.listing import Listed, describe_wheelhouse
    from truewheel.store.wheelhouse import Wheelhouse

    console = Console()
    house = Wheelhouse(wheelhouse or wheelhouse_root())
    wheels = [
        Listed(
            path=str(path),
            name=path.name,
            verdict=report.verdict,
            size=report.size,
            level=report.level,
            created=report.created,
            digest=report.digest,
            findings=tuple(finding.code for finding in report.findings),
        )
        for path, report in house.outlines()
    ]
    if wheels or output.as_json:
        output.show(console, wheels, lambda: describe_wheelhouse(wheels))
    else:
        console.say(f"the wheelhouse {house.root} is empty; `truewheel build` makes a wheel")
