"""A bounded reader of a GGUF file's header: enough to refuse a damaged or hostile file before it is loaded.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little endian).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

from truewheel.errors import LoadError

_MAX_TENSORS = 100_000
_MAX_KEYS = 100_000
_MAX_STRING = 16 << 20
_MAX_ARRAY = 4 << 20
_MAX_HEADER = 512 << 20
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
_SMALLEST = 24
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
"""Weights and bytes of a block by tensor type; types that are missing here are not measured."""


class GgufHeader(msgspec.Struct, frozen=True):
    """What a GGUF file's header says.

    Attributes:
        version: format version.
        architecture: `general.architecture`, or empty.
        name: `general.name`, or empty.
        tensors: number of tensors.
        size: of the file, bytes.
    """

    version: int
    architecture: str
    name: str
    tensors: int
    size: int


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check the header of a model file; every length is bounded by the file's own size.

    Raises:
        LoadError: the file cannot be read, is no GGUF, is damaged, or is cut off.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _Reader(stream, size, path).header()
    except OSError as error:
        raise LoadError(
            f"cannot read the model {path}: {error.strerror or error}", hint="name a GGUF file, `tiny` or `smollm2`"
        ) from error


class _Reader:
    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        self._stream = stream
        self._size = size
        self._path = path
        self._read = 0

    def header(self) -> GgufHeader:
        if self._size < _SMALLEST or self._take(4) != b"GGUF":
            raise LoadError(f"{self._path} is not a GGUF model", hint="name a GGUF file, `tiny` or `smollm2`")
        version = self._number("<I")
        if version not in (2, 3):
            raise self._damaged(f"version {version} is not known")
        tensors, keys = self._number("<Q"), self._number("<Q")
        if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
            raise self._damaged(f"it claims {tensors} tensors and {keys} keys")
        texts: dict[str, str] = {}
        alignment = 32
        for _ in range(keys):
            name = self._string()
            value = self._value(self._number("<I"), name)
            if isinstance(value, str):
                texts[name] = value
            elif name == "general.alignment" and isinstance(value, int):
                alignment = value
        if alignment <= 0 or alignment % 8 or alignment > 1 << 20:
            raise self._damaged(f"alignment {alignment} makes no sense")
        end = max((self._tensor_end() for _ in range(tensors)), default=0)
        data = (self._read + alignment - 1) // alignment * alignment
        if data + end > self._size:
            raise LoadError(
                f"{self._path} is cut off: its tensors end at byte {data + end}, the file has {self._size}",
                hint="download it again",
            )
        return GgufHeader(
            version, texts.get("general.architecture", ""), texts.get("general.name", ""), tensors, self._size
        )

    def _damaged(self, reason: str) -> LoadError:
        return LoadError(f"{self._path} is a damaged GGUF: {reason}", hint="download it again")

    def _take(self, count: int) -> bytes:
        if self._read + count > min(self._size, _MAX_HEADER):
            raise LoadError(f"{self._path} is cut off inside its header at byte {self._size}", hint="download it again")
        data = self._stream.read(count)
        if len(data) != count:
            raise LoadError(f"{self._path} is cut off inside its header", hint="download it again")
        self._read += count
        return data

    def _number(self, code: str) -> int:
        number: int = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return number

    def _string(self) -> str:
        length = self._number("<Q")
        if length > _MAX_STRING:
            raise self._damaged(f"a text of {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _value(self, kind: int, name: str) -> str | int | None:
        if kind == _STRING:
            return self._string()
        if kind in _SCALARS:
            data = self._take(_SCALARS[kind])
            return int.from_bytes(data, "little") if kind in (4, 5, 10, 11) else None
        if kind == _ARRAY:
            inner, count = self._number("<I"), self._number("<Q")
            if count > _MAX_ARRAY:
                raise self._damaged(f"{name} has {count} elements")
            if inner in _SCALARS:
                self._take(count * _SCALARS[inner])
            elif inner == _STRING:
                for _ in range(count):
                    self._string()
            else:
                raise self._damaged(f"{name} is an array of type {inner}")
            return None
        raise self._damaged(f"{name} has type {kind}")

    def _tensor_end(self) -> int:
        """Read one tensor's entry and return where its data ends, relative to the data's start."""
        name = self._string()
        dimensions = self._number("<I")
        if dimensions > _MAX_DIMENSIONS:
            raise self._damaged(f"tensor {name} has {dimensions} dimensions")
        elements = 1
        for _ in range(dimensions):
            elements *= self._number("<Q")
        kind, offset = self._number("<I"), self._number("<Q")
        weights, size = _BLOCKS.get(kind, (1, 0))
        return offset + elements // weights * size
