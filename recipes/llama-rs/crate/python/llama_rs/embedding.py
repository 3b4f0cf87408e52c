"""Embeddings of texts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .model import Model

_POOLING_NONE = 0


def embed(model: Model, texts: object, normalize: bool, truncate: bool) -> tuple[list[Any], int]:
    """Return the embeddings of texts and the number of their tokens; see `Llama.embed`."""
    if not model.embedding:
        raise RuntimeError("Llama model must be created with embedding=True to call this method")
    inputs = [_tokenize(model, text, truncate) for text in _read_texts(texts)]
    if not inputs:
        return [], 0
    rows = model.engine.embed(inputs)
    if normalize:
        rows = [[_normalize(row) for row in each] for each in rows]
    count = sum(map(len, inputs))
    pooled = model.pooling_type() != _POOLING_NONE
    return ([each[0] for each in rows] if pooled else list(rows)), count


def _read_texts(texts: object) -> list[str]:
    found = [texts] if isinstance(texts, str) else texts
    if isinstance(found, (bytes, dict)) or not hasattr(found, "__iter__"):
        raise TypeError(f"input is a str or a list of str, not {type(found).__name__}")
    read = list(found)
    for text in read:
        if not isinstance(text, str):
            raise TypeError(f"input is a str or a list of str, not of {type(text).__name__}")
    return read


def _tokenize(model: Model, text: str, truncate: bool) -> list[int]:
    tokens = model.tokenize(text.encode())
    if truncate:
        tokens = tokens[: model.n_batch]
    if len(tokens) > model.n_batch:
        raise ValueError(f"Requested tokens ({len(tokens)}) exceed batch size of {model.n_batch}")
    if not tokens:
        raise ValueError("input holds an empty text, and the model adds no token of its own")
    return tokens


def _normalize(row: Sequence[float]) -> list[float]:
    norm = sum(value * value for value in row) ** 0.5
    return [value / norm for value in row] if norm else list(row)
