"""The shapes of real models that synthetic ones can have, and the names `SHAPE:QUANTIZATION`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from truewheel.decoding import load_table
from truewheel.errors import LoadError
from truewheel.models.tensor_mix import QUANTIZATIONS


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """Dimensions of a model; `shapes.toml` says what each of them is."""

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    key_heads: int
    vocabulary: int
    context: int
    rope_base: float
    rms_epsilon: float
    tied: bool
    biases: bool = False
    rope_factor: float = 0.0
    parameters: int = 0

    @property
    def head(self) -> int:
        """Return the numbers of one head."""
        return self.embedding // self.heads


class Part(NamedTuple):
    """One tensor of a model.

    Attributes:
        name: as llama.cpp names it.
        columns: length of a row.
        rows: number of rows; 0 for a vector.
        layer: which block it is in; -1 for none.
    """

    name: str
    columns: int
    rows: int = 0
    layer: int = -1


class SyntheticName(NamedTuple):
    """What `SHAPE:QUANTIZATION` names."""

    shape_name: str
    shape: Shape
    quantization: str

    def __str__(self) -> str:
        return f"{self.shape_name}:{self.quantization}"


@functools.cache
def known_shapes() -> dict[str, Shape]:
    """Return the shapes by name."""
    return load_table("truewheel.models", "shapes.toml", dict[str, Shape])


def is_synthetic_name(name: str) -> bool:
    """Return whether a model's name is meant as `SHAPE:QUANTIZATION`, and not as a file."""
    return name in known_shapes() or (name.count(":") == 1 and "/" not in name and not name.endswith(".gguf"))


def parse_synthetic_name(name: str) -> SyntheticName:
    """Return what a name such as `qwen2.5-1.5b:q4_k_m` means; upper case is read as lower case.

    Raises:
        LoadError: there is no such shape or quantization.
    """
    shape_name, _, quantization = name.lower().partition(":")
    if shape_name not in known_shapes():
        raise _unknown(f"there is no model shape named {shape_name!r}", shape_name, known_shapes())
    if not quantization:
        raise LoadError(
            f"{shape_name} is a model shape and needs a quantization",
            hint=f"name {shape_name}:q4_k_m, or one of {', '.join(QUANTIZATIONS)} behind the colon",
        )
    if quantization not in QUANTIZATIONS:
        raise _unknown(f"there is no quantization named {quantization!r}", quantization, QUANTIZATIONS)
    return SyntheticName(shape_name, known_shapes()[shape_name], quantization)


def _unknown(message: str, name: str, known: Collection[str]) -> LoadError:
    near = difflib.get_close_matches(name, known, n=1)
    names = f"known are: {', '.join(known)}"
    return LoadError(message, hint=f"did you mean {near[0]!r}? {names}" if near else names)


def model_parts(shape: Shape) -> Iterator[Part]:
    """Yield the tensors of a model in the order of its file."""
    if shape.rope_factor:
        yield Part("rope_freqs.weight", shape.head // 2)
    yield Part("token_embd.weight", shape.embedding, shape.vocabulary)
    for layer in range(shape.layers):
        yield from _block(shape, layer)
    yield Part("output_norm.weight", shape.embedding)
    if not shape.tied:
        yield Part("output.weight", shape.embedding, shape.vocabulary)


def _block(shape: Shape, layer: int) -> Iterator[Part]:
    width, key_width = shape.heads * shape.head, shape.key_heads * shape.head
    block = f"blk.{layer}"
    yield Part(f"{block}.attn_norm.weight", shape.embedding, layer=layer)
    for name, rows in (("attn_q", width), ("attn_k", key_width), ("attn_v", key_width)):
        yield Part(f"{block}.{name}.weight", shape.embedding, rows, layer)
        if shape.biases:
            yield Part(f"{block}.{name}.bias", rows, layer=layer)
    yield Part(f"{block}.attn_output.weight", width, shape.embedding, layer)
    yield Part(f"{block}.ffn_norm.weight", shape.embedding, layer=layer)
    yield Part(f"{block}.ffn_gate.weight", shape.embedding, shape.feed_forward, layer)
    yield Part(f"{block}.ffn_up.weight", shape.embedding, shape.feed_forward, layer)
    yield Part(f"{block}.ffn_down.weight", shape.feed_forward, shape.embedding, layer)
