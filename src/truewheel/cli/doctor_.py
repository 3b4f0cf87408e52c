"""`truewheel doctor`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options


@click.command("doctor", short_help=VERBS["doctor"])
@account_options
def command(output: Output) -> None:
    """Show this CPU, its compilers and tools, and what can be built here, with the reason where it cannot.

    Each compiler is tested: it compiles three small programs for exactly this CPU, and they are run.
    Nothing is fetched.

    \b
    Example:
      truewheel doctor --json
    """
    from truewheel.child.account import find_confinement
    from truewheel.child.emulation import emulated_here
    from truewheel.console import Console
    from truewheel.machine.doctor import diagnose
    from truewheel.pages.machine import describe_machine

    console = Console()
    found = diagnose(emulated_here(), console.say, find_confinement().words())
    output.show(console, found, lambda: describe_machine(found))
