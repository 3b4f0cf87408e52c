"""The account of a benchmark, and of a tuning, as a document: the noise floor first."""

from __future__ import annotations

from collections.abc import Iterator

from truewheel.measure.result import Benchmark, Tuning
from truewheel.pages import benchmark_plots as plots
from truewheel.pages.benchmark_tables import (
    all_metrics,
    figure_sections,
    figure_table,
    floor_table,
    limit_table,
    standing_of,
    trial_table,
)
from truewheel.pages.benchmark_words import (
    floor_intro,
    loud_words,
    machine_words,
    model_words,
    quiet_words,
    reading_words,
    subject_facts,
)
from truewheel.pages.document import Block, Document, Fields, Items, Paragraph, Section, Span
from truewheel.pages.tuning_words import outcome_words

_FOOTER = "It describes one run on one machine, and no other."


def describe_benchmark(benchmark: Benchmark, tuning: Tuning | None = None) -> Document:
    """Return the account of a benchmark, with the tuning that it may belong to."""
    loud = loud_words(benchmark)
    if tuning is not None:
        loud += [f"In the tuning's last comparison: {words}" for words in loud_words(tuning.final)]
    blocks = _blocks(benchmark, _tuning(tuning, tuning.final) if tuning is not None else None, loud)
    return Document(f"Benchmark of {benchmark.model.name}", tuple(blocks), footer=_FOOTER)


def describe_tuning(tuning: Tuning) -> Document:
    """Return the account of a tuning, whose last comparison is a benchmark."""
    blocks = _blocks(tuning.final, _tuning(tuning, None), loud_words(tuning.final))
    return Document(f"Tuning of {tuning.engine} for {tuning.goal}", tuple(blocks), footer=_FOOTER)


def _blocks(benchmark: Benchmark, tuning: Section | None, loud: list[str]) -> Iterator[Block]:
    yield from (Paragraph(Span(words, "warn")) for words in loud)
    floors = (floor_table(benchmark),) if benchmark.floors else ()
    yield Section("Noise floor", (Paragraph(floor_intro(benchmark)), *floors))
    if tuning is not None:
        yield tuning
    yield _machine(benchmark)
    sections = figure_sections(benchmark)
    if sections:
        yield Section("How to read the figures", (Paragraph(reading_words(benchmark)),))
    for name, section in sections.items():
        yield section._replace(blocks=(*section.blocks, *_plots(name, tuple(sections), benchmark)))
    yield Section("What was run", tuple(_subjects(benchmark)))


def _machine(benchmark: Benchmark) -> Section:
    facts = (
        ("model", model_words(benchmark.model)),
        ("machine", machine_words(benchmark.machine)),
        ("run", f"{benchmark.when}; {quiet_words(benchmark)}"),
    )
    reason = benchmark.limits_reason or "no reason was given"
    limits: Block = Paragraph(f"The machine's limit was not measured: {reason}.")
    if benchmark.limits:
        limits = Section("What this machine did at most", (limit_table(benchmark),))
    return Section("The machine and its limit", (Fields(facts), limits, plots.plot_roofline(benchmark)))


def _plots(name: str, names: tuple[str, ...], benchmark: Benchmark) -> Iterator[Block]:
    """Yield the plots of a section; a phase that no low level measured is shown with the answers."""
    for phase in ("prefill", "decode"):
        if name == (phase if phase in names else "answer"):
            yield plots.plot_bars(benchmark, phase)
    if name == "decode":
        yield plots.plot_depths(benchmark)


def _tuning(tuning: Tuning, final: Benchmark | None) -> Section:
    """Return what was looked for and found; with the last comparison, where the benchmark beside it is another one."""
    blocks: list[Block] = [Items(tuple(outcome_words(tuning)))]
    if final is not None:
        blocks.append(Section("The last comparison", (figure_table(all_metrics(final), final),)))
    trials = Section("All trials", (trial_table(tuning),), folded=True)
    return Section("Tuning", (*blocks, plots.plot_path(tuning), trials))


def _subjects(benchmark: Benchmark) -> Iterator[Section]:
    for subject in benchmark.subjects:
        rows = subject_facts(subject)
        rows += [("its answer began", subject.text)] if subject.text.strip() else []
        yield Section(subject.label, (Fields(tuple(rows)),), standing_of(subject, benchmark))
