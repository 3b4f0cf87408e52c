"""The account of a wheel's CPU features: what it claims, what its code needs, what was let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from truewheel.binary.code import CodeFacts, Kernel
from truewheel.binary.guards import OPEN
from truewheel.checks.finding import Facts
from truewheel.checks.isa_rules import DISPATCH_RULE, find_rule
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.plan.carried import CarriedPlan, claims_of, read_carried


class Claim(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a wheel says of the CPU that it needs, and where.

    Attributes:
        source: where it says so.
        text: what it says.
        features: what that allows its code to use; None where it allows nothing by itself.
    """

    source: str
    text: str
    features: tuple[str, ...] | None


class Allowed(msgspec.Struct, frozen=True):
    """What one rule let through.

    Attributes:
        functions: how many functions.
        features: what they need.
    """

    functions: int
    features: tuple[str, ...]


class LibraryNeeds(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What one library's code needs.

    Attributes:
        level: the lowest x86-64 level that holds what it needs, as far as levels go.
        needs: features that it needs on every CPU.
        counts: functions that need each of them.
        undecided: further features in code of which nothing shows when it runs.
        undecided_functions: functions of that kind.
        allowed: what rules let through, by rule.
        functions: functions that were decoded.
        named: those of them that have a name.
        maybe_tzcnt: functions with an instruction that is tzcnt or bsf.
    """

    level: str
    needs: tuple[str, ...]
    counts: dict[str, int]
    undecided: tuple[str, ...]
    undecided_functions: int
    allowed: dict[str, Allowed]
    functions: int
    named: int
    maybe_tzcnt: int

    def example_of(self, features: Iterable[str], code: CodeFacts) -> str:
        """Return one instruction that shows the need, for a sentence; empty when there is none."""
        wanted = tuple(features)
        order = sorted(
            (example for example in code.examples if example.feature in wanted and example.standing == OPEN),
            key=lambda example: -_rank(example.feature),
        )
        return f", e.g. `{order[0].text}` in {order[0].function[:80]} at {order[0].address:#x}" if order else ""


class IsaAccount(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a wheel claims and needs.

    Attributes:
        claims: everything that it says.
        claimed: the features that it may use by what it says.
        level: the lowest x86-64 level that holds what its code needs, as far as levels go.
        beyond: features that it needs besides that level.
        needs: all features that it needs on every CPU.
        undecided: further features in code of which nothing shows when it runs.
        libraries: the same, by library.
    """

    claims: tuple[Claim, ...]
    claimed: tuple[str, ...]
    level: str
    beyond: tuple[str, ...]
    needs: tuple[str, ...]
    undecided: tuple[str, ...]
    libraries: dict[str, LibraryNeeds]


def account_of(facts: Facts) -> IsaAccount:
    """Compare what a wheel's code needs with rules and claims."""
    declared = declared_backends(facts)
    libraries = {
        path: _library(path, code, facts.marks.get(path, ()), declared.get(path, frozenset()))
        for path, code in facts.code.items()
    }
    needs = _in_order(feature for library in libraries.values() for feature in library.needs)
    claims = tuple(read_claims(facts))
    claimed = {feature for claim in claims if claim.features is not None for feature in claim.features}
    level, beyond = place(needs)
    undecided = {feature for library in libraries.values() for feature in library.undecided} - set(needs)
    return IsaAccount(
        claims=claims,
        claimed=_in_order(claimed),
        level=level,
        beyond=beyond,
        needs=needs,
        undecided=_in_order(undecided),
        libraries=libraries,
    )


def place(features: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the lowest level that holds those of the features that are in any level, and the others."""
    wanted = frozenset(features)
    levelled = wanted & level_features(LEVELS[-1])
    level = next(level for level in LEVELS if levelled <= level_features(level))
    return level, _in_order(wanted - levelled)


def read_claims(facts: Facts) -> Iterator[Claim]:
    """Yield what a wheel says of the CPU that it needs."""
    embedded = embedded_plan(facts)
    for source, plan in (("the plan", claims_of(facts.plan) if facts.plan else None), ("truewheel.json", embedded)):
        if plan is not None:
            features = _in_order({*plan.features, *level_features(plan.level)})
            yield Claim(source=source, text=f"{plan.level}, profile {plan.profile}", features=features)
    label = facts.wheel.name.variant
    if label:
        level = label.replace("x86_64", "x86-64").replace("_", "-")
        promised = _in_order(level_features(level)) if level in LEVELS else None
        yield Claim(source="the variant label", text=label, features=promised)
    if facts.plan is None and embedded is None and not label:
        x86 = sorted(platform for platform in facts.wheel.name.platforms if platform.endswith("x86_64"))
        if x86 or facts.code:
            text = f"every x86-64 CPU ({', '.join(x86) or 'no platform'})"
            yield Claim(source="the file name", text=text, features=())
    for path, elf in facts.libraries.items():
        if elf.isa_level:
            yield Claim(source=f"the ELF note of {path}", text=elf.isa_level, features=None)


def declared_backends(facts: Facts) -> dict[str, frozenset[str]]:
    """Return what the code of each backend may use, by its library, in a wheel that chooses among several."""
    plan = claimed_plan(facts)
    if plan is None or len(plan.backends) < 2:  # noqa: PLR2004
        return {}
    # What the wheel demands of every CPU, each backend may use besides its own.
    return {backend.library: frozenset((*plan.features, *backend.features)) for backend in plan.backends}


def claimed_plan(facts: Facts) -> CarriedPlan | None:
    """Return what the plan claims of a wheel, ours or the one in its truewheel.json; None where there is neither."""
    return claims_of(facts.plan) if facts.plan else embedded_plan(facts)


def embedded_plan(facts: Facts) -> CarriedPlan | None:
    """Return what truewheel.json in a wheel says; None when there is none, or it cannot be read."""
    text = facts.wheel.texts.get(f"{facts.wheel.dist_info}/truewheel.json", "")
    try:
        return read_carried(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _library(path: str, code: CodeFacts, marks: tuple[str, ...], declared: frozenset[str]) -> LibraryNeeds:
    counts: dict[str, int] = {}
    undecided: list[Kernel] = []
    allowed: dict[str, list[Kernel]] = {}
    for kernel in code.kernels:
        rule = DISPATCH_RULE if declared.issuperset(kernel.features) else find_rule(path, code, marks, kernel)
        if rule:
            allowed.setdefault(rule, []).append(kernel)
        elif kernel.standing == OPEN:
            for feature in set(kernel.features) - declared:
                counts[feature] = counts.get(feature, 0) + 1
        else:
            undecided.append(kernel)
    level, _ = place(counts)
    unclear = {feature for kernel in undecided for feature in kernel.features} - counts.keys()
    return LibraryNeeds(
        level=level,
        needs=_in_order(counts),
        counts=counts,
        undecided=_in_order(unclear),
        undecided_functions=len(undecided) if unclear else 0,
        allowed={
            rule: Allowed(len(kernels), _in_order({feature for kernel in kernels for feature in kernel.features}))
            for rule, kernels in sorted(allowed.items())
        },
        functions=code.functions,
        named=code.named,
        maybe_tzcnt=code.maybe_tzcnt,
    )


def _in_order(features: Iterable[str]) -> tuple[str, ...]:
    """Return features from the oldest level's to those of none."""
    return tuple(sorted(set(features), key=lambda feature: (_rank(feature), feature)))


def _rank(feature: str) -> int:
    return next((number for number, level in enumerate(LEVELS) if feature in level_features(level)), len(LEVELS))
