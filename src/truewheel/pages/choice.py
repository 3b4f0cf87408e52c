"""What is picked and why, as a document."""

from __future__ import annotations

from collections.abc import Sequence

from truewheel.pages.document import Block, Document, Inline, Printed, Section, Span, Table, Topic
from truewheel.pick.candidate import Candidate, Picked


def describe_picks(picks: Sequence[Picked], target: str) -> Document:
    """Return what is picked of each project, why, why not the others, and how to install it.

    Args:
        picks: one a project.
        target: for which Python on which machine.
    """
    return Document(f"For {target}", tuple(map(_pick, picks)))


def _pick(picked: Picked) -> Section:
    best = picked.best
    rows = [*(_rows(best, "pick") if best is not None else ())]
    rows += [row for other in picked.others for row in _rows(other, "not")]
    blocks: list[Block] = [Table(("", "version", "level", "why"), tuple(rows))]
    if best is not None:
        blocks += [Topic("doubt", doubt, style="warn") for doubt in best.doubts]
        blocks.append(Printed(f"{picked.pip}\n{picked.uv}"))
    return Section(picked.project or "No wheels", tuple(blocks))


def _rows(candidate: Candidate, word: str) -> tuple[tuple[Inline, ...], ...]:
    """Return a wheel's row, and its whole name below."""
    marked = Span(word, "good") if word == "pick" else word
    return (
        (marked, candidate.version or "-", candidate.level or "-", candidate.reason),
        ("", Span(candidate.name, "code")),
    )
