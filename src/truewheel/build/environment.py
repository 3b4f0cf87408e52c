"""The environment of a build: made from nothing, so that no stray variable decides anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PASSED = (
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
    "ZIG_GLOBAL_CACHE_DIR",
)
"""Variables that a compiler needs to run at all and that do not change what it makes."""

_INFLUENTIAL = (
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CMAKE_ARGS",
    "CC",
    "CXX",
    "FORCE_CMAKE",
    "SOURCE_DATE_EPOCH",
)
_INFLUENTIAL_PREFIXES = ("GGML_", "LLAMA_", "SKBUILD_", "CMAKE_")


def build_environment(
    planned: Mapping[str, str], *, source: Path, search_path: str, extra: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of a build.

    Args:
        planned: the plan's variables, with placeholders for folders.
        source: the source tree; its parent is what `{sources}` stands for.
        search_path: PATH.
        extra: variables of the compilers and the compile cache.
    """
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment["PATH"] = search_path
    environment |= {name: value.replace("{sources}", str(source.parent)) for name, value in planned.items()}
    environment |= extra
    return environment


def ignored_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that would change another build and are kept out of ours, sorted."""
    return sorted(
        name
        for name, value in environ.items()
        if value and (name in _INFLUENTIAL or name.startswith(_INFLUENTIAL_PREFIXES))
    )
