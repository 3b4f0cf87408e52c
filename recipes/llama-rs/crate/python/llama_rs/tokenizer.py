"""Text to tokens and back, apart from the model's context."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Model


class LlamaTokenizer:
    """The tokenizer of a model; it ends with the model."""

    __slots__ = ("_model",)

    def __init__(self, model: Model) -> None:
        self._model = model

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        """Tokenize bytes; see `Llama.tokenize`, but special tokens are recognized unless told otherwise."""
        return self._model.tokenize(text, add_bos, special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Join the pieces of tokens; see `Llama.detokenize`."""
        return self._model.detokenize(tokens, prev_tokens, special)

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        """Tokenize a str; what UTF-8 cannot hold is left out."""
        return self.tokenize(text.encode("utf-8", errors="ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Join the pieces of tokens as a str; bytes that are no UTF-8 are left out."""
        return self.detokenize(tokens).decode("utf-8", errors="ignore")
