"""The door to files: written beside their place, synced, renamed; opened without waiting, and read within bounds."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from truewheel import scratch
from truewheel.scratch import SCRATCH
from truewheel.text import size_words

WHOLE = 4 << 30
"""The most that is read of a file at once where it may be as large as a wheel, bytes."""

_MANY = 64
"""Files of a folder above which the whole file system is synced at once: one by one takes milliseconds each."""


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
        if mode is not None:
            beside.chmod(mode)
        sync(beside)
        beside.replace(path)
        sync(path.parent)


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

    All that is in it is synced before.

    Args:
        path: the folder, or whatever else lies there; the one above must exist, and no other process may write it now.

    Raises:
        OSError: it cannot be written.
    """
    with SCRATCH.folder(f".{path.name}", path.parent) as beside:
        yield beside
        sync_tree(beside)
        remove(path)
        beside.replace(path)
        sync(path.parent)


def remove(path: Path) -> None:
    """Remove whatever lies there: a file, a pipe, a link (and not what it points to), or a folder with all in it.

    Raises:
        OSError: it cannot be removed.
    """
    scratch.remove(path)
    if os.path.lexists(path):
        # It is tried once more, for what the system says of it.
        (path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)()


def sync(path: Path) -> None:
    """Wait until a file, or the list of what is in a folder, is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until a folder with all that is in it is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    found = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    if len(found) > _MANY and _sync_file_system(folder):
        return
    for path in found:
        if path.is_file() or path.is_dir():
            sync(path)


def _sync_file_system(folder: Path) -> bool:
    """Sync all of the file system that a folder is on; return whether the system has a call for that.

    Raises:
        OSError: something cannot be written.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        failed = call(descriptor)
    finally:
        os.close(descriptor)
    if failed and ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    return not failed


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read; what would keep us waiting, or never end, is refused.

    Raises:
        OSError: it is not there, cannot be read, or is a pipe, a socket, a device or a folder.
    """
    try:
        # A pipe without a writer would keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), repr(str(path))) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number) if stat.S_ISDIR(mode) else "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, most: int = WHOLE) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with open_file(path) as stream:
        # What it is said to have is not always what it has: files of /proc are said to be empty.
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(most + 1) if size <= most else b""
    if size > most or len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {size_words(most)}", str(path))
    return data


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a regular file, hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
