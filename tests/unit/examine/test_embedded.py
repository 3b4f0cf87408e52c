"""What `truewheel.json` says of a wheel, read once for everybody: strict, and no longer than it may be."""

import json

import pytest
from factories import DIST_INFO, make_dispatch_plan, make_facts, make_plan_of, make_wheel, wheel_members

from truewheel.plan.carried import CarriedBackend, CarriedPlan, claims_of
from truewheel.wheel.archive import Member

BACKEND = {"name": "good", "library": "libgood.so", "features": ["avx2"]}
PLAN = {"level": "x86-64-v2", "profile": "toy", "features": ["aes"], "march": "", "backends": [BACKEND]}


def wheel_of(text):
    data = text if isinstance(text, bytes) else json.dumps(text).encode()
    return make_wheel(members=wheel_members(**{f"{DIST_INFO}/truewheel.json": Member(data)}))


def embedded(wheel):
    return make_facts(None, wheel=wheel).embedded


def test_a_plan_is_read():
    backends = (CarriedBackend("good", "libgood.so", ("avx2",)),)
    expected = CarriedPlan(level="x86-64-v2", profile="toy", features=("aes",), backends=backends)
    assert embedded(wheel_of({"schema": 1, "plan": PLAN})) == expected


def test_a_wheel_without_one_declares_nothing():
    assert embedded(make_wheel()) is None
    assert make_facts(plan=None).declared is None
    assert not make_facts(plan=None).own


@pytest.mark.parametrize("make", [make_plan_of, make_dispatch_plan])
def test_a_plan_declares_what_its_wheel_will(make):
    plan = make()
    assert claims_of(plan) == embedded(wheel_of({"schema": 2, "plan": plan.to_dict()}))
    assert make_facts(plan).declared == claims_of(plan)


@pytest.mark.parametrize(
    "change",
    [
        {"level": "x86-64-v9"},
        {"profile": "toy\u202e"},
        {"profile": "x" * 65},
        {"features": ["AVX2"]},
        {"features": ["avx2"] * 1001},
        {"features": ["a" * 65]},
        {"backends": [BACKEND] * 65},
        {"backends": [{**BACKEND, "name": "good; rm -r /"}]},
        {"backends": [{**BACKEND, "name": ""}]},
        {"backends": [{**BACKEND, "features": "avx2"}]},
    ],
)
def test_what_does_not_have_the_shape_declares_nothing(change):
    assert embedded(wheel_of({"plan": {**PLAN, **change}})) is None


@pytest.mark.parametrize("text", [b"", b"{", b'{"plan": ' * 2000, b"[" * 100_000, b'{"plan": null}'])
def test_what_cannot_be_read_declares_nothing(text):
    assert embedded(wheel_of(text)) is None
