"""`truewheel matrix`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json


@click.command("matrix", short_help=VERBS["matrix"])
@json_option
def command(as_json: bool) -> None:
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

    console = Console()
    matrix = make_matrix(detect_host(), emulated_here(), console.say)
    if as_json:
        print_json(console, matrix)
        return
    for cell in matrix.cells:
        build = "build" if cell.buildable else "no   "
        prove = "prove" if cell.provable else "-    "
        console.data(f"{build}  {prove}  {cell.engine} {cell.profile}: {cell.build}; {cell.proof}")
    for platform in matrix.platforms:
        if not platform.supported:
            console.say(f"{platform.name}: {platform.reason}")
