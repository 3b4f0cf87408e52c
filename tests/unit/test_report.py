"""The report as data: its verdict, what it holds, and that it survives being stored."""

import hashlib
import json
import re
from datetime import datetime

import msgspec
import pytest
from factories import (
    LIBRARY,
    make_code,
    make_dispatch_plan,
    make_elf,
    make_facts,
    make_kernel,
    make_stored_report,
    make_wheel,
    wheel_members,
)
from planted import PLANTED

from truewheel.checks.archive import findings_of
from truewheel.checks.finding import Finding
from truewheel.checks.run import run_checks
from truewheel.child.smoke import unproven
from truewheel.child.system_info import SystemInfo
from truewheel.models.models import find_model
from truewheel.pages.html import to_html
from truewheel.pages.markdown import to_markdown
from truewheel.pages.terminal import to_lines
from truewheel.pages.wheel import describe_wheel
from truewheel.report import Report, make_report, report_of_malformed, to_json
from truewheel.wheel.archive import Member
from truewheel.wheel.container import Fault

UNPROVEN = Finding(code="SMOKE-UNPROVEN", severity="warning", where="model tiny", message="this CPU lacks avx512f")


def finding(severity):
    return Finding(code="SIZE-LIMIT", severity=severity, where="toy.whl", message="9.0 MiB, the recipe allows 4")


def unchecked(**changes):
    return make_report(make_facts(**changes), (), {}).unchecked


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ([], "passed"),
        (["info"], "passed"),
        (["warning", "info"], "passed"),
        (["error"], "refused"),
        (["info", "warning", "error"], "refused"),
    ],
)
def test_the_verdict_follows_from_the_findings_alone(severities, verdict):
    report = make_stored_report([finding(severity) for severity in severities])
    assert report.verdict == verdict
    assert report.passed is report.sound is (verdict == "passed")
    assert len(report.errors) == severities.count("error")


@pytest.mark.parametrize(
    ("severities", "verdict", "sound"),
    [([], "unproven", True), (["warning", "info"], "unproven", True), (["warning", "error"], "refused", False)],
)
def test_a_wheel_that_could_not_be_run_is_unproven_unless_something_speaks_against_it(severities, verdict, sound):
    report = make_stored_report([*(finding(severity) for severity in severities), UNPROVEN])
    assert (report.verdict, report.passed, report.sound) == (verdict, False, sound)
    assert msgspec.json.decode(to_json(report), type=Report) == report


def test_an_unproven_wheel_is_said_to_be_in_every_form():
    record = unproven(find_model("tiny"), "not provable here: this CPU lacks avx512f")
    facts = make_facts(smoke=record)
    report = make_report(facts, run_checks(facts), {})
    assert report.verdict == "unproven"
    lines = to_lines(describe_wheel(report, "brief"))
    assert "unproven" in lines[0]
    assert re.search(r"could( not)? be run", " ".join(lines[:2]))
    for text in ("\n".join(lines), to_markdown(describe_wheel(report)), to_html(describe_wheel(report))):
        assert "unproven" in text
        assert "SMOKE-UNPROVEN" in text
        assert "this CPU lacks avx512f" in text


def test_a_report_tells_the_backends_of_the_plan():
    facts = make_facts(make_dispatch_plan())
    report = make_report(facts, run_checks(facts), {})
    assert (report.verdict, report.level) == ("passed", "x86-64-v2")
    assert [backend.name for backend in report.plan.code.backends] == ["best", "good", "base"]
    assert {library.isa_level for library in report.libraries} == {"x86-64-v2"}
    assert msgspec.json.decode(to_json(report), type=Report) == report
    kernels = json.loads(to_json(report))["plan"]["code"]["kernels"]
    assert kernels["backends"][0]["library"] == "toy_engine/lib/libtoy-cpu-best.so"


def test_a_report_says_what_was_built_and_from_what():
    facts = make_facts(policy={"sym_tag": "manylinux_2_17_x86_64"})
    report = make_stored_report(facts=facts)
    assert (report.wheel, report.sha256, report.size) == (facts.wheel.path.name, facts.wheel.sha256, 1000)
    assert report.installed_size == sum(entry.size for entry in facts.wheel.entries.values())
    assert report.installed_size == sum(report.space.kinds.values())
    assert (report.digest, report.level, report.plan) == (facts.plan.digest, "x86-64-v3", facts.plan)
    assert report.symbols == "manylinux_2_17_x86_64"
    assert [(library.path, library.isa_level) for library in report.libraries] == [(LIBRARY, "x86-64-v3")]
    assert [(library.level, library.needs) for library in report.libraries] == [("x86-64-v3", ("avx", "avx2", "fma"))]
    assert report.seconds == {"build": 1.23}
    assert datetime.fromisoformat(report.created).utcoffset().total_seconds() == 0


def test_a_report_of_somebody_elses_wheel_has_the_level_that_its_code_needs():
    facts = make_facts(plan=None, code={LIBRARY: make_code(kernels=(make_kernel("crc", "sse4_2"),))})
    report = make_stored_report(facts=facts)
    assert (report.digest, report.plan, report.smoke, report.symbols) == ("", None, None, "")
    assert report.level == report.isa.level == "x86-64-v2"


def test_a_wheel_whose_code_was_not_read_has_no_level():
    report = make_stored_report(facts=make_facts(plan=None, code={}))
    assert report.level == ""
    assert [(library.level, library.needs) for library in report.libraries] == [("", ())]


def test_a_file_that_is_not_accepted_gets_a_report_of_what_is_wrong_with_it(tmp_path):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")
    findings = findings_of([Fault("ARCHIVE-UNREADABLE", "", "it has no end record")], path.name)
    report = report_of_malformed(path, findings)
    assert (report.verdict, report.passed, report.wheel, report.size) == ("malformed", False, path.name, 10)
    assert not report.sound
    assert report.sha256 == hashlib.sha256(b"no archive").hexdigest()
    assert (report.isa, report.space, report.libraries) == (None, None, ())
    assert [found.code for found in report.errors] == ["ARCHIVE-UNREADABLE"]
    assert "everything but the archive" in report.unchecked[0]
    assert msgspec.json.decode(to_json(report), type=Report) == report


def test_a_file_that_has_gone_gets_a_report_without_hash(tmp_path):
    report = report_of_malformed(tmp_path / "gone-1.0-py3-none-any.whl", (finding("error"),))
    assert (report.verdict, report.sha256, report.size) == ("malformed", "", 0)


@pytest.mark.parametrize("code", sorted(PLANTED))
def test_every_report_survives_being_stored(code):
    facts = PLANTED[code]()
    report = make_report(facts, run_checks(facts), {})
    assert msgspec.json.decode(to_json(report), type=Report) == report
    stored = json.loads(to_json(report))
    del stored["seal"]
    assert stored == json.loads(msgspec.json.encode(report))


@pytest.mark.parametrize("code", sorted(PLANTED))
def test_every_code_is_shown_in_every_form(code):
    facts = PLANTED[code]()
    report = make_report(facts, run_checks(facts), {})
    assert any(code in line for line in to_lines(describe_wheel(report, "brief")))
    assert any(code in line for line in to_lines(describe_wheel(report, "verbose")))
    assert code in to_markdown(describe_wheel(report))
    assert code in to_html(describe_wheel(report))


def test_json_ends_with_a_line_and_its_fields_are_in_kebab_case():
    data = to_json(make_stored_report([finding("error")]))
    assert data.endswith(b"}\n")
    table = json.loads(data)
    # Other keys inside are names: of features, of rules, of files.
    keys = [*table, *table["isa"], *table["space"], *table["findings"][0], *table["libraries"][0]]
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)


def test_what_was_looked_at_wholly_leaves_nothing_unchecked():
    assert unchecked(policy={"sym_tag": "linux_x86_64"}) == ()


def test_a_wheel_that_was_not_run_says_so():
    assert "no code of it was run" in unchecked(plan=None)
    told = (SystemInfo(library=LIBRARY, text="CPU : AVX = 1 | "),)
    assert "no inference was run" in unchecked(plan=None, told=told)


def test_code_for_another_machine_is_named():
    said = unchecked(libraries={LIBRARY: make_elf(machine="EM_AARCH64")}, code={}, policy={"sym_tag": "x"})
    assert len(said) == 1
    assert said[0].startswith("aarch64 code was not disassembled")


def test_libraries_for_other_systems_are_counted():
    facts = make_facts(wheel=make_wheel(members=wheel_members(**{"toy_engine/toy.dll": Member(b"MZ")})))
    entries = dict(facts.wheel.entries)
    entries["toy_engine/toy.dll"] = msgspec.structs.replace(entries["toy_engine/toy.dll"], kind="pe")
    facts = facts._replace(wheel=msgspec.structs.replace(facts.wheel, entries=entries))
    said = make_report(facts, (), {}).unchecked
    assert "1 libraries for Windows or macOS, e.g. toy_engine/toy.dll, were not looked into" in said


def test_auditwheels_silence_is_told():
    assert "auditwheel could not tell which platform tag its symbol versions allow" in unchecked(policy=None)
