"""`truewheel explain`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from truewheel.checks.run import CODES

    return [code for code in CODES if code.startswith(incomplete.upper())]


@click.command("explain", short_help=VERBS["explain"])
@click.argument("code", default="", shell_complete=_complete)
@json_option
def command(code: str, as_json: bool) -> None:
    """Explain what CODE means, its severity, and its check; without CODE, list all codes.

    \b
    Examples:
      truewheel explain ISA-BEYOND
      truewheel explain --json
    """
    import difflib

    from truewheel.checks.run import CODES, explain
    from truewheel.console import Console
    from truewheel.errors import LoadError

    console = Console()
    name = code.upper()
    if name and name not in CODES:
        near = difflib.get_close_matches(name, CODES, n=1)
        raise LoadError(
            f"there is no code {code!r}",
            hint=f"did you mean {near[0]}?" if near else "`truewheel explain` lists the codes",
        )
    found = [explain(each) for each in ([name] if name else CODES)]
    if as_json:
        print_json(console, found[0] if name else found)
    elif name:
        console.data("\n".join(found[0].lines()))
    else:
        console.data("\n".join(f"{each.code:<22} {each.own:<8} {each.foreign:<8} {each.check}" for each in found))
