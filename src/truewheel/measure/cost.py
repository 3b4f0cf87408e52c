"""What a model costs for each token, by its file's header alone: bytes to read and operations to do."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from truewheel.measure.result import Cost, ModelFacts
from truewheel.models.gguf_header import GgufContents, GgufTensor
from truewheel.models.gguf_types import FILE_TYPES, GUESSED_FILE_TYPE, TENSOR_TYPES
from truewheel.models.models import Model
from truewheel.models.reading import read_model

_CACHE_BYTES = 2
_MOST = 1 << 20
"""More layers, heads, experts or numbers of a head than any model has."""
_EMBEDDINGS = "token_embd.weight"
_LOOKED_UP = {_EMBEDDINGS, "per_layer_token_embd.weight", "position_embd.weight", "token_types.weight"}
"""Matrices of which a token needs one row."""
_EXPERTS = "_exps."


class _Attention(NamedTuple):
    """What attention needs for one token and one position of the context.

    Attributes:
        numbers: of keys and values that are kept, over all layers.
        operations: multiplications and additions.
    """

    numbers: int
    operations: int


def model_facts(model: Model) -> ModelFacts:
    """Return what a model's file says of it.

    Raises:
        LoadError: the file is no sound GGUF.
    """
    contents = read_model(model.path)
    return ModelFacts(
        name=model.name,
        architecture=contents.header.architecture,
        quantization=file_type_name(contents),
        # The factors of Llama 3's rotary positions are no weights; they follow from its configuration.
        parameters=sum(tensor.weights for tensor in contents.tensors if not tensor.name.startswith("rope_")),
        size=contents.header.size,
        synthetic=model.synthetic,
        cost=model_cost(contents),
    )


def file_type_name(contents: GgufContents) -> str:
    """Return the quantization of the whole file, e.g. `Q4_K_M`; empty where it does not say, or says what is new."""
    number = contents.numbers.get("general.file_type")
    return FILE_TYPES.get(number % GUESSED_FILE_TYPE, "") if isinstance(number, int) else ""


def model_cost(contents: GgufContents) -> Cost | None:
    """Return what a model costs for each token; None where the header does not say enough.

    That is so for tensors of a type that is not known here, for models without attention, and for those that keep
    something else than keys and values (DeepSeek's latent attention).
    """
    attention, share = _attention(contents), _expert_share(contents)
    if attention is None or share is None or any(tensor.size is None for tensor in contents.tensors):
        return None
    used = list(_used(contents.tensors))
    matrices = [tensor for tensor in used if _is_matrix(tensor)]
    return Cost(
        weights=int(sum((tensor.size or 0) * _share(tensor, share) for tensor in used)),
        cache=_CACHE_BYTES * attention.numbers,
        operations=int(2 * sum(tensor.weights * _share(tensor, share) for tensor in matrices)),
        attention=attention.operations,
        integer=_mostly_integers(matrices, share),
    )


def _used(tensors: tuple[GgufTensor, ...]) -> Iterator[GgufTensor]:
    """Yield the tensors that every token reads whole, experts among them: not those of which it reads a row."""
    has_output = any(tensor.name == "output.weight" for tensor in tensors)
    for tensor in tensors:
        tied = tensor.name == _EMBEDDINGS and not has_output
        if tied or tensor.name not in _LOOKED_UP:
            yield tensor


def _is_matrix(tensor: GgufTensor) -> bool:
    return len(tensor.dimensions) > 1 and tensor.name.endswith(".weight")


def _share(tensor: GgufTensor, experts: Fraction) -> Fraction:
    return experts if _EXPERTS in tensor.name else Fraction(1)


def _mostly_integers(matrices: list[GgufTensor], experts: Fraction) -> bool:
    sizes = [((tensor.size or 0) * _share(tensor, experts), TENSOR_TYPES[tensor.kind].quantized) for tensor in matrices]
    return 2 * sum(size for size, quantized in sizes if quantized) > sum(size for size, _ in sizes)


def _expert_share(contents: GgufContents) -> Fraction | None:
    """Return which part of its experts a token uses; None where there are some and the header does not say."""
    if not any(_EXPERTS in tensor.name for tensor in contents.tensors):
        return Fraction(1)
    count, used = _number(contents, "expert_count"), _number(contents, "expert_used_count")
    return Fraction(used, count) if count and used and used <= count else None


def _attention(contents: GgufContents) -> _Attention | None:
    """Return what attention costs, layer by layer: some models have fewer heads in some layers, or none."""
    layers, embedding = _number(contents, "block_count"), _number(contents, "embedding_length")
    if not layers or not embedding or _number(contents, "attention.kv_lora_rank"):
        return None
    heads = _by_layer(contents, "attention.head_count", layers)
    key_heads = _by_layer(contents, "attention.head_count_kv", layers) or heads
    if not heads or not key_heads or not max(heads):
        return None
    keys = _number(contents, "attention.key_length") or embedding // max(heads)
    values = _number(contents, "attention.value_length") or embedding // max(heads)
    active = [(queries, kept) for queries, kept in zip(heads, key_heads, strict=True) if queries and kept]
    if not active or not keys or not values:
        return None
    return _Attention(
        numbers=sum(kept for _, kept in active) * (keys + values),
        operations=2 * sum(queries for queries, _ in active) * (keys + values),
    )


def _by_layer(contents: GgufContents, key: str, layers: int) -> list[int]:
    """Return a number for each layer, from a key that has one for all or an array; empty where it is not there."""
    listed = contents.lists.get(f"{contents.header.architecture}.{key}")
    if listed is not None:
        return list(listed[:layers]) if len(listed) >= layers and all(0 <= one <= _MOST for one in listed) else []
    number = _number(contents, key)
    return [] if number is None else [number] * layers


def _number(contents: GgufContents, key: str) -> int | None:
    """Return an integer of the model's architecture; None where it is not there or makes no sense."""
    number = contents.numbers.get(f"{contents.header.architecture}.{key}")
    return number if isinstance(number, int) and 0 <= number <= _MOST else None
