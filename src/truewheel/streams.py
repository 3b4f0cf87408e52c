"""The three standard streams made fit: there, able to write any text, and quiet once they cannot be written to."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

_ESCAPES = "truewheel.escapes"
_SURROGATES = range(0xDC80, 0xDD00)
"""What Python makes of bytes in a name that are no text."""


class UnwrittenError(OSError):
    """Standard output does not take what is written to it: not the fault of whatever is being done."""


class DataStream(io.TextIOWrapper):
    """Standard output that says of its own errors that they are; click writes to it, too."""

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except OSError as error:
            raise UnwrittenError(error.errno, error.strerror) from error

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except OSError as error:
            raise UnwrittenError(error.errno, error.strerror) from error


def mend() -> None:
    """Put something in the place of streams that are closed, and let the others write whatever there is.

    A file that is opened later would get the number of a closed one, and with it what was meant for the terminal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Standard output alone is missed: who writes to what is open for reading hears of it.
            descriptor = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)  # noqa: PLR2004
            if descriptor != number:
                os.dup2(descriptor, number, inheritable=True)
                os.close(descriptor)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or _open(0)
    sys.stdout = sys.stdout or _open(1, writes=True)
    sys.stderr = sys.stderr or _open(2, writes=True)
    codecs.register_error(_ESCAPES, _escape)
    if type(sys.stdout) is io.TextIOWrapper:
        sys.stdout = _marked(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_ESCAPES)


def write(stream: TextIO, text: str) -> None:
    """Write a text at once; a stream that does not take it is not tried again, nor at the end of the program.

    Raises:
        OSError: it was not written.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        drop(stream)
        raise


def drop(stream: TextIO) -> None:
    """Let whatever is written to a stream go nowhere, also what it could not write yet."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)
        stream.flush()


def _open(number: int, *, writes: bool = False) -> TextIO:
    stream = os.fdopen(number, "w" if writes else "r", encoding="utf-8", closefd=False)
    assert isinstance(stream, io.TextIOWrapper)
    return stream


def _marked(stream: io.TextIOWrapper) -> DataStream:
    options = {"encoding": stream.encoding, "line_buffering": stream.line_buffering}
    through = stream.write_through
    return DataStream(stream.detach(), write_through=through, **options)  # type: ignore[arg-type]


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """Return what stands for letters that an encoding has not: a name's own bytes, else numbers as in JSON."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return b"".join(map(_spell, letters)), error.end


def _spell(letter: str) -> bytes:
    if ord(letter) in _SURROGATES:
        return bytes([ord(letter) - 0xDC00])
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)).encode("ascii")
