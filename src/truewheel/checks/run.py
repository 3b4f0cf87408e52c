"""Gather the facts, run every check, and collect all findings before anything fails."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truewheel import process
from truewheel.binary.elf import ElfFacts, read_elf
from truewheel.build.evidence import Evidence
from truewheel.checks import flags, linkage, size, smoke
from truewheel.checks.finding import Check, Facts, Finding
from truewheel.inference.smoke import SmokeRecord
from truewheel.plan import Plan
from truewheel.wheel.archive import WheelFile

CHECKS: dict[str, Check] = {
    "linkage": linkage.check,
    "size": size.check,
    "flags": flags.check,
    "smoke": smoke.check,
}
"""Every check by name, in the order of the report."""

CODES: dict[str, str] = {**linkage.CODES, **size.CODES, **flags.CODES, **smoke.CODES}
"""Every code and what it means."""

_ORDER = {"error": 0, "warning": 1, "info": 2}
_POLICY_SECONDS = 120.0


def gather(
    wheel: WheelFile, *, plan: Plan | None = None, evidence: Evidence | None = None, record: SmokeRecord | None = None
) -> Facts:
    """Read from a wheel everything that the checks look at."""
    libraries: dict[str, ElfFacts] = {}
    damaged: dict[str, str] = {}
    for path, data in wheel.shared_objects().items():
        try:
            libraries[path] = read_elf(data)
        except ValueError as error:
            damaged[path] = str(error)
    return Facts(wheel, libraries, damaged, audit_policy(wheel.path), plan, evidence, record)


def run_checks(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings of every check, errors first."""
    findings = [finding for check in CHECKS.values() for finding in check(facts)]
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.severity], finding.code, finding.where)))


def audit_policy(path: Path) -> Mapping[str, Any] | None:
    """Return what `auditwheel show --json` says of a wheel, or None where it cannot tell."""
    beside = Path(sys.executable).parent / "auditwheel"
    program = str(beside) if beside.is_file() else shutil.which("auditwheel")
    if program is None:
        return None
    done = process.run(
        [program, "show", "--json", path], timeout=_POLICY_SECONDS, merge_stderr=False, keep_lines=100_000
    )
    start = done.output.find("{")
    if done.returncode != 0 or start < 0:
        return None
    try:
        table = json.loads(done.output[start:])
    except ValueError:
        return None
    return table if isinstance(table, dict) else None
