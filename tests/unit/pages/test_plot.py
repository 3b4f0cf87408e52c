"""Charts of ratios, axes, and drawings that are files of their own."""

import math
import re
from xml.etree import ElementTree as ET

import pytest

from truewheel.measure.result import Interval
from truewheel.pages.plot import SUBJECTS, Axis, linear_ticks, ratio_chart, ratio_ticks
from truewheel.pages.svg import draw, to_svg_file

GROUPS = {
    "decode": [("ours", Interval(1.5, 1.4, 1.6)), ("theirs", Interval(0.8, 0.75, 0.85))],
    "prefill": [("ours", Interval(3.0, 2.8, 3.3))],
}
SVG = "{http://www.w3.org/2000/svg}"


def places(root, kind, *names):
    return [tuple(float(each.get(name)) for name in names) for each in root.iter(kind)]


def centres(root):
    """Return where the points are, left to right."""
    marks = [each.get("transform") for each in root.iter("path")]
    return [float(re.match(r"translate\(([\d.]+) ", mark)[1]) for mark in marks]


@pytest.mark.parametrize("log", [True, False])
def test_a_chart_of_ratios_has_each_interval_about_one_axis(log):
    root = draw(ratio_chart(GROUPS, log=log), "ratios", "Ratios", "words")
    ours, theirs, prefill = centres(root)
    bases = {x for x, y, end in places(root, "line", "x1", "y1", "x2") if x == end and y % 1 == 0.5}
    assert theirs < ours < prefill
    assert any(theirs < base < ours for base in bases)
    widths = sorted(abs(end - start) for start, end in places(root, "line", "x1", "x2"))
    assert widths[-3] < widths[-1]
    words = [each.text for each in root.iter("text")]
    assert {"decode", "prefill", "ours", "theirs", "1.50 [1.40, 1.60]", "0.80 [0.75, 0.85]", "1"} <= set(words)


def test_twice_as_fast_is_as_far_from_1_as_half_as_fast():
    axis = Axis("", 0.25, 4.0, (), log=True)
    assert axis.place(2.0) - axis.place(1.0) == pytest.approx(axis.place(1.0) - axis.place(0.5))
    assert Axis("", 0.0, 4.0, ()).place(1.0) == 0.25


def test_a_file_brings_both_modes_along():
    text = to_svg_file(ratio_chart(GROUPS), "Ratios", "what they are of")
    assert 'width="438"' in text
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert [each.text for each in root.iter(f"{SVG}title")] == ["Ratios"]
    (style,) = (each.text for each in root.iter(f"{SVG}style"))
    assert "prefers-color-scheme: dark" in style
    light, dark = style.split("@media")
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert used
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text == to_svg_file(ratio_chart(GROUPS), "Ratios", "what they are of")


def test_ticks_are_round_and_lie_between_the_ends():
    assert [value for value, _ in linear_ticks(0.0, 130.0)] == [0.0, 50.0, 100.0]
    assert [words for _, words in linear_ticks(0.6, 1.25)] == ["0.6", "0.8", "1", "1.2"]
    for low, high in ((0.9, 1.1), (0.5, 3.2), (0.02, 60.0), (0.99, 1.01)):
        ticks = ratio_ticks(low, high)
        assert all(low <= value <= high for value, _ in ticks)
        assert "1" in [words for _, words in ticks]
        assert len(ticks) <= 12


def test_colours_come_again_after_eight():
    rows = [(f"subject {number}", Interval(1.0, 0.9, 1.1)) for number in range(10)]
    root = draw(ratio_chart({"all": rows}), "many", "t", "w")
    colours = [each.get("fill") for each in root.iter("path")]
    assert colours[:8] == list(SUBJECTS)
    assert colours[8:] == list(SUBJECTS[:2])
    assert all(math.isfinite(place) for place in centres(root))
