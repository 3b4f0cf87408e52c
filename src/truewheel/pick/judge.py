"""Whether a wheel fits a machine: place, name, tags, archive, report, Python and CPU, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace
from packaging.specifiers import SpecifierSet

from truewheel.checks.python_tags import show_value
from truewheel.cpu.features import feature_table
from truewheel.cpu.host import Host
from truewheel.decoding import MOST_JSON, UnreadableError, decode_json, read_bounded
from truewheel.errors import CheckError
from truewheel.examine.examine import examine
from truewheel.examine.facts import Facts
from truewheel.examine.isa_account import IsaAccount, account_of
from truewheel.kept.sealed import is_sealed_json
from truewheel.pick.candidate import Candidate
from truewheel.pick.target import TargetPython, explain_tags
from truewheel.report import read_report
from truewheel.text import clean, cut, join_words, number_words
from truewheel.wheel.archive import MalformedWheelError, WheelFile
from truewheel.wheel.name import parse_wheel_name
from truewheel.wheel.told import MAX_VALUE

REJECTED = "rejected"
_SHOWN = 3


class _Proof(msgspec.Struct, frozen=True):
    """What every report says, whatever version of truewheel wrote it."""

    sha256: str
    verdict: str


def identify(path: Path) -> Candidate:
    """Return what place and name say of a file, and why it is not to be judged where it is not."""
    candidate = Candidate(path=path, name=clean(path.name))
    if REJECTED in (path.name, path.parent.resolve().name):
        return _refuse(candidate, "name", "it lies among what checks refused")
    if path.suffix != ".whl":
        return _refuse(candidate, "name", "it is no wheel: its name does not end in .whl")
    try:
        str(path).encode()
        name = parse_wheel_name(path.name)
    except UnicodeEncodeError:
        return _refuse(candidate, "name", "its path is not UTF-8")
    except CheckError as error:
        return _refuse(candidate, "name", error.message)
    candidate = replace(candidate, project=name.project, version=name.version, build=name.build)
    if name.variant:
        return _refuse(candidate, "name", f"it has a variant label, {name.variant}, with which pip installs no wheel")
    return candidate


def judge(candidate: Candidate, target: TargetPython) -> Candidate:
    """Read a wheel, in locked-down children, and tell whether the target can run it."""
    if reason := explain_tags(parse_wheel_name(candidate.path.name), target):
        return _refuse(candidate, "tags", reason)
    try:
        facts = examine(candidate.path)
    except MalformedWheelError as error:
        first = error.faults[0]
        return _refuse(candidate, "archive", f"it is malformed: {first.code}: {first.message}")
    except CheckError as error:
        return _refuse(candidate, "archive", error.message)
    candidate, reason = _compare_report(replace(candidate, size=facts.wheel.size), facts.wheel.sha256)
    if reason:
        return _refuse(candidate, "report", reason)
    if reason := _explain_python(facts.wheel, target):
        return _refuse(candidate, "python", reason)
    return _judge_cpu(candidate, facts, target.host)


def _refuse(candidate: Candidate, question: str, reason: str) -> Candidate:
    return replace(candidate, fit=False, failed=question, reason=clean(reason))


def _explain_python(wheel: WheelFile, target: TargetPython) -> str:
    """Return why Requires-Python does not let a Python in; an empty text when it does."""
    value = wheel.metadata.get("Requires-Python")
    try:
        specifiers = SpecifierSet(value if len(value) <= MAX_VALUE else "?")
        fitting = any(specifiers.contains(version, prereleases=True) for version in target.versions)
    except ValueError:
        return f"its Requires-Python: {show_value(value)} cannot be read"
    return "" if fitting else f"it requires Python {value}, and this is {target.python}"


def _compare_report(candidate: Candidate, sha256: str) -> tuple[Candidate, str]:
    """Return the candidate with what the report beside it proves, and why it is not taken where it is not."""
    path = candidate.path.with_name(f"{candidate.path.name}.report.json")
    try:
        data = read_bounded(path, MOST_JSON)
        proof = decode_json(data, _Proof)
    except UnreadableError as error:
        doubt = "no report lies beside it" if error.missing else "its report cannot be read"
        return replace(candidate, doubts=(f"unproven: {doubt}",)), ""
    if proof.sha256 != sha256:
        return candidate, "it is not the file that was proven: its report is about another one"
    if proof.verdict not in ("passed", "unproven"):
        return replace(candidate, proven=cut(clean(proof.verdict))), f"its report says {cut(proof.verdict)}"
    doubt = "unproven: so says its report" if proof.verdict == "unproven" else ""
    if not is_sealed_json(data):
        doubt = "unproven: its report was changed, or another version of truewheel wrote it"
    try:
        read_report(data)
    except UnreadableError:
        doubt = "unproven: its report was written by another version of truewheel"
    return replace(candidate, proven="unproven" if doubt else "passed", doubts=(doubt,) if doubt else ()), ""


def _judge_cpu(candidate: Candidate, facts: Facts, host: Host) -> Candidate:
    """Compare what a wheel needs of the CPU with what it has."""
    plan, account, known = facts.embedded, account_of(facts), feature_table().keys()
    # Whatever a wheel claims: what its code needs on every CPU counts.
    shown = known & set(account.needs)
    if plan is None:
        candidate = replace(candidate, level=account.level)
        if lacks := _list_missing(shown, host):
            return _lack(candidate, lacks, host)
        return _accept(replace(candidate, doubts=(*candidate.doubts, *_list_doubts(facts, account))), shown)
    candidate = replace(
        candidate,
        profile=plan.profile,
        level=plan.level,
        native=plan.native and frozenset(host.features) == frozenset(plan.features),
        dispatched=len(plan.backends) > 1,
    )
    if lacks := _list_missing({*plan.features, *shown}, host):
        return _lack(candidate, lacks, host)
    chosen = next((each for each in plan.backends if not _list_missing(each.features, host)), None)
    if chosen is not None:
        return _accept(replace(candidate, backend=chosen.name), chosen.features)
    if not plan.backends:
        return _accept(candidate, plan.features)
    nearest = min(plan.backends, key=lambda each: len(_list_missing(each.features, host)))
    return _lack(replace(candidate, backend=nearest.name), _list_missing(nearest.features, host), host)


def _list_doubts(facts: Facts, account: IsaAccount) -> Iterator[str]:
    """Yield what reading code alone does not tell of a wheel that we did not build."""
    if unread := [path for path in facts.marks if path not in facts.code or path in facts.damaged]:
        yield f"what it needs is not known: {number_words(len(unread), 'library file')} could not be read"
    if unknown := [each for each in account.needs if each not in feature_table()]:
        yield f"it needs {join_words(unknown, _SHOWN)}, and whether this CPU has that is not known"
    if account.undecided:
        yield f"nothing shows when its code for {join_words(account.undecided, _SHOWN)} runs"


def _list_missing(features: Iterable[str], host: Host) -> tuple[str, ...]:
    """Return what the CPU does not have, in the order of the table."""
    order = {name: number for number, name in enumerate(feature_table())}
    return tuple(sorted(set(features) - set(host.features), key=lambda each: (order.get(each, len(order)), each)))


def _lack(candidate: Candidate, lacks: tuple[str, ...], host: Host) -> Candidate:
    who = f", and even its nearest backend, {candidate.backend}," if candidate.backend else " and"
    shown = join_words(lacks, _SHOWN)
    reason = f"it is for {candidate.level}{who} needs {shown}, which this CPU ({host.level}) lacks"
    return _refuse(replace(candidate, lacks=lacks), "cpu", reason)


def _accept(candidate: Candidate, features: Iterable[str]) -> Candidate:
    """Return the candidate as one that fits, with the features that its kernels use."""
    wanted = frozenset(features)
    # The more of the processor's state a feature needs, the wider its registers; ggml names those that matter to it.
    order = sorted(
        (-each.state, not each.engine, -number, each.name) for number, each in enumerate(feature_table().values())
    )
    return replace(candidate, fit=True, uses=tuple(name for *_, name in order if name in wanted))
