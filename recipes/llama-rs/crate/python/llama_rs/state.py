"""What `Llama.save_state` gives."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class LlamaState:
    """The context of a model at one moment: its tokens, and its cache as llama.cpp writes it.

    Attributes have llama_cpp's names. `scores` is None: logits are computed anew when generation goes on.
    """

    __slots__ = ("input_ids", "llama_state", "llama_state_size", "n_tokens", "scores", "seed")

    def __init__(
        self,
        input_ids: Sequence[int],
        scores: None,
        n_tokens: int,
        llama_state: bytes,
        llama_state_size: int,
        seed: int,
    ) -> None:
        self.input_ids = input_ids
        self.scores = scores
        self.n_tokens = n_tokens
        self.llama_state = llama_state
        self.llama_state_size = llama_state_size
        self.seed = seed

    def __repr__(self) -> str:
        return f"<LlamaState of {self.n_tokens} tokens, {self.llama_state_size} bytes>"


def check_state(state: object) -> LlamaState:
    """Return a state whose figures fit each other.

    Raises:
        TypeError: it is no LlamaState, or holds something else than bytes and integers.
        ValueError: its figures contradict each other.
    """
    if not isinstance(state, LlamaState):
        raise TypeError(f"load_state takes what save_state returned, not {type(state).__name__}")
    if not isinstance(state.llama_state, bytes):
        raise TypeError(f"llama_state is bytes, not {type(state.llama_state).__name__}")
    if len(state.llama_state) != state.llama_state_size:
        raise ValueError(f"llama_state has {len(state.llama_state)} bytes, and llama_state_size is not that")
    if not 0 <= state.n_tokens <= len(state.input_ids):
        raise ValueError(f"n_tokens is {state.n_tokens}, but there are {len(state.input_ids)} input_ids")
    return state
