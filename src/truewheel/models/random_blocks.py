"""Random weights as the raw bytes of quantized blocks, without quantizing anything.

All integers of a block are random; scales are chosen so that the weights have mean 0 and the spread that was asked for.
A mean other than 0 would add up over a row, and drown what tells one token from another. Types without a minimum, whose
integers reach one further below 0 than above, have it from scales of random sign. Layout of the blocks: ggml-common.h.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from truewheel.models.gguf_types import TensorType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = 8
_SIGN = 0x8000
_MANTISSA = 0x03FF
_HALF_BIAS, _HALF_EXPONENT = 15, 10


def random_rows(source: np.random.PCG64, kind: TensorType, columns: int, rows: int, spread: float) -> NDArray[np.uint8]:
    """Return rows of random weights as bytes.

    Args:
        source: of the random bits; its raw words are taken, which every version of NumPy gives alike.
        kind: how they are stored: F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K.
        columns: weights of a row, whole blocks.
        rows: how many.
        spread: standard deviation; F16 comes within a factor of the square root of 2.
    """
    import numpy as np

    blocks = rows * columns // kind.weights
    size = blocks * kind.size
    data = random_words(source, -(-size // _WORD)).view(np.uint8)[:size]
    if kind.name == "F16":
        _fill_half(data.view("<u2"), spread)
    elif kind.name in {"Q4_K", "Q5_K"}:
        _fill_with_packed_scales(data.view(_layout(kind.name)), spread, most=15 if kind.name == "Q4_K" else 31)
    elif kind.name == "Q6_K":
        _fill_q6_k(data.view(_layout(kind.name)), spread)
    elif kind.name in {"Q4_1", "Q5_1"}:
        _fill_with_minimum(data.view(_layout(kind.name)), spread, most=15 if kind.name == "Q4_1" else 31)
    else:
        _fill_signed(data.view(_layout(kind.name)), spread, lowest={"Q4_0": -8, "Q5_0": -16, "Q8_0": -127}[kind.name])
    return data


def random_words(source: np.random.PCG64, count: int) -> NDArray[np.uint64]:
    """Return 64-bit words in little-endian order."""
    return source.random_raw(count).astype("<u8", copy=False)


@functools.cache
def _layout(name: str) -> np.dtype[Any]:
    import numpy as np

    scale, minimum = ("scale", "<u2"), ("minimum", "<u2")
    fields: dict[str, list[tuple[Any, ...]]] = {
        "Q4_0": [scale, ("low", "u1", 16)],
        "Q4_1": [scale, minimum, ("low", "u1", 16)],
        "Q5_0": [scale, ("high", "u1", 4), ("low", "u1", 16)],
        "Q5_1": [scale, minimum, ("high", "u1", 4), ("low", "u1", 16)],
        "Q8_0": [scale, ("whole", "i1", 32)],
        "Q4_K": [scale, minimum, ("scales", "u1", 12), ("low", "u1", 128)],
        "Q5_K": [scale, minimum, ("scales", "u1", 12), ("high", "u1", 32), ("low", "u1", 128)],
        "Q6_K": [("low", "u1", 128), ("high", "u1", 64), ("scales", "u1", 16), scale],
    }
    return np.dtype(fields[name])


def _half(value: float) -> int:
    """Return the bits of a 16-bit float."""
    import numpy as np

    return int(np.float16(value).view(np.uint16))


def _root_mean_square(lowest: float, highest: float) -> float:
    """Return that of numbers which are equally frequent, one apart."""
    count = highest - lowest + 1
    return math.sqrt(((lowest + highest) / 2) ** 2 + (count**2 - 1) / 12)


def _fill_half(words: NDArray[np.uint16], spread: float) -> None:
    """Keep sign and mantissa; one exponent for all, whose numbers are from its power of 2 to twice that."""
    exponent = round(math.log2(spread / math.sqrt(7 / 3)))
    words &= _SIGN | _MANTISSA
    words |= exponent + _HALF_BIAS << _HALF_EXPONENT


def _fill_signed(blocks: NDArray[Any], spread: float, *, lowest: int) -> None:
    import numpy as np

    if "whole" in (blocks.dtype.names or ()):
        # The quantizer never makes -128, and kernels may count on it.
        np.maximum(blocks["whole"], lowest, out=blocks["whole"])
    highest = -lowest if lowest % 2 else -lowest - 1
    blocks["scale"] = blocks["scale"] & _SIGN | _half(spread / _root_mean_square(lowest, highest))


def _fill_with_minimum(blocks: NDArray[Any], spread: float, *, most: int) -> None:
    scale = spread / _root_mean_square(-most / 2, most / 2)
    blocks["scale"] = _half(scale)
    blocks["minimum"] = _half(-scale * most / 2)


def _fill_with_packed_scales(blocks: NDArray[Any], spread: float, *, most: int) -> None:
    """Give each of the 8 parts of a block a scale from 32 to 63, and the same number as its minimum.

    Bytes 0 to 3 hold the first four scales in their low 6 bits, bytes 4 to 7 the first four minimums; bytes 8 to 11 the
    low 4 bits of the other scales and minimums, whose high 2 bits are those of bytes 0 to 3 and 4 to 7.
    """
    scales = blocks["scales"]
    first = scales[:, :4] | 0b1010_0000
    scales[:, :4] = first
    scales[:, 4:8] = first
    second = scales[:, 8:] & 0x0F
    scales[:, 8:] = second | second << 4
    scale = spread / _root_mean_square(-most / 2, most / 2) / _root_mean_square(32, 63)
    blocks["scale"] = _half(scale)
    blocks["minimum"] = _half(scale * most / 2)


def _fill_q6_k(blocks: NDArray[Any], spread: float) -> None:
    """Give each of the 16 parts of a block a scale from -128 to -65 or from 64 to 127: bits 6 and 7 differ."""
    scales = blocks["scales"]
    blocks["scales"] = scales & 0b1011_1111 | (~scales >> 1) & 0b0100_0000
    parts = math.sqrt((_root_mean_square(64, 127) ** 2 + _root_mean_square(65, 128) ** 2) / 2)
    blocks["scale"] = _half(spread / _root_mean_square(-32, 31) / parts)
