"""`truewheel schema`."""

from __future__ import annotations

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json


@click.command("schema", short_help=VERBS["schema"])
@json_option
def command(as_json: bool) -> None:  # noqa: ARG001 - the schema is JSON with and without the option
    """Print the JSON Schema of recipe.toml and of profiles; editors complete and check by it.

    \b
    Example:
      truewheel schema > truewheel.schema.json
    """
    from truewheel.config.schema import json_schema
    from truewheel.console import Console

    print_json(Console(), json_schema())
