"""The engines that are known, and how each is run."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Literal

import msgspec


class EngineEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How a project's packages are run.

    Attributes:
        import_name: the package that it installs.
        driver: program of `child/engines/`.
        shape: whether it has llama_cpp's calls.
        extra: requirements that are installed with it because its metadata forgets them.
        mends: what that means, for its row.
        listening: it starts a server in any case: let it, in a network of its own where nobody else is.
    """

    import_name: str
    driver: str
    shape: Literal["llama.cpp", "other"] = "other"
    extra: tuple[str, ...] = ()
    mends: str = ""
    listening: bool = False


@functools.cache
def known_engines() -> dict[str, EngineEntry]:
    """Return the engines that can be run, by normalized project name."""
    text = resources.files("truewheel.child").joinpath("engines.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, EngineEntry])
