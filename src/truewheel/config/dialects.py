"""How the CMake of a family of engines spells what a profile asks for."""

from __future__ import annotations

import functools

import msgspec

from truewheel.decoding import load_table


class Dialect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One family's spelling, as `dialects.toml` describes it.

    Attributes:
        names: beginnings of its own variables.
        options: whether it has an option for each CPU feature; without, nothing is compiled for a CPU.
        define: definitions that are always given, with `{native}`, `{openmp}` and `{lto}`.
        lto: definitions for link-time optimization.
        commit: definitions for an upstream commit, by its name, with `{commit}`.
    """

    names: tuple[str, ...] = ()
    options: bool = False
    define: dict[str, str] = {}
    lto: dict[str, str] = {}
    commit: dict[str, dict[str, str]] = {}


@functools.cache
def dialects() -> dict[str, Dialect]:
    """Return every dialect by its name."""
    return load_table("truewheel.config", "dialects.toml", dict[str, Dialect])


def own_names() -> tuple[str, ...]:
    """Return the beginnings of the variables of every dialect."""
    return tuple(name for dialect in dialects().values() for name in dialect.names)
