"""Flips in everything that is kept: afterwards comes what comes of a clean cache, or an honest error."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.frame import Case
from tests.faults.keepers import KEEPERS, Keeper
from truewheel.config.locations import cache_root
from truewheel.errors import TruewheelError
from truewheel.kept import parts

POSITIONS = 16
SHORT = 9
"""Cases of a keeper that CI tries."""
_TICK = 0.012
"""Longer than a tick of an old kernel's clock, seconds."""
_SECONDS = 20


def flip(path: Path, part: float, bit: int) -> None:
    """Change one bit in place."""
    data = bytearray(path.read_bytes()) or bytearray(b"\0")
    data[min(len(data) - 1, int(part * len(data)))] ^= 1 << bit
    with path.open("r+b") as stream:
        stream.write(data)


def flip_and_hide(path: Path, part: float, bit: int) -> None:
    """Change one bit in place and set the time back."""
    status = path.stat()
    flip(path, part, bit)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def replace(path: Path, put: Callable[[Path], object]) -> None:
    path.unlink()
    put(path)


def plant(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/passwd")


WHOLE: dict[str, Callable[[Path], object]] = {
    "cut in the middle": partial(rewrite, change=lambda data: data[: len(data) // 2]),
    "cut by one": partial(rewrite, change=lambda data: data[:-1]),
    "longer by one": partial(rewrite, change=lambda data: data + b"\n"),
    "twice": partial(rewrite, change=lambda data: data * 2 or b"x"),
    "emptied": partial(rewrite, change=lambda _: b""),
    "zeros of its size": partial(rewrite, change=lambda data: bytes(len(data))),
    "deleted": Path.unlink,
    "a pipe": partial(replace, put=os.mkfifo),
    "a folder": partial(replace, put=Path.mkdir),
    "a link to /dev/zero": partial(replace, put=lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": partial(replace, put=lambda path: path.symlink_to(path.name)),
    "a socket's name": partial(replace, put=lambda path: path.symlink_to("/dev/fd/99")),
    "not to be read": lambda path: path.chmod(0),
}
BESIDE: dict[str, Callable[[Path], object]] = {
    "a file put beside": lambda path: path.with_name("planted.h").write_bytes(b"int planted;\n"),
    "a link put beside": lambda path: plant(path.with_name("planted")),
}


def damages() -> dict[str, Callable[[Path], object]]:
    """Return everything that is done to a file."""
    found: dict[str, Callable[[Path], object]] = {}
    for number in range(POSITIONS):
        part, bit = number / (POSITIONS - 1), number % 8
        found[f"bit {bit} at {part:.0%}"] = partial(flip, part=part, bit=bit)
        found[f"bit {bit} at {part:.0%}, time set back"] = partial(flip_and_hide, part=part, bit=bit)
    return {**found, **WHOLE, **BESIDE}


@contextlib.contextmanager
def within_time() -> Iterator[None]:
    """Let what hangs fail."""

    def end(*_: object) -> None:
        raise AssertionError(f"no end after {_SECONDS} s")

    former = signal.signal(signal.SIGALRM, end)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def settle(keeper: Keeper) -> Any:
    """Return what comes of a cache that is whole and trusted by size and time."""
    keeper.use()
    time.sleep(_TICK)
    return keeper.use()


def try_damage(keeper: Keeper, sound: Any, name: Path, damage: Callable[[Path], object]) -> None:
    """Damage what is kept, use it, and leave it whole."""
    path = cache_root() / name
    assert settle(keeper) == sound, "it is not what it was even before"
    assert path.is_file(), "there is nothing to damage"
    damage(path)
    try:
        with within_time():
            keeper.judge(sound, keeper.use())
    except TruewheelError:
        shutil.rmtree(keeper.root)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        shutil.rmtree(keeper.root)
        raise AssertionError(f"it ends in a traceback: {error!r}") from error


def cases(keeper: Keeper, sound: Any) -> Iterator[Case]:
    """Yield the cases of everything that a keeper keeps, its seals as well."""
    keeper.use()
    seen = cache_root() / "seen"
    for path in sorted([*keeper.root.rglob("*"), *seen.rglob("*")]):
        if path.is_file() and keeper.is_used(path) and not path.name.endswith((".lock", ".md")):
            name = path.relative_to(cache_root())
            for what, damage in damages().items():
                yield Case(f"{name}: {what}", partial(try_damage, keeper, sound, name, damage))


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Use a cache of our own, in which size and times are trusted as soon as they are."""
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "_MOMENT", -1)
    return monkeypatch


@pytest.mark.parametrize("kind", KEEPERS, ids=lambda kind: kind.name)
def test_nothing_that_was_changed_is_served(
    kind: type[Keeper], trusting: pytest.MonkeyPatch, tmp_path: Path, survive: Callable[..., None]
) -> None:
    (tmp_path / "scratch").mkdir()
    keeper = kind(tmp_path / "scratch", trusting)
    survive(f"flips in {kind.name}", list(cases(keeper, settle(keeper))), SHORT)


def test_a_flip_that_is_not_seen_is_counted(trusting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mechanism that trusts everything falls under these cases."""
    (tmp_path / "scratch").mkdir()
    kind = next(kind for kind in KEEPERS if kind.name == "built")
    keeper = kind(tmp_path / "scratch", trusting)
    sound = settle(keeper)
    trusting.setattr("truewheel.build.kept.is_kept", lambda *_, **__: True)
    (wheel,) = keeper.root.rglob("*.whl")
    with pytest.raises(AssertionError, match="clean cache"):
        try_damage(keeper, sound, wheel.relative_to(cache_root()), partial(flip, part=0.5, bit=0))
