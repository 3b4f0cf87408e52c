"""Files and folders that are there whole or not at all: written beside their place, synced, renamed; and their hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from truewheel.scratch import SCRATCH


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield a path beside a file; what is written there takes the file's place when the block ends without an error.

    Whatever ends the block otherwise, also Ctrl-C, leaves the file as it was and nothing beside it.

    Args:
        path: the file; its folder must exist. A link is replaced and not followed.
        mode: of the file; None for the usual one.

    Raises:
        OSError: it cannot be written.
    """
    with SCRATCH.beside(path) as beside:
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)


def write_file(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder must exist.
        data: its content.
        mode: of the file; None for the usual one.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path, mode=mode) as beside:
        beside.write_bytes(data)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside a folder; it takes that one's place, whole, when the block ends without an error.

    Args:
        path: the folder; the one above must exist, and no other process may write it now.

    Raises:
        OSError: it cannot be written.
    """
    with SCRATCH.folder(f".{path.name}", path.parent) as beside:
        yield beside
        if path.exists():
            shutil.rmtree(path)
        beside.replace(path)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
