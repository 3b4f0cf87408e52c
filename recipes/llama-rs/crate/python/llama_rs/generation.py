"""Generation token by token, with the caller between two tokens."""

from __future__ import annotations

from .text import read_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from .model import Model


def generate(
    model: Model, prompt: list[int], sampling: dict[str, Any], reset: bool
) -> Generator[int, Sequence[int] | None, None]:
    """Yield tokens for ever; what is sent in follows the token that was yielded."""
    engine = model.engine
    waiting = _keep_prefix(model, prompt) if reset else prompt
    if not waiting and not model.can_sample:
        raise ValueError("the prompt is empty")
    while True:
        if waiting:
            model.eval(waiting)
        token = engine.sample(sampling)
        sent = yield token
        waiting = [token] if sent is None else [token, *read_tokens("what is sent", sent)]


def _keep_prefix(model: Model, prompt: list[int]) -> list[int]:
    """Cut the context to what it has in common with a prompt, and return what is left to decode."""
    engine = model.engine
    held = engine.input_ids()
    if model.can_sample and held == prompt:
        # Nothing to decode; this begins the sampler anew.
        engine.truncate(len(held))
        return []
    common = count_common(held, prompt)
    # One token at least has to be decoded, or there are no logits to sample from.
    engine.truncate(max(0, min(common, len(prompt) - 1)))
    model.can_sample = False
    # A recurrent model cannot forget a part, and forgot everything then.
    return prompt[engine.n_tokens :]


def count_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
