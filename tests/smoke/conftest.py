"""Smoke tests of any wheel: `pytest tests/smoke --wheel FILE [--model tiny|smollm2|FILE]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from truewheel.child.registry import engine_for
from truewheel.child.smoke import SmokeRecord, run_smoke
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import TruewheelError
from truewheel.models.models import Model, find_model
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.archive import WheelFile, read_wheel


def pytest_addoption(parser):
    parser.addoption("--wheel", type=Path, help="the wheel to run")
    parser.addoption("--wheelhouse", type=Path, help="run the newest proven wheel of this wheelhouse")
    parser.addoption("--model", default="tiny", help="tiny, smollm2 or a GGUF file")


@pytest.fixture(scope="session")
def wheel(request) -> WheelFile:
    path = request.config.getoption("--wheel")
    house = request.config.getoption("--wheelhouse")
    if path is None and house is not None:
        stored = Wheelhouse(house).list()
        path = stored[0].path if stored else None
    if path is None:
        pytest.exit("name a wheel: pytest tests/smoke --wheel FILE", returncode=4)
    return read_wheel(path)


@pytest.fixture(scope="session")
def model(request) -> Model:
    return find_model(request.config.getoption("--model"))


@pytest.fixture(scope="session")
def record(wheel: WheelFile, model: Model) -> SmokeRecord:
    try:
        return run_smoke(
            wheel,
            model,
            engine_for(wheel.name.project),
            threads=detect_host().usable_cores,
            console=Console(quiet=True),
        )
    except TruewheelError as error:
        pytest.exit(f"{error.message}; {error.hint}", returncode=error.exit_code)
