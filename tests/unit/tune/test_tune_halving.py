"""The search: what is tried, and who wins."""

from __future__ import annotations

import random

import pytest
from factories import make_host

from truewheel.tune.halving import Contender, Seen, halve, plan_rungs, rank, score, turns_of
from truewheel.tune.space import (
    combine,
    cross,
    first_generation,
    make_space,
    neighbours,
    repair_settings,
    seed_settings,
)

BASE = Seen(100.0, 10.0, 1.0, 1000.0)


def test_rungs_halve_down_to_the_finalists():
    assert plan_rungs(24) == [24, 12, 6, 3]
    assert plan_rungs(3) == [3]
    assert plan_rungs(7) == [7, 4, 3]
    assert plan_rungs(0) == [0]
    assert [turns_of(rung) for rung in (1, 2, 3)] == [1, 2, 4]


@pytest.mark.parametrize("goal", ["decode", "prefill", "latency", "memory"])
def test_defaults_score_1(goal):
    assert score(goal, BASE, BASE) == pytest.approx(1.0)


def test_each_goal_ranks_what_it_is_for():
    decoding, prefilling = Seen(100, 20, 1, 1000), Seen(200, 10, 0.5, 1000)
    small, slow = Seen(100, 10, 1, 500), Seen(100, 7, 1, 100)
    assert score("decode", decoding, BASE) > score("decode", prefilling, BASE)
    assert score("prefill", prefilling, BASE) > score("prefill", decoding, BASE)
    assert score("latency", decoding, BASE) == pytest.approx((1 + 2.4) / (1 + 1.2))
    assert score("memory", small, BASE) == pytest.approx(2.0)
    assert score("memory", slow, BASE) == 0.0


def test_what_showed_nothing_is_worth_nothing():
    assert score("decode", Seen(0, 10, 1, 1), BASE) == 0.0


def _candidates(count):
    return [Contender(number, {"n": number}) for number in range(2, count + 2)]


def _run(count=16, best=11, noise=0.05, keep=lambda _: "", goal="decode", time_left=lambda: 1.0):
    generator = random.Random(3)
    tried = []

    def try_out(candidate, turns):
        tried.append(candidate.number)
        speed = 10.0 if candidate.number != best else 14.0
        return [Seen(100.0, speed * generator.gauss(1, noise), 1.0, 1000.0) for _ in range(turns)]

    candidates = _candidates(count)
    return halve(goal, BASE, candidates, try_out, keep, time_left), candidates, tried


def test_the_best_wins_through_noise_and_was_tried_most():
    finalists, candidates, tried = _run()
    assert finalists[0].number == 11
    assert len(finalists) == 3
    assert tried.count(11) == max(tried.count(number) for number in range(2, 18)) == 4
    assert [candidate.dropped for candidate in candidates].count("others were better") == 13
    assert len(finalists[0].seen) == 1 + 2 + 4 + 8


def test_what_must_not_win_makes_place_for_the_next():
    finalists, candidates, _ = _run(keep=lambda each: "it changes answers" if each.number == 11 else "")
    assert finalists[0].number != 11
    assert candidates[9].dropped == "it changes answers"


def test_what_dies_is_dropped_with_its_reason():
    candidates = _candidates(4)

    def try_out(candidate, _):
        return "segmentation fault" if candidate.number == 3 else [Seen(100.0, 10.0 + candidate.number, 1.0, 1000.0)]

    finalists = halve("decode", BASE, candidates, try_out, lambda _: "", lambda: 1.0)
    assert candidates[1].dropped == "segmentation fault"
    assert [each.number for each in finalists] == [5, 4, 2]


def test_there_is_no_finalist_where_all_die():
    assert halve("decode", BASE, _candidates(3), lambda *_: "it died", lambda _: "", lambda: 1.0) == []


def test_the_present_ranking_counts_when_the_time_is_over():
    left = iter([1.0] * 5 + [0.0] * 100)
    finalists, _, tried = _run(time_left=lambda: next(left))
    assert len(tried) == 5
    assert {each.number for each in finalists} == {2, 3, 4, 5, 6}


def test_one_is_tried_however_little_time_there_is():
    finalists, _, tried = _run(time_left=lambda: 0.0)
    assert tried == [2]
    assert [each.number for each in finalists] == [2]


def test_of_equals_the_earlier_is_first():
    candidates = _candidates(3)
    for candidate in candidates:
        candidate.seen = [BASE]
    assert [each.number for each in rank("decode", candidates[::-1], BASE)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("physical", "usable", "threads", "batch"), [(2, 2, 2, 2), (1, 1, 1, 1), (16, 32, 12, 16), (8, 4, 3, 4)]
)
def test_seed_is_cores_for_prompts_and_three_quarters_for_tokens(physical, usable, threads, batch):
    seed = seed_settings(make_host(physical_cores=physical, usable_cores=usable))
    assert seed == {"n_threads": threads, "n_threads_batch": batch, "own_pool": True}


def test_an_engine_whose_pool_stays_is_not_told_so():
    assert "own_pool" not in seed_settings(make_host(), "llama_rs")


def test_space_has_only_what_the_engine_can_set():
    host = make_host(physical_cores=2, usable_cores=2)
    assert "own_pool" in make_space(host, "llama_cpp", 1024, "decode")
    assert "own_pool" not in make_space(host, "llama_rs", 1024, "decode")
    assert max(make_space(host, "llama_cpp", 1024, "decode")["n_ubatch"]) == 1024
    assert all(value >= 1 for value in make_space(make_host(usable_cores=1), "llama_cpp", 512, "decode")["n_threads"])


@pytest.mark.parametrize(
    ("goal", "first"),
    [("decode", "n_threads"), ("prefill", "flash_attn"), ("latency", "flash_attn"), ("memory", "repack")],
)
def test_what_promises_most_for_a_goal_is_tried_first(goal, first):
    host = make_host(physical_cores=4, usable_cores=4)
    space, seed = make_space(host, "llama_cpp", 1024, goal), seed_settings(host)
    assert set(space) == set(make_space(host, "llama_cpp", 1024, "decode"))
    tried = first_generation(space, seed, 8)
    assert tried[2] == repair_settings({**seed, first: space[first][1]})
    assert len(tried) == 8


def test_first_generation_begins_with_the_defaults_and_repeats_nothing():
    host = make_host(physical_cores=4, usable_cores=8)
    space, seed = make_space(host, "llama_cpp", 1024, "decode"), seed_settings(host)
    found = first_generation(space, seed, 32)
    assert found[0] == {}
    assert found[1] == repair_settings(seed)
    assert len(found) == 32
    assert all(found.count(each) == 1 for each in found)
    assert found == first_generation(space, seed, 32)
    assert len({key for settings in found for key in settings}) > 8


@pytest.mark.parametrize(
    ("settings", "mended"),
    [
        ({"type_v": "q8_0", "flash_attn": "off"}, {"flash_attn": "on", "type_v": "q8_0"}),
        ({"n_ubatch": 1024}, {"n_batch": 1024, "n_ubatch": 1024}),
        ({"own_pool": False, "poll": 100}, {"own_pool": False}),
        ({"cpus": []}, {}),
        ({"huge_pages": True}, {"huge_pages": True, "use_mmap": False}),
    ],
)
def test_settings_that_make_no_sense_together_are_mended(settings, mended):
    assert repair_settings(settings) == mended


def test_neighbours_differ_and_never_repeat_what_they_came_from():
    host = make_host(physical_cores=2, usable_cores=2)
    space = make_space(host, "llama_cpp", 512, "decode")
    start = repair_settings({"n_threads": 2, "own_pool": True, "poll": 0})
    found = list(neighbours(space, start))
    assert found
    assert start not in found
    assert {**start, "poll": 100} in found


def test_a_child_of_two_has_prompts_of_one_and_the_rest_of_the_other():
    space = make_space(make_host(physical_cores=2, usable_cores=2), "llama_cpp", 2048, "decode")
    child = cross({"n_ubatch": 256, "poll": 0}, {"n_threads": 1, "n_ubatch": 128}, space)
    assert child == {"n_threads": 1, "n_ubatch": 256}


def test_all_that_gained_is_combined_and_the_better_of_two_values_wins():
    seed = {"n_threads": 2, "own_pool": True}
    tried = [
        ({**seed, "poll": 0}, 1.2),
        ({**seed, "poll": 100}, 1.4),
        ({**seed, "huge_pages": True, "use_mmap": False}, 1.3),
        ({**seed, "n_ubatch": 128}, 1.104),
        ({**seed, "n_threads": 1}, 0.9),
    ]
    assert combine(seed, 1.1, tried) == {**seed, "huge_pages": True, "poll": 100, "use_mmap": False}
    assert combine(seed, 2.0, tried) == seed
