"""Texts of strangers made harmless, and texts made short."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KIB, _MIB = 1 << 10, 1 << 20
_SENTENCE = re.compile(r"(.+?)(?:[.:;]\s|\.?$)", re.DOTALL)
_PATH_WIDTH = 64


def clean(text: str) -> str:
    """Return a stranger's text without what could steer a terminal or turn the order of letters on a page."""
    plain = text.replace("\n", " ").replace("\t", " ")
    if plain.isprintable():
        return plain
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in plain)


def cut(text: str, width: int = _PATH_WIDTH) -> str:
    """Cut the middle out of a text that is too long: both ends of a path or a wheel's name tell more."""
    if len(text) <= width:
        return text
    tail = width // 2
    return f"{text[: width - tail - 1]}…{text[-tail:]}"


def join_words(words: Sequence[str], most: int) -> str:
    """Return `a, b, c and 4 more`."""
    kept = words if len(words) <= most + 1 else words[:most]
    more = f" and {len(words) - len(kept)} more" if len(words) > len(kept) else ""
    return ", ".join(kept) + more


def number_words(number: int, noun: str) -> str:
    """Return `1 error`, `2 errors`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size_words(size: int) -> str:
    """Return a number of bytes in the unit that reads best."""
    if size >= _MIB:
        return f"{mib_words(size)} MiB"
    return f"{size / _KIB:.0f} KiB" if size >= _KIB else f"{size} bytes"


def time_words(seconds: float) -> str:
    """Return a time in the unit that reads best: `40 s`, `3 min`, `1 h 20 min`."""
    if seconds < 90:  # noqa: PLR2004 - below that, minutes are too coarse
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def mib_words(size: int) -> str:
    """Return a number of bytes as MiB, for a column."""
    return f"{size / _MIB:.2f}"


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop, colon or semicolon."""
    match = _SENTENCE.match(text)
    return match[1] if match else text
