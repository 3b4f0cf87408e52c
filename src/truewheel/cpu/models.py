"""Which CPUs have a set of features, by the names that people know."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import msgspec

from truewheel.cpu.architecture import architectures, read_table

_SPLIT_FROM = {"server": "core"}
"""Lines that began with a family of another line."""
_MAKERS = {"atom": "Intel Atom"}
"""Lines whose families are sold under a name of their own."""


class CpuModel(msgspec.Struct, frozen=True):
    """One family of CPUs.

    Attributes:
        name: e.g. `Haswell`.
        vendor: `Intel` or `AMD`.
        year: when the first of them was sold.
        features: what they have, named as in `features.toml`, and more that archspec names.
        line: what the family succeeds: `core`, `server`, `atom`, `amd` or `amd-small`.
        note: where its parts differ; empty where they do not.
    """

    name: str
    vendor: str
    year: int
    features: frozenset[str]
    line: str
    note: str = ""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `models.toml`."""

    name: str
    vendor: str
    year: int
    line: str
    archspec: str = ""
    features: frozenset[str] = frozenset()
    note: str = ""


class _Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    makers: dict[str, str]
    model: tuple[_Row, ...]


@functools.cache
def _tables() -> tuple[_Rows, ...]:
    return tuple(read_table(architecture.models, _Rows) for architecture in architectures().values())


@functools.cache
def cpu_models() -> tuple[CpuModel, ...]:
    """Return every known family, line by line, each line from its oldest to its youngest."""
    import archspec.cpu

    return tuple(
        CpuModel(
            name=row.name,
            vendor=row.vendor,
            year=row.year,
            features=row.features | frozenset(archspec.cpu.TARGETS[row.archspec].features if row.archspec else ()),
            line=row.line,
            note=row.note,
        )
        for table in _tables()
        for row in table.model
    )


def oldest_with(features: Iterable[str]) -> tuple[CpuModel, ...]:
    """Return the oldest family of each line that has all of `features`, Intel's first, each vendor's by age.

    A line that split off from another one is left out where it had them from its beginning because the other had.
    """
    starts = _starts(frozenset(features))
    opening = _starts(frozenset())
    kept = []
    for line, model in starts.items():
        parent = starts.get(_SPLIT_FROM.get(line, ""))
        if parent is None or model is not opening[line] or model.year <= parent.year:
            kept.append(model)
    return tuple(sorted(kept, key=_by_age))


def name_family(features: Iterable[str], vendor: str) -> str:
    """Return the oldest family of a vendor that has all of `features`, as a part of a file's name, e.g. `zen4`.

    Code that needs them runs on that family, whatever the compiler calls the CPU that it was made on.

    Args:
        features: what the code needs.
        vendor: CPUID's vendor string.

    Returns:
        The name; empty where no family of that vendor is known to have them all.
    """
    maker = next((table.makers[vendor] for table in _tables() if vendor in table.makers), "")
    ages = {model.year: model for model in reversed(oldest_with(features)) if model.vendor == maker}
    name = ages[min(ages)].name if ages else ""
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace(" ", ""))


def lacking(features: Iterable[str]) -> tuple[CpuModel, ...]:
    """Return the families that lack some of `features` although one that has them all is older.

    That is an older one of the same line or, where the line has none at all, of the same vendor.
    """
    wanted = frozenset(features)
    starts = _starts(wanted)
    years: dict[str, int] = {}
    for model in starts.values():
        years[model.vendor] = min(model.year, years.get(model.vendor, model.year))
    late = []
    seen: set[str] = set()
    for model in cpu_models():
        if wanted <= model.features:
            seen.add(model.line)
        elif model.line in seen or (model.line not in starts and model.year >= years.get(model.vendor, model.year + 1)):
            late.append(model)
    return tuple(sorted(late, key=_by_age))


def runs_on_words(features: Iterable[str]) -> str:
    """Say which CPUs have all of `features`, e.g. `Intel Haswell (2013), AMD Excavator (2015) or newer`."""
    wanted = frozenset(features)
    if all(wanted <= model.features for model in cpu_models()):
        return "every x86-64 CPU"
    oldest = oldest_with(wanted)
    if not oldest:
        return "no CPU that is known here"
    words = f"{', '.join(map(_label, oldest))} or newer"
    without = lacking(wanted)
    return f"{words}, but not {', '.join(map(_label, without))}" if without else words


def _starts(wanted: frozenset[str]) -> dict[str, CpuModel]:
    """Return the oldest family with all of `wanted` for each line that has one."""
    starts: dict[str, CpuModel] = {}
    for model in cpu_models():
        if wanted <= model.features:
            starts.setdefault(model.line, model)
    return starts


def _by_age(model: CpuModel) -> tuple[bool, int]:
    return model.vendor != "Intel", model.year


def _label(model: CpuModel) -> str:
    return f"{_MAKERS.get(model.line, model.vendor)} {model.name} ({model.year})"
