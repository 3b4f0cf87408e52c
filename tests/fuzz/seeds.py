"""What fuzzing begins with: small sound files of each kind, made on the spot."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import code_builder
import elf_builder
import malformed

ROOT = Path(__file__).parents[2]


def elf_seeds() -> Iterator[bytes]:
    """Yield libraries with every table that is read."""
    shown = code_builder.function("shown", code_builder.CPUID, b"\xc5\xf4\x58\xc1", b"\xc3", exported=True)
    hidden = code_builder.function("hidden", b"\x90", code_builder.RET)
    table = code_builder.variable("table", "hidden", b"12345678", "@shown", exported=True)
    for packed in (False, True):
        yield code_builder.build_library(shown, hidden, variables=[table], packed=packed, frames=True).data
    yield code_builder.build_library(shown, section_table=False).data
    yield elf_builder.build_elf(needed=("libc.so.6",), versions={"libc.so.6": ("GLIBC_2.34",)}, runpath="$ORIGIN")
    yield elf_builder.build_elf(note=elf_builder.isa_note(4), local_symbols=("local",), debug=b"lines")


def zip_seeds() -> Iterator[bytes]:
    """Yield wheels, sound and malformed ones."""
    yield bytes(malformed.sound_archive(malformed.sound_files()).build().data)
    yield malformed.EMPTY_ARCHIVE


def text_seeds() -> Iterator[bytes]:
    """Yield METADATA, WHEEL and entry points with bytes of zero between them."""
    metadata = b"Metadata-Version: 2.1\nName: x\nVersion: 1\nRequires-Dist: y>=1; extra == 'z'\n\nwords\n"
    yield b"\0".join((metadata, b"Wheel-Version: 1.0\nTag: py3-none-any\n", b"[console_scripts]\nx = y:z [w]\n"))


def gguf_seeds() -> Iterator[bytes]:
    """Yield headers with a key of each type and a tensor."""

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    keys = [text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")]
    keys.append(text(b"general.alignment") + struct.pack("<II", 4, 32))
    keys.append(text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"b"))
    keys.append(text(b"layers") + struct.pack("<IIQ", 9, 4, 3) + bytes(12))
    tensor = text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 2, 0, 0)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    yield header + bytes(-len(header) % 32 + 64)


def toml_seeds() -> Iterator[bytes]:
    """Yield the recipes and profiles of this checkout."""
    for path in sorted([*ROOT.glob("recipes/*/recipe.toml"), *ROOT.glob("profiles/*.toml")]):
        yield path.read_bytes()


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "elf": elf_seeds,
    "zip": zip_seeds,
    "texts": text_seeds,
    "gguf": gguf_seeds,
    "toml": toml_seeds,
}
"""The makers by the target that they are for."""
