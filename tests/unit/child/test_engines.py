"""Adapters: what each file must be, and what they make of an engine's answers; and the programs on top of them."""

import ast
import importlib.util
import itertools
import os
import socket
import sys
import types
from importlib import resources
from pathlib import Path

import pytest

from truewheel.child.engines import base
from truewheel.child.programs.measure import Low, Measurement
from truewheel.child.registry import known_engines

FOLDER = Path(str(resources.files("truewheel.child"))) / "engines"
HELPERS = {"__init__", "base"}
FILES = sorted(FOLDER.glob("*.py"))
PROGRAMS = sorted((FOLDER.parent / "programs").glob("*.py"))
DRIVERS = [path.stem for path in FILES if path.stem not in HELPERS]
METHODS = ("load", "open", "feed", "truncate", "answer", "tokenize", "notes")
MODEL, CONTEXT = "/models/m.gguf", 600
PROMPT = "The lighthouse keeper"


def load(name):
    spec = importlib.util.spec_from_file_location(f"bench_driver_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def driver_of(name, package=None, engine=None, **settings):
    driver = load(name).Engine(name, settings)
    driver.package, driver.engine = package, engine
    return driver


def imported_at_module_level(tree):
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else (node.module or "").split(".")[0]


def imported_of_ours(path):
    """Yield the rooms and folders of truewheel that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("truewheel"):
            yield node.module.removesuffix(".base").removesuffix(".smoke")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("truewheel"))


@pytest.fixture
def ticking(monkeypatch):
    """Let every look at the clock be one second later than the last."""
    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))


# What each file is


def test_every_driver_is_there():
    assert {entry.driver for entry in known_engines().values()} == set(DRIVERS)


@pytest.mark.parametrize("path", [*FILES, *PROGRAMS], ids=lambda path: path.stem)
def test_old_pythons_read_every_file(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in functions if node.returns or any(each.annotation for each in node.args.args)]


@pytest.mark.parametrize("path", [*FILES, *PROGRAMS], ids=lambda path: path.stem)
def test_only_the_standard_library_is_imported(path):
    strangers = set(imported_at_module_level(ast.parse(path.read_text()))) - sys.stdlib_module_names
    # Of truewheel, what lies here and what wheels carry: those keep to the standard library too.
    assert strangers <= {"truewheel"}
    assert set(imported_of_ours(path)) <= {"truewheel.carried", "truewheel.child.engines", "truewheel.child.programs"}


def test_strangers_would_be_seen():
    tree = ast.parse("import os.path\nimport numpy as np\nfrom llama_cpp.x import y\nfrom . import common\n")
    assert set(imported_at_module_level(tree)) - sys.stdlib_module_names == {"numpy", "llama_cpp", "."}


@pytest.mark.parametrize("name", DRIVERS)
def test_every_driver_has_the_protocol(name):
    driver = driver_of(name)
    assert isinstance(driver, base.Engine)
    assert not [method for method in METHODS if not callable(getattr(driver, method, None))]
    assert type(driver).open is not base.Engine.open
    assert type(driver).answer is not base.Engine.answer


@pytest.mark.parametrize("name", DRIVERS)
def test_loading_a_driver_leaves_no_module_behind(name):
    before = set(sys.modules)
    load(name)
    assert not [module for module in set(sys.modules) - before if module in DRIVERS]


@pytest.mark.parametrize("name", ["mistralrs", "nobodywho", "openvino_genai", "xllamacpp"])
def test_an_engine_without_a_low_level_says_so(name):
    low = Low(driver_of(name), CONTEXT)
    for work in (low.prefill, low.decode):
        with pytest.raises(base.Absent, match="samples none"):
            work(8, 0)


@pytest.mark.parametrize("name", ["mistralrs", "nobodywho", "openvino_genai", "xllamacpp"])
def test_a_setting_is_followed_or_named(name):
    asked = {"n_threads": 2, "own_pool": True, "huge_pages": True}
    driver = driver_of(name, **asked)
    assert driver.ignored() == ["huge_pages", "own_pool"]


def test_what_is_mended_is_said():
    for entry in known_engines().values():
        assert bool(entry.extra) == bool(entry.mends)


# What they share


def test_one_number_of_threads_is_enough_where_both_are_the_same():
    def list_ignored(settings, followed):
        engine = base.Engine("toy", settings)
        engine.followed = followed
        return engine.ignored()

    same = {"n_threads": 2, "n_threads_batch": 2, "poll": 0}
    assert list_ignored(same, ["n_threads"]) == ["poll"]
    assert list_ignored(dict(same, n_threads_batch=1), ["n_threads"]) == ["n_threads_batch", "poll"]
    assert list_ignored(same, []) == ["n_threads", "n_threads_batch", "poll"]
    assert list_ignored({}, ["n_threads"]) == []
    assert list_ignored(same, None) == []


@pytest.mark.usefixtures("ticking")
def test_pieces_are_timed_as_they_come():
    assert base.listen(["a", "", "b"]) == (1.0, 2.0, "ab")
    first, seconds, text = base.listen([])
    assert (first, text) == (None, "")
    assert seconds > 0


# ik_llama_cpp


@pytest.mark.parametrize(
    ("asked", "wanted", "chosen"), [(None, 600, None), (None, 5000, 5000), (700, 600, 700), (512, 600, 600)]
)
def test_a_context_is_given_where_the_default_is_too_small(asked, wanted, chosen):
    assert load("ik_llama_cpp").choose_context(asked, 4096, wanted) == chosen


@pytest.mark.parametrize(
    ("asked", "has_vnni", "used", "explained"),
    [
        (None, True, True, False),
        (None, False, False, False),
        ("auto", False, False, False),
        ("on", True, True, False),
        ("on", False, False, True),
        ("off", True, False, False),
        ("off", False, False, False),
    ],
)
def test_flash_attention_is_what_ik_makes_of_it(asked, has_vnni, used, explained):
    found, reason = load("ik_llama_cpp").judge_flash(asked, has_vnni)
    assert (found, bool(reason)) == (used, explained)


class Ik:
    """An IkLlama that ends early."""

    def tokenize(self, text):
        return list(text.encode())

    def detokenize(self, tokens):
        return bytes(tokens).decode()

    def generate(self, tokens, max_tokens, temperature):
        assert temperature == 0
        return [*b"and then"][: min(max_tokens, len(tokens))]


@pytest.mark.usefixtures("ticking")
def test_ik_counts_what_was_generated():
    driver = driver_of("ik_llama_cpp", engine=Ik())
    answer = driver.answer("abc", 8)
    assert answer == {"first": None, "seconds": 1.0, "prompt": 3, "count": 3, "text": "and"}
    measurement = Measurement(types.SimpleNamespace(request={"context": CONTEXT}), driver)
    measurement.low.depth = 32
    measurement.once({"kind": "answer"}, 8, 0, "abc")
    assert measurement.low.depth is None
    assert measurement.do_cut("naïve", 2) == {"text": "na", "tokens": 2}


class IkCalls:
    """The low level, as it was called."""

    def __init__(self):
        self.seen = []

    def take(self, name, value=None):
        def call(*arguments):
            self.seen.append((name, *arguments[1:]))
            return value(*arguments) if value else 0

        return call


def test_ik_places_each_batch_behind_the_last():
    calls = IkCalls()
    driver = driver_of("ik_llama_cpp", engine=types.SimpleNamespace(ctx=1))
    token = type("Token", (int,), {"__mul__": lambda _, count: lambda *tokens: (count, tokens)})
    driver.bindings = types.SimpleNamespace(
        llama_token=token(), llama_decode=calls.take("decode"), llama_kv_cache_clear=calls.take("clear")
    )
    driver.calls = {
        "llama_batch_get_one": lambda array, count, position, _: (position, count, array[1]),
        "llama_kv_cache_seq_rm": calls.take("remove"),
        "llama_synchronize": lambda _: None,
    }
    low = Low(driver, CONTEXT)
    low.tokens, driver.size = list(range(10)), 4
    low.decode(2, 6)
    first = [("clear",), ("decode", (0, 4, (0, 1, 2, 3))), ("decode", (4, 2, (4, 5)))]
    again = [("decode", (6, 1, (0,))), ("decode", (7, 1, (1,)))]
    assert calls.seen == [*first, *again]
    low.decode(2, 6)
    assert calls.seen == [*first, *again, ("remove", 0, 6, -1), *again]


# xllamacpp


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, None),
        ({"use_mmap": True}, "MMAP"),
        ({"use_mmap": False}, "NONE"),
        ({"use_mlock": True}, "MMAP_MLOCK"),
        ({"use_mmap": False, "use_mlock": True}, "MLOCK"),
        ({"use_mlock": False}, "MMAP"),
    ],
)
def test_mmap_and_mlock_are_one_way_to_load(settings, mode):
    expected = mode and f"LLAMA_LOAD_MODE_{mode}"
    assert load("xllamacpp").choose_load_mode(settings) == expected


def test_a_mask_names_cpus():
    assert load("xllamacpp").make_mask([0, 2], 4) == [True, False, True, False]


class Names:
    """An enumeration that has every name."""

    def __getattr__(self, name):
        return name


def make_server_package():
    def pool():
        return types.SimpleNamespace(n_threads=-1, poll=50, cpumask=[False] * 4, mask_valid=False)

    def params():
        model = types.SimpleNamespace(path="")
        return types.SimpleNamespace(n_ctx=0, model=model, cpuparams=pool(), cpuparams_batch=pool())

    return types.SimpleNamespace(
        CommonParams=params,
        Server=lambda params: params,
        get_system_info=lambda: "AVX2 = 1 | OPENMP = 1 | ",
        llama_flash_attn_type=Names(),
        llama_load_mode=Names(),
        ggml_type=Names(),
    )


def test_a_server_gets_nothing_that_was_not_asked_for():
    driver = driver_of("xllamacpp", make_server_package())
    driver.open(MODEL, CONTEXT)
    plain = make_server_package().CommonParams()
    plain.model.path = "/models/m.gguf"
    assert driver.engine == plain


def test_a_server_gets_what_was_asked_for():
    settings = {"n_ctx": 512, "n_batch": 64, "n_threads": 3, "n_threads_batch": 4, "flash_attn": "on", "cpus": [1]}
    driver = driver_of(
        "xllamacpp", make_server_package(), **settings, type_k="q8_0", repack=False, use_mmap=False, poll=0
    )
    facts = driver.open(MODEL, CONTEXT)
    params = driver.engine
    assert (params.n_ctx, params.n_batch) == (600, 64)
    assert (params.cpuparams.n_threads, params.cpuparams_batch.n_threads) == (3, 4)
    assert params.cpuparams_batch.cpumask == [False, True, False, False]
    assert params.flash_attn_type == "LLAMA_FLASH_ATTN_TYPE_ENABLED"
    assert (params.cache_type_k, hasattr(params, "cache_type_v")) == ("GGML_TYPE_Q8_0", False)
    assert (params.no_extra_bufts, params.load_mode) == (True, "LLAMA_LOAD_MODE_NONE")
    assert (driver.ignored(), list(facts["not_followed"])) == ([], ["poll"])


class Server:
    """A server that sends these events."""

    def __init__(self, *events):
        self.events = events

    def handle_completions(self, request, take):
        assert (request["cache_prompt"], request["temperature"], request["stream"]) == (False, 0, True)
        for event in self.events:
            take(event)


def piece(text, **more):
    return {"choices": [{"text": text}], **more}


def end(cached=0):
    return piece("", timings={"cache_n": cached, "prompt_n": 31, "predicted_n": 5})


@pytest.mark.usefixtures("ticking")
def test_a_server_is_taken_at_its_own_figures():
    answer = driver_of("xllamacpp", engine=Server(piece("a"), piece("🦙"), end())).answer(PROMPT, 5)
    assert answer == {"first": 1.0, "seconds": 2.0, "prompt": 31, "count": 5, "text": "a🦙"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([{"error": {"message": "too long"}}], "too long"),
        ([piece("a")], "no end"),
        ([piece("a"), end(cached=7)], "7 tokens of the prompt came from its cache"),
    ],
)
def test_a_server_that_fails_is_no_figure(events, reason):
    with pytest.raises(RuntimeError, match=reason):
        driver_of("xllamacpp", engine=Server(*events)).answer(PROMPT, 5)


# llama-cpp-cffi


def test_options_are_the_packages_own():
    choose = load("llama_cpp_cffi").choose_options
    kinds = {"F16": 1, "Q8_0": 8}
    assert choose({}, 600, kinds) == {}
    assert choose({}, 5000, kinds) == {"n_ctx": 5000}
    assert choose({"n_ctx": 512, "n_threads": 2, "flash_attn": "off", "type_v": "q8_0"}, 600, kinds) == {
        "n_ctx": 600,
        "n_threads": 2,
        "flash_attn": False,
        "type_v": 8,
    }
    assert choose({"flash_attn": "auto", "own_pool": True}, 600, kinds) == {}


@pytest.mark.usefixtures("ticking")
def test_cffi_counts_pieces_that_are_empty(capsys):
    def complete(prompt, predict, temp):
        assert (prompt, predict, temp) == (PROMPT, 8, 0.0)
        sys.stdout.write("context_init")
        yield from ["a", "", "b"]

    driver = driver_of("llama_cpp_cffi", engine=types.SimpleNamespace(completions=complete))
    driver.low = None
    driver.tokenizer = types.SimpleNamespace(encode=lambda text: text.split())
    answer = driver.answer(PROMPT, 8)
    assert answer == {"first": 1.0, "seconds": 2.0, "prompt": 3, "count": 3, "text": "ab"}
    assert capsys.readouterr().out == ""


def test_cffi_looks_for_no_card_and_no_network(monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_BACKEND", "cuda")
    monkeypatch.setattr(socket, "has_ipv6", True)
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"llama-cpp-cffi": "0.4"}[name])
    assert load("llama_cpp_cffi").Engine("json", {}).load() == "0.4"
    assert (os.environ["LLAMA_CPP_BACKEND"], socket.has_ipv6) == ("cpu", False)


# mistralrs


def test_mistralrs_is_told_by_its_environment():
    told = load("mistralrs").list_variables({"n_threads": 2, "cpus": [0, 3], "poll": 0})
    assert told == {"RAYON_NUM_THREADS": "2", "CANDLE_CPU_MASK": "0,3"}
    assert load("mistralrs").list_variables({}) == {}


def make_chunk(text, usage=None):
    return types.SimpleNamespace(
        choices=[types.SimpleNamespace(delta=types.SimpleNamespace(content=text))], usage=usage
    )


def mistral_of(*chunks):
    package = types.SimpleNamespace(ChatCompletionRequest=lambda **given: given)
    engine = types.SimpleNamespace(send_chat_completion_request=lambda request: chunks if request["stream"] else ())
    return driver_of("mistralrs", package, engine)


@pytest.mark.usefixtures("ticking")
def test_mistralrs_is_taken_at_its_usage():
    usage = types.SimpleNamespace(prompt_tokens=58, completion_tokens=4)
    answer = mistral_of(make_chunk("a"), make_chunk(None), make_chunk("b", usage)).answer(PROMPT, 4)
    assert answer == {"first": 1.0, "seconds": 2.0, "prompt": 58, "count": 4, "text": "ab"}


def test_mistralrs_without_usage_is_no_figure():
    with pytest.raises(RuntimeError, match="how many tokens"):
        mistral_of(make_chunk("a")).answer(PROMPT, 4)


# nobodywho


def test_a_chat_gets_a_larger_context_only_where_it_is_needed():
    choose = load("nobodywho").choose_arguments
    assert choose({}, 600) == {}
    assert choose({"n_threads": 2, "use_mmap": True}, 5000) == {"n_threads": 2, "n_ctx": 5000}
    assert choose({"n_ctx": 512}, 600) == {"n_ctx": 600}


class Chat:
    """A chat that goes on until it is stopped, and a little longer, or ends before."""

    def __init__(self, pieces, after):
        self.pieces, self.after = pieces, after
        self.stopped = False

    def ask(self, prompt):
        assert (prompt, self.stopped) == (PROMPT, False)
        return iter(self.pieces)

    def stop_generation(self):
        self.stopped = True

    def stats(self):
        return types.SimpleNamespace(context_used=self.after)


@pytest.mark.parametrize(
    ("pieces", "used", "count", "text"),
    [
        (["a", "b", "c", "d", "e"], 54, 3, "abc"),
        (["a", "", "c", "d"], 53, 3, "ac"),
        (["a", "b"], 53, 2, "ab"),
        (["a", "b", "c"], 52, 2, "abc"),
    ],
    ids=["one more was evaluated", "half a character", "ended early", "fewer tokens than pieces"],
)
def test_a_chat_is_stopped_and_counted(pieces, used, count, text):
    driver = driver_of("nobodywho")
    chats = []

    def open_chat():
        chats.append(Chat(pieces, used))
        return chats[-1]

    driver.open_chat = open_chat
    driver.prompts = {PROMPT: 50}
    for _ in range(2):
        answer = driver.answer(PROMPT, 3)
        assert (answer["prompt"], answer["count"], answer["text"]) == (50, count, text)
    assert [chat.stopped for chat in chats] == [True, True]


def test_a_prompt_is_counted_once():
    asked = []

    def create(**given):
        asked.append(given)
        return types.SimpleNamespace(usage=types.SimpleNamespace(prompt_tokens=58))

    completions = types.SimpleNamespace(completions=types.SimpleNamespace(create=create))
    driver = driver_of("nobodywho", types.SimpleNamespace(NobodyWho=lambda: types.SimpleNamespace(chat=completions)))
    driver.arguments, driver.prompts = {"n_threads": 2}, {}
    assert [driver.count_prompt(PROMPT), driver.count_prompt(PROMPT)] == [58, 58]
    assert [(given["max_tokens"], given["n_threads"]) for given in asked] == [(1, 2)]


# openvino_genai


def test_the_plugin_has_one_type_for_keys_and_values():
    choose = load("openvino_genai").choose_properties
    assert choose({}) == ({}, {})
    assert choose({"n_threads": 2, "type_k": "q8_0", "type_v": "q8_0"}) == (
        {"INFERENCE_NUM_THREADS": 2, "KV_CACHE_PRECISION": "u8"},
        {},
    )
    for settings in ({"type_k": "f16"}, {"type_k": "f16", "type_v": "q8_0"}):
        properties, refused = choose(settings)
        assert (properties, set(refused)) == ({}, set(settings))


def make_pipeline(seen):
    figures = types.SimpleNamespace(
        get_ttft=lambda: types.SimpleNamespace(mean=250.0),
        get_num_input_tokens=lambda: 28,
        get_num_generated_tokens=lambda: 4,
    )

    def generate(prompts, config, streamer):
        seen.append((prompts, config.max_new_tokens, config.do_sample, config.ignore_eos, config.apply_chat_template))
        assert not any(streamer(text) for text in ("a", "b c"))
        return types.SimpleNamespace(perf_metrics=figures)

    return types.SimpleNamespace(generate=generate, get_generation_config=types.SimpleNamespace)


@pytest.mark.usefixtures("ticking")
def test_openvino_is_taken_at_its_own_figures():
    seen = []
    answer = driver_of("openvino_genai", engine=make_pipeline(seen)).answer(PROMPT, 4)
    assert answer == {"first": 0.25, "seconds": 1.0, "prompt": 28, "count": 4, "text": "ab c"}
    assert seen == [([PROMPT], 4, False, True, False)]


def test_openvino_keeps_no_prompts():
    opened = []
    package = types.SimpleNamespace(
        SchedulerConfig=types.SimpleNamespace, LLMPipeline=lambda *given, **more: opened.append((given, more))
    )
    driver = driver_of("openvino_genai", package, n_threads=2)
    driver.read_plugin = dict
    driver.open(MODEL, CONTEXT)
    given, more = opened[0]
    assert given == ("/models/m.gguf", "CPU")
    assert more["INFERENCE_NUM_THREADS"] == 2
    assert (more["scheduler_config"].enable_prefix_caching, more["scheduler_config"].max_num_batched_tokens) == (
        False,
        2**64 - 1,
    )


def test_openvino_sends_no_message(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"openvino-genai": "2026.4"}[name])
    assert load("openvino_genai").Engine("json", {}).load() == "2026.4"
    assert os.environ.pop("CI") == "true"
