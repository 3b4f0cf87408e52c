"""A loaded model with its context: what the engine does by itself, and what `Llama` is made of."""

from __future__ import annotations

import atexit
import weakref
from array import array

from . import constants
from ._native import Engine
from .sampling import draw_seed, read_int
from .text import MAX_TEXT_BYTES, read_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence
    from typing import Any

    from typing_extensions import Self

_OPEN: weakref.WeakSet[Model] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop every engine before the process takes down llama.cpp's own variables, which a running one still uses."""
    for model in list(_OPEN):
        model.close()


class Model:
    """A model and its context, by the methods that one call of the engine answers.

    Args:
        path: the GGUF file.
        settings: the engine's, which checks them.
        seed: of calls that name none.
    """

    last_n_tokens_size = 64
    """How many tokens the penalties look back on."""
    stream_group = 1
    """How many tokens a chunk of a stream has."""

    def __init__(self, path: str, settings: dict[str, Any], seed: object) -> None:
        self._seed = read_int("seed", seed) or constants.LLAMA_DEFAULT_SEED
        self.model_path = path
        self.engine = Engine(path, **settings)
        _OPEN.add(self)
        self.logits_all = bool(settings["logits_all"])
        self.embedding = bool(settings["embedding"])
        self.n_threads: int = settings["n_threads"]
        self.n_threads_batch: int = settings["n_threads_batch"]
        self.facts: dict[str, Any] = self.engine.describe()
        self._settings: dict[str, Any] = self.engine.settings()
        self._n_ctx: int = self._settings["n_ctx"] or 0
        self.n_batch: int = self._settings["n_batch"] or int(settings["n_batch"])
        self._metadata: dict[str, str] | None = None
        # Whether the last eval left logits to sample from.
        self.can_sample = False

    # Text and tokens

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Tokenize UTF-8, with the model's BOS token where it wants one; `special` recognizes special tokens."""
        if not isinstance(text, (bytes, bytearray)):
            raise TypeError(f"text is bytes, not {type(text).__name__}")
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError(f"text has {len(text)} bytes, and {MAX_TEXT_BYTES} is the most that can be tokenized")
        return self.engine.tokenize(bytes(text), bool(add_bos), bool(special))

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """Join the pieces of tokens; `special` spells special tokens out.

        As in llama_cpp, a space that follows a leading BOS token is left out, and `prev_tokens` has no effect.
        """
        del prev_tokens
        found = read_tokens("tokens", tokens)
        text = self.engine.detokenize(found, False, bool(special))
        return text[1:] if found and found[0] == self.facts["bos"] and text[:1] == b" " else text

    def spell(self, token: int) -> str:
        """Return a special token's own text, or "" for -1."""
        return self.engine.detokenize([token], False, True).decode("utf-8", "replace") if token >= 0 else ""

    def token_bos(self) -> int:
        """Return the token that begins a text, or -1."""
        return int(self.facts["bos"])

    def token_eos(self) -> int:
        """Return the token that ends a text, or -1."""
        return int(self.facts["eos"])

    def token_nl(self) -> int:
        """Return the token of a line's end, or -1."""
        return int(self.facts["nl"])

    # Token by token

    def reset(self) -> None:
        """Forget all tokens."""
        self.can_sample = False
        self.engine.reset()

    def eval(self, tokens: Sequence[int]) -> None:
        """Decode tokens after those in the context; raises ValueError when they do not fit."""
        self.engine.eval(read_tokens("tokens", tokens))
        self.can_sample = True

    def is_eog(self, token: int) -> bool:
        """Say whether a token ends what is generated."""
        return self.engine.is_eog(read_int("token", token))

    def logits(self, position: int = -1) -> memoryview[float]:
        """Return the n_vocab logits after a position as float32; of any but the last only with logits_all."""
        return memoryview(self.engine.logits(read_int("position", position))).cast("f")

    @property
    def n_tokens(self) -> int:
        """How many tokens the context holds."""
        return self.engine.n_tokens

    @property
    def input_ids(self) -> array[int]:
        """The tokens in the context, n_tokens of them."""
        return array("i", self.engine.input_ids())

    @property
    def eval_tokens(self) -> deque[int]:
        """The tokens in the context."""
        from collections import deque

        return deque(self.engine.input_ids(), maxlen=self._n_ctx)

    @property
    def eval_logits(self) -> deque[list[float]]:
        """The logits of all positions with logits_all, else of the last."""
        from collections import deque

        n_tokens = self.n_tokens
        known = range(n_tokens) if self.logits_all else range(max(0, n_tokens - 1), n_tokens)
        return deque((list(self.logits(position)) for position in known), maxlen=self._n_ctx)

    # Seeds

    def set_seed(self, seed: int) -> None:
        """Set the seed of calls that name none."""
        self._seed = read_int("seed", seed)

    def next_seed(self, seed: int | None) -> int:
        """Return the seed of a call in 32 bits, and remember it as llama_cpp does."""
        self._seed = draw_seed(self._seed) if seed is None else seed
        return self._seed & 0xFFFFFFFF

    # What was loaded

    @property
    def metadata(self) -> dict[str, str]:
        """The model file's keys and values; arrays are left out."""
        if self._metadata is None:
            self._metadata = self.engine.metadata()
        return self._metadata

    def settings(self) -> dict[str, Any]:
        """Return what llama.cpp made of the arguments, as it says itself; None where it says nothing."""
        return self.engine.settings()

    def n_ctx(self) -> int:
        """Return how many tokens the context has room for."""
        return self._n_ctx

    def n_embd(self) -> int:
        """Return the length of an embedding."""
        return int(self.facts["n_embd"])

    def n_vocab(self) -> int:
        """Return the number of tokens that the model knows."""
        return int(self.facts["n_vocab"])

    def pooling_type(self) -> int:
        """Return how embeddings of tokens become one: a LLAMA_POOLING_TYPE."""
        return int(self._settings["pooling_type"])

    # Life

    def close(self) -> None:
        """Free the model; every other method raises ValueError afterwards. A second call does nothing."""
        engine = self.__dict__.get("engine")
        if engine is not None:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
