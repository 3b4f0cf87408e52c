"""The levels of architectures, with their features from archspec's database."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from truewheel.cpu.architecture import architectures
from truewheel.cpu.features import feature_table

LEVELS = tuple(level for architecture in architectures().values() for level in architecture.levels)
"""Names as the psABI and compilers spell them, from least to most."""


@functools.cache
def level_features(level: str) -> frozenset[str]:
    """Return the features that a level demands beyond the least of its architecture.

    Raises:
        KeyError: the level is not one of `LEVELS`.
    """
    import archspec.cpu

    if level not in LEVELS:
        raise KeyError(level)
    names = archspec.cpu.TARGETS[level.replace("-", "_")].features
    return frozenset(names) & frozenset(feature_table())


def highest_level(features: Iterable[str], levels: Sequence[str] = LEVELS) -> str:
    """Return the highest of an architecture's levels whose features are all among `features`."""
    present = frozenset(features)
    best = levels[0]
    for level in levels[1:]:
        if not level_features(level) <= present:
            break
        best = level
    return best
