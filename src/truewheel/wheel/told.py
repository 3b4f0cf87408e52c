"""What a wheel's METADATA, WHEEL and entry points say, as plain values: the child that accepts a wheel reads them.

Nobody reads these texts again outside of it. Values are cut, and no key has more of them than any wheel needs.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from typing import Any

import msgspec

from truewheel.wheel.entry_points import EntryPoint, read_entry_points

MAX_VALUE = 500
"""Characters of a value; a longer one is cut, ends in a mark that fits in no standard's value, and is not read."""

_MAX_VALUES, _MAX_ENTRY_POINTS = 2000, 10_000
_KEYS = (
    "Metadata-Version", "Name", "Version", "Requires-Dist", "Requires-Python", "License-File", "Provides-Extra",
    "Wheel-Version", "Root-Is-Purelib",
)  # fmt: skip


class HeaderFields(msgspec.Struct, frozen=True):
    """The values of a text in the form of METADATA, by their keys in small letters; only keys that somebody asks for.

    Attributes:
        values: what stands behind each key, in order.
    """

    values: dict[str, tuple[str, ...]] = {}

    def get_all(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """Return all values of a key."""
        return list(self.values.get(key.lower(), default))

    def get(self, key: str, default: str = "") -> str:
        """Return the first value of a key."""
        return next(iter(self.values.get(key.lower(), ())), default)

    def __getitem__(self, key: str) -> str:
        return self.values[key.lower()][0]


class EntryPoints(msgspec.Struct, frozen=True):
    """The entry points of a wheel: those that can be read, or why none can."""

    found: tuple[EntryPoint, ...] = ()
    fault: str = ""


def read_texts(texts: Mapping[str, str], dist_info: str) -> dict[str, Any]:
    """Return what a wheel's own texts say, by the names of the fields of a wheel that hold it.

    Args:
        texts: the texts by path.
        dist_info: name of the `.dist-info` folder.
    """
    return {
        "metadata": _read_fields(texts.get(f"{dist_info}/METADATA", "")),
        "wheel_fields": _read_fields(texts.get(f"{dist_info}/WHEEL", "")),
        "entry_points": _read_entry_points(texts.get(f"{dist_info}/entry_points.txt", "")),
    }


def _read_fields(text: str) -> HeaderFields:
    message = HeaderParser().parsestr(text)
    found = {key.lower(): message.get_all(key, [])[:_MAX_VALUES] for key in _KEYS}
    return HeaderFields({key: tuple(_cut(str(value)) for value in values) for key, values in found.items() if values})


def _read_entry_points(text: str) -> EntryPoints:
    try:
        found = read_entry_points(text)[:_MAX_ENTRY_POINTS]
    except configparser.Error as error:
        return EntryPoints(fault=_cut(" ".join(str(error).split())))
    return EntryPoints(tuple(EntryPoint(*map(_cut, entry)) for entry in found))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
