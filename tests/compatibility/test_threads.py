"""Threads of both engines: they stay from answer to answer, cost nothing between, and survive a fork; in children."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_compatibility import ENGINES, installed

PREAMBLE = """
import importlib, os, sys, threading, time
package = importlib.import_module(sys.argv[2])

def load(**given):
    given = {"n_ctx": 256, "n_threads": 2, "n_threads_batch": 3, "verbose": False} | given
    return package.Llama(sys.argv[1], **given)

def answer(llama, text="Once upon a time there was a small house by the sea"):
    return llama(text, max_tokens=8, temperature=0)["choices"][0]["text"]

def threads():
    return sorted(map(int, os.listdir("/proc/self/task")))
"""

MOST_IDLE = 0.005
"""Seconds of processor time that a second of idleness may take: threads that spin after an answer take a tenth."""


@pytest.fixture(params=ENGINES)
def run(request, model_path):
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")

    def run_child(program: str) -> str:
        command = [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + program, model_path, request.param]
        child = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert child.returncode == 0, f"left with {child.returncode}\n{child.stdout}\n{child.stderr[-3000:]}"
        return child.stdout

    return run_child


def test_an_idle_process_takes_no_processor_time(run):
    # A prompt of one token on two threads: the pool is the one of the last token then.
    program = """
llama = load()
answer(llama)
time.sleep(0.01)
before = time.process_time()
time.sleep(1)
print(time.process_time() - before)
"""
    assert min(float(run(program)) for _ in range(2)) < MOST_IDLE


def test_the_same_threads_answer_from_first_to_last(run):
    # Single tokens and prompts take different numbers of threads, in turn.
    program = """
llama = load()
answer(llama)
before = threads()
for number in range(20):
    answer(llama, "Number %d" % number)
    assert threads() == before, (threads(), before)
print(len(before))
"""
    assert int(run(program)) >= 3


def test_no_thread_is_left_when_a_model_is_closed(run):
    program = """
alone = threads()
for number in (2, 4):
    llama = load(n_threads=number)
    answer(llama)
    assert len(threads()) > len(alone)
    llama.close()
print(len(threads()) - len(alone))
"""
    assert int(run(program)) == 0


def test_more_threads_can_be_had_later(run):
    program = """
text = answer(load(n_threads=1, n_threads_batch=1))
for numbers in ((4, 2), (2, 4), (5, 5)):
    assert answer(load(n_threads=numbers[0], n_threads_batch=numbers[1])) == text
"""
    run(program)


def test_several_models_answer_at_once(run):
    program = """
llamas = [load() for _ in range(3)]
texts = [set() for _ in llamas]
def answer_often(index):
    for _ in range(10):
        texts[index].add(answer(llamas[index]))
workers = [threading.Thread(target=answer_often, args=(index,)) for index in range(3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert len(set.union(*texts)) == 1, texts
"""
    run(program)


@pytest.mark.parametrize("used", [True, False])
def test_a_forked_process_answers_with_threads_of_its_own(run, request, used):
    if request.node.callspec.params["run"] == "llama_rs":
        pytest.skip("llama_rs refuses to answer in a forked process, see test_hostile_calls.py")
    program = f"""
llama = load()
text = answer(llama) if {used} else None
child = os.fork()
if child == 0:
    said = answer(llama)
    assert text in (said, None)
    assert len(threads()) >= 2
    llama.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert text in (answer(llama), None)
llama.close()
"""
    run(program)
