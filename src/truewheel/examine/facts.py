"""Everything that is known of a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from truewheel.binary.code import CodeFacts
from truewheel.binary.elf import ElfFacts
from truewheel.build.evidence import Evidence
from truewheel.child.emulated_run import EmulatedRun
from truewheel.child.smoke import SmokeRecord
from truewheel.child.system_info import SystemInfo
from truewheel.decoding import UnreadableError
from truewheel.examine.reading import WheelFacts
from truewheel.plan.carried import BUILD_INFO, CarriedPlan, claims_of, read_carried
from truewheel.plan.plan import Plan
from truewheel.wheel.archive import WheelFile
from truewheel.wheel.sources import SourceFacts


class Facts(NamedTuple):
    """Everything that checks may read.

    Attributes:
        wheel: the wheel.
        libraries: ELF facts by path in the wheel.
        damaged: ELF files that could not be read, or not wholly, with the reason.
        policy: auditwheel's account, or None where it has none.
        plan: what was asked for; None for a wheel that we did not build.
        evidence: what CMake and the compilers were told; None likewise.
        smoke: the smoke test's record; None when it was not run.
        code: what the code of each library needs, by path; x86-64 libraries only.
        marks: names of the ISA rules whose texts are in each library, by path.
        sources: what the Python files import and define; None when they were not read.
        told: what libraries said of themselves when they were run; empty when they were not.
        locked: whether what read the wheel could lock itself down.
        emulation: what it did on other CPUs; empty when it was not run there.
    """

    wheel: WheelFile
    libraries: dict[str, ElfFacts]
    damaged: dict[str, str]
    policy: Mapping[str, Any] | None
    plan: Plan | None
    evidence: Evidence | None
    smoke: SmokeRecord | None
    code: Mapping[str, CodeFacts] = {}
    marks: Mapping[str, tuple[str, ...]] = {}
    sources: SourceFacts | None = None
    told: tuple[SystemInfo, ...] = ()
    locked: bool = True
    emulation: tuple[EmulatedRun, ...] = ()

    @property
    def embedded(self) -> CarriedPlan | None:
        """Return what `truewheel.json` in the wheel says; None where it says nothing that can be read."""
        try:
            return read_carried(self.wheel.texts.get(f"{self.wheel.dist_info}/{BUILD_INFO}", ""))
        except (UnreadableError, ValueError):
            return None

    @property
    def declared(self) -> CarriedPlan | None:
        """Return what the wheel is for: as its plan says, else as it says itself; None where nothing does."""
        return claims_of(self.plan) if self.plan else self.embedded

    @property
    def own(self) -> bool:
        """Return whether it is a wheel of ours, or says that it is."""
        return self.declared is not None

    @property
    def strings(self) -> dict[str, tuple[str, ...]]:
        """Return the Python modules that compiled code imports by name, by library."""
        return {path: elf.python_modules for path, elf in self.libraries.items()}


def facts_of(read: WheelFacts) -> Facts:
    """Return the facts of a wheel that was read, and neither built here nor run."""
    libraries = read.libraries
    return Facts(
        wheel=read.wheel,
        libraries={path: facts.elf for path, facts in libraries.items() if facts.elf is not None},
        damaged={path: facts.damage for path, facts in libraries.items() if facts.damage},
        policy=read.policy,
        plan=None,
        evidence=None,
        smoke=None,
        code={path: facts.code for path, facts in libraries.items() if facts.code is not None},
        marks={path: facts.marks for path, facts in libraries.items()},
        sources=read.sources,
        locked=read.locked,
    )
