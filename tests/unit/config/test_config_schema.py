"""The JSON Schema of recipe and profile."""

import json
import re

import pytest

from truewheel.checks.policy import policy_schema
from truewheel.config.schema import json_schema
from truewheel.report import report_schema

DEFINITIONS = json_schema()["$defs"]
OBJECTS = sorted(name for name, definition in DEFINITIONS.items() if "properties" in definition)


def test_it_is_json_with_both_definitions():
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"].endswith("2020-12/schema")
    assert {"Recipe", "Profile"} <= set(schema["$defs"])
    assert schema["oneOf"] == [{"$ref": "#/$defs/Recipe"}, {"$ref": "#/$defs/Profile"}]


@pytest.mark.parametrize("name", OBJECTS)
def test_unknown_keys_are_not_allowed(name):
    assert DEFINITIONS[name]["additionalProperties"] is False


@pytest.mark.parametrize("name", OBJECTS)
def test_keys_are_words_joined_by_hyphens(name):
    assert DEFINITIONS[name]["properties"]
    for key in DEFINITIONS[name]["properties"]:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)


def test_required_keys_are_keys():
    for definition in DEFINITIONS.values():
        assert set(definition.get("required", ())) <= set(definition.get("properties", ()))


def test_every_reference_leads_somewhere():
    references = re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(json_schema()))
    assert set(references) <= set(DEFINITIONS)


def test_what_decides_a_profile_is_enumerated():
    profile = DEFINITIONS["Profile"]
    assert set(profile["required"]) == {"schema", "label", "level", "toolchain"}
    assert "x86-64-v3" in profile["properties"]["level"]["enum"]
    compilers = profile["properties"]["toolchain"]["items"]["pattern"]
    assert all(re.search(compilers, name) for name in ("clang", "gcc", "zig", "clang>=19"))
    assert not any(re.search(compilers, name) for name in ("icc", "clang>19", "zig>="))


def test_what_makes_a_profile_portable_is_described():
    properties = DEFINITIONS["Profile"]["properties"]
    assert properties["features"]["items"] == {"type": "string"}
    assert (properties["dispatch"]["type"], properties["dispatch"]["default"]) == ("boolean", False)
    assert re.fullmatch(properties["glibc"]["pattern"], "2.17")
    assert not re.fullmatch(properties["glibc"]["pattern"], "2.17.1")


def test_backends_and_their_variants_are_described():
    assert set(DEFINITIONS["Backends"]["required"]) == {"loader", "library", "target"}
    assert set(DEFINITIONS["Variant"]["required"]) == {"name", "features"}
    assert DEFINITIONS["Backends"]["properties"]["variant"]["items"] == {"$ref": "#/$defs/Variant"}


def test_each_kind_of_source_is_told_by_its_type():
    mapping = DEFINITIONS["Recipe"]["properties"]["source"]["discriminator"]
    assert mapping["propertyName"] == "type"
    assert set(mapping["mapping"]) == {"package", "path"}


def test_reports_and_policies_have_a_schema_too():
    assert {"Report", "Finding", "IsaAccount"} <= set(report_schema()["$defs"])
    assert "Policy" in policy_schema()["$defs"]
