"""Real builds of the smallest engine, in caches and a wheelhouse of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from truewheel.config.locations import cache_root

STAND_IN = Path(__file__).with_name("stand_in.py")
"""Runs the command for engines that do not compute the model that they are given."""
ENGINE = Path(__file__).parents[1] / "data" / "tiny-engine"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> Path:
    """A cache folder for the whole session; fetched tools are taken over from the user's, to spare the network.

    Tests that run at once have a folder each, since some break what is in it, and share the trials of the compilers.
    """
    cache = tmp_path_factory.mktemp("cache") / "truewheel"
    cache.mkdir()
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    session = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    for name, shared in (("tools", cache_root() / "tools"), ("probes", session / "probes")):
        shared.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(shared)
    return cache


@pytest.fixture(scope="session")
def truewheel_in(shared_cache):
    """Return what `truewheel` is in a folder that has a wheelhouse of its own."""

    def make(folder: Path):
        def run(
            *arguments: str,
            cache: Path = shared_cache,
            cwd: Path = folder,
            timeout: float = 600,
            known: bool = False,
            **variables: str,
        ):
            environment = {**os.environ, "TRUEWHEEL_CACHE_DIR": str(cache)}
            environment["TRUEWHEEL_WHEELHOUSE"] = str(folder / "house")
            # zig's own C++ library takes it half a minute to build; it is the same for every test.
            environment["ZIG_GLOBAL_CACHE_DIR"] = str(cache_root() / "zig" / "global")
            return subprocess.run(
                [sys.executable, *(["-m", "truewheel"] if known else [str(STAND_IN)]), *arguments],
                env={**environment, **variables},
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )

        return run

    return make


@pytest.fixture
def truewheel(truewheel_in, tmp_path):
    """Run the command as a user does: `truewheel(*arguments, environment) -> CompletedProcess`."""
    return truewheel_in(tmp_path)


@pytest.fixture
def engine(tmp_path) -> Path:
    """A copy of the smallest engine that a test may break; returns its recipe."""
    target = tmp_path / "engine"
    shutil.copytree(ENGINE, target)
    return target / "recipe.toml"
