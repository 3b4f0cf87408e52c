"""The entry points of a wheel."""

from __future__ import annotations

import configparser
import re
from typing import NamedTuple

_SECTION = re.compile(r"\[(.+)\]")
_SHOWN = 100


class EntryPoint(NamedTuple):
    """One line of `entry_points.txt`."""

    group: str
    name: str
    value: str


def read_entry_points(text: str) -> list[EntryPoint]:
    """Return the entry points that a text names, each line looked at once.

    It is what a configparser makes of them when every line is stripped first, as readers of entry points do: a section
    or a name that is there twice is one, and the last value counts. A configparser of its own makes four objects a
    section, and tries each line's spaces again and again.

    Raises:
        configparser.Error: it cannot be read.
    """
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line[0] in "#;":
            continue
        section = _SECTION.match(line)
        if section is not None:
            group = groups.setdefault(section[1], {})
            continue
        if group is None:
            raise configparser.MissingSectionHeaderError("entry_points.txt", number, line[:_SHOWN])
        name, mark, value = line.partition("=")
        if not mark or not name.strip():
            raise configparser.Error(f"line {number} names nothing: {line[:_SHOWN]!r}")
        group[name.rstrip()] = value.strip()
    return [EntryPoint(group, name, value) for group, table in groups.items() for name, value in table.items()]
