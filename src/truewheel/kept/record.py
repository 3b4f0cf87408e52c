"""Small values that are kept: the first line of the file is a hash of the rest, looked at each time it is read."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path

from truewheel.console import Console
from truewheel.files import read_file, remove, write_file
from truewheel.text import clean

_MARK = b"truewheel-kept-1 "
_HEAD = len(_MARK) + 64 + 1
_MOST = 256 << 20
"""Bytes of the largest value: what was read of a wheel with very many libraries."""


class DamagedError(Exception):
    """What is kept is not what was kept; the message says why, in a few words."""


def read_record(path: Path) -> bytes | None:
    """Return a value; None where there is none. One that is not what was kept is removed, which is said, once.

    Args:
        path: the file.
    """
    try:
        return load_record(path)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        refuse_kept(path, str(error))
        with contextlib.suppress(OSError):
            remove(path)
        return None


def load_record(path: Path) -> bytes:
    """Return a value.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is not what was kept.
    """
    try:
        if path.is_symlink():
            raise DamagedError("it is a link")
        data = read_file(path, _MOST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(path)) from error
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror}") from error
    if data[:_HEAD] != _head(path, data[_HEAD:]):
        raise DamagedError("its content is not what was kept")
    return data[_HEAD:]


def write_record(path: Path, data: bytes) -> None:
    """Keep a value; what was kept there before is replaced.

    Args:
        path: the file; its folder is made. Its name and the folder's go into the hash, so that one value is not
            taken for another.
        data: the value.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _head(path, data) + data)


def _head(path: Path, data: bytes) -> bytes:
    digest = hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode(errors="surrogateescape"))
    digest.update(data)
    return _MARK + digest.hexdigest().encode() + b"\n"


@functools.cache
def refuse_kept(path: Path, reason: str) -> None:
    """Say, once, that something that is kept is not used."""
    Console().warn(f"kept {clean(f'{path.parent.name}/{path.name}')} is not used and made anew: {clean(reason)}")
