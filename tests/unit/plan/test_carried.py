"""What a wheel carries of its plan is read, whichever version wrote it; what cannot be read raises nothing else."""

import json

import pytest
from factories import make_backend_plan, make_dispatch_plan, make_plan_of

from truewheel.decoding import UnreadableError
from truewheel.plan.carried import CarriedBackend, CarriedPlan, claims_of, read_carried

BACKEND = {"name": "best", "library": "toy/libk-best.so", "target": "k-best", "features": ["avx2"], "flags": ["-mavx2"]}
FLAT = {"profile": "dispatch", "level": "x86-64-v2", "features": ["ssse3"], "march": "", "backends": [BACKEND]}


@pytest.mark.parametrize("make", [make_plan_of, make_backend_plan, make_dispatch_plan])
def test_what_is_written_is_read(make):
    plan = make()
    text = json.dumps({"schema": 2, "plan": plan.to_wheel(), "compiler": "cc 1.0"})
    assert read_carried(text) == claims_of(plan)
    assert claims_of(plan).native == (make is make_plan_of)


def test_a_wheel_made_before_is_read():
    expected = CarriedPlan(
        profile="dispatch",
        level="x86-64-v2",
        features=("ssse3",),
        backends=(CarriedBackend("best", "toy/libk-best.so", ("avx2",)),),
    )
    assert read_carried(json.dumps({"schema": 1, "plan": FLAT})) == expected
    assert read_carried(json.dumps({"plan": FLAT})) == expected
    assert read_carried(json.dumps({"schema": 1, "plan": {**FLAT, "march": "native"}})).native


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2, "plan": {}}',
        '{"schema": "2"}',
        '{"schema": 3, "plan": {"level": "x"}}',
        json.dumps({"schema": 2, "plan": FLAT}),
        json.dumps({"schema": 1, "plan": {**FLAT, "level": "x86-64-v9"}}),
        json.dumps({"schema": 1, "plan": {**FLAT, "profile": "a\x1b[31m"}}),
        json.dumps({"schema": 1, "plan": {**FLAT, "features": ["<b>"]}}),
        json.dumps({"schema": 1, "plan": {**FLAT, "backends": [{**BACKEND, "name": "../x"}]}}),
    ],
)
def test_what_is_no_account_of_a_plan_is_refused(text):
    with pytest.raises((UnreadableError, ValueError)):
        read_carried(text)
