"""Gathering facts and running every check."""

import json
import sys

import pytest
from elf_builder import build_elf, isa_note
from factories import DIST_INFO, LIBRARY, make_facts, wheel_members
from planted import PLANTED

from truewheel.checks import run
from truewheel.checks.finding import Finding
from truewheel.process import Completed
from truewheel.wheel.archive import Member, read_wheel
from truewheel.wheel.writer import write_wheel


@pytest.mark.parametrize("code", sorted(run.CODES))
def test_every_code_is_yielded_by_a_planted_violation(code):
    assert code in PLANTED, "plant a violation for it in planted.py"
    assert code in {finding.code for finding in run.run_checks(PLANTED[code]())}


def test_no_violation_is_planted_for_a_code_that_is_gone():
    assert set(PLANTED) == set(run.CODES)


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
    assert len(run.CODES) == sum(len(sys.modules[check.__module__].CODES) for check in run.CHECKS.values())


def test_errors_come_first_then_warnings_each_by_code_and_place(monkeypatch):
    order = [
        ("error", "A", "x"),
        ("error", "A", "y"),
        ("error", "B", "a"),
        ("warning", "A", "x"),
        ("info", "A", "x"),
    ]
    findings = [Finding(code=code, severity=severity, where=where, message="m") for severity, code, where in order]
    checks = {"one": lambda _facts: iter(findings[::2][::-1]), "two": lambda _facts: iter(findings[1::2][::-1])}
    monkeypatch.setattr(run, "CHECKS", checks)
    assert list(run.run_checks(make_facts())) == findings


@pytest.fixture
def wheel(tmp_path):
    members = wheel_members(
        **{LIBRARY: Member(build_elf(needed=("libc.so.6",), note=isa_note(4))), "toy_engine/cut.so": Member(b"\x7fELF")}
    )
    path = tmp_path / "toy_engine-1.2.3-py3-none-any.whl"
    write_wheel(path, members, DIST_INFO)
    return read_wheel(path)


def test_gather_reads_sound_libraries_and_names_damaged_ones(wheel, monkeypatch):
    monkeypatch.setattr(run, "audit_policy", lambda _path: {"sym_tag": "manylinux_2_5_x86_64"})
    facts = run.gather(wheel)
    assert facts.libraries[LIBRARY].isa_level == "x86-64-v3"
    assert list(facts.damaged) == ["toy_engine/cut.so"]
    assert facts.policy == {"sym_tag": "manylinux_2_5_x86_64"}
    assert facts.plan is facts.evidence is facts.smoke is None


@pytest.mark.parametrize(
    ("returncode", "output", "expected"),
    [
        (0, 'INFO: something\n{"sym_tag": "linux_x86_64"}\n', {"sym_tag": "linux_x86_64"}),
        (0, json.dumps({"wheel": "x"}), {"wheel": "x"}),
        (1, '{"sym_tag": "linux_x86_64"}', None),
        (0, "no wheel with libraries", None),
        (0, "{cut off", None),
        (127, "", None),
    ],
)
def test_audit_policy_takes_json_and_nothing_else(tmp_path, monkeypatch, returncode, output, expected):
    monkeypatch.setattr(run.shutil, "which", lambda _name: "/usr/bin/auditwheel")
    monkeypatch.setattr(
        run.process, "run", lambda *_, **__: Completed("", returncode, output, timed_out=False, seconds=0)
    )
    assert run.audit_policy(tmp_path / "x.whl") == expected


def test_audit_policy_is_none_without_auditwheel(tmp_path, monkeypatch):
    monkeypatch.setattr(run.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(run.shutil, "which", lambda _name: None)
    assert run.audit_policy(tmp_path / "x.whl") is None
