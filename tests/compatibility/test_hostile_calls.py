"""Whatever is asked of llama_rs, a Python exception is the worst that comes of it; each case in a child of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_compatibility import installed

pytestmark = pytest.mark.skipif(not installed("llama_rs"), reason="llama_rs is not installed")

PREAMBLE = """
import os, signal, sys, threading, time
import llama_rs
PATH = sys.argv[1]

def load(**given):
    small = {"n_ctx": 256, "n_threads": 1, "n_threads_batch": 1, "verbose": False}
    return llama_rs.Llama(given.pop("model_path", PATH), **small | given)

def show(call):
    try:
        found = call()
    except Exception as error:
        print(f"{type(error).__name__}: {ascii(str(error))[1:-1]}")
    else:
        print("nothing raised:", ascii(found)[:100])

def greedy(llama):
    return llama("Once upon a time", max_tokens=8, temperature=0)["choices"][0]["text"]

def interrupt_after(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()

ENDLESS = {"max_tokens": -1, "temperature": 0, "grammar": "root ::= [a-z] root"}
"""


@pytest.fixture
def run(model_path):
    model = model_path

    def run_child(program: str, *arguments: str, timeout: float = 60) -> str:
        command = [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + program, model, *arguments]
        child = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        assert child.returncode == 0, f"left with {child.returncode}\n{child.stdout}\n{child.stderr[-3000:]}"
        return child.stdout

    return run_child


def expect(output: str, *errors: str) -> None:
    """Assert that each line is one of these exceptions with a message."""
    lines = output.strip().splitlines()
    assert lines
    for line in lines:
        kind, _, message = line.partition(": ")
        assert kind in errors, line
        assert message.strip(), line


# Arguments of the constructor

OUT_OF_RANGE = [
    "n_ctx=-1",
    "n_ctx=2**31",
    "n_ctx=2**64",
    "n_batch=0",
    "n_batch=-5",
    "n_batch=2**40",
    "n_ubatch=-1",
    "n_threads=-1",
    "n_threads=513",
    "n_threads=2**31",
    "n_threads_batch=-1",
    "n_threads_batch=10**9",
    "stream_group=0",
    "type_k=9999",
    "type_v=-1",
    "type_k=10**12",
    "cpus=[-1]",
    "cpus=[511]",
    "poll=-1",
    "poll=1000",
    "rope_scaling_type=-7",
    "rope_scaling_type=99",
    "pooling_type=99",
    "attention_type=99",
    "type_v=8",  # without flash attention
    "kv_overrides={'x' * 500: 1}",
    "kv_overrides={'x': 'y' * 500}",
    "kv_overrides={'x': 2**80}",
    "kv_overrides={'a\\0b': 1}",
]


@pytest.mark.parametrize("argument", OUT_OF_RANGE)
def test_argument_out_of_range(run, argument):
    expect(run(f"show(lambda: load({argument}))"), "ValueError", "OverflowError", "EngineError")


@pytest.mark.parametrize("argument", ["n_ctx=2**31-1", "n_ctx=10**8, n_batch=10**8", "n_ctx=10**6, n_batch=10**6"])
def test_context_that_no_memory_holds(run, argument):
    # A machine may have the memory; what counts is that nothing ends the process.
    output = run(f"show(lambda: load({argument}))", timeout=300)
    assert output.startswith(("ValueError: ", "EngineError: ", "MemoryError: ", "nothing raised: "))


@pytest.mark.parametrize(
    "argument", ["n_threads=0", "n_threads=512", "n_threads_batch=0", "n_ubatch=0", "n_ctx=1", "n_batch=1", "n_ctx=0"]
)
def test_argument_at_the_edge_works(run, argument):
    assert "nothing raised" in run(f"show(lambda: load({argument}))")


@pytest.mark.parametrize("argument", ["n_threads=8", "n_threads=1, n_threads_batch=8"])
def test_more_threads_than_cpus_still_generate(run, argument):
    assert "nothing raised" in run(f"show(lambda: load({argument})('a', max_tokens=1))")


WRONG_TYPES = [
    "n_ctx='512'",
    "n_ctx=512.5",
    "n_ctx=None",
    "n_batch=[1]",
    "n_threads='all'",
    "n_threads=1.5",
    "use_mmap='yes'",
    "embedding=2",
    "rope_freq_base='10000'",
    "rope_freq_base=None",
    "seed='x'",
    "seed=1.5",
    "kv_overrides=[('a', 1)]",
    "kv_overrides={1: 2}",
    "kv_overrides={'a': None}",
    "type_k='q8_0'",
    "flash_attn='auto'",
    "cpus='0-3'",
    "cpus=3",
    "cpus=['0']",
    "poll='hard'",
    "last_n_tokens_size='64'",
    "op_offload='no'",
    "n_gpu_layers='all'",
    "model_path=3",
    "model_path=None",
    "model_path=b'model.gguf'",
    "n_thread=4",
    "nonsense=1",
]


@pytest.mark.parametrize("argument", WRONG_TYPES)
def test_wrong_type_of_an_argument(run, argument):
    expect(run(f"show(lambda: load({argument}))"), "TypeError")


# Files


def test_files_that_are_no_models(run, tmp_path):
    (tmp_path / "empty.gguf").write_bytes(b"")
    (tmp_path / "garbage.gguf").write_bytes(os.urandom(100_000))
    for name in ("missing.gguf", "empty.gguf", "garbage.gguf", "", "with\x00zero"):
        program = f"show(lambda: load(model_path=sys.argv[2] + '/' + {name!r}))"
        expect(run(program, str(tmp_path)), "ValueError", "EngineError", "OSError")


def test_surrogate_in_a_path(run):
    expect(run("show(lambda: load(model_path='/tmp/\\udcff.gguf'))"), "ValueError", "EngineError")


def model_bytes(request) -> bytes:
    return Path(request.getfixturevalue("model_path")).read_bytes()


@pytest.mark.parametrize("share", [0.00001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.9999])
def test_truncated_model(run, request, tmp_path, share):
    whole = model_bytes(request)
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: max(4, int(len(whole) * share))])
    expect(run("show(lambda: load(model_path=sys.argv[2]))", str(path)), "EngineError", "ValueError")


@pytest.mark.parametrize("start", [4, 8, 16, 24, 200, 2000])
def test_random_bytes_after_a_valid_header(run, request, tmp_path, start):
    whole = bytearray(model_bytes(request)[:200_000])
    whole[start:] = os.urandom(len(whole) - start)
    path = tmp_path / "random.gguf"
    path.write_bytes(whole)
    expect(run("show(lambda: load(model_path=sys.argv[2]))", str(path)), "EngineError", "ValueError", "MemoryError")


# Prompts and settings of calls

BAD_CALLS = [
    "llama([])",
    "llama('x' * 10**6)",
    "llama([1] * 256)",
    "llama([-1])",
    "llama([10**6])",
    "llama([2**31])",
    "llama([2**70])",
    "llama('lone \\ud800 surrogate')",
    "llama('a', stop='')",
    "llama('a', stop=['b', ''])",
    "llama('a', stop='\\ud800')",
    "llama('a', temperature=float('nan'))",
    "llama('a', top_p=float('nan'))",
    "llama('a', mirostat_mode=7)",
    "llama('a', logprobs=-1)",
    "llama('a', logit_bias={10**9: 1.0})",
    "llama('a', logit_bias={-1: 1.0})",
    "llama('a', grammar='root ::= undefined')",
    "llama('a', grammar='no root here')",
    "llama('a', grammar='root ::= \"a')",
    "llama('a', grammar='root ::= root')",
    "llama('a', grammar='')",
    "llama('a', grammar='root ::= \"a\\0b\"\\0')",
    "llama('a', grammar='root ::= ' + '(' * 100000)",
    "llama('a', grammar='root ::= [a]{1000000000}')",
    "list(llama('a', stream=True, grammar='('))",
    "llama.eval([-1])",
    "llama.eval([10**6])",
    "llama.eval([1] * 257)",
    "llama.sample()",
    "list(llama.generate([]))",
    "list(llama.generate([-5]))",
    "llama.logits()",
    "llama.logits(5)",
    "llama.logits(-2)",
    "llama.logits(2**70)",
    "llama.detokenize([-1])",
    "llama.detokenize([10**6])",
    "llama.detokenize([2**40])",
    "llama.is_eog(-1)",
    "llama.is_eog(10**9)",
    "llama.create_chat_completion([])",
    "llama.create_chat_completion([{'role': 'user', 'content': 'a'}])",
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_call(run, call):
    if "create_chat" in call and "content" in call:
        call = call.replace("llama.", "without_template.")
    program = f"llama = load()\nwithout_template = llama\nwithout_template._metadata = {{}}\nshow(lambda: {call})\n"
    expect(
        run(program + "print('ValueError: still', greedy(llama) == greedy(load()))"),
        "ValueError",
        "UnicodeEncodeError",
        "OverflowError",
        "EngineError",
    )


WRONG_CALLS = [
    "llama(b'bytes')",
    "llama(None)",
    "llama(3)",
    "llama(['a'])",
    "llama([1.5])",
    "llama({'a': 1}.items())",
    "llama('a', max_tokens='8')",
    "llama('a', max_tokens=1.5)",
    "llama('a', temperature='hot')",
    "llama('a', temperature=None)",
    "llama('a', top_k=1.5)",
    "llama('a', top_p=[1])",
    "llama('a', seed='x')",
    "llama('a', stop=3)",
    "llama('a', stop=[3])",
    "llama('a', stop=b'x')",
    "llama('a', logprobs='x')",
    "llama('a', logit_bias=[1])",
    "llama('a', logit_bias={'x': 1})",
    "llama('a', logit_bias={1: 'x'})",
    "llama('a', grammar=3)",
    "llama('a', grammar=b'root ::= \"a\"')",
    "llama('a', suffix=b'x')",
    "llama('a', suffix=3)",
    "llama('a', no_such=3)",
    "llama()",
    "llama.tokenize('text')",
    "llama.tokenize(None)",
    "llama.detokenize('abc')",
    "llama.detokenize(3)",
    "llama.detokenize(['a'])",
    "llama.eval('abc')",
    "llama.eval(None)",
    "llama.generate('abc')",
    "llama.sample(temp='x')",
    "llama.logits('x')",
    "llama.is_eog('x')",
    "llama.set_seed('x')",
    "llama.load_state(None)",
    "llama.load_state(b'state')",
    "llama_rs.LlamaGrammar(3)",
    "load(embedding=True).embed(3)",
    "load(embedding=True).embed([3])",
    "load(embedding=True).embed(b'x')",
    "llama.create_chat_completion('hello')",
    "llama.create_chat_completion(['hello'])",
    "llama.create_chat_completion(None)",
    "llama.create_chat_completion([{'role': 'user', 'content': object()}])",
    "llama.create_chat_completion([{'role': 'user', 'content': 'a'}], response_format=3)",
    "llama.create_chat_completion([{'role': 'user', 'content': 'a'}], stop=3)",
    "llama.create_chat_completion([{'role': 'user', 'content': 'a'}], tools='x')",
]


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_wrong_type_in_a_call(run, call):
    program = "llama = load()\nllama._metadata = {'tokenizer.chat_template': '{{ messages[0].content }}'}\n"
    expect(run(program + f"show(lambda: {call})"), "TypeError")


def test_empty_prompt_begins_with_bos_or_is_refused(run):
    output = run("llama = load()\nshow(lambda: llama('', max_tokens=1)['usage']['prompt_tokens'])")
    assert output.startswith(("nothing raised: 1", "ValueError: "))


def test_zero_bytes_are_part_of_a_prompt(run):
    output = run(
        "llama = load()\nprint(llama.detokenize(llama.tokenize(b'a\\0b')))\nshow(lambda: llama('a\\0b', max_tokens=2))"
    )
    assert "a\\x00b" in output
    assert "nothing raised" in output


def test_prompt_of_two_gibibytes_is_refused_at_once(run):
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if pages < 6 << 30:
        pytest.skip("too little memory is free")
    program = """
llama = load()
text = "a" * (2 << 30)
begin = time.monotonic()
show(lambda: llama(text))
assert time.monotonic() - begin < 1, "not at once"
del text
show(lambda: llama.tokenize(b"a" * (2 << 30)))
"""
    expect(run(program, timeout=120), "ValueError")


def test_text_longer_than_the_context_is_refused_before_it_is_tokenized(run):
    # More than 1024 bytes a token of context: no tokenizer has pieces of that length.
    expect(run("llama = load()\nshow(lambda: llama('a' * (256 * 1024 + 1)))"), "ValueError")


# Templates

TEMPLATES = {
    "endless": "{% for a in range(100000) %}" * 3 + "{% endfor %}" * 3,
    "long": "{% for a in range(100000) %}{% for b in range(100000) %}xxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
    "huge range": "{% for a in range(10000000000) %}x{% endfor %}",
    "huge string": "{{ 'x' * 10000000000 }}",
    "recursive": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "syntax": "{% for %}",
    "open": "{{ messages",
    "undefined call": "{{ nothing() }}",
    "raises": "{{ raise_exception('not these messages') }}",
    "file": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os }}",
    "attribute": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "deep": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_bad_template(run, name):
    # A template that takes all memory must not take the machine's.
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
llama = load()
llama._metadata = {{"tokenizer.chat_template": {TEMPLATES[name]!r}}}
begin = time.monotonic()
show(lambda: llama.create_chat_completion([{{"role": "user", "content": "a"}}], max_tokens=1))
assert time.monotonic() - begin < 20
"""
    expect(run(program), "ValueError")


# Life

METHODS = [
    "llama('a')",
    "next(iter(llama('a', stream=True)))",
    "llama.create_completion('a')",
    "llama.tokenize(b'a')",
    "llama.detokenize([1])",
    "llama.reset()",
    "llama.eval([1])",
    "llama.sample()",
    "next(llama.generate([1]))",
    "llama.logits()",
    "llama.n_tokens",
    "llama.input_ids",
    "llama.eval_tokens",
    "llama.scores",
    "llama.save_state()",
    "llama.load_state(state)",
    "llama.metadata",
    "llama.settings()",
    "llama.is_eog(1)",
    "llama.tokenizer().encode('a')",
    "llama.create_chat_completion([{'role': 'user', 'content': 'a'}])",
    "embedder.embed('a')",
    "embedder.create_embedding('a')",
]


def test_closed_model(run):
    calls = "\n".join(f"show(lambda: {call})" for call in METHODS)
    program = """
llama, embedder = load(), load(embedding=True)
llama.eval([1])
state = llama.save_state()
llama.close(); embedder.close(); llama.close()
"""
    output = run(program + calls)
    expect(output, "ValueError")
    assert len(output.splitlines()) == len(METHODS)


def test_close_while_another_thread_generates(run):
    output = run("""
llama = load(n_ctx=1024)
results = []
def work():
    try:
        results.append(llama("a", **ENDLESS)["usage"]["completion_tokens"] > 0)
    except ValueError as error:
        results.append("closed" in str(error) or str(error))
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
time.sleep(0.05)
llama.close()
[thread.join() for thread in threads]
print(results)
""")
    assert output.strip() == "[True, True, True]"


def test_two_threads_on_one_model_get_right_answers(run):
    output = run("""
llama = load()
prompts = ["Once upon a time", "Hello", "abc def", "12345"]
def text(prompt): return llama(prompt, max_tokens=12, temperature=0)["choices"][0]["text"]
def streamed(prompt):
    return "".join(c["choices"][0]["text"] for c in llama(prompt, max_tokens=12, temperature=0, stream=True))
expected = {prompt: text(prompt) for prompt in prompts}
wrong = []
def work(call):
    for _ in range(10):
        wrong.extend((call, prompt) for prompt in prompts if call(prompt) != expected[prompt])
threads = [threading.Thread(target=work, args=(call,)) for call in (text, streamed, text)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(wrong)
""")
    assert output.strip() == "[]"


def test_two_streams_at_once(run):
    output = run("""
llama = load()
given = dict(max_tokens=12, temperature=0, stream=True)
alone = ["".join(c["choices"][0]["text"] for c in llama(p, **given)) for p in ("Hello", "abc")]
one, two = llama("Hello", **given), llama("abc", **given)
texts = ["", ""]
for a, b in zip(one, two):
    texts[0] += a["choices"][0]["text"]
    texts[1] += b["choices"][0]["text"]
texts[0] += "".join(c["choices"][0]["text"] for c in one)
texts[1] += "".join(c["choices"][0]["text"] for c in two)
print(texts == alone, texts, alone)
""")
    assert output.startswith("True")


def test_call_while_a_stream_is_open(run):
    output = run("""
llama = load()
expected = greedy(llama)
stream = llama("abc", stream=True, **ENDLESS)
next(stream)
print(greedy(llama) == expected)
""")
    assert output.strip() == "True"


INTERRUPTED = {
    "stream": "for chunk in llama('a', stream=True, **ENDLESS): pass",
    "slow reader": "for chunk in llama('a', stream=True, **ENDLESS): time.sleep(0.01)",
    "whole": "llama('a', **ENDLESS)",
    "prefill": "llama('ab ' * 20000, max_tokens=1)",
    "eval": "llama.eval([1, 2, 3] * 20000)",
    "generate": "for token in llama.generate([1], temp=0): pass",
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupt(run, name):
    output = run(f"""
expected = greedy(load())
llama = load(n_ctx=65536)
begin = time.monotonic()
interrupt_after(0.3)
try:
    {INTERRUPTED[name]}
    print("went through in", time.monotonic() - begin)
except KeyboardInterrupt:
    print("KeyboardInterrupt: after", time.monotonic() - begin)
    assert time.monotonic() - begin < 5
print("KeyboardInterrupt: then", greedy(llama) == expected, file=sys.stdout)
""")
    expect(output, "KeyboardInterrupt")
    assert "then True" in output


def test_interrupt_while_waiting_for_another_thread(run):
    output = run("""
llama = load(n_ctx=65536)
stream = threading.Thread(target=lambda: llama("a", **ENDLESS), daemon=True)
stream.start()
time.sleep(0.1)
interrupt_after(0.3)
try:
    greedy(llama)
    print("KeyboardInterrupt: came through first")
except KeyboardInterrupt:
    print("KeyboardInterrupt: raised")
sys.stdout.flush()
llama.close()
""")
    expect(output, "KeyboardInterrupt")


def test_abandoned_stream(run):
    output = run("""
llama = load(n_ctx=65536)
expected = greedy(llama)
for _ in range(5):
    stream = llama("a", stream=True, **ENDLESS)
    next(stream)
    del stream
begin = time.monotonic()
print(greedy(llama) == expected, time.monotonic() - begin < 5)
stream = llama("a", stream=True, **ENDLESS)
next(stream)
stream.close()
print(greedy(llama) == expected, time.monotonic() - begin < 5)
""")
    assert output.split() == ["True"] * 4


def test_stream_used_after_close(run):
    output = run("""
llama = load(n_ctx=4096)
stream, unused = llama("a", stream=True, **ENDLESS), llama("a", stream=True, **ENDLESS)
next(stream)
llama.close()
def rest():
    for chunk in stream: pass
show(rest)
show(lambda: next(unused))
""")
    expect(output, "ValueError", "EngineError")


def test_stream_outlives_its_model(run):
    output = run(
        "print(len(list(load()('a', max_tokens=5, temperature=0, grammar='root ::= [a-z]+', stream=True))) > 1)"
    )
    assert output.strip() == "True"


def test_exit_with_everything_open(run):
    assert "bye" in run("""
llama = load(n_ctx=65536)
stream = llama("a", stream=True, **ENDLESS)
next(stream)
threading.Thread(target=lambda: llama("b", **ENDLESS), daemon=True).start()
tokens = llama.generate([1])
print("bye")
""")


def test_fork_after_load(run):
    output = run("""
import warnings
warnings.simplefilter("ignore")
llama = load()
expected = greedy(llama)
child = os.fork()
if child == 0:
    signal.alarm(20)
    try:
        print("child:", "works" if greedy(llama) == expected else "wrong", flush=True)
    except Exception as error:
        print("child:", f"{type(error).__name__}: {error}", flush=True)
    llama.close()
    sys.exit(0)  # with the interpreter's own clean-up: the model is freed there
_, status = os.waitpid(child, 0)
print("status", status, greedy(llama) == expected)
""")
    assert "status 0 True" in output
    assert "child: works" in output or "Error: " in output


def test_load_in_a_thread_and_drop_in_another(run):
    assert (
        run("""
box = []
thread = threading.Thread(target=lambda: box.append(load())); thread.start(); thread.join()
print(bool(greedy(box[0])))
thread = threading.Thread(target=box.clear); thread.start(); thread.join()
""").strip()
        == "True"
    )


# States


def test_garbage_states(run):
    output = run("""
from array import array
llama = load()
expected = greedy(llama)
llama.reset()
llama.eval(llama.tokenize(b"Hello world"))
good = llama.save_state()
def load_bytes(data, ids=good.input_ids, n=good.n_tokens):
    return lambda: llama.load_state(llama_rs.LlamaState(ids, None, n, data, len(data), 1))
data = good.llama_state
show(load_bytes(b""))
show(load_bytes(b"garbage"))
show(load_bytes(os.urandom(len(data))))
for share in (0.01, 0.5, 0.99):
    show(load_bytes(data[: int(len(data) * share)]))
show(load_bytes(data + b"more"))
show(load_bytes(data[:16] + b"\\xff" * 64 + data[80:]))
show(load_bytes(data, [1], 5))
show(load_bytes(data, [-1] * good.n_tokens))
show(load_bytes(data, [1] * 10000, 10000))
show(load_bytes(data, good.input_ids, -1))
wrong_size = llama_rs.LlamaState(good.input_ids, None, good.n_tokens, data, 2**60, 1)
show(lambda: llama.load_state(wrong_size))
llama.load_state(good)
print("ValueError: and then", list(llama.input_ids) == list(good.input_ids), greedy(llama) == expected)
""")
    assert "and then True True" in output
    expect(output, "ValueError", "EngineError")


def test_state_of_another_model_shape(run):
    expect(
        run("""
llama = load(n_ctx=1024)
llama.eval([1] * 900)
state = llama.save_state()
show(lambda: load(n_ctx=256).load_state(state))
show(lambda: load(n_ctx=1024, type_k=0, type_v=0).load_state(state))
"""),
        "ValueError",
        "EngineError",
    )


def test_state_with_damaged_bytes_never_ends_the_process(run):
    output = run(
        """
import random
llama = load()
llama.eval(llama.tokenize(b"Hello world"))
good = llama.save_state()
source = random.Random(1)
for _ in range(200):
    data = bytearray(good.llama_state)
    for _ in range(source.randint(1, 4)):
        data[source.randrange(min(len(data), source.choice([64, 400, len(data)])))] = source.randrange(256)
    try:
        llama.load_state(llama_rs.LlamaState(good.input_ids, None, good.n_tokens, bytes(data), len(data), 1))
        llama("Hello world", max_tokens=2)
    except (ValueError, RuntimeError, MemoryError):
        pass
print("done")
""",
        timeout=120,
    )
    assert "done" in output


# The command line


def command(request, *arguments: str, **given):
    line = [sys.executable, "-m", "llama_rs", *arguments]
    line = [request.getfixturevalue("model_path") if part == "MODEL" else part for part in line]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **given)


def test_command_generates(request):
    arguments = ["generate", "MODEL", "-n", "4", "--temp", "0", "--threads", "1", "--ctx", "256"]
    whole = command(request, *arguments, "-p", "Hello")
    assert whole.returncode == 0, whole.stderr
    assert "first token after" in whole.stderr.splitlines()[-1]
    assert command(request, *arguments, "-p", "-", input="Hello").stdout == whole.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "missing.gguf", "-p", "a"],
        ["generate", "MODEL", "-n", "1", "-p", ""],
        ["generate", "MODEL", "-p", "a", "--ctx", "-1"],
        ["generate", "MODEL", "-p", "a", "--system", "b"],
        ["generate", "MODEL"],
        ["bench", "MODEL", "-r", "0"],
        ["nonsense"],
    ],
    ids=str,
)
def test_command_says_what_is_wrong_in_one_line(request, arguments):
    found = command(request, *arguments)
    if arguments[-1] == "" and found.returncode == 0:
        pytest.skip("the model takes an empty prompt")
    assert found.returncode == 2
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    assert found.stderr.strip().splitlines()[-1].startswith("llama-rs")


def test_command_measures(request):
    found = command(request, "bench", "MODEL", "-p", "16", "-n", "4", "-r", "2", "--threads", "1")
    assert found.returncode == 0, found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()[1:]] == ["prompt", "generated"]
    found = command(request, "bench", "MODEL", "-p", "16", "-n", "4", "-r", "2", "--threads", "1", "--json")
    assert '"median"' in found.stdout


def test_command_ends_with_130_after_an_interrupt(request):
    model = request.getfixturevalue("model_path")
    line = [sys.executable, "-m", "llama_rs", "generate", model, "-p", "a", "--ctx", "65536", "--threads", "1"]
    line += ["--grammar", "/dev/stdin"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **pipes) as child:
        child.stdin.write("root ::= [a-z] root")
        child.stdin.close()
        printed = child.stdout.read(20)
        child.send_signal(2)
        printed += child.stdout.read()
        assert child.wait(timeout=20) == 130
        assert len(printed) > 20
        assert "Traceback" not in child.stderr.read()
