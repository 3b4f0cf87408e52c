"""llama.cpp's own llama-bench, from the same source and flags, agrees with our low-level figures; shows the table.

Slow, and a measurement: run by `nox -s llama_bench`, not with the other tests.
"""

from __future__ import annotations

import pytest

from tools.llama_bench import compare_with_llama_bench, to_lines
from truewheel.cli.bench_ import pick_subjects
from truewheel.console import Console


@pytest.fixture(scope="module")
def found():
    """Compare the default wheel of the wheelhouse once."""
    console = Console()
    wheel = next(one.place for one in pick_subjects(console) if one.project == "llama-cpp-python")
    agreements = compare_with_llama_bench(wheel, "smollm2", 3, console)
    console.data("\n".join(["", *to_lines(agreements)]))
    return {one.key: one for one in agreements}


@pytest.mark.parametrize("key", ["pp512", "tg64"])
def test_our_figure_is_llama_bench_s_within_the_noise(found, key):
    assert found[key].ours > 0
    assert found[key].theirs > 0
    assert found[key].agrees, f"{key}: {found[key]}"
