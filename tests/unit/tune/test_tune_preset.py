"""What a search becomes: the last comparison decides, and a preset is made of what won it."""

from __future__ import annotations

import pytest
from factories import make_host
from msgspec.structs import replace
from tunings import tuning

from truewheel.config.presets import load_preset
from truewheel.errors import StoreError
from truewheel.measure.result import Interval
from truewheel.tune.preset import default_target, make_preset, settle, write_found


def test_a_winner_that_held_is_written_with_its_figures_and_evidence(tmp_path):
    path = tmp_path / "new" / "found.toml"
    write_found(path, make_preset(tuning(), make_host()))
    found = load_preset(str(path))
    assert found.chosen() == {"n_threads": 2, "cpus": [0, 1]}
    assert (found.figures.decode.value, found.figures.decode.ratio, found.figures.decode.low) == (80.0, 1.5, 1.4)
    assert found.figures.peak.ratio == 0.99
    assert found.runner_up.settings.chosen() == {"n_threads": 3}
    assert (found.purpose.engine, found.purpose.version, found.purpose.goal) == ("llama-rs", "0.1.0", "decode")
    evidence = found.evidence
    assert (evidence.noise_floor, evidence.rounds, evidence.trials, evidence.divergence) == (0.0204, 4, 3, 0.0004)


def test_what_was_first_in_the_search_gives_way_to_what_is_better_in_the_last_comparison():
    found = tuning(Interval(1.2, 1.1, 1.3), floor=0.01)
    assert (found.winner, found.runner_up) == (3, 2)
    preset = make_preset(found, make_host())
    assert preset.chosen() == {"n_threads": 3}
    assert preset.figures.decode.ratio == 1.3
    assert preset.runner_up.settings.chosen() == {"n_threads": 2, "cpus": [0, 1]}


@pytest.mark.parametrize(("decode", "floor"), [(Interval(1.1, 0.97, 1.3), 0.02), (Interval(1.5, 1.4, 1.6), 0.45)])
def test_where_nothing_is_better_beyond_the_noise_the_preset_sets_nothing(decode, floor):
    found = tuning(decode, floor=floor)
    assert found.winner == 1
    preset = make_preset(found, make_host())
    assert preset.chosen() == {}
    assert preset.figures is None
    assert "nothing that was tried" in preset.evidence.how
    assert preset.evidence.divergence is None
    assert preset.runner_up.figures.decode.ratio == max(1.3, decode.median)


def test_with_the_defaults_alone_they_win():
    final = tuning().final
    alone = replace(final, subjects=final.subjects[:1])
    assert settle(alone, "decode") == (1, 0)
    assert make_preset(replace(tuning(), final=alone, winner=1, runner_up=0), make_host()).runner_up is None


@pytest.mark.parametrize(
    ("goal", "holds"), [("decode", True), ("prefill", False), ("latency", True), ("memory", False)]
)
def test_each_goal_has_its_own_figure(goal, holds):
    assert bool(make_preset(tuning(goal=goal), make_host()).chosen()) is holds


def test_the_file_is_named_after_machine_model_and_goal():
    host = make_host(model="Intel(R) Core(TM) i3-6100 CPU @ 3.70GHz", usable_cores=4)
    target = default_target(host, "qwen2.5-1.5b:q4_k_m", "decode")
    assert target.name == "intel-core-i3-6100-4-core-qwen2.5-1.5b-q4-k-m-decode.toml"
    assert target.parent.name == "presets"


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_found(tmp_path / "file" / "found.toml", make_preset(tuning(), make_host()))
