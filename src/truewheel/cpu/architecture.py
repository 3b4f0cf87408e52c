"""Architectures of CPUs: how systems call them, their levels, and where their tables are."""

from __future__ import annotations

import functools
from typing import TypeVar

import msgspec

from truewheel.decoding import load_table

_T = TypeVar("_T")


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One architecture, as `architectures.toml` describes it.

    Attributes:
        machines: as `uname -m` says it.
        levels: from the least to the most.
        features: file with its CPU features.
        models: file with its families of CPUs.
    """

    machines: tuple[str, ...]
    levels: tuple[str, ...]
    features: str
    models: str


@functools.cache
def architectures() -> dict[str, Architecture]:
    """Return every architecture that is known by its name."""
    return read_table("architectures.toml", dict[str, Architecture])


def machine_levels(machine: str) -> tuple[str, ...]:
    """Return the levels of a machine's architecture; nothing where it is not known.

    Args:
        machine: as `uname -m` says it.
    """
    return next((each.levels for each in architectures().values() if machine in each.machines), ())


def read_table(file: str, kind: type[_T]) -> _T:
    """Read a table of this room."""
    return load_table("truewheel.cpu", file, kind)
