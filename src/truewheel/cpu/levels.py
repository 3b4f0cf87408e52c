"""The x86-64 levels, from archspec's database."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from truewheel.cpu.features import feature_table

LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
"""Names as the psABI and compilers spell them, from least to most."""


@functools.cache
def level_features(level: str) -> frozenset[str]:
    """Return the features that a level demands beyond plain x86-64.

    Raises:
        KeyError: the level is not one of `LEVELS`.
    """
    import archspec.cpu

    if level not in LEVELS:
        raise KeyError(level)
    names = archspec.cpu.TARGETS[level.replace("-", "_")].features
    return frozenset(names) & frozenset(feature_table())


def highest_level(features: Iterable[str]) -> str:
    """Return the highest level whose features are all among `features`."""
    present = frozenset(features)
    best = LEVELS[0]
    for level in LEVELS[1:]:
        if not level_features(level) <= present:
            break
        best = level
    return best
