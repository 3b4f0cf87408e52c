"""The JSON Schemas of recipe and profile, and of a preset, made from the tables."""

from __future__ import annotations

from typing import Any

import msgspec

from truewheel.config.presets import Preset
from truewheel.config.tables import Profile, Recipe

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return one JSON Schema document with a definition for `Recipe` and for `Profile`."""
    _, components = msgspec.json.schema_components((Recipe, Profile), ref_template="#/$defs/{name}")
    return {
        "$schema": SCHEMA_DIALECT,
        "title": "truewheel recipe and profile",
        "oneOf": [{"$ref": "#/$defs/Recipe"}, {"$ref": "#/$defs/Profile"}],
        "$defs": components,
    }


def preset_schema() -> dict[str, Any]:
    """Return the JSON Schema of a preset."""
    return {"$schema": SCHEMA_DIALECT, "title": "truewheel preset", **msgspec.json.schema(Preset)}
