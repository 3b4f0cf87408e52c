"""What a check says and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from truewheel.binary.elf import ElfFacts
from truewheel.build.evidence import Evidence
from truewheel.inference.smoke import SmokeRecord
from truewheel.plan import Plan
from truewheel.wheel.archive import WheelFile

Severity = Literal["error", "warning", "info"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check has to say.

    Attributes:
        code: stable name, explained by the check that yields it.
        severity: `error` refuses the wheel, `warning` and `info` do not.
        where: the file, library or step that it is about.
        message: what was found, in one sentence.
        hint: what to do about it; may be empty.
    """

    code: str
    severity: Severity
    where: str
    message: str
    hint: str = ""


class Facts(NamedTuple):
    """Everything that checks may read.

    Attributes:
        wheel: the wheel.
        libraries: ELF facts by path in the wheel.
        damaged: ELF files that could not be read, with the reason.
        policy: auditwheel's account, or None where it has none.
        plan: what was asked for; None for a wheel that we did not build.
        evidence: what CMake and the compilers were told; None likewise.
        smoke: the smoke test's record; None when it was not run.
    """

    wheel: WheelFile
    libraries: dict[str, ElfFacts]
    damaged: dict[str, str]
    policy: Mapping[str, Any] | None
    plan: Plan | None
    evidence: Evidence | None
    smoke: SmokeRecord | None


Check = Callable[[Facts], Iterator[Finding]]
