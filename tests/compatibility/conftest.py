"""Both engines, each in its own environment: `pytest tests/compatibility --wheelhouse DIR [--profile native]`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from truewheel.child.environment import fresh_environment
from truewheel.models.models import find_model
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.archive import read_wheel

ENGINES = ("llama-rs", "llama-cpp-python")
_OPEN = pytest.StashKey[contextlib.ExitStack]()


def pytest_addoption(parser):
    parser.addoption("--wheelhouse", type=Path, help="take the newest wheels of both engines from here")
    parser.addoption("--profile", default="native", help="of this profile")
    parser.addoption("--engine", choices=("llama_rs", "llama_cpp"), help="the package to test; default: llama_rs")
    parser.addoption("--model", default="tiny", help="tiny, smollm2 or a GGUF file")


def pytest_configure(config):
    """Make the packages of the wheels importable, here and in children, behind all that is here already."""
    config.stash[_OPEN] = contextlib.ExitStack()
    # A preset of this machine's is no part of what is tested, but by the test that makes its own.
    os.environ["TRUEWHEEL_PRESET"] = "off"
    if (house := config.getoption("--wheelhouse")) is None:
        return
    wheels = {}
    for stored in Wheelhouse(house).list():
        plan = stored.report.plan
        if plan is not None and stored.report.sound and plan.subject.profile == config.getoption("--profile"):
            wheels.setdefault(plan.subject.engine, stored.path)
    if missing := [name for name in ENGINES if name not in wheels]:
        pytest.exit(f"{house} has no wheel of {' or '.join(missing)} of this profile", returncode=4)
    environments = [fresh_environment(read_wheel(wheels[name])) for name in ENGINES]
    sites = [str(config.stash[_OPEN].enter_context(environment).site) for environment in environments]
    sys.path += sites
    os.environ["PYTHONPATH"] = os.pathsep.join(sites)


def pytest_unconfigure(config):
    config.stash[_OPEN].close()


@pytest.fixture(scope="session")
def model_path(request) -> str:
    return str(find_model(request.config.getoption("--model")).path)
