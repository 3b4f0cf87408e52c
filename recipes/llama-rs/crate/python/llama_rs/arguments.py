"""The constructor's arguments: checked, refused where this engine cannot, and in the form that the engine takes."""

from __future__ import annotations

import os

from .constants import LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED, LLAMA_SPLIT_MODE_LAYER
from .sampling import read_float, read_int
from .threads import default_threads, usable_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# ggml's pools have room for so many, and end the process beyond.
_MOST_THREADS = 512
_MOST = 2**31 - 1
# Lengths of llama_model_kv_override's fields, without the closing zero.
_OVERRIDE_BYTES = 127

_BOOLS = (
    "vocab_only",
    "use_mmap",
    "use_mlock",
    "check_tensors",
    "use_extra_bufts",
    "embedding",
    "logits_all",
    "offload_kqv",
    "no_perf",
)
_OPTIONAL_BOOLS = ("op_offload", "swa_full")
_INTS = ("pooling_type", "attention_type", "yarn_orig_ctx")
_OPTIONAL_INTS = ("type_k", "type_v", "poll")
_FLOATS = (
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
)

# What llama_cpp takes and this engine does not: the only value that is taken, and what to do instead.
_UNSUPPORTED: dict[str, tuple[object, str]] = {
    "split_mode": (LLAMA_SPLIT_MODE_LAYER, "it computes on the CPU alone; leave split_mode out"),
    "main_gpu": (0, "it computes on the CPU alone; leave main_gpu out"),
    "tensor_split": (None, "it computes on the CPU alone; leave tensor_split out"),
    "lora_base": (None, "merge the adapter into the model file with llama.cpp's llama-export-lora"),
    "lora_scale": (1.0, "merge the adapter into the model file with llama.cpp's llama-export-lora"),
    "lora_path": (None, "merge the adapter into the model file with llama.cpp's llama-export-lora"),
    "numa": (False, "name the CPUs of one node with cpus=[...], or run under numactl"),
    "chat_format": (None, "chats are written by the model's own template; for another, use create_completion"),
    "chat_handler": (None, "chats are written by the model's own template; for another, use create_completion"),
    "draft_model": (None, "leave draft_model out"),
    "tokenizer": (None, "the model's own tokenizer is used; create_completion also takes tokens of another"),
    "spm_infill": (False, "make a prompt of the model's infill tokens yourself for create_completion"),
}


def refuse_unsupported(given: Mapping[str, Any]) -> None:
    """Raise NotImplementedError for the first argument that this engine cannot honour."""
    layers = read_int("n_gpu_layers", given["n_gpu_layers"])
    if layers not in {0, -1}:
        raise NotImplementedError(
            f"n_gpu_layers={layers} is not supported: this engine computes on the CPU alone; leave it out, or give 0"
        )
    for name, (only, instead) in _UNSUPPORTED.items():
        if given[name] is not only and given[name] != only:
            raise NotImplementedError(f"{name} is not supported by this engine: {instead}")


def refuse_unknown(unknown: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raise TypeError for an argument that does not exist, naming the nearest that does."""
    for name in unknown:
        from difflib import get_close_matches

        near = get_close_matches(name, [other for other in known if other not in {"self", "kwargs"}], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"Llama() has no parameter {name!r}{hint}")


def read_path(model_path: object) -> str:
    """Return the path of a model that is there.

    Raises:
        TypeError: it is neither str nor os.PathLike.
        ValueError: nothing is there, or it is no file (llama_cpp raises ValueError too).
    """
    if not isinstance(model_path, (str, os.PathLike)):
        raise TypeError(f"model_path is a str or os.PathLike, not {type(model_path).__name__}")
    path = os.fspath(model_path)
    if not isinstance(path, str):
        raise TypeError("model_path is a str or os.PathLike of str, not of bytes")
    if not os.path.exists(path):  # noqa: PTH110 -- pathlib is slow to import
        raise ValueError(f"Model path does not exist: {path}")
    if os.path.isdir(path):  # noqa: PTH112 -- the same
        raise ValueError(f"model_path is a folder, not a GGUF file: {path}")
    return path


def engine_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's keyword arguments.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: one is out of range.
    """
    arguments: dict[str, Any] = {name: _read_bool(name, given[name]) for name in _BOOLS}
    arguments |= {name: _maybe(_read_bool, name, given[name]) for name in _OPTIONAL_BOOLS}
    arguments |= {name: _in_range(name, given[name], -1) for name in _INTS}
    arguments |= {name: _maybe(_not_negative, name, given[name]) for name in _OPTIONAL_INTS}
    arguments |= {name: read_float(name, given[name]) for name in _FLOATS}
    scaling = given["rope_scaling_type"]
    arguments["rope_scaling_type"] = (
        LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED if scaling is None else _in_range("rope_scaling_type", scaling, -1)
    )
    flash = given["flash_attn"]
    arguments["flash_attn"] = -1 if flash is None else int(_read_bool("flash_attn", flash))
    arguments["kv_overrides"] = _read_overrides(given["kv_overrides"])
    return arguments | _read_sizes(given) | _read_threads(given)


def _read_sizes(given: Mapping[str, Any]) -> dict[str, int]:
    n_ctx = _in_range("n_ctx", given["n_ctx"], 0)
    # As llama_cpp: a batch is no longer than the context. Where the model decides, llama.cpp itself sees to it.
    n_batch = min(_in_range("n_batch", given["n_batch"], 1), n_ctx or _MOST)
    n_ubatch = min(_in_range("n_ubatch", given["n_ubatch"], 0) or n_batch, n_batch)
    return {"n_ctx": n_ctx, "n_batch": n_batch, "n_ubatch": n_ubatch}


def _read_threads(given: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given["cpus"], (str, bytes)) or not hasattr(given["cpus"], "__iter__"):
        raise TypeError(f"cpus is a sequence of CPU numbers, not {type(given['cpus']).__name__}")
    cpus = [_in_range("a number of cpus", cpu, 0, _MOST_THREADS - 1) for cpu in given["cpus"]]
    usable = usable_cpus()
    if set(cpus) - usable:
        raise ValueError(f"cpus {sorted(set(cpus) - usable)} are not usable here; usable are {sorted(usable)}")
    n_threads, n_threads_batch = (
        _maybe(_read_thread_count, name, given[name]) for name in ("n_threads", "n_threads_batch")
    )
    fit, fit_batch = default_threads(set(cpus) or usable)
    return {
        "cpus": cpus,
        # llama_cpp takes 0 for None as well.
        "n_threads": n_threads or min(fit, _MOST_THREADS),
        "n_threads_batch": n_threads_batch or min(fit_batch, _MOST_THREADS),
    }


def _read_thread_count(name: str, value: object) -> int:
    return _in_range(name, value, 0, _MOST_THREADS)


def _read_overrides(overrides: object) -> list[tuple[str, bool | int | float | str]]:
    if overrides is None:
        return []
    if not isinstance(overrides, dict):
        raise TypeError(f"kv_overrides is a dict, not {type(overrides).__name__}")
    for key, value in overrides.items():
        if not isinstance(key, str):
            raise TypeError(f"a key of kv_overrides is a str, not {type(key).__name__}")
        if not isinstance(value, (bool, int, float, str)):
            raise TypeError(f"kv_overrides[{key!r}] is a bool, int, float or str, not {type(value).__name__}")
        for text in (key, value):
            if isinstance(text, str) and len(text.encode()) > _OVERRIDE_BYTES:
                raise ValueError(f"kv_overrides: {text[:40]!r}... is longer than {_OVERRIDE_BYTES} bytes")
    return list(overrides.items())


def _maybe(read: Any, name: str, value: object) -> Any:
    return None if value is None else read(name, value)


def _read_bool(name: str, value: object) -> bool:
    # 0 and 1 are taken as well: configuration files write them.
    if isinstance(value, (bool, int)) and value in {0, 1}:
        return bool(value)
    raise TypeError(f"{name} is True or False, not {type(value).__name__}")


def _not_negative(name: str, value: object) -> int:
    return _in_range(name, value, 0)


def _in_range(name: str, value: object, least: int, most: int = _MOST) -> int:
    number = read_int(name, value)
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}, and may be {least} to {most}")
    return number
