"""Find wheels, judge each, and choose the best of each project."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from truewheel.errors import LoadError, PlanError
from truewheel.pick.candidate import Candidate, Choice
from truewheel.pick.choose import choose
from truewheel.pick.judge import REJECTED, identify, judge
from truewheel.pick.target import TargetPython
from truewheel.text import clean, join_words


def find_wheels(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are and the wheels of folders, each once; folders of folders are left alone.

    Raises:
        LoadError: a path is not there or cannot be read, or a folder has no wheel.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            files = [path]
            if stat.S_ISDIR(path.stat().st_mode) and path.resolve().name != REJECTED:
                files = sorted(each for each in path.iterdir() if each.name.endswith(".whl"))
            for file in files:
                found.setdefault(file.parent.resolve() / file.name, file.absolute())
        except OSError as error:
            hint = "`truewheel build` makes a wheel; or name another folder"
            raise LoadError(f"cannot read {clean(str(path))}: {error.strerror or error}", hint=hint) from error
        if not files:
            hint = "`truewheel build` makes one; or name another folder"
            raise LoadError(f"there is no wheel in {clean(str(path))}", hint=hint)
    return list(found.values())


def pick_wheels(
    paths: Iterable[Path], target: TargetPython, *, engine: str = "", tell: Callable[[int, int, str], None]
) -> tuple[Choice, ...]:
    """Judge wheels and choose the best of each project.

    Args:
        paths: folders and wheels.
        target: the machine and the Python.
        engine: the only project that is wanted; empty for all.
        tell: told how many are judged, of how many, and which comes next.

    Raises:
        PlanError: this is not Linux.
        LoadError: there is nothing to judge.
    """
    if not sys.platform.startswith("linux"):
        raise PlanError(f"wheels are read on Linux, and this is {sys.platform}", hint="use a Linux container")
    found = [identify(path) for path in find_wheels(paths)]
    wanted = canonicalize_name(engine)
    projects = sorted({each.project for each in found} - {""})
    if wanted and wanted not in projects:
        there = f"there are wheels of {join_words(projects, 9)}" if projects else "there is no wheel at all"
        raise LoadError(f"there is no wheel of {clean(wanted)}", hint=there)
    groups: dict[str, list[Candidate]] = {}
    found = sorted((each for each in found if wanted in ("", each.project)), key=lambda each: each.project)
    for number, each in enumerate(found):
        tell(number, len(found), each.name)
        groups.setdefault(each.project, []).append(each if each.failed else judge(each, target))
    return tuple(choose(project, group) for project, group in groups.items())
