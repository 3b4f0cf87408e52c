"""The settings of sampling, checked and in the form that the engine takes."""

from __future__ import annotations

from .grammar import read_grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SEED_MASK = 0xFFFFFFFF
_FLOATS = frozenset({
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "mirostat_tau",
    "mirostat_eta",
})  # fmt: skip


def read_float(name: str, value: object) -> float:
    """Return a number as a float; raises TypeError naming it."""
    if isinstance(value, (int, float)):
        return float(value)
    if hasattr(value, "__float__") and not isinstance(value, str):
        return float(value)
    raise TypeError(f"{name} is a number, not {type(value).__name__}")


def read_int(name: str, value: object) -> int:
    """Return a whole number; raises TypeError naming it."""
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "__index__"):
        return int(value.__index__())
    raise TypeError(f"{name} is a whole number, not {type(value).__name__}")


def read_seed(name: str, value: object) -> int:
    """Return a seed as llama.cpp counts, in 32 bits: -1 is 0xFFFFFFFF, which draws one at random."""
    return read_int(name, value) & _SEED_MASK


def draw_seed(seed: int) -> int:
    """Return the seed that follows another, the one that llama_cpp draws where a call names none."""
    # random.Random(seed).randint(0, 2**32) without importing random, whose hashes take longer than a token.
    import _random

    source = _random.Random(seed)
    drawn = source.getrandbits(33)
    while drawn > _SEED_MASK + 1:
        drawn = source.getrandbits(33)
    return drawn


def read_logit_bias(value: object) -> dict[int, float] | None:
    """Return a logit bias by token; keys may be strings, as JSON has them."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError(f"logit_bias is a dict of token to number, not {type(value).__name__}")
    return {_read_token(key): read_float("a value of logit_bias", bias) for key, bias in value.items()}


def _read_token(key: object) -> int:
    if isinstance(key, str):
        try:
            return int(key)
        except ValueError:
            raise TypeError(f"logit_bias is keyed by token, not by {key!r}") from None
    return read_int("a key of logit_bias", key)


def make_sampling(given: Mapping[str, Any], last_n_tokens: int, seed: int) -> dict[str, Any]:
    """Return the engine's settings from arguments under llama_cpp's names.

    Raises:
        TypeError: one has the wrong type.
        NotImplementedError: Python is asked to take part in sampling.
    """
    refuse_callbacks(given)
    sampling: dict[str, Any] = {name: read_float(name, given[name]) for name in _FLOATS}
    sampling["top_k"] = read_int("top_k", given["top_k"])
    sampling["mirostat_mode"] = read_int("mirostat_mode", given["mirostat_mode"])
    sampling["penalty_last_n"] = last_n_tokens
    sampling["seed"] = seed & _SEED_MASK
    sampling["logit_bias"] = read_logit_bias(given.get("logit_bias"))
    sampling["grammar"] = read_grammar(given["grammar"])
    return sampling


def refuse_callbacks(given: Mapping[str, Any]) -> None:
    """Raise NotImplementedError for what would call Python for each token."""
    for name, instead in (("logits_processor", "logit_bias or grammar"), ("stopping_criteria", "stop or max_tokens")):
        if given.get(name) is not None:
            raise NotImplementedError(f"{name} is not supported: no Python runs between two tokens; use {instead}")
