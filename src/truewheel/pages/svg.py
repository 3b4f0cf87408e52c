"""Charts as SVG: small, in the colours of the page that they stand in, without addresses.

A drawing is 274 units wide, of which a phone shows about 320 pixels: its letters are then as large as small print.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from truewheel.pages.markup import element, style_sheet, write
from truewheel.pages.plot import (
    BAND,
    LINE,
    QUIET,
    TEXT,
    Axis,
    Bar,
    Mark,
    Note,
    PointChart,
    Points,
    RowChart,
    linear_ticks,
    ratio_ticks,
)
from truewheel.text import clean, cut

WIDTH = 274.0
LIGHT = (
    "--text: #1c1d1f; --quiet: #595c61; --line: #d9d9d4; --band: #7b90a6; "
    "--subject-1: #0b62a8; --subject-2: #b34a00; --subject-3: #00765a; --subject-4: #8a3b80; "
    "--subject-5: #7a6200; --subject-6: #a3123f; --subject-7: #3f6f7f; --subject-8: #4e4e52;"
)
DARK = (
    "--text: #e8e8e4; --quiet: #a6abb3; --line: #3a3f46; --band: #9db2c8; "
    "--subject-1: #6cb4f0; --subject-2: #f59b5b; --subject-3: #4fc9a4; --subject-4: #dd9ad3; "
    "--subject-5: #d9bd4a; --subject-6: #f48aa5; --subject-7: #9cc3cf; --subject-8: #c0c0c4;"
)
"""The colours of light and dark mode, as declarations of a style sheet."""


_LEFT, _RIGHT, _TOP, _BOTTOM, _MARGIN = 39.0, 10.0, 19.0, 32.0, 9.0
_SIZE = 9.0
_ZOOM = 1.6
_ROW, _EMPTY_ROW, _TITLE, _TICKS = 26.0, 14.5, 19.0, 26.0
_LEGEND_ROW = 14.0
_NAME, _LONG_NAME = 26, 40
_Place = Callable[[tuple[float, float]], tuple[float, float]]
MARKERS = {
    "o": "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
    "s": "M-.9-.9H.9V.9H-.9z",
    "^": "M0-1.1 1 .8H-1z",
    "D": "M0-1.2 1.2 0 0 1.2-1.2 0z",
    "v": "M0 1.1 1-.8H-1z",
    "P": "M-1.1 0H1.1M0-1.1V1.1",
    "X": "M-.9-.9.9.9M.9-.9-.9.9",
    "*": "M0-1.3.35-.4 1.25-.4.55.2.8 1.1 0 .55-.8 1.1-.55.2-1.25-.4-.35-.4z",
}


def draw(chart: RowChart | PointChart, name: str, title: str, words: str) -> Element:
    """Return a chart as an `svg` element for a page that defines the colours; the same for the same chart.

    Args:
        chart: what is drawn.
        name: begins every identifier of the drawing, so that several can stand in one page.
        title: what a screen reader says first.
        words: what it says next.
    """
    height, drawn = _rows(chart) if isinstance(chart, RowChart) else _points(chart)
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", words, id=f"{name}-words"),
        *drawn,
        class_="plot",
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-words",
        font_size=_SIZE,
        fill="none",
        stroke_linejoin="round",
    )


def to_svg_file(chart: RowChart | PointChart, title: str, words: str) -> str:
    """Return a chart as a file of its own that brings the colours of light and dark mode along."""
    drawing = draw(chart, "plot", title, words)
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    # A picture without a size of its own is as wide as the page.
    width, height = map(float, drawing.get("viewBox", "").split()[2:])
    drawing.set("width", f"{_ZOOM * width:.0f}")
    drawing.set("height", f"{_ZOOM * height:.0f}")
    style_sheet(
        drawing,
        f"svg {{ {LIGHT} color: var(--text); font-family: system-ui, sans-serif; }}"
        f" @media (prefers-color-scheme: dark) {{ svg {{ {DARK} }} }}",
    )
    return write(drawing, method="xml") + "\n"


def _rows(chart: RowChart) -> tuple[float, list[Element]]:
    """Return how high a row chart is, and its elements."""
    drawn, top = [], 0.0
    for facet in chart.facets:
        # Points are compared across facets, and bars within theirs.
        axis = _row_axis([bar for each in chart.facets for bar in each.bars] if chart.points else facet.bars, chart)
        drawn.append(_text(_MARGIN, top + 13, facet.title, font_weight=600))
        top += _TITLE
        bottom = top + sum(map(_row_height, facet.bars))
        for value, words in axis.ticks:
            at = _across(axis, value)
            drawn += [_line((at, bottom), (at, bottom + 3), QUIET), _text(at, bottom + 13, words, anchor="middle")]
        drawn.append(_line((_MARGIN, bottom), (WIDTH - _RIGHT, bottom), QUIET))
        for bar in facet.bars:
            drawn += _bar(bar, axis, top, chart)
            top += _row_height(bar)
        top = bottom + _TICKS
    return top, drawn


def _row_axis(bars: Sequence[Bar], chart: RowChart) -> Axis:
    ends = [end for bar in bars if bar.value is not None for end in (bar.value.low, bar.value.high)]
    ends += [bar.limit for bar in bars if bar.limit is not None] + [chart.base]
    low, high = min(ends), max(ends)
    if chart.log:
        margin = max((high / low) ** 0.06, 1.02)
        low, high = low / margin, high * margin
        return Axis("", low, high, ratio_ticks(low, high), log=True)
    room = (high - low) * 0.04 or 1.0
    low, high = (low - room if chart.points else low), high + room
    return Axis("", low, high, linear_ticks(low, high))


def _row_height(bar: Bar) -> float:
    return _ROW if bar.value is not None else _EMPTY_ROW


def _bar(bar: Bar, axis: Axis, top: float, chart: RowChart) -> Iterator[Element]:
    """Yield one row: above the bar its name to the left and its figure to the right."""
    yield _text(_MARGIN, top + 10.5, cut(clean(bar.name), _NAME))
    yield _text(WIDTH - _RIGHT, top + 10.5, bar.words, anchor="end")
    if bar.value is None:
        return
    middle, end = top + 18.5, _across(axis, bar.value.median)
    start = _across(axis, chart.base)
    if chart.points:
        yield _line((start, middle - 7), (start, middle + 7), QUIET)
    else:
        yield element("rect", x=start, y=middle - 4.3, width=end - start, height=8.6, fill=bar.colour)
    yield from _whiskers((_across(axis, bar.value.low), middle), (_across(axis, bar.value.high), middle), TEXT)
    if chart.points:
        yield _mark(end, middle, Mark("", "o", bar.colour))
    if bar.limit is not None:
        at = _across(axis, bar.limit)
        yield _line((at, middle - 5), (at, middle + 5), TEXT, 1.4, "2.5 2")


def _across(axis: Axis, value: float) -> float:
    return _MARGIN + axis.place(value) * (WIDTH - _RIGHT - _MARGIN)


def _points(chart: PointChart) -> tuple[float, list[Element]]:
    """Return how high a point chart is with its legend in rows below: names are too long to stand beside it."""
    right, bottom = WIDTH - _RIGHT, chart.height - _BOTTOM

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x, y = chart.x.place(point[0]), chart.y.place(point[1])
        return _LEFT + x * (right - _LEFT), bottom - y * (bottom - _TOP)

    drawn = list(_grid(chart, bottom))
    if chart.band is not None:
        (_, low), (_, high) = (at((chart.x.low, value)) for value in chart.band)
        low, high = min(low, bottom), max(high, _TOP)
        band = {"width": right - _LEFT, "height": max(low - high, 0.0), "fill_opacity": 0.3}
        drawn.append(element("rect", x=_LEFT, y=high, fill=BAND, **band))
    drawn += [
        _line(at(line.start), at(line.end), QUIET if line.dotted else TEXT, 1.2, "1 2" if line.dotted else "")
        for line in chart.lines
    ]
    for series in chart.series:
        drawn += _series(series, at)
    drawn += [_note(note, at) for note in chart.notes]
    for row, mark in enumerate(chart.legend):
        middle = chart.height + _LEGEND_ROW * (row + 0.5)
        drawn += [_mark(_MARGIN + 7, middle, mark), _text(_MARGIN + 17, middle + 3, cut(clean(mark.name), _LONG_NAME))]
    return chart.height + _LEGEND_ROW * len(chart.legend) + 6, drawn


def _grid(chart: PointChart, bottom: float) -> Iterator[Element]:
    """Yield the axes with their figures, and lines behind the points at the figures of the upright one."""
    right = WIDTH - _RIGHT
    for value, words in chart.y.ticks:
        y = bottom - chart.y.place(value) * (bottom - _TOP)
        yield _line((_LEFT, y), (right, y), LINE, 0.6)
        yield _text(_LEFT - 4, y + 3, words, anchor="end")
    for value, words in chart.x.ticks:
        x = _LEFT + chart.x.place(value) * (right - _LEFT)
        yield _line((x, bottom), (x, bottom + 3), QUIET)
        yield _text(x, bottom + 13, words, anchor="middle")
    yield _line((_LEFT, bottom), (right, bottom), QUIET)
    yield _line((_LEFT, bottom), (_LEFT, _TOP), QUIET)
    yield _text(_MARGIN, 11, chart.y.label)
    yield _text((_LEFT + right) / 2, bottom + 26, chart.x.label, anchor="middle")


def _series(series: Points, at: _Place) -> Iterator[Element]:
    mark = series.mark
    middles = [at((x, value.median)) for x, value in series.points]
    if series.joined:
        yield from (_line(start, end, mark.colour, 1.2) for start, end in itertools.pairwise(middles))
    for (x, value), middle in zip(series.points, middles, strict=True):
        if value.low != value.high:
            yield from _whiskers(at((x, value.low)), at((x, value.high)), mark.colour)
        yield _mark(*middle, mark)


def _note(note: Note, at: _Place) -> Element:
    x, y = at(note.at)
    if note.along is None:
        return _text(x, y - note.above, note.words, anchor=note.anchor)
    end_x, end_y = at(note.along)
    angle = math.degrees(math.atan2(end_y - y, end_x - x))
    return _text(0, -note.above, note.words, transform=f"translate({x:.2f} {y:.2f}) rotate({angle:.2f})")


def _mark(x: float, y: float, mark: Mark) -> Element:
    return element(
        "path",
        class_="mark",
        d=MARKERS[mark.marker],
        transform=f"translate({x:.2f} {y:.2f}) scale({mark.size})",
        stroke=mark.colour,
        stroke_width=1.3 / mark.size,
        fill=None if mark.hollow or mark.marker in "PX" else mark.colour,
    )


def _whiskers(low: tuple[float, float], high: tuple[float, float], colour: str) -> Iterator[Element]:
    """Yield an interval as a line with a bar at both ends; too short a one is drawn all the same."""
    across = (2.5, 0.0) if low[0] == high[0] else (0.0, 2.5)
    yield _line(low, high, colour)
    for x, y in (low, high):
        yield _line((x - across[0], y - across[1]), (x + across[0], y + across[1]), colour)


def _line(
    start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 1.0, dashes: str = ""
) -> Element:
    (x1, y1), (x2, y2) = start, end
    dashed = {"stroke_width": width, "stroke_dasharray": dashes or None}
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, **dashed)


def _text(x: float, y: float, words: str, anchor: str | None = None, **attributes: object) -> Element:
    return element("text", words, x=float(x), y=float(y), text_anchor=anchor, fill=TEXT, **attributes)
