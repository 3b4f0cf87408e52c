"""The account as Markdown, whatever the names in it are."""

import msgspec
import pytest
from factories import (
    LIBRARY,
    ended,
    judge_smoke,
    make_code,
    make_elf,
    make_facts,
    make_kernel,
    make_plan_of,
    make_source,
    make_stored_report,
    smoke_events,
)
from markdown_it import MarkdownIt

from truewheel.checks.finding import Finding
from truewheel.checks.run import CODES, run_checks
from truewheel.pages import markdown
from truewheel.pages.document import Document, Span, Table
from truewheel.pages.markdown import escape, quote
from truewheel.pages.wheel import describe_wheel, describe_wheels
from truewheel.report import make_report, report_of_malformed

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b|c",
    "`code` ``more`",
    "one\ntwo\n\n# three",
    "[text](https://example.org)",
    "![image](x)",
    "**bold** __bold__ ~~gone~~ $x$",
    "trailing \\",
    "&lt;b&gt; &#60;",
    "\u202egnp.exe",
]


def to_markdown(report):
    return markdown.to_markdown(describe_wheel(report))


def finding(severity="error", code="SIZE-LIMIT", **changes):
    words = {"where": "toy.whl", "message": "9.0 MiB, the recipe allows 4", "hint": "look at it", **changes}
    return Finding(code=code, severity=severity, **words)


def rendered(text):
    """Return the words of Markdown by kind of element, as a reader renders them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    leaves = [leaf for token in tokens if token.type == "inline" for leaf in token.children]
    return tokens, leaves


def headings(text):
    return [line for line in text.splitlines() if line.startswith("## ")]


def test_a_wheel_of_our_own_has_a_section_for_everything():
    plan = make_plan_of(source=make_source(commit={"llama.cpp": "0123456789"}))
    text = to_markdown(make_stored_report(facts=make_facts(plan)))
    assert headings(text) == [
        "## Claims against facts",
        "## The level that its code needs",
        "## CPUs",
        "## Findings",
        "## Libraries",
        "## Space",
        "## Smoke test on tiny",
        "## How it was built",
        "## Not checked",
        "## Identity",
    ]
    assert "- engine: toy-engine 1.2.3, llama.cpp `0123456789`" in text
    assert "\nNone.\n" in text
    assert "It passed." in text
    assert "It continued with ' there was'; smallest margin between the two best logits 0.2500." in text
    assert "| build | 1.2 |" in text


def test_somebody_elses_wheel_has_no_plan_and_names_rules():
    kernels = (make_kernel("dot", "avx2", standing="guarded"),)
    text = to_markdown(make_stored_report(facts=make_facts(plan=None, code={LIBRARY: make_code(kernels=kernels)})))
    assert "- plan:" not in text
    assert "## Chosen at run time" in text
    assert "| `cpuid-guarded` | 1 | x86-64-v3 | reached only through" in text
    assert "- it runs on: every x86-64 CPU" in text


def test_a_malformed_file_must_not_be_installed(tmp_path):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")
    text = to_markdown(report_of_malformed(path, (finding(code="ARCHIVE-UNREADABLE"),)))
    assert "**malformed**, because of ARCHIVE-UNREADABLE. Do not install it." in text
    assert headings(text) == [
        "## What to do",
        "## The file",
        "## Errors, which refuse the wheel",
        "## Not checked",
        "## Identity",
    ]


def test_each_code_is_explained_once_and_each_advice_given_once():
    text = to_markdown(make_stored_report([finding(where="a"), finding(where="b"), finding("info", "ISA-TZCNT")]))
    assert text.count(escape(CODES["SIZE-LIMIT"])) == text.count(escape(CODES["ISA-TZCNT"])) == 1
    assert text.count("**SIZE-LIMIT**: look at it") == 1


def test_many_places_of_one_code_are_cut_short():
    text = to_markdown(make_stored_report([finding(where=f"lib{number}.so") for number in range(80)]))
    assert text.count("- `lib") == 50
    assert "- … and 30 more\n" in text


def test_tables_survive_a_bar_and_a_new_line():
    table = Table(("where", "what"), ((Span("a|b", "code"), "one\ntwo | three"),))
    assert "| a\\|b | one two \\| three |" in markdown.to_markdown(Document("", (table,)))


def test_a_failed_smoke_test_is_shown_with_what_it_printed():
    smoke = judge_smoke("tiny", smoke_events(until=3), ended(-11, "a\nb\n```\n<b>Fatal Python error"))
    facts = make_facts(smoke=smoke)
    text = to_markdown(make_report(facts, run_checks(facts), {}))
    assert "It ended at tokenize: segmentation fault." in text
    assert "| tokenize | not reached | 0.00 |" in text
    assert "````text\na\nb\n```\n<b>Fatal Python error\n````" in text
    assert "It continued with" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_become_no_markup(name):
    path = f"toy/{name}.so"
    libraries = {path: make_elf(needed=(name,), isa_level="")}
    findings = [finding(severity, where=path, message=name, hint=name) for severity in ("error", "warning", "info")]
    report = make_stored_report(findings, make_facts(plan=None, libraries=libraries))
    plain_report = make_stored_report(
        [finding(severity, hint="x") for severity in ("error", "warning", "info")],
        make_facts(plan=None, libraries={"toy/plain.so": make_elf(isa_level="")}),
    )
    report = msgspec.structs.replace(report, wheel=name)
    plain_report = msgspec.structs.replace(plain_report, wheel="plain")
    for make in (to_markdown, lambda each: markdown.to_markdown(describe_wheels([each, each]))):
        tokens, leaves = rendered(make(report))
        plain, _ = rendered(make(plain_report))
        # The same headings, lists, tables and cells as with harmless names: nothing was added, nothing was split.
        assert [token.type for token in tokens] == [token.type for token in plain]
        assert {leaf.type for leaf in leaves} <= {"text", "code_inline", "strong_open", "strong_close", "text_special"}
    assert "\u202e" not in to_markdown(report)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()])
def test_a_reader_sees_the_very_letters(name):
    for write in (escape, quote):
        _, leaves = rendered(f"before {write(name)} after")
        assert "".join(leaf.content for leaf in leaves) == f"before {name} after"


def test_several_wheels_stand_below_one_table():
    reports = [make_stored_report(), make_stored_report([finding(), finding(code="LINK-RPATH")])]
    title, _, *lines = markdown.to_markdown(describe_wheels(reports)).splitlines()
    assert title == "# Account of 2 wheels"
    assert lines[0] == "| verdict | MiB | needs | errors | wheel |"
    assert lines[3] == f"| refused | 0.00 | x86-64-v3 | LINK-RPATH, SIZE-LIMIT | `{reports[1].wheel}` |"
    assert lines[4] == ""
    assert headings("\n".join(lines))[0] == f"## {reports[0].wheel}"
    assert markdown.to_markdown(describe_wheels([])).count("|\n") == 2
