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
    """The command line, a recipe, profile, policy or model file cannot be used as it is."""

    exit_code = 2
    stage = "load"


class PlanError(TruewheelError):
    """The platform is not supported, no compiler is fit, or the combination makes no sense."""

    exit_code = 3
    stage = "plan"


class FetchError(TruewheelError):
    """A source, tool, model or dependency cannot be had, is not installed, or is not what its hash says."""

    exit_code = 4
    stage = "fetch"


class BuildError(TruewheelError):
    """The engine did not configure, compile or link, or the cache folder cannot be used."""

    exit_code = 5
    stage = "build"


class RepairError(TruewheelError):
    """The built wheel lacks what the recipe promises, or cannot be read."""

    exit_code = 6
    stage = "repair"


class CheckError(TruewheelError):
    """A check refused a wheel, it cannot be installed or opened, or it is no wheel at all."""

    exit_code = 7
    stage = "check"


class StoreError(TruewheelError):
    """The wheelhouse, or a file of results such as a page, cannot be read or written."""

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
