"""The engine as the extension module gives it: bytes, integers and floats. `Llama` is made of it."""

from collections.abc import Sequence
from typing import Any, final

__all__ = ["Engine", "EngineError", "Stream", "bench", "system_info"]

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
        *,
        # model
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        check_tensors: bool = False,
        use_extra_bufts: bool = True,
        kv_overrides: Sequence[tuple[str, bool | int | float | str]] = (),
        # context; 0 is the model's own where llama.cpp takes it so
        n_ctx: int = 512,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: int = 1,
        n_threads_batch: int = 1,
        rope_scaling_type: int = -1,
        pooling_type: int = -1,
        attention_type: int = -1,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        type_k: int | None = None,
        type_v: int | None = None,
        flash_attn: int = 0,
        embedding: bool = False,
        logits_all: bool = False,
        offload_kqv: bool = True,
        op_offload: bool | None = None,
        swa_full: bool | None = None,
        no_perf: bool = False,
        # threads: CPUs that the pool may use (empty: any), how long its threads spin (0 to 100; None: llama.cpp's)
        cpus: Sequence[int] = (),
        poll: int | None = None,
    ) -> Engine: ...
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

        sampling: temperature, top_k, top_p, min_p, typical_p, repeat_penalty, frequency_penalty, presence_penalty,
            penalty_last_n, mirostat_mode, mirostat_tau, mirostat_eta, seed, logit_bias (dict of int to float),
            grammar (GBNF, or None). The same chain of llama.cpp's samplers in the same order as llama_cpp builds it,
            so that a seed gives the same text; temperature 0 without penalties, bias and grammar is the arg-max of
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

def system_info() -> str:
    """llama_print_system_info()."""

def bench(engine: Engine, n_prompt: int, n_gen: int) -> dict[str, float]:
    """Time one pass without sampling as llama-bench does: prompt_ms of n_prompt tokens, predicted_ms of n_gen."""
