"""Does the check see what rustc was not told?"""

import pytest
from planted import PLANTED, _crates, rust_codegen

from truewheel.checks.rust import CODES, check


def codes(facts):
    return [finding.code for finding in check(facts)]


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_alone(code):
    assert codes(PLANTED[code]()) == [code]


def test_nothing_is_said_of_what_was_compiled_as_planned():
    assert codes(_crates(crates=3)) == []


def test_nothing_is_said_of_an_engine_without_rust():
    assert codes(PLANTED["FLAGS-CACHE"]()) == []


def test_each_crate_that_lost_its_level_is_named():
    facts = _crates("opt-level=3", "codegen-units=1", "lto=fat", crates=2)
    assert [finding.where for finding in check(facts)] == ["crate0", "crate1"]
    assert "+avx2" in next(check(facts)).message


@pytest.mark.parametrize("lost", ["opt-level=3", "codegen-units=1", "lto=fat"])
def test_what_makes_code_fast_may_not_be_lost(lost):
    facts = _crates()
    codegen = tuple(option for option in rust_codegen(facts.plan) if option != lost)
    assert codes(_crates(*codegen)) == ["RUST-SLOW"]


def test_another_feature_may_not_be_added():
    facts = _crates()
    (finding,) = check(_crates(*rust_codegen(facts.plan), "target-feature=+avx512f"))
    assert (finding.code, "+avx512f" in finding.message) == ("RUST-OVERRULED", True)
