"""Builds that are kept: what was compiled once is neither compiled again nor lost when a check refuses the wheel."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from truewheel.build.evidence import CompileUnit, CrateUnit, Evidence
from truewheel.build.product import BuiltWheel
from truewheel.fetch.source import SourceTree
from truewheel.files import replacing_folder
from truewheel.kept.entry import SUFFIX, discard, is_kept, keep
from truewheel.plan.plan import Plan

_MOST = 24
"""Builds that are kept, the newest; each is a few MiB."""
_RECORD, _CPUID = "build.json", "cpuid.so"


class _Record(msgspec.Struct, frozen=True):
    wheel: str
    compiler: str
    cmake_cache: dict[str, str]
    units: tuple[CompileUnit, ...]
    crates: tuple[CrateUnit, ...] = ()
    licences: dict[str, bytes] = {}


def keep_build(built: BuiltWheel, folder: Path) -> None:
    """Keep a build under its plan's digest, whole or not at all, and forget the oldest; a full disk is no failure.

    Args:
        built: the build.
        folder: where builds are kept.
    """
    target = folder / built.plan.digest[:24]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing_folder(target) as scratch:
            files = {built.path.name: built.path.read_bytes(), _CPUID: built.cpuid_library}
            for name, data in files.items():
                (scratch / name).write_bytes(data)
            evidence = built.evidence
            record = _Record(
                wheel=built.path.name,
                compiler=built.compiler,
                cmake_cache=evidence.cmake_cache,
                units=evidence.units,
                crates=evidence.crates,
                licences=dict(built.licences),
            )
            (scratch / _RECORD).write_bytes(msgspec.json.encode(record))
        keep(target)
        kept = [path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != SUFFIX]
        for path in sorted(kept, key=_age, reverse=True)[_MOST:]:
            discard(path)


def find_build(plan: Plan, source: SourceTree, base: BuiltWheel | None, folder: Path) -> BuiltWheel | None:
    """Return the kept build of a plan; None where there is none, or it is not what was kept.

    Args:
        plan: the plan.
        source: its source tree.
        base: the build that its libraries come from.
        folder: where builds are kept.
    """
    kept = folder / plan.digest[:24]
    if not is_kept(kept, always=True):
        return None
    try:
        record = msgspec.json.decode((kept / _RECORD).read_bytes(), type=_Record)
        files = {name: (kept / name).read_bytes() for name in (record.wheel, _CPUID)}
        os.utime(kept)
    except (OSError, msgspec.DecodeError):
        return None
    evidence = Evidence(record.cmake_cache, record.units, record.crates)
    wheel = kept / record.wheel
    return BuiltWheel(wheel, plan, source, evidence, files[_CPUID], record.compiler, base, record.licences)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
