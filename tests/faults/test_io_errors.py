"""Errors of the system at each call that a verb makes on its files: one line, a known exit code, nothing half-made.

strace makes the n-th call of a kind fail, in the program and in whatever it starts. Which calls touch files of ours is
found by watching the verb once; earlier ones are the interpreter's, before a line of ours has run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.frame import SHORT, Case, select
from truewheel.models.tiny import write_tiny_model
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

ENGINE = Path(__file__).parents[1] / "data" / "tiny-engine"
FAKE = "llama_cpp_python-0.1-py3-none-any.whl"
"""A wheel that installs, and whose package says at once that it cannot be imported."""
SHORT_CASES = SHORT // 2
KNOWN = {0, 2, 3, 4, 5, 6, 7, 8}
SECONDS = 240
CALLS = {
    "write": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EXDEV"),
    "openat": ("EIO", "EMFILE", "EROFS"),
    "mkdir": ("ENOSPC", "EROFS"),
    "unlink": ("EIO",),
    "read": ("EIO",),
    "getdents64": ("EIO",),
    "close": ("EIO",),
    "ftruncate": ("ENOSPC",),
    "newfstatat": ("EIO", "ESTALE"),
    "flock": ("ENOLCK",),
}
"""Kinds of calls, and what each of them may end with."""


class World(NamedTuple):
    """A cache, a wheelhouse and a recipe that a verb may spoil."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        folder = self.folder
        places = {"TRUEWHEEL_CACHE_DIR": "cache", "TRUEWHEEL_WHEELHOUSE": "house", "TMPDIR": "t"}
        fixed = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, **fixed, **{name: str(folder / place) for name, place in places.items()}}

    def copy(self, target: Path) -> World:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.folder, target, symlinks=True)
        return World(target)

    def command(self, verb: str) -> list[str]:
        return [sys.executable, "-m", "truewheel", *self.arguments(verb)]

    def arguments(self, verb: str) -> list[str]:
        wheel = next(iter((self.folder / "house").glob("*.whl")), Path("none.whl"))
        recipe = self.folder / "engine" / "recipe.toml"
        # Nothing is known of it: what a stand-in for an engine answers is not what `tiny` gives.
        stranger = ("--model", str(self.folder / "stranger.gguf"))
        return {
            "list": ["list", "--json"],
            "check": ["check", str(wheel), "--no-cache", "--html", str(self.folder / "page.html")],
            "check kept": ["check", str(wheel)],
            "pick": ["pick", "--json"],
            "plan": ["plan", str(recipe), "--json"],
            "doctor": ["doctor"],
            "matrix": ["matrix"],
            "smoke": ["smoke", str(self.folder / FAKE), *stranger],
            "build": ["build", str(recipe), *stranger],
        }[verb]

    def run(self, verb: str, *before: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *self.command(verb)],
            env=self.environment,
            # Its own folder would be seen in calls that have nothing to do with it.
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )


def _traces() -> bool:
    """Return whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _traces(), reason="strace is not on this machine, or may not trace")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world in which the smallest engine was built, so that each verb has something to do."""
    from truewheel.config.locations import cache_root

    made = World(tmp_path_factory.mktemp("io") / "world")
    for name in ("cache", "t"):
        (made.folder / name).mkdir(parents=True)
    shutil.copytree(ENGINE, made.folder / "engine")
    _write_fake(made.folder / FAKE)
    write_tiny_model(made.folder / "stranger.gguf")
    tools = cache_root() / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    (made.folder / "cache" / "tools").symlink_to(tools)
    done = made.run("build")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def unproven(world: World) -> World:
    """The same, with the wheel gone: what was compiled is kept, and a build begins with that."""
    emptied = world.copy(world.folder.parent / "unproven")
    shutil.rmtree(emptied.folder / "house")
    return emptied


def _write_fake(path: Path) -> None:
    info = "llama_cpp_python-0.1.dist-info"
    head = "Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 0.1\n"
    members = {
        "llama_cpp/__init__.py": b"raise ImportError('a fake')\n",
        f"{info}/METADATA": head.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    write_wheel(path, {name: Member(data) for name, data in members.items()}, info)


def _watch(world: World, verb: str) -> tuple[int, dict[str, list[int]]]:
    """Return the exit code, and by the kind of call which of the program's own calls touch what is in its world."""
    log = world.folder / "strace.log"
    names = ",".join(CALLS)
    done = world.run(verb, "strace", "-f", "-y", "-s", "4096", "-qq", "-e", f"trace={names}", "-o", str(log))
    assert "Traceback" not in done.stderr, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    log.unlink()
    program = lines[0].split()[0]
    counts: dict[str, int] = dict.fromkeys(CALLS, 0)
    found: dict[str, list[int]] = {name: [] for name in CALLS}
    for line in lines:
        match = re.match(r"(\d+)\s+(\w+)\((.*)", line)
        if match is None or match[1] != program or match[2] not in CALLS:
            continue
        counts[match[2]] += 1
        if str(world.folder) in match[3]:
            found[match[2]].append(counts[match[2]])
    return done.returncode, found


def _judge(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback (most recent call last)" not in done.stderr, done.stderr[-3000:]
    assert done.returncode in KNOWN, f"exit code {done.returncode}: {done.stderr[-1000:]}"
    if done.returncode and done.returncode != 7:
        assert "error: " in done.stderr, done.stderr[-1000:]


def _attempt(start: World, verb: str, good: int, fault: str, place: int, error: str) -> Callable[[], None]:
    def attempt() -> None:
        world = start.copy(start.folder.parent / f"case-{os.getpid()}")
        try:
            inject = f"inject={fault}:error={error}:when={place}"
            before = ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={fault}", "-e", inject)
            _judge(world.run(verb, *before))
            again = world.run(verb)
            assert again.returncode == good, f"afterwards it ended with {again.returncode}: {again.stderr[-2000:]}"
            assert not list(world.folder.glob("house/.*.part")), "something half-made is in the wheelhouse"
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"no end after {SECONDS} s: {late.stderr}") from late
        finally:
            shutil.rmtree(world.folder, ignore_errors=True)

    return attempt


def make_cases(start: World, verb: str, most: int) -> list[Case]:
    """Return a verb's faults: of each kind of call some places, evenly spaced, with each error."""
    cases = []
    good, calls = _watch(start.copy(start.folder.parent / f"watch-{os.getpid()}"), verb)
    for fault, places in calls.items():
        for error in CALLS[fault]:
            chosen = select([Case(str(place), lambda: None) for place in places], most)
            cases += [
                Case(f"{verb}: {fault} {each.name} {error}", _attempt(start, verb, good, fault, int(each.name), error))
                for each in chosen
            ]
    return cases


QUICK = ("list", "check", "check kept", "pick", "plan", "doctor", "matrix", "smoke")


@needs_strace
@pytest.mark.parametrize("verb", QUICK)
def test_a_verb_survives_errors_of_the_system(
    world: World, verb: str, every: bool, survive: Callable[[str, Sequence[Case], int], None]
) -> None:
    if not every and verb not in ("list", "check"):
        pytest.skip("tried with --every")
    survive(f"system errors in {verb}", make_cases(world, verb, 3 if every else 2), SHORT_CASES)


@needs_strace
def test_a_build_survives_errors_of_the_system(
    unproven: World, every: bool, survive: Callable[[str, Sequence[Case], int], None]
) -> None:
    if not every:
        pytest.skip("tried with --every")
    survive("system errors in build", make_cases(unproven, "build", 2), SHORT_CASES)
