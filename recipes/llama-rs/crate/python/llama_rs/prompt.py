"""From a prompt to its tokens."""

from __future__ import annotations

from .sampling import read_int
from .text import encode_text, read_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .model import Model


def prompt_tokens(model: Model, prompt: object, suffix: str | None) -> list[int]:
    """Return a completion's prompt as tokens, with the special ones that the model wants around it.

    A prompt of tokens is taken as it is. An empty str becomes the model's BOS token, if it has one.

    Raises:
        TypeError: the prompt is neither str nor sequence of tokens, or the suffix no str.
        ValueError: it is empty, or too long for the context.
    """
    if suffix is not None and not isinstance(suffix, str):
        raise TypeError(f"suffix is a str, not {type(suffix).__name__}")
    facts = model.facts
    infill = suffix is not None and _can_infill(facts)
    text = prompt if isinstance(prompt, str) else None
    tokens = read_tokens("prompt", prompt) if text is None else _tokenize(model, text, special=not infill)
    if infill:
        end = _tokenize(model, suffix or "", special=False)
        tokens = [facts["fim_pre"], *tokens, facts["fim_suf"], *end, facts["fim_mid"]]
    if text is not None or infill:
        tokens = _add_special(tokens, facts)
    _check(model, tokens, facts["bos"])
    return tokens


def _tokenize(model: Model, text: str, special: bool) -> list[int]:
    return model.engine.tokenize(encode_text(text, model.n_ctx()), False, special) if text else []


def _can_infill(facts: dict[str, Any]) -> bool:
    return all(facts[name] >= 0 for name in ("fim_pre", "fim_suf", "fim_mid"))


def can_infill(model: Model) -> bool:
    """Say whether the model has tokens for text between a beginning and an end."""
    return _can_infill(model.facts)


def _add_special(tokens: list[int], facts: dict[str, Any]) -> list[int]:
    bos, sep = facts["bos"], facts["sep"]
    first = [bos] if bos >= 0 and (facts["add_bos"] or not tokens) else []
    last = [sep if sep >= 0 else facts["eos"]] if facts["add_eos"] or sep >= 0 else []
    return [*first, *tokens, *last]


def _check(model: Model, tokens: Sequence[int], bos: int) -> None:
    if not tokens:
        raise ValueError("the prompt is empty")
    if len(tokens) >= model.n_ctx():
        raise ValueError(f"Requested tokens ({len(tokens)}) exceed context window of {model.n_ctx()}")
    if bos >= 0 and tokens[:2] == [bos, bos]:
        import warnings

        warnings.warn(
            "the prompt begins with two BOS tokens: the model adds one itself, leave yours out",
            RuntimeWarning,
            stacklevel=4,
        )


def count_wanted(max_tokens: object, n_prompt: int, n_ctx: int) -> int:
    """Return how many tokens may be generated: what is asked for, or what the context has room for."""
    room = n_ctx - n_prompt
    wanted = -1 if max_tokens is None else read_int("max_tokens", max_tokens)
    return room if wanted <= 0 else min(wanted, room)


def read_stop(stop: object) -> list[bytes]:
    """Return stop strings as bytes.

    Raises:
        TypeError: they are neither None, a str nor a sequence of str.
        ValueError: one is empty: it would stop everything at once.
    """
    if stop is None:
        return []
    found = [stop] if isinstance(stop, str) else stop
    if isinstance(found, (bytes, dict)) or not hasattr(found, "__iter__"):
        raise TypeError(f"stop is a str or a list of str, not {type(found).__name__}")
    read = []
    for text in found:
        if not isinstance(text, str):
            raise TypeError(f"stop is a str or a list of str, not of {type(text).__name__}")
        if not text:
            raise ValueError("stop holds an empty string, which every text contains")
        read.append(text.encode())
    return read
