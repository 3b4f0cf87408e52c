"""Parts of the account of a wheel: levels and CPUs, libraries, space, smoke test, how it was built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from truewheel.child.smoke import SmokeRecord
from truewheel.cpu.levels import LEVELS, highest_level, level_features
from truewheel.cpu.models import lacking, oldest_with
from truewheel.pages.document import Block, Fields, Inline, Paragraph, Printed, Section, Share, Span, Style, Table
from truewheel.pages.wheel_words import kind_shares
from truewheel.plan.plan import Plan
from truewheel.report import Report
from truewheel.text import join_words, size_words


def find_ladder(report: Report) -> list[tuple[Span, str, str]]:
    """Return each level, whether it is needed or claimed, and its features with the functions that need each.

    A level that code needs is strong, and bad when that is more than is claimed. Empty where nothing is known.
    """
    isa = report.isa
    if isa is None or not isa.libraries:
        return []
    # An ELF note claims nothing by itself, and a wheel with notes alone promises to run everywhere.
    claimed = highest_level(isa.claimed) if any(claim.features is not None for claim in isa.claims) else ""
    ladder = []
    for number, level in enumerate(LEVELS):
        below = level_features(LEVELS[number - 1]) if number else frozenset()
        own = [feature for feature in isa.needs if feature in level_features(level) - below]
        unclaimed = any(feature not in isa.claimed for feature in own)
        style: Style = "bad" if unclaimed else "strong" if number <= LEVELS.index(isa.level) else "quiet"
        marks = (("needed", level == isa.level), ("claimed", level == claimed), ("not claimed", unclaimed))
        is_words = ", ".join(word for word, holds in marks if holds) or "-"
        ladder.append((Span(level, style), is_words, _counted(report, own)))
    return ladder


def level_sections(report: Report) -> Iterator[Section]:
    """Yield the ladder of levels, and the CPUs that have what the code needs."""
    isa, ladder = report.isa, find_ladder(report)
    if isa is None or not ladder:
        return
    blocks: list[Block] = [Table(("level", "is", "features, and how many functions need them"), tuple(ladder))]
    if isa.beyond:
        blocks.append(Paragraph(f"Besides, in no level: {_counted(report, isa.beyond)}"))
    yield Section("The level that its code needs", tuple(blocks))
    oldest = oldest_with(isa.needs) if isa.needs else ()
    if oldest:
        answers = ((oldest, "yes"), (lacking(isa.needs), "no"))
        cpus = tuple(
            (f"{model.vendor} {model.name}", str(model.year), answer, model.note or "-")
            for models, answer in answers
            for model in models
        )
        intro = "The oldest families that have what its code needs, and younger ones that have not:"
        yield Section("CPUs", (Paragraph(intro), Table(("family", "since", "runs it", "note"), cpus, frozenset({1}))))


def _counted(report: Report, features: Sequence[str]) -> str:
    """Return features with the number of functions that need each."""
    libraries = report.isa.libraries.values() if report.isa else ()
    counts = (sum(library.counts.get(feature, 0) for library in libraries) for feature in features)
    return ", ".join(f"{feature} {count}" for feature, count in zip(features, counts, strict=True)) or "-"


def library_sections(report: Report) -> Iterator[Section]:
    """Yield the libraries as a table, if there are any."""
    rows = tuple(
        (
            Span(library.path, "code"),
            size_words(library.size),
            f"{library.level or '?'} {join_words(library.needs, 4)}".strip(),
            library.isa_level or "-",
            ", ".join(library.needed) or "-",
        )
        for library in report.libraries
    )
    if rows:
        headings = ("library", "size", "its code needs", "ELF note", "links")
        yield Section("Libraries", (Table(headings, rows, frozenset({1})),))


def space_sections(report: Report) -> Iterator[Section]:
    """Yield what takes the space: kinds of files, what is wasted, the largest files."""
    space = report.space
    if space is None or not (kinds := kind_shares(space)):
        return
    rows = tuple((kind, size_words(size), Share(share)) for kind, size, share in kinds)
    blocks: list[Block] = [Table(("what", "size", "share"), rows, frozenset({1}))]
    if space.debug or space.doubled:
        wasted = f"{size_words(space.debug)} only serve debuggers; {size_words(space.doubled)} are there twice."
        blocks.append(Paragraph(wasted))
    largest = tuple(
        (Span(path, "code"), size_words(size), Share(100 * size / report.installed_size))
        for path, size in space.largest
        if report.installed_size
    )
    if largest:
        table = Table(("file", "size", "share"), largest, frozenset({1}))
        blocks.append(Section("The largest files", (table,), folded=True))
    yield Section("Space", tuple(blocks))


def smoke_section(record: SmokeRecord) -> Section:
    """Return how the smoke test ended, its steps, and what the engine printed."""
    blocks: list[Block] = [Paragraph(f"It {'passed' if record.passed else f'ended {record.ending}'}.")]
    if record.locked:
        blocks.append(Paragraph(f"In force: {record.confinement.words()}."))
    decode = record.facts("decode")
    if decode:
        said = f"It continued with {decode['text']!r}; smallest margin between the two best logits"
        blocks.append(Paragraph(f"{said} {min(decode['margins']):.4f}."))
    rows = tuple((step.name, step.state, f"{step.seconds:.2f}", step.reason or "-") for step in record.steps)
    steps = Table(("step", "result", "seconds", "why"), rows, frozenset({2}))
    output = (Printed(record.output),) if record.output else ()
    return Section(f"Smoke test on {record.model}", (*blocks, Section("Steps", (steps, *output), folded=True)))


def plan_section(plan: Plan, report: Report) -> Section:
    """Return from what and how a wheel of ours was built, and how long each stage took."""
    subject, compiler, code = plan.subject, plan.compiler, plan.code
    cpu = f", made for {code.family}" if code.family else ""
    commits = tuple(
        part for name, commit in subject.source.commit.items() for part in (f", {name} ", Span(commit, "code"))
    )
    rows: tuple[tuple[str, Inline], ...] = (
        ("plan", Span(report.digest, "code")),
        ("engine", (f"{subject.engine} {subject.source.version}", *commits)),
        ("profile", f"{subject.profile}; level {code.level}{cpu}"),
        ("compiler", f"{compiler.kind} {compiler.version} {compiler.target}".rstrip()),
        ("may use", ", ".join(code.features) or "no CPU feature beyond x86-64"),
    )
    times = tuple((stage, f"{seconds:.1f}") for stage, seconds in report.seconds.items())
    table = (Table(("stage", "seconds"), times, frozenset({1})),) if times else ()
    return Section("How it was built", (Fields(rows), *table))
