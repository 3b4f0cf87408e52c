"""When llama-bench and we agree, and what becomes of what it prints."""

from __future__ import annotations

import sys

import pytest

from tools.llama_bench import Agreement, run_llama_bench, to_lines
from truewheel.errors import CheckError
from truewheel.measure.result import Floor, Interval


def make(median, low, high, floor=0.02):
    noise = Floor(key="tg64", ratio=Interval(1.0, 1 / (1 + floor), 1 + floor), floor=floor, quiet=True)
    return Agreement("tg64", 100.0 * median, 100.0, Interval(median, low, high), noise)


@pytest.mark.parametrize(
    ("one", "agrees"),
    [
        (make(1.0, 0.99, 1.01), True),
        (make(1.05, 1.01, 1.09), True),
        (make(1.05, 1.03, 1.09), False),
        (make(0.9, 0.85, 0.97), False),
        (make(0.9, 0.85, 0.99), True),
    ],
)
def test_they_agree_where_the_interval_reaches_into_the_noise_floor(one, agrees):
    assert one.agrees is agrees
    assert ("**differs**" in "\n".join(to_lines([one]))) is not agrees


def program(tmp_path, body):
    path = tmp_path / "llama-bench"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return path


def test_its_json_is_read(tmp_path):
    rows = '[{"n_prompt": 512, "n_gen": 0, "avg_ts": 500.5}, {"n_prompt": 0, "n_gen": 64, "avg_ts": 99.0, "more": 1}]'
    found = run_llama_bench(program(tmp_path, f"print({rows!r})"), tmp_path / "m.gguf", 2, 1)
    assert found == {"pp512": 500.5, "tg64": 99.0}


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "print('[{}]')", "print('no json')"])
def test_what_it_cannot_do_is_an_error(tmp_path, body):
    with pytest.raises(CheckError, match="llama-bench"):
        run_llama_bench(program(tmp_path, body), tmp_path / "m.gguf", 2, 1)
