"""What is measured, and how a child's events become figures."""

from __future__ import annotations

import pytest

from truewheel.child.work import Work, Workload
from truewheel.measure.metrics import make_workload, metrics_of, read_event, share_of_limit
from truewheel.measure.result import Cost, Limits

PLAN = make_workload([128, 2048], [64], [0, 2048], 32, 256, 3)
COST = Cost(weights=1000, cache=10, operations=2000, attention=4, integer=True)
LIMITS = Limits(threads=2, read=1e6, int8=1e8, int8_kernel="avx2", f32=1e7, f32_kernel="fma")


def test_work_is_named_as_llama_bench_names_it():
    assert [item.id for item in PLAN.work] == ["answer", "pp128", "pp2048", "tg64", "tg64@2048"]
    assert [item.repeat for item in PLAN.work] == [3, 3, 1, 3, 3]


def test_context_holds_the_deepest_work():
    assert PLAN.context >= 2048 + 64
    assert make_workload([16], [], [], 0, 8, 1).context == 512
    assert make_workload([], [], [], 100, 2000, 1).context >= 2100


def test_every_piece_of_work_has_its_metrics():
    keys = [metric.key for metric in metrics_of(PLAN)]
    assert keys == [
        "pp128", "pp2048", "tg64", "tg64@2048", "answer-prefill", "answer-decode", "answer-whole", "answer-first",
        "load", "import", "peak", "wheel", "installed",
    ]  # fmt: skip
    assert not [metric for metric in metrics_of(make_workload([1], [], [], 0, 8, 1)) if metric.key.startswith("answer")]


ANSWER, PREFILL = PLAN.work[:2]


def test_speeds_are_tokens_over_seconds():
    assert dict(read_event(PREFILL, {"seconds": 2.0, "count": 128})) == {"pp128": 64.0}


def test_answer_is_split_at_its_first_token():
    event = {"first": 0.5, "seconds": 2.5, "prompt": 100, "count": 21, "text": "hello"}
    assert dict(read_event(ANSWER, event)) == {
        "answer-whole": 8.4, "answer-first": 0.5, "answer-prefill": 200.0, "answer-decode": 10.0,
    }  # fmt: skip


def test_answer_that_is_not_streamed_has_its_whole_speed_alone():
    event = {"first": None, "seconds": 2.0, "prompt": 100, "count": 20}
    assert dict(read_event(ANSWER, event)) == {"answer-whole": 10.0}


@pytest.mark.parametrize(
    "event", [{"seconds": "1", "count": 1}, {"seconds": 0, "count": 1}, {"seconds": 1.0}, {"seconds": 1, "count": -1}]
)
def test_what_is_no_measurement_is_refused(event):
    with pytest.raises(ValueError, match=r"\S"):
        list(read_event(PREFILL, event))


def test_decode_is_held_against_the_bandwidth():
    # 100 tokens a second read (1000 + 10 * 32) bytes each: 132,000 of 1,000,000 bytes a second.
    share, limit = share_of_limit("tg64", 100.0, PLAN, COST, LIMITS)
    assert (share, limit) == (pytest.approx(0.132), "read")
    deep, _ = share_of_limit("tg64@2048", 100.0, PLAN, COST, LIMITS)
    assert deep == pytest.approx(100 * (1000 + 10 * (2048 + 32)) / 1e6)


def test_prefill_is_held_against_the_arithmetic_of_its_weights():
    share, limit = share_of_limit("pp128", 1000.0, PLAN, COST, LIMITS)
    assert (share, limit) == (pytest.approx(1000 * (2000 + 4 * 64) / 1e8), "int8")
    floats = Cost(weights=1000, cache=10, operations=2000, attention=4, integer=False)
    assert share_of_limit("pp128", 1000.0, PLAN, floats, LIMITS)[1] == "f32"


def test_answers_are_held_against_the_same_limits():
    assert share_of_limit("answer-prefill", 10.0, PLAN, COST, LIMITS)[1] == "int8"
    decode, limit = share_of_limit("answer-decode", 10.0, PLAN, COST, LIMITS)
    assert (decode, limit) == (pytest.approx(10 * (1000 + 10 * (256 + 16)) / 1e6), "read")
    assert share_of_limit("answer-whole", 10.0, PLAN, COST, LIMITS) == (0.0, "")


def test_there_is_no_share_without_limits_or_cost():
    assert share_of_limit("tg64", 1.0, PLAN, None, LIMITS) == (0.0, "")
    assert share_of_limit("tg64", 1.0, PLAN, COST, None) == (0.0, "")
    assert share_of_limit("load", 1.0, PLAN, COST, LIMITS) == (0.0, "")
    assert share_of_limit("answer-decode", 1.0, Workload((Work("pp1", "prefill", 1),), 8), COST, LIMITS) == (0.0, "")
