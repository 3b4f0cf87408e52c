"""Files, streams, names and surroundings that nobody meant: one line and a known exit code, soon."""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.frame import Case
from truewheel.wheel.archive import Member
from truewheel.wheel.writer import write_wheel

PROFILES = Path(__file__).parents[2] / "profiles"
KNOWN = {0, 2, 3, 4, 5, 6, 7, 8}
SECONDS = 60
WHEEL = "toy-1.0-py3-none-any.whl"
Survive = Callable[[str, Sequence[Case], int], None]


def run(folder: Path, line: str, *, more: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a line of the shell, in which `truewheel` is this program, in a folder with a cache of its own."""
    environment = {**os.environ, "TRUEWHEEL_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
    environment |= {"TRUEWHEEL_WHEELHOUSE": str(folder / "house"), "PY": sys.executable}
    script = f'truewheel() {{ "$PY" -m truewheel "$@"; }}; set -o pipefail; {line}'
    return subprocess.run(
        ["bash", "-c", script],
        env={**environment, **(more or {})},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def judge(done: subprocess.CompletedProcess[bytes], codes: set[int]) -> None:
    said = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in said, said[-3000:]
    assert "Exception ignored" not in said, said[-3000:]
    assert done.returncode in codes, f"exit code {done.returncode}: {said[-1000:]}"


def write_toy(folder: Path) -> Path:
    """Write a small sound wheel."""
    info = "toy-1.0.dist-info"
    members = {
        "toy/__init__.py": b"",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_wheel(folder / WHEEL, {name: Member(data) for name, data in members.items()}, info)
    return folder / WHEEL


def _case(
    name: str,
    root: Path,
    line: str,
    codes: set[int],
    make: Callable[[Path], object],
    more: dict[str, str] | None = None,
) -> Case:
    def attempt() -> None:
        folder = root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        make(folder)
        try:
            judge(run(folder, line, more=more), codes)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"no end after {SECONDS} s") from late

    return Case(name, attempt)


# Files of other kinds


def _socket(path: Path) -> None:
    # Bound by a program, its path could have few letters only.
    os.mknod(path, stat.S_IFSOCK | 0o600)


def _large(path: Path) -> None:
    with path.open("wb") as sink:
        sink.truncate(1 << 30)


KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": Path.mkdir,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/full": lambda path: path.symlink_to("/dev/full"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "1 GiB of nothing": _large,
    "random bytes": lambda path: path.write_bytes(os.urandom(4096)),
    "nothing": lambda path: path.write_bytes(b""),
}
READS = {
    "recipe": ("truewheel plan ./odd.toml", "odd.toml", {2}),
    "profile": (f"truewheel plan {PROFILES.parent}/recipes/llama-cpp-python/recipe.toml ./odd.toml", "odd.toml", {2}),
    "policy": (f"truewheel check {WHEEL} --policy odd.toml", "odd.toml", {2}),
    "wheel": ("truewheel check toy-2.0-py3-none-any.whl", "toy-2.0-py3-none-any.whl", {7}),
    "wheel to pick": ("truewheel pick toy-2.0-py3-none-any.whl", "toy-2.0-py3-none-any.whl", {2, 7}),
    "report": ("truewheel list --json", f"house/{WHEEL}.report.json", {0}),
    "report beside a pick": ("truewheel pick", f"house/{WHEEL}.report.json", {0}),
    "model": (f"truewheel smoke {WHEEL} --model ./odd.gguf", "odd.gguf", {2}),
}
"""What reads a file: the line, where the file lies, and the exit codes that it may end with."""


def test_files_of_other_kinds_are_refused(tmp_path: Path, survive: Survive) -> None:
    def plant(name: str, kind: str, folder: Path) -> None:
        write_toy(folder)
        write_toy(folder / "house")
        KINDS[kind](folder / READS[name][1])

    cases = [
        _case(f"{kind} as {name}", tmp_path, line, codes, functools.partial(plant, name, kind))
        for name, (line, _, codes) in READS.items()
        for kind in KINDS
    ]
    survive("files of other kinds to read", cases, 5)


WRITTEN = {
    "a pipe that nobody reads": os.mkfifo,
    "a socket": _socket,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to /dev/full": lambda path: path.symlink_to("/dev/full"),
    "a folder": Path.mkdir,
}


def test_files_of_other_kinds_are_not_waited_for(tmp_path: Path, survive: Survive) -> None:
    lines = {"page": "truewheel explain --html odd", "text": "truewheel explain --markdown odd"}
    cases = [
        _case(f"{kind} as {name}", tmp_path, line, {2, 8}, lambda folder, made=make: made(folder / "odd"))
        for name, line in lines.items()
        for kind, make in WRITTEN.items()
    ]
    survive("files of other kinds to write", cases, 3)


# What is written in them

DEEP = 200_000
BAD_TOML = {
    "a key of 100,000 dots": ".".join("a" * 100_000) + " = 1\n",
    "a table of 100,000 dots": "[" + ".".join("a" * 100_000) + "]\n",
    "deep arrays": "a = " + "[" * DEEP,
    "deep tables": "a = " + "{a = " * DEEP,
    "a long number": "schema = " + "9" * 100_000,
    "NUL": "schema = 1\0",
    "NUL in a text": 'schema = 1\n[source]\ntype = "path"\npath = "a\\u0000b"\nversion = "1"\n',
    "half a letter": 'a = "\\ud800"\n',
    "a name that is a command": '"::error::x\\n::error::y" = 1\n',
    "a megabyte of keys": "".join(f"k{number} = 1\n" for number in range(60_000)),
}
BAD_JSON = {
    "deep arrays": "[" * 1_000_000,
    "deep tables": '{"findings":' * DEEP,
    "a long number": '{"size": ' + "9" * 100_000 + "}",
    "half a letter": '{"verdict": "\\ud800"}',
    "NUL": "\0" * 100,
    "another shape": "[]",
    "numbers of another kind": '{"verdict": 1, "size": 1e999, "created": [], "digest": {}, "findings": 0, "level": 0}',
}


def test_texts_that_are_none_of_ours_are_refused(tmp_path: Path, survive: Survive) -> None:
    def write(name: str, text: str, folder: Path) -> None:
        write_toy(folder)
        write_toy(folder / "house")
        (folder / name).write_text(text)

    toml = {
        f"{name} as {what}": (READS[what][0], READS[what][2], text)
        for what in ("recipe", "profile", "policy")
        for name, text in BAD_TOML.items()
    }
    cases = [
        _case(name, tmp_path, line, codes, functools.partial(write, "odd.toml", text))
        for name, (line, codes, text) in toml.items()
    ]
    for what in ("report", "report beside a pick"):
        line, place, codes = READS[what]
        cases += [
            _case(f"{name} as {what}", tmp_path, line, codes, functools.partial(write, place, text))
            for name, text in BAD_JSON.items()
        ]
    survive("texts that are none of ours", cases, 4)


# Streams, names and surroundings

STREAMS = {
    ">&-": {8},
    ">/dev/full": {8},
    "| head -c 1 >/dev/null": {0},
    "2>&-": {0},
    "2>/dev/full": {0},
    "<&-": {0},
    "<&- >&- 2>&-": {8},
    "</dev/full": {0},
}
TALKERS = ("explain", "schema", "--help", "doctor --help", "--version", "list --json", "matrix", f"check {WHEEL}")


def test_streams_that_are_closed_or_full(tmp_path: Path, survive: Survive) -> None:
    cases = [
        _case(f"{verb} {stream}", tmp_path, f"truewheel {verb} {stream}", codes, write_toy)
        for verb in TALKERS
        for stream, codes in STREAMS.items()
    ]
    survive("streams that are closed or full", cases, 5)


ODD = {"bytes": b"a\xff\xfeb", "quotes": b"a'\"b", "spaces": b"a  b ", "a line end": b"a\nb", "a dollar": b"$(x)`y`"}


def test_names_that_are_no_text(tmp_path: Path, survive: Survive) -> None:
    cases = []
    for name, raw in ODD.items():
        odd = os.fsdecode(raw)
        lines = {
            "folder of a wheel": (f'truewheel check "$ODD"/{WHEEL} --json', {0}),
            "folder of a wheel, for people": (f'truewheel check "$ODD"/{WHEEL} --html "$ODD/page" --markdown', {0}),
            "wheel": ('truewheel check "$ODD.whl" --json', {7}),
            "wheelhouse": ('truewheel list --wheelhouse "$ODD" --json', {0}),
            "wheelhouse to pick from": ('truewheel pick "$ODD"', {0, 2, 7}),
            "recipe": ('truewheel plan "$ODD/recipe.toml"', {2}),
            "policy": (f'truewheel check "$ODD"/{WHEEL} --policy "$ODD/none"', {2}),
            "model": (f'truewheel smoke "$ODD"/{WHEEL} --model "$ODD/none.gguf"', {2}),
            "code": ('truewheel explain "$ODD"', {2}),
            "verb": ('truewheel "$ODD"', {2}),
            "TMPDIR": (f'TMPDIR="$PWD/$ODD" truewheel check "$ODD"/{WHEEL}', {0}),
            "cache": (f'TRUEWHEEL_CACHE_DIR="$PWD/$ODD/c" truewheel check "$ODD"/{WHEEL}', {0}),
            "cache of compilers": ('TRUEWHEEL_CACHE_DIR="$PWD/$ODD/c" TMPDIR="$PWD/$ODD" truewheel matrix', {0}),
        }
        for what, (line, codes) in lines.items():

            def make(folder: Path, odd: str = odd) -> None:
                write_toy(folder / odd)
                write_toy(folder).rename(folder / f"{odd}.whl")

            cases.append(_case(f"{name} in {what}", tmp_path, line, codes, make, {"ODD": odd}))
    survive("names that are no text", cases, 4)


PLACES = {
    "no HOME": "env -u HOME -u TRUEWHEEL_CACHE_DIR",
    "an empty HOME": "env -u TRUEWHEEL_CACHE_DIR HOME=",
    "a HOME that is not there": "env -u TRUEWHEEL_CACHE_DIR HOME=/nowhere/at/all",
    "a cache that is a file": f"env TRUEWHEEL_CACHE_DIR=$PWD/{WHEEL}",
    "a cache in /proc": "env TRUEWHEEL_CACHE_DIR=/proc/nothing",
    "a TMPDIR that is not there": "env TMPDIR=/nowhere",
    "a wheelhouse that is a file": f"env TRUEWHEEL_WHEELHOUSE=$PWD/{WHEEL}",
    "the locale C": "env LC_ALL=C LANG=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0",
    "ASCII alone": "env PYTHONIOENCODING=ascii",
    "Latin letters alone": "env PYTHONIOENCODING=latin-1",
    "a dumb terminal": "env TERM=dumb",
    "no terminal": "env -u TERM",
    "a library that is not there": "env LD_PRELOAD=/nowhere/lib9.9.9.so",
    "few open files": "prlimit --nofile=40",
    "an empty environment": "env -i PYTHONPATH=$PYTHONPATH",
}
VERBS = ("list", "matrix", f"check {WHEEL}", "explain --json", "pick .", "schema")


def test_surroundings_that_nobody_meant(tmp_path: Path, survive: Survive) -> None:
    cases = [
        _case(f"{verb} with {name}", tmp_path, f'{place} "$PY" -m truewheel {verb}', KNOWN, write_toy)
        for verb in VERBS
        for name, place in PLACES.items()
    ]
    gone = 'mkdir gone; cd gone; rmdir "$OLDPWD/gone"; truewheel'
    cases += [_case(f"{verb} in no folder", tmp_path, f"{gone} {verb}", KNOWN, write_toy) for verb in VERBS]
    survive("surroundings that nobody meant", cases, 5)


def test_a_library_that_is_not_there_changes_no_plan(tmp_path: Path) -> None:
    """The loader's complaint must not be taken for what a compiler or a tool says of itself."""
    said = [
        run(tmp_path, "truewheel doctor --json", more=more).stdout
        for more in ({}, {"LD_PRELOAD": "/nowhere/lib9.9.9.so", "CPATH": "/nowhere", "CFLAGS": "-O9"})
    ]
    tools = [json.loads(text) for text in said]
    assert "9.9.9" not in said[1].decode()
    assert tools[0].keys() == tools[1].keys()
