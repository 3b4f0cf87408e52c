"""What a child had given up before it read the first byte of a wheel, and without what it must not run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import msgspec

from truewheel.decoding import UnreadableError, convert

Required = tuple[str, ...]
FILTER, FILES = "filter", "files"
OWN = (FILTER,)
"""For wheels that were just built here from a recipe: machines that build are often containers without Landlock."""
STRANGERS = (FILTER, FILES)
"""For every other wheel: it may read and write what it needs, and nothing else."""
UNCONFINED: Required = ()
"""For whoever insists: what can be had is in force, and nothing is asked for."""
_INSISTED: ContextVar[bool] = ContextVar("insisted", default=False)


@contextlib.contextmanager
def insisting() -> Iterator[None]:
    """Let children of any wheel run with whatever can be had, while the block lasts: a person said so."""
    token = _INSISTED.set(True)
    try:
        yield
    finally:
        _INSISTED.reset(token)


def apply_insistence(required: Required) -> Required:
    """Return what a child may not be without; nothing where a person insists."""
    return UNCONFINED if _INSISTED.get() else required


INSIST = "run it on Linux from 5.13 on with Landlock, or insist with --unconfined"


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force, as our own program said before anything of the wheel was read.

    Attributes:
        filter: whether a list of system calls held.
        landlock: version of Landlock; 0 where files were not restricted.
        namespaces: in which it was alone.
        capabilities: whether it had none left.
        missing: why something was not in force, by what it is.
    """

    filter: bool = False
    landlock: int = 0
    namespaces: tuple[str, ...] = ()
    capabilities: bool = False
    missing: dict[str, str] = {}

    @property
    def enough(self) -> bool:
        """Return whether a stranger's wheel may run so."""
        return self.filter and self.landlock > 0

    def words(self) -> str:
        """Say in a line what was in force."""
        parts = ["system calls by a list"] if self.filter else []
        parts += [f"files by Landlock {self.landlock}"] if self.landlock else []
        parts += [f"{' and '.join(self.namespaces)} namespaces"] if self.namespaces else []
        parts += ["no capabilities"] if self.capabilities else []
        return ("" if self.enough else "unconfined: ") + (", ".join(parts) or "nothing")


def read_confinement(told: object) -> Confinement:
    """Return what a child told of itself; nothing in force where that cannot be read."""
    try:
        return convert(told, Confinement)
    except UnreadableError:
        return Confinement()
