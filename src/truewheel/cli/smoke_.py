"""`truewheel smoke`."""

from __future__ import annotations

from pathlib import Path

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, model_option, unconfined_option


@click.command("smoke", short_help=VERBS["smoke"])
@click.argument("wheel", type=click.Path(path_type=Path))
@model_option
@unconfined_option
@account_options
def command(wheel: Path, model: str, output: Output) -> int:
    """Install WHEEL into a fresh environment and run inference from it in a locked-down process.

    The wheel may come from anywhere. The process has no network, cannot start others, and is limited in time,
    memory and file size. The exit code is 7 if the wheel does not answer correctly.

    \b
    Examples:
      truewheel smoke wheelhouse/llama_cpp_python-*.whl
      truewheel smoke somebody_elses.whl --model smollm2
    """
    from truewheel.console import Console
    from truewheel.corridor.verify import smoke_wheel
    from truewheel.errors import CheckError
    from truewheel.machine.extras import INFERENCE, require
    from truewheel.pages.terminal import to_lines
    from truewheel.pages.wheel import describe_wheel

    require("bench", "smoke", INFERENCE)
    console = Console()
    report = smoke_wheel(wheel, model, console)
    output.write(console, report, lambda: describe_wheel(report))
    if not output.on_stdout:
        console.data(*to_lines(describe_wheel(report, "brief"), paint=console.paint))
    if not report.passed and report.smoke is not None and not output.as_json:
        for line in report.smoke.output.splitlines():
            console.say(f"  | {line}")
    return 0 if report.sound else CheckError.exit_code
