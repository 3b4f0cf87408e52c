"""The CPUs that can be emulated, and which of them show most of what a wheel promises."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import LEVELS, highest_level
from truewheel.cpu.models import cpu_models
from truewheel.decoding import load_table


class EmulatedCpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A CPU that the emulator can be, as `emulated.toml` describes it.

    Attributes:
        name: the emulator's name of it.
        family: its name in `cpu/models.toml`.
        canary: a feature that it lacks, an instruction of which must fault.
        lacks: features of the family that the emulator does not give it.
    """

    name: str
    family: str
    canary: str
    lacks: frozenset[str] = frozenset()

    @property
    def of_family(self) -> frozenset[str]:
        """Return the known features of its family."""
        model = next(model for model in cpu_models() if model.name == self.family)
        return model.features & frozenset(feature_table())

    @property
    def features(self) -> frozenset[str]:
        """Return the known features that it has under emulation."""
        return self.of_family - self.lacks


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cpu: tuple[EmulatedCpu, ...]
    canary: dict[str, str]


class CpuPromise(NamedTuple):
    """What a wheel promises.

    Attributes:
        floor: features that every CPU must have on which it runs.
        backends: features of each of its CPU backends, the best first; empty where it has no choice.
    """

    floor: frozenset[str]
    backends: Mapping[str, frozenset[str]] = {}

    def choose(self, features: frozenset[str]) -> str:
        """Return the backend that a CPU with these features must get; empty where there is none."""
        return next((name for name, wanted in self.backends.items() if wanted <= features), "")


class PlannedRun(NamedTuple):
    """One run: on which CPU, None being this machine, and the backend that is asked for, if any."""

    cpu: EmulatedCpu | None
    backend: str = ""


@functools.cache
def _table() -> _Table:
    return load_table("truewheel.child", "emulated.toml", _Table)


def emulated_cpus() -> tuple[EmulatedCpu, ...]:
    """Return the CPUs that the emulator can be, from the least."""
    return _table().cpu


def canary_codes() -> dict[str, str]:
    """Return an instruction of each feature that can be a canary, in hexadecimal digits, the weakest feature first."""
    return _table().canary


def choose_cpus(floor: frozenset[str]) -> tuple[EmulatedCpu, ...]:
    """Return the CPUs that have a floor, and of those without it the ones of the highest level, from the least."""
    below = {cpu.name: highest_level(cpu.features) for cpu in emulated_cpus() if not floor <= cpu.features}
    nearest = max(below.values(), key=LEVELS.index, default="")
    return tuple(cpu for cpu in emulated_cpus() if below.get(cpu.name, nearest) == nearest)


def plan_runs(target: CpuPromise, here: frozenset[str]) -> tuple[PlannedRun, ...]:
    """Return the runs that show most of what a wheel promises.

    Args:
        target: what it promises.
        here: features of this machine; it runs the wheel where it can, and each backend that no emulated CPU gets.
    """
    cpus = choose_cpus(target.floor)
    orders = []
    if target.floor <= here:
        covered = {target.choose(cpu.features) for cpu in cpus if target.floor <= cpu.features}
        covered.add(target.choose(here))
        asked = [name for name, wanted in target.backends.items() if wanted <= here and name not in covered]
        orders = [PlannedRun(None), *(PlannedRun(None, name) for name in asked)]
    return (*orders, *map(PlannedRun, cpus))
