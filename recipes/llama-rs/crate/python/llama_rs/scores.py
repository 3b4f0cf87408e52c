"""Logits as numpy arrays, for those who have numpy."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .model import Model


def read_scores(model: Model) -> Any:
    """Return a float32 array of n_tokens rows and n_vocab columns.

    Without logits_all only the last row is known, and the others are zeros.

    Raises:
        ImportError: numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError(
            "Llama.scores needs numpy; without it, Llama.logits() gives one row as a memoryview"
        ) from error
    n_tokens = model.n_tokens
    scores = np.zeros((n_tokens, model.n_vocab()), dtype=np.float32)
    known = range(n_tokens) if model.logits_all else range(max(0, n_tokens - 1), n_tokens)
    for position in known:
        scores[position] = np.frombuffer(model.engine.logits(position), dtype=np.float32)
    return scores
