"""What a model answers, computed here: the transformer of llama, in float32, with nothing of an engine.

It is slow, and made for a few dozen tokens: a prompt is drawn that nobody could know, an engine continues it, and here
is seen whether that is what the model gives. Shape of the computation: "LLaMA: Open and Efficient Foundation Language
Models" (arXiv 2302.13971); grouped queries: arXiv 2305.13245; positions: arXiv 2104.09864.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from truewheel.models.gguf_header import GgufContents, GgufTensor, read_gguf_contents
from truewheel.models.tiny import byte_symbols

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

MOST_BYTES = 256 << 20
"""Of a model's file: what is larger takes too long here."""

_SMALL = 16 << 20
_ROWS = 8192
_MARK = re.compile(r"<(\|.*\||[\w/]+)>\Z")
"""How a token is written that stands for no text."""
_WORD = re.compile(r"[a-z]+\Z")


class Reference:
    """A model of llama's shape with a byte-level vocabulary, and what it answers.

    Attributes:
        pieces: the bytes of each token.
        controls: tokens that stand for no text.

    Args:
        path: a GGUF file that was made here, or whose hash is known.

    Raises:
        LoadError: it is no sound GGUF.
        KeyError: it is of another shape.
    """

    def __init__(self, path: Path) -> None:
        contents = read_gguf_contents(path, words=True)
        self._shape = _read_shape(contents)
        self._weights = _Weights(path, contents)
        tokens = contents.words["tokenizer.ggml.tokens"]
        values = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
        self.pieces = tuple(bytes(values.get(symbol, 0) for symbol in token) for token in tokens)
        self._numbers = {token: number for number, token in enumerate(tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(contents.words["tokenizer.ggml.merges"])}
        symbols = set(values)
        self.controls = frozenset(
            number for number, token in enumerate(tokens) if not set(token) <= symbols or _MARK.match(token)
        )

    def words(self) -> list[str]:
        """Return the words that are one token each when a blank stands before them."""
        blank = byte_symbols()[ord(" ")]
        return [token[1:] for token in self._numbers if token.startswith(blank) and _WORD.match(token[1:])]

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of words in small letters with one blank between them.

        Every way to cut a text that is in use cuts such a one alike: before each blank.
        """
        blank = byte_symbols()[ord(" ")]
        first, *others = text.split(" ")
        return [token for word in (first, *(blank + each for each in others)) for token in self._merge(list(word))]

    def _merge(self, parts: list[str]) -> list[int]:
        """Merge the pair that was learned first until none is left."""
        while True:
            ranks = [self._ranks.get(f"{left} {right}", len(self._ranks)) for left, right in itertools.pairwise(parts)]
            if not ranks or min(ranks) == len(self._ranks):
                return [self._numbers[part] for part in parts]
            place = ranks.index(min(ranks))
            parts[place : place + 2] = [parts[place] + parts[place + 1]]

    def next_logits(self, sequences: Sequence[Sequence[int]], last: Sequence[int]) -> list[Matrix]:
        """Return the logits behind the last tokens of each sequence, as rows.

        Args:
            sequences: tokens, each sequence for itself.
            last: behind how many tokens of each.
        """
        import numpy as np

        shape, weights = self._shape, self._weights
        flat = np.array([token for sequence in sequences for token in sequence])
        state = weights.rows("token_embd.weight", flat)
        for layer in range(shape.layers):
            name = f"blk.{layer}."
            state = state + self._attend(_normalize(state, weights[name + "attn_norm.weight"], shape), name, sequences)
            inner = _normalize(state, weights[name + "ffn_norm.weight"], shape)
            gate = inner @ weights[name + "ffn_gate.weight"].T
            gate = gate / (1 + np.exp(-gate)) * (inner @ weights[name + "ffn_up.weight"].T)
            state = state + gate @ weights[name + "ffn_down.weight"].T
        ends = np.cumsum([len(sequence) for sequence in sequences])
        wanted = np.concatenate([np.arange(end - count, end) for end, count in zip(ends, last, strict=True)])
        final = _normalize(state[wanted], weights["output_norm.weight"], shape)
        output = "output.weight" if "output.weight" in weights else "token_embd.weight"
        logits = np.concatenate([final @ chunk.T for chunk in weights.chunks(output)], axis=1)
        return np.split(logits, np.cumsum(last)[:-1])

    def _attend(self, state: Matrix, name: str, sequences: Sequence[Sequence[int]]) -> Matrix:
        """Return what the positions of each sequence take of those before them."""
        import numpy as np

        query, key, value = (state @ self._weights[f"{name}attn_{which}.weight"].T for which in "qkv")
        found, start = np.empty_like(query), 0
        for sequence in sequences:
            part = slice(start, start + len(sequence))
            found[part] = _mix(query[part], key[part], value[part], self._shape)
            start = part.stop
        result: Matrix = found @ self._weights[f"{name}attn_output.weight"].T
        return result


class _Shape(NamedTuple):
    layers: int
    heads: int
    key_heads: int
    width: int
    rotated: int
    base: float
    epsilon: float


def _read_shape(contents: GgufContents) -> _Shape:
    """Return the shape that a file tells.

    Raises:
        KeyError: it tells of something that is not computed here.
    """
    if contents.header.architecture != "llama" or any("rope.scaling" in key for key in contents.numbers):
        raise KeyError("another architecture")
    numbers = {key.removeprefix("llama."): value for key, value in contents.numbers.items()}
    heads = int(numbers["attention.head_count"])
    width = int(numbers["embedding_length"]) // heads
    return _Shape(
        layers=int(numbers["block_count"]),
        heads=heads,
        key_heads=int(numbers.get("attention.head_count_kv", heads)),
        width=width,
        rotated=int(numbers.get("rope.dimension_count", width)),
        base=float(numbers.get("rope.freq_base", 10000.0)),
        epsilon=float(numbers["attention.layer_norm_rms_epsilon"]),
    )


class _Weights:
    """The tensors of a file, each turned into numbers when it is asked for; those of a small one are kept."""

    def __init__(self, path: Path, contents: GgufContents) -> None:
        import numpy as np

        self._data = np.memmap(path, dtype=np.uint8, mode="r")
        self._start = contents.start
        self._tensors = {tensor.name: tensor for tensor in contents.tensors}
        self._keeps = contents.header.size <= _SMALL
        self._kept: dict[str, Matrix] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> Matrix:
        if name in self._kept:
            return self._kept[name]
        tensor = self._tensors[name]
        numbers = _to_numbers(self._packed(tensor), tensor)
        if self._keeps:
            self._kept[name] = numbers
        return numbers

    def rows(self, name: str, numbers: NDArray[np.intp]) -> Matrix:
        """Return some rows."""
        tensor = self._tensors[name]
        return _to_numbers(self._packed(tensor)[numbers], tensor)

    def chunks(self, name: str) -> Iterator[Matrix]:
        """Yield all rows, some thousands at once."""
        if self._keeps:
            yield self[name]
            return
        tensor = self._tensors[name]
        packed = self._packed(tensor)
        for start in range(0, len(packed), _ROWS):
            yield _to_numbers(packed[start : start + _ROWS], tensor)

    def _packed(self, tensor: GgufTensor) -> NDArray[np.uint8]:
        assert tensor.size is not None
        begin = self._start + tensor.offset
        rows = tensor.dimensions[1] if len(tensor.dimensions) > 1 else 1
        packed: NDArray[np.uint8] = self._data[begin : begin + tensor.size].reshape(rows, -1)
        return packed


def _to_numbers(packed: NDArray[np.uint8], tensor: GgufTensor) -> Matrix:
    import gguf
    import numpy as np

    numbers = gguf.quants.dequantize(np.asarray(packed), gguf.GGMLQuantizationType(tensor.kind))
    found: Matrix = np.asarray(numbers, dtype=np.float32)
    return found if len(tensor.dimensions) > 1 else found[0]


def _normalize(state: Matrix, weight: Matrix, shape: _Shape) -> Matrix:
    import numpy as np

    found: Matrix = state / np.sqrt((state * state).mean(axis=-1, keepdims=True) + np.float32(shape.epsilon)) * weight
    return found


def _mix(query: Matrix, key: Matrix, value: Matrix, shape: _Shape) -> Matrix:
    """Return the attention of one sequence; several heads of queries share one of keys and values."""
    import numpy as np

    length, group = len(query), shape.heads // shape.key_heads
    turned = _rotate(query.reshape(length, shape.heads, -1), shape)
    keys = np.repeat(_rotate(key.reshape(length, shape.key_heads, -1), shape), group, axis=1)
    values = np.repeat(value.reshape(length, shape.key_heads, -1), group, axis=1)
    scores = np.einsum("qhd,khd->hqk", turned, keys) / np.float32(shape.width**0.5)
    scores += np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed: Matrix = np.einsum("hqk,khd->qhd", scores, values).reshape(length, -1)
    return mixed


def _rotate(heads: Matrix, shape: _Shape) -> Matrix:
    """Turn pairs of neighbouring numbers by their position."""
    import numpy as np

    steps = shape.base ** -(np.arange(0, shape.rotated, 2) / shape.rotated)
    angles = np.arange(len(heads))[:, None, None] * steps
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    found = heads.copy()
    even, odd = heads[..., 0 : shape.rotated : 2], heads[..., 1 : shape.rotated : 2]
    found[..., 0 : shape.rotated : 2] = even * cosine - odd * sine
    found[..., 1 : shape.rotated : 2] = even * sine + odd * cosine
    return found
