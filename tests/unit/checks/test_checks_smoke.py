"""The check of the smoke test: each ending has its code."""

import pytest
from factories import make_facts, make_record
from planted import PLANTED

from truewheel.checks.run import run_checks
from truewheel.checks.smoke import CODES, check
from truewheel.child.smoke import STEPS, unproven
from truewheel.models.models import find_model


def test_a_run_that_passed_gives_nothing():
    assert list(check(make_facts())) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_ending_is_found_and_nothing_else(code):
    (finding,) = check(PLANTED[code]())
    assert (finding.code, finding.severity) == (code, "error")


@pytest.mark.parametrize("code", sorted(set(CODES) - {"SMOKE-NOT-RUN", "SMOKE-ABSENT"}))
def test_an_ending_is_told_with_model_words_and_hint(code):
    facts = PLANTED[code]()
    (finding,) = check(facts)
    assert finding.where == "model tiny"
    assert finding.message == facts.smoke.ending
    assert finding.hint


@pytest.mark.parametrize("code", sorted(set(CODES) - {"SMOKE-NOT-RUN"}))
def test_a_wheel_of_somebody_else_is_held_to_the_same(code):
    assert [finding.code for finding in check(PLANTED[code]()._replace(plan=None))] == [code]


def test_a_step_that_is_absent_is_told_and_refuses_no_wheel():
    facts = PLANTED["SMOKE-ABSENT"]()
    assert (facts.smoke.passed, facts.smoke.facts("embed")) == (True, {})
    (finding,) = run_checks(facts)
    assert (finding.severity, finding.message) == ("info", "no embed: its Python API gives no embeddings")


def test_a_wheel_of_somebody_else_need_not_be_run():
    assert list(check(make_facts(plan=None, smoke=None))) == []


def test_a_wheel_of_ours_must_be_run():
    (finding,) = check(make_facts(smoke=None))
    assert finding.code == "SMOKE-NOT-RUN"
    assert finding.where.endswith(".whl")


def test_the_record_of_the_factory_passed():
    record = make_record()
    assert record.passed
    assert record.ending == "passed"
    assert record.locked


REASON = "not provable here: this CPU lacks avx512f, avx512bw"


def test_a_wheel_for_a_better_cpu_is_said_to_be_unproven():
    record = unproven(find_model("tiny"), REASON)
    assert (record.passed, record.locked, record.code, record.model) == (False, False, "SMOKE-UNPROVEN", "tiny")
    assert [(step.name, step.state) for step in record.steps] == [(step, "not reached") for step in STEPS]
    (finding,) = check(make_facts(smoke=record))
    assert (finding.code, finding.where, finding.message) == ("SMOKE-UNPROVEN", "model tiny", REASON)
    assert "truewheel smoke" in finding.hint


def test_that_nothing_was_shown_refuses_no_wheel():
    facts = make_facts(smoke=unproven(find_model("tiny"), REASON))
    assert [(finding.code, finding.severity) for finding in run_checks(facts)] == [("SMOKE-UNPROVEN", "warning")]
    assert [finding.severity for finding in run_checks(make_facts(smoke=None))] == ["error"]
