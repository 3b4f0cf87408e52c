"""Who builds and who proves: hashes of this program's own code, so that a changed one makes a new wheel or proof."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from truewheel.files import read_file

WRITERS = (
    "decoding.py", "files.py", "kept/entry.py", "kept/parts.py", "kept/record.py", "process.py", "carried/",
    "cpu/", "config/dialects", "config/hardening", "targets/", "plan/", "fetch/", "build/", "repair/",
    "corridor/obtain.py", "machine/index.py", "machine/probe", "machine/rust.py", "machine/tools.", "binary/rename.py",
    "wheel/archive.py", "wheel/container.py", "wheel/entry_points.py", "wheel/identity.py", "wheel/installed.py",
    "wheel/name.py", "wheel/record.py", "wheel/told.py", "wheel/writer.py",
)  # fmt: skip
"""Beginnings of the paths of all that has a part in the bytes of a wheel, beyond what the plan itself says."""

SHOWS = (
    "cli/", "compare/", "measure/", "pages/", "pick/", "shared/", "tune/", "machine/doctor.py", "machine/matrix.py",
    "corridor/series.py",
)  # fmt: skip
"""Beginnings of the paths of what shows, lists, compares or measures, and changes nothing that is known of a wheel."""


@functools.cache
def builder_hash() -> str:
    """Return the SHA-256 of every file that has a part in writing a wheel."""
    return _hash(lambda path: path.startswith(WRITERS))


@functools.cache
def prover_hash() -> str:
    """Return the SHA-256 of every file that has a part in writing a wheel or in what is found out about one."""
    return _hash(lambda path: not path.startswith(SHOWS))


def _hash(has_part: Callable[[str], bool]) -> str:
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and has_part(relative):
            digest.update(f"{relative}\0".encode())
            digest.update(hashlib.sha256(read_file(path)).digest())
    return digest.hexdigest()
