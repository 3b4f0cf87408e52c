"""A document as Markdown; names and texts of strangers become no markup, no link and no cell of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
    Table,
    Topic,
    spans,
)
from truewheel.text import clean

_MARKUP = re.compile(r"([\\`*~$\[\]|]|(?<![^\W_])_|_(?![^\W_]))")
"""An underscore between letters or figures is no markup, and names are full of them."""
_FENCE = re.compile(r"`+")
_OPENING = re.compile(r"\A[ ]*(?:(?P<digits>[0-9]+)(?=[.)])|(?=[-+=#>:]))")
"""What begins a heading, a list or a rule where it begins a block."""


def to_markdown(document: Document) -> str:
    """Return a document as Markdown; plots are left out."""
    return "\n".join(_drop_first_gap(_document(document, 1))) + "\n"


def escape(text: str) -> str:
    """Return a text as prose without markup."""
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An address in plain text would become a link.
    return _MARKUP.sub(r"\\\1", plain).replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def quote(text: str) -> str:
    """Return a text as code, for a cell of a table or elsewhere."""
    plain = clean(text)
    if "|" in plain:
        # A bar ends a cell even inside code, and outside of tables its backslash would be shown.
        return escape(plain)
    fence = "`" * (1 + max(map(len, _FENCE.findall(plain)), default=0))
    room = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{room}{plain}{room}{fence}" if plain.strip() else "-"


def _document(document: Document, level: int) -> Iterator[str]:
    if document.title:
        yield from ("", f"{'#' * level} {escape(document.title)}")
    if document.verdict is not None:
        yield from ("", f"**{escape(document.verdict.text)}**, {escape(document.reason)}.")
    for block in document.blocks:
        yield from _block(block, level + 1)


def _block(block: Block, level: int) -> Iterator[str]:
    """Yield the lines of a block after an empty line."""
    if isinstance(block, Section):
        inner = [line for each in block.blocks for line in _block(each, level + 1)]
        tag = f" ({escape(block.tag)})" if block.tag else ""
        yield from ("", f"{'#' * level} {escape(block.title)}{tag}", *inner) if inner else ()
    elif isinstance(block, Paragraph):
        yield from ("", _opening(_inline(block.text)))
    elif isinstance(block, Fields):
        yield from ("", *(f"- {_opening(escape(label))}: {_inline(text)}" for label, text in block.rows))
    elif isinstance(block, Items):
        yield from ("", *(f"- {_opening(_inline(item))}" for item in block.items))
    elif isinstance(block, Topic):
        yield from _topic(block)
    elif isinstance(block, Table):
        yield from ("", *_table(block))
    elif isinstance(block, Printed):
        fence = "`" * (3 + max(map(len, _FENCE.findall(block.text)), default=0))
        yield from ("", f"{fence}text", *(clean(line) for line in block.text.splitlines()), fence)
    elif isinstance(block, Document):
        yield from _document(block, level)
    elif isinstance(block, Plot):
        return


def _topic(topic: Topic) -> Iterator[str]:
    text = _inline(topic.text)
    yield from ("", f"**{escape(topic.name)}**: {text}" if text else f"**{escape(topic.name)}**")
    if topic.items:
        yield from ("", *(f"- {_opening(_inline(item))}" for item in topic.items))
    if topic.left_out:
        yield f"- … and {topic.left_out} more"
    for note in topic.notes:
        yield from ("", _opening(escape(note)))


def _table(table: Table) -> Iterator[str]:
    """Yield a table; a row of one cell stands out, and a short row is filled with empty cells."""
    rule = ["---:" if number in table.numeric else "---" for number in range(len(table.headings))]
    yield _row([escape(heading) for heading in table.headings])
    yield _row(rule)
    for row in table.rows:
        cells = [_inline(cell) for cell in row]
        cells = [f"**{cells[0]}**"] if len(cells) == 1 < len(rule) else cells
        yield _row(cells + [""] * (len(rule) - len(cells)))


def _opening(text: str) -> str:
    """Return the text of a block so that it begins no block of another kind."""
    return _OPENING.sub(lambda match: f"{match['digits'] or ''}\\", text, count=1)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _inline(text: Inline) -> str:
    return "".join(
        quote(part.text)
        if part.style == "code"
        else f"**{escape(part.text)}**"
        if part.style == "strong"
        else escape(part.text)
        for part in spans(text)
    )


def _drop_first_gap(lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, "")
    if first:
        yield first
    yield from lines
