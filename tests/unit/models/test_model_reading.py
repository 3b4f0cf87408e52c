"""A model's header is read by a child, and what the child says is all that there is."""

import os
import struct

import pytest

from truewheel.errors import LoadError
from truewheel.models import reading
from truewheel.models.gguf_header import read_gguf_contents
from truewheel.models.reading import read_model
from truewheel.models.tiny import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path)
    return path


def test_the_child_says_what_the_reader_says(tiny):
    assert read_model(tiny) == read_gguf_contents(tiny)


def test_a_damaged_model_is_told_by_its_path(tmp_path):
    path = tmp_path / os.fsdecode(b"mod\xffel.gguf")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 9, 0, 0) + bytes(64))
    with pytest.raises(LoadError) as caught:
        read_model(path)
    assert caught.value.message == f"{path} is a damaged GGUF: version 9 is not known"
    assert caught.value.hint == "download it again"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", tmp_path / "a\0b"):
        with pytest.raises(LoadError, match="cannot read the model"):
            read_model(path)


def test_a_child_that_dies_is_told(tiny, monkeypatch):
    monkeypatch.setattr(reading, "_ANSWER", 10)
    with pytest.raises(LoadError, match="died"):
        read_model(tiny)


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b'{"contents": {}}', b"[" * 100_000])
def test_an_answer_that_is_none_is_not_believed(tiny, said):
    with pytest.raises(LoadError, match="died"):
        reading._take(tiny, said)
