"""The synthetic model of the smoke test."""

import hashlib

import pytest

from truewheel.errors import LoadError
from truewheel.models.gguf_header import read_gguf_header
from truewheel.models.tiny import byte_symbols, write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_model(path)
    return path


def test_it_is_the_same_on_every_run(tiny, tmp_path):
    write_tiny_model(tmp_path / "again.gguf")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tiny, tmp_path / "again.gguf")}
    assert len(digests) == 1


def test_its_header_can_be_read(tiny):
    header = read_gguf_header(tiny)
    assert (header.architecture, header.name) == ("llama", "truewheel tiny")
    assert header.tensors == 3 + 3 * 9
    assert header.size < 8 << 20


def test_nothing_is_left_beside(tiny):
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny.gguf"]


def test_a_failure_leaves_nothing(tmp_path):
    (tmp_path / "tiny.gguf").mkdir()
    with pytest.raises(OSError, match=r"tiny\.gguf"):
        write_tiny_model(tmp_path / "tiny.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def test_it_is_refused_when_it_is_cut_off(tiny, tmp_path):
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(0, 4096, 211), len(whole) // 2, len(whole) - 33, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(LoadError):
            read_gguf_header(path)


def test_every_byte_has_a_symbol_of_its_own():
    symbols = byte_symbols()
    assert len(symbols) == 256
    assert len(set(symbols)) == 256
    assert all(len(symbol) == 1 and symbol.isprintable() and not symbol.isspace() for symbol in symbols)
    assert "".join(symbols[ord("a") : ord("z") + 1]) == "abcdefghijklmnopqrstuvwxyz"
    assert (symbols[ord(" ")], symbols[ord("\n")]) == ("Ġ", "Ċ")


def test_the_tokens_fill_the_vocabulary(tiny):
    import gguf

    reader = gguf.GGUFReader(tiny)
    tokens = reader.fields["tokenizer.ggml.tokens"]
    words = [bytes(tokens.parts[index]).decode() for index in tokens.data]
    assert len(words) == len(set(words)) == 320
    assert words[:256] == byte_symbols()
    assert reader.fields["llama.vocab_size"].contents() == 320
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F32", "F16", "Q8_0", "Q4_0"}
