"""A wheel that may be picked, and the pick."""

from __future__ import annotations

from pathlib import Path

import msgspec

QUESTIONS = ("name", "tags", "archive", "report", "python", "cpu")
"""What a wheel is asked, in this order: who fails a later question is a nearer miss."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One file and what was found out about it before it fell out.

    Attributes:
        path: where it is.
        name: file name, safe to show.
        project: normalized name; empty for what is no wheel.
        version: version text.
        build: build tag.
        profile: variant that it was built as; empty for a wheel that we did not build.
        backend: CPU backend that would be loaded here; empty where it has none to load.
        level: x86-64 level that it needs.
        fit: whether the target can run it.
        reason: why it is taken or not, in one sentence.
        failed: the question that it failed; empty while it failed none.
        uses: features of this CPU that its kernels use, the widest and youngest first.
        lacks: features that it needs and this CPU does not have.
        proven: verdict of the report beside it; empty without one.
        doubts: what is not known about it, in sentences.
        native: whether it was built for just the features of this CPU.
        dispatched: whether it has several backends to choose from.
        size: bytes; 0 when it was not read.
    """

    path: Path
    name: str
    project: str = ""
    version: str = ""
    build: str = ""
    profile: str = ""
    backend: str = ""
    level: str = ""
    fit: bool = False
    reason: str = ""
    failed: str = ""
    uses: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    proven: str = ""
    doubts: tuple[str, ...] = ()
    native: bool = False
    dispatched: bool = False
    size: int = 0


class Choice(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The pick among the wheels of one project.

    Attributes:
        project: normalized name; empty for files that are no wheels.
        best: the one to install; None when none fits.
        others: the others, the best of those that fit first, then the nearest misses.
        why: the reason in one sentence.
    """

    project: str
    best: Candidate | None
    others: tuple[Candidate, ...]
    why: str


class Picked(Choice, frozen=True, kw_only=True, rename="kebab"):
    """The pick among the wheels of one project, and how it is installed.

    Attributes:
        pip: the command for pip; empty when none fits.
        uv: the command for uv.
    """

    pip: str
    uv: str
