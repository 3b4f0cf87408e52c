"""The table of CPU features: their names, compiler macros and places in CPUID."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import msgspec

from truewheel.cpu.architecture import architectures, read_table


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
        option: ggml's CMake option for it; empty where it has none.
        flags: what ggml's CMake gives the compiler for it.
        implies: features that a compiler uses along with it.
        rust: rustc's stable name of it as a target feature; empty where it has none.
    """

    name: str
    macro: str
    leaf: int
    register: str
    bit: int
    subleaf: int = 0
    state: int = 0
    engine: str = ""
    option: str = ""
    flags: tuple[str, ...] = ()
    implies: tuple[str, ...] = ()
    rust: str = ""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feature: tuple[Feature, ...]


@functools.cache
def feature_table() -> dict[str, Feature]:
    """Return every known feature by its name."""
    tables = (read_table(architecture.features, _Table) for architecture in architectures().values())
    return {feature.name: feature for table in tables for feature in table.feature}


def features_of_macros(macros: Iterable[str]) -> frozenset[str]:
    """Return the names of the features whose compiler macro is among `macros`."""
    present = set(macros)
    return frozenset(name for name, feature in feature_table().items() if feature.macro in present)


def engine_names(features: Iterable[str]) -> frozenset[str]:
    """Return what ggml's system info calls those of the features that it reports."""
    table = feature_table()
    return frozenset(table[name].engine for name in features if name in table and table[name].engine)


def with_implied(features: Iterable[str]) -> frozenset[str]:
    """Return features with all that a compiler uses along with them.

    Raises:
        KeyError: one of them is not known.
    """
    table = feature_table()
    found: set[str] = set()
    waiting = list(features)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += table[name].implies
    return frozenset(found)


def engine_options(features: Iterable[str]) -> dict[str, bool]:
    """Return every ISA option of ggml's x86 CMake and whether it is on for these features (ggml/CMakeLists.txt)."""
    present = frozenset(features)
    return {feature.option: name in present for name, feature in feature_table().items() if feature.option}


def engine_flags(features: Iterable[str]) -> tuple[str, ...]:
    """Return what ggml's CMake gives the compiler for these features, sorted."""
    table = feature_table()
    return tuple(sorted({flag for name in features if name in table for flag in table[name].flags}))


def rust_features(features: Iterable[str]) -> tuple[str, ...]:
    """Return what rustc calls these features, sorted; what it has no stable name for is left out."""
    table = feature_table()
    return tuple(sorted({table[name].rust for name in features if name in table and table[name].rust}))
