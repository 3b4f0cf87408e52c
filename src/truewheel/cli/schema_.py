"""`truewheel schema`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json


@click.command("schema", short_help=VERBS["schema"])
@click.argument("what", default="recipe", type=click.Choice(["recipe", "preset", "report", "policy"]), metavar="[WHAT]")
@json_option
def command(what: str, as_json: bool) -> None:  # noqa: ARG001 - the schema is JSON with and without the option
    """Print a JSON Schema: of `recipe` (recipe.toml and profiles; the default), `preset`, `report` or `policy`.

    Editors use it to complete and check TOML files. `report` is the output of `check --json` and `smoke --json`, and
    the file beside each wheel of the wheelhouse.

    \b
    Examples:
      truewheel schema > truewheel.schema.json
      truewheel schema report
    """
    from truewheel.console import Console

    if what == "recipe":
        from truewheel.config.schema import json_schema

        schema = json_schema()
    elif what == "preset":
        from truewheel.config.schema import preset_schema

        schema = preset_schema()
    elif what == "report":
        from truewheel.report import report_schema

        schema = report_schema()
    else:
        from truewheel.checks.policy import policy_schema

        schema = policy_schema()
    print_json(Console(), schema)
