"""The account as a page: whole in itself, and whatever is in a wheel stays text."""

import re
from html.parser import HTMLParser

import msgspec
import pytest
from factories import (
    DIST_INFO,
    LIBRARY,
    ended,
    judge_smoke,
    make_code,
    make_elf,
    make_facts,
    make_kernel,
    make_stored_report,
    smoke_events,
)

from truewheel.checks.finding import Finding
from truewheel.checks.run import CODES, run_checks
from truewheel.child.system_info import SystemInfo
from truewheel.pages import html
from truewheel.pages.wheel import describe_wheels
from truewheel.pages.wheel_sections import find_ladder
from truewheel.report import make_report, report_of_malformed

VOID = {"meta", "rect"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "\u202egnp.exe\x1b[2J",
]


class Page(HTMLParser):
    """Collects elements, attributes and text, and sees that every element is closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def to_html(reports):
    return html.to_html(describe_wheels(reports))


def finding(severity="error", code="LINK-MISSING", **changes):
    words = {"where": LIBRARY, "message": "needs libgomp.so.1", "hint": "graft it", **changes}
    return Finding(code=code, severity=severity, **words)


def foreign(*kernels, findings=(), **changes):
    facts = make_facts(plan=None, **{"code": {LIBRARY: make_code(kernels=kernels)}, **changes})
    return make_stored_report(findings, facts)


def rungs(report):
    return [(level.text, level.style, marks) for level, marks, _ in find_ladder(report)]


def test_a_page_asks_for_nothing():
    text = to_html([make_stored_report([finding(message="see https://example.org/x.js")])])
    page = Page(text)
    assert text.startswith("<!doctype html>")
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(page.elements)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "style")]
    assert "url(" not in text
    assert "@import" not in text
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")


def test_a_page_fits_a_phone_and_both_schemes():
    text = to_html([make_stored_report()])
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<table") == len(re.findall(r'<div class="box"[^>]*><table', text)) > 0


def test_a_page_shows_verdict_findings_and_identity():
    report = make_stored_report([finding(), finding("warning", "HARD-CET"), finding("info", "ISA-TZCNT")])
    text = Page(to_html([report])).text
    assert report.wheel in text
    assert report.sha256 in text
    assert report.digest in text
    assert "because of LINK-MISSING; 1 warning besides" in text
    assert all(CODES[code] in text for code in ("LINK-MISSING", "HARD-CET", "ISA-TZCNT"))
    assert "If you did not make it" not in text
    assert "Not checked" in text


def test_errors_are_unfolded_and_the_rest_is_folded():
    text = to_html([make_stored_report([finding(), finding("warning", "HARD-CET"), finding("info", "ISA-TZCNT")])])
    folded = re.findall(r"<details( open)?[^>]*>\s*<summary><strong class=\"(\w+)\">", text)
    assert folded == [(" open", "bad"), ("", "warn"), ("", "quiet")]


def test_the_ladder_marks_what_is_needed_and_what_is_claimed():
    assert rungs(foreign(make_kernel("a", "avx2"))) == [
        ("x86-64", "strong", "claimed"),
        ("x86-64-v2", "strong", "-"),
        ("x86-64-v3", "bad", "needed, not claimed"),
        ("x86-64-v4", "quiet", "-"),
    ]
    assert rungs(make_stored_report()) == [
        ("x86-64", "strong", "-"),
        ("x86-64-v2", "strong", "-"),
        ("x86-64-v3", "strong", "needed, claimed"),
        ("x86-64-v4", "quiet", "-"),
    ]


def test_the_ladder_counts_functions_by_feature():
    report = foreign(make_kernel("a", "avx2", "aes"), make_kernel("b", "avx2", "sse4_1"))
    assert [features for *_, features in find_ladder(report)] == ["-", "sse4_1 1", "avx2 2", "-"]
    assert "Besides, in no level: aes 1" in Page(to_html([report])).text


def test_cpus_are_named_with_those_that_lack_something():
    page = Page(to_html([foreign(make_kernel("a", "avx512f"))])).text
    assert "Intel Skylake-X 2017 yes" in page
    assert "Intel Alder Lake 2021 no" in page


def test_rules_that_let_code_through_are_named():
    page = Page(to_html([foreign(make_kernel("dot", "avx2", standing="guarded"))])).text
    assert "cpuid-guarded 1 x86-64-v3 reached only through" in page


def test_libraries_and_space_are_shown():
    page = Page(to_html([foreign(make_kernel("a", "avx2"))])).text
    assert f"{LIBRARY} " in page
    assert f"{DIST_INFO}/METADATA" in page
    assert "metadata" in page


def test_a_malformed_file_has_no_facts(tmp_path):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")
    page = Page(to_html([report_of_malformed(path, (finding(code="ARCHIVE-UNREADABLE"),))])).text
    assert "Do not install it" in page
    assert "The file size 10 bytes" in page
    assert "The level that its code needs" not in page


def test_a_wheel_without_machine_code_has_no_ladder():
    report = foreign(libraries={}, code={})
    assert find_ladder(report) == []
    assert not {"The level that its code needs", "CPUs"} & set(Page(to_html([report])).words)


def test_a_failed_smoke_test_is_shown_with_what_it_printed():
    facts = make_facts(smoke=judge_smoke("tiny", smoke_events(until=3), ended(-11, "one\n<b>two")))
    text = to_html([make_report(facts, run_checks(facts), {})])
    assert "<pre>one\n&lt;b&gt;two\n</pre>" in text
    assert "It ended at tokenize: segmentation fault." in text


def test_several_wheels_share_a_page_and_a_table_leads_to_each():
    reports = [make_stored_report(), foreign(make_kernel("a", "avx2"), findings=[finding()])]
    page = Page(to_html(reports))
    targets = [value for _, name, value in page.attributes if name == "href"]
    assert targets == ["#wheel-1", "#wheel-2"]
    assert [value for _, name, value in page.attributes if name == "id"] == ["wheel-1", "wheel-2"]
    assert "Account of 2 wheels" in page.text
    assert "Account of 0 wheels" in Page(to_html([])).text


def test_many_places_are_cut_short():
    text = to_html([make_stored_report([finding(where=f"lib{number}.so") for number in range(150)])])
    assert text.count("<li><code>lib") == 50
    assert "… and 100 more" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_stay_text(name):
    path = f"toy/{name}.so"
    kernels = (make_kernel(name, "avx2"), make_kernel(f"{name}2", "avx512f", standing="guarded"))
    facts = make_facts(
        plan=None,
        libraries={path: make_elf(needed=(name,))},
        code={path: make_code(kernels=kernels)},
        told=(SystemInfo(library=path, text=name), SystemInfo(library=path, failure=name)),
        smoke=judge_smoke(name, smoke_events(until=3), ended(-11, name)),
        policy={"sym_tag": name},
    )
    findings = [finding(severity, where=path, message=name, hint=name) for severity in ("error", "warning", "info")]
    report = msgspec.structs.replace(make_stored_report(findings, facts), wheel=f"{name}.whl")
    harmless = make_facts(
        plan=None,
        libraries={"toy/x.so": make_elf(needed=("x",))},
        code={"toy/x.so": make_code(kernels=kernels)},
        told=(SystemInfo(library="x", text="x"), SystemInfo(library="x", failure="x")),
        smoke=judge_smoke("x", smoke_events(until=3), ended(-11, "x")),
        policy={"sym_tag": "x"},
    )
    plain = make_stored_report([finding(severity) for severity in ("error", "warning", "info")], harmless)
    for reports, others in (([report], [plain]), ([report, report], [plain, plain])):
        text = to_html(reports)
        page, other = Page(text), Page(to_html(others))
        assert page.elements == other.elements
        assert [row[:2] for row in page.attributes] == [row[:2] for row in other.attributes]
        assert "\u202e" not in text
        assert "\x1b" not in text
        if name.isprintable():
            assert name in "".join(page.words)
