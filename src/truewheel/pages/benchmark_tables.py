"""The tables of a benchmark and of a tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from truewheel.measure.result import Benchmark, Figure, Floor, Subject, Trial, Tuning
from truewheel.measure.statistics import LOUD
from truewheel.pages.benchmark_words import (
    CLAIMS,
    LIMIT_WORDS,
    interval_words,
    key_words,
    parse_key,
    percent,
    rate_words,
    ratio_words,
    round_number,
    settings_words,
    unit_for,
)
from truewheel.pages.document import Inline, Paragraph, Section, Span, Table
from truewheel.text import number_words

_TITLES = {
    "prefill": ("Prefill", "The tokens of a prompt at once, by the engine's low level: no text, no sampling."),
    "decode": (
        "Decode",
        "One token after another, by the engine's low level; behind @ stands how deep the context was filled before.",
    ),
    "answer": ("Answer", "End to end, through the package's own Python API as its user calls it; nothing is random."),
    "footprint": ("Size, start and memory", "What it takes before and besides the answers."),
    "other": ("Other", ""),
}
_FOOTPRINT = ("wheel", "installed", "import", "load", "peak")


def figure_sections(benchmark: Benchmark) -> dict[str, Section]:
    """Return a section with a table for each group of metrics that were measured; a row is a metric of a subject."""
    keys: dict[str, list[str]] = {name: [] for name in _TITLES}
    for key in dict.fromkeys(figure.key for subject in benchmark.subjects for figure in subject.figures):
        keys[_group_of(key)].append(key)
    keys["footprint"].sort(key=_FOOTPRINT.index)
    sections = {}
    for name, found in keys.items():
        title, intro = _TITLES[name]
        if found:
            blocks = (Paragraph(intro),) if intro else ()
            sections[name] = Section(title, (*blocks, figure_table(found, benchmark)))
    return sections


def figure_table(keys: Sequence[str], benchmark: Benchmark) -> Table:
    """Return some metrics of all subjects as one table; those that failed are rows at its end."""
    rows = [row for key in keys for row in _metric_rows(key, benchmark)]
    failed = [
        (subject.label, (Span("failed", "bad"), f": {subject.failure}"))
        for subject in benchmark.subjects
        if subject.failure
    ]
    headings = ["subject", "value", "ratio", "verdict", "of the limit"]
    if not any(row[4:] and row[4] for row in rows):
        headings.pop()
        rows = [row[:4] for row in rows]
    return Table(tuple(headings), (*rows, *((("everything",), *failed) if failed else ())))


def all_metrics(benchmark: Benchmark) -> tuple[str, ...]:
    """Return every metric that was measured, in the order of the groups."""
    found = dict.fromkeys(figure.key for subject in benchmark.subjects for figure in subject.figures)
    return tuple(sorted(found, key=lambda key: list(_TITLES).index(_group_of(key))))


def standing_of(subject: Subject, benchmark: Benchmark) -> str:
    """Return whether a subject is the reference or a peer."""
    if subject.label == benchmark.reference:
        return "reference"
    return "peer" if subject.peer else ""


def standing_name(subject: Subject, benchmark: Benchmark) -> str:
    """Return a subject's label with its standing."""
    standing = standing_of(subject, benchmark)
    return f"{subject.label} ({standing})" if standing else subject.label


def find_figure(subject: Subject, key: str) -> Figure | None:
    """Return a subject's figure of a metric."""
    return next((figure for figure in subject.figures if figure.key == key), None)


def floor_table(benchmark: Benchmark) -> Table:
    """Return the noise floor of each metric."""
    rows = (
        (
            Span(floor.key, "code"),
            key_words(floor.key),
            " ".join(ratio_words(floor.ratio)).strip(),
            percent(floor.floor),
            "given" if floor.quiet else "none",
        )
        for floor in benchmark.floors
    )
    return Table(("metric", "what", "A / A", "floor", "verdicts"), tuple(rows), frozenset({2, 3}))


def limit_table(benchmark: Benchmark) -> Table:
    """Return what the machine did at most, a row a number of threads."""
    rows = (
        (
            number_words(limits.threads, "thread"),
            rate_words(limits.read, "B/s"),
            f"{rate_words(limits.int8, 'op/s')} ({limits.int8_kernel})",
            f"{rate_words(limits.f32, 'op/s')} ({limits.f32_kernel})",
            ", ".join(f"{name} {rate_words(rate, 'op/s')}" for name, rate in limits.others.items()) or "-",
        )
        for limits in benchmark.limits
    )
    headings = ("with", "memory read", "int8", "f32", "other kernels")
    return Table(headings, tuple(rows), frozenset({1, 2, 3}))


def trial_table(tuning: Tuning) -> Table:
    """Return the trials in the order in which they were tried."""
    peak = unit_for(max((trial.peak for trial in tuning.trials), default=0), "bytes")
    headings = ("trial", "rung", "prefill", "decode", "first token", "peak", "score", "settings, and why no further")
    rows = tuple(_trial_row(trial, tuning, peak) for trial in tuning.trials)
    return Table(headings, rows, frozenset(range(1, 7)))


def trial_standing(number: int, tuning: Tuning) -> str:
    """Return what a trial is: the winner, the runner-up, the engine's own defaults or nothing of it."""
    words = []
    if number == 1:
        words.append("defaults")
    if number == tuning.winner:
        words.append("winner")
    if number == tuning.runner_up:
        words.append("runner-up")
    return ", ".join(words)


def _trial_row(trial: Trial, tuning: Tuning, peak: tuple[float, str]) -> tuple[str, ...]:
    standing = trial_standing(trial.number, tuning)
    ran = trial.prefill > 0 or trial.decode > 0
    scale, unit = peak
    return (
        f"{trial.number} ({standing})" if standing else str(trial.number),
        str(trial.rung),
        round_number(trial.prefill) if ran else "-",
        round_number(trial.decode) if ran else "-",
        f"{trial.first:.3f} s" if trial.first > 0 else "-",
        f"{trial.peak / scale:.1f} {unit}" if trial.peak > 0 else "-",
        f"{trial.score:.3f}",
        settings_words(trial.settings) + (f"; no further: {trial.dropped}" if trial.dropped else ""),
    )


def _group_of(key: str) -> str:
    parsed = parse_key(key)
    if parsed is not None:
        return parsed.phase
    if key.startswith("answer-"):
        return "answer"
    return "footprint" if key in _FOOTPRINT else "other"


def _metric_rows(key: str, benchmark: Benchmark) -> Iterator[tuple[Inline, ...]]:
    """Yield a metric's heading and a row a subject, then why there is no verdict; failures stand below the table."""
    figures = [(subject, find_figure(subject, key)) for subject in benchmark.subjects]
    medians = [figure.value.median for _, figure in figures if figure is not None and figure.value is not None]
    unit = next(figure.unit for _, figure in figures if figure is not None)
    scale, shown = unit_for(max(medians, default=0.0), unit)
    floor = next((floor for floor in benchmark.floors if floor.key == key), None)
    title = f" {key_words(key)}," if key_words(key) != key else ""
    yield ((Span(key, "code"), f":{title} {shown}"),)
    reasons: dict[str, list[str]] = {}
    for subject, figure in figures:
        name = standing_name(subject, benchmark)
        if figure is not None and figure.value is not None:
            word, reason = _verdict(figure, floor)
            if reason:
                reasons.setdefault(reason, []).append(subject.label)
            ratio: Inline = "reference" if subject.label == benchmark.reference else ""
            if figure.ratio is not None:
                ratio = _measured(ratio_words(figure.ratio))
            yield (
                name,
                _measured(interval_words(figure.value, scale)),
                ratio,
                Span(word, CLAIMS.get(word, "")),
                _share(figure),
            )
        elif not subject.failure:
            reason = f": {figure.reason}" if figure is not None and figure.reason else ""
            yield name, f"not measured{reason}"
    for reason, labels in reasons.items():
        yield "", f"none for {', '.join(labels)}: {reason}"


def _measured(words: tuple[str, str]) -> Inline:
    """Return a figure with its interval, which is empty where it has no width."""
    value, interval = words
    return (f"{value} ", Span(interval, "quiet")) if interval else value


def _share(figure: Figure) -> str:
    if figure.share is None:
        return ""
    return f"{percent(figure.share)} {LIMIT_WORDS.get(figure.limit, figure.limit)}".rstrip()


def _verdict(figure: Figure, floor: Floor | None) -> tuple[str, str]:
    """Return a verdict and its reason; a claim that its own noise floor forbids is not repeated, whoever made it."""
    word, _, reason = (part.strip() for part in figure.verdict.partition(":"))
    if floor is not None and not floor.quiet and word in CLAIMS:
        return "none", ""
    # That the reference against itself is too far apart stands above, once for all.
    return word, "" if reason.startswith(LOUD) else reason
