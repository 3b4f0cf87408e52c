"""The settings of sampling in the form that the engine takes."""

from __future__ import annotations

from ._native import SAMPLING_SETTINGS, check_sampling
from .grammar import read_grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SEED_MASK = 0xFFFFFFFF


def read_int(name: str, value: object) -> int:
    """Return a whole number; raises TypeError naming it."""
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "__index__"):
        return int(value.__index__())
    raise TypeError(f"{name} is a whole number, not {type(value).__name__}")


def draw_seed(seed: int) -> int:
    """Return the seed that follows another, the one that llama_cpp draws where a call names none."""
    # random.Random(seed).randint(0, 2**32) without importing random, whose hashes take longer than a token.
    import _random

    source = _random.Random(seed)
    drawn = source.getrandbits(33)
    while drawn > _SEED_MASK + 1:
        drawn = source.getrandbits(33)
    return drawn


def make_sampling(given: Mapping[str, Any], last_n_tokens: int, seed: int) -> dict[str, Any]:
    """Return the engine's settings from arguments under llama_cpp's names.

    Raises:
        TypeError: one has the wrong type.
        ValueError: one is out of range.
        NotImplementedError: Python is asked to take part in sampling.
    """
    refuse_callbacks(given)
    sampling = {name: given[name] for name in SAMPLING_SETTINGS if name in given}
    sampling |= {"penalty_last_n": last_n_tokens, "seed": seed & _SEED_MASK, "grammar": read_grammar(given["grammar"])}
    check_sampling(sampling)
    return sampling


def refuse_callbacks(given: Mapping[str, Any]) -> None:
    """Raise NotImplementedError for what would call Python for each token."""
    for name, instead in (("logits_processor", "logit_bias or grammar"), ("stopping_criteria", "stop or max_tokens")):
        if given.get(name) is not None:
            raise NotImplementedError(f"{name} is not supported: no Python runs between two tokens; use {instead}")
