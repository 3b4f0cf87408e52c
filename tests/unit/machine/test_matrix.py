"""Engine by profile: the words of each cell."""

import pytest
from factories import make_host, make_toolchain

from truewheel.cpu.levels import level_features
from truewheel.errors import PlanError
from truewheel.machine import matrix
from truewheel.machine.matrix import make_cells

V4 = tuple(sorted(level_features("x86-64-v4")))


@pytest.fixture
def rust(monkeypatch):
    """Let the machine have Rust, or say why not."""

    def plant(reason=""):
        def other_compilers(backend):
            if reason and backend == "maturin":
                raise PlanError(reason)

        monkeypatch.setattr(matrix, "other_compilers", other_compilers)

    return plant


def cells(host, emulated=(), fit=None):
    found = make_cells(host, emulated, lambda *_: fit)
    return {(cell.engine, cell.profile): cell for cell in found}


def test_a_dispatching_wheel_names_each_place_once(rust):
    rust()
    host = make_host(features=V4, level="x86-64-v4")
    words = cells(host, (("Oddity", frozenset({*V4, "avx_vnni", "fma"})),))["llama-cpp-python", "dispatch"].proof
    assert words.count("on this CPU") == 1
    assert "haswell" in words.partition(" on this CPU")[0]
    assert "; not provable here: " in words


def test_a_reason_is_the_same_in_every_row_that_it_holds_for(rust):
    rust("rustc is not on this machine")
    found = cells(make_host(), fit=make_toolchain())
    reasons = {cell.build for (engine, _), cell in found.items() if engine == "llama-rs"}
    assert reasons == {"rustc is not on this machine"}
    assert not any(cell.buildable for (engine, _), cell in found.items() if engine == "llama-rs")
    assert {cell.build for (engine, _), cell in found.items() if engine != "llama-rs"} == {"with gcc 13.2.0"}


def test_without_a_compiler_zig_will_be_fetched(rust):
    rust()
    cell = cells(make_host())["llama-cpp-python", "native"]
    assert cell.buildable
    assert "zig" in cell.build
    assert "will be fetched" in cell.build
