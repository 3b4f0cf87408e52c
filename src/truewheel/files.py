"""Files and folders that are there whole or not at all: written beside their place, synced, renamed; and their hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, *, mode: int | None = None, locked: bool = False) -> Iterator[Path]:
    """Yield a path beside a file; what is written there takes the file's place when the block ends without an error.

    Whatever ends the block otherwise, also Ctrl-C, leaves the file as it was and nothing beside it.

    Args:
        path: the file; its folder must exist. A link is replaced and not followed.
        mode: of the file; None for the usual one.
        locked: no other process can write it now. The path beside it is then the same each time, so that what a
            killed process left there does not stay.

    Raises:
        OSError: it cannot be written.
    """
    writer = "" if locked else f".{os.getpid()}"
    beside = path.with_name(f".{path.name}{writer}.part")
    try:
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


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
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield beside
        if path.exists():
            shutil.rmtree(path)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
