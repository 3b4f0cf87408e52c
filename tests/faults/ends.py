"""A run of truewheel that is ended from outside, and what it leaves: programs, files, and a result the next time."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

import truewheel
from truewheel.config.locations import cache_root
from truewheel.machine.tools import fetch_tool
from truewheel.models.tiny import write_tiny_model
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

_PR_SET_CHILD_SUBREAPER = 36
_LEFT_SECONDS = 3.0
_ENGINE = Path(__file__).parents[1] / "data" / "tiny-engine"
_LASTING = {"tools", "probes", "models", "limits"}
"""What a verb finds again in the cache in each case: the rest is made anew, or nothing could be interrupted."""


class Verb(NamedTuple):
    """A verb, and what matters of the result that it prints as JSON.

    Attributes:
        arguments: of the command line; WHEEL, RECIPE and MODEL stand for paths.
        result: takes what must be the same each time out of it.
        code: with which it ends undisturbed.
    """

    arguments: tuple[str, ...]
    result: Callable[[Any], object]
    code: int = 0


def _report(answer: Any) -> object:
    reports = answer if isinstance(answer, list) else [answer]
    return [[each["verdict"], each["sha256"], [finding["code"] for finding in each["findings"]]] for each in reports]


_STRANGER = ("--model", "MODEL")
"""A model of which nothing is known: what a stand-in for an engine answers is not what `tiny` gives."""
_LITTLE = ("--model", "tiny", "--rounds", "2", "--repeat", "1", "--prefill", "8", "--decode", "8")
_LESS = ("--depth", "0", "--answer", "0", "--no-limits")
VERBS = {
    "build": Verb(("build", "RECIPE", "--toolchain", "gcc", *_STRANGER), lambda answer: answer["report"]["verdict"]),
    "check": Verb(("check", "WHEEL"), _report),
    "check --run": Verb(("check", "--run", "WHEEL"), _report),
    "smoke": Verb(("smoke", "WHEEL", *_STRANGER), _report),
    "compare": Verb(("compare", "WHEEL", "WHEEL"), len),
    # The engine answers, but has none of what is measured: that is told after it was installed and tried.
    "bench": Verb(("bench", "WHEEL", *_LITTLE, *_LESS), len, code=7),
    "list": Verb(("list",), len),
    "plan": Verb(("plan", "RECIPE", "--toolchain", "gcc"), lambda answer: answer["digest"]),
    "pick": Verb(("pick", "WHEEL"), len),
}


class Place(NamedTuple):
    """Folders of a run of its own."""

    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def house(self) -> Path:
        return self.root / "house"

    @property
    def temporary(self) -> Path:
        return self.root / "temporary"

    def command(self, verb: Verb) -> list[str]:
        words = {
            "WHEEL": str(next(iter(self.house.glob("*.whl")), "")),
            "RECIPE": str(self.root / "engine/recipe.toml"),
            "MODEL": str(self.root / "links/stranger.gguf"),
        }
        arguments = [words.get(argument, argument) for argument in verb.arguments]
        return [sys.executable, "-m", "truewheel", *arguments, "--json"]

    def options(self) -> dict[str, Any]:
        places = {"TRUEWHEEL_CACHE_DIR": self.cache, "TRUEWHEEL_WHEELHOUSE": self.house, "TMPDIR": self.temporary}
        source = str(Path(truewheel.__file__).parents[1])
        variables = {**os.environ, "PYTHONPATH": source, **{name: str(path) for name, path in places.items()}}
        # What it depends on lies here: no index is asked.
        variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "links")}
        return {"env": variables, "cwd": self.root, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def run(self, verb: Verb) -> object:
        """Run a verb undisturbed and return what matters of its result."""
        done = subprocess.run(self.command(verb), **self.options(), timeout=300, check=False)
        assert done.returncode == verb.code, f"exit {done.returncode}: {done.stderr[-1500:]}"
        return verb.result(json.loads(done.stdout or "[]"))

    def sweep(self) -> None:
        """Start truewheel once more, for nothing."""
        subprocess.run(self.command(VERBS["list"]), **self.options(), timeout=60, check=False)

    def litter(self) -> list[str]:
        """Return what lies there that no run leaves in order."""
        found = list(self.temporary.iterdir())
        for folder in (self.cache, self.house):
            found += [path for path in folder.rglob("*.part") if not path.is_relative_to(self.cache / "tools")]
        found += [path for name in ("runs", "work") for path in (self.cache / name).glob("*")]
        return [str(path.relative_to(self.root)) for path in found]


class Known(NamedTuple):
    """What a verb comes to undisturbed, and after how many seconds."""

    result: object
    seconds: float


class Ground(NamedTuple):
    """What every case begins with.

    Attributes:
        place: caches and a wheelhouse that are complete.
    """

    place: Place

    def know(self, name: str) -> Known:
        """Return what a verb comes to undisturbed; it is run once, however many processes ask."""
        told = self.place.root / f"{name.replace(' ', '')}.json"
        with FileLock(f"{told}.lock"):
            if not told.exists():
                own = self.place_for(name, told.with_suffix(""))
                start = time.monotonic()
                result = own.run(VERBS[name])
                known = Known(result, time.monotonic() - start)
                assert not (left := own.litter()), f"an undisturbed run leaves {left}"
                told.write_text(json.dumps(known))
            return Known(*json.loads(told.read_text()))

    def place_for(self, name: str, folder: Path) -> Place:
        """Return a place like ours in which a verb has everything to do."""
        place = Place(folder)
        place.temporary.mkdir(parents=True)
        place.cache.mkdir()
        for path in self.place.cache.iterdir():
            if path.name in _LASTING:
                (place.cache / path.name).symlink_to(path)
        for each in ("engine", "links"):
            shutil.copytree(self.place.root / each, folder / each)
        if name != "build":
            shutil.copytree(self.place.house, place.house)
        return place


def lay_ground(root: Path) -> Ground:
    """Build the smallest engine."""
    place = Place(root)
    place.temporary.mkdir(parents=True)
    place.cache.mkdir()
    # The compile cache's program comes from the index, once for all tests.
    fetch_tool("sccache", print)
    (place.cache / "tools").symlink_to(cache_root() / "tools")
    _make_engine(root)
    place.run(VERBS["build"])
    return Ground(place)


def _make_engine(root: Path) -> None:
    """Copy the smallest engine under the name of one that every verb knows, and let it depend on a package."""
    engine = root / "engine"
    shutil.copytree(_ENGINE, engine)
    (engine / "source" / "tiny_engine").rename(engine / "source" / "llama_cpp")
    for path in (path for path in engine.rglob("*") if path.is_file()):
        text = path.read_text().replace("tiny-engine", "llama-cpp-python").replace("tiny_engine", "llama_cpp")
        path.write_text(text)
    project = engine / "source" / "pyproject.toml"
    name = '\nname = "llama_cpp_python"\ndependencies = ["truewheel-nothing"]\n'
    project.write_text(project.read_text().replace('\nname = "llama_cpp"\n', name))
    (root / "links").mkdir()
    folder = "truewheel_nothing-1.0.dist-info"
    members = {
        "truewheel_nothing.py": Member(b""),
        f"{folder}/METADATA": Member(b"Metadata-Version: 2.1\nName: truewheel-nothing\nVersion: 1.0\n"),
        f"{folder}/WHEEL": Member(b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    }
    write_tiny_model(root / "links" / "stranger.gguf")
    write_wheel(root / "links" / "truewheel_nothing-1.0-py3-none-any.whl", members, folder)


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Let what loses its parent become our child, so that nothing escapes us, whatever it does."""
    call = ctypes.CDLL(None, use_errno=True).prctl
    call(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        call(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _offspring() -> list[tuple[int, str]]:
    """Return the processes below us that run, with what each is; the dead among our children are buried."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (path / "stat").read_text()
            state, parent = text.rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                os.waitpid(int(path.name), os.WNOHANG)
            elif state != "Z":
                parents[int(path.name)] = int(parent)
                names[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    below = {os.getpid()}
    while more := {number for number, parent in parents.items() if parent in below} - below:
        below |= more
    return [(number, names[number]) for number in sorted(below - {os.getpid()})]


def await_no_orphans(before: set[int]) -> None:
    """Give programs three seconds to go; end and name those that are still there."""
    until = time.monotonic() + _LEFT_SECONDS
    while left := [each for each in _offspring() if each[0] not in before]:
        if time.monotonic() >= until:
            for number, _ in left:
                os.kill(number, signal.SIGKILL)
            raise AssertionError(f"still running: {left}")
        time.sleep(0.05)


def end_and_look(
    ground: Ground, name: str, number: int, folder: Path, begin: Callable[[list[str]], Sequence[str]], seconds: float
) -> None:
    """Start a verb, end it, and look at what is left and what the next run comes to.

    Args:
        ground: what the run begins with.
        name: of the verb.
        number: of the signal.
        folder: where it runs; removed when it survived.
        begin: returns the command that is started, made of the verb's.
        seconds: after which the signal is sent; 0 where the command sends it.
    """
    ground.know(name)
    place, verb = ground.place_for(name, folder), VERBS[name]
    with adopting():
        before = {each for each, _ in _offspring()}
        run = subprocess.Popen(begin(place.command(verb)), **place.options())
        if seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(timeout=seconds)
            run.send_signal(number)
        try:
            _, said = run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.kill()
            raise AssertionError("it goes on after the signal") from None
        assert run.returncode in {verb.code, -number}, f"exit {run.returncode}: {said[-1500:]}"
        assert "Traceback" not in said, said[-1500:]
        if number == signal.SIGKILL:
            place.sweep()
        await_no_orphans(before)
        if name == "build" and number == signal.SIGKILL:
            # Its work folder is the same each time, and the next build's.
            shutil.rmtree(place.cache / "work", ignore_errors=True)
        assert not (left := place.litter()), f"it leaves {left}"
        assert place.run(verb) == ground.know(name).result, "the next run comes to something else"
        assert not (left := place.litter()), f"the next run leaves {left}"
        await_no_orphans(before)
    shutil.rmtree(folder)
