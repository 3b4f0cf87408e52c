"""Completions in the shape that llama_cpp gives them, which is OpenAI's."""

from __future__ import annotations

import os
import time

from .logprobs import Logprobs
from .prompt import can_infill, count_wanted, prompt_tokens, read_stop
from .sampling import make_sampling, read_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .model import Model


def make_id(prefix: str) -> str:
    """Return a prefix with a random UUID of version 4; the module uuid takes long to import."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{prefix}-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Completion:
    """One call of create_completion: its arguments checked, ready to be run whole or in parts."""

    def __init__(self, model: Model, given: Mapping[str, Any]) -> None:
        self.model = model
        self.prompt = given["prompt"]
        self.suffix = given["suffix"]
        self.echo = given["echo"]
        self.tokens = prompt_tokens(model, self.prompt, self.suffix)
        self.logprobs = _read_logprobs(given["logprobs"])
        if self.echo and self.logprobs is not None and not model.logits_all:
            raise ValueError("logprobs of an echoed prompt need a model created with logits_all=True")
        self.sampling = make_sampling(given, model.last_n_tokens_size, 0)
        self.seed = None if given["seed"] is None else read_int("seed", given["seed"])
        self.options = {
            "max_tokens": count_wanted(given["max_tokens"], len(self.tokens), model.n_ctx()),
            "stop": read_stop(given["stop"]),
            "logprobs": self.logprobs,
            "group": model.stream_group,
        }
        self.head = {
            "id": make_id("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": given["model"] if given["model"] is not None else model.model_path,
        }

    def run(self) -> dict[str, Any]:
        """Generate all of it in one call of the engine."""
        model = self.model
        self.sampling["seed"] = model.next_seed(self.seed)
        part = model.engine.complete(self.tokens, self.sampling, self.options)
        text = part["text"]
        if self.echo:
            text = self._prompt_text() + text
        if self.suffix is not None and not can_infill(model):
            text += self.suffix
        n_prompt, n_generated = len(self.tokens), len(part["tokens"])
        choice = {
            "text": text,
            "index": 0,
            "logprobs": self._whole_logprobs(part),
            "finish_reason": part["finish_reason"],
        }
        usage = {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_generated,
            "total_tokens": n_prompt + n_generated,
        }
        return {**self.head, "choices": [choice], "usage": usage, "timings": part["timings"]}

    def stream(self) -> Iterator[dict[str, Any]]:
        """Yield chunks as text comes; the last has no text, but finish_reason and timings."""
        model = self.model
        self.sampling["seed"] = model.next_seed(self.seed)
        stream = model.engine.stream(self.tokens, self.sampling, self.options)
        shaper = None if self.logprobs is None else Logprobs(model, self.logprobs, self._offset())
        head = self.head
        part: dict[str, Any] = {}
        try:
            for part in stream:
                text = part["text"]
                found = shaper.shape(part) if shaper is not None and part["tokens"] else None
                if text or found is not None:
                    choice = {"text": text, "index": 0, "logprobs": found, "finish_reason": None}
                    yield {**head, "choices": [choice]}
        finally:
            # A generator that is left early must not let the engine go on.
            stream.close()
        last = {"text": "", "index": 0, "logprobs": None, "finish_reason": part["finish_reason"]}
        yield {**head, "choices": [last], "timings": part["timings"]}

    def _prompt_text(self) -> str:
        if isinstance(self.prompt, str):
            return self.prompt
        return self.model.detokenize(self.tokens, special=True).decode("utf-8", errors="ignore")

    def _offset(self) -> int:
        # Of a prompt of tokens, llama_cpp counts the tokens.
        if self.echo:
            return 0
        return len(self.prompt if isinstance(self.prompt, str) else self.tokens)

    def _whole_logprobs(self, part: dict[str, Any]) -> dict[str, Any] | None:
        if self.logprobs is None:
            return None
        shaper = Logprobs(self.model, self.logprobs, self._offset())
        if not self.echo:
            return shaper.shape(part)
        return shaper.shape_prompt(self.tokens, part)


def _read_logprobs(logprobs: object) -> int | None:
    if logprobs is None:
        return None
    wanted = read_int("logprobs", logprobs)
    if wanted < 0:
        raise ValueError(f"logprobs is {wanted}, and may not be below 0")
    return wanted
