"""Texts of strangers made harmless, and texts made short."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_KIB, _MIB = 1 << 10, 1 << 20
_SENTENCE = re.compile(r"(.+?)(?:[.:;]\s|\.?$)", re.DOTALL)
_PATH_WIDTH = 64
_BEYOND = 0x10000
_EMPTY = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters of no width or without a shape: fillers, joiners and selectors of variants."""
_STYLE = re.compile(r"\x1b\[([0-9;]*)m")
_COMMAND = re.compile(r"\A(\s*):(?=:)")
"""What GitHub Actions takes for a command at the beginning of a line."""
_OLD_COMMAND = re.compile(r"#(?=#\w*\[)#")
"""What older runners, and those of others, take for one anywhere in a line."""


def clean(text: str) -> str:
    """Return a stranger's text without what could steer a terminal or turn the order of letters on a page."""
    return spell(text.replace("\n", " ").replace("\t", " "))


def spell(text: str) -> str:
    """Return a text with a number for each letter that cannot be seen: controls, marks of direction, odd spaces.

    No codec is asked: those that Python has not loaded yet are files, which a locked-down process cannot open.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(letter if _seen(letter) else _number(letter) for letter in text)


def line_of(text: str, styles: Collection[str] = ()) -> str:
    """Return one line for a terminal or a log: harmless, and no command to whoever reads the log.

    Args:
        text: what is to be written; of ours and of strangers.
        styles: codes of ANSI styles that may stand in it.
    """
    parts = _STYLE.split(text)
    # Every second part is a style's code, which is kept where it is one of ours.
    told = (
        f"\x1b[{part}m" if part in styles else f"\\x1b[{part}m" if number % 2 else clean(part)
        for number, part in enumerate(parts)
    )
    line = _OLD_COMMAND.sub(r"#\\x23", "".join(told))
    return _COMMAND.sub(r"\1\\x3a:", line)


def json_of(text: str) -> str:
    """Return a JSON text whose strings have numbers for letters that cannot be seen; its values stay the same."""
    if not (text.isascii() and "\x7f" not in text):
        text = "".join(letter if letter == "\n" or _seen(letter) else _units(letter) for letter in text)
    return _OLD_COMMAND.sub(r"#\\u0023", text)


def _seen(letter: str) -> bool:
    """Return whether a letter can be seen; some that Python calls printable are as empty as those that it does not."""
    return letter.isprintable() and (letter.isascii() or not _EMPTY.match(letter))


def _number(letter: str) -> str:
    """Return a letter's number as Python's strings have it."""
    number = ord(letter)
    if number < 0x100:  # noqa: PLR2004 - what two figures hold
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < _BEYOND else f"\\U{number:08x}"


def _units(letter: str) -> str:
    """Return a letter's number as JSON has it."""
    number = ord(letter)
    if number < _BEYOND:
        return f"\\u{number:04x}"
    return f"\\u{0xD800 + (number - _BEYOND >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


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
