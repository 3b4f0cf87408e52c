"""Resident memory of llama_rs stays flat: a thousand completions, two hundred models loaded and closed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_compatibility import installed

pytestmark = pytest.mark.skipif(not installed("llama_rs"), reason="llama_rs is not installed")

MOST_GROWTH = 4 << 20
"""Of a model that takes some 20 MB: what leaked with each round would be many times that."""

PREAMBLE = """
import sys
import llama_rs

def load():
    return llama_rs.Llama(sys.argv[1], n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)

def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096
"""

COMPLETIONS = """
llama = load()
def complete(number):
    llama("Once upon a time %d" % number, max_tokens=8, temperature=number % 2 * 0.8, seed=number, logprobs=number % 3)
    for _ in zip(range(number % 5), llama("And then", max_tokens=6, stream=True, stop="zz")):
        pass
for number in range(200):
    complete(number)
before = resident()
for number in range(1000):
    complete(number)
print(resident() - before)
"""

LOADS = """
def cycle():
    llama = load()
    llama("Once", max_tokens=2)
    llama.close()
for _ in range(30):
    cycle()
before = resident()
for _ in range(200):
    cycle()
print(resident() - before)
"""


@pytest.mark.parametrize("program", [COMPLETIONS, LOADS], ids=["completions", "loads"])
def test_resident_memory_does_not_grow(program, model_path):
    command = [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + program, model_path]
    child = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout) <= MOST_GROWTH
