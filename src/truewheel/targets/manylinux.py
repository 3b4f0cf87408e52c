"""What a manylinux tag promises."""

from __future__ import annotations

import re

_MANYLINUX = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_\w+")
_LEGACY = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}


def read_glibc(platform: str) -> tuple[int, int] | None:
    """Return the glibc version of a manylinux tag; None for another tag."""
    match = _MANYLINUX.fullmatch(platform)
    if match is None:
        return None
    return _LEGACY[match[3]] if match[3] else (int(match[1]), int(match[2]))
