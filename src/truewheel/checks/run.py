"""Run every check, and collect all findings before anything fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType

import msgspec

from truewheel.checks import (
    archive,
    emulation,
    equivalence,
    flags,
    hardening,
    installed,
    isa,
    linkage,
    loading,
    metadata,
    rust,
    size,
    smoke,
)
from truewheel.checks.finding import Check, Finding
from truewheel.checks.policy import Policy, default_policy
from truewheel.examine.facts import Facts

CHECKS: dict[str, Check] = {
    "archive": archive.check,
    "installed": installed.check,
    "isa": isa.check,
    "loading": loading.check,
    "linkage": linkage.check,
    "hardening": hardening.check,
    "metadata": metadata.check,
    "size": size.check,
    "flags": flags.check,
    "rust": rust.check,
    "smoke": smoke.check,
    "emulation": emulation.check,
}
"""Every check by name, in the order of the report."""

MODULES: dict[str, ModuleType] = {
    **{name: sys.modules[check.__module__] for name, check in CHECKS.items()},
    "equivalence": equivalence,
}
"""Where the codes come from; `equivalence` is about several wheels, so `truewheel compare` gives its codes."""

CODES: dict[str, str] = {
    **archive.CODES,
    **installed.CODES,
    **isa.CODES,
    **loading.CODES,
    **linkage.CODES,
    **hardening.CODES,
    **metadata.CODES,
    **size.CODES,
    **flags.CODES,
    **rust.CODES,
    **smoke.CODES,
    **equivalence.CODES,
    **emulation.CODES,
}
"""Every code and what it means."""

_ORDER = {"error": 0, "warning": 1, "info": 2}


def run_checks(facts: Facts, policy: Policy | None = None) -> tuple[Finding, ...]:
    """Return the findings of every check, errors first."""
    found = (finding for check in CHECKS.values() for finding in check(facts))
    unsound = frozenset(fault.code for fault in facts.wheel.faults)
    return rate(found, policy or default_policy(), own=facts.own, unsound=unsound)


def rate(
    findings: Iterable[Finding], policy: Policy, *, own: bool, unsound: frozenset[str] = frozenset()
) -> tuple[Finding, ...]:
    """Give each finding the severity that a policy says, and put errors first.

    Args:
        findings: what checks said.
        policy: which codes are how severe.
        own: whether it is a wheel of ours.
        unsound: codes that are errors whatever the policy says.
    """
    rated = [
        msgspec.structs.replace(
            finding, severity="error" if finding.code in unsound else policy.severity_of(finding.code, own=own)
        )
        for finding in findings
    ]
    return tuple(sorted(rated, key=lambda finding: (_ORDER[finding.severity], finding.code, finding.where)))


class Explanation(msgspec.Struct, frozen=True):
    """A code explained.

    Attributes:
        code: its name.
        check: which check gives it.
        own: its severity in a wheel that we built.
        foreign: its severity in anybody else's.
        meaning: what it means.
    """

    code: str
    check: str
    own: str
    foreign: str
    meaning: str


def explain(code: str, policy: Policy | None = None) -> Explanation:
    """Return what a code means.

    Raises:
        KeyError: there is no such code.
    """
    rules = policy or default_policy()
    check = next(name for name, module in MODULES.items() if code in module.CODES)
    own, foreign = (rules.severity_of(code, own=own) for own in (True, False))
    return Explanation(code, check, own, foreign, CODES[code])
