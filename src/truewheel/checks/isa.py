"""Which CPU features does the code need, and does the wheel claim as much?"""

from __future__ import annotations

from collections.abc import Iterator

from truewheel.checks.finding import Finding
from truewheel.cpu.levels import level_features
from truewheel.examine.facts import Facts
from truewheel.examine.isa_account import LibraryNeeds, account_of
from truewheel.examine.isa_rules import rule_text

CODES = {
    "ISA-BEYOND": "Code that runs on every CPU needs features that the wheel does not claim: on a CPU without them the "
    "process dies of an illegal instruction. lzcnt and tzcnt do not even fault, they give wrong numbers.",
    "ISA-CLAIM": "The wheel says different things of the CPU that it needs: in its plan, in truewheel.json, in the "
    "variant label of its file name.",
    "ISA-UNUSED": "The plan asked for a level, and the library that is built for it has no instruction of that level: "
    "the flag was silently ignored, and the wheel is slower than it claims.",
    "ISA-DAMAGED": "The code of a library could not be read, so nothing is known of what it needs.",
    "ISA-NOTE": "A library's ELF note asks for less than its code needs, so the loader lets it through to die, or for "
    "more than the wheel claims, so the loader refuses it on a CPU that the wheel promises to run on.",
    "ISA-UNDECIDED": "The library asks the CPU what it has, but nothing shows whether these functions are called by "
    "what it answered: no known rule is about them.",
    "ISA-ALLOWED": "Code beyond the claim is chosen at run time; the rule that says so is named.",
    "ISA-TZCNT": "Instructions that are tzcnt on a newer CPU and bsf on an older one. Compilers write them for every "
    "CPU where both give the same result.",
    "ISA-OTHER": "A library holds code that is not for 64-bit x86 Linux; it was not disassembled.",
}
"""What each code means."""

_MARKERS = {
    "x86-64-v2": ("sse3", "ssse3", "sse4_1", "sse4_2", "popcnt"),
    "x86-64-v3": ("avx", "avx2", "fma", "bmi1", "bmi2"),
    "x86-64-v4": ("avx", "avx2", "fma", "bmi1", "bmi2", "avx512f"),
}
"""Features one of which code of a level uses when its compiler was told of it; not the widest vectors, which
compilers avoid where they would not pay."""


_SELDOM = frozenset(("sse3", "ssse3", "sse4_1", "popcnt", "avx512cd", "amx_tile"))
"""Features that come with others and of which a compiler may find no use."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what the code needs beyond what the wheel claims."""
    account = account_of(facts)
    for path, library in account.libraries.items():
        yield from _library(facts, path, library, frozenset(account.claimed))
    if len({claim.features for claim in account.claims if claim.features is not None}) > 1:
        said = "; ".join(f"{claim.source} says {claim.text}" for claim in account.claims if claim.features is not None)
        yield Finding(code="ISA-CLAIM", where=facts.wheel.path.name, message=said, hint="rename or build it again")
    yield from _unused(facts)
    yield from _unread(facts)


def _library(facts: Facts, path: str, library: LibraryNeeds, claimed: frozenset[str]) -> Iterator[Finding]:
    beyond = tuple(feature for feature in library.needs if feature not in claimed)
    if beyond:
        count = sum(1 for feature, number in library.counts.items() if feature in beyond and number)
        shown = ", ".join(f"{feature} ({library.counts[feature]} functions)" for feature in beyond[:6])
        more = f" and {count - 6} more" if count > 6 else ""  # noqa: PLR2004
        example = library.example_of(beyond, facts.code[path])
        yield Finding(
            code="ISA-BEYOND",
            where=path,
            message=f"needs {shown}{more}, which the wheel does not claim{example}",
            hint="build it for the level that it claims, or claim the level that it needs; `truewheel build` makes one "
            "for this machine",
        )
    if library.undecided:
        yield Finding(
            code="ISA-UNDECIDED",
            where=path,
            message=f"has code for {', '.join(library.undecided)} in {library.undecided_functions} functions, asks the "
            "CPU, and no rule says which of them it guards",
            hint="try it under emulation on the CPU that it must run on",
        )
    for rule, allowed in library.allowed.items():
        features = ", ".join(allowed.features)
        message = f"{allowed.functions} functions with {features}: rule {rule!r}: {rule_text(rule)}"
        yield Finding(code="ISA-ALLOWED", where=path, message=message)
    if library.maybe_tzcnt:
        yield Finding(
            code="ISA-TZCNT", where=path, message=f"{library.maybe_tzcnt} functions hold bytes that are tzcnt or bsf"
        )
    note = facts.libraries[path].isa_level
    if note:
        promised = level_features(note)
        short = [feature for feature in library.needs if feature in level_features("x86-64-v4") - promised]
        if short:
            reason = f"its ELF note asks for {note}, its code needs {', '.join(short)} besides"
            yield Finding(code="ISA-NOTE", where=path, message=reason, hint="link it with the note of its own level")
        elif promised - claimed:
            reason = f"its ELF note makes the loader ask for {note}, which the wheel does not claim"
            yield Finding(
                code="ISA-NOTE", where=path, message=reason, hint="claim the level in the wheel's variant label"
            )


def _unused(facts: Facts) -> Iterator[Finding]:
    plan = facts.plan
    if plan is None:
        return
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    backends, level = plan.code.backends, plan.code.level
    if len(backends) > 1:
        sets = [frozenset(backend.features) for backend in backends]
        for backend, features in zip(backends, sets, strict=True):
            lesser = frozenset[str]().union(*(other for other in sets if other < features))
            # What sets it apart from every lesser backend. The least of all has nobody to be told from.
            own = features - lesser - _SELDOM if lesser else features
            asked.append((backend.library, f"the backend {backend.name}", tuple(sorted(own or features))))
    elif level in _MARKERS:
        libraries = [backend.library for backend in backends] or plan.expect.isa_libraries
        asked += [(library, level, _MARKERS[level]) for library in libraries]
    for library, what, wanted in asked:
        if library not in facts.code:
            continue
        used = {feature for kernel in facts.code[library].kernels for feature in kernel.features}
        if not used.intersection(wanted):
            yield Finding(
                code="ISA-UNUSED",
                where=library,
                message=f"was asked for {what}, and has no instruction of {', '.join(wanted)}",
                hint="look at the compile commands in the log: the flag was lost",
            )


def _unread(facts: Facts) -> Iterator[Finding]:
    for path, elf in facts.libraries.items():
        if path in facts.code:
            continue
        if elf.machine == "EM_X86_64":
            reason = facts.damaged.get(path, "its code could not be disassembled")
            yield Finding(
                code="ISA-DAMAGED", where=path, message=reason, hint="build the wheel again, or do not install it"
            )
        else:
            machine = elf.machine.removeprefix("EM_").lower()
            yield Finding(
                code="ISA-OTHER", where=path, message=f"is {machine} code; its links were read, its code was not"
            )
    for path, entry in facts.wheel.entries.items():
        if entry.kind in ("pe", "macho"):
            system = "Windows" if entry.kind == "pe" else "macOS"
            yield Finding(
                code="ISA-OTHER", where=path, message=f"is a {system} file; neither its links nor its code were read"
            )
