"""The constructor's arguments: refused where this engine cannot honour them, the rest picked for the engine."""

from __future__ import annotations

import os

from ._native import ENGINE_SETTINGS
from .constants import LLAMA_SPLIT_MODE_LAYER
from .sampling import read_int
from .threads import default_threads, usable_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_THREADS = ("n_threads", "n_threads_batch")
_UNNAMED = (None, 0)
_MOST_THREADS = 512
"""ggml's pools have room for so many; a machine may have more CPUs."""

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

        near = get_close_matches(
            name, [other for other in known if other not in {"self", "kwargs", "__class__"}], n=1, cutoff=0.5
        )
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
    """Return the engine's settings, with numbers of threads where nobody names any; the engine checks them."""
    settings = {name: given[name] for name in ENGINE_SETTINGS}
    named = settings["cpus"]
    if not isinstance(named, (str, bytes)) and hasattr(named, "__iter__"):
        named = settings["cpus"] = list(named)
    # llama_cpp takes 0 for None as well.
    if any(settings[name] in _UNNAMED for name in _THREADS):
        usable = usable_cpus()
        wanted = usable.intersection(cpu for cpu in named if isinstance(cpu, int)) if isinstance(named, list) else ()
        for name, count in zip(_THREADS, default_threads(wanted or usable), strict=True):
            if settings[name] in _UNNAMED:
                settings[name] = min(count, _MOST_THREADS)
    return settings
