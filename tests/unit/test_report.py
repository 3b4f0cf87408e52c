"""The report: its verdict, and what a person reads."""

import json
import re
from datetime import datetime

import msgspec
import pytest
from factories import LIBRARY, ended, make_facts, make_plan_of, make_source, make_stored_report, smoke_events
from planted import PLANTED

from truewheel.checks.finding import Finding
from truewheel.checks.run import CODES, run_checks
from truewheel.inference.smoke import judge
from truewheel.report import Report, make_report, to_dict, to_json, to_lines, to_markdown


def finding(severity="error", code="SIZE-LIMIT", **changes):
    words = {
        "where": "toy.whl",
        "message": "9.0 MiB, the recipe allows 4",
        "hint": "look at what is doubled",
        **changes,
    }
    return Finding(code=code, severity=severity, **words)


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
    assert report.passed is (verdict == "passed")
    assert len(report.errors) == severities.count("error")


def test_a_report_says_what_was_built_and_from_what():
    facts = make_facts(policy={"sym_tag": "manylinux_2_17_x86_64"})
    report = make_stored_report(facts=facts)
    assert (report.wheel, report.sha256, report.size) == (facts.wheel.path.name, facts.wheel.sha256, 1000)
    assert report.installed_size == sum(len(member.data) for member in facts.wheel.members.values())
    assert (report.digest, report.level, report.plan) == (facts.plan.digest, "x86-64-v3", facts.plan)
    assert report.symbols == "manylinux_2_17_x86_64"
    assert [(library.path, library.isa_level) for library in report.libraries] == [(LIBRARY, "x86-64-v3")]
    assert report.seconds == {"build": 1.23}
    assert datetime.fromisoformat(report.created).utcoffset().total_seconds() == 0


def test_a_report_of_somebody_elses_wheel():
    report = make_stored_report(facts=make_facts(plan=None))
    assert (report.digest, report.level, report.plan, report.smoke, report.symbols) == ("", "", None, None, "")
    assert "digest" not in "".join(to_lines(report))
    assert "- plan:" not in to_markdown(report)


@pytest.mark.parametrize("code", sorted(PLANTED))
def test_every_report_survives_being_stored(code):
    facts = PLANTED[code]()
    report = make_report(facts, run_checks(facts), {})
    assert not report.passed
    assert msgspec.json.decode(to_json(report), type=Report) == report
    assert json.loads(to_json(report)) == json.loads(json.dumps(to_dict(report)))
    assert code in to_markdown(report)
    assert any(code in line for line in to_lines(report))


def test_json_has_kebab_case_keys_and_ends_with_a_line():
    data = to_json(make_stored_report())
    assert data.endswith(b"}\n")
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in json.loads(data))


def test_lines_begin_with_the_verdict_and_show_findings_with_hints():
    lines = to_lines(make_stored_report([finding()]))
    assert lines[0].startswith("refused: toy_engine-1.2.3")
    assert "made for haswell, gcc 13.2.0, digest" in lines[2]
    assert "  smoke on tiny: passed" in lines
    assert lines[-2:] == [
        "  error: SIZE-LIMIT: toy.whl: 9.0 MiB, the recipe allows 4",
        "      look at what is doubled",
    ]


def test_a_finding_without_hint_takes_one_line():
    assert to_lines(make_stored_report([finding(hint="")]))[-1].startswith("  error: SIZE-LIMIT")


def test_markdown_has_a_section_for_everything():
    plan = make_plan_of(source=make_source(commit={"llama.cpp": "0123456789"}))
    text = to_markdown(make_stored_report(facts=make_facts(plan)))
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Findings",
        "## Libraries",
        "## Smoke test on tiny",
        "## Time",
    ]
    assert "- engine: toy-engine 1.2.3, llama.cpp `0123456789`" in text
    assert "\nNone.\n" in text
    assert "It passed." in text
    assert "It continued with ' there was'; smallest margin between the two best logits 0.2500." in text
    assert "| build | 1.2 |" in text


def test_markdown_explains_each_code_once():
    text = to_markdown(make_stored_report([finding(where="a"), finding(where="b"), finding("info", "LINK-NOTE")]))
    assert text.count(CODES["SIZE-LIMIT"]) == text.count(CODES["LINK-NOTE"]) == 1


def test_markdown_tables_survive_any_message():
    text = to_markdown(make_stored_report([finding(where="a|b", message="one\ntwo | three")]))
    assert "| SIZE-LIMIT | error | a\\|b | one two \\| three |" in text


def test_a_failed_smoke_test_is_shown_with_what_it_printed():
    smoke = judge("tiny", smoke_events(until=3), ended(-11, "a\nb\nFatal Python error"))
    facts = make_facts(smoke=smoke)
    text = to_markdown(make_report(facts, run_checks(facts), {}))
    assert "It ended at tokenize: segmentation fault." in text
    assert "| tokenize | not reached | 0.00 |" in text
    assert "```text\na\nb\nFatal Python error\n```" in text
    assert "It continued with" not in text
