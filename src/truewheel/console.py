"""The only writer to the terminal: data to stdout, talk to stderr; every line is made harmless here."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from truewheel import streams
from truewheel.errors import StoreError
from truewheel.text import clean, cut, json_of, line_of, time_words

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_LONGEST = 4000
"""Letters of a line of talk, so that no name floods the terminal."""


class ReaderGoneError(Exception):
    """Whoever read our data has gone, which is no fault; click would take a BrokenPipeError for one."""


class Steps:
    """Progress of one stage, fed with counts; a bar on a terminal, sparse lines elsewhere.

    Args:
        console: where to talk.
        title: what is being done.
    """

    _LINE_EVERY_SECONDS = 15.0

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Steps:  # noqa: PYI034 - Self is not in the typing module of Python 3.10
        if self._console.animated:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[detail]}", style="dim", markup=False),
                console=RichConsole(file=self._console.talk_stream),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(clean(self._title), total=None, detail="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, done: int, total: int, detail: str = "", seconds: float | None = None) -> None:
        """Show that `done` of `total` units are finished, and how long the others take."""
        left = "" if seconds is None else f", about {time_words(seconds)} left"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, detail=f"{clean(detail[-40:])}{left}")
            return
        now = time.monotonic()
        if now - self._last_line >= self._LINE_EVERY_SECONDS or done == total:
            self._last_line = now
            self._console.say(f"  {self._title}: {done} of {total}{left}")


class Console:
    """What the program says and to whom.

    Args:
        quiet: leave out everything but warnings and errors.
        environ: the environment that says whether colour, animation and fold groups are wanted.
    """

    def __init__(self, *, quiet: bool = False, environ: dict[str, str] | None = None) -> None:
        environment = dict(os.environ) if environ is None else environ
        self.quiet = quiet
        self.talk_stream: TextIO = sys.stderr
        terminal = self.talk_stream.isatty() and environment.get("TERM") != "dumb"
        self._colour = terminal and "NO_COLOR" not in environment
        self._paints = sys.stdout.isatty() and environment.get("TERM") != "dumb" and "NO_COLOR" not in environment
        self.animated = terminal and not quiet and "CI" not in environment
        self._folds = environment.get("GITHUB_ACTIONS") == "true"
        self._styles: set[str] = set()

    def style(self, text: str, code: str) -> str:
        """Wrap text in an ANSI style when the terminal takes colour."""
        return self._wrap(text, code) if self._colour else text

    def paint(self, text: str, code: str) -> str:
        """Wrap text of the data in an ANSI style when stdout is a terminal that takes colour."""
        return self._wrap(text, code) if self._paints else text

    def say(self, *lines: str) -> None:
        """Write lines of talk, each of which stays one; an empty one when there is none."""
        if not self.quiet:
            for line in lines or ("",):
                self._write(line)

    def warn(self, text: str) -> None:
        """Write a warning; it is shown even when quiet."""
        self._write(f"{self.style('warning:', '1;33')} {text}")

    def error(self, text: str, hint: str = "") -> None:
        """Write an error, and after an empty line the hint."""
        self._write(f"{self.style('error:', '1;31')} {text}")
        if hint:
            self._write("")
            self._write(f"{self.style('hint:', '1;36')} {hint}")

    def data(self, *lines: str) -> None:
        """Write lines of data to stdout, each of which stays one.

        Raises:
            ReaderGoneError: whoever read it has gone.
            StoreError: it cannot be written.
        """
        self._print("".join(f"{line_of(line, self._styles)}\n" for line in lines))

    def json(self, text: str) -> None:
        """Write JSON to stdout.

        Raises:
            ReaderGoneError: whoever read it has gone.
            StoreError: it cannot be written.
        """
        self._print(json_of(text))

    @contextlib.contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        """Frame one stage: its name before, its wall time behind it; folded on CI."""
        if self._folds and not self.quiet:
            # A percent sign begins the number of a letter there.
            self._command(f"::group::{name}: {line_of(what).replace('%', '%25')}")
        else:
            self.say(f"{self.style(f'{name:>7}', '1;32')}  {what}")
        start = time.monotonic()
        try:
            yield
        finally:
            if self._folds and not self.quiet:
                self._command("::endgroup::")
        self.say(self.style(f"{'':>7}  {name} took {time.monotonic() - start:.1f} s", "2"))

    def steps(self, title: str) -> Steps:
        """Return a progress display; use it as a context manager."""
        return Steps(self, title)

    def _wrap(self, text: str, code: str) -> str:
        self._styles |= {code, "0"}
        return f"\x1b[{code}m{line_of(text)}\x1b[0m"

    def _write(self, text: str) -> None:
        self._command(line_of(text if len(text) <= _LONGEST else cut(clean(text), _LONGEST), self._styles))

    def _command(self, line: str) -> None:
        """Write a line as it is, which may be a command to whoever reads the log."""
        # Nobody listens: that is no reason to leave the work undone.
        with contextlib.suppress(OSError):
            streams.write(self.talk_stream, line + "\n")

    def _print(self, text: str) -> None:
        try:
            streams.write(sys.stdout, text)
        except OSError as error:
            raise (ReaderGoneError() if error.errno == errno.EPIPE else unwritten(error)) from error


def unwritten(error: OSError) -> StoreError:
    """Return the error for data that standard output did not take."""
    return StoreError(f"cannot write to standard output: {error.strerror or error}", hint="write it somewhere else")
