"""Measure prompt and generation, and write the figures down."""

from __future__ import annotations

from statistics import median

from ._native import bench

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .llama import Llama

_MS = 1000.0


def measure(llama: Llama, n_prompt: int, n_generated: int, repetitions: int) -> dict[str, Any]:
    """Return model, threads, load_ms, and for prompt and generation the tokens a second of each repetition."""
    # The first pass pages the model in and starts the threads.
    bench(llama.engine, n_prompt, n_generated)
    passes = [bench(llama.engine, n_prompt, n_generated) for _ in range(repetitions)]
    return {
        "model": llama.model_path,
        "n_threads": llama.n_threads,
        "n_threads_batch": llama.n_threads_batch,
        "load_ms": llama.engine.load_ms(),
        "prompt": _summarize(n_prompt, [each["prompt_ms"] for each in passes]),
        "generated": _summarize(n_generated, [each["predicted_ms"] for each in passes]),
    }


def _summarize(tokens: int, milliseconds: list[float]) -> dict[str, Any]:
    rates = [tokens * _MS / duration for duration in milliseconds]
    return {"tokens": tokens, "median": median(rates), "lowest": min(rates), "highest": max(rates), "each": rates}


def format_table(found: dict[str, Any]) -> str:
    """Return the figures as a table of tokens a second."""
    threads = {"prompt": found["n_threads_batch"], "generated": found["n_threads"]}
    lines = [f"{'':<10} {'tokens':>7} {'threads':>7} {'tokens/s':>10}   spread"]
    for name in ("prompt", "generated"):
        row = found[name]
        spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        lines.append(f"{name:<10} {row['tokens']:>7} {threads[name]:>7} {row['median']:>10.2f}   {spread}")
    return "\n".join(lines) + "\n"
