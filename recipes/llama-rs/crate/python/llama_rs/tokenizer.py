"""Text to tokens and back, apart from the model's context."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .llama import Llama

# llama_tokenize counts bytes in an int.
MAX_TEXT_BYTES = 2**31 - 1


class LlamaTokenizer:
    """The tokenizer of a model; it ends with the model."""

    __slots__ = ("_llama",)

    def __init__(self, llama: Llama) -> None:
        self._llama = llama

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        """Tokenize bytes; see `Llama.tokenize`, but special tokens are recognized unless told otherwise."""
        return self._llama.tokenize(text, add_bos, special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Join the pieces of tokens; see `Llama.detokenize`."""
        return self._llama.detokenize(tokens, prev_tokens, special)

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        """Tokenize a str; what UTF-8 cannot hold is left out."""
        return self.tokenize(text.encode("utf-8", errors="ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Join the pieces of tokens as a str; bytes that are no UTF-8 are left out."""
        return self.detokenize(tokens).decode("utf-8", errors="ignore")


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
