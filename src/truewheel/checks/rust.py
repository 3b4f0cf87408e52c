"""Asked = the options of rustc, crate by crate: flags that cargo does not pass on are lost silently."""

from __future__ import annotations

from collections.abc import Iterator

from truewheel.build.evidence import CrateUnit
from truewheel.checks.finding import Finding
from truewheel.examine.facts import Facts
from truewheel.plan.plan import MaturinPlan

CODES = {
    "RUST-LOST": "A crate of the wheel was compiled without the plan's target CPU or target features.",
    "RUST-OVERRULED": "A crate was compiled with another target CPU, or more target features, than the plan has.",
    "RUST-SLOW": "A crate was compiled without full optimization, in several code generation units, or without the "
    "plan's link-time optimization.",
    "RUST-NO-EVIDENCE": "The build left no call of rustc to compare with, so nothing of this was shown.",
}
"""What each code means."""

_ISA = ("target-cpu=", "target-feature=")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield every place where what rustc was asked for was lost; nothing for an engine without Rust."""
    planned = facts.plan.builder if facts.plan else None
    if not isinstance(planned, MaturinPlan):
        return
    crates = facts.evidence.crates if facts.evidence else ()
    if not crates:
        yield Finding(
            code="RUST-NO-EVIDENCE",
            where="cargo",
            message="cargo's output names no call of rustc for the wheel",
            hint="build again with --no-cache; the evidence is read from cargo's verbose output",
        )
    for crate in crates:
        yield from _isa(planned, crate)
    yield from _optimization(planned, crates)


def _isa(planned: MaturinPlan, crate: CrateUnit) -> Iterator[Finding]:
    asked = [flag.removeprefix("-C") for flag in planned.flags if flag.removeprefix("-C").startswith(_ISA)]
    given = [option for option in crate.codegen if option.startswith(_ISA)]
    if lost := [option for option in asked if option not in given]:
        yield Finding(
            code="RUST-LOST",
            where=crate.crate,
            message=f"was compiled without -C{' -C'.join(lost)}",
            hint="RUSTFLAGS did not reach it; look at cargo's part of the log",
        )
    if more := [option for option in given if option not in asked]:
        yield Finding(
            code="RUST-OVERRULED",
            where=crate.crate,
            message=f"was compiled with -C{' -C'.join(more)}, which nobody asked for",
            hint="the crate's manifest or cargo's configuration adds it",
        )


def _optimization(planned: MaturinPlan, crates: tuple[CrateUnit, ...]) -> Iterator[Finding]:
    level = planned.profile.get("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
    units = planned.profile.get("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
    wanted = [f"opt-level={level}", f"codegen-units={units}"]
    slow = [(crate, [option for option in wanted if option not in crate.codegen]) for crate in crates]
    slow = [(crate, lacking) for crate, lacking in slow if lacking]
    if slow:
        crate, lacking = slow[0]
        yield Finding(
            code="RUST-SLOW",
            where=crate.crate,
            message=f"was compiled without -C {' -C '.join(lacking)}"
            + (f", as were {len(slow) - 1} others" if slow[1:] else ""),
            hint="a profile in the crate's manifest overrules cargo's variables",
        )
    asked = f"lto={planned.profile.get('CARGO_PROFILE_RELEASE_LTO', '')}"
    if crates and not any(asked in crate.codegen for crate in crates):
        yield Finding(
            code="RUST-SLOW",
            where=crates[-1].crate,
            message=f"no crate was linked with -C {asked}",
            hint="a profile in the crate's manifest overrules cargo's variables",
        )
