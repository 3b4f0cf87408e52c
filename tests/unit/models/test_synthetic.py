"""Synthetic models: always the same bytes, sound files, tensors as the rules say."""

import hashlib
import shutil
from types import SimpleNamespace

import gguf
import msgspec
import numpy as np
import pytest

from truewheel.errors import LoadError
from truewheel.models import synthetic
from truewheel.models.gguf_header import read_gguf_contents, read_gguf_header
from truewheel.models.gguf_types import FILE_TYPES, TENSOR_TYPES
from truewheel.models.shapes import Shape, SyntheticName, known_shapes
from truewheel.models.synthetic import file_name, rope_factors, spell, tensor_bytes, write_synthetic
from truewheel.models.tensor_mix import QUANTIZATIONS
from truewheel.models.tiny import byte_symbols

SHAPE = Shape(
    architecture="qwen2",
    layers=8,
    embedding=256,
    feed_forward=512,
    heads=4,
    key_heads=2,
    vocabulary=400,
    context=128,
    rope_base=1e6,
    rms_epsilon=1e-6,
    tied=True,
    biases=True,
)
LLAMA = msgspec.structs.replace(
    SHAPE, architecture="llama", layers=2, embedding=96, tied=False, biases=False, rope_factor=32.0, rope_base=5e5
)

DIGESTS = {
    "q4_0": "534d356c3bdd2c6f",
    "q4_1": "ba0b75b2b4887b30",
    "q4_k_m": "38fdb10e4eed7ab2",
    "q5_k_m": "7509b82843c0ed10",
    "q6_k": "b8c0c525fec12c62",
    "q8_0": "646307f0bc03271b",
    "f16": "104e7540617d09d6",
}
"""Of the tensors' bytes; the header is the gguf library's."""


def write(path, shape=SHAPE, quantization="q4_k_m", shape_name="small"):
    write_synthetic(path, SyntheticName(shape_name, shape, quantization))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kinds(path):
    return {tensor.name: TENSOR_TYPES[tensor.kind].name for tensor in read_gguf_contents(path).tensors}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_it_is_the_same_on_every_run(tmp_path, quantization):
    assert digest(write(tmp_path / "a", quantization=quantization)) == digest(
        write(tmp_path / "b", quantization=quantization)
    )


@pytest.mark.parametrize(("quantization", "digest"), DIGESTS.items())
def test_the_weights_are_those_of_this_revision(tmp_path, quantization, digest):
    # Where this fails, REVISION is to be raised: caches hold models under its number.
    data = write(tmp_path / "a", quantization=quantization).read_bytes()[-tensor_bytes(SHAPE, quantization) :]
    assert (synthetic.REVISION, hashlib.sha256(data).hexdigest()[:16]) == (1, digest)


def test_a_model_in_many_pieces_is_as_large_and_as_sound(tmp_path, monkeypatch):
    size = write(tmp_path / "a.gguf").stat().st_size
    monkeypatch.setattr(synthetic, "_CHUNK", 1000)
    reader = gguf.GGUFReader(write(tmp_path / "b.gguf"))
    assert (tmp_path / "b.gguf").stat().st_size == size
    for tensor in reader.tensors:
        if tensor.name.endswith(("ffn_gate.weight", "ffn_down.weight")):
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert values.std() * tensor.shape[0] ** 0.5 == pytest.approx(1, rel=0.05)


def test_another_shape_or_quantization_has_other_weights(tmp_path):
    first, second = (
        gguf.GGUFReader(write(tmp_path / name, shape_name=name)).tensors[0].data.copy() for name in ("a", "b")
    )
    assert first.shape == second.shape
    assert (first != second).mean() > 0.5


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("shape", [SHAPE, LLAMA], ids=["qwen2", "llama"])
def test_its_header_can_be_read_and_its_size_is_right(tmp_path, shape, quantization):
    path = write(tmp_path / "a.gguf", shape, quantization)
    contents = read_gguf_contents(path)
    assert read_gguf_header(path) == contents.header
    assert contents.header.architecture == shape.architecture
    assert contents.header.name == f"truewheel synthetic small:{quantization}"
    assert FILE_TYPES[contents.numbers["general.file_type"]].lower() == quantization
    assert contents.numbers["general.quantization_version"] == 2
    assert sum(tensor.size for tensor in contents.tensors) == tensor_bytes(shape, quantization)
    # The tensors end with the file, but for what the last one is padded with.
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(LoadError, match="cut off"):
        read_gguf_header(path)


def test_the_numbers_of_the_shape_are_in_the_header(tmp_path):
    numbers = read_gguf_contents(write(tmp_path / "a.gguf")).numbers
    assert {key.removeprefix("qwen2."): numbers[key] for key in numbers if key.startswith("qwen2.")} == {
        "block_count": 8,
        "context_length": 128,
        "embedding_length": 256,
        "feed_forward_length": 512,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.layer_norm_rms_epsilon": pytest.approx(1e-6),
        "rope.freq_base": 1e6,
        "rope.dimension_count": 64,
        "vocab_size": 400,
    }


@pytest.mark.parametrize(
    ("quantization", "most", "more", "output"),
    [
        ("q4_0", "Q4_0", "Q4_0", "Q6_K"),
        ("q4_1", "Q4_1", "Q4_1", "Q6_K"),
        ("q4_k_m", "Q4_K", "Q6_K", "Q6_K"),
        ("q5_k_m", "Q5_K", "Q6_K", "Q6_K"),
        ("q6_k", "Q6_K", "Q6_K", "Q6_K"),
        ("q8_0", "Q8_0", "Q8_0", "Q8_0"),
        ("f16", "F16", "F16", "F16"),
    ],
)
def test_tensors_have_the_types_of_the_rules(tmp_path, quantization, most, more, output):
    found = kinds(write(tmp_path / "a.gguf", quantization=quantization))
    expected = {"token_embd.weight": output, "output_norm.weight": "F32"}
    for layer in range(8):
        sensitive = more if layer in {0, 3, 6, 7} else most
        for name in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
            expected[f"blk.{layer}.{name}.weight"] = most
        expected |= {f"blk.{layer}.{name}.weight": sensitive for name in ("attn_v", "ffn_down")}
        expected |= {f"blk.{layer}.{name}": "F32" for name in ("attn_norm.weight", "ffn_norm.weight")}
        expected |= {f"blk.{layer}.attn_{name}.bias": "F32" for name in "qkv"}
    assert found == expected


def test_rows_that_are_no_whole_blocks_fall_back(tmp_path):
    found = kinds(write(tmp_path / "a.gguf", LLAMA))
    assert (found["blk.0.attn_q.weight"], found["blk.1.ffn_down.weight"]) == ("Q5_0", "Q6_K")
    assert (found["token_embd.weight"], found["output.weight"]) == ("Q5_0", "Q8_0")
    assert found["rope_freqs.weight"] == "F32"


def test_weights_keep_the_spread_of_what_goes_through_them(tmp_path):
    reader = gguf.GGUFReader(write(tmp_path / "a.gguf"))
    spreads = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).std() * tensor.shape[0] ** 0.5
        for tensor in reader.tensors
        if len(tensor.shape) > 1 and tensor.name != "token_embd.weight"
    }
    assert len(spreads) == 8 * 7
    for name, spread in spreads.items():
        assert spread == pytest.approx(0.25 if "attn_output" in name else 1, rel=0.05)


def test_bytes_merges_and_controls_are_less_likely_than_words(tmp_path):
    reader = gguf.GGUFReader(write(tmp_path / "a.gguf"))
    embeddings = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    spreads = gguf.quants.dequantize(embeddings.data, embeddings.tensor_type).std(axis=1) * 16
    assert spreads[:261] == pytest.approx(np.full(261, 0.25), rel=0.4)
    assert spreads[261:398] == pytest.approx(np.full(137, 1), rel=0.4)
    assert spreads[398:] == pytest.approx(np.full(2, 0.25), rel=0.4)


def test_vectors_are_ones_and_small_biases(tmp_path):
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(write(tmp_path / "a.gguf")).tensors}
    assert (tensors["output_norm.weight"] == 1).all()
    bias = tensors["blk.0.attn_q.bias"]
    assert np.abs(bias).max() <= 0.5
    assert bias.std() == pytest.approx(12**-0.5, rel=0.2)


def test_the_vocabulary_is_bytes_merges_words_and_two_controls(tmp_path):
    fields = gguf.GGUFReader(write(tmp_path / "a.gguf")).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == len(set(tokens)) == 400
    assert tokens[:256] == byte_symbols()
    assert tokens[256:261] == ["th", "the", "in", "an", "er"]
    assert all(token[0] == "Ġ" and token[1:].isascii() and token[1:].isalpha() for token in tokens[261:398])
    assert tokens[398:] == ["<s>", "</s>"]
    assert fields["tokenizer.ggml.token_type"].contents() == [1] * 398 + [3, 3]
    assert fields["tokenizer.ggml.merges"].contents() == ["t h", "th e", "i n", "a n", "e r"]
    assert (fields["tokenizer.ggml.model"].contents(), fields["tokenizer.ggml.pre"].contents()) == ("gpt2", "gpt-2")
    assert fields["tokenizer.ggml.bos_token_id"].contents() == 398
    assert fields["tokenizer.ggml.eos_token_id"].contents() == 399
    assert fields["tokenizer.ggml.add_bos_token"].contents() is False
    assert "content" in fields["tokenizer.chat_template"].contents()


def test_every_number_is_spelled_in_its_own_way():
    words = [spell(number) for number in range(160_000)]
    assert len(set(words)) == len(words)
    assert words[:3] == ["Ġba", "Ġca", "Ġda"]


def test_llama_3_stretches_slow_rotations_and_leaves_fast_ones():
    factors = rope_factors(known_shapes()["llama-3.2-1b"])
    assert len(factors) == 32
    assert factors[:15] == [1.0] * 15
    assert factors[18:] == pytest.approx([32.0] * 14)
    assert factors == sorted(factors)
    assert 1 < factors[15] < factors[17] < 32


def test_progress_goes_up_to_the_whole(tmp_path):
    told = []
    name = SyntheticName("small", SHAPE, "q4_0")
    write_synthetic(tmp_path / "a.gguf", name, lambda done, total: told.append((done, total)))
    total = tensor_bytes(SHAPE, "q4_0")
    assert told[-1] == (total, total)
    assert {whole for _, whole in told} == {total}
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_file_is_named_after_what_it_is():
    assert file_name(SyntheticName("small", SHAPE, "q4_0")) == f"small-q4_0-{synthetic.REVISION}.gguf"


def test_nothing_is_left_beside(tmp_path):
    write(tmp_path / "a.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]
    assert (tmp_path / "a.gguf").stat().st_size < 10 << 20


def test_a_failure_leaves_nothing(tmp_path):
    (tmp_path / "a.gguf").mkdir()
    with pytest.raises(LoadError, match="cannot write the model") as caught:
        write(tmp_path / "a.gguf")
    assert "TRUEWHEEL_CACHE_DIR" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "a.gguf", SyntheticName("small", SHAPE, "q4_0"), interrupt)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(LoadError, match=r"needs 0\.0 GB and .* has 0\.0 GB left") as caught:
        write(tmp_path / "a.gguf")
    assert "make room" in caught.value.hint
    assert not list(tmp_path.iterdir())
