"""Install what is measured, each into an environment of its own, and say how large it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

from truewheel.child.environment import fetch_wheels, fresh_environment, open_environment
from truewheel.child.installed import Environment, own_interpreter, site_of
from truewheel.child.measure import Runner
from truewheel.config.presets import Settings
from truewheel.errors import LoadError
from truewheel.measure.subjects import Asked, find_site
from truewheel.scratch import SCRATCH
from truewheel.wheel.archive import read_wheel


class Installed(NamedTuple):
    """A subject that can be run.

    Attributes:
        runner: how.
        wheel: bytes of its wheel; 0 where it came from none.
        size: bytes of what is installed, with what it depends on; 0 where others share the environment.
    """

    runner: Runner
    wheel: int
    size: int


@contextlib.contextmanager
def open_subject(asked: Asked, settings: Settings) -> Iterator[Installed]:
    """Install a subject, and delete it afterwards; an environment that was there stays as it is.

    Raises:
        InstallError: it cannot be installed on this machine.
        CheckError: its metadata cannot be followed.
        FetchError: it cannot be had.
    """
    with contextlib.ExitStack() as stack:
        wheel = size = 0
        if asked.kind == "environment":
            assert asked.place is not None
            scratch = stack.enter_context(SCRATCH.folder("truewheel-bench"))
            environment = take_environment(asked.place, scratch)
        elif asked.kind == "wheel":
            assert asked.place is not None
            environment = stack.enter_context(fresh_environment(read_wheel(asked.place)))
            wheel, size = asked.place.stat().st_size, measure_folder(environment.site)
        else:
            wanted = [f"{asked.project}=={asked.version}", *asked.engine.extra]
            links = fetch_wheels(wanted, f"{asked.project} {asked.version}")
            environment = stack.enter_context(open_environment(wanted, links, asked.project))
            own = (path for path in links.glob("*.whl") if canonicalize_name(path.name.split("-")[0]) == asked.project)
            wheel, size = next(own).stat().st_size, measure_folder(environment.site)
        yield Installed(Runner(environment, asked.engine, settings), wheel, size)


def take_environment(place: Path, scratch: Path) -> Environment:
    """Return an environment that is there, with an interpreter that no package in it could have put there.

    Args:
        place: the environment.
        scratch: an empty folder.

    Raises:
        LoadError: it is for another Python, which lies in the environment itself.
    """
    site = find_site(place)
    if site.parent.name == site_of(place).parent.name:
        return Environment(own_interpreter(), place, site, scratch, foreign=True)
    python = (place / "bin" / "python").resolve()
    if python.is_relative_to(place.resolve()):
        raise LoadError(
            f"{place} is for another Python, which lies in the environment, where any package can replace it",
            hint=f"run truewheel with {site.parent.name}, or name the wheel itself",
        )
    return Environment(python, place, site, scratch, foreign=True)


def measure_folder(folder: Path) -> int:
    """Return the bytes of all files in a folder and below; links are not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - many thousand files
    return total
