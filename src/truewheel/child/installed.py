"""An installed tree, and the interpreter that reads it: ours, never one that a wheel could have put there."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple


class Environment(NamedTuple):
    """A tree that packages were installed into, and that nothing was started from.

    Attributes:
        python: the interpreter that runs them; it lies outside of the tree.
        tree: what was installed; scripts and data lie beside the packages.
        site: the folder of its packages.
        scratch: an empty folder beside it.
    """

    python: Path
    tree: Path
    site: Path
    scratch: Path


def own_interpreter() -> Path:
    """Return the interpreter that runs us, by its real path: no link, and no settings of an environment beside it."""
    return Path(os.path.realpath(sys.executable))


def site_of(tree: Path) -> Path:
    """Return where our interpreter keeps packages below a folder."""
    place = {"base": str(tree), "platbase": str(tree)}
    return Path(sysconfig.get_path("purelib", "posix_prefix", place))
