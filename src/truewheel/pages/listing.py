"""What is in the wheelhouse, and which codes there are, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from truewheel.pages.document import Document, Fields, Paragraph, Span, Table, verdict_of
from truewheel.text import mib_words

if TYPE_CHECKING:
    from truewheel.checks.run import Explanation


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel of the wheelhouse.

    Attributes:
        path: where it is.
        name: of the file.
        verdict: of its report.
        size: bytes.
        level: x86-64 level; empty when it is not known.
        created: when its report was made, UTC.
        digest: of its plan.
        findings: the codes of its report.
    """

    path: str
    name: str
    verdict: str
    size: int
    level: str
    created: str
    digest: str
    findings: tuple[str, ...]


def describe_wheelhouse(wheels: Sequence[Listed]) -> Document:
    """Return the wheels as a table, their names last."""
    rows = tuple(
        (
            verdict_of(each.verdict),
            mib_words(each.size),
            each.level or "-",
            each.created[:16].replace("T", " "),
            Span(each.name, "code"),
        )
        for each in wheels
    )
    return Document("", (Table(("verdict", "MiB", "level", "checked", "wheel"), rows, frozenset({1})),))


def describe_codes(found: Sequence[Explanation]) -> Document:
    """Return what codes mean: of one everything, of several a table."""
    if len(found) > 1:
        rows = tuple((each.code, each.own, each.foreign, each.check) for each in found)
        return Document("", (Table(("code", "in ours", "in others", "check"), rows),))
    (each,) = found
    severity = each.own if each.own == each.foreign else f"{each.own} in our own wheels, {each.foreign} in others"
    return Document(each.code, (Fields((("severity", severity), ("check", each.check))), Paragraph(each.meaning)))
