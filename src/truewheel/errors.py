"""The error tree: one family a stage, one exit code a family."""

from __future__ import annotations


class TruewheelError(Exception):
    """A failure that the user can act on, told in one line with a hint below it.

    Args:
        message: what happened and where, in one line.
        hint: what to do next; empty when there is nothing to advise.
    """

    exit_code = 1
    stage = "truewheel"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class LoadError(TruewheelError):
    """A recipe, profile, model or argument cannot be used as it is written."""

    exit_code = 2
    stage = "load"


class PlanError(TruewheelError):
    """No plan can be made for this recipe, profile, compiler and machine."""

    exit_code = 3
    stage = "plan"


class FetchError(TruewheelError):
    """A source, tool or model cannot be had, or is not what its hash says."""

    exit_code = 4
    stage = "fetch"


class BuildError(TruewheelError):
    """The engine did not configure, compile or link."""

    exit_code = 5
    stage = "build"


class RepairError(TruewheelError):
    """The built wheel cannot be turned into one that may leave the house."""

    exit_code = 6
    stage = "repair"


class CheckError(TruewheelError):
    """The wheel was refused by a check, or cannot be read as a wheel at all."""

    exit_code = 7
    stage = "check"


class StoreError(TruewheelError):
    """The wheelhouse cannot be read or written."""

    exit_code = 8
    stage = "store"


FAMILIES: tuple[type[TruewheelError], ...] = (
    LoadError,
    PlanError,
    FetchError,
    BuildError,
    RepairError,
    CheckError,
    StoreError,
)
"""Every family in the order of the stages; the reference page is made from it."""
