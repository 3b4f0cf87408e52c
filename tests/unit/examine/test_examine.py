"""The one examination: what was read, what it was built as and what it showed when it was run, in one value."""

from functools import partial

import pytest
from factories import (
    make_elf,
    make_engine,
    make_evidence,
    make_facts,
    make_host,
    make_plan_of,
    make_portable,
    make_record,
    make_wheel,
    make_zig,
)

from truewheel.child.confinement import OWN, STRANGERS, UNCONFINED
from truewheel.child.smoke import SmokeRecord
from truewheel.console import Console
from truewheel.errors import LoadError
from truewheel.examine import examine as examination
from truewheel.examine import runs
from truewheel.examine.examine import examine
from truewheel.examine.isa_rules import needles
from truewheel.examine.reading import WheelFacts
from truewheel.models.models import Model
from truewheel.repair.repair import RepairedWheel

MODEL = Model("tiny", None, "Once", "", vocabulary_round_trips=True)


@pytest.fixture
def asked(monkeypatch):
    """Stand in for the children that read, and return what each was asked."""
    found = []

    def inspect(path, **options):
        found.append((path, options))
        return WheelFacts(wheel=make_wheel(), libraries={}, sources=None, policy=None, locked=True)

    monkeypatch.setattr(examination, "inspect_wheel", inspect)
    return found


@pytest.fixture
def smoked(monkeypatch):
    """Stand in for the child that runs inference, and return how each was asked."""
    found = []

    def run_smoke(_wheel, _model, engine, **options):
        found.append((engine, options))
        return make_record()

    monkeypatch.setattr(runs, "run_smoke", run_smoke)
    monkeypatch.setattr(runs, "detect_host", make_host)
    return found


def test_a_stranger_s_wheel_is_read_and_not_run(asked):
    facts = examine("toy.whl")
    assert asked == [("toy.whl", {"needles": needles(), "cache": True})]
    assert facts.plan is facts.evidence is facts.smoke is None
    assert facts.told == facts.emulation == ()


def test_a_fresh_wheel_is_read_anew_and_keeps_plan_and_evidence(asked):
    plan = make_plan_of()
    built = RepairedWheel(make_wheel(), plan, make_evidence(plan))
    facts = examine("toy.whl", built=built)
    assert (facts.plan, facts.evidence) == (plan, built.evidence)
    assert not asked[0][1]["cache"]


def test_a_run_gets_what_was_read_and_what_former_runs_showed(asked):
    seen = []

    def run(facts, record):
        seen.append(facts.smoke)
        return facts._replace(smoke=record)

    one, two = make_record(), make_record(make_plan_of())
    assert examine("toy.whl", [partial(run, record=one), partial(run, record=two)]).smoke is two
    assert seen == [None, one]
    assert asked


def test_a_wheel_is_driven_as_it_is_said_or_as_its_recipe_says(smoked):
    engine = make_engine()
    facts = runs.smoke(make_facts(smoke=None), model=MODEL, console=Console(), engine=engine)
    assert isinstance(facts.smoke, SmokeRecord)
    driven, options = smoked[0]
    assert driven is engine
    assert options["required"] == OWN
    assert options["threads"] == make_host().usable_cores
    with pytest.raises(LoadError, match="toy-engine"):
        runs.smoke(make_facts(smoke=None), model=MODEL, console=Console())


def test_a_stranger_s_wheel_is_run_with_more_than_one_that_was_built_here(smoked):
    mine = make_facts(smoke=None)
    for required in (STRANGERS, UNCONFINED):
        for facts in (mine, mine._replace(plan=None)):
            runs.smoke(facts, model=MODEL, console=Console(), engine=make_engine(), required=required)
    assert [options["required"] for _, options in smoked] == [OWN, STRANGERS, OWN, UNCONFINED]


def test_a_wheel_that_needs_another_cpu_is_unproven_and_not_run(smoked):
    plan = make_plan_of(profile=make_portable(level="x86-64-v4"), toolchain=make_zig())
    facts = runs.smoke(make_facts(plan, smoke=None), model=MODEL, console=Console())
    assert facts.smoke.code == "SMOKE-UNPROVEN"
    assert "this CPU lacks avx512" in facts.smoke.ending
    assert not smoked


def test_only_libraries_that_can_tell_are_loaded(monkeypatch):
    facts = make_facts()._replace(libraries={"a.so": make_elf(), "b.so": make_elf(defined=(runs.SYSTEM_INFO,))})
    monkeypatch.setattr(runs, "ask_libraries", lambda _wheel, paths, required: (*paths, *required))
    assert runs.load_libraries(facts).told == ("b.so", "filter")
