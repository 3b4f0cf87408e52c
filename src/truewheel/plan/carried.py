"""What a wheel says of its plan, `truewheel.json` of every version: ours have it, and strangers can forge it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from truewheel.config.tables import Label
from truewheel.cpu.levels import LEVELS
from truewheel.decoding import decode_json
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
        compiler: what kind of compiler made it; empty where that is not said.
    """

    profile: Label
    level: str
    features: Features
    native: bool = False
    backends: Backends = ()
    compiler: Label | Literal[""] = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError("there is no such level")


def claims_of(plan: Plan) -> CarriedPlan:
    """Return what a plan claims of the wheel that it makes."""
    code = plan.code
    return CarriedPlan(
        profile=plan.subject.profile,
        level=code.level,
        features=code.features,
        native=code.native,
        backends=tuple(CarriedBackend(each.name, each.library, each.features) for each in code.backends),
        compiler=plan.compiler.kind,
    )


class _Flat(msgspec.Struct):
    """The plan of schema 1."""

    profile: Label
    level: str
    features: Features
    march: str = ""
    backends: Backends = ()

    def claims(self) -> CarriedPlan:
        native = self.march == "native"
        return CarriedPlan(
            profile=self.profile, level=self.level, features=self.features, native=native, backends=self.backends
        )


class _Subject(msgspec.Struct):
    profile: Label


class _Cpu(msgspec.Struct):
    type: Literal["this", "every"]


class _Kernels(msgspec.Struct):
    backends: Backends = ()


class _Code(msgspec.Struct):
    level: str
    features: Features
    cpu: _Cpu
    kernels: _Kernels


class _Compiler(msgspec.Struct, frozen=True):
    kind: Label | Literal[""] = ""


class _Nested(msgspec.Struct):
    """The plan of schema 2."""

    subject: _Subject
    code: _Code
    compiler: _Compiler = _Compiler()

    def claims(self) -> CarriedPlan:
        return CarriedPlan(
            profile=self.subject.profile,
            level=self.code.level,
            features=self.code.features,
            native=self.code.cpu.type == "this",
            backends=self.code.kernels.backends,
            compiler=self.compiler.kind,
        )


class _Schema(msgspec.Struct):
    schema: int = 1


class _Info1(msgspec.Struct):
    plan: _Flat


class _Info2(msgspec.Struct):
    plan: _Nested


def read_carried(text: str | bytes) -> CarriedPlan:
    """Return what `truewheel.json` says of the plan, whichever version of this program wrote it.

    Raises:
        UnreadableError: it does not say, or is no JSON.
        ValueError: there is no such level.
    """
    if decode_json(text, _Schema).schema == 1:
        return decode_json(text, _Info1).plan.claims()
    return decode_json(text, _Info2).plan.claims()
