"""`truewheel schema`."""

from __future__ import annotations

import importlib
from typing import Any

import click

from truewheel.cli import VERBS
from truewheel.cli.common import json_option, print_json

_FILES = {
    "recipe": ("truewheel.config.schema", "json_schema"),
    "preset": ("truewheel.config.schema", "preset_schema"),
    "policy": ("truewheel.checks.policy", "policy_schema"),
    "report": ("truewheel.report", "report_schema"),
}
"""Formats of files, each with the function that returns its schema."""

_OUTPUTS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "bench": (("truewheel.measure.result", "Benchmark"),),
    "build": (("truewheel.pages.built", "Built"), ("truewheel.pages.built", "BuiltSeries")),
    "check": (("truewheel.report", "Report"), ("truewheel.report", "Report", list)),
    "compare": (("truewheel.compare.run", "Comparison"),),
    "doctor": (("truewheel.machine.doctor", "Diagnosis"),),
    "explain": (("truewheel.checks.run", "Explanation"), ("truewheel.checks.run", "Explanation", list)),
    "list": (("truewheel.pages.listing", "Listed", list),),
    "matrix": (("truewheel.machine.matrix", "Matrix"),),
    "pick": (("truewheel.pick.candidate", "Picked", list),),
    "plan": (("truewheel.plan.plan", "Plan"),),
    "smoke": (("truewheel.report", "Report"),),
    "tune": (("truewheel.measure.result", "Tuning"),),
}
"""What each verb prints with --json: one type or one of two, a list of them where that is said."""


@click.command("schema", short_help=VERBS["schema"])
@click.argument("what", default="recipe", type=click.Choice([*_FILES, *_OUTPUTS]), metavar="[WHAT]")
@json_option
def command(what: str, as_json: bool) -> None:  # noqa: ARG001 - the schema is JSON with and without the option
    """Print a JSON Schema: of a file, or of what a verb prints with --json.

    Files: `recipe` (recipe.toml and profiles; the default), `preset`, `policy`, and `report`, the file beside each
    wheel of the wheelhouse. Editors use these to complete and check TOML files.

    \b
    Examples:
      truewheel schema > truewheel.schema.json
      truewheel schema report
      truewheel schema bench
    """
    from truewheel.console import Console

    print_json(Console(), find_schema(what))


def find_schema(what: str) -> dict[str, Any]:
    """Return the JSON Schema of a file or of the output of a verb.

    Raises:
        KeyError: there is no such file or verb.
    """
    if what in _FILES:
        module, function = _FILES[what]
        schema: dict[str, Any] = getattr(importlib.import_module(module), function)()
        return schema
    import msgspec

    from truewheel.config.schema import SCHEMA_DIALECT

    types = []
    for module, name, *kinds in _OUTPUTS[what]:
        found = getattr(importlib.import_module(module), name)
        types.append(list[found] if kinds else found)  # type: ignore[valid-type]
    # The one type of our outputs that JSON has not is the path of a file.
    schemas, parts = msgspec.json.schema_components(types, schema_hook=lambda _: {"type": "string"})
    one = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    return {"$schema": SCHEMA_DIALECT, "title": f"truewheel {what}", **one, "$defs": parts}
