"""Which type each tensor gets, by the rules of llama.cpp's quantizer."""

import pytest

from truewheel.models.gguf_types import BY_NAME
from truewheel.models.shapes import known_shapes, model_parts
from truewheel.models.tensor_mix import QUANTIZATIONS, choose_type, uses_more_bits


def choose(name, quantization, *, columns=1536, layer=5, layers=28, tied=True):
    return choose_type(name, columns, quantization=quantization, layer=layer, layers=layers, tied=tied).name


def types_of(shape_name, quantization):
    shape = known_shapes()[shape_name]
    return {
        part.name: choose_type(
            part.name, part.columns, quantization=quantization, layer=part.layer, layers=shape.layers, tied=shape.tied
        )
        for part in model_parts(shape)
        if part.rows
    }


@pytest.mark.parametrize(
    ("quantization", "most", "output"),
    [
        ("q4_0", "Q4_0", "Q6_K"),
        ("q4_1", "Q4_1", "Q6_K"),
        ("q4_k_m", "Q4_K", "Q6_K"),
        ("q5_k_m", "Q5_K", "Q6_K"),
        ("q6_k", "Q6_K", "Q6_K"),
        ("q8_0", "Q8_0", "Q8_0"),
        ("f16", "F16", "F16"),
    ],
)
def test_most_tensors_have_the_files_own_type_and_the_output_more_bits(quantization, most, output):
    for part in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert choose(f"blk.5.{part}.weight", quantization) == most
    assert choose("token_embd.weight", quantization) == output
    assert choose("output.weight", quantization, tied=False) == output
    assert choose("token_embd.weight", quantization, tied=False) == most


def test_layers_with_more_bits_are_the_first_and_last_eighth_and_every_third_between():
    assert [layer for layer in range(16) if uses_more_bits(layer, 16)] == [0, 1, 4, 7, 10, 13, 14, 15]
    assert [layer for layer in range(28) if uses_more_bits(layer, 28)] == [
        *(0, 1, 2, 5, 8, 11, 14, 17, 20, 23),
        *(24, 25, 26, 27),
    ]


@pytest.mark.parametrize(("quantization", "least"), [("q4_k_m", "Q4_K"), ("q5_k_m", "Q5_K")])
@pytest.mark.parametrize("part", ["attn_v", "ffn_down"])
def test_values_and_the_way_down_have_more_bits_in_those_layers(quantization, least, part):
    assert choose(f"blk.5.{part}.weight", quantization, layer=5) == "Q6_K"
    assert choose(f"blk.6.{part}.weight", quantization, layer=6) == least


@pytest.mark.parametrize("quantization", ["q4_0", "q4_1", "q6_k", "q8_0", "f16"])
def test_other_files_have_no_such_layers(quantization):
    kinds = {choose("blk.0.ffn_down.weight", quantization, layer=layer) for layer in range(28)}
    assert len(kinds) == 1


@pytest.mark.parametrize(
    ("quantization", "columns", "kind"),
    [
        ("q4_k_m", 576, "Q5_0"),
        ("q5_k_m", 576, "Q5_1"),
        ("q6_k", 576, "Q8_0"),
        ("q4_0", 576, "Q4_0"),
        ("q4_k_m", 40, "F16"),
        ("q8_0", 40, "F16"),
    ],
)
def test_rows_that_are_no_whole_blocks_fall_back(quantization, columns, kind):
    assert choose("blk.5.attn_q.weight", quantization, columns=columns) == kind


def test_embeddings_that_are_the_output_fall_back_to_q8_0():
    assert choose("token_embd.weight", "q4_0", columns=576) == "Q8_0"
    assert choose("token_embd.weight", "q4_k_m", columns=896) == "Q8_0"


@pytest.mark.parametrize(
    ("shape", "quantization", "mebibytes"),
    [
        # What `llama_model_quantize` (llama.cpp of llama-cpp-python 0.3.36, dry run) says of files of these shapes.
        ("smollm2-135m", "q4_0", 85.77), ("smollm2-135m", "q4_1", 92.10), ("smollm2-135m", "q4_k_m", 98.87),
        ("smollm2-135m", "q5_k_m", 105.21), ("smollm2-135m", "q6_k", 130.27), ("smollm2-135m", "q8_0", 136.40),
        ("qwen2.5-0.5b", "q4_0", 330.17), ("qwen2.5-0.5b", "q4_1", 351.50), ("qwen2.5-0.5b", "q4_k_m", 373.71),
        ("qwen2.5-0.5b", "q5_k_m", 394.95), ("qwen2.5-0.5b", "q6_k", 476.64), ("qwen2.5-0.5b", "q8_0", 500.79),
        ("qwen2.5-1.5b", "q4_0", 885.97), ("qwen2.5-1.5b", "q4_1", 964.06), ("qwen2.5-1.5b", "q4_k_m", 934.69),
        ("qwen2.5-1.5b", "q5_k_m", 1067.26), ("qwen2.5-1.5b", "q6_k", 1208.10), ("qwen2.5-1.5b", "q8_0", 1564.62),
        ("llama-3.2-1b", "q4_0", 727.75), ("llama-3.2-1b", "q4_1", 785.75), ("llama-3.2-1b", "q4_k_m", 762.81),
        ("llama-3.2-1b", "q5_k_m", 861.81), ("llama-3.2-1b", "q6_k", 967.00), ("llama-3.2-1b", "q8_0", 1252.41),
        ("llama-3.2-3b", "q4_0", 1820.90), ("llama-3.2-3b", "q4_1", 1988.90), ("llama-3.2-3b", "q4_k_m", 1918.35),
        ("llama-3.2-3b", "q5_k_m", 2207.10), ("llama-3.2-3b", "q6_k", 2513.90), ("llama-3.2-3b", "q8_0", 3255.90),
    ],
)  # fmt: skip
def test_files_are_as_large_as_the_quantizer_makes_them(shape, quantization, mebibytes):
    kinds, size = types_of(shape, quantization), 0
    for part in model_parts(known_shapes()[shape]):
        kind = kinds.get(part.name, BY_NAME["F32"])
        size += part.columns * max(part.rows, 1) // kind.weights * kind.size
    assert size / (1 << 20) == pytest.approx(mebibytes, abs=0.0051)


def test_every_tensor_of_every_model_is_whole_blocks():
    for shape_name, shape in known_shapes().items():
        columns = {part.name: part.columns for part in model_parts(shape)}
        for quantization in QUANTIZATIONS:
            for name, kind in types_of(shape_name, quantization).items():
                assert columns[name] % kind.weights == 0
