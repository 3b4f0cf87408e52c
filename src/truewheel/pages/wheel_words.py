"""What every form of the account says in the same words: the verdict's reason, needs, CPUs, platform, space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from truewheel.checks.finding import Finding, Severity
from truewheel.checks.run import CODES
from truewheel.checks.size import Space
from truewheel.cpu.models import oldest_with, runs_on_words
from truewheel.errors import CheckError
from truewheel.examine.isa_account import Claim, place
from truewheel.examine.isa_rules import rule_text
from truewheel.report import Report
from truewheel.targets.manylinux import read_glibc
from truewheel.text import join_words, number_words, size_words
from truewheel.wheel.name import parse_wheel_name

_UNREAD = ("ISA-DAMAGED", "LINK-DAMAGED")
_SHOWN_FEATURES = 7
_SHOWN_CLAIMS = 4
_KINDS = {"libraries": "libraries", "python": "Python", "metadata": "metadata", "other": "other files"}


class Group(NamedTuple):
    """Findings of one code."""

    code: str
    findings: tuple[Finding, ...]

    @property
    def meaning(self) -> str:
        """Return what the code means; empty for a code of another version."""
        return CODES.get(self.code, "")

    @property
    def hints(self) -> tuple[str, ...]:
        """Return what to do about it, each advice once."""
        return tuple(dict.fromkeys(finding.hint for finding in self.findings if finding.hint))


class Chosen(NamedTuple):
    """What one rule let through, in all libraries together."""

    rule: str
    functions: int
    features: tuple[str, ...]
    libraries: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """Return why the rule lets it through."""
        return rule_text(self.rule)


def group_findings(report: Report, severity: Severity) -> tuple[Group, ...]:
    """Return the findings of one severity by code, in the order of the checks."""
    order = {code: number for number, code in enumerate(CODES)}
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.severity == severity:
            groups.setdefault(finding.code, []).append(finding)
    codes = sorted(groups, key=lambda code: (order.get(code, len(order)), code))
    return tuple(Group(code, tuple(groups[code])) for code in codes)


def reason_words(report: Report) -> str:
    """Say why the verdict is what it is."""
    errors = [
        f"{group.code} ({len(group.findings)} times)" if len(group.findings) > 1 else group.code
        for group in group_findings(report, "error")
    ]
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    besides = number_words(warnings, "warning") if warnings else ""
    if not errors:
        return f"no error, {besides or 'no warning'}"
    reason = "because of " + " and ".join(filter(None, (", ".join(errors[:-1]), errors[-1])))
    return f"{reason}; {besides} besides" if besides else reason


def find_advice(report: Report) -> list[tuple[tuple[str, ...], str]]:
    """Return what to do about errors and about what is not proven, each advice once, with the codes it is about."""
    advice: dict[str, list[str]] = {}
    unproven = [
        group
        for group in group_findings(report, "warning")
        if group.code == "ISA-UNDECIDED" or group.code.endswith("-UNPROVEN")
    ]
    for group in (*group_findings(report, "error"), *unproven):
        for finding in group.findings:
            codes = advice.setdefault(finding.hint, []) if finding.hint else []
            if group.code not in codes:
                codes.append(group.code)
    return [(tuple(codes), hint) for hint, codes in advice.items()]


def holds_code(report: Report) -> bool:
    """Tell whether a wheel holds compiled code of any kind."""
    return bool(report.libraries) or bool(report.space and report.space.kinds.get("libraries"))


def fact_rows(report: Report) -> list[tuple[str, str]]:
    """Return claims and facts, each with the words that stand before it; empty for a malformed wheel."""
    if report.isa is None:
        return [("size", size_words(report.size))] if report.size else []
    rows = [("it claims", claim_words(claim)) for claim in _merged(report.isa.claims)]
    rows.append(("it needs", needs_words(report)))
    chosen = find_chosen(report)
    if chosen:
        rows.append(("it chooses", chosen_words(chosen)))
    rows.append(("it runs on", cpu_words(report)))
    rows += [("platform", words) for words in [platform_words(report)] if words]
    rows.append(("size", space_words(report)))
    for info in report.told:
        said = info.text or f"it could not be asked: {info.failure}"
        rows.append(("it says", f"{info.library.rpartition('/')[2]}: {said}"))
    return rows


def claim_words(claim: Claim) -> str:
    """Return what is claimed and where."""
    return f"{claim.text}, says {claim.source}"


def level_words(features: Iterable[str]) -> str:
    """Return a set of features as a level and what lies beyond it, e.g. `x86-64-v3 and aes`."""
    level, beyond = place(features)
    return f"{level} and {join_words(beyond, 4)}" if beyond else level


def needs_words(report: Report) -> str:
    """Say what a wheel's code needs on every CPU."""
    isa = report.isa
    if isa is None or not isa.libraries:
        return "not known: none of its code was read" if holds_code(report) else "nothing: it holds no compiled code"
    if not isa.needs:
        return "x86-64, and nothing that only newer CPUs have"
    words = f"{isa.level}: {join_words(_newest_first(isa.needs, isa.beyond), _SHOWN_FEATURES)}"
    if isa.beyond:
        words += f"; besides {join_words(isa.beyond, 4)}"
    return words if set(isa.needs) <= set(isa.claimed) else f"{words}. That is more than it claims"


def needs_in_short(report: Report) -> str:
    """Return the same for a narrow column."""
    isa = report.isa
    if isa is None or not isa.libraries:
        return "?" if isa is None or holds_code(report) else "-"
    beyond = f" +{len(isa.beyond)}" if len(isa.beyond) > 1 else "".join(f" {feature}" for feature in isa.beyond)
    return f"{isa.level}{beyond}{' or more' if isa.undecided else ''}"


def find_chosen(report: Report) -> tuple[Chosen, ...]:
    """Return what rules let through, the most first."""
    rules: dict[str, list[tuple[str, int, tuple[str, ...]]]] = {}
    for path, library in report.isa.libraries.items() if report.isa else ():
        for rule, allowed in library.allowed.items():
            rules.setdefault(rule, []).append((path, allowed.functions, allowed.features))
    chosen = [
        Chosen(
            rule,
            sum(functions for _, functions, _ in parts),
            tuple(dict.fromkeys(feature for _, _, features in parts for feature in features)),
            tuple(path for path, _, _ in parts),
        )
        for rule, parts in rules.items()
    ]
    return tuple(sorted(chosen, key=lambda each: (-each.functions, each.rule)))


def chosen_words(chosen: Sequence[Chosen]) -> str:
    """Say how much is chosen at run time, and by which rules."""
    rules = [f"{each.functions} for {level_words(each.features)} (rule '{each.rule}')" for each in chosen]
    functions = sum(each.functions for each in chosen)
    return f"{number_words(functions, 'function')} at run time, by what the CPU has: {join_words(rules, 4)}"


def cpu_words(report: Report) -> str:
    """Say which CPUs a wheel runs on, and how sure that is."""
    isa = report.isa
    if isa is None or not isa.libraries:
        return "not known" if holds_code(report) else "any CPU: it holds no compiled code"
    if not oldest_with(isa.needs):
        return (
            "no CPU known here: none has all of that. Where it runs all the same, some of that code is chosen at run "
            "time, in a way that no rule knows"
        )
    # A wheel of ours asks the CPU for all that it claims, whether its code needs it or not.
    guarded = any(claim.source in ("the plan", "truewheel.json") for claim in isa.claims)
    words = runs_on_words({*isa.needs, *(isa.claimed if guarded else ())})
    if any(finding.code in _UNREAD for finding in report.findings):
        words += ". Not proven: some of its code could not be read"
    if isa.undecided:
        words += f". Not proven: nothing shows when its code for {join_words(isa.undecided, 4)} runs"
    return words


def platform_words(report: Report) -> str:
    """Compare the platform that the file name promises with the one that the symbol versions allow."""
    try:
        platforms = parse_wheel_name(report.wheel).platforms
    except CheckError:
        platforms = ()
    promised = min(filter(None, map(read_glibc, platforms)), default=None)
    said = ", ".join(platforms)
    if promised:
        said = f"manylinux with glibc {promised[0]}.{promised[1]} or newer"
    if platforms == ("any",):
        said = "any"
    if not report.symbols:
        return f"{said}, says the file name" if said else ""
    allowed = read_glibc(report.symbols)
    missing = any(finding.code == "LINK-MISSING" for finding in report.findings)
    # auditwheel looks into the libraries that are missing from the wheel where it finds them on this machine.
    together = ", together with the missing libraries as this machine has them" if missing else ""
    if promised and allowed:
        if promised == allowed:
            return f"{said}, says the file name; its symbols agree{together}"
        relation = "ask for" if promised < allowed else "would allow"
        return f"{said}, says the file name; its symbols {relation} glibc {allowed[0]}.{allowed[1]}{together}"
    return f"{said}, says the file name; its symbols allow {report.symbols}{together}"


def space_words(report: Report) -> str:
    """Say how large a wheel is, and of what."""
    words = f"{size_words(report.size)}, {size_words(report.installed_size)} installed"
    space = report.space
    if space is None:
        return words
    shares = [f"{share:.0f} % {kind}" for kind, _, share in kind_shares(space) if share >= 1]
    words += f": {', '.join(shares)}" if shares else ""
    wasted = [
        f"{size_words(size)} of it {what}"
        for size, what in ((space.debug, "only serves debuggers"), (space.doubled, "is there twice"))
        if size
    ]
    return "; ".join((words, *wasted))


def kind_shares(space: Space) -> list[tuple[str, int, float]]:
    """Return kinds of files, the largest first, each with its bytes and its percentage."""
    total = sum(space.kinds.values())
    return sorted(
        ((_KINDS.get(kind, kind), size, 100 * size / total) for kind, size in space.kinds.items() if size),
        key=lambda row: -row[1],
    )


def _merged(claims: Sequence[Claim]) -> list[Claim]:
    """Put claims of the same text together: dozens of libraries may have the same note."""
    sources: dict[tuple[str, tuple[str, ...] | None], list[str]] = {}
    for claim in claims:
        sources.setdefault((claim.text, claim.features), []).append(claim.source)
    return [
        Claim(source=join_words(found, 2), text=text, features=features)
        for (text, features), found in list(sources.items())[:_SHOWN_CLAIMS]
    ]


def _newest_first(needs: Sequence[str], beyond: Sequence[str]) -> list[str]:
    """Return the features of levels, those of the highest level first: they decide where it runs."""
    rank = {feature: place((feature,))[0] for feature in needs if feature not in beyond}
    return sorted(rank, key=lambda feature: rank[feature], reverse=True)
