"""`truewheel check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options, model_option, unconfined_option

if TYPE_CHECKING:
    from truewheel.report import Report


@click.command("check", short_help=VERBS["check"])
@click.argument("wheels", nargs=-1, required=True, metavar="WHEEL...", type=click.Path(path_type=Path))
@click.option("--run", is_flag=True, help="Also load its libraries, locked down, and compare what they report.")
@click.option(
    "--emulate",
    is_flag=True,
    help="Also run inference, locked down, on emulated CPUs: the supported ones, and the best of the others.",
)
@model_option
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    help='TOML file with severities of codes: schema = 1, [severity], HARD-PATH = "info".',
)
@click.option("--verbose", "-v", is_flag=True, help="Also show findings for information.")
@click.option("--no-cache", is_flag=True, help="Read the wheel again, ignoring cached facts.")
@unconfined_option
@account_options
def command(
    wheels: tuple[Path, ...],
    run: bool,
    emulate: bool,
    model: str,
    policy_file: Path | None,
    verbose: bool,
    no_cache: bool,
    output: Output,
) -> int:
    """Report what any WHEEL claims, what it needs, whether it is sound, and what to do.

    The archive, the code and the links are read in a locked-down process; no code of the wheel is run without --run
    or --emulate. Several wheels give a table. The exit code is 7 if a wheel is refused.

    \b
    Examples:
      truewheel check somebody_elses.whl
      truewheel check dist/*.whl --policy ci/wheel-policy.toml
      truewheel check wheelhouse/*.whl --html report.html
      truewheel check wheelhouse/*.whl --emulate
    """
    from truewheel.checks.policy import load_policy
    from truewheel.checks.run import CODES
    from truewheel.console import Console
    from truewheel.corridor.verify import check_wheel
    from truewheel.errors import CheckError
    from truewheel.pages.document import Document
    from truewheel.pages.terminal import to_lines
    from truewheel.pages.wheel import describe_wheel, describe_wheels, summarize_wheels

    if model != "tiny" and not emulate:
        raise click.UsageError("--model is for runs on other CPUs; give --emulate too")
    _require(run=run, emulate=emulate)
    console = Console()
    policy = load_policy(policy_file, frozenset(CODES)) if policy_file else None
    reports: list[Report] = []
    failed: list[tuple[Path, CheckError]] = []
    for wheel in wheels:
        try:
            with console.stage("check", wheel.name):
                report = check_wheel(
                    wheel, policy=policy, run=run, cache=not no_cache, emulate=emulate, model=model, console=console
                )
                reports.append(report)
        except CheckError as error:
            if len(wheels) == 1:
                raise
            # The others are still looked at; what could not be read is told with them.
            failed.append((wheel, error))
            console.warn(error.message)
    data = reports[0] if len(wheels) == 1 else reports
    output.write(console, data, lambda: describe_wheels(reports))
    if not output.on_stdout:
        one = describe_wheel(reports[0], "verbose" if verbose else "brief") if len(wheels) == 1 else None
        console.data(*to_lines(one or Document("", (summarize_wheels(reports),)), paint=console.paint))
    return 0 if not failed and all(report.sound for report in reports) else CheckError.exit_code


def _require(*, run: bool, emulate: bool) -> None:
    """Look for what runs need before the first wheel is read, which takes a while."""
    from truewheel.child.emulation import find_emulator
    from truewheel.machine.extras import INFERENCE, require

    if run or emulate:
        require("bench", "check --emulate" if emulate else "check --run", INFERENCE)
    if emulate:
        find_emulator()
