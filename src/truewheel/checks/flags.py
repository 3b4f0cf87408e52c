"""Asked = CMake's cache = compile commands = what the loaded library says of itself."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

from truewheel.checks.finding import Facts, Finding

CODES = {
    "FLAGS-CACHE": "CMake's cache holds another value than the plan asked for: the engine or the environment "
    "overruled it without a word.",
    "FLAGS-LOST": "A compile unit that should carry the plan's -march does not.",
    "FLAGS-OVERRULED": "A compile unit carries the plan's -march and then another one, which wins.",
    "FLAGS-LEAKED": "A compile unit outside the engine's kernels carries ISA flags: its code runs before any guard, "
    "and it cannot be shared between variants.",
    "FLAGS-LOADED": "The loaded library does not report a CPU feature that the plan asked for.",
    "FLAGS-BEYOND": "The loaded library reports a CPU feature that the plan did not ask for.",
    "FLAGS-NO-EVIDENCE": "The build left nothing to compare with, so nothing of this was shown.",
}
"""What each code means."""

_TRUE = {"ON", "TRUE", "YES", "Y", "1"}
_FALSE = {"OFF", "FALSE", "NO", "N", "0", ""}
_REPORTED = re.compile(r"([A-Z][A-Z0-9_]*) = 1")
_NEUTRAL = ("-m64", "-mtune", "-mno-")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield every place where what was asked for was silently lost."""
    if facts.plan is None:
        return
    yield from _cache(facts)
    yield from _units(facts)
    yield from _loaded(facts)


def _cache(facts: Facts) -> Iterator[Finding]:
    assert facts.plan is not None
    cache = facts.evidence.cmake_cache if facts.evidence else {}
    if not cache:
        yield Finding(
            code="FLAGS-NO-EVIDENCE",
            severity="error",
            where="CMakeCache.txt",
            message="CMake left no cache",
            hint="build again; the evidence is read before the work folder is deleted",
        )
        return
    for key, asked in facts.plan.defines.items():
        found = cache.get(key)
        if found is None or not _same(asked, found):
            yield Finding(
                code="FLAGS-CACHE",
                severity="error",
                where=key,
                message=f"asked for {asked}, CMake has {'nothing' if found is None else found}",
                hint="the engine's CMake files force it: patch them in the recipe",
            )


def _same(asked: str, found: str) -> bool:
    if asked.upper() in _TRUE:
        return found.upper() in _TRUE
    if asked.upper() in _FALSE:
        return found.upper() in _FALSE or found.endswith("-NOTFOUND")
    return asked == found


def _units(facts: Facts) -> Iterator[Finding]:
    assert facts.plan is not None
    plan = facts.plan
    if not plan.isa_units:
        return
    units = facts.evidence.units if facts.evidence else ()
    kernels = [unit for unit in units if any(fnmatch.fnmatchcase(unit.file, pattern) for pattern in plan.isa_units)]
    if not kernels:
        yield Finding(
            code="FLAGS-NO-EVIDENCE",
            severity="error",
            where="compile_commands.json",
            message=f"no compile unit matches {', '.join(plan.isa_units)}",
            hint="correct checks.isa-units in the recipe",
        )
    for unit in units:
        mine = unit in kernels
        if mine and plan.march and plan.march not in unit.march:
            yield Finding(
                code="FLAGS-LOST",
                severity="error",
                where=unit.file,
                message=f"was compiled without -march={plan.march}",
                hint="something turned GGML_NATIVE off; look at CMake's part of the log",
            )
        elif mine and plan.march and unit.march[-1] != plan.march:
            yield Finding(
                code="FLAGS-OVERRULED",
                severity="error",
                where=unit.file,
                message=f"-march={unit.march[-1]} comes after -march={plan.march} and wins",
                hint="a global flag adds it",
            )
        elif not mine and (unit.march or any(not option.startswith(_NEUTRAL) for option in unit.features)):
            yield Finding(
                code="FLAGS-LEAKED",
                severity="error",
                where=unit.file,
                message=f"carries {' '.join([*(f'-march={value}' for value in unit.march), *unit.features])}",
                hint="set the ISA through the engine's options, never by a global flag",
            )


def _loaded(facts: Facts) -> Iterator[Finding]:
    assert facts.plan is not None
    plan = facts.plan
    if not plan.engine_features or facts.smoke is None:
        return
    text = str(facts.smoke.facts("system-info").get("text", ""))
    if not text:
        return  # the smoke check says that this step was not passed
    from truewheel.cpu.features import engine_names, feature_table

    reported = set(_REPORTED.findall(text))
    known = engine_names(feature_table())
    for name in plan.engine_features:
        if name not in reported:
            yield Finding(
                code="FLAGS-LOADED",
                severity="error",
                where=name,
                message="the plan asked for it, the loaded library does not have it",
                hint="the flag was lost on the way; compare compile commands and log",
            )
    for name in sorted((reported & known) - set(plan.engine_features)):
        yield Finding(
            code="FLAGS-BEYOND",
            severity="error",
            where=name,
            message="the loaded library has it, the plan did not ask for it",
            hint="on a CPU without it the wheel would die",
        )
