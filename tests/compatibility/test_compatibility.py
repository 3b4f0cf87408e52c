"""What llama_cpp.Llama and llama_rs.Llama both must show: one suite, run on each."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys

import pytest

ENGINES = ("llama_rs", "llama_cpp")
PROMPT = "Once upon a time"
TEXTS = ["", "Hello world", "  two  spaces\n\ttab", "é 漢字 😀 ß", "x" * 300, "<|im_start|>user\n", "a\x00b"]
GREEDY = {"max_tokens": 12, "temperature": 0.0}


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@pytest.fixture(scope="session")
def engine(request) -> str:
    wanted = request.config.getoption("--engine", None)
    found = [name for name in ENGINES if installed(name)]
    if wanted is None and not found:
        pytest.skip("neither llama_rs nor llama_cpp is installed")
    return wanted or found[0]


@pytest.fixture(scope="session")
def package(engine):
    return importlib.import_module(engine)


@pytest.fixture
def only_llama_rs(engine):
    if engine != "llama_rs":
        pytest.skip("llama_cpp has no such thing")


@pytest.fixture
def make(package, model_path):
    """Make models that end with the test."""
    made = []

    def create(**arguments):
        given = {"n_ctx": 256, "n_threads": 1, "n_threads_batch": 1, "verbose": False} | arguments
        made.append(package.Llama(given.pop("model_path", model_path), **given))
        return made[-1]

    yield create
    for llama in made:
        llama.close()


@pytest.fixture(scope="session")
def llama(package, model_path):
    found = package.Llama(model_path, n_ctx=512, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)
    yield found
    found.close()


@pytest.fixture
def chat(llama):
    if "tokenizer.chat_template" not in llama.metadata:
        pytest.skip("the model has no chat template")
    return llama


@pytest.fixture
def real(llama):
    if llama.n_vocab() < 1000:
        pytest.skip("the model has no real vocabulary")
    return llama


def text_of(result) -> str:
    return result["choices"][0]["text"]


def readable(text: str) -> str:
    """Leave out what stands for bytes that are no UTF-8: llama_cpp drops them, llama_rs gives U+FFFD."""
    return text.replace("\ufffd", "")


def join(chunks) -> str:
    return "".join(text_of(chunk) for chunk in chunks)


# Completions


def test_completion_has_the_shape_of_openai(llama, model_path):
    result = llama(PROMPT, **GREEDY)
    assert result["id"].startswith("cmpl-")
    assert result["object"] == "text_completion"
    assert isinstance(result["created"], int)
    assert result["model"] == model_path
    choice = result["choices"][0]
    assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
    assert (choice["index"], choice["logprobs"]) == (0, None)
    usage = result["usage"]
    assert usage["prompt_tokens"] == len(llama.tokenize(PROMPT.encode()))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] == 12 or choice["finish_reason"] == "stop"


def test_two_completions_have_two_ids(llama):
    assert llama(PROMPT, max_tokens=1)["id"] != llama(PROMPT, max_tokens=1)["id"]


def test_model_can_be_given_another_name(llama):
    assert llama(PROMPT, max_tokens=1, model="mine")["model"] == "mine"


def test_call_and_create_completion_are_one(llama):
    assert text_of(llama(PROMPT, **GREEDY)) == text_of(llama.create_completion(PROMPT, **GREEDY))


def test_tokens_are_taken_as_a_prompt(llama):
    tokens = llama.tokenize(PROMPT.encode(), special=True)
    assert text_of(llama(tokens, **GREEDY)) == text_of(llama(PROMPT, **GREEDY))


def test_greedy_text_is_the_same_again(llama):
    assert text_of(llama(PROMPT, **GREEDY)) == text_of(llama(PROMPT, **GREEDY))


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"temperature": 1.2, "seed": 7}])
def test_stream_gives_the_whole_text_in_chunks(llama, sampling):
    chunks = list(llama(PROMPT, max_tokens=20, stream=True, **sampling))
    whole = llama(PROMPT, max_tokens=20, **sampling)
    assert readable(join(chunks)) == readable(text_of(whole))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert text_of(chunks[-1]) == ""
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["object"] == "text_completion" and "usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("limit", [None, -1, 0])
def test_without_max_tokens_it_goes_on_until_the_context_is_full(make, package, limit):
    llama = make()
    grammar = package.LlamaGrammar.from_string("root ::= [a-z] root", verbose=False)
    result = llama.create_completion(PROMPT, max_tokens=limit, temperature=0.0, grammar=grammar)
    assert result["choices"][0]["finish_reason"] == "length"
    assert result["usage"]["total_tokens"] == llama.n_ctx()


def test_prompt_that_does_not_fit_is_refused(make):
    llama = make(n_ctx=64)
    with pytest.raises(ValueError, match="exceed context window"):
        llama(PROMPT * llama.n_ctx(), max_tokens=1)


def test_prompt_of_several_batches(make):
    text = PROMPT * 9
    few, one = make(n_batch=16), make()
    assert text_of(few(text, **GREEDY)) == text_of(one(text, **GREEDY))


# Stop


def find_stop(llama) -> tuple[str, str]:
    """Return a greedy text and a piece from its middle that is plain ASCII."""
    text = text_of(llama(PROMPT, max_tokens=24, temperature=0.0))
    for middle in range(len(text) // 2, len(text) - 1):
        piece = text[middle : middle + 2]
        if piece.isascii() and piece.isprintable() and piece.strip():
            return text, piece
    pytest.skip("the model's greedy text has no ASCII in it")


@pytest.mark.parametrize("several", [False, True])
def test_text_ends_before_a_stop_string(llama, several):
    text, piece = find_stop(llama)
    stop = ["never to be found", piece] if several else piece
    result = llama(PROMPT, max_tokens=24, temperature=0.0, stop=stop)
    assert text_of(result) == text[: text.index(piece)]
    assert result["choices"][0]["finish_reason"] == "stop"


def test_nothing_of_a_stop_string_is_streamed(llama):
    text, piece = find_stop(llama)
    chunks = list(llama(PROMPT, max_tokens=24, temperature=0.0, stop=piece, stream=True))
    assert join(chunks) == text[: text.index(piece)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_beginning_of_a_stop_string_is_given_in_the_end(llama):
    text, piece = find_stop(llama)
    chunks = llama(PROMPT, max_tokens=24, temperature=0.0, stop=piece + "\x00no", stream=True)
    assert join(chunks) == text


# Sampling


def test_a_seed_gives_the_same_text_again(llama):
    sampling = {"max_tokens": 16, "temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    texts = [text_of(llama(PROMPT, seed=seed, **sampling)) for seed in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


def test_constructor_seed_decides_where_a_call_names_none(make):
    def two_texts(seed):
        llama = make(seed=seed)
        return [text_of(llama(PROMPT, max_tokens=16, temperature=1.5, top_k=0)) for _ in range(2)]

    first, again, other = two_texts(3), two_texts(3), two_texts(4)
    assert first == again != other
    assert first[0] != first[1]


@pytest.mark.parametrize(
    "sampling",
    [
        {"top_k": 1},
        {"top_p": 1e-6},
        {"min_p": 1.0},
    ],
    ids=str,
)
def test_one_candidate_left_is_the_greedy_one(llama, sampling):
    found = text_of(llama(PROMPT, max_tokens=12, temperature=1.0, seed=5, **sampling))
    assert found == text_of(llama(PROMPT, **GREEDY))


@pytest.mark.parametrize(
    "sampling",
    [
        {"typical_p": 0.5},
        {"mirostat_mode": 1, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        {"mirostat_mode": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        {"repeat_penalty": 1.3},
        {"frequency_penalty": 0.7, "presence_penalty": 0.7},
        {"temperature": -1.0},
        {"tfs_z": 0.9},
    ],
    ids=str,
)
def test_sampling_settings_are_taken(llama, sampling):
    given = {"max_tokens": 12, "temperature": 1.0, "seed": 5} | sampling
    assert text_of(llama(PROMPT, **given)) == text_of(llama(PROMPT, **given))


def test_penalty_changes_greedy_text_that_repeats_itself(llama):
    given = {"max_tokens": 40, "temperature": 0.0}
    assert text_of(llama("a a a a a a", **given)) != text_of(llama("a a a a a a", repeat_penalty=5.0, **given))


def test_logit_bias_chooses_the_token(llama):
    token = llama.tokenize(b"z", add_bos=False)[0]
    result = llama(PROMPT, max_tokens=3, temperature=0.0, logit_bias={token: 1000.0})
    assert text_of(result) == "zzz"


def test_grammar_binds_the_text(llama, package):
    grammar = package.LlamaGrammar.from_string('root ::= "yes" | "no"', verbose=False)
    result = llama(PROMPT, max_tokens=20, temperature=0.0, grammar=grammar)
    assert text_of(result) in {"yes", "no"}
    assert result["choices"][0]["finish_reason"] == "stop"


def test_characters_of_several_tokens_are_streamed_whole(llama, package):
    grammar = package.LlamaGrammar.from_string('root ::= "é😀漢字ß😀"', verbose=False)
    chunks = list(llama(PROMPT, max_tokens=40, temperature=0.0, grammar=grammar, stream=True))
    assert join(chunks) == "é😀漢字ß😀"
    assert not any("�" in text_of(chunk) for chunk in chunks)


# Log probabilities and echo


def test_logprobs_have_the_shape_of_openai(llama):
    result = llama(PROMPT, logprobs=3, **GREEDY)
    found = result["choices"][0]["logprobs"]
    assert set(found) == {"tokens", "text_offset", "token_logprobs", "top_logprobs"}
    count = result["usage"]["completion_tokens"]
    assert [len(found[name]) for name in sorted(found)] == [count] * 4
    assert found["text_offset"][0] == len(PROMPT)
    assert found["text_offset"] == sorted(found["text_offset"])
    for token, logprob, top in zip(found["tokens"], found["token_logprobs"], found["top_logprobs"], strict=True):
        assert logprob <= 0
        assert top[token] == pytest.approx(logprob, abs=1e-4)
        assert logprob >= max(top.values()) - 1e-4  # greedy


def test_stream_gives_the_same_logprobs(llama):
    whole = llama(PROMPT, logprobs=2, **GREEDY)["choices"][0]["logprobs"]
    streamed = {name: [] for name in whole}
    for chunk in llama(PROMPT, logprobs=2, stream=True, **GREEDY):
        found = chunk["choices"][0]["logprobs"]
        for name in whole if found else ():
            streamed[name] += found[name]
    assert streamed["tokens"] == whole["tokens"]
    assert streamed["token_logprobs"] == pytest.approx(whole["token_logprobs"], abs=1e-4)


def test_echo_puts_the_prompt_first(llama):
    assert text_of(llama(PROMPT, echo=True, **GREEDY)) == PROMPT + text_of(llama(PROMPT, **GREEDY))


def test_logprobs_of_an_echo_begin_with_the_prompt(llama, engine):
    result = llama(PROMPT, echo=True, logprobs=2, **GREEDY)
    found = result["choices"][0]["logprobs"]
    assert "".join(found["tokens"]).startswith(PROMPT)
    assert found["text_offset"][0] == 0
    assert found["token_logprobs"][0] is found["top_logprobs"][0] is None
    assert all(logprob <= 0 for logprob in found["token_logprobs"][1:])
    if engine == "llama_cpp" and llama.tokenize(b"", add_bos=True) == []:
        return  # it takes each token's logits from the position after it, unless the model adds BOS
    alone = llama(PROMPT, logprobs=2, **GREEDY)["choices"][0]["logprobs"]
    count = len(alone["tokens"])
    assert found["token_logprobs"][-count:] == pytest.approx(alone["token_logprobs"], abs=1e-3)


# Token by token


def test_generate_gives_what_a_completion_gives(llama):
    tokens = []
    for token in llama.generate(llama.tokenize(PROMPT.encode(), special=True), temp=0.0):
        tokens.append(token)
        if len(tokens) == 12:
            break
    text = text_of(llama(PROMPT, **GREEDY))
    assert llama.detokenize(tokens).decode("utf-8", "ignore").startswith(readable(text))


def test_generate_begins_anew_with_the_same_seed(llama):
    def take(count):
        llama.set_seed(11)
        tokens = llama.generate(llama.tokenize(PROMPT.encode()), temp=1.5, top_k=0)
        return [token for token, _ in zip(tokens, range(count), strict=False)]

    assert take(10) == take(10)


def test_eval_and_sample_give_what_generate_gives(llama):
    prompt = llama.tokenize(PROMPT.encode())
    generated = [token for token, _ in zip(llama.generate(prompt, temp=0.0), range(8), strict=False)]
    llama.reset()
    llama.eval(prompt)
    sampled = []
    for _ in range(8):
        sampled.append(llama.sample(temp=0.0))
        llama.eval([sampled[-1]])
    assert sampled == generated
    assert llama.n_tokens == len(prompt) + 8
    assert list(llama.input_ids[: llama.n_tokens]) == prompt + sampled
    assert list(llama.eval_tokens) == prompt + sampled


@pytest.mark.usefixtures("only_llama_rs")  # to llama_cpp they are a draft, which it may or may not take
def test_tokens_sent_into_generate_follow(llama):
    prompt = llama.tokenize(PROMPT.encode())
    more = llama.tokenize(b" and then", add_bos=False)
    tokens = llama.generate(prompt, temp=0.0)
    first = next(tokens)
    after = tokens.send(more)
    expected = next(llama.generate([*prompt, first, *more], temp=0.0))
    assert after == expected


def test_generate_without_reset_goes_on(llama):
    prompt = llama.tokenize(PROMPT.encode())
    llama.reset()
    llama.eval(prompt[:-1])
    token = next(llama.generate(prompt[-1:], temp=0.0, reset=False))
    assert token == next(llama.generate(prompt, temp=0.0))


def test_reused_context_gives_the_text_of_a_fresh_one(make):
    llama = make()
    llama(PROMPT, **GREEDY)
    longer = text_of(llama(PROMPT + " there was", **GREEDY))
    shorter = text_of(llama("Once upon", **GREEDY))
    other = text_of(llama("Something else", **GREEDY))
    assert longer == text_of(make()(PROMPT + " there was", **GREEDY))
    assert shorter == text_of(make()("Once upon", **GREEDY))
    assert other == text_of(make()("Something else", **GREEDY))


def test_scores_are_the_logits(llama):
    np = pytest.importorskip("numpy")
    prompt = llama.tokenize(PROMPT.encode())
    llama.reset()
    llama.eval(prompt)
    scores = np.asarray(llama.scores[: llama.n_tokens])
    assert scores.shape == (len(prompt), llama.n_vocab())
    assert scores.dtype == np.float32
    assert int(scores[-1].argmax()) == llama.sample(temp=0.0)
    assert list(llama.eval_logits)[-1] == pytest.approx(scores[-1].tolist())


def test_saved_state_goes_on_with_the_same_tokens(make):
    # A state holds no logits, so the last token is evaluated again, alone: it must have the very bits that it has in a
    # prompt, or a near tie falls the other way.
    llama = make()
    prompt = llama.tokenize((PROMPT + " there was a").encode())
    llama.eval(prompt)
    state = llama.save_state()
    assert (state.n_tokens, len(state.llama_state)) == (len(prompt), state.llama_state_size)
    assert list(state.input_ids[: state.n_tokens]) == prompt

    def go_on(model):
        return [token for token, _ in zip(model.generate(prompt, temp=0.0), range(8), strict=False)]

    expected = go_on(llama)
    llama("Something else", max_tokens=5)
    llama.load_state(state)
    assert llama.n_tokens == len(prompt)
    assert go_on(llama) == expected
    fresh = make()
    fresh.load_state(state)
    assert go_on(fresh) == expected


# Text and tokens


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_comes_back_from_tokens(llama, text):
    if len(text) > 200 and llama.n_vocab() > 1000:
        text = text[:200]
    tokens = llama.tokenize(text.encode(), add_bos=False, special=False)
    assert llama.detokenize(tokens) == text.encode()
    assert all(0 <= token < llama.n_vocab() for token in tokens)


def test_special_tokens_are_recognized_when_asked(real):
    text = real.detokenize([real.token_eos()], special=True)
    assert real.tokenize(text, add_bos=False, special=True) == [real.token_eos()]
    assert len(real.tokenize(text, add_bos=False, special=False)) > 1
    assert real.detokenize([real.token_eos()]) == b""


def test_tokenizer_object(llama):
    tokenizer = llama.tokenizer()
    tokens = tokenizer.encode("Hello wörld", add_bos=False)
    assert tokens == llama.tokenize("Hello wörld".encode(), add_bos=False, special=True)
    assert tokenizer.decode(tokens) == "Hello wörld"


def test_facts(llama, model_path):
    assert llama.n_ctx() == 512
    assert llama.n_vocab() > 0
    assert llama.n_embd() > 0
    assert 0 <= llama.token_eos() < llama.n_vocab()
    assert 0 <= llama.token_bos() < llama.n_vocab()
    assert -1 <= llama.token_nl() < llama.n_vocab()
    assert llama.metadata["general.architecture"] == "llama"
    assert llama.model_path == model_path
    assert llama.n_batch == 512


def test_context_of_the_models_own_length(make):
    llama = make(n_ctx=0)
    assert llama.n_ctx() == int(llama.metadata["llama.context_length"])


def test_missing_file_is_a_value_error(package, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        package.Llama(str(tmp_path / "no.gguf"), verbose=False)


def test_garbage_is_no_model(package, tmp_path):
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"garbage" * 100)
    with pytest.raises((ValueError, RuntimeError)):
        package.Llama(str(path), verbose=False)


def test_override_of_a_metadata_key(make):
    llama = make(kv_overrides={"llama.context_length": 333}, n_ctx=0)
    assert abs(llama.n_ctx() - 333) < 256  # llama.cpp rounds it


# Embeddings


def norm(row) -> float:
    return math.sqrt(sum(value * value for value in row))


def test_embeddings(make):
    llama = make(embedding=True, pooling_type=1)
    assert llama.pooling_type() == 1
    row = llama.embed("Hello world", normalize=True)
    assert len(row) == llama.n_embd()
    assert norm(row) == pytest.approx(1.0, abs=1e-5)
    plain = llama.embed("Hello world")
    assert [value / norm(plain) for value in plain] == pytest.approx(row, abs=1e-5)
    rows, count = llama.embed(["Hello world", PROMPT, "x"], normalize=True, return_count=True)
    assert rows[0] == pytest.approx(row, abs=1e-4)
    assert count == sum(len(llama.tokenize(text.encode())) for text in ("Hello world", PROMPT, "x"))


def test_embedding_has_the_shape_of_openai(make, model_path):
    llama = make(embedding=True, pooling_type=3)
    result = llama.create_embedding(["Hello", "world"])
    assert (result["object"], result["model"]) == ("list", model_path)
    assert [(item["object"], item["index"]) for item in result["data"]] == [("embedding", 0), ("embedding", 1)]
    assert all(len(item["embedding"]) == llama.n_embd() for item in result["data"])
    assert result["usage"]["prompt_tokens"] == result["usage"]["total_tokens"] > 0


def test_embeddings_of_each_token_without_pooling(make):
    llama = make(embedding=True, pooling_type=0)
    rows = llama.embed("Hello world", normalize=True)
    assert len(rows) == len(llama.tokenize(b"Hello world"))
    assert all(norm(row) == pytest.approx(1.0, abs=1e-5) for row in rows)


def test_long_texts_are_cut_or_refused(make):
    llama = make(embedding=True, pooling_type=1, n_batch=16, n_ubatch=16)
    assert llama.embed(PROMPT * 20, return_count=True)[1] == 16
    with pytest.raises(ValueError, match="exceed batch size"):
        llama.embed(PROMPT * 20, truncate=False)


def test_embeddings_need_a_model_for_them(llama):
    with pytest.raises(RuntimeError, match="embedding=True"):
        llama.embed("Hello")


# Chats

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_has_the_shape_of_openai(chat):
    result = chat.create_chat_completion(MESSAGES, max_tokens=12, temperature=0.0)
    assert result["id"].startswith("chatcmpl-")
    assert result["object"] == "chat.completion"
    choice = result["choices"][0]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert result["usage"]["prompt_tokens"] > 10


def test_chat_stream_begins_with_a_role_and_ends_with_a_reason(chat):
    whole = chat.create_chat_completion(MESSAGES, max_tokens=12, temperature=0.0)
    chunks = list(chat.create_chat_completion(MESSAGES, max_tokens=12, temperature=0.0, stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant"}
    assert deltas[-1] == {}
    assert "".join(delta["content"] for delta in deltas[1:-1]) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_chat_answers_with_a_json_object(chat):
    result = chat.create_chat_completion(
        [{"role": "user", "content": "Give name and age of a person as JSON."}],
        response_format={"type": "json_object"},
        max_tokens=200,
        temperature=0.0,
    )
    content = result["choices"][0]["message"]["content"]
    if result["choices"][0]["finish_reason"] == "stop":
        assert isinstance(json.loads(content), dict)
    assert content.lstrip().startswith("{")


def test_chat_takes_stop_seed_and_logprobs(chat, make):
    # The second time, the prompt is kept but for its last token: see the test of the saved state.
    chat = make(n_ctx=512, logits_all=True)
    given = {"max_tokens": 20, "temperature": 0.9, "seed": 3, "logprobs": True, "top_logprobs": 2}
    results = [chat.create_chat_completion(MESSAGES, stop=["zzzz"], **given) for _ in range(2)]
    first, second = (result["choices"][0] for result in results)
    assert first["message"] == second["message"]
    row = first["logprobs"]["content"][0]
    assert set(row) == {"token", "bytes", "logprob", "top_logprobs"}
    assert len(row["top_logprobs"]) >= 2


def test_chat_with_a_system_message_and_turns(chat):
    messages = [
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "Say yes."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Again."},
    ]
    assert chat.create_chat_completion(messages, max_tokens=5)["choices"][0]["message"]["content"]


# Threads when nobody names a number

THREADS = """
import contextlib, importlib, json, os, sys
package = importlib.import_module(sys.argv[1])
cpus = os.sched_getaffinity(0)
found = []
for cpus in (cpus, {min(cpus)}):
    os.sched_setaffinity(0, cpus)
    for given in ({}, {"n_threads": 3}, {"n_threads_batch": 3}, {"n_threads": 0, "n_threads_batch": 0}):
        with contextlib.closing(package.Llama(sys.argv[2], n_ctx=256, verbose=False, **given)) as llama:
            found.append([llama.n_threads, llama.n_threads_batch])
    found.append(package.truewheel.threads())
print(json.dumps(found))
"""


def test_threads_that_fit_are_taken_and_what_a_person_says_wins(engine, model_path):
    command = [sys.executable, "-c", THREADS, engine, model_path]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(child.stdout)
    for rows in (found[:5], found[5:]):
        *taken, (decode, prompt, reason) = rows
        assert taken == [[decode, prompt], [3, prompt], [decode, 3], [decode, prompt]]
        assert "physical core" in reason
    assert found[9][:2] == [1, 1]
    assert found[4][0] >= 1


# A preset of this machine

PRESET = """
import contextlib, importlib, json, os, sys
package, model = importlib.import_module(sys.argv[1]), sys.argv[2]
found = importlib.import_module(sys.argv[1] + ".truewheel_found")
cores = importlib.import_module(sys.argv[1] + ".truewheel_cores").count_usable()
wanted = found.Wanted(found.cpu_name(), cores, found.fingerprint(model), package.truewheel.TABLE["engine"])
os.makedirs(found.preset_folder())
path = os.path.join(found.preset_folder(), found.preset_name(wanted))
with open(path, "w") as file:
    file.write("schema = 1\\n[for]\\n[settings]\\nn_threads = 1\\nn_threads_batch = 1\\nn_ctx = 128\\n")
rows = []
for given in ({}, {"n_ctx": 64}, {"n_threads": 2, "n_threads_batch": 2, "n_ctx": 64}):
    with contextlib.closing(package.Llama(model, verbose=False, **given)) as llama:
        text = llama("Once upon a time", max_tokens=4, temperature=0)["choices"][0]["text"]
        rows.append([llama.n_threads, llama.n_ctx(), hasattr(llama, "truewheel_settings"), text])
os.environ["TRUEWHEEL_PRESET"] = "off"
with contextlib.closing(package.Llama(model, verbose=False, n_threads=2)) as llama:
    rows.append([llama.n_threads, llama.n_ctx(), hasattr(llama, "truewheel_settings"), ""])
print(json.dumps([path, rows]))
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML since 3.11")
def test_the_preset_of_this_machine_is_followed_and_what_a_person_says_wins(engine, model_path, tmp_path):
    command = [sys.executable, "-c", PRESET, engine, model_path]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "TRUEWHEEL_PRESET": ""}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    path, rows = json.loads(child.stdout)
    followed, narrower, given, off = rows
    # llama.cpp makes a context of 256 tokens at least.
    assert followed[:3] == [1, narrower[1], True]
    assert narrower[:1] + narrower[2:3] == [1, True]
    assert (given[0], given[2]) == (2, False)
    assert (off[0], off[2]) == (2, False)
    assert followed[3] == narrower[3] == given[3]
    assert child.stderr.count(f"run under the preset {path}; TRUEWHEEL_PRESET=off does without") == 1


# Every argument reaches llama.cpp


@pytest.mark.usefixtures("only_llama_rs")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n_ctx": 768}, {"n_ctx": 768}),
        ({"n_batch": 64}, {"n_batch": 64, "n_ubatch": 64}),
        ({"n_ubatch": 32}, {"n_ubatch": 32}),
        ({"n_threads": 2}, {"n_threads": 2}),
        ({"n_threads_batch": 2}, {"n_threads_batch": 2}),
        ({"embedding": True, "pooling_type": 2}, {"pooling_type": 2}),
        ({"embedding": True, "pooling_type": 3}, {"pooling_type": 3}),
        ({"type_k": 8}, {"type_k": "q8_0", "type_v": "f16"}),
        ({"type_v": 8, "flash_attn": True}, {"type_k": "f16", "type_v": "q8_0"}),
        ({"rope_freq_base": 5000.0}, {"rope_freq_base": 5000.0}),
        ({"rope_freq_scale": 0.5}, {"rope_freq_scale": 0.5}),
        ({"use_mmap": False}, {"use_mmap": False}),
    ],
    ids=str,
)
def test_llama_cpp_says_what_was_asked_for(make, given, expected):
    settings = make(**given).settings()
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.usefixtures("only_llama_rs")
def test_flash_attention_is_read_back(make):
    on, off = make(flash_attn=True).settings()["flash_attn"], make(flash_attn=False).settings()["flash_attn"]
    assert on != off


YARN = {"rope_scaling_type": 2, "rope_freq_scale": 0.25}
POOLED = {"embedding": True, "pooling_type": 1}


@pytest.mark.parametrize(
    ("base", "given"),
    [
        ({}, {"rope_freq_base": 500.0}),
        ({}, {"rope_freq_scale": 0.25}),
        ({"rope_freq_scale": 0.25}, {"rope_scaling_type": 2}),
        ({}, {"kv_overrides": {"llama.attention.layer_norm_rms_epsilon": 0.5}}),
        (YARN, {"yarn_ext_factor": 0.0}),
        (YARN | {"yarn_ext_factor": 0.0}, {"yarn_attn_factor": 3.0}),
        (YARN, {"yarn_beta_fast": 3.0}),
        (YARN, {"yarn_beta_slow": 9.0}),
        (YARN, {"yarn_orig_ctx": 64}),
        ({}, {"flash_attn": True}),
        ({}, {"type_k": 8}),
        ({"flash_attn": True}, {"type_v": 8}),
    ],
    ids=str,
)
def test_logits_change_with_the_argument(make, base, given):
    assert logits_of(make, base) != logits_of(make, base | given)


def test_attention_type_changes_embeddings(make):
    rows = [make(**POOLED, attention_type=kind).embed(PROMPT * 4) for kind in (0, 1)]
    assert rows[0] != rows[1]


def logits_of(make, arguments) -> list[float]:
    llama = make(logits_all=True, **arguments)
    llama.eval(llama.tokenize(PROMPT.encode() * 4))
    return list(llama.eval_logits)[-1]


# llama_rs alone


@pytest.mark.usefixtures("only_llama_rs")
class TestLlamaRsAlone:
    def test_timings(self, llama):
        expected = {"cache_n", "prompt_n", "prompt_ms", "prompt_per_second", "predicted_n", "predicted_ms"}
        expected |= {"predicted_per_second", "time_to_first_token_ms", "load_ms"}
        chunks = list(llama(PROMPT, stream=True, **GREEDY))
        whole = llama(PROMPT, **GREEDY)
        assert set(whole["timings"]) == set(chunks[-1]["timings"]) == expected
        assert not any("timings" in chunk for chunk in chunks[:-1])
        assert whole["timings"]["cache_n"] > 0
        assert whole["timings"]["predicted_n"] == whole["usage"]["completion_tokens"]

    def test_logits_need_no_numpy(self, llama):
        llama.reset()
        llama.eval(llama.tokenize(PROMPT.encode()))
        view = llama.logits()
        assert (view.format, len(view)) == ("f", llama.n_vocab())
        assert max(range(len(view)), key=view.__getitem__) == llama.sample(temp=0.0)

    def test_logprobs_without_logits_all(self, make):
        assert make()(PROMPT, logprobs=1, **GREEDY)["choices"][0]["logprobs"]["tokens"]

    def test_it_is_a_context_manager(self, make):
        with make() as llama:
            assert llama(PROMPT, max_tokens=1)
        with pytest.raises(ValueError, match="closed"):
            llama(PROMPT, max_tokens=1)

    @pytest.mark.parametrize(
        "given",
        [
            {"n_gpu_layers": 20},
            {"split_mode": 0},
            {"main_gpu": 1},
            {"tensor_split": [1.0]},
            {"lora_path": "adapter"},
            {"lora_base": "base"},
            {"lora_scale": 0.5},
            {"draft_model": object()},
            {"tokenizer": object()},
            {"chat_handler": object()},
            {"chat_format": "chatml"},
            {"numa": True},
            {"spm_infill": True},
        ],
        ids=lambda given: next(iter(given)),
    )
    def test_what_it_cannot_do_is_refused_by_name(self, make, given):
        with pytest.raises(NotImplementedError, match=next(iter(given))):
            make(**given)

    def test_unknown_parameter_is_refused_with_the_nearest(self, make):
        with pytest.raises(TypeError, match="n_thread'; did you mean 'n_threads'"):
            make(n_thread=2)

    def test_parameters_of_its_own(self, make):
        llama = make(use_extra_bufts=True, check_tensors=True, cpus=sorted(os.sched_getaffinity(0))[:1], poll=0)
        assert llama(PROMPT, max_tokens=1)

    @pytest.mark.parametrize("name", ["stopping_criteria", "logits_processor"])
    def test_callbacks_are_refused_by_name(self, llama, name):
        with pytest.raises(NotImplementedError, match=name):
            llama(PROMPT, **{name: [lambda *_: False]})
        with pytest.raises(NotImplementedError, match=name):
            llama.generate([1], **{name: [lambda *_: False]})

    @pytest.mark.parametrize("name", ["functions", "function_call", "tool_choice"])
    def test_tool_calls_are_refused_by_name(self, llama, name):
        with pytest.raises(NotImplementedError, match=name):
            llama.create_chat_completion(MESSAGES, **{name: "auto"})

    def test_suffix_is_appended_where_the_model_cannot_fill_in(self, llama):
        if "tokenizer.ggml.fim_pre_token_id" in llama.metadata:
            pytest.skip("the model can")
        assert text_of(llama(PROMPT, suffix=" the end", **GREEDY)) == text_of(llama(PROMPT, **GREEDY)) + " the end"

    def test_import_takes_no_heavy_module(self):
        program = (
            "import sys, llama_rs; print([m for m in ('typing', 'json', 'numpy', 'dataclasses') if m in sys.modules])"
        )
        found = subprocess.run(
            [sys.executable, "-S", "-c", PATHS + program], capture_output=True, text=True, check=True
        )
        assert "numpy" not in found.stdout
        assert "dataclasses" not in found.stdout
        assert "json" not in found.stdout

    def test_version(self, package):
        assert isinstance(package.__version__, str)
        assert "CPU" in package.system_info() or package.system_info()


# -S leaves out what .pth files would import; the paths are the same.
PATHS = f"import sys; sys.path[:] = {sys.path!r}; "


# Both in one process

MAX_TOKENS = 24
BOTH = """
import importlib, json, sys
first, second, path = sys.argv[1:4]
packages = {name: importlib.import_module(name) for name in (first, second)}
given = dict(n_ctx=256, n_threads=1, n_threads_batch=1, logits_all=True, seed=42, verbose=False)
models = {name: package.Llama(path, **given) for name, package in packages.items()}
prompt = "Once upon a time"
samplings = [
    dict(temperature=0.0),
    dict(temperature=0.8, seed=1),
    dict(temperature=1.5, seed=2, top_k=0, top_p=0.9, min_p=0.0),
    dict(temperature=1.0, seed=3, typical_p=0.7, repeat_penalty=1.2),
    dict(temperature=1.0, seed=4, frequency_penalty=0.5, presence_penalty=0.5),
    dict(temperature=1.0, seed=5, mirostat_mode=1),
    dict(temperature=1.0, seed=6, mirostat_mode=2),
    dict(temperature=-1.0, seed=7),
    dict(temperature=0.0, repeat_penalty=1.3),
    dict(temperature=1.0, seed=8, logit_bias={70: 5.0, 71: -3.0}),
    dict(temperature=1.0), dict(temperature=1.0),
]
found = {}
for name, llama in models.items():
    facts = found[name] = {}
    facts["texts"] = []
    for each in samplings:
        llama.reset()
        result = llama(prompt, max_tokens=24, **each)
        text = result["choices"][0]["text"].replace("\\ufffd", "")
        facts["texts"].append([text, result["usage"]["completion_tokens"]])
    facts["grammar"] = llama(prompt, max_tokens=24, seed=9, temperature=1.0,
        grammar=packages[name].LlamaGrammar.from_string('root ::= [a-z ]+'))["choices"][0]["text"]
    facts["logprobs"] = llama(prompt, max_tokens=4, temperature=0, logprobs=3)["choices"][0]["logprobs"]["tokens"]
    llama.reset()
    facts["tokens"] = [
        llama.tokenize(text.encode(), bos, special) for text in json.loads(sys.argv[4])
        for bos in (False, True) for special in (False, True)
    ]
    llama.eval(llama.tokenize(prompt.encode()))
    import numpy as np
    facts["logits"] = np.ascontiguousarray(llama.scores[: llama.n_tokens], dtype="<f4").tobytes().hex()
    facts["facts"] = [llama.n_vocab(), llama.n_embd(), llama.n_ctx()]
    facts["facts"] += [llama.token_bos(), llama.token_eos(), llama.token_nl()]
    facts["metadata"] = llama.metadata
    if "tokenizer.chat_template" in llama.metadata:
        messages = [{"role": "user", "content": "Say hello."}]
        answer = llama.create_chat_completion(messages, max_tokens=12, temperature=0.0)
        facts["chat"] = [answer["choices"][0]["message"], answer["usage"]]
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=[ENGINES, ENGINES[::-1]], ids=["llama_rs first", "llama_cpp first"])
def both(request, model_path):
    missing = [name for name in ENGINES if not installed(name)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    command = [sys.executable, "-X", "faulthandler", "-c", BOTH, *request.param, model_path, json.dumps(TEXTS)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    found = json.loads(child.stdout)
    return found["llama_cpp"], found["llama_rs"]


@pytest.mark.parametrize("name", ["texts", "grammar", "logprobs", "tokens", "logits", "facts", "metadata", "chat"])
def test_both_engines_agree(both, name):
    theirs, ours = both
    if name == "chat" and "chat" not in theirs:
        pytest.skip("the model has no chat template")
    if name == "texts":
        # After bytes that begin a character and do not end it, llama_cpp goes on beyond max_tokens.
        theirs["texts"] = [
            our if count > MAX_TOKENS and text.startswith(our[0]) else [text, count]
            for (text, count), our in zip(theirs["texts"], ours["texts"], strict=True)
        ]
    if name == "logits":
        assert ours[name] == theirs[name], "logits differ in a bit"
    assert ours[name] == theirs[name]


@pytest.mark.usefixtures("only_llama_rs")
@pytest.mark.parametrize("size", [1, 4, 100])
def test_chunks_of_a_stream_have_as_many_tokens_as_asked_for(make, size):
    llama = make(stream_group=size)
    counts = [
        len(chunk["choices"][0]["logprobs"]["tokens"])
        for chunk in llama(PROMPT, max_tokens=9, temperature=0.0, logprobs=1, stream=True)
        if chunk["choices"][0]["logprobs"]
    ]
    assert sum(counts) == 9
    assert counts[0] < 9
    assert size == 1 or max(counts[1:]) >= min(size, 4)


@pytest.mark.usefixtures("real")
def test_a_stream_has_one_token_a_chunk(make):
    # Where a token ends within a character, the next is waited for; the words of a real model are whole.
    llama = make(logits_all=True)
    counts = [
        len(chunk["choices"][0]["logprobs"]["tokens"])
        for chunk in llama(PROMPT, max_tokens=9, temperature=0.0, logprobs=1, stream=True)
        if chunk["choices"][0]["logprobs"]
    ]
    assert sum(counts) == 9
    assert max(counts) == 1
