"""The engine as the extension module gives it: bytes, integers and floats. `Llama` is made of it."""

from collections.abc import Sequence
from typing import Any, final

__all__ = [
    "ENGINE_SETTINGS",
    "SAMPLING_SETTINGS",
    "Engine",
    "EngineError",
    "Stream",
    "bench",
    "check_sampling",
    "system_info",
]

ENGINE_SETTINGS: tuple[str, ...]
SAMPLING_SETTINGS: tuple[str, ...]

class EngineError(RuntimeError):
    """llama.cpp refused something; the message says what."""

@final
class Engine:
    """A model with its context, owned by one worker thread; calls from several threads wait for each other.

    Every method releases the GIL for as long as it works, can be left by KeyboardInterrupt, and raises ValueError
    ("the model is closed") after `close`.
    """

    def __new__(
        cls,
        path: str,
        **settings: Any,
    ) -> Engine:
        """Load a model.

        settings: by the names of ENGINE_SETTINGS, which are llama_cpp's; types, defaults and ranges stand in
            logic/src/settings.rs. flash_attn=None lets llama.cpp decide, cpus are those that the threads may use (none:
            any), poll is how long idle threads spin.

        Raises TypeError for an unknown name or a wrong type, ValueError for what is out of range.
        """
    def close(self) -> None:
        """Free context, model and thread; a second call does nothing."""
    @property
    def closed(self) -> bool: ...

    # what was loaded
    def settings(self) -> dict[str, Any]:
        """What llama.cpp itself says, read back from model and context.

        From the context: n_ctx, n_batch, n_ubatch, n_seq_max, n_threads, n_threads_batch, pooling_type. From what
        llama.cpp logged as it loaded (None where it said nothing): flash_attn, type_k, type_v (names such as "f16"),
        rope_freq_base, rope_freq_scale, rope_scaling, yarn_orig_ctx, use_mmap.
        """
    def load_log(self) -> str:
        """What llama.cpp logged while model and context were made, at most 256 KiB."""
    def load_ms(self) -> float: ...
    def metadata(self) -> dict[str, str]: ...
    def describe(self) -> dict[str, Any]:
        """n_vocab, n_embd, n_ctx_train, n_layer, n_params, size (bytes), vocab_type, add_bos, add_eos, and the ids of
        bos, eos, eot, sep, nl, pad, fim_pre, fim_suf, fim_mid (-1 where there is none)."""
    def is_eog(self, token: int) -> bool: ...

    # text
    def tokenize(self, text: bytes, add_special: bool, parse_special: bool) -> list[int]: ...
    def detokenize(self, tokens: Sequence[int], remove_special: bool, unparse_special: bool) -> bytes:
        """Join the pieces of tokens as llama_token_to_piece gives them; `unparse_special` spells special tokens out."""
    def render_chat(self, template: str, context_json: str) -> str:
        """Render a chat template (Jinja) in a sandbox: no file, no import, bounded steps and output.

        context_json: messages, tools, bos_token, eos_token, add_generation_prompt and what else the template reads.
        Raises ValueError with the template's own message for raise_exception(), a syntax error, or a bound reached.
        """

    # low level: the context holds `input_ids`, whose keys and values are in its cache
    def reset(self) -> None: ...
    def eval(self, tokens: Sequence[int]) -> None:
        """Decode tokens after those in the context, n_batch at a time. Raises ValueError when they do not fit."""
    @property
    def n_tokens(self) -> int: ...
    def input_ids(self) -> list[int]: ...
    def truncate(self, n_tokens: int) -> None:
        """Forget all tokens from position `n_tokens` on, and begin the sampler of `sample` anew in any case."""
    def logits(self, position: int = -1) -> bytes:
        """The logits after a position as little-endian float32, n_vocab of them; with logits_all of any position."""
    def sample(self, sampling: dict[str, Any]) -> int:
        """Choose a token after the last position; the sampler goes on from call to call while `sampling` is equal."""
    def embed(self, inputs: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """For each input one row a token (pooling none), or one row (pooled). The context is reset before and after."""
    def save_state(self) -> bytes: ...
    def load_state(self, state: bytes, input_ids: Sequence[int]) -> None: ...
    def set_threads(self, n_threads: int, n_threads_batch: int) -> None: ...

    # a whole completion in one loop
    def complete(self, prompt: Sequence[int], sampling: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """Complete a prompt and return all of it: see `Stream.__next__`; texts and tokens are joined.

        sampling: by the names of SAMPLING_SETTINGS; logit_bias is a dict of token to number, grammar GBNF or
            None. The same chain of llama.cpp's samplers in the same order as llama_cpp builds it, so that a seed gives
            the same text; temperature 0 without penalties, bias and grammar is the arg-max of
            the logits, and top_k alone is chosen before the chain runs.
        options: max_tokens (below 1: until the context is full), stop (list of bytes), logprobs (None or how many
            alternatives), group (tokens that are sent at once; a first token is sent by itself).

        What the context has in common with the prompt is not decoded again. Raises ValueError for an empty prompt,
        one longer than the context, a token out of range, a bad setting, a grammar that does not parse.
        """
    def stream(self, prompt: Sequence[int], sampling: dict[str, Any], options: dict[str, Any]) -> Stream:
        """Begin a completion; it goes on in the worker while its parts are read. Errors as in `complete`."""

@final
class Stream:
    """The parts of a completion. Dropping or closing it cancels what is left of it."""

    def __iter__(self) -> Stream: ...
    def __next__(self) -> dict[str, Any]:
        """The next part: text (str: whole characters; bytes that can never be one become U+FFFD), tokens (list of
        int) and logprobs (None, or for each token (logprob, [(token, logprob), ...], offset of its first byte)).

        Text that may be the beginning of a stop string is kept back. The last part has finish_reason ("stop" or
        "length") besides, and timings: cache_n, prompt_n, prompt_ms, prompt_per_second, predicted_n, predicted_ms,
        predicted_per_second, time_to_first_token_ms, load_ms.
        """
    def close(self) -> None: ...

def check_sampling(sampling: dict[str, Any]) -> None:
    """Raise TypeError or ValueError for what no model takes; `complete`, `stream` and `sample` look at the rest."""

def system_info() -> str:
    """llama_print_system_info()."""

def bench(engine: Engine, n_prompt: int, n_gen: int) -> dict[str, float]:
    """Time one pass without sampling as llama-bench does: prompt_ms of n_prompt tokens, predicted_ms of n_gen."""
