"""What an account says, as values: `terminal.py`, `markdown.py` and `html.py` write them.

Texts in a document are plain, and may come from strangers: each writer makes them harmless in its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from truewheel.pages.plot import PointChart, RowChart

Style = Literal["", "code", "strong", "good", "bad", "warn", "quiet"]


class Span(NamedTuple):
    """Words with a style, and where they lead within the document."""

    text: str
    style: Style = ""
    link: str = ""


class Share(NamedTuple):
    """A percentage, which may be drawn as a bar."""

    percent: float


Inline: TypeAlias = "str | Span | Share | tuple[str | Span, ...]"
"""A line of text."""


class Paragraph(NamedTuple):
    """One paragraph; on a terminal of at most so many lines, where that is given."""

    text: Inline
    most: int | None = None


class Fields(NamedTuple):
    """Labels with what stands behind them; on a terminal each of at most so many lines."""

    rows: tuple[tuple[str, Inline], ...]
    most: int | None = None


class Items(NamedTuple):
    """A list."""

    items: tuple[Inline, ...]


class Topic(NamedTuple):
    """A name that is explained, with the places that it is about.

    Attributes:
        name: a code, say.
        text: what it means.
        items: places.
        style: of the name.
        left_out: how many further places there are.
        notes: what is to be said after the places.
        folded: whether a page shows the name alone at first.
        most: lines of the text, and of each place, on a terminal.
    """

    name: str
    text: Inline
    items: tuple[Inline, ...] = ()
    style: Style = "strong"
    left_out: int = 0
    notes: tuple[str, ...] = ()
    folded: bool = False
    most: int | None = None


class Table(NamedTuple):
    """Headings and rows.

    Attributes:
        headings: of the columns.
        rows: their cells. In a row with fewer cells than there are headings, the last cell takes all columns that are
            left; a row of one cell is a heading of the rows below it.
        numeric: columns that are figures, and stand to the right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Inline, ...], ...]
    numeric: frozenset[int] = frozenset()


class Printed(NamedTuple):
    """What a program printed, line by line."""

    text: str


class Plot(NamedTuple):
    """A drawing with its caption, and its figures as a table.

    Attributes:
        name: identifies it within the document.
        title: what it shows.
        chart: what is drawn; None where there is nothing to draw.
        words: what a screen reader says of it, after the title.
        caption: how it is read, or why it is not there.
        table: its figures.
    """

    name: str
    title: str
    chart: RowChart | PointChart | None
    words: str
    caption: str
    table: Table


class Section(NamedTuple):
    """Blocks under a heading.

    Attributes:
        title: the heading.
        blocks: what stands under it.
        tag: a word beside the heading.
        folded: whether a page shows the heading alone at first.
    """

    title: str
    blocks: tuple[Block, ...]
    tag: str = ""
    folded: bool = False


class Document(NamedTuple):
    """One account.

    Attributes:
        title: what it is about; empty where the first block says it.
        blocks: what it says; documents among them are accounts of their own.
        verdict: what it comes to, if it comes to one word.
        reason: of the verdict.
        name: where links to it lead; empty where nothing does.
        footer: the last line of a page.
    """

    title: str
    blocks: tuple[Block, ...]
    verdict: Span | None = None
    reason: str = ""
    name: str = ""
    footer: str = ""


Block: TypeAlias = "Paragraph | Fields | Items | Topic | Table | Printed | Plot | Section | Document"


def plain(text: Inline) -> str:
    """Return the words without style."""
    if isinstance(text, str):
        return text
    if isinstance(text, Span):
        return text.text
    if isinstance(text, Share):
        return f"{text.percent:.1f} %"
    return "".join(part if isinstance(part, str) else part.text for part in text)


def spans(text: Inline) -> tuple[Span, ...]:
    """Return the words as parts of one style each."""
    if isinstance(text, tuple) and not isinstance(text, Span | Share):
        return tuple(Span(part) if isinstance(part, str) else part for part in text)
    return (text if isinstance(text, Span) else Span(plain(text)),)


def verdict_of(word: str) -> Span:
    """Return the verdict on a wheel in its style."""
    styles: dict[str, Style] = {"passed": "good", "unproven": "quiet"}
    return Span(word, styles.get(word, "bad"))


def in_code(texts: tuple[str, ...], empty: str = "-") -> Inline:
    """Return texts as code, with commas between them."""
    parts: list[str | Span] = []
    for text in texts:
        parts += [", ", Span(text, "code")] if parts else [Span(text, "code")]
    return tuple(parts) or empty
