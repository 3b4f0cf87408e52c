"""Chats: messages to a prompt through the model's template, and completions to chat completions."""

from __future__ import annotations

from .grammar import JSON_OBJECT_GBNF
from .text import encode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .model import Model

_REFUSED = {
    "functions": "give them as tools, which the model's template writes into the prompt",
    "function_call": "give the functions as tools, and bind the answer with a grammar",
    "tool_choice": "bind the answer with a grammar or response_format",
}


def refuse_tool_calls(given: Mapping[str, Any]) -> None:
    """Raise NotImplementedError for arguments that would have answers parsed as calls."""
    for name, instead in _REFUSED.items():
        if given[name] is not None:
            raise NotImplementedError(f"{name} is not supported: {instead}")


def chat_tokens(model: Model, messages: object, tools: object) -> list[int]:
    """Return the prompt of a chat as the model's own template writes it.

    Raises:
        TypeError: messages or tools are no lists of dicts, or hold what JSON cannot.
        ValueError: the model has no template, or the template refuses the messages.
    """
    from json import dumps

    template = model.metadata.get("tokenizer.chat_template")
    if not template:
        raise ValueError("this model has no chat template; write the prompt yourself and use create_completion")
    _check_dicts("messages", messages)
    if tools is not None:
        _check_dicts("tools", tools)
    context = {
        "messages": messages,
        "tools": tools,
        "functions": None,
        "function_call": None,
        "tool_choice": None,
        "bos_token": model.spell(model.facts["bos"]),
        "eos_token": model.spell(model.facts["eos"]),
        "add_generation_prompt": True,
    }
    text = model.engine.render_chat(template, dumps(context, ensure_ascii=False))
    # The template writes BOS itself where the model wants one.
    return model.engine.tokenize(encode_text(text, model.n_ctx()), False, True)


def _check_dicts(name: str, found: object) -> None:
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, dict) for item in found):
        raise TypeError(f"{name} is a list of dicts")
    if name == "messages" and not found:
        raise ValueError("messages is empty")


def chat_stop(model: Model, stop: object) -> list[Any]:
    """Return the caller's stop strings and the text of the model's end token."""
    found = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if isinstance(found, (bytes, dict)) or not hasattr(found, "__iter__"):
        raise TypeError(f"stop is a str or a list of str, not {type(found).__name__}")
    end = model.spell(model.facts["eos"])
    return [*found, end] if end else list(found)


def chat_grammar(response_format: object, grammar: object) -> object:
    """Return the grammar that a response format asks for, or the one that was given."""
    if response_format is None:
        return grammar
    if not isinstance(response_format, dict):
        raise TypeError(f"response_format is a dict, not {type(response_format).__name__}")
    kind = response_format.get("type")
    if kind == "text":
        return grammar
    if kind != "json_object":
        raise NotImplementedError(f"response_format of type {kind!r} is not supported; use json_object or a grammar")
    if response_format.get("schema") is not None:
        raise NotImplementedError("response_format's schema is not supported; leave it out, or write a grammar")
    return JSON_OBJECT_GBNF


def to_chat(completion: dict[str, Any]) -> dict[str, Any]:
    """Return a completion as a chat completion."""
    choice = completion["choices"][0]
    return {
        "id": "chat" + completion["id"],
        "object": "chat.completion",
        "created": completion["created"],
        "model": completion["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": choice["text"]},
                "logprobs": _to_chat_logprobs(choice["logprobs"]),
                "finish_reason": choice["finish_reason"],
            }
        ],
        "usage": completion["usage"],
        "timings": completion["timings"],
    }


def to_chat_chunks(chunks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a completion's chunks as a chat's: the first has the role, the last an empty delta."""
    head: dict[str, Any] = {}
    for chunk in chunks:
        if not head:
            head = {
                "id": "chat" + chunk["id"],
                "model": chunk["model"],
                "created": chunk["created"],
                "object": "chat.completion.chunk",
            }
            yield {**head, "choices": [_delta({"role": "assistant"}, None, None)]}
        choice = chunk["choices"][0]
        finish = choice["finish_reason"]
        if finish is None:
            delta = _delta({"content": choice["text"]}, _to_chat_logprobs(choice["logprobs"]), None)
            yield {**head, "choices": [delta]}
        else:
            yield {**head, "choices": [_delta({}, None, finish)], "timings": chunk["timings"]}


def _delta(delta: dict[str, str], logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _to_chat_logprobs(logprobs: dict[str, Any] | None) -> dict[str, Any] | None:
    if logprobs is None:
        return None
    rows = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return {
        "content": [
            {
                "token": token,
                "bytes": None,
                "logprob": logprob,
                "top_logprobs": [{"token": other, "logprob": value, "bytes": None} for other, value in top.items()],
            }
            for token, logprob, top in rows
        ],
        "refusal": None,
    }
