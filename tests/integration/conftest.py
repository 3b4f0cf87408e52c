"""Real builds of the smallest engine, in caches and a wheelhouse of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from truewheel.config.locations import cache_root

ENGINE = Path(__file__).parents[1] / "data" / "tiny-engine"


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> Path:
    """A cache folder for the whole session; fetched tools are taken over from the user's, to spare the network."""
    cache = tmp_path_factory.mktemp("cache") / "truewheel"
    cache.mkdir()
    (cache_root() / "tools").mkdir(parents=True, exist_ok=True)
    (cache / "tools").symlink_to(cache_root() / "tools")
    return cache


@pytest.fixture
def truewheel(tmp_path, shared_cache):
    """Run the command as a user does: `truewheel(*arguments, environment) -> CompletedProcess`."""

    def run(*arguments: str, cache: Path = shared_cache, cwd: Path = tmp_path, timeout: float = 600, **variables: str):
        environment = {**os.environ, "TRUEWHEEL_CACHE_DIR": str(cache), "TRUEWHEEL_WHEELHOUSE": str(tmp_path / "house")}
        # zig's own C++ library takes it half a minute to build; it is the same for every test.
        environment["ZIG_GLOBAL_CACHE_DIR"] = str(cache_root() / "zig" / "global")
        return subprocess.run(
            [sys.executable, "-m", "truewheel", *arguments],
            env={**environment, **variables},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def engine(tmp_path) -> Path:
    """A copy of the smallest engine that a test may break; returns its recipe."""
    target = tmp_path / "engine"
    shutil.copytree(ENGINE, target)
    return target / "recipe.toml"
