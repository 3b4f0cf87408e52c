"""`truewheel explain`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import Output, account_options


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from truewheel.checks.run import CODES

    return [code for code in CODES if code.startswith(incomplete.upper())]


@click.command("explain", short_help=VERBS["explain"])
@click.argument("code", default="", shell_complete=_complete)
@account_options
def command(code: str, output: Output) -> None:
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
    from truewheel.pages.listing import describe_codes

    console = Console()
    name = code.upper()
    if name and name not in CODES:
        near = difflib.get_close_matches(name, CODES, n=1)
        raise LoadError(
            f"there is no code {code!r}",
            hint=f"did you mean {near[0]}?" if near else "`truewheel explain` lists the codes",
        )
    found = [explain(each) for each in ([name] if name else CODES)]
    output.show(console, found[0] if name else found, lambda: describe_codes(found))
