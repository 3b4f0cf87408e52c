"""The one way from a stranger's bytes to values: JSON, TOML and MessagePack within bounds, or one kind of error."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from truewheel.files import read_file
from truewheel.text import clean, cut

_T = TypeVar("_T")
MOST_TOML = 1 << 20
MOST_JSON = 64 << 20
"""Bytes that a file of ours may have: the largest report that was seen has 3 MiB."""
_MOST_PARTS = 32
_REASON_WIDTH = 300
_ASIDE = re.compile(r""""(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*""")
_BETWEEN = re.compile(r"[\n,=\[\]{}]")
_NUL = re.compile(r"\\u0000|\\U00000000")
_TROUBLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, MemoryError)
"""What decoders raise of bytes that somebody made for them, beside what they say that they raise."""


class UnreadableError(Exception):
    """A file or a text is not what it should be.

    Attributes:
        reason: why, in one line.
        missing: whether there is no such file at all.
        shape: what msgspec says where the syntax is sound and the shape is not; empty otherwise.
    """

    def __init__(self, reason: str, *, missing: bool = False, shape: str = "") -> None:
        super().__init__(reason)
        self.reason, self.missing, self.shape = reason, missing, shape


def decode_json(
    data: bytes | memoryview | str, kind: type[_T], decode_others: Callable[[type, Any], Any] | None = None
) -> _T:
    """Return the value of a JSON text.

    Args:
        data: the text.
        kind: type of the value.
        decode_others: makes values of types that JSON has not.

    Raises:
        UnreadableError: it is no JSON, or of another shape.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=decode_others)
    except _TROUBLE as error:
        raise _unreadable(error, "JSON") from error


def read_json(path: Path, kind: type[_T], most: int = MOST_JSON) -> _T:
    """Return the value of a JSON file.

    Args:
        path: the file.
        kind: type of the value.
        most: bytes that it may have.

    Raises:
        UnreadableError: it cannot be read, or is not what it should be.
    """
    return decode_json(read_bounded(path, most), kind)


def decode_packed(data: bytes, kind: type[_T]) -> _T:
    """Return the value of a MessagePack text.

    Raises:
        UnreadableError: it is none, or of another shape.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except _TROUBLE as error:
        raise _unreadable(error, "MessagePack") from error


def convert(value: Any, kind: type[_T]) -> _T:
    """Return plain values, as a stranger's JSON has them, as a value of a type.

    Raises:
        UnreadableError: they are of another shape.
    """
    try:
        return msgspec.convert(value, kind)
    except _TROUBLE as error:
        raise _unreadable(error, "JSON") from error


def decode_toml(text: str, kind: type[_T]) -> _T:
    """Return the value of a TOML text.

    Raises:
        UnreadableError: it is no TOML, or of another shape.
    """
    # The decoder walks all parts of a key for each of them, and a path ends at the first NUL.
    parts = _BETWEEN.split(_ASIDE.sub("x", text))
    if any(part.count(".") > _MOST_PARTS for part in parts):
        raise UnreadableError(f"not valid TOML: a key has more than {_MOST_PARTS} parts")
    if _NUL.search(text):
        raise UnreadableError("a text holds the character NUL")
    try:
        return msgspec.toml.decode(text, type=kind)
    except _TROUBLE as error:
        raise _unreadable(error, "TOML") from error


def read_toml(path: Path, kind: type[_T]) -> _T:
    """Return the value of a TOML file.

    Raises:
        UnreadableError: it cannot be read, or is not what it should be.
    """
    return decode_toml(read_text(path, MOST_TOML), kind)


def read_text(path: Path, most: int = MOST_TOML) -> str:
    """Return the content of a text file in UTF-8, with or without a byte order mark.

    Raises:
        UnreadableError: it cannot be read, is too large, or is no such text.
    """
    try:
        return read_bounded(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"it is not in UTF-8: {error.reason} at byte {error.start}") from error


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises:
        UnreadableError: it cannot be read, is no regular file, or is larger.
    """
    try:
        return read_file(path, most)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error), missing=isinstance(error, FileNotFoundError)) from error


def encode_json(value: Any, encode_others: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as JSON; a name that is no text, as names of files may be, is written as far as it is.

    Args:
        value: what is written.
        encode_others: makes values that JSON has of those that it has not.
    """
    try:
        return msgspec.json.encode(value, enc_hook=encode_others)
    except UnicodeEncodeError:
        return msgspec.json.encode(_as_text(msgspec.to_builtins(value, enc_hook=encode_others)))


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_as_text(key): _as_text(inner) for key, inner in value.items()}
    return [_as_text(inner) for inner in value] if isinstance(value, list | tuple) else value


def load_table(package: str, name: str, kind: type[_T]) -> _T:
    """Return a table of facts that lies in one of our own packages; a fault in it is ours.

    Args:
        package: for example `truewheel.cpu`.
        name: of the TOML file.
        kind: type of the value.
    """
    return msgspec.toml.decode(resources.files(package).joinpath(name).read_bytes(), type=kind)


def _unreadable(error: BaseException, form: str) -> UnreadableError:
    """Return the one error; where the shape alone is wrong, with msgspec's own words for whoever explains them."""
    reason = cut(clean(str(error) or type(error).__name__), _REASON_WIDTH)
    if isinstance(error, msgspec.ValidationError):
        return UnreadableError(reason, shape=str(error))
    if isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    return UnreadableError(f"not valid {form}: {reason}")
