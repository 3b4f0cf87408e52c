"""`Llama`: a model and its context, with the methods of llama_cpp's class of this name."""

from __future__ import annotations

import sys

from . import constants
from ._native import system_info
from .arguments import engine_arguments, read_path, refuse_unknown, refuse_unsupported
from .chat import chat_grammar, chat_stop, chat_tokens, refuse_tool_calls, to_chat, to_chat_chunks
from .completion import Completion
from .embedding import embed
from .generation import generate
from .grammar import LlamaGrammar
from .model import Model
from .presets import with_preset
from .sampling import make_sampling, read_int
from .scores import read_scores
from .state import LlamaState, check_state
from .text import read_tokens
from .tokenizer import LlamaTokenizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from typing import Any, NoReturn


class Llama(Model):
    """A GGUF model, loaded to be run on the CPU.

    Arguments have llama_cpp's names, order and defaults. These differ:

    - n_threads, n_threads_batch: None takes the physical cores that affinity and control groups leave, for decoding
      on hybrid CPUs the performance cores alone; llama_rs.truewheel.threads() says how many, and why.
    - flash_attn: None lets llama.cpp decide.
    - check_tensors, use_extra_bufts, cpus and poll are llama.cpp's own, and llama_cpp has none of them: check the
      model's figures while loading; repack weights for this CPU; CPUs that threads may run on; how long idle threads
      spin, 0 to 100.
    - What `truewheel tune` has found for this machine and model takes the place of the defaults, as in llama_cpp's
      wheel; TRUEWHEEL_PRESET=off does without.
    - The threads stay from token to token, where llama_cpp's are started anew for each.
    - stream_group: how many tokens a chunk of a stream has; more than one spares Python's time. The first token comes
      by itself, at once.
    - logprobs need no logits_all, but those of an echoed prompt do.

    Raises:
        TypeError: an argument is unknown or has the wrong type.
        ValueError: an argument is out of range, or there is no such file.
        NotImplementedError: llama_cpp has it and this engine has not; the message names it and what to do instead.
        EngineError: llama.cpp cannot load the file.
    """

    @with_preset
    def __init__(
        self,
        model_path: str | os.PathLike[str],
        *,
        n_gpu_layers: int = 0,
        split_mode: int = constants.LLAMA_SPLIT_MODE_LAYER,
        main_gpu: int = 0,
        tensor_split: list[float] | None = None,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        kv_overrides: dict[str, bool | int | float | str] | None = None,
        seed: int = constants.LLAMA_DEFAULT_SEED,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        rope_scaling_type: int | None = constants.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
        pooling_type: int = constants.LLAMA_POOLING_TYPE_UNSPECIFIED,
        attention_type: int = constants.LLAMA_ATTENTION_TYPE_UNSPECIFIED,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        logits_all: bool = False,
        embedding: bool = False,
        offload_kqv: bool = True,
        flash_attn: bool | None = False,
        op_offload: bool | None = None,
        swa_full: bool | None = None,
        no_perf: bool = False,
        last_n_tokens_size: int = 64,
        lora_base: str | None = None,
        lora_scale: float = 1.0,
        lora_path: str | None = None,
        numa: bool | int = False,
        chat_format: str | None = None,
        chat_handler: object = None,
        draft_model: object = None,
        tokenizer: object = None,
        type_k: int | None = None,
        type_v: int | None = None,
        spm_infill: bool = False,
        verbose: bool = True,
        check_tensors: bool = False,
        use_extra_bufts: bool = True,
        cpus: Sequence[int] = (),
        poll: int | None = None,
        stream_group: int = 1,
        **kwargs: object,
    ) -> None:
        given = dict(locals())
        refuse_unknown(kwargs, given)
        refuse_unsupported(given)
        self.last_n_tokens_size = read_int("last_n_tokens_size", last_n_tokens_size)
        self.stream_group = read_int("stream_group", stream_group)
        if self.stream_group < 1:
            raise ValueError(f"stream_group is {self.stream_group}, and may not be below 1")
        super().__init__(read_path(model_path), engine_arguments(given), seed)
        self.verbose = verbose
        self.chat_format = None
        if verbose:
            sys.stderr.write(f"{self.engine.load_log()}{system_info()}\n")

    # Completions

    def create_completion(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: int | None = None,
        echo: bool = False,
        stop: str | Sequence[str] | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: int | None = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        stopping_criteria: object = None,
        logits_processor: object = None,
        grammar: LlamaGrammar | str | None = None,
        logit_bias: Mapping[int, float] | None = None,
    ) -> dict[str, Any] | Iterator[dict[str, Any]]:
        """Complete a prompt and return OpenAI's dict, or an iterator of its chunks with stream=True.

        Besides OpenAI's keys there is `timings`: cache_n, prompt_n, prompt_ms, prompt_per_second, predicted_n,
        predicted_ms, predicted_per_second, time_to_first_token_ms and load_ms; in a stream the last chunk has it.
        A stream starts when its first chunk is asked for. echo has no effect on a stream, and tfs_z has none at all:
        both as in llama_cpp.

        Args:
            prompt: text, or tokens that are taken as they are.
            suffix: text to fill up to, for models with tokens for that; after other models' text it is appended.
            max_tokens: None, or below 1, until the context is full.
            temperature: 0 takes the likeliest token each time, below 0 samples from the unchanged distribution.
            top_p: see llama.cpp, as for min_p, typical_p, top_k, mirostat and the penalties.
            min_p: the same.
            typical_p: the same.
            logprobs: how many alternatives to report for each token.
            echo: put the prompt before the text.
            stop: text that ends the completion, and is not part of it.
            frequency_penalty: see top_p.
            presence_penalty: see top_p.
            repeat_penalty: see top_p.
            top_k: see top_p.
            stream: return an iterator.
            seed: of sampling; None draws one from the seed of the constructor, or of the call before.
            tfs_z: without effect.
            mirostat_mode: see top_p.
            mirostat_tau: see top_p.
            mirostat_eta: see top_p.
            model: the name to report; None reports the path.
            stopping_criteria: not supported.
            logits_processor: not supported.
            grammar: what the text must be.
            logit_bias: numbers to add to the logits of tokens.

        Raises:
            ValueError: the prompt is empty or too long, or a setting or the grammar is wrong.
            TypeError: an argument has the wrong type.
            NotImplementedError: stopping_criteria or logits_processor is given.
        """
        completion = Completion(self, locals())
        self.can_sample = False
        return completion.stream() if stream else completion.run()

    __call__ = create_completion

    def create_chat_completion(
        self,
        messages: Sequence[Mapping[str, Any]],
        functions: object = None,
        function_call: object = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: object = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        logits_processor: object = None,
        grammar: LlamaGrammar | str | None = None,
        logit_bias: Mapping[int, float] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> dict[str, Any] | Iterator[dict[str, Any]]:
        """Answer messages and return OpenAI's dict, or an iterator of its chunks with stream=True.

        The model's own template writes the prompt; tools are given to it, and their calls are part of the text.
        response_format is {"type": "json_object"} or {"type": "text"}. The other arguments are as in
        create_completion.

        Raises:
            ValueError: the model has no template, the template refuses the messages, or as in create_completion.
            TypeError: an argument has the wrong type.
            NotImplementedError: functions, function_call, tool_choice, logits_processor or a JSON schema is given.
        """
        given = dict(locals())
        refuse_tool_calls(given)
        given["grammar"] = chat_grammar(response_format, grammar)
        given["stop"] = chat_stop(self, stop)
        given["prompt"] = chat_tokens(self, messages, tools)
        given["logprobs"] = (top_logprobs or 0) if logprobs else None
        completion = Completion(self, {**given, "suffix": None, "echo": False, "stopping_criteria": None})
        self.can_sample = False
        return to_chat_chunks(completion.stream()) if stream else to_chat(completion.run())

    def create_chat_completion_openai_v1(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the objects of the package openai are not made here."""
        raise NotImplementedError(
            "create_chat_completion_openai_v1 is not supported; create_chat_completion returns what openai's "
            "ChatCompletion(**answer) takes"
        )

    # Embeddings

    def create_embedding(self, input: str | list[str], model: str | None = None) -> dict[str, Any]:  # noqa: A002
        """Embed texts and return OpenAI's dict; raises as `embed`."""
        found, count = embed(self, input, normalize=False, truncate=True)
        data = [{"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(found)]
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {
            "object": "list",
            "data": data,
            "model": model if model is not None else self.model_path,
            "usage": usage,
        }

    def embed(
        self,
        input: str | list[str],  # noqa: A002 -- llama_cpp's name
        normalize: bool = False,
        truncate: bool = True,
        return_count: bool = False,
    ) -> Any:
        """Embed a text or a list of texts, each in n_embd floats, or in so many for each token without pooling.

        Args:
            input: one text gives one embedding, a list a list of them.
            normalize: make each row's Euclidean length 1.
            truncate: cut texts that are longer than n_batch tokens.
            return_count: return the number of all tokens besides.

        Raises:
            RuntimeError: the model was not created with embedding=True.
            ValueError: a text is empty, or longer than n_batch tokens and not to be cut.
        """
        self.can_sample = False
        found, count = embed(self, input, normalize, truncate)
        output = found[0] if isinstance(input, str) else found
        return (output, count) if return_count else output

    def tokenizer(self) -> LlamaTokenizer:
        """Return the tokenizer of this model."""
        return LlamaTokenizer(self)

    # Token by token

    def sample(
        self,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_eta: float = 0.1,
        mirostat_tau: float = 5.0,
        penalize_nl: bool = True,
        logits_processor: object = None,
        grammar: LlamaGrammar | str | None = None,
        idx: int | None = None,
    ) -> int:
        """Choose a token to follow the last one.

        The sampler goes on from call to call while the settings stay the same. tfs_z and penalize_nl have no effect,
        as in llama_cpp; idx may only be the last position.

        Raises:
            ValueError: nothing was decoded yet.
        """
        given = dict(locals())
        if idx is not None and idx != self.n_tokens - 1:
            raise NotImplementedError(f"idx is not supported but for the last position; eval up to {idx} and sample")
        sampling = self._make_sampling(given)
        if not self.can_sample:
            raise ValueError("there are no logits to sample from; call eval first")
        return self.engine.sample(sampling)

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: object = None,
        stopping_criteria: object = None,
        grammar: LlamaGrammar | str | None = None,
    ) -> Generator[int, Sequence[int] | None, None]:
        """Yield tokens that follow others, without end: leave the loop at a token that `is_eog`, or where you like.

        reset=False keeps the context and decodes `tokens` after it. Tokens that are sent into the generator follow
        the one that it yielded. create_completion is faster: it does not come back to Python for each token.

        Raises:
            ValueError: there is nothing to begin with, or the context is full.
        """
        given = dict(locals())
        return generate(self, read_tokens("tokens", tokens), self._make_sampling(given), reset)

    @property
    def scores(self) -> Any:
        """The logits as a numpy array of n_tokens rows, copied anew each time; see `logits` to do without numpy."""
        return read_scores(self)

    # State

    def save_state(self) -> LlamaState:
        """Return the context to be loaded again into a model created in the same way."""
        state = self.engine.save_state()
        tokens = self.input_ids
        return LlamaState(tokens, None, len(tokens), state, len(state), self._seed)

    def load_state(self, state: LlamaState) -> None:
        """Take a saved context.

        Raises:
            TypeError: it is no LlamaState.
            ValueError: its figures contradict each other.
            EngineError: llama.cpp refuses it.
        """
        checked = check_state(state)
        self.can_sample = False
        self.engine.load_state(checked.llama_state, read_tokens("input_ids", checked.input_ids)[: checked.n_tokens])
        self._seed = checked.seed

    def set_cache(self, cache: object) -> None:
        """Refuse: the context itself keeps the last prompt; for more, keep what save_state returns."""
        if cache is not None:
            raise NotImplementedError(
                "set_cache is not supported: what a prompt has in common with the last one is reused in any case; "
                "keep states of save_state for more"
            )

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: nothing is downloaded here."""
        raise NotImplementedError(
            "from_pretrained is not supported: download the GGUF file first, then Llama(its path)"
        )

    def _make_sampling(self, given: dict[str, Any]) -> dict[str, Any]:
        given["temperature"] = given["temp"]
        return make_sampling(given, self.last_n_tokens_size, self._seed)
