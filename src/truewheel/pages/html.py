"""A document as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from xml.etree.ElementTree import Element

from truewheel import __version__
from truewheel.pages.document import (
    Block,
    Document,
    Fields,
    Inline,
    Items,
    Paragraph,
    Plot,
    Printed,
    Section,
    Share,
    Table,
    Topic,
    plain,
    spans,
)
from truewheel.pages.markup import element, printed, style_sheet, write
from truewheel.pages.svg import DARK, LIGHT, draw
from truewheel.text import number_words

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_LOWEST = 6


def to_html(document: Document) -> str:
    """Return a document as a page."""
    verdict = f"{document.verdict.text}: " if document.verdict else ""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{verdict}{document.title}"),
    )
    style_sheet(head, _rules())
    footer = element("footer", f"Made by truewheel {__version__}. {document.footer}".strip())
    body = element("body", element("main", *_document(document, 1), footer))
    return f"<!doctype html>\n{write(element('html', head, body, lang='en'))}\n"


@functools.cache
def _rules() -> str:
    rules = resources.files("truewheel.pages").joinpath("page.css").read_text(encoding="utf-8")
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}"
    return f"\n:root {{ {LIGHT} }}\n{dark}\n{rules}"


def _document(document: Document, level: int) -> Iterator[Element]:
    verdict, title = document.verdict, element(f"h{level}", document.title) if document.title else None
    if verdict is not None:
        word, reason = element("strong", verdict.text), element("p", document.reason)
        yield element("div", word, title, reason, class_=f"verdict {verdict.style}")
    elif title is not None:
        yield title
    for block in document.blocks:
        yield _block(block, level + 1)


def _block(block: Block, level: int) -> Element:
    if isinstance(block, Section):
        return _section(block, level)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Plot):
        return _plot(block)
    if isinstance(block, Topic):
        return _topic(block)
    if isinstance(block, Document):
        return element("article", *_document(block, level), id=block.name or None)
    return _simple(block)


def _simple(block: Paragraph | Fields | Items | Printed) -> Element:
    if isinstance(block, Paragraph):
        return element("p", *_inline(block.text))
    if isinstance(block, Items):
        return element("ul", *(element("li", *_inline(item)) for item in block.items))
    if isinstance(block, Printed):
        return printed("pre", block.text)
    pairs = ((element("dt", label), element("dd", *_inline(text))) for label, text in block.rows)
    return element("dl", *(each for pair in pairs for each in pair))


def _section(section: Section, level: int) -> Element:
    """Return a section with its plots beside each other at its end."""
    inner = [_block(block, level + 1) for block in section.blocks]
    tag = element("span", section.tag, class_="tag") if section.tag else None
    if section.folded:
        return element("details", element("summary", section.title, tag), *inner)
    plots = [each for each in inner if each.tag == "figure"]
    title = element(f"h{min(level, _LOWEST)}", section.title, " " if section.tag else None, tag)
    side = element("div", *plots, class_="plots") if plots else None
    return element("section", title, *(each for each in inner if each.tag != "figure"), side)


def _topic(topic: Topic) -> Element:
    text, name = list(_inline(topic.text)), element("strong", topic.name, class_=topic.style)
    notes = [element("p", note) for note in topic.notes]
    if not topic.items:
        return element("div", element("p", name, ": " if text else None, *text), *notes)
    count = element("span", number_words(len(topic.items) + topic.left_out, "place"), class_="quiet")
    items = [element("li", *_inline(item)) for item in topic.items]
    items += [element("li", f"… and {topic.left_out} more")] if topic.left_out else []
    summary, unfolded = element("summary", name, " ", count), None if topic.folded else ""
    return element("details", summary, element("p", *text), element("ul", *items), *notes, open=unfolded)


def _table(table: Table) -> Element:
    """Return a table in a box of its own, which scrolls; on a phone its cells stand below each other.

    A style that lays cells out otherwise takes their roles from them, which is why each says its own.
    """
    heads = (
        element("th", heading, role="columnheader", scope="col", class_=_kind(number, table))
        for number, heading in enumerate(table.headings)
    )
    rows = (
        element("tr", *_cells(row, table), role="row", class_="group" if len(row) == 1 < len(table.headings) else None)
        for row in table.rows
    )
    head = element("thead", element("tr", *heads, role="row"), role="rowgroup")
    made = element("table", head, element("tbody", *rows, role="rowgroup"), role="table")
    label = f"Table: {', '.join(table.headings)}"
    return element("div", made, class_="box", tabindex=0, role="region", aria_label=label)


def _cells(row: tuple[Inline, ...], table: Table) -> Iterator[Element]:
    rest = len(table.headings) - len(row) + 1
    for number, cell in enumerate(row):
        span = rest if number == len(row) - 1 and rest > 1 else None
        kind = _kind(number, table) if span is None else "whole"
        if number == 0:
            yield element("th", *_inline(cell), role="rowheader", scope="row", class_=kind, colspan=span)
        else:
            label, inner = table.headings[number] if span is None else None, element("span", *_inline(cell))
            yield element("td", inner, role="cell", data_label=label, class_=kind, colspan=span)


def _kind(number: int, table: Table) -> str | None:
    return "number" if number in table.numeric else None


def _plot(plot: Plot) -> Element:
    if plot.chart is None:
        return element("p", plot.caption, class_="quiet")
    return element(
        "figure",
        element("figcaption", element("strong", plot.title), " ", plot.caption),
        draw(plot.chart, plot.name, plot.title, plot.words),
        element("details", element("summary", "The figures of this plot"), _table(plot.table)),
    )


def _inline(text: Inline) -> Iterator[Element | str]:
    if isinstance(text, Share):
        bars = (element("rect", width=width, height=4) for width in (100, text.percent))
        yield plain(text)
        yield element("svg", *bars, class_="bar", viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true")
        return
    for span in spans(text):
        made: Element | str = span.text
        if span.style in ("code", "strong"):
            made = element(span.style, made)
        elif span.style:
            made = element("span", made, class_=span.style)
        yield element("a", made, href=f"#{span.link}") if span.link else made
