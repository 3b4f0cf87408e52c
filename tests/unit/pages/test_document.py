"""The three writers: whatever texts stand in a document, they stay texts."""

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from truewheel.measure.result import Interval
from truewheel.pages.document import (
    Document,
    Fields,
    Items,
    Paragraph,
    Plot,
    Printed,
    Section,
    Share,
    Span,
    Table,
    Topic,
    in_code,
    plain,
    spans,
)
from truewheel.pages.html import to_html
from truewheel.pages.markdown import to_markdown
from truewheel.pages.plot import ratio_chart
from truewheel.pages.terminal import NARROW, to_lines

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg></style>]]>--><b>",
    "[text](https://example.org) ![image](x) www.example.org",
    "| pipes | `code` |",
    "**bold** __bold__ ~~gone~~ $x$",
    "one\ntwo\n\n# three\n- four",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\x1b[2J\x00\x9b31m",
    "日本語 🦙 \ud800",
    "trailing \\",
]


def everything(text, name="toy"):
    """Return a document in which a text stands wherever one can."""
    table = Table(
        ("label", "what", text),
        (("row", text, Span(text, "code")), (text, text), (text,), ("", (text, Span(text, "strong")))),
        frozenset({1}),
    )
    chart = ratio_chart({text: [(text, Interval(1.1, 1.0, 1.2)), ("other", Interval(0.5, 0.5, 0.5))]})
    blocks = (
        Paragraph((text, Span(text, "code"), Span(text, "good", name))),
        Fields(((text, text), ("another", Span(text, "code")))),
        Fields(()),
        Items((text, (Span(text, "strong"), text))),
        Topic("CODE", text, (text, (Span(text, "code"), text)), "bad", 3, (text,), folded=True),
        Topic(text, text, notes=(text,)),
        table,
        Plot("plot", text, chart, text, text, table),
        Plot("none", text, None, text, text, table),
        Section(text, (Paragraph(text), Section(text, (Printed(text.replace("\n", " ")),), folded=True)), text),
    )
    part = Document(text, (Paragraph(text),), Span(text, "bad"), text, name)
    return Document(text, (*blocks, part), footer=text)


class Page(HTMLParser):
    """Collects elements with the names of their attributes, and sees that each is closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, [name for name, _ in attrs]))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def kinds(text):
    """Return the elements of Markdown as a reader renders it, and those within its lines."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    leaves = [leaf.type for token in tokens if token.type == "inline" for leaf in token.children]
    return [token.type for token in tokens], set(leaves)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_no_markup_on_a_page(text):
    page, harmless = (to_html(everything(each)) for each in (text, "x"))
    assert Page(page).elements == Page(harmless).elements
    page.encode("utf-8")
    assert all(letter not in page for letter in "\u202e\x1b\x00\x9b")
    if text.isprintable():
        assert text in Page(page).words


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_no_markup_in_markdown(text):
    found, leaves = kinds(to_markdown(everything(text)))
    assert found == kinds(to_markdown(everything("x")))[0]
    assert leaves <= {"text", "text_special", "code_inline", "strong_open", "strong_close", "softbreak"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_steers_no_terminal(text):
    assert all(line.isprintable() for line in to_lines(everything(text)))


def test_what_is_not_escaped_would_be_seen():
    page = to_html(everything("x"))
    planted = page.replace("<p>x</p>", "<p><b>x</b></p>", 1)
    assert Page(planted).elements != Page(page).elements
    assert kinds("- **a**\n")[0] != kinds("a\n")[0]


def test_a_page_asks_for_nothing():
    page = to_html(everything("see https://example.org/x.js"))
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in Page(page).elements}
    names = {name for _, attributes in Page(page).elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "srcset", "style", "xmlns")}
    assert "url(" not in page
    assert "@import" not in page
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))


def test_a_table_fits_and_its_short_rows_take_what_is_left():
    table = Table(
        ("name", "size", "why"),
        (("group",), ("n" * 60, "1", "word " * 20), ("a", "22", "short"), ("b", "not known: " + "word " * 30)),
        frozenset({1}),
    )
    lines = to_lines(Document("", (table,)), NARROW)
    assert max(map(len, lines)) <= NARROW
    assert lines[0].split() == ["name", "size", "why"]
    assert lines[1] == "group"
    assert "…" in lines[2]
    assert next(line for line in lines if " 22 " in line).split() == ["a", "22", "short"]
    assert '<td role="cell" class="whole" colspan="2">' in to_html(Document("", (table,)))
    assert "| **group** |  |  |\n" in to_markdown(Document("", (table,)))


def test_a_name_is_never_broken():
    name = "toy_engine-1.2.3-" + "x" * 100 + ".whl"
    table = Table(("verdict", "wheel"), (("passed", Span(name, "code")),))
    assert to_lines(Document("", (table, Paragraph(name))), NARROW)[1:] == [f"passed   {name}", "", name]


def test_an_empty_section_is_left_out():
    document = Document("title", (Section("nothing", ()), Section("plots", (everything("x").blocks[7],))))
    assert to_lines(document) == ["title"]
    assert to_markdown(document) == "# title\n"


def test_words_and_their_parts():
    assert plain(("a ", Span("b", "code"))) == "a b"
    assert plain(Share(12.34)) == "12.3 %"
    assert spans("a") == spans(("a",)) == (Span("a"),)
    assert plain(in_code(("a", "b"))) == "a, b"
    assert in_code(()) == "-"


def test_styles_stand_around_whole_words_and_change_no_column():
    document = everything("x")
    painted = to_lines(document, NARROW, lambda text, code: f"<{code}>{text}</>")
    assert "<1;31>x</>: x" in painted
    assert any(line.startswith("<2>  label") for line in painted)
    assert [re.sub(r"<[0-9;]+>|</>", "", line) for line in painted] == to_lines(document, NARROW)
