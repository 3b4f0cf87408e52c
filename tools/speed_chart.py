"""Draw ratios of a kept benchmark, with their intervals, as the chart of the front page.

    python -m tools.speed_chart docs/assets/speed.json docs/assets/speed.svg pp512 tg64

The first file is what `truewheel bench --save` wrote; the metrics are those that are drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from truewheel.files import write_file
from truewheel.measure.result import Benchmark
from truewheel.pages.benchmark_words import key_words, machine_words, model_words
from truewheel.pages.plot import ratio_chart
from truewheel.pages.svg import to_svg_file


def draw(benchmark: Benchmark, keys: tuple[str, ...]) -> str:
    """Return the chart as SVG: a group a metric, a row a subject that is compared with the reference.

    Raises:
        ValueError: a metric has no ratio.
    """
    groups = {
        f"{key_words(key)[:1].upper()}{key_words(key)[1:]}": [
            (subject.label, figure.ratio)
            for subject in benchmark.subjects
            for figure in subject.figures
            if figure.key == key and figure.ratio is not None
        ]
        for key in keys
    }
    if lost := [title for title, rows in groups.items() if not rows]:
        raise ValueError(f"the benchmark has no ratio of {', '.join(lost)}")
    title = f"Speed as ratios to {benchmark.reference}, with 95 % intervals"
    words = f"{model_words(benchmark.model)}; {machine_words(benchmark.machine)}. Above 1 is faster."
    return to_svg_file(ratio_chart(groups), title, words)


if __name__ == "__main__":
    source, target, *wanted = sys.argv[1:]
    measured = msgspec.json.decode(Path(source).read_bytes(), type=Benchmark)
    write_file(Path(target), draw(measured, tuple(wanted)).encode())
