"""A bounded reader of a GGUF file's header: enough to refuse a damaged or hostile file before it is loaded.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little endian).
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

from truewheel.allowance import Allowance, OverworkedError
from truewheel.errors import LoadError
from truewheel.files import open_file
from truewheel.models.gguf_types import TENSOR_TYPES

_MAX_TENSORS = 100_000
_MAX_KEYS = 100_000
_MAX_STRING = 16 << 20
_MAX_ARRAY = 4 << 20
_MAX_STRINGS = 2 << 20
"""Texts in all arrays together: vocabulary and merges of the largest models are less than half of that."""
_MAX_NAME = 512
_ROW_COST = 64
_MAX_HEADER = 512 << 20
_MAX_LIST = 4096
_MAX_LISTS = 64
_MAX_WEIGHTS = 1 << 56
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_KEPT_TEXTS = ("general.architecture", "general.name")
_WIDE_INTEGERS = {4, 5, 10, 11}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4
_SMALLEST = 24
_HINT = "name a GGUF file, `tiny`, `smollm2`, or a synthetic model such as `qwen2.5-0.5b:q8_0`"


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


class GgufTensor(msgspec.Struct, frozen=True):
    """One tensor, as the header describes it.

    Attributes:
        name: as llama.cpp names it.
        dimensions: the first is the length of a row.
        kind: number of its type.
        size: bytes; None for a type that is not known here.
        offset: where it begins, behind the start of the data.
    """

    name: str
    dimensions: tuple[int, ...]
    kind: int
    size: int | None
    offset: int = 0

    @property
    def weights(self) -> int:
        """Return how many there are."""
        return math.prod(self.dimensions)


class GgufContents(msgspec.Struct, frozen=True):
    """All that a GGUF file's header says of the model's size and shape.

    Attributes:
        header: the least.
        numbers: the keys that are one integer or fraction.
        lists: the first keys that are a short array of integers, such as one number a layer.
        tensors: in the order of the file.
        words: the keys that are a list of texts, where they were asked for.
        start: where the data begins, bytes.
    """

    header: GgufHeader
    numbers: dict[str, int | float]
    lists: dict[str, tuple[int, ...]]
    tensors: tuple[GgufTensor, ...]
    words: dict[str, tuple[str, ...]] = {}
    start: int = 0


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check the header of a model file of ours; every length is bounded by the file's own size.

    Raises:
        LoadError: the file cannot be read, is no GGUF, is damaged, or is cut off.
    """
    with _open(path) as stream:
        return _read(stream, path).header


def read_gguf_contents(path: Path, *, words: bool = False) -> GgufContents:
    """Read and check the header of a model file, with its tensors and numbers; bounded as `read_gguf_header` is.

    Args:
        path: the file.
        words: keep lists of texts, of which a vocabulary is one.

    Raises:
        LoadError: the file cannot be read, is no GGUF, is damaged, is cut off, or claims more weights than can be.
    """
    with _open(path) as stream:
        return read_gguf_stream(stream, path, words=words)


def read_gguf_stream(stream: BinaryIO, path: Path, *, words: bool = False) -> GgufContents:
    """Read and check the header of an open model file, as `read_gguf_contents` does.

    Args:
        stream: the file.
        path: what it is called in errors.
        words: keep lists of texts, of which a vocabulary is one.

    Raises:
        LoadError: likewise.
    """
    contents = _read(stream, path, words=words)
    for tensor in contents.tensors:
        if tensor.weights > _MAX_WEIGHTS:
            raise _damaged(path, f"tensor {tensor.name} has {tensor.weights} weights")
    return contents


def _read(stream: BinaryIO, path: Path, *, words: bool = False) -> GgufContents:
    try:
        return _Reader(stream, os.fstat(stream.fileno()).st_size, path, words=words).contents()
    except OSError as error:
        raise _unreadable(path, error) from error


def _open(path: Path) -> BinaryIO:
    try:
        return open_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> LoadError:
    return LoadError(f"cannot read the model {path}: {error.strerror or error}", hint=_HINT)


def _damaged(path: Path, reason: str) -> LoadError:
    return LoadError(f"{path} is a damaged GGUF: {reason}", hint="download it again")


class _Reader:
    def __init__(self, stream: BinaryIO, size: int, path: Path, *, words: bool) -> None:
        self._stream = stream
        self._size = size
        self._path = path
        self._read = self._strings = 0
        self._allowance = Allowance(min(size, _MAX_HEADER))
        self._numbers: dict[str, int | float] = {}
        self._lists: dict[str, tuple[int, ...]] = {}
        self._texts: dict[str, str] = {}
        self._keeps_words = words
        self._words: dict[str, tuple[str, ...]] = {}
        self._alignment = 32

    def contents(self) -> GgufContents:
        if self._size < _SMALLEST or self._take(4) != b"GGUF":
            raise LoadError(f"{self._path} is not a GGUF model", hint=_HINT)
        version = self._integer("<I")
        if version not in (2, 3):
            raise self._damaged(f"version {version} is not known")
        tensors, keys = self._integer("<Q"), self._integer("<Q")
        if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
            raise self._damaged(f"it claims {tensors} tensors and {keys} keys")
        try:
            return self._tables(version, tensors, keys)
        except OverworkedError as error:
            raise self._damaged(str(error)) from error

    def _tables(self, version: int, tensors: int, keys: int) -> GgufContents:
        for _ in range(keys):
            self._allowance.spend(_ROW_COST)
            self._key()
        if self._alignment <= 0 or self._alignment % 8 or self._alignment > 1 << 20:
            raise self._damaged(f"alignment {self._alignment} makes no sense")
        found, end = [], 0
        for _ in range(tensors):
            self._allowance.spend(_ROW_COST)
            tensor, offset = self._tensor()
            found.append(tensor)
            end = max(end, offset + (tensor.size or 0))
        data = (self._read + self._alignment - 1) // self._alignment * self._alignment
        if data + end > self._size:
            raise LoadError(
                f"{self._path} is cut off: its tensors end at byte {data + end}, the file has {self._size}",
                hint="download it again",
            )
        architecture, name = self._texts.get("general.architecture", ""), self._texts.get("general.name", "")
        header = GgufHeader(version, architecture, name, tensors, self._size)
        return GgufContents(header, self._numbers, self._lists, tuple(found), self._words, data)

    def _damaged(self, reason: str) -> LoadError:
        return _damaged(self._path, reason)

    def _take(self, count: int) -> bytes:
        if self._read + count > min(self._size, _MAX_HEADER):
            raise LoadError(f"{self._path} is cut off inside its header at byte {self._size}", hint="download it again")
        data = self._stream.read(count)
        if len(data) != count:
            raise LoadError(f"{self._path} is cut off inside its header", hint="download it again")
        self._read += count
        return data

    def _number(self, code: str) -> int | float:
        number: int | float = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return number

    def _integer(self, code: str) -> int:
        return int(self._number(code))

    def _string(self) -> str:
        length = self._integer("<Q")
        if length > _MAX_STRING:
            raise self._damaged(f"a text of {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _name(self) -> str:
        name = self._string()
        if len(name) > _MAX_NAME:
            raise self._damaged(f"a name of {len(name)} letters")
        return name

    def _key(self) -> None:
        """Read one key with its value, and keep the value where it is a text, a number or a short list of integers."""
        name = self._name()
        kind = self._integer("<I")
        if kind == _STRING:
            text = self._string()
            if name in _KEPT_TEXTS:
                self._texts[name] = text[:_MAX_NAME]
        elif kind in _SCALARS:
            number = self._number(_SCALARS[kind])
            if not isinstance(number, bool):
                self._numbers[name] = number
            if name == "general.alignment" and kind in _WIDE_INTEGERS:
                self._alignment = int(number)
        elif kind == _ARRAY:
            self._array(name)
        else:
            raise self._damaged(f"{name} has type {kind}")

    def _array(self, name: str) -> None:
        inner, count = self._integer("<I"), self._integer("<Q")
        if count > _MAX_ARRAY:
            raise self._damaged(f"{name} has {count} elements")
        if inner in _SCALARS:
            data = self._take(count * struct.calcsize(_SCALARS[inner]))
            if inner in _WIDE_INTEGERS and count <= _MAX_LIST and len(self._lists) < _MAX_LISTS:
                self._lists[name] = struct.unpack(f"<{count}{_SCALARS[inner][1]}", data)
        elif inner == _STRING:
            if self._keeps_words:
                self._words[name] = tuple(self._string() for _ in range(count))
            else:
                self._pass_strings(count)
        else:
            raise self._damaged(f"{name} is an array of type {inner}")

    def _pass_strings(self, count: int) -> None:
        """Pass over texts without making any: a vocabulary has hundreds of thousands."""
        self._strings += count
        if self._strings > _MAX_STRINGS:
            raise self._damaged(f"its arrays hold {self._strings} texts")
        if self._read + 8 * count > self._size:
            raise self._damaged("an array is longer than the file")
        for _ in range(count):
            self._pass(self._integer("<Q"))

    def _pass(self, count: int) -> None:
        if count > _MAX_STRING:
            raise self._damaged(f"a text of {count} bytes")
        self._take(count)

    def _tensor(self) -> tuple[GgufTensor, int]:
        """Read one tensor's entry and return it with where its data starts, relative to the data's start."""
        name = self._name()
        count = self._integer("<I")
        if count > _MAX_DIMENSIONS:
            raise self._damaged(f"tensor {name} has {count} dimensions")
        dimensions = tuple(self._integer("<Q") for _ in range(count))
        kind, offset = self._integer("<I"), self._integer("<Q")
        known = TENSOR_TYPES.get(kind)
        size = math.prod(dimensions) // known.weights * known.size if known else None
        return GgufTensor(name, dimensions, kind, size, offset), offset
