"""The entry points of a wheel."""

from __future__ import annotations

import configparser
from typing import NamedTuple


class EntryPoint(NamedTuple):
    """One line of `entry_points.txt`."""

    group: str
    name: str
    value: str


def read_entry_points(text: str) -> list[EntryPoint]:
    """Return the entry points that a text names.

    Raises:
        configparser.Error: it cannot be read.
    """
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False, default_section="")
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    # Readers of entry points strip every line; a configparser would take an indented one for a continuation.
    parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    return [EntryPoint(group, name, value) for group in parser.sections() for name, value in parser.items(group)]
