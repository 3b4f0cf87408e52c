"""What was read from a wheel: plain values that a locked-down child may hand over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from truewheel.binary.code import CodeFacts
from truewheel.binary.elf import ElfFacts
from truewheel.decoding import decode_json, encode_json
from truewheel.wheel.archive import WheelFile
from truewheel.wheel.sources import SourceFacts


class LibraryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One library of a wheel.

    Attributes:
        elf: what it says of itself, or None when not even that can be read.
        code: what its code needs, or None when it was not disassembled.
        marks: names of the rules whose texts are in it.
        damage: why it cannot be read; empty when it can.
    """

    elf: ElfFacts | None
    code: CodeFacts | None
    marks: tuple[str, ...] = ()
    damage: str = ""


class WheelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was read from a wheel that was accepted.

    Attributes:
        wheel: the wheel.
        libraries: its ELF files by path.
        sources: what its Python files import and define.
        policy: auditwheel's account, or None where it has none.
        locked: whether the children could lock themselves down.
    """

    wheel: WheelFile
    libraries: dict[str, LibraryFacts]
    sources: SourceFacts | None
    policy: dict[str, Any] | None
    locked: bool


def encode(value: Any) -> bytes:
    """Return facts as one line of JSON."""
    return encode_json(value, _encode_path)


def decode(data: bytes | memoryview, kind: Any) -> Any:
    """Read facts back; whatever does not have their shape is refused.

    Raises:
        UnreadableError: the bytes are not what they should be.
    """
    return decode_json(data, kind, _decode_path)


def _encode_path(value: Any) -> Any:
    if isinstance(value, Path):
        # Names are bytes, and JSON has texts alone: each byte becomes one letter.
        return os.fsencode(value).decode("latin-1")
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(os.fsdecode(str(value).encode("latin-1")))
    raise NotImplementedError(kind)
