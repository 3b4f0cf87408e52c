"""Turn what the processes of all subjects showed into subjects with figures."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from truewheel.child.run_account import Run
from truewheel.child.work import Workload
from truewheel.config.presets import Settings
from truewheel.measure.install import Installed
from truewheel.measure.metrics import Metric, metrics_of, share_of_limit
from truewheel.measure.result import Cost, Figure, Floor, Interval, Limits, Subject
from truewheel.measure.statistics import compare, interval, judge
from truewheel.measure.subjects import Asked


class Series:
    """What was seen of one subject so far.

    Attributes:
        asked: how it was named.
        label: what it is called.
        settings: what it is run with.
        installed: where it is installed; None where it is not.
        failure: why it is not measured any more; empty while it is.
        rounds: for each round that came to a good end, samples by metric: two a repetition, in the order of the turns.
        reference: the reference's rounds of the same time; rounds are compared one by one.
        repeated: turns that were disturbed.
    """

    def __init__(self, asked: Asked, label: str, settings: Settings) -> None:
        self.asked, self.label, self.settings = asked, label, settings
        self.installed: Installed | None = None
        self.failure = ""
        self.rounds: list[dict[str, list[float]]] = []
        self.reference: list[dict[str, list[float]]] = []
        self.skipped: dict[str, str] = {}
        self.repeated = 0
        self.last: Run | None = None
        self.text = ""

    def learn(self, run: Run) -> None:
        """Remember what a run says of the subject itself."""
        self.last = run
        self.skipped |= run.skipped
        for event in run.measured.get("answer", ()):
            self.text = str(event.get("text", self.text))

    def samples(self, key: str) -> list[list[float]]:
        """Return the samples of a metric, round by round."""
        return [each.get(key, []) for each in self.rounds]

    def beside(self, key: str) -> list[list[float]]:
        """Return the reference's samples of the same rounds."""
        return [each.get(key, []) for each in self.reference]

    def all(self, key: str) -> list[float]:
        """Return all samples of a metric."""
        return [value for each in self.samples(key) for value in each]


def assemble(
    series: Sequence[Series],
    reference: Series,
    plan: Workload,
    floors: Sequence[Floor],
    worst: float,
    cost: Cost | None,
    limits: Sequence[Limits],
) -> tuple[Subject, ...]:
    """Return the subjects with their figures, each against the reference.

    Args:
        series: all subjects, also those that failed.
        reference: one of them.
        plan: the work.
        floors: noise floors by metric.
        worst: the floor above which there is no verdict.
        cost: what the model costs.
        limits: what the machine can do, one a number of threads; the best counts.
    """
    most = _most(limits)
    by_key = {floor.key: floor for floor in floors}
    return tuple(_subject(one, reference, plan, by_key, worst, cost, most) for one in series)


def _most(limits: Sequence[Limits]) -> Limits | None:
    """Return the limits with the most bandwidth: with all cores, or fewer where they get in each other's way."""
    return max(limits, key=lambda each: (each.read, each.int8), default=None)


def _subject(
    one: Series,
    reference: Series,
    plan: Workload,
    floors: dict[str, Floor],
    worst: float,
    cost: Cost | None,
    limits: Limits | None,
) -> Subject:
    sizes = {}
    if one.installed is not None:
        sizes = {"wheel": one.installed.wheel, "installed": one.installed.size}
    figures = []
    for metric in metrics_of(plan):
        figure = _size(metric, sizes) if metric.key in ("wheel", "installed") else _figure(metric, one)
        if figure.value is not None and one is not reference:
            figure = _against(figure, metric, one, reference, floors, worst)
        if figure.value is not None and figure.unit == "tokens/s":
            share, limit = share_of_limit(metric.key, figure.value.median, plan, cost, limits)
            figure = replace(figure, share=share or None, limit=limit)
        figures.append(figure)
    last = one.last
    mends = (one.asked.engine.mends,) if one.asked.engine.mends and one.asked.kind == "index" else ()
    return Subject(
        label=one.label,
        asked=one.asked.text,
        engine=one.asked.engine.driver,
        version=last.version if last and last.version else one.asked.version,
        settings=one.settings,
        took=last.took if last else {},
        notes=(last.notes if last else ()) + mends,
        failure=one.failure,
        text=one.text,
        figures=tuple(figures),
        peer=one.asked.kind == "index",
    )


def _figure(metric: Metric, one: Series) -> Figure:
    samples = one.all(metric.key)
    if samples:
        return Figure(key=metric.key, unit=metric.unit, value=interval(samples), samples=tuple(samples))
    work = "answer" if metric.key.startswith("answer-") else metric.key
    reason = one.skipped.get(work) or one.failure or "its API does not show when the first token comes"
    return Figure(key=metric.key, unit=metric.unit, reason=reason)


def _size(metric: Metric, sizes: dict[str, int]) -> Figure:
    size = sizes.get(metric.key, 0)
    if not size:
        return Figure(key=metric.key, unit=metric.unit, reason="it was installed already")
    return Figure(key=metric.key, unit=metric.unit, value=Interval(size, size, size), samples=(float(size),))


def _against(
    figure: Figure, metric: Metric, one: Series, reference: Series, floors: dict[str, Floor], worst: float
) -> Figure:
    """Return a figure with its ratio against the reference, and the verdict where there can be one."""
    if metric.key in ("wheel", "installed"):
        if reference.installed is None or figure.value is None:
            return figure
        other = reference.installed.wheel if metric.key == "wheel" else reference.installed.size
        if not other:
            return figure
        ratio = other / figure.value.median
        verdict = "none: the same" if ratio == 1 else metric.words[0] if ratio > 1 else metric.words[1]
        return replace(figure, ratio=Interval(ratio, ratio, ratio), verdict=verdict)
    try:
        ratio_interval = compare(
            one.samples(metric.key), one.beside(metric.key), lower_is_better=metric.lower_is_better
        )
    except ValueError:
        return replace(figure, verdict="none: the reference has no such figure")
    floor = floors.get(metric.key)
    verdict = judge(ratio_interval, floor, worst, metric.words) if floor else "none: no noise floor"
    return replace(figure, ratio=ratio_interval, verdict=verdict)
