"""The shapes of real models, and the names of synthetic ones."""

import math

import pytest

from truewheel.errors import LoadError
from truewheel.models.shapes import Shape, is_synthetic_name, known_shapes, model_parts, parse_synthetic_name


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b", "llama-3.2-1b", "llama-3.2-3b"])
def test_a_shape_has_as_many_weights_as_were_published(name):
    parts = [part for part in model_parts(known_shapes()[name]) if part.name != "rope_freqs.weight"]
    assert sum(part.columns * max(part.rows, 1) for part in parts) == known_shapes()[name].parameters > 0


def test_heads_are_whole():
    for shape in known_shapes().values():
        assert shape.embedding % shape.heads == 0
        assert shape.heads % shape.key_heads == 0
        assert math.log2(shape.head) == 6 or shape.head == 128


def test_the_tensors_of_a_small_model():
    shape = Shape(
        architecture="qwen2",
        layers=1,
        embedding=64,
        feed_forward=96,
        heads=4,
        key_heads=2,
        vocabulary=300,
        context=128,
        rope_base=1e4,
        rope_factor=8.0,
        rms_epsilon=1e-5,
        tied=False,
        biases=True,
    )
    parts = {part.name.removesuffix(".weight"): (part.columns, part.rows) for part in model_parts(shape)}
    block = {name.removeprefix("blk.0."): size for name, size in parts.items() if name.startswith("blk.")}
    assert {name: size for name, size in parts.items() if not name.startswith("blk.")} == {
        "rope_freqs": (8, 0),
        "token_embd": (64, 300),
        "output_norm": (64, 0),
        "output": (64, 300),
    }
    assert block == {
        "attn_norm": (64, 0),
        "attn_q": (64, 64),
        "attn_q.bias": (64, 0),
        "attn_k": (64, 32),
        "attn_k.bias": (32, 0),
        "attn_v": (64, 32),
        "attn_v.bias": (32, 0),
        "attn_output": (64, 64),
        "ffn_norm": (64, 0),
        "ffn_gate": (64, 96),
        "ffn_up": (64, 96),
        "ffn_down": (96, 64),
    }


@pytest.mark.parametrize("name", ["qwen2.5-1.5b:q4_k_m", "Qwen2.5-1.5B:Q4_K_M"])
def test_a_name_is_read_in_either_case(name):
    parsed = parse_synthetic_name(name)
    assert str(parsed) == "qwen2.5-1.5b:q4_k_m"
    assert parsed.shape == known_shapes()["qwen2.5-1.5b"]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("qwen2.5-1.5:q4_k_m", "no model shape named 'qwen2.5-1.5'", "did you mean 'qwen2.5-1.5b'?"),
        ("zzz:q4_k_m", "no model shape named 'zzz'", "known are: smollm2-135m, qwen2.5-0.5b"),
        ("llama-3.2-1b:q4_km", "no quantization named 'q4_km'", "did you mean 'q4_k_m'?"),
        ("llama-3.2-1b:7", "no quantization named '7'", "known are: q4_0, q4_1, q4_k_m"),
        ("llama-3.2-1b", "needs a quantization", "llama-3.2-1b:q4_k_m"),
        ("llama-3.2-1b:", "needs a quantization", "llama-3.2-1b:q4_k_m"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message, hint):
    assert is_synthetic_name(name)
    with pytest.raises(LoadError, match=message) as caught:
        parse_synthetic_name(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["tiny", "model.gguf", "/models/a:b", "a:b.gguf", "a:b:c", "./qwen2.5-0.5b:q8_0"])
def test_a_path_is_no_synthetic_name(name):
    assert not is_synthetic_name(name)
