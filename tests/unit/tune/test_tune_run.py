"""The search from its first trial to its finalists; no process is started."""

from __future__ import annotations

import contextlib

import pytest
from factories import make_host

from truewheel.child.measure import Runner
from truewheel.child.registry import EngineEntry
from truewheel.child.run_account import Run
from truewheel.console import Console
from truewheel.errors import CheckError
from truewheel.models.models import Model
from truewheel.tune import run as tuning
from truewheel.tune.halving import Contender

GAINS = {"n_threads=2": 1.5, "poll=100": 1.3, "huge_pages=True": 1.2, "flash_attn=on": 2.0}


def make_run(failure=""):
    events = {"pp256": [{"seconds": 1.0}], "tg32@256": [{"seconds": 1.0}]}
    return Run(events, {}, "1.0", {}, (), 0.5, 1.0, 1000, "", 0, failure)


class StandIn:
    """A session whose speed follows from its settings, and drifts: each turn of anybody is slower by 1 %."""

    turns = 0

    def __init__(self, settings, dies_after):
        self.settings, self.left = settings, dies_after

    def measure(self, work):
        StandIn.turns += 1
        self.left -= 1
        if self.left < 0 or self.settings.get("n_batch") == 1024:
            return None
        speed = 10.0 if work.startswith("tg") else 100.0
        for key, value in self.settings.items():
            speed *= GAINS.get(f"{key}={value}", 1.0) if work.startswith("tg") else 1.0
        return {"id": work, "seconds": 32 / (speed * 0.99**StandIn.turns), "count": 32}

    def finish(self):
        return make_run("segmentation fault" if self.left < 0 or self.settings.get("n_batch") == 1024 else "")


@pytest.fixture
def search(monkeypatch, tmp_path):
    """Return a search on stand-ins, and how many turns the process of the defaults lives."""
    lives = {"defaults": 10**6}

    @contextlib.contextmanager
    def open_session(runner, *_):
        yield StandIn(runner.settings, lives["defaults"] if not runner.settings else 10**6)

    def divergence(_, settings):
        return 0.1 if settings.get("flash_attn") == "on" else None

    monkeypatch.setattr(StandIn, "turns", 0)
    monkeypatch.setattr(tuning, "open_session", open_session)
    monkeypatch.setattr(tuning, "run_child", lambda *_: make_run())
    monkeypatch.setattr(tuning._Search, "divergence", divergence)
    runner = Runner(None, EngineEntry(import_name="llama_cpp", driver="llama_cpp"), {})
    model = Model("m", tmp_path / "m.gguf", "", "", vocabulary_round_trips=False)
    order = tuning.TuningRequest(tmp_path / "a.whl", "decode", 600.0)
    host = make_host(physical_cores=2, usable_cores=2)
    return tuning._Search(order, model, host, runner, "llama-cpp-python", Console()), lives


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_what_counts_is_the_ratio_to_the_defaults_of_the_same_seconds(search, turns):
    found, _ = search
    with contextlib.ExitStack() as stack:
        found.add({})
        found.begin(stack)
        StandIn.turns += 50
        seen = found.try_out(Contender(2, {"n_threads": 2}), turns)
    # The machine is 40 % slower than when the defaults were first seen; a turn's drift of 1 % is all that is left.
    assert len(seen) == turns
    assert [each.decode / found.shown.decode for each in seen] == pytest.approx([1.5] * turns, rel=0.011)
    assert [each.prefill / found.shown.prefill for each in seen] == pytest.approx([1.0] * turns, rel=0.011)
    # Who is first changes, so that the drift cancels out.
    if turns > 1:
        assert seen[0].decode < 1.5 * found.shown.decode < seen[1].decode


def test_gains_are_combined_and_what_changes_answers_or_dies_does_not_win(search):
    found, _ = search
    with contextlib.ExitStack() as stack:
        finalists = tuning._search(found, stack)
        combined = tuning._combine(found)
    assert {key: combined[key] for key in ("n_threads", "poll", "huge_pages")} == {
        "n_threads": 2, "poll": 100, "huge_pages": True,
    }  # fmt: skip
    assert any(each.settings == combined for each in found.candidates)
    best = finalists[0].settings
    assert (best["n_threads"], best["poll"], best["huge_pages"]) == (2, 100, True)
    assert finalists[0].middle().decode / found.shown.decode == pytest.approx(1.5 * 1.3 * 1.2, rel=0.02)
    assert all(each.settings.get("flash_attn") != "on" for each in finalists)
    reasons = {each.dropped.partition(":")[0] for each in found.candidates}
    assert {"it changes answers", "segmentation fault", "others were better"} <= reasons


def test_defaults_that_die_end_the_search(search):
    found, lives = search
    lives["defaults"] = 20
    with contextlib.ExitStack() as stack, pytest.raises(CheckError, match="defaults stopped running: segmentation"):
        tuning._search(found, stack)


def test_with_no_time_left_one_setting_is_still_tried(search, monkeypatch):
    found, _ = search
    monkeypatch.setattr(found, "left", lambda *_: 0.0)
    with contextlib.ExitStack() as stack:
        finalists = tuning._search(found, stack)
    assert [each.number for each in finalists] == [2]
