"""The table of CPU features: their names, compiler macros and places in CPUID."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import resources

import msgspec


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One CPU feature, as `features.toml` describes it.

    Attributes:
        name: the Linux kernel's and archspec's name.
        macro: what gcc and clang predefine when the feature is on.
        leaf: CPUID leaf.
        register: CPUID result register, `eax` to `edx`.
        bit: bit in that register.
        subleaf: CPUID subleaf.
        state: XCR0 bits that the system must have enabled.
        engine: ggml's name in its system info; empty where it has none.
    """

    name: str
    macro: str
    leaf: int
    register: str
    bit: int
    subleaf: int = 0
    state: int = 0
    engine: str = ""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feature: tuple[Feature, ...]


@functools.cache
def feature_table() -> dict[str, Feature]:
    """Return every known feature by its name."""
    text = resources.files("truewheel.cpu").joinpath("features.toml").read_bytes()
    return {feature.name: feature for feature in msgspec.toml.decode(text, type=_Table).feature}


def features_of_macros(macros: Iterable[str]) -> frozenset[str]:
    """Return the names of the features whose compiler macro is among `macros`."""
    present = set(macros)
    return frozenset(name for name, feature in feature_table().items() if feature.macro in present)


def engine_names(features: Iterable[str]) -> frozenset[str]:
    """Return what ggml's system info calls those of the features that it reports."""
    table = feature_table()
    return frozenset(table[name].engine for name in features if name in table and table[name].engine)
