"""Run GGUF models on the CPU: `Llama` takes what llama_cpp's takes, and Rust drives llama.cpp below it."""

from ._native import EngineError, system_info
from .constants import *  # noqa: F403 -- the names of all constants are public, as in llama_cpp
from .grammar import LlamaGrammar
from .llama import Llama
from .state import LlamaState
from .tokenizer import LlamaTokenizer

# The constants are public too, but not named here: a star import of them would be a surprise.
__all__ = ["EngineError", "Llama", "LlamaGrammar", "LlamaState", "LlamaTokenizer", "system_info"]


def __getattr__(name: str) -> str:
    """Return `__version__`, read when it is asked for: importlib.metadata takes longer than all the rest."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("llama-rs")
        except PackageNotFoundError:  # run from a folder, not installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
