"""Turn a local LLM engine's source into optimized Python wheels, prove each one, and ship them."""

from __future__ import annotations

__version__ = "0.1.0"
