"""`truewheel matrix`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options


@click.command("matrix", short_help=VERBS["matrix"])
@account_options
def command(output: Output) -> None:
    """List what this machine can build and prove, by engine and profile, with the reason where it cannot.

    A wheel is proven by running it on this CPU or on an emulated one. A wheel that neither can run can still be built.

    \b
    Examples:
      truewheel matrix
      truewheel matrix --json
    """
    from truewheel.child.emulation import emulated_here
    from truewheel.console import Console
    from truewheel.cpu.host import detect_host
    from truewheel.machine.matrix import make_matrix
    from truewheel.pages.machine import describe_matrix

    console = Console()
    matrix = make_matrix(detect_host(), emulated_here(), console.say)
    output.show(console, matrix, lambda: describe_matrix(matrix))
