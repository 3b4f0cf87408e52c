"""JSON that carries its own hash."""

import json

import msgspec
import pytest

from truewheel.kept.sealed import is_sealed_json, seal_json

TEXT = msgspec.json.format(msgspec.json.encode({"verdict": "passed", "seal": "mine", "list": [1, 2]}), indent=1) + b"\n"


def test_a_sealed_text_is_json_with_a_key_more():
    sealed = seal_json(TEXT)
    assert json.loads(sealed).keys() == {"verdict", "seal", "list"}
    assert is_sealed_json(sealed)
    assert not is_sealed_json(TEXT)
    assert not is_sealed_json(b"")


@pytest.mark.parametrize("bit", [1, 0x20, 0x80])
def test_no_byte_of_it_can_be_changed(bit):
    sealed = seal_json(TEXT)
    for at in range(len(sealed)):
        data = bytearray(sealed)
        data[at] ^= bit
        assert not is_sealed_json(bytes(data)), at
    assert not any(is_sealed_json(sealed[:at]) for at in range(len(sealed)))
    assert not is_sealed_json(sealed + b"\n")
    assert not is_sealed_json(b" " + sealed)
