"""Run one model through every variant in some wheels, and in backends of one wheel, and compare the answers."""

from __future__ import annotations

import difflib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel.checks.equivalence import ComparedVariant, compare, findings, unproven_row
from truewheel.checks.finding import Finding
from truewheel.checks.policy import Policy, default_policy
from truewheel.checks.run import rate
from truewheel.child.emulation import BACKEND_VARIABLE
from truewheel.child.environment import InstallError
from truewheel.child.logits import Answer, LogitsRunner, failed_answer, open_runner
from truewheel.child.registry import EngineEntry, engine_for
from truewheel.console import Console
from truewheel.cpu.host import Host, detect_host
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.errors import CheckError, LoadError
from truewheel.examine.examine import examine
from truewheel.examine.facts import Facts
from truewheel.examine.isa_account import account_of, place
from truewheel.models.models import Model, find_model
from truewheel.report import refuse_other
from truewheel.text import clean, join_words
from truewheel.wheel.archive import WheelFile

_MOST_FEATURES = 6


class EngineVariant(NamedTuple):
    """One way in which an engine can answer.

    Attributes:
        label: its name in the comparison.
        wheel: the wheel that it is in.
        backend: the backend that the wheel must be told to take; empty where it has no choice.
        features: CPU features that it needs.
        engine: how it is driven.
    """

    label: str
    wheel: WheelFile
    backend: str
    features: frozenset[str]
    engine: EngineEntry

    @property
    def level(self) -> int:
        """Return the rank of the lowest x86-64 level that holds what it needs, as far as levels go."""
        return LEVELS.index(place(self.features)[0])


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The answers of several variants, compared.

    Attributes:
        engine: project name; of several engines, all of them.
        model: name of the model.
        threads: threads of the engine.
        positions: tokens of the text that were looked at.
        reference: label of the variant that the others are compared with.
        rows: every variant, the reference first.
        findings: what is to be said against them, errors first.
    """

    engine: str
    model: str
    threads: int
    positions: int
    reference: str
    rows: tuple[ComparedVariant, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Return whether nothing is an error; what is unproven is none, and no pass either."""
        return all(finding.severity != "error" for finding in self.findings)


def compare_wheels(
    paths: Sequence[Path],
    model: str,
    *,
    threads: int,
    console: Console,
    reference: str = "",
    policy: Policy | None = None,
    engine: EngineEntry | None = None,
) -> Comparison:
    """Run a model through every variant in some wheels, of one engine or of several, and compare the answers.

    Args:
        paths: the wheels, ours or anybody's.
        model: name or path of the model.
        threads: threads of the engine.
        console: shows what is run.
        reference: label of the variant to compare with; empty for the lowest level's first that answers.
        policy: how severe each code is; None for the default.
        engine: how all of them are driven; None for what the recipe of each wheel's project says.

    Raises:
        LoadError: a wheel is not what its report is about, the wheels hold one variant alone, no driver knows an
            engine, the model is no sound GGUF, or no variant that can run here has the label.
        CheckError: a wheel cannot be read or followed, or nothing gave logits that others could be compared with.
        FetchError: a dependency or the model cannot be had.
    """
    host = detect_host()
    with console.stage("check", f"{len(paths)} wheels"):
        read = [examine(path) for path in paths]
        for facts in read:
            refuse_other(facts.wheel.path, facts.wheel.sha256)
        engines = [engine or engine_for(facts.wheel.name.project) for facts in read]
        told = zip(read, label_wheels(read), engines, strict=True)
        variants = [variant for each in told for variant in find_variants(*each)]
        named = ", ".join(dict.fromkeys(one.name for one in engines))
    _refuse_senseless(variants, host, reference)
    found = find_model(model)
    answers: dict[str, Answer] = {}
    with console.stage("compare", f"{len(variants)} variants of {named} on {found.name}"):
        for answer in _run_all(variants, host, found, threads, console):
            answers[answer.record.variant] = answer
    chosen = _choose_reference(variants, answers, reference)
    rows = _rows(variants, answers, chosen, host)
    return Comparison(
        engine=named,
        model=found.name,
        threads=threads,
        positions=chosen.record.positions,
        reference=chosen.record.variant,
        rows=rows,
        findings=rate(findings(rows), policy or default_policy(), own=False),
    )


def label_wheels(read: Sequence[Facts]) -> list[str]:
    """Return a short name for each wheel: variant, profile or version; else build tag, file, or one with a number.

    Of several engines, each name begins with its project's.
    """
    names = [facts.wheel.name for facts in read]
    plans = [facts.embedded for facts in read]
    labels = [name.variant or (plan.profile if plan else name.version) for name, plan in zip(names, plans, strict=True)]
    if len({name.project for name in names}) > 1:
        labels = [f"{name.project}:{label}" for name, label in zip(names, labels, strict=True)]
    for longer in ([name.build for name in names], [name.filename.removesuffix(".whl") for name in names]):
        counts = Counter(labels)
        labels = [more if counts[label] > 1 and more else label for label, more in zip(labels, longer, strict=True)]
    counts = Counter(labels)
    return [f"{label}#{number}" if counts[label] > 1 else label for number, label in enumerate(labels, 1)]


def find_variants(facts: Facts, label: str, engine: EngineEntry) -> list[EngineVariant]:
    """Return the variants in a wheel: one a backend where it has several, else the wheel itself.

    What they need is said by `truewheel.json`; a wheel without it is taken at what its code needs on every CPU.
    """
    wheel, plan = facts.wheel, facts.embedded
    if plan is None:
        return [EngineVariant(label, wheel, "", frozenset(account_of(facts).needs), engine)]
    base = level_features(plan.level) | frozenset(plan.features)
    backends = {backend.name: base | frozenset(backend.features) for backend in plan.backends}
    if len(backends) > 1:
        return [EngineVariant(f"{label}/{name}", wheel, name, features, engine) for name, features in backends.items()]
    return [EngineVariant(label, wheel, "", base.union(*backends.values()), engine)]


def _lacking(variant: EngineVariant, host: Host) -> str:
    """Return why a machine cannot run a variant; empty when it can."""
    missing = sorted(variant.features - frozenset(host.features))
    return f"not provable here: this CPU lacks {clean(join_words(missing, _MOST_FEATURES))}" if missing else ""


def _refuse_senseless(variants: Sequence[EngineVariant], host: Host, reference: str) -> None:
    """Refuse, before anything is run, what can have no result."""
    labels = [variant.label for variant in variants]
    if len(variants) == 1:
        raise LoadError(
            f"there is nothing to compare: {labels[0]} is the only variant",
            hint="name several wheels, or one that has several backends",
        )
    if not reference:
        return
    wanted = next((variant for variant in variants if variant.label == reference), None)
    if wanted is None:
        near = difflib.get_close_matches(reference, labels, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(labels)}"
        raise LoadError(f"there is no variant {reference!r}", hint=hint)
    if reason := _lacking(wanted, host):
        raise LoadError(f"{reference} cannot be the reference: {reason}", hint="choose one that can run here")


def _run_all(
    variants: Sequence[EngineVariant], host: Host, model: Model, threads: int, console: Console
) -> Iterator[Answer]:
    """Run what this machine can run, and yield the answers; each wheel is installed once."""
    for _, group in itertools.groupby(variants, key=lambda variant: variant.wheel.path):
        able = []
        for variant in group:
            if reason := _lacking(variant, host):
                console.say(f"         {clean(variant.label)}: {reason}")
            else:
                able.append(variant)
        if able:
            yield from _run_wheel(able, model, threads, console)


def _run_wheel(variants: Sequence[EngineVariant], model: Model, threads: int, console: Console) -> Iterator[Answer]:
    try:
        with open_runner(variants[0].wheel, model, variants[0].engine, threads=threads) as runner:
            for variant in variants:
                yield _run(runner, variant, console)
    except (InstallError, OSError) as error:
        reason = error.message if isinstance(error, InstallError) else _refusal(error)
        for variant in variants:
            console.say(f"         {clean(variant.label)}: failed, {clean(reason)}")
            yield failed_answer(variant.label, reason, "SMOKE-INSTALL")


def _run(runner: LogitsRunner, variant: EngineVariant, console: Console) -> Answer:
    start = time.monotonic()
    variables = {BACKEND_VARIABLE: variant.backend} if variant.backend else {}
    try:
        answer = runner.run(variant.label, variables)
    except OSError as error:
        answer = failed_answer(variant.label, _refusal(error))
    took = answer.record.backend
    if answer.logits is not None and variant.backend and took != variant.backend:
        # What another backend answered would pass, or fail, in this one's name.
        told = f"it was told to take the backend {variant.backend} and says that it took {took or 'none'}"
        answer = failed_answer(variant.label, told)
    ending = f"failed, {answer.record.failure}" if answer.record.failure else f"{time.monotonic() - start:.1f} s"
    console.say(f"         {clean(variant.label)}: {clean(ending)}")
    return answer


def _refusal(error: OSError) -> str:
    """Return in words what the system refused: a full disk, say."""
    return f"it could not be run: {error.strerror or error}"


def _choose_reference(variants: Sequence[EngineVariant], answers: Mapping[str, Answer], wanted: str) -> Answer:
    """Return the answer that the others are compared with."""
    able = [variant for variant in variants if variant.label in answers and answers[variant.label].logits is not None]
    if wanted:
        able = [variant for variant in able if variant.label == wanted]
    if able:
        return answers[min(able, key=lambda variant: variant.level).label]
    failures = [answers[label].record for label in ([wanted] if wanted else answers)]
    if not failures:
        raise CheckError(
            "nothing can be compared: this CPU can run none of the variants", hint="`truewheel doctor` shows this CPU"
        )
    raise CheckError(
        f"nothing can be compared: {failures[0].variant} gave no logits: {failures[0].failure}",
        hint="`truewheel smoke` runs one wheel alone and shows what it prints",
    )


def _rows(
    variants: Sequence[EngineVariant], answers: Mapping[str, Answer], chosen: Answer, host: Host
) -> tuple[ComparedVariant, ...]:
    """Return the reference's row, then the others' in the order in which they were found."""
    others = [answers[variant.label] for variant in variants if variant.label in answers]
    first, *compared = compare(chosen, [answer for answer in others if answer is not chosen])
    by_label = {row.variant: row for row in compared}
    for variant in variants:
        if reason := _lacking(variant, host):
            by_label[variant.label] = unproven_row(variant.label, reason)
    return (first, *(by_label[variant.label] for variant in variants if variant.label in by_label))
