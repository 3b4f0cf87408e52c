"""A tiny synthetic model: random weights, a byte-level tokenizer that round-trips any text; always the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truewheel.files import replacing

_VOCABULARY = 320
_EMBEDDING = 256
_LAYERS = 3
_HEADS = 8
_KEY_HEADS = 4
_FEED_FORWARD = 768
_CONTEXT = 1024
_SEED = 20_260_101
REVISION = 1
"""Part of the file's name: to be raised with every change that changes the bytes."""


def byte_symbols() -> list[str]:
    """Return the printable character that stands for each byte in byte-level BPE (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols, extra = [], 0
    for byte in range(256):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(256 + extra))
            extra += 1
    return symbols


def write_tiny_model(path: Path) -> None:
    """Write the model atomically: Llama architecture, about 3 MB, weights in F32, Q8_0, Q4_0 and F16.

    Raises:
        OSError: the folder cannot be written to.
    """
    with replacing(path) as beside:
        _write(beside)


def _write(path: Path) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("truewheel tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_EMBEDDING // _HEADS)
    writer.add_vocab_size(_VOCABULARY)
    _add_tokenizer(writer)
    random = np.random.Generator(np.random.PCG64(_SEED))

    def matrix(name: str, rows: int, columns: int, kind: gguf.GGMLQuantizationType) -> None:
        weights = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(columns**-0.5)
        writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(_EMBEDDING, dtype=np.float32))

    kinds = gguf.GGMLQuantizationType
    key_width = _EMBEDDING // _HEADS * _KEY_HEADS
    matrix("token_embd.weight", _VOCABULARY, _EMBEDDING, kinds.Q8_0)
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm.weight")
        matrix(f"{block}.attn_q.weight", _EMBEDDING, _EMBEDDING, kinds.Q4_0)
        matrix(f"{block}.attn_k.weight", key_width, _EMBEDDING, kinds.Q8_0)
        matrix(f"{block}.attn_v.weight", key_width, _EMBEDDING, kinds.F16)
        matrix(f"{block}.attn_output.weight", _EMBEDDING, _EMBEDDING, kinds.Q4_0)
        norm(f"{block}.ffn_norm.weight")
        matrix(f"{block}.ffn_gate.weight", _FEED_FORWARD, _EMBEDDING, kinds.Q4_0)
        matrix(f"{block}.ffn_up.weight", _FEED_FORWARD, _EMBEDDING, kinds.Q8_0)
        matrix(f"{block}.ffn_down.weight", _EMBEDDING, _FEED_FORWARD, kinds.Q8_0)
    norm("output_norm.weight")
    matrix("output.weight", _VOCABULARY, _EMBEDDING, kinds.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any) -> None:
    """Add a byte-level vocabulary: one token a byte, a few merges, padding, and two control tokens."""
    symbols = byte_symbols()
    merges = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("e", "r")]
    tokens = [*symbols, *("".join(pair) for pair in merges)]
    normal, control, unused = 1, 3, 5
    kinds = [normal] * len(tokens)
    tokens += ["<s>", "</s>"]
    kinds += [control, control]
    first_control = len(kinds) - 2
    while len(tokens) < _VOCABULARY:
        tokens.append(f"<unused{len(tokens)}>")
        kinds.append(unused)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(first_control)
    writer.add_eos_token_id(first_control + 1)
    writer.add_add_bos_token(False)
