"""The environment of a build: made from nothing, so that no stray variable decides anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from truewheel.config.dialects import own_names
from truewheel.process import plain_environment

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
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_PRELOAD",
    "RUSTFLAGS",
)
_INFLUENTIAL_PREFIXES = (*own_names(), "SKBUILD_", "CMAKE_")


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
    environment = {**plain_environment(), "PATH": search_path}
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
