"""Generation token by token, with the caller between two tokens."""

from __future__ import annotations

from .prompt import read_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from .llama import Llama


def generate(
    llama: Llama, prompt: list[int], sampling: dict[str, Any], reset: bool
) -> Generator[int, Sequence[int] | None, None]:
    """Yield tokens for ever; what is sent in follows the token that was yielded."""
    engine = llama.engine
    waiting = _keep_prefix(llama, prompt) if reset else prompt
    if not waiting and not llama.can_sample:
        raise ValueError("the prompt is empty")
    while True:
        if waiting:
            llama.eval(waiting)
        token = engine.sample(sampling)
        sent = yield token
        waiting = [token] if sent is None else [token, *read_tokens("what is sent", sent)]


def _keep_prefix(llama: Llama, prompt: list[int]) -> list[int]:
    """Cut the context to what it has in common with a prompt, and return what is left to decode."""
    engine = llama.engine
    held = engine.input_ids()
    if llama.can_sample and held == prompt:
        # Nothing to decode; this begins the sampler anew.
        engine.truncate(len(held))
        return []
    common = count_common(held, prompt)
    # One token at least has to be decoded, or there are no logits to sample from.
    engine.truncate(max(0, min(common, len(prompt) - 1)))
    llama.can_sample = False
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
