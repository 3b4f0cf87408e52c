"""What a wheel says of its plan, `truewheel.json`: ours have it, and strangers can forge it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from truewheel.config.tables import Label
from truewheel.cpu.levels import LEVELS
from truewheel.plan.plan import Plan

BUILD_INFO = "truewheel.json"
"""Its name in the `.dist-info` folder."""

Features = Annotated[tuple[Label, ...], Meta(max_length=1000)]


class CarriedBackend(msgspec.Struct, frozen=True):
    """A CPU backend: its name, its library in the wheel, and the features that its code may use."""

    name: Label
    library: str
    features: Features


Backends = Annotated[tuple[CarriedBackend, ...], Meta(max_length=64)]


class CarriedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is claimed of a wheel's code, as far as it is compared.

    Attributes:
        profile: variant label.
        level: level that the code needs.
        features: every CPU feature that the CPU must have.
        native: whether it is for the CPU of the machine that built it.
        backends: CPU backends, the best first.
    """

    profile: Label
    level: str
    features: Features
    native: bool = False
    backends: Backends = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError("there is no such level")


def claims_of(plan: Plan) -> CarriedPlan:
    """Return what a plan claims of the wheel that it makes."""
    return CarriedPlan(
        profile=plan.profile,
        level=plan.level,
        features=plan.features,
        native=plan.march == "native",
        backends=tuple(CarriedBackend(each.name, each.library, each.features) for each in plan.backends),
    )


class _Flat(msgspec.Struct):
    """The plan of schema 1."""

    profile: Label
    level: str
    features: Features
    march: str = ""
    backends: Backends = ()


class _Info(msgspec.Struct):
    plan: _Flat


def read_carried(text: str | bytes) -> CarriedPlan:
    """Return what `truewheel.json` says of the plan.

    Raises:
        msgspec.DecodeError: it does not say, or is no JSON.
        ValueError: there is no such level.
        RecursionError: it is nested too deeply.
    """
    plan = msgspec.json.decode(text, type=_Info).plan
    return CarriedPlan(
        profile=plan.profile,
        level=plan.level,
        features=plan.features,
        native=plan.march == "native",
        backends=plan.backends,
    )
