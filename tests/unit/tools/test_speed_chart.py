"""The chart of the front page: every ratio of a kept benchmark, and nothing that was not measured."""

from xml.etree import ElementTree as ET

import pytest
from bench_reports import make_benchmark

from tools.speed_chart import draw

TEXT = "{http://www.w3.org/2000/svg}text"


def test_each_ratio_is_a_row_under_its_metric():
    root = ET.fromstring(draw(make_benchmark(), ("pp512", "answer-decode")))
    words = [each.text for each in root.iter(TEXT)]
    assert [each for each in words if each in ("Prefill of 512 tokens", "Text of an answer", "portable")] == [
        "Prefill of 512 tokens",
        "portable",
        "Text of an answer",
        "portable",
    ]
    assert "1.14 [1.11, 1.16]" in words
    assert "native" not in words


def test_a_metric_without_a_ratio_is_an_error():
    with pytest.raises(ValueError, match="no ratio of Prefill of 7 tokens"):
        draw(make_benchmark(), ("pp7",))
