"""Synthetic models: shape, types and size of a real model, random weights; always the same bytes.

An engine takes as long for such a model as for the real one, since no kernel looks at what the numbers are. Its text
means nothing.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from truewheel.errors import LoadError
from truewheel.files import replacing
from truewheel.models.gguf_types import BY_NAME, TensorType
from truewheel.models.random_blocks import random_rows, random_words
from truewheel.models.shapes import Part, Shape, SyntheticName, model_parts
from truewheel.models.tensor_mix import QUANTIZATIONS, choose_type
from truewheel.models.tiny import byte_symbols

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REVISION = 1
"""Part of the file's name: to be raised with every change that changes the bytes."""

Progress = Callable[[int, int], None]
"""Is called with the bytes that are written and those that there will be."""

_ALIGNMENT = 32
_CHUNK = 16 << 20
_TOKEN_BYTES = 64
"""More than a token takes in the header."""
_MERGES = (("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("e", "r"))
_PLAIN = 256 + len(_MERGES)
"""Tokens that prompts are made of: bytes and merges."""
_CONTROLS = ("<s>", "</s>")
_ATTENTION = 0.25
"""What attention brings counts less: it is nearly the same at all positions, and layer by layer it would drown what
they differ in, so that one token would be the most likely everywhere."""
_CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwxz", "aeiou"


class _Tensor(NamedTuple):
    part: Part
    kind: TensorType

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Return rows and columns, as numpy counts."""
        return (self.part.rows, self.part.columns) if self.part.rows else (self.part.columns,)

    @property
    def size(self) -> int:
        return math.prod(self.dimensions) // self.kind.weights * self.kind.size

    @property
    def padding(self) -> int:
        return -self.size % _ALIGNMENT


def file_name(name: SyntheticName) -> str:
    """Return what a synthetic model is called in the cache."""
    return f"{name.shape_name}-{name.quantization}-{REVISION}.gguf"


def tensor_bytes(shape: Shape, quantization: str) -> int:
    """Return the bytes of all tensors, without the header."""
    return sum(tensor.size for tensor in _tensors(shape, quantization))


def write_synthetic(path: Path, name: SyntheticName, on_progress: Progress | None = None) -> None:
    """Write a synthetic model atomically, a chunk at a time.

    Args:
        path: the file.
        name: which model.
        on_progress: is told the bytes of tensors that are written, and their sum.

    Raises:
        LoadError: there is not enough room, or the folder cannot be written to.
    """
    _check_room(path.parent, tensor_bytes(name.shape, name.quantization) + _TOKEN_BYTES * name.shape.vocabulary)
    try:
        with replacing(path) as beside:
            _write_header(beside, name)
            with beside.open("ab") as stream:
                _write_tensors(stream, name, on_progress or (lambda _done, _total: None))
    except OSError as error:
        raise LoadError(
            f"cannot write the model {path}: {error.strerror or error}",
            hint="make room there, or set TRUEWHEEL_CACHE_DIR to another folder",
        ) from error


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise LoadError(
            f"the model needs {size / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB left",
            hint="make room there, or set TRUEWHEEL_CACHE_DIR to another folder",
        )


def _tensors(shape: Shape, quantization: str) -> Iterator[_Tensor]:
    for part in model_parts(shape):
        kind = BY_NAME["F32"]  # norms, biases and the factors of the positions are never quantized
        if part.rows:
            kind = choose_type(
                part.name,
                part.columns,
                quantization=quantization,
                layer=part.layer,
                layers=shape.layers,
                tied=shape.tied,
            )
        yield _Tensor(part, kind)


def _write_header(path: Path, name: SyntheticName) -> None:
    import gguf
    import numpy as np

    shape = name.shape
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name(f"truewheel synthetic {name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_layer_norm_rms_eps(shape.rms_epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(QUANTIZATIONS[name.quantization].number)
    writer.add_quantization_version(2)
    _add_tokenizer(writer, shape.vocabulary)
    for tensor in _tensors(shape, name.quantization):
        kind = gguf.GGMLQuantizationType(tensor.kind.number)
        # The data type only says that the dimensions are weights and not bytes.
        writer.add_tensor_info(tensor.part.name, tensor.dimensions, np.dtype(np.float32), tensor.size, kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _add_tokenizer(writer: Any, vocabulary: int) -> None:
    """Add a byte-level vocabulary: bytes, a few merges, words that stand for nothing, and two control tokens."""
    normal, control = 1, 3
    tokens = [*byte_symbols(), *("".join(pair) for pair in _MERGES)]
    tokens += [spell(number) for number in range(vocabulary - len(tokens) - len(_CONTROLS))]
    tokens += _CONTROLS
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([normal] * (vocabulary - len(_CONTROLS)) + [control] * len(_CONTROLS))
    writer.add_token_merges([" ".join(pair) for pair in _MERGES])
    writer.add_bos_token_id(vocabulary - 2)
    writer.add_eos_token_id(vocabulary - 1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_CHAT_TEMPLATE)


def spell(number: int) -> str:
    """Return a number in syllables behind a blank (in byte-level symbols), the last digit first; all differ."""
    syllables = "Ġ"
    while True:
        number, digit = divmod(number, len(_CONSONANTS) * len(_VOWELS))
        vowel, consonant = divmod(digit, len(_CONSONANTS))
        syllables += _CONSONANTS[consonant] + _VOWELS[vowel]
        if not number:
            return syllables


def _write_tensors(stream: BinaryIO, name: SyntheticName, on_progress: Progress) -> None:
    import numpy as np

    seed = hashlib.sha256(f"{name} {REVISION}".encode()).digest()[:16]
    source = np.random.PCG64(int.from_bytes(seed, "little"))
    total, done = tensor_bytes(name.shape, name.quantization), 0
    stream.write(bytes(-stream.tell() % _ALIGNMENT))
    for tensor in _tensors(name.shape, name.quantization):
        for chunk in _chunks(source, tensor, name.shape):
            stream.write(chunk.data)
            done += chunk.nbytes
            on_progress(done, total)
        stream.write(bytes(tensor.padding))


def _chunks(source: np.random.PCG64, tensor: _Tensor, shape: Shape) -> Iterator[NDArray[Any]]:
    """Yield a tensor in pieces of about 16 MB at most."""
    part = tensor.part
    if not part.rows:
        yield _vector(source, part, shape)
        return
    # Inputs of a spread of 1, as norms give them, become outputs of the same spread.
    spread = part.columns**-0.5
    if part.name.endswith(".attn_output.weight"):
        spread *= _ATTENTION
    step = max(1, _CHUNK * tensor.kind.weights // (tensor.kind.size * part.columns))
    for first, last, factor in _stretches(part):
        for row in range(first, last, step):
            yield random_rows(source, tensor.kind, part.columns, min(step, last - row), spread * factor)


def _stretches(part: Part) -> list[tuple[int, int, float]]:
    """Return first row, last row and a factor for the weights of each stretch of a matrix.

    Tokens that are bytes, merges or controls have smaller weights where the embeddings or the output are, so that the
    most likely token is always a word: visible text, and never the end.
    """
    if part.name not in {"token_embd.weight", "output.weight"}:
        return [(0, part.rows, 1.0)]
    words = part.rows - len(_CONTROLS)
    return [(0, _PLAIN, 0.25), (_PLAIN, words, 1.0), (words, part.rows, 0.25)]


def _vector(source: np.random.PCG64, part: Part, shape: Shape) -> NDArray[np.float32]:
    import numpy as np

    if part.name == "rope_freqs.weight":
        return np.array(rope_factors(shape), dtype="<f4")
    if part.name.endswith(".bias"):
        fractions = random_words(source, part.columns) >> np.uint64(40)
        return (fractions.astype("<f4") / np.float32(1 << 24) - np.float32(0.5)).astype("<f4")
    return np.ones(part.columns, dtype="<f4")


def rope_factors(shape: Shape) -> list[float]:
    """Return what Llama 3 divides each rotation's frequency by: 1 for the fast ones, `rope_factor` for the slow.

    Source: Llama3Model.generate_extra_tensors of llama.cpp's convert_hf_to_gguf.py.
    """
    low, high, original = 1.0, 4.0, 8192
    factors = []
    for index in range(0, shape.head, 2):
        wave = 2 * math.pi * shape.rope_base ** (index / shape.head)
        smooth = min(1.0, max(0.0, (original / wave - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / shape.rope_factor + smooth))
    return factors
