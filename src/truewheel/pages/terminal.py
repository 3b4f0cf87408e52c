"""A document for a terminal: text that can be read without colour, in which no stranger's text steers the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from truewheel.pages.document import (
    Block,
    Document,
    Fields,
    Items,
    Paragraph,
    Plot,
    Printed,
    Section,
    Table,
    Topic,
    plain,
)
from truewheel.text import clean, cut

NARROW, WIDE = 80, 100
_LABEL = 12
_CELL = 34
_SHORTEST = 12
_BOLD, _DIM = "1", "2"
_COLOURS = {"good": "1;32", "bad": "1;31", "quiet": "1;34"}


def to_lines(
    document: Document, width: int = WIDE, paint: Callable[[str, str], str] = lambda text, _: text
) -> list[str]:
    """Return a document as lines; plots are left out, names of files are never broken.

    Args:
        document: any.
        width: columns.
        paint: puts an ANSI style around a text, where the terminal takes colour.
    """
    return _Writer(width, paint).document(document)


class _Writer:
    def __init__(self, width: int, paint: Callable[[str, str], str]) -> None:
        self._width, self._paint = width, paint

    def document(self, document: Document) -> list[str]:
        """Return the title, the verdict before it, and the blocks."""
        verdict, title = document.verdict, self._wrap("", "  ", document.title) if document.title else []
        lines = [self._paint(line, _BOLD) for line in title]
        if verdict is not None:
            word = self._paint(clean(verdict.text), _COLOURS.get(verdict.style, _BOLD))
            lines = [f"{word}: {clean(document.title)}", *self._wrap("  ", "  ", document.reason, 3)]
        before: Block | None = None
        for block in document.blocks:
            apart = not (isinstance(block, Paragraph | Topic) and type(before) is type(block))
            written = list(self._block(block, ""))
            lines += ["", *written] if lines and written and apart else written
            before = block
        return lines

    def _block(self, block: Block, indent: str) -> Iterable[str]:  # noqa: PLR0911 - one for each kind
        deeper = f"{indent}  "
        if isinstance(block, Section):
            tag = f" ({block.tag})" if block.tag else ""
            inner = [line for each in block.blocks for line in self._block(each, deeper)]
            title = self._paint(cut(clean(block.title + tag), self._width - len(indent)), _BOLD)
            return [f"{indent}{title}", *inner] if inner else []
        if isinstance(block, Paragraph):
            return self._wrap(indent, indent or "  ", plain(block.text), block.most)
        if isinstance(block, Fields):
            return self._fields(block, indent)
        if isinstance(block, Topic):
            return self._topic(block, indent)
        if isinstance(block, Items):
            return [line for item in block.items for line in self._wrap(f"{indent}- ", deeper, plain(item))]
        if isinstance(block, Table):
            return self._table(block, indent)
        if isinstance(block, Printed):
            return [f"{indent}{clean(line)}" for line in block.text.splitlines()]
        return () if isinstance(block, Plot) else ["", *self.document(block)]

    def _fields(self, fields: Fields, indent: str) -> Iterator[str]:
        label = max((_LABEL, *(len(name) + 1 for name, _ in fields.rows))) + 1
        for name, text in fields.rows:
            yield from self._wrap(
                f"{indent}{clean(name):<{label}}", " " * (len(indent) + label), plain(text), fields.most
            )

    def _topic(self, topic: Topic, indent: str) -> Iterator[str]:
        text, inner = plain(topic.text), f"{indent}    "
        yield from self._wrap(indent, inner, f"{topic.name}: {text}" if text else topic.name, topic.most)
        for item in topic.items:
            yield from self._wrap(f"{indent}  - ", inner, plain(item), topic.most)
        if topic.left_out:
            yield f"{indent}  - … and {topic.left_out} more"
        for note in topic.notes:
            yield from self._wrap(f"{indent}  ", inner, note)

    def _table(self, table: Table, indent: str) -> Iterator[str]:
        """Yield a table whose last column takes the room that is left, and goes on below where that is not enough."""
        count = len(table.headings)
        full = [[clean(plain(cell)) for cell in row] for row in (table.headings, *table.rows) if len(row) == count]
        grouped = any(len(row) == 1 for row in table.rows)
        inner = f"{indent}  " if grouped else indent
        names = [clean(plain(row[0])) for row in table.rows if 1 < len(row) < count]
        widths = self._widths(full, names, inner)
        below = f"{inner}  " if grouped else f"{inner}    "
        yield self._paint(self._line(full[0], widths, table.numeric, inner)[0], _DIM)
        for row in table.rows:
            cells = [clean(plain(cell)) for cell in row]
            if len(cells) == count:
                yield from self._line(cells, widths, table.numeric, inner)
            elif len(cells) == 1:
                yield from self._wrap(indent, inner, cells[0])
            else:
                first = "  ".join(
                    f"{cut(cell, width):<{width}}" for cell, width in zip(cells[:-1], widths, strict=False)
                )
                yield from self._wrap(f"{inner}{first}  " if first.strip() else below, below, cells[-1], 2)

    def _widths(self, rows: Sequence[Sequence[str]], names: Sequence[str], indent: str) -> list[int]:
        """Return the width of each column; the first gives way where all together have no room."""
        widths = [min(max(map(len, column)), _CELL) for column in zip(*rows, strict=True)]
        widths[-1] = max((len(row[-1]) for row in rows), default=0)
        room = self._width - len(indent) - sum(2 + width for width in widths[1:-1])
        room -= 2 + (widths[-1] if " " not in "".join(row[-1] for row in rows[1:]) else min(widths[-1], _SHORTEST))
        longest = max(map(len, (*names, *(row[0] for row in rows))))
        widths[0] = max(min(longest, room), min(longest, _SHORTEST))
        return widths

    def _line(self, row: Sequence[str], widths: Sequence[int], numeric: frozenset[int], indent: str) -> list[str]:
        *first, last = row
        cells = [
            f"{cut(cell, width):>{width}}" if number in numeric else f"{cut(cell, width):<{width}}"
            for number, (cell, width) in enumerate(zip(first, widths, strict=False))
        ]
        body = f"{indent}{'  '.join(cells)}"
        gap = "  " if first else ""
        end = f"{last:>{widths[-1]}}" if len(first) in numeric else last
        # A name of a file is never broken: it can be copied, and the terminal breaks it where it must.
        if len(body) + len(gap) + len(end) <= self._width or " " not in last:
            return [f"{body}{gap}{end}".rstrip()]
        room = self._width - len(body) - len(gap)
        if room >= self._width // 3:
            broken = textwrap.wrap(last, room, break_on_hyphens=False)
            return [f"{body}{gap}{broken[0]}", *(f"{'':{len(body)}}{gap}{line}" for line in broken[1:])]
        return [body.rstrip(), *self._wrap(f"{indent}    ", f"{indent}    ", last)]

    def _wrap(self, first: str, rest: str, text: str, most: int | None = None) -> list[str]:
        """Return a text in lines that fit, at most so many of them."""
        return textwrap.wrap(
            clean(text),
            self._width,
            initial_indent=first,
            subsequent_indent=rest,
            max_lines=most,
            placeholder=" …",
            break_on_hyphens=False,
            # One word alone is a name that may be copied.
            break_long_words=" " in text,
        ) or [first.rstrip()]
