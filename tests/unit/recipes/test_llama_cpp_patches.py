"""What our patches add to llama_cpp's Python code, taken out of the diffs and run by itself."""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

PATCHES = Path(__file__).parents[3] / "recipes" / "llama-cpp-python" / "patches"


def function_of(patch, name):
    """Return a function that a patch adds, as if it stood in the module `toy.llama`."""
    lines = [line[1:] for line in (PATCHES / patch).read_text().splitlines() if line.startswith("+")]
    start = next(number for number, line in enumerate(lines) if line.startswith(f"def {name}("))
    end = lines.index("", start)
    namespace = {
        "__name__": "toy.llama", "__package__": "toy", "Callable": Callable, "multiprocessing": multiprocessing,
    }  # fmt: skip
    exec("\n".join(lines[start:end]), namespace)
    return namespace[name]


@pytest.fixture
def guard(monkeypatch):
    """The module that truewheel puts into a wheel, in a package `toy`."""
    module = ModuleType("toy.truewheel")
    monkeypatch.setitem(sys.modules, "toy", ModuleType("toy"))
    monkeypatch.setitem(sys.modules, "toy.truewheel", module)
    return module


@pytest.fixture
def alone(monkeypatch):
    """The same package as upstream builds it."""
    package = ModuleType("toy")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "toy", package)


def test_the_wheels_own_rule_decides_how_many_threads_there_are(guard):
    guard.threads = lambda: SimpleNamespace(decode=3, prompt=5)
    assert function_of("0005-threads-that-fit.patch", "default_threads")() == (3, 5)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("cpus", "expected"), [(1, (1, 1)), (2, (1, 2)), (64, (32, 64))])
def test_without_it_upstreams_rule_stays(monkeypatch, cpus, expected):
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: cpus)
    assert function_of("0005-threads-that-fit.patch", "default_threads")() == expected


def test_the_constructor_looks_for_a_preset(guard):
    guard.with_preset = lambda construct: ("with", construct)
    assert function_of("0006-follow-this-machines-preset.patch", "_with_preset")(len) == ("with", len)


@pytest.mark.usefixtures("alone")
def test_without_truewheel_the_constructor_is_upstreams():
    assert function_of("0006-follow-this-machines-preset.patch", "_with_preset")(len) is len
