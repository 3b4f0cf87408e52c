"""Texts and tokens that come from a caller."""

from __future__ import annotations

from .sampling import read_int

# llama_tokenize counts bytes in an int.
MAX_TEXT_BYTES = 2**31 - 1


def read_tokens(name: str, tokens: object) -> list[int]:
    """Return a sequence of tokens as a list of int.

    Raises:
        TypeError: it is no sequence, or not of whole numbers.
    """
    if isinstance(tokens, (str, bytes, bytearray)) or not hasattr(tokens, "__iter__"):
        raise TypeError(f"{name} is a sequence of tokens, not {type(tokens).__name__}")
    found = list(tokens)
    # The engine takes ints as they are; numpy's and the like are turned into ints one by one.
    if all(type(token) is int for token in found):
        return found
    return [read_int(f"a token of {name}", token) for token in found]


def encode_text(text: str, max_tokens: int, max_bytes_a_token: int = 1024) -> bytes:
    """Return a prompt's bytes, or refuse it before it is tokenized, which would take long.

    No tokenizer that llama.cpp knows has pieces of 1024 bytes, so that a text of more than that times the context's
    tokens cannot fit.

    Raises:
        ValueError: it is too long, or holds a lone surrogate (UnicodeEncodeError).
    """
    most = max_tokens * max_bytes_a_token
    # A str has at least as many bytes as characters: a huge one is not copied to be counted.
    encoded = text.encode() if len(text) <= most else None
    if encoded is None or len(encoded) > most:
        raise ValueError(
            f"the prompt's {len(text)} characters cannot fit into the context window of {max_tokens} tokens"
        )
    return encoded
