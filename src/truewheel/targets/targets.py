"""The platforms that wheels are for: names, tags, compiler targets, and why some are refused."""

from __future__ import annotations

import functools

import msgspec

from truewheel.cpu.architecture import architectures
from truewheel.cpu.host import Host
from truewheel.decoding import load_table
from truewheel.errors import PlanError


class IsaNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a library is marked with the level that it needs, so that the loader refuses it on a lesser CPU.

    Attributes:
        flag: the linker's option for it, with `{level}`.
        source: what is assembled and linked in where the linker has none; it takes the bits of the level as LEVEL.
    """

    flag: str
    source: str


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The library by which a wheel asks the CPU what it has.

    Attributes:
        source: in C, one of `carried/`.
        march: what it is compiled for, by the kind of compiler; `any` for those that are not named.
    """

    source: str
    march: dict[str, str]


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One platform, as `targets.toml` describes it.

    Attributes:
        name: target triple.
        system: kernel name, e.g. `Linux`.
        machine: as `uname -m` says it.
        architecture: its row in `cpu/architectures.toml`; empty for what is not supported.
        libc: family of the C library; empty where there is no choice.
        tag: platform tag of a wheel for just this machine.
        portable: platform tag of a wheel with a glibc floor.
        zig: zig's target triple.
        floor: the glibc floor that zig builds for.
        rust: Rust's target triple.
        note: how a library is marked with its level; None where there is no such mark.
        probe: how a wheel asks the CPU; None where nothing can be built.
        refusal: why nothing can be built for it; empty for what is supported.
        hint: what to do instead.
    """

    name: str
    system: str
    machine: str
    libc: str
    architecture: str = ""
    tag: str = ""
    portable: str = ""
    zig: str = ""
    floor: str = ""
    rust: str = ""
    note: IsaNote | None = None
    probe: Probe | None = None
    refusal: str = ""
    hint: str = ""

    @property
    def levels(self) -> tuple[str, ...]:
        """Return the levels of its architecture, from the least to the most."""
        return architectures()[self.architecture].levels

    @property
    def zig_target(self) -> str:
        """Return what zig is told to build for."""
        return self.zig.replace("{glibc}", self.floor)

    def platform(self, glibc: str) -> str:
        """Return the platform tag, for a glibc floor or, without one, for just this machine."""
        if not glibc:
            return self.tag
        tags = [self.portable.replace("{glibc}", glibc.replace(".", "_"))]
        tags += [legacy_tags()[glibc]] if glibc in legacy_tags() else []
        return ".".join(sorted(tags))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: tuple[Target, ...]
    legacy: dict[str, str]


@functools.cache
def _table() -> _Table:
    return load_table("truewheel.targets", "targets.toml", _Table)


def targets() -> tuple[Target, ...]:
    """Return every platform that is known, supported or not."""
    return _table().target


def legacy_tags() -> dict[str, str]:
    """Return the older platform tag of a glibc floor, for those that have one."""
    return _table().legacy


def target_named(name: str) -> Target:
    """Return the platform of a name that a plan has."""
    return next(target for target in targets() if target.name == name)


def zig_target() -> Target:
    """Return the platform that zig builds for."""
    return next(target for target in targets() if target.zig)


def target_of(host: Host) -> Target:
    """Return the platform of a machine.

    Raises:
        PlanError: no wheel can be built for it yet.
    """
    libc = host.libc.split(" ", 1)[0]
    known = [target for target in targets() if target.system == host.system]
    same = [target for target in known if target.machine == host.machine]
    exact = next((target for target in same if target.libc in (libc, "")), None)
    if exact is None and same and all(target.refusal for target in same):
        exact = same[0]
    if exact is None:
        what = host.system if not known else f"the C library {host.libc}" if same else host.machine
        supported = ", ".join(target.name for target in targets() if not target.refusal)
        raise PlanError(
            f"{what} is not supported yet: truewheel builds for {supported}", hint="build the engine with pip"
        )
    if exact.refusal:
        raise PlanError(exact.refusal, hint=exact.hint)
    return exact
