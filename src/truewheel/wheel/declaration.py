"""What a wheel says of the CPUs that it was built for: `truewheel.json`, which ours have, and strangers can forge."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from truewheel.config.tables import Label
from truewheel.cpu.levels import LEVELS
from truewheel.wheel.archive import WheelFile

BUILD_INFO = "truewheel.json"
"""Its name in the `.dist-info` folder."""

_MOST_BACKENDS = 64

Features = Annotated[tuple[Label, ...], Meta(max_length=1000)]


class DeclaredBackend(msgspec.Struct, frozen=True):
    """A CPU backend: its name, its library in the wheel, and the features that its code may use."""

    name: Label
    library: str
    features: Features


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """Which CPUs a wheel says that it is for.

    Attributes:
        level: the x86-64 level that every CPU must have.
        profile: label of the variant.
        features: what every CPU must have.
        march: `native` where it was built for just one CPU.
        backends: the best first; the first that a CPU can run is loaded.
    """

    level: str
    profile: Label
    features: Features
    march: str = ""
    backends: Annotated[tuple[DeclaredBackend, ...], Meta(max_length=_MOST_BACKENDS)] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError("there is no such level")


class _BuildInfo(msgspec.Struct, frozen=True):
    plan: Declaration


def read_declaration(wheel: WheelFile) -> Declaration | None:
    """Return what `truewheel.json` in a wheel says; None where there is none, or it does not have its shape."""
    text = wheel.texts.get(f"{wheel.dist_info}/{BUILD_INFO}", "")
    try:
        return msgspec.json.decode(text, type=_BuildInfo).plan
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
