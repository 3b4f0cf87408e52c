"""Gathering facts and running every check."""

import fnmatch

import pytest
from factories import make_code, make_elf, make_facts, make_wheel
from malformed import KINDS
from planted import PLANTED

from truewheel.checks import equivalence, run
from truewheel.checks.finding import Finding
from truewheel.checks.policy import Policy, default_policy
from truewheel.examine.facts import facts_of
from truewheel.examine.reading import LibraryFacts, WheelFacts

MALFORMED = {kind.code for kind in KINDS.values()} | {"ARCHIVE-CHANGED"} | set(equivalence.CODES)
"""Codes of files that are not accepted, and of several wheels: test_malformed.py, test_wheel_archive.py and
test_equivalence.py plant those."""


@pytest.mark.parametrize("code", sorted(set(run.CODES) - MALFORMED))
def test_every_code_is_yielded_by_a_planted_violation(code):
    assert code in PLANTED, "plant a violation for it in planted.py"
    assert code in {finding.code for finding in run.run_checks(PLANTED[code]())}


def test_no_violation_is_planted_for_a_code_that_is_gone():
    assert set(PLANTED) | MALFORMED == set(run.CODES)


@pytest.mark.parametrize("code", sorted(PLANTED))
def test_every_finding_has_a_known_code_and_words(code):
    for finding in run.run_checks(PLANTED[code]()):
        assert finding.code in run.CODES
        assert finding.severity in {"error", "warning", "info"}
        assert finding.where
        assert finding.message
        assert "\n" not in finding.message


def test_sound_facts_give_no_finding():
    assert run.run_checks(make_facts()) == ()


def test_a_wheel_of_somebody_else_that_is_sound_gives_no_finding():
    assert run.run_checks(make_facts(plan=None)) == ()


def test_every_code_is_explained_once():
    assert all(run.CODES.values())
    assert len(run.CODES) == sum(len(module.CODES) for module in run.MODULES.values())


def test_errors_come_first_then_warnings_each_by_code_and_place(monkeypatch):
    order = [("A-error", "x"), ("A-error", "y"), ("B-error", "a"), ("A-warning", "x"), ("A-info", "x")]
    findings = [Finding(code=code, where=where, message="m") for code, where in order]
    checks = {"one": lambda _facts: iter(findings[::2][::-1]), "two": lambda _facts: iter(findings[1::2][::-1])}
    monkeypatch.setattr(run, "CHECKS", checks)
    policy = Policy(schema=1, severity={"*-error": "error", "*-warning": "warning", "*-info": "info"})
    found = run.run_checks(make_facts(), policy)
    assert [(finding.code, finding.where) for finding in found] == order
    assert [finding.severity for finding in found] == ["error", "error", "error", "warning", "info"]


def library_facts(**changes):
    return LibraryFacts(**{"elf": make_elf(), "code": make_code(), **changes})


def test_facts_keep_sound_libraries_and_names_damaged_ones():
    libraries = {
        "a.so": library_facts(marks=("openssl",)),
        "cut.so": library_facts(elf=None, code=None, damage="cut off"),
        "half.so": library_facts(damage="its section table cannot be read"),
        "arm.so": library_facts(elf=make_elf(machine="EM_AARCH64"), code=None),
    }
    policy = {"sym_tag": "manylinux_2_5_x86_64"}
    read = WheelFacts(wheel=make_wheel(), libraries=libraries, sources=None, policy=policy, locked=False)
    facts = facts_of(read)
    assert list(facts.libraries) == ["a.so", "half.so", "arm.so"]
    assert list(facts.code) == ["a.so", "half.so"]
    assert facts.damaged == {"cut.so": "cut off", "half.so": "its section table cannot be read"}
    assert facts.marks["a.so"] == ("openssl",)
    assert facts.policy == policy
    assert not facts.locked
    assert facts.plan is facts.evidence is facts.smoke is None


def test_every_code_has_a_severity_for_our_own_and_for_other_wheels():
    for code in run.CODES:
        explained = run.explain(code)
        assert {explained.own, explained.foreign} <= {"error", "warning", "info"}
        assert (explained.code, bool(explained.meaning)) == (code, True)


def test_the_policy_names_no_code_that_is_gone():
    for pattern in default_policy().severity:
        assert fnmatch.filter(run.CODES, pattern), pattern
