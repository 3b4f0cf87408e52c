"""Files and folders that are kept: beside each lies a seal, which says what it holds; without one it does not count.

It is looked at whenever the entry is used. Who can write to the cache folder can write a seal, too: seals tell what
was damaged, half-written or changed by another program, and they are no lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from truewheel.decoding import UnreadableError, decode_packed
from truewheel.files import remove
from truewheel.kept.parts import Compared, KeptPart, boot, compare_parts, list_parts
from truewheel.kept.record import DamagedError, load_record, refuse_kept, write_record

SUFFIX = ".seal"


class _Seal(msgspec.Struct, frozen=True, array_like=True):
    boot: str
    parts: tuple[KeptPart, ...]

    @property
    def known(self) -> dict[bytes, KeptPart]:
        """Return the parts by path."""
        return {part.path: part for part in self.parts}


def is_sealed(path: Path) -> bool:
    """Return whether a file or folder may be what was kept, as far as can be said without a look at what it holds."""
    return _place(path).is_file() and path.exists()


def is_kept(path: Path, *, always: bool = False, sha256: str = "") -> bool:
    """Return whether a file or folder is what was kept; what is not is removed, which is said, once.

    No other process may write it now.

    Args:
        path: file or folder.
        always: look at every content, whatever size and times say: for what is read in no time.
        sha256: what a file must have; empty where that is not known beforehand.
    """
    try:
        seal = _load(path)
        found = compare_parts(path, seal.known, since=seal.boot, always=always)
        _refuse(found, sha256)
    except FileNotFoundError:
        if os.path.lexists(path):
            refuse_kept(path, "it was not finished, or another version kept it")
    except DamagedError as error:
        refuse_kept(path, str(error))
    except OSError as error:
        refuse_kept(path, f"it cannot be read: {error.strerror}")
    else:
        if found.hashed and not always:
            with contextlib.suppress(OSError):
                _write(path, found.parts)
        return True
    discard(path)
    return False


def keep(path: Path) -> None:
    """Seal a file or folder, which is whole and synced now; no other process may write it.

    Raises:
        OSError: it cannot be read, or the seal cannot be written.
    """
    _write(path, list_parts(path, {}, since=""))


def discard(path: Path) -> None:
    """Remove a file or folder and its seal; what cannot be removed does not count without its seal.

    Args:
        path: file or folder.
    """
    for each in (_place(path), path):
        with contextlib.suppress(OSError):
            remove(each)


@contextlib.contextmanager
def growing(folder: Path, *, piecemeal: bool) -> Iterator[None]:
    """Let another program keep things in a folder: what is not as it was is removed before, and it is sealed after.

    While another process has it open, what that one has looked at is used as it is.

    Args:
        folder: the folder, which is made.
        piecemeal: remove what is not as it was, instead of everything: for programs that miss nothing.

    Raises:
        OSError: the folder cannot be written to.
    """
    with _try_lock(folder) as locked:
        former = _settle(folder, piecemeal=piecemeal) if locked else {}
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            if locked:
                with contextlib.suppress(OSError):
                    _write(folder, list_parts(folder, former, since=boot()))


@contextlib.contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    """Lock a folder if nobody else has it, and yield whether it is locked now."""
    from filelock import FileLock, Timeout  # noqa: TID251 - nobody waits for it

    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _settle(folder: Path, *, piecemeal: bool) -> dict[bytes, KeptPart]:
    """Remove what is not as it was, and return what is left."""
    try:
        seal = _load(folder)
        found = compare_parts(folder, seal.known, since=seal.boot, always=False)
        if found.changed and not (piecemeal and folder.is_dir() and not folder.is_symlink()):
            _refuse(found, "")
        for name in found.changed:
            refuse_kept(folder, "some of it is not what was kept")
            remove(folder / os.fsdecode(name))
    except (OSError, DamagedError) as error:
        if os.path.lexists(folder):
            refuse_kept(folder, str(error) if isinstance(error, DamagedError) else "it was not finished")
        discard(folder)
        return {}
    return {part.path: part for part in found.parts}


def _refuse(found: Compared, sha256: str) -> None:
    """Refuse what is not as it was, and what was another file from the beginning.

    Raises:
        DamagedError: something is not; the message names the first.
    """
    if found.changed:
        name, what = min(found.changed.items())
        raise DamagedError(f"{os.fsdecode(name) or 'it'} {what}")
    if sha256 and found.parts[0].content.hex() != sha256:
        raise DamagedError("it is another one")


def _load(path: Path) -> _Seal:
    try:
        return decode_packed(load_record(_place(path)), _Seal)
    except UnreadableError as error:
        raise DamagedError("its seal cannot be read") from error


def _write(path: Path, parts: tuple[KeptPart, ...]) -> None:
    write_record(_place(path), msgspec.msgpack.encode(_Seal(boot(), parts)))


def _place(path: Path) -> Path:
    return path.with_name(f"{path.name}{SUFFIX}")
