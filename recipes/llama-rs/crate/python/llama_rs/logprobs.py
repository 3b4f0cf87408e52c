"""Logarithms of probabilities in the shape of a completion."""

from __future__ import annotations

import codecs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .model import Model


class Logprobs:
    """Shapes the log probabilities of one completion, part by part.

    Args:
        model: the model.
        wanted: how many alternatives for each token.
        offset: where the first token's text begins, in characters.
    """

    def __init__(self, model: Model, wanted: int, offset: int) -> None:
        self._model = model
        self._wanted = wanted
        self._offset = offset
        # As in llama_cpp, an offset counts the whole characters before it.
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._pieces: dict[int, bytes] = {}

    def shape(self, part: dict[str, Any]) -> dict[str, Any]:
        """Return tokens, text_offset, token_logprobs and top_logprobs of a part."""
        shaped = _empty()
        for token, (logprob, alternatives, _) in zip(part["tokens"], part["logprobs"], strict=False):
            self._add(shaped, token, logprob, alternatives)
        return shaped

    def shape_prompt(self, prompt: Sequence[int], part: dict[str, Any]) -> dict[str, Any]:
        """Return the same for prompt and completion together; of the first token nothing is known."""
        first = 1 if prompt[0] == self._model.facts["bos"] else 0
        shaped = _empty()
        for position in range(first, len(prompt)):
            logprob, alternatives = self._known(position, prompt[position]) if position else (0.0, [])
            self._add(shaped, prompt[position], logprob, alternatives)
        for token, (logprob, alternatives, _) in zip(part["tokens"], part["logprobs"], strict=False):
            self._add(shaped, token, logprob, alternatives)
        if shaped["tokens"]:
            shaped["token_logprobs"][0] = shaped["top_logprobs"][0] = None
        return shaped

    def _add(
        self, shaped: dict[str, Any], token: int, logprob: float, alternatives: Sequence[tuple[int, float]]
    ) -> None:
        piece = self._piece(token)
        text = piece.decode("utf-8", "ignore")
        top = {self._piece(other).decode("utf-8", "ignore"): value for other, value in alternatives[: self._wanted]}
        top[text] = logprob
        shaped["tokens"].append(text)
        shaped["text_offset"].append(self._offset)
        shaped["token_logprobs"].append(logprob)
        shaped["top_logprobs"].append(top)
        self._offset += len(self._decoder.decode(piece))

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            self._pieces[token] = self._model.engine.detokenize([token], False, False)
        return self._pieces[token]

    def _known(self, position: int, token: int) -> tuple[float, list[tuple[int, float]]]:
        """Return what the model thought of a prompt's token: the logits after the one before it."""
        logits = self._model.logits(position - 1).tolist()
        from heapq import nlargest
        from math import exp, log

        highest = max(logits)
        norm = highest + log(sum(exp(logit - highest) for logit in logits))
        best = nlargest(self._wanted, range(len(logits)), key=logits.__getitem__)
        return logits[token] - norm, [(other, logits[other] - norm) for other in best]


def _empty() -> dict[str, Any]:
    return {"tokens": [], "text_offset": [], "token_logprobs": [], "top_logprobs": []}
