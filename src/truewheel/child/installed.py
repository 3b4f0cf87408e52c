"""An installed tree, and the interpreter that reads it: ours, never one that a wheel could have put there."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from truewheel.child.confinement import STRANGERS
from truewheel.files import read_file

_MOST_BYTES = 1 << 20


class Environment(NamedTuple):
    """A tree that packages were installed into, and that nothing was started from.

    Attributes:
        python: the interpreter that runs them; it lies outside of the tree.
        tree: what was installed; scripts and data lie beside the packages.
        site: the folder of its packages.
        scratch: an empty folder beside it.
        foreign: whether it was there before, made by a person.
        required: what a child that runs them may not be without; see `confinement.py`.
    """

    python: Path
    tree: Path
    site: Path
    scratch: Path
    foreign: bool = False
    required: tuple[str, ...] = STRANGERS

    def readable(self) -> list[Path]:
        """Return the folders that hold what is installed: the tree, and those that its .pth files name."""
        found = [self.tree]
        for path in sorted(self.site.glob("*.pth")) if self.foreign else ():
            try:
                text = read_file(path, _MOST_BYTES)
            except OSError:
                # Python passes over it as well.
                continue
            found += [Path(line) for line in text.decode("utf-8", "replace").splitlines() if line.startswith("/")]
        return found


def own_interpreter() -> Path:
    """Return the interpreter that runs us, by its real path: no link, and no settings of an environment beside it."""
    return Path(os.path.realpath(sys.executable))


def site_of(tree: Path) -> Path:
    """Return where our interpreter keeps packages below a folder."""
    place = {"base": str(tree), "platbase": str(tree)}
    return Path(sysconfig.get_path("purelib", "posix_prefix", place))
