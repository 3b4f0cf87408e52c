"""What a wheel says of its plan, in the form that every version of `truewheel.json` is read into."""

from __future__ import annotations

from typing import Literal

import msgspec

from truewheel.config.tables import Label
from truewheel.plan.plan import Plan


class CarriedBackend(msgspec.Struct, frozen=True):
    """A CPU backend: its name, its library in the wheel, and the features that its code may use."""

    name: Label
    library: str
    features: tuple[Label, ...]


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
    features: tuple[Label, ...]
    native: bool = False
    backends: tuple[CarriedBackend, ...] = ()


def claims_of(plan: Plan) -> CarriedPlan:
    """Return what a plan claims of the wheel that it makes."""
    code = plan.code
    return CarriedPlan(
        profile=plan.subject.profile,
        level=code.level,
        features=code.features,
        native=code.native,
        backends=tuple(CarriedBackend(each.name, each.library, each.features) for each in code.backends),
    )


class _Subject(msgspec.Struct):
    profile: Label


class _Cpu(msgspec.Struct):
    type: Literal["this", "every"]


class _Kernels(msgspec.Struct):
    backends: tuple[CarriedBackend, ...] = ()


class _Code(msgspec.Struct):
    level: str
    features: tuple[Label, ...]
    cpu: _Cpu
    kernels: _Kernels


class _Nested(msgspec.Struct):
    subject: _Subject
    code: _Code


class _Flat(msgspec.Struct):
    """The plan of schema 1."""

    profile: Label
    level: str
    features: tuple[Label, ...]
    march: str = ""
    backends: tuple[CarriedBackend, ...] = ()


class _Schema(msgspec.Struct):
    schema: int = 1


class _Info2(msgspec.Struct):
    plan: _Nested


class _Info1(msgspec.Struct):
    plan: _Flat


def read_carried(text: str | bytes) -> CarriedPlan:
    """Return what `truewheel.json` says of the plan, whichever version of this program wrote it.

    Raises:
        msgspec.DecodeError: it does not say, or is no JSON.
        RecursionError: it is nested too deeply.
    """
    if msgspec.json.decode(text, type=_Schema).schema == 1:
        old = msgspec.json.decode(text, type=_Info1).plan
        native = old.march == "native"
        return CarriedPlan(
            profile=old.profile, level=old.level, features=old.features, native=native, backends=old.backends
        )
    plan = msgspec.json.decode(text, type=_Info2).plan
    return CarriedPlan(
        profile=plan.subject.profile,
        level=plan.code.level,
        features=plan.code.features,
        native=plan.code.cpu.type == "this",
        backends=plan.code.kernels.backends,
    )
