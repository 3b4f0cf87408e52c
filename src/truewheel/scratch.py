"""Temporary files and folders: each is written down before it is made, so that what a killed run left is found.

Every run that makes one keeps a journal, locked for as long as the run lives. The next run removes what the journals
name that nobody holds; usually there are none, which costs one look into one folder.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from truewheel import signals
from truewheel.guardian import Guard, end_processes

_OURS = re.compile(rb"[^/]+\.[0-9a-f]{16}\.part")
_TOKEN = re.compile(rb"[0-9]+-[0-9a-f]{16}\.")
_MOST_BYTES = 16 << 20


def make_name(stem: str) -> str:
    """Return a name that nobody else has, and that says what it is: every temporary file and folder has such a one."""
    return f"{stem}.{os.urandom(8).hex()}.part"


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises:
        OSError: there is none that can be written to.
    """
    import tempfile

    return Path(tempfile.gettempdir())


class Scratch:
    """What one process has made for a while.

    Args:
        guard: marks what the process starts.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard, self._owner = guard, os.getpid()
        self._journals: Path | None = None
        self._journal, self._open = Path(), -1
        self._live: dict[Path, None] = {}
        self._children: Path | None = None

    def keep_journals(self, folder: Path) -> None:
        """Keep a journal there from now on; where it cannot be written to, there is none."""
        self._journals = folder

    @contextlib.contextmanager
    def beside(self, path: Path) -> Iterator[Path]:
        """Yield a path beside another for a file or a folder to be made at; what is there at the end is removed."""
        with self._removing(path.with_name(make_name(f".{path.name}"))) as place:
            yield place

    @contextlib.contextmanager
    def folder(self, stem: str, within: Path | None = None) -> Iterator[Path]:
        """Make a folder that only we can read, and delete it afterwards.

        Args:
            stem: what its name begins with.
            within: the folder above, which must exist; None for that of temporary files.

        Raises:
            OSError: it cannot be made.
        """
        with self._removing((within or temporary_folder()) / make_name(stem)) as place:
            place.mkdir(mode=0o700)
            yield place

    @contextlib.contextmanager
    def for_libraries(self) -> Iterator[None]:
        """Let libraries that make temporary files in this process make them in a folder of ours."""
        import tempfile

        # That one lasts longer.
        self.for_children()
        before = tempfile.tempdir
        with self.folder("truewheel-library") as folder:
            tempfile.tempdir = str(folder)
            try:
                yield
            finally:
                tempfile.tempdir = before

    @contextlib.contextmanager
    def _removing(self, place: Path) -> Iterator[Path]:
        # Written down absolute; links are not followed.
        place = Path.cwd() / place
        self._note(place)
        try:
            yield place
        finally:
            remove(place)
            self._live.pop(place, None)

    def for_children(self) -> Path | None:
        """Return the folder in which programs that we start put their temporary files; None where none can be made."""
        if self._children is None or self._owner != os.getpid():
            self._disown()
            with contextlib.suppress(OSError), signals.postponed():
                place = temporary_folder() / make_name("truewheel-run")
                self._note(place)
                place.mkdir(mode=0o700)
                self._children = place
        return self._children

    def clear(self) -> None:
        """Remove everything that is still there, and forget that it was."""
        if self._owner == os.getpid():
            for place in list(self._live):
                remove(place)
            self._live.clear()
            self._children = None
            self._close()

    def _disown(self) -> None:
        """Leave to the process that we were forked from what is its own."""
        if self._owner != os.getpid():
            self._owner, self._live, self._children, self._open = os.getpid(), {}, None, -1

    def _note(self, place: Path) -> None:
        """Write a path down, before anything is there."""
        self._disown()
        self._live[place] = None
        with contextlib.suppress(OSError), signals.postponed():
            if self._open < 0 and self._journals is not None:
                self._guard.next_mark()
                self._journals.mkdir(parents=True, exist_ok=True)
                self._journal, self._open = _open_journal(self._journals, self._guard.token)
            if self._open >= 0:
                os.write(self._open, os.fsencode(place) + b"\0")

    def _close(self) -> None:
        if self._open >= 0:
            self._journal.unlink(missing_ok=True)
            os.close(self._open)
            self._open = -1


def _open_journal(folder: Path, token: str) -> tuple[Path, int]:
    """Make a journal and lock it; its first entry is the mark of what the run starts.

    Raises:
        OSError: there can be none.
    """
    for _ in range(10):
        path = folder / f"{os.getpid()}-{os.urandom(8).hex()}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                os.write(descriptor, token.encode() + b"\0")
                return path, descriptor
        except BlockingIOError:
            # Another run has taken it for one that nobody holds.
            pass
        except OSError:
            path.unlink()
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError("no journal can be locked")


def sweep(folder: Path) -> None:
    """End and remove what runs left that were killed: those whose journal in a folder nobody holds any more."""
    try:
        journals = list(folder.iterdir())
    except OSError:
        return
    for journal in journals:
        with contextlib.suppress(OSError):
            _sweep_journal(journal)


def _sweep_journal(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # An entry whose end is missing was never made.
        token, *places = os.read(descriptor, _MOST_BYTES).split(b"\0")[:-1] or [b""]
        if _TOKEN.fullmatch(token):
            end_processes(token.decode())
        for place in reversed(places):
            if _OURS.fullmatch(os.path.basename(place)):  # noqa: PTH119 - bytes
                _remove_own(Path(os.fsdecode(place)))
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _remove_own(place: Path) -> None:
    """Remove a file or folder unless it is a link or another user's."""
    with contextlib.suppress(OSError):
        status = place.lstat()
        if status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode):
            remove(place)


def remove(place: Path) -> None:
    """Remove a file or a whole folder as far as that is possible, however deep, also where its folders are closed."""
    try:
        place.unlink(missing_ok=True)
    except IsADirectoryError:
        import shutil

        # It calls itself for each level.
        with contextlib.suppress(RecursionError):
            shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):
            if place.exists():
                _flatten(place)
    except OSError:
        pass


def _flatten(root: Path) -> None:
    """Remove a folder by taking each one in it apart, after moving those within to the top: no path gets long."""
    root.chmod(0o700)
    found = [root]
    while found:
        folder = found.pop()
        for each in list(os.scandir(folder)):
            if not each.is_dir(follow_symlinks=False):
                os.unlink(each.path)  # noqa: PTH108 - no Path is needed
                continue
            top = root / make_name("folder")
            os.chmod(each.path, 0o700)  # noqa: PTH101 - the same
            Path(each.path).rename(top)
            found.append(top)
        if folder != root:
            folder.rmdir()
    root.rmdir()


GUARD = Guard()
SCRATCH = Scratch(GUARD)


def tidy() -> None:
    """Remove what is still there of what this process made, and let its guardian go."""
    SCRATCH.clear()
    GUARD.leave()


atexit.register(tidy)
