"""How engines' CMake spells what a profile asks for is data."""

from pathlib import Path

import pytest

import truewheel
from truewheel.config.dialects import dialects, own_names
from truewheel.cpu.features import feature_table

SOURCE = Path(truewheel.__file__).parent


def test_the_dialects_are_two():
    assert {name: dialect.options for name, dialect in dialects().items()} == {"ggml": True, "none": False}
    assert {"GGML_", "LLAMA_"} <= set(own_names())


def test_each_definition_has_one_of_the_names():
    ggml = dialects()["ggml"]
    given = [*ggml.define, *(key for each in ggml.commit.values() for key in each)]
    given += [feature.option for feature in feature_table().values() if feature.option]
    assert not [key for key in given if not key.startswith(ggml.names)]


@pytest.mark.parametrize("room", ["plan", "build", "repair", "checks", "config"])
def test_no_dialect_stands_in_code(room):
    assert not [path for path in (SOURCE / room).rglob("*.py") if "GGML_" in path.read_text(encoding="utf-8")]
