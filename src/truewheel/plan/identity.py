"""Who builds: a hash of this program's own code, so that a changed builder makes a new plan."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

_APART = (
    "__pycache__", "cli", "compare", "measure", "pages", "pick", "shared", "tune",
    "doctor.py", "matrix.py", "series.py", "text.py",
)  # fmt: skip
"""What shows, lists, compares or measures, and changes neither a wheel nor what is found out about one."""


@functools.cache
def builder_hash() -> str:
    """Return the SHA-256 of every file of the package that has a part in building or checking."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(part in _APART for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
