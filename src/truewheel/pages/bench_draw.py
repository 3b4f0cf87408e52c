"""How the plots are drawn: narrow, names above the bars and legends below the axes, so that a phone can show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from truewheel.measure.result import Floor, Interval
from truewheel.pages.bench_plot_data import Bar, DepthSeries, Facet, Roofline, Step, spread_steps
from truewheel.pages.bench_svg import BAND, QUIET, SUBJECTS, TEXT, WIDTH, draw
from truewheel.pages.bench_words import interval_words, key_words, percent, rate_words
from truewheel.text import clean, cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT = 0.12, 0.14
_ROW, _EMPTY_ROW, _FACET, _TICKS = 0.36, 0.20, 0.27, 0.36
_LEGEND_ROW = 0.19
_NAME, _LONG_NAME = 26, 40
_ROOM_FOR_LIMIT = 2.5
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MOST_KEYS = 4
_CLOSE = 1.4
_TRIAL_MARKS = {"winner": ("*", 10, SUBJECTS[1]), "runner-up": ("D", 6, SUBJECTS[0]), "defaults": ("s", 6, TEXT)}


class Mark(NamedTuple):
    """How one thing is marked, on the axes and in the legend; hollow where others may lie behind it."""

    name: str
    marker: str
    colour: str
    size: float = 5.5
    hollow: bool = False


def limit_fits(facet: Facet) -> bool:
    """Return whether the machine's limit can be drawn without squeezing the bars."""
    highest = max((bar.value.high for bar in facet.bars if bar.value is not None), default=0.0)
    return all(bar.limit <= _ROOM_FOR_LIMIT * highest for bar in facet.bars if bar.limit is not None)


def draw_bars(facets: Sequence[Facet], name: str, title: str, words: str) -> str:
    """Return bars, the metrics below each other."""
    bodies = [sum(map(_row_height, facet.bars)) for facet in facets]
    total = sum(bodies) + (_FACET + _TICKS) * len(facets)

    def paint(figure: Figure) -> None:
        top = total
        for facet, body in zip(facets, bodies, strict=True):
            top -= _FACET + body
            box = (_LEFT / WIDTH, top / total, (WIDTH - _LEFT - _RIGHT) / WIDTH, body / total)
            _bars(figure.add_axes(box), facet, body)
            top -= _TICKS

    return draw(name, title, words, total, paint)


def draw_roofline(found: Roofline, title: str, words: str) -> str:
    """Return the machine's limits on logarithmic axes, and the speeds as points below them."""
    marks = _marks([(spot.place, spot.name) for spot in found.spots])

    def paint(axes: Axes) -> None:
        _roofs(axes, found)
        for spot in found.spots:
            mark = marks[spot.place]
            axes.plot([spot.intensity] * 2, [spot.rate.low, spot.rate.high], color=mark.colour, linewidth=1)
            _point(axes, spot.intensity, spot.rate.median, mark)
        _name_intensities(axes, found)

    return _draw_with_legend("roofline", title, words, 3.1, paint, list(marks.values()))


def draw_depths(series: Sequence[DepthSeries], title: str, words: str) -> str:
    """Return speeds over the depth of the context, a line a subject."""
    marks = _marks([(each.place, each.name) for each in series])

    def paint(axes: Axes) -> None:
        for each in series:
            mark = marks[each.place]
            depths = [depth for depth, _ in each.points]
            axes.plot(depths, [speed.median for _, speed in each.points], color=mark.colour, linewidth=1.2)
            for depth, speed in each.points:
                _whiskers(axes, speed, depth, mark.colour, upright=True)
                _point(axes, depth, speed.median, mark)
        highest = max(speed.high for each in series for _, speed in each.points)
        depths = sorted({depth for each in series for depth, _ in each.points})
        axes.set_ylim(0, highest * 1.08)
        axes.set_xlim(-0.05 * depths[-1], 1.05 * depths[-1])
        axes.set_xticks(_apart(depths), [str(depth) for depth in _apart(depths)])
        axes.set_xlabel("tokens in the context before")
        axes.set_title("tokens/s", loc="left")
        axes.grid(visible=True, axis="y")

    return _draw_with_legend("depth", title, words, 2.4, paint, list(marks.values()))


def draw_path(steps: tuple[Step, ...], floor: Floor | None, title: str, words: str) -> str:
    """Return the trials' scores by rung, the band of the noise floor behind them."""
    plain = Mark("other trials", "o", QUIET, 4)
    legend = [_trial_mark(step) for step in steps if step.standing]
    if len(legend) < len(steps):
        legend.append(plain)

    def paint(axes: Axes) -> None:
        if floor is not None:
            axes.axhspan(1 / (1 + floor.floor), 1 + floor.floor, color=BAND, alpha=0.3, linewidth=0)
        axes.axhline(1, color=QUIET, linewidth=0.8)
        for place, step in zip(spread_steps(steps), steps, strict=True):
            _point(axes, place, step.score, _trial_mark(step) if step.standing else plain)
        rungs = sorted({step.rung for step in steps})
        axes.set_xlim(rungs[0] - 0.6, rungs[-1] + 0.6)
        axes.set_xticks(rungs, [str(rung) for rung in rungs])
        axes.set_xlabel("last rung reached")
        axes.set_title("score", loc="left")
        axes.grid(visible=True, axis="y")

    if floor is not None:
        legend.append(Mark(f"noise floor of {floor.key}, {percent(floor.floor)}", "s", BAND, 9))
    return _draw_with_legend("path", title, words, 2.5, paint, legend)


def _bars(axes: Axes, facet: Facet, height: float) -> None:
    """Draw one metric: above each bar its subject to the left and its figure to the right."""
    highest = max(bar.value.high for bar in facet.bars if bar.value is not None)
    fits = limit_fits(facet)
    limits = [bar.limit for bar in facet.bars if bar.limit is not None] if fits else []
    axes.set_xlim(0, max(highest, *limits, 0) * 1.04)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(f"{facet.key}: {key_words(facet.key)}", loc="left", pad=3, fontweight="bold")
    top = 0.0
    for bar in facet.bars:
        value, interval = interval_words(bar.value) if bar.value is not None else ("not measured", "")
        across = axes.get_yaxis_transform()
        axes.text(0, top + 0.15, _short(bar.name), transform=across, va="baseline")
        axes.text(1, top + 0.15, f"{value} {interval}".rstrip(), transform=across, va="baseline", ha="right")
        if bar.value is not None:
            middle, colour = top + 0.255, SUBJECTS[bar.place % len(SUBJECTS)]
            axes.barh(middle, bar.value.median, height=0.12, color=colour, alpha=0.85, linewidth=0)
            _whiskers(axes, bar.value, middle, TEXT, upright=False)
            if bar.limit is not None and fits:
                ends = [top + 0.185, top + 0.325]
                axes.plot([bar.limit] * 2, ends, color=TEXT, linewidth=1.4, linestyle=(0, (2, 1.5)))
        top += _row_height(bar)


def _row_height(bar: Bar) -> float:
    """Return how much room a subject takes, inches."""
    return _ROW if bar.value is not None else _EMPTY_ROW


def _whiskers(axes: Axes, value: Interval, place: float, colour: str, *, upright: bool) -> None:
    """Draw an interval; one without width is no line."""
    if value.low == value.high:
        return
    ends, places = [value.low, value.high], [place, place]
    marker = "_" if upright else "|"
    x, y = (places, ends) if upright else (ends, places)
    axes.plot(x, y, color=colour, linewidth=1, marker=marker, markersize=5, markeredgewidth=1)


def _roofs(axes: Axes, found: Roofline) -> None:
    """Draw the slope of the memory and the roofs of the arithmetic, each with its name."""
    limits, spots = found.limits, found.spots
    ridges = [limits.int8 / limits.read, limits.f32 / limits.read]
    left = min(*(spot.intensity for spot in spots), *ridges) / 4
    right = max(*(spot.intensity for spot in spots), *ridges) * 4
    top = max(limits.int8, limits.f32) * 3
    bottom = min(*(spot.rate.low for spot in spots), limits.read * left * 4) / 12
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    _name_decades(axes)
    high, low = ("int8", "f32") if limits.int8 >= limits.f32 else ("f32", "int8")
    for name in (high, low):
        rate, kernel = getattr(limits, name), getattr(limits, f"{name}_kernel")
        axes.plot([rate / limits.read, right], [rate, rate], color=TEXT, linewidth=1.2)
        above = name == high
        words = f"{name} {cut(clean(kernel), 16)}, {rate_words(rate, 'op/s')}"
        axes.annotate(words, (right, rate), xytext=(-2, 3 if above else -10), textcoords="offset points", ha="right")
    ridge = max(ridges)
    axes.plot([left, ridge], [limits.read * left, limits.read * ridge], color=TEXT, linewidth=1.2)
    _name_slope(axes, limits.read, left, min(ridges))
    axes.set_xlabel("operations a byte read from memory")
    axes.set_title("operations/s", loc="left")


def _name_decades(axes: Axes) -> None:
    """Write the ticks of logarithmic axes as words: matplotlib's own are formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _: rate_words(value, "").strip()))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True)


def _name_slope(axes: Axes, read: float, left: float, ridge: float) -> None:
    """Write the bandwidth along its slope."""
    start = left * 1.25
    (x_0, y_0), (x_1, y_1) = (axes.transData.transform((x, read * x)) for x in (start, max(ridge, 2 * start)))
    angle = math.degrees(math.atan2(y_1 - y_0, x_1 - x_0))
    axes.annotate(
        f"memory, {rate_words(read, 'B/s')}",
        (start, read * start),
        xytext=(-4 * math.sin(math.radians(angle)), 4 * math.cos(math.radians(angle))),
        textcoords="offset points",
        rotation=angle,
        rotation_mode="anchor",
    )


def _name_intensities(axes: Axes, found: Roofline) -> None:
    """Write under each place of the points which metrics they are; places that are close share one list."""
    places: list[tuple[float, list[str]]] = []
    for intensity, key in sorted({(spot.intensity, spot.key) for spot in found.spots}):
        if places and intensity < places[-1][0] * _CLOSE:
            places[-1][1].append(key)
        else:
            places.append((intensity, [key]))
    for intensity, keys in places:
        shown = keys if len(keys) <= _MOST_KEYS else [*keys[: _MOST_KEYS - 1], f"and {len(keys) - _MOST_KEYS + 1} more"]
        lowest = min(spot.rate.low for spot in found.spots if spot.key in keys)
        start = axes.get_ylim()[0] * (axes.get_ylim()[1] / axes.get_ylim()[0]) ** (0.06 * len(shown) + 0.02)
        axes.plot([intensity] * 2, [min(start, lowest), lowest], color=QUIET, linewidth=0.6, linestyle=":")
        for line, key in enumerate(reversed(shown)):
            offset = (0, 4 + 10 * line)
            at = (intensity, 0)
            axes.annotate(key, at, offset, xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="center")


def _draw_with_legend(name: str, title: str, words: str, height: float, paint: Any, marks: Sequence[Mark]) -> str:
    """Return a drawing of one pair of axes with its legend in rows below: names are too long to stand beside it."""
    below = _LEGEND_ROW * len(marks) + 0.08
    total = height + below

    def paint_all(figure: Figure) -> None:
        left, top, ticks = 0.54, 0.26, 0.44
        box = (left / WIDTH, (below + ticks) / total, (WIDTH - left - _RIGHT) / WIDTH, (height - top - ticks) / total)
        paint(figure.add_axes(box))
        legend = figure.add_axes((_LEFT / WIDTH, 0.04 / total, (WIDTH - _LEFT) / WIDTH, (below - 0.08) / total))
        legend.set_axis_off()
        legend.set_xlim(0, WIDTH - _LEFT)
        legend.set_ylim(len(marks), 0)
        for row, mark in enumerate(marks):
            _point(legend, 0.1, row + 0.5, mark)
            legend.text(0.24, row + 0.5, cut(mark.name, _LONG_NAME), va="center_baseline")

    return draw(name, title, words, total, paint_all)


def _point(axes: Axes, x: float, y: float, mark: Mark) -> None:
    style: dict[str, Any] = {
        "marker": mark.marker,
        "markersize": mark.size,
        "fillstyle": "none" if mark.hollow else "full",
    }
    axes.plot([x], [y], color=mark.colour, linestyle="none", markeredgewidth=1.3, clip_on=False, zorder=3, **style)


def _marks(names: Sequence[tuple[int, str]]) -> dict[int, Mark]:
    """Return a mark for each subject, the same in every plot."""
    return {
        place: Mark(
            clean(name),
            _MARKERS[(place + place // len(SUBJECTS)) % len(_MARKERS)],
            SUBJECTS[place % len(SUBJECTS)],
            hollow=True,
        )
        for place, name in names
    }


def _trial_mark(step: Step) -> Mark:
    kind = next(word for word in _TRIAL_MARKS if word in step.standing)
    marker, size, colour = _TRIAL_MARKS[kind]
    return Mark(f"{step.standing}: trial {step.number}", marker, colour, size)


def _apart(depths: Sequence[int]) -> list[int]:
    """Return the depths whose labels have room beside each other; the deepest is always among them."""
    kept = [depths[-1]]
    for depth in reversed(depths[:-1]):
        if kept[-1] - depth >= 0.14 * depths[-1]:
            kept.append(depth)
    return kept[::-1]


def _short(name: str) -> str:
    return cut(clean(name), _NAME)
