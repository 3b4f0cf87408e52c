"""Asked = CMake's cache = compile commands = what the loaded library says of itself = what its code is."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

from truewheel.build.evidence import CompileUnit
from truewheel.checks.finding import Finding
from truewheel.cpu.features import engine_names, feature_table
from truewheel.examine.facts import Facts
from truewheel.plan.plan import Plan, PlannedBackend

CODES = {
    "FLAGS-CACHE": "CMake's cache holds another value than the plan asked for: the engine or the environment "
    "overruled it without a word.",
    "FLAGS-LOST": "A compile unit that should carry the plan's -march does not.",
    "FLAGS-OVERRULED": "A compile unit carries the plan's -march and then another one, which wins.",
    "FLAGS-LEAKED": "A compile unit outside the engine's kernels carries ISA flags: its code runs before any guard, "
    "and it cannot be shared between variants.",
    "FLAGS-SLOW": "A compile unit was compiled without optimization, or with its assertions on.",
    "FLAGS-MISSING": "A compile unit lacks a flag that the plan has for all of them.",
    "FLAGS-FAST-MATH": "A compile unit was compiled with -ffast-math or -Ofast, which ggml's kernels do not survive.",
    "FLAGS-RUN": "What a library said of itself when it was loaded in a locked-down child.",
    "FLAGS-RUN-FAILED": "A library that can tell what it was compiled with could not be loaded, or died.",
    "FLAGS-RUN-DIFFERS": "A library says that it was compiled for a CPU feature, and no code of the wheel has an "
    "instruction of it.",
    "FLAGS-LOADED": "The loaded library does not report a CPU feature that the plan asked for.",
    "FLAGS-BEYOND": "The loaded library reports a CPU feature that the plan did not ask for.",
    "FLAGS-NO-EVIDENCE": "The build left nothing to compare with, so nothing of this was shown.",
}
"""What each code means."""

_TRUE = {"ON", "TRUE", "YES", "Y", "1"}
_FALSE = {"OFF", "FALSE", "NO", "N", "0", ""}
_REPORTED = re.compile(r"([A-Z][A-Z0-9_]*) = 1")
_COMPILED = (".c", ".cc", ".cpp", ".cxx")
_SILENT = frozenset(("sse3", "ssse3", "f16c", "bmi2", "fma"))
"""Features that a compiler may have been told of and found no use for."""
_NATIVE = "native"
_NEUTRAL = ("-m64", "-mtune", "-mno-")


def check(facts: Facts) -> Iterator[Finding]:
    """Yield every place where what was asked for was silently lost."""
    yield from _told(facts)
    if facts.plan is None:
        return
    yield from _cache(facts)
    yield from _units(facts)
    yield from _options(facts)
    yield from _loaded(facts)


def _cache(facts: Facts) -> Iterator[Finding]:
    assert facts.plan is not None
    cache = facts.evidence.cmake_cache if facts.evidence else {}
    if not cache:
        yield Finding(
            code="FLAGS-NO-EVIDENCE",
            where="CMakeCache.txt",
            message="CMake left no cache",
            hint="build again; the evidence is read before the work folder is deleted",
        )
        return
    for key, asked in facts.plan.builder.cmake.defines.items():
        found = cache.get(key)
        if found is None or not _same(asked, found):
            yield Finding(
                code="FLAGS-CACHE",
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
    plan, native = facts.plan, facts.plan.code.native
    units = facts.evidence.units if facts.evidence else ()
    if plan.code.backends:
        kernels = [unit for backend in plan.code.backends for unit in _units_of(backend, units)]
        yield from _backend_flags(plan, units)
    elif plan.expect.isa_units:
        kernels = [
            unit for unit in units if any(fnmatch.fnmatchcase(unit.file, pattern) for pattern in plan.expect.isa_units)
        ]
        if not kernels:
            yield _no_evidence(f"no compile unit matches {', '.join(plan.expect.isa_units)}", "checks.isa-units")
    else:
        return
    for unit in units:
        mine = unit in kernels
        if mine and native and _NATIVE not in unit.march:
            yield Finding(
                code="FLAGS-LOST",
                where=unit.file,
                message=f"was compiled without -march={_NATIVE}",
                hint="something turned the engine's own option off; look at CMake's part of the log",
            )
        elif mine and native and unit.march[-1] != _NATIVE:
            yield Finding(
                code="FLAGS-OVERRULED",
                where=unit.file,
                message=f"-march={unit.march[-1]} comes after -march={_NATIVE} and wins",
                hint="a global flag adds it",
            )
        elif not mine and (unit.march or any(not option.startswith(_NEUTRAL) for option in unit.features)):
            yield Finding(
                code="FLAGS-LEAKED",
                where=unit.file,
                message=f"carries {' '.join([*(f'-march={value}' for value in unit.march), *unit.features])}",
                hint="set the ISA through the engine's options, never by a global flag",
            )


def _units_of(backend: PlannedBackend, units: tuple[CompileUnit, ...]) -> list[CompileUnit]:
    return [unit for unit in units if f"/{backend.target}.dir/" in f"/{unit.target}"]


def _backend_flags(plan: Plan, units: tuple[CompileUnit, ...]) -> Iterator[Finding]:
    """Compare the ISA flags of each backend's units with what the plan says, one by one."""
    for backend in plan.code.backends:
        mine = _units_of(backend, units)
        if not mine:
            yield _no_evidence(f"no compile unit belongs to the target {backend.target}", "[backends]")
        asked = {flag for flag in backend.flags if not flag.startswith("-march=")}
        for unit in mine:
            given = {option for option in unit.features if not option.startswith(_NEUTRAL)}
            if lost := sorted(asked - given):
                yield Finding(
                    code="FLAGS-LOST",
                    where=unit.target,
                    message=f"was compiled without {' '.join(lost)}",
                    hint="something turned the engine's option off; look at CMake's part of the log",
                )
            off = [option for option in unit.features if option.replace("-mno-", "-m", 1) in asked - {option}]
            march = [f"-march={value}" for value in unit.march if not plan.code.native]
            if more := [*march, *sorted(given - asked), *off]:
                yield Finding(
                    code="FLAGS-OVERRULED",
                    where=unit.target,
                    message=f"was compiled with {' '.join(more)}, which nobody asked for",
                    hint="a default of the engine's CMake files turned it on",
                )


def _no_evidence(message: str, key: str) -> Finding:
    return Finding(
        code="FLAGS-NO-EVIDENCE", where="compile_commands.json", message=message, hint=f"correct {key} in the recipe"
    )


def _options(facts: Facts) -> Iterator[Finding]:
    """Compare what every compile unit must have, whatever it is for; one finding a kind, with the first unit."""
    assert facts.plan is not None
    units = [unit for unit in (facts.evidence.units if facts.evidence else ()) if unit.language in _COMPILED]
    slow = [unit for unit in units if not _is_fast(unit)]
    if slow:
        options = " ".join(slow[0].optimization) or "no -O"
        yield Finding(
            code="FLAGS-SLOW",
            where=slow[0].file,
            message=f"was compiled with {options} and {'' if '-DNDEBUG' in slow[0].other else 'no '}-DNDEBUG"
            + (f", as were {len(slow) - 1} others" if len(slow) > 1 else ""),
            hint="the engine's CMake files overrule CMAKE_BUILD_TYPE",
        )
    for flag in facts.plan.builder.cmake.c_flags:
        # Folders in a flag are filled in when the plan is carried out; options are looked for where they are kept.
        name = flag.split("{", 1)[0]
        if not name.startswith(("-f", "-g", "-D", "-std", "-O")):
            continue
        lacking = [
            unit for unit in units if not any(word.startswith(name) for word in (*unit.other, *unit.optimization))
        ]
        if lacking:
            yield Finding(
                code="FLAGS-MISSING",
                where=lacking[0].file,
                message=f"was compiled without {flag}"
                + (f", as were {len(lacking) - 1} others" if lacking[1:] else ""),
                hint="the engine's CMake files set CMAKE_C_FLAGS anew",
            )
    for unit in units:
        if _wins("-ffast-math", "-fno-fast-math", unit.other) or "-Ofast" in unit.optimization[-1:]:
            yield Finding(
                code="FLAGS-FAST-MATH",
                where=unit.file,
                message="was compiled with fast math",
                hint="take the option out of the profile's flags",
            )


def _is_fast(unit: CompileUnit) -> bool:
    level = unit.optimization[-1] if unit.optimization else "-O0"
    debugging = _wins("-UNDEBUG", "-DNDEBUG", unit.other) or "-DNDEBUG" not in unit.other
    return level in ("-O2", "-O3", "-Ofast") and not debugging


def _wins(option: str, opposite: str, words: tuple[str, ...]) -> bool:
    """Tell whether an option comes after the last of its opposite."""
    last = next((word for word in reversed(words) if word in (option, opposite)), "")
    return last == option


def _told(facts: Facts) -> Iterator[Finding]:
    """Compare what libraries said of themselves when they were run with what their code is."""
    by_engine_name = {feature.engine: name for name, feature in feature_table().items() if feature.engine}
    for told in facts.told:
        if told.failure:
            yield Finding(
                code="FLAGS-RUN-FAILED",
                where=told.library,
                message=told.failure,
                hint="`truewheel smoke` runs the whole engine, when it is one that is known",
            )
            continue
        on = {by_engine_name[name] for name in _REPORTED.findall(told.text) if name in by_engine_name}
        yield Finding(code="FLAGS-RUN", where=told.library, message=f"says: {' '.join(told.text.split())[:400]}")
        used = {feature for code in facts.code.values() for kernel in code.kernels for feature in kernel.features}
        if empty := sorted(on - used - _SILENT):
            yield Finding(
                code="FLAGS-RUN-DIFFERS",
                where=told.library,
                message=f"says that it was compiled for {', '.join(empty)}, and no instruction of that is in the wheel",
                hint="the flag reached the place that reports, and not the kernels",
            )


def _loaded(facts: Facts) -> Iterator[Finding]:
    assert facts.plan is not None
    plan = facts.plan
    if facts.smoke is None:
        return
    told = facts.smoke.facts("system-info")
    text = str(told.get("text", ""))
    if plan.code.backends:
        name = str(told.get("backend", ""))
        chosen = next((backend for backend in plan.code.backends if backend.name == name), None)
        if text and chosen is None:
            yield Finding(
                code="FLAGS-LOADED",
                where=name or "no backend",
                message="is what the package says it loaded; the plan has no backend of that name",
                hint="the import guard did not run, or not this one",
            )
            return
        asked = engine_names(chosen.features) if chosen else frozenset()
    else:
        asked = engine_names(plan.code.features)
    if not asked:
        return
    if not text:
        return  # the smoke check says that this step was not passed
    reported = set(_REPORTED.findall(text))
    known = engine_names(feature_table())
    for name in sorted(asked):
        if name not in reported:
            yield Finding(
                code="FLAGS-LOADED",
                where=name,
                message="the plan asked for it, the loaded library does not have it",
                hint="the flag was lost on the way; compare compile commands and log",
            )
    for name in sorted((reported & known) - asked):
        yield Finding(
            code="FLAGS-BEYOND",
            where=name,
            message="the loaded library has it, the plan did not ask for it",
            hint="on a CPU without it the wheel would die",
        )
