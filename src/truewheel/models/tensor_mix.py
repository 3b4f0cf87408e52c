"""Which type llama.cpp's quantizer gives each tensor of a file: the rules of src/llama-quant.cpp that matter here.

They are those for dense models of the architectures `llama` and `qwen2` below 70 billion weights, without an importance
matrix and without overrides; the comments name the functions they come from.
"""

from __future__ import annotations

from typing import NamedTuple

from truewheel.models.gguf_types import BY_NAME, TensorType


class Quantization(NamedTuple):
    """One way to quantize a whole file.

    Attributes:
        number: `general.file_type`.
        default: type of tensors that no rule is for (llama_ftype_get_default_type).
        more: type of tensors that `use_more_bits` picks; empty where it picks none.
    """

    number: int
    default: str
    more: str = ""


QUANTIZATIONS = {
    "q4_0": Quantization(2, "Q4_0"),
    "q4_1": Quantization(3, "Q4_1"),
    "q4_k_m": Quantization(15, "Q4_K", more="Q6_K"),
    "q5_k_m": Quantization(17, "Q5_K", more="Q6_K"),
    "q6_k": Quantization(18, "Q6_K"),
    "q8_0": Quantization(7, "Q8_0"),
    "f16": Quantization(1, "F16"),
}

_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}


def choose_type(name: str, columns: int, *, quantization: str, layer: int, layers: int, tied: bool) -> TensorType:
    """Return the type of one matrix.

    Args:
        name: of the tensor, e.g. `blk.3.attn_v.weight`.
        columns: length of its rows.
        quantization: a key of `QUANTIZATIONS`.
        layer: which block it is in.
        layers: number of blocks.
        tied: whether the embeddings are the output matrix too.
    """
    order = QUANTIZATIONS[quantization]
    # llama_tensor_get_type: files of F16 are no quantization, all matrices are alike.
    if not BY_NAME[order.default].quantized:
        return BY_NAME[order.default]
    return _fall_back(_choose(name, order, layer, layers, tied), columns)


def _choose(name: str, order: Quantization, layer: int, layers: int, tied: bool) -> str:
    # llama_tensor_get_type_impl, OUTPUT, or TOKEN_EMBD of a model that has no output of its own: Q6_K for every file
    # type but Q8_0. Rows that the file's own type does not divide become Q8_0 there; Q6_K falls back to the same.
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return "Q8_0" if order.default == "Q8_0" else "Q6_K"
    # The same, ATTENTION_V and FFN_DOWN: some layers of Q4_K_M and Q5_K_M have more bits. The quantizer counts these
    # tensors, which come in the order of the layers, one of each a layer.
    if order.more and name.endswith((".attn_v.weight", ".ffn_down.weight")) and uses_more_bits(layer, layers):
        return order.more
    return order.default


def uses_more_bits(layer: int, layers: int) -> bool:
    """Return whether a layer is among those with more bits: the first and last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2  # noqa: PLR2004 - the rule's own


def _fall_back(name: str, columns: int) -> TensorType:
    # tensor_type_fallback: a row must be whole blocks; the next larger type with blocks of 32, else F16.
    if columns % BY_NAME[name].weights == 0:
        return BY_NAME[name]
    fallback = BY_NAME[_FALLBACK.get(name, name)]
    return fallback if columns % fallback.weights == 0 else BY_NAME["F16"]
