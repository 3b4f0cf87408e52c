"""The loader of presets that lies in the wheels, on stand-ins of llama_cpp's, llama_rs's and ik_llama_cpp's shape."""

import ast
import contextlib
import ctypes
import errno
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from factories import DIST_INFO, make_plan_of, wheel_members
from hypothesis import given
from hypothesis import strategies as st

from truewheel.config.presets import RunSettings, make_settings
from truewheel.errors import RepairError
from truewheel.repair.carried import MODULES, add_carried
from truewheel.wheel.archive import Member

FILE = Path(__file__).parents[3] / "src" / "truewheel" / "carried" / "preset_template.py"
NEVER = 511
"""A CPU that no machine that runs these tests has."""


USABLE = os.sched_getaffinity(0)


def load_template():
    spec = importlib.util.spec_from_file_location("loader_of_presets", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


loader = load_template()


class ModelParams(ctypes.Structure):
    _fields_ = (("n_gpu_layers", ctypes.c_int), ("use_extra_bufts", ctypes.c_bool))


class ContextParams(ctypes.Structure):
    _fields_ = (("n_ctx", ctypes.c_uint32), ("flash_attn_type", ctypes.c_int), ("type_k", ctypes.c_int))


class Library(ctypes.CDLL):
    """Stands in for llama.cpp's library: every function of its pools is a row in `events`."""

    def __init__(self, threads=(2, 2), fail_at=0):
        self.events = []
        self.made = 0
        self.fail_at = fail_at
        self.threads = threads

    def __getattr__(self, name):
        if name.startswith("do_") or not hasattr(type(self), f"do_{name}"):
            raise AttributeError(name)
        return getattr(self, f"do_{name}")

    def do_llama_n_threads(self, _context):
        return self.threads[0]

    def do_llama_n_threads_batch(self, _context):
        return self.threads[1]

    def do_ggml_threadpool_params_init(self, address, n_threads):
        params = loader._PoolParams.from_address(address)
        params.n_threads, params.poll = n_threads, 50

    def do_ggml_threadpool_new(self, address):
        params = loader._PoolParams.from_address(address)
        self.made += 1
        cpus = [cpu for cpu, chosen in enumerate(params.cpumask) if chosen]
        self.events.append(("new", self.made, params.n_threads, params.poll, cpus, params.paused))
        return None if self.made == self.fail_at else self.made

    def do_ggml_threadpool_free(self, pool):
        self.events.append(("free", pool))

    def do_llama_attach_threadpool(self, context, pool, pool_batch):
        self.events.append(("attach", context, pool, pool_batch))

    def do_llama_detach_threadpool(self, context):
        self.events.append(("detach", context))


class Context:
    """As llama_cpp's LlamaContext: what frees it stands in a stack."""

    def __init__(self, events, address):
        self.ctx = address
        self._exit_stack = contextlib.ExitStack()
        self._exit_stack.callback(events.append, ("context freed", address))

    def close(self):
        self._exit_stack.close()


def make_package(library=None, system_info=b"AVX2 = 1", fail=None):
    """Return a package of llama_cpp's shape; its engine tells what it was given."""
    package, bindings = ModuleType("toy_cpp"), ModuleType("toy_cpp.llama_cpp")
    package.llama_cpp = bindings
    events = library.events if library else []
    bindings._lib = library
    bindings.llama_model_params, bindings.llama_context_params = ModelParams, ContextParams
    bindings.llama_print_system_info = lambda: system_info
    bindings.seen = []
    bindings.llama_model_load_from_file = lambda _path, params: bindings.seen.append(params.use_extra_bufts)
    bindings.llama_init_from_model = lambda _model, params: (
        bindings.seen.append(params.flash_attn_type) or 4096 + len(bindings.seen)
    )

    class Llama:
        def __init__(
            self, model_path, *, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=None, n_threads_batch=None,
            flash_attn=False, type_k=None, type_v=None, use_mmap=True, use_mlock=False, verbose=True, **kwargs,
        ):  # fmt: skip
            self.given = {name: value for name, value in locals().items() if name not in {"self", "kwargs"}}
            self.surplus = kwargs
            model_params, context_params = ModelParams(use_extra_bufts=True), ContextParams()
            bindings.llama_model_load_from_file(model_path, model_params)
            if fail:
                raise fail
            context_params.flash_attn_type = int(flash_attn)
            self._ctx = Context(events, bindings.llama_init_from_model(None, context_params))
            self.model_params, self.context_params = model_params, context_params

        def close(self):
            self._ctx.close()

    package.Llama = Llama
    return package


def make_argument_package():
    """Return a package of llama_rs's shape: everything is an argument."""
    package = ModuleType("toy_rs")

    class Llama:
        def __init__(self, model_path, *, flash_attn=False, use_extra_bufts=True, cpus=(), poll=None, n_threads=None):
            self.given = {name: value for name, value in locals().items() if name != "self"}

    package.Llama = Llama
    return package


@pytest.fixture(autouse=True)
def unpinned():
    """Leave no test's pinning to the next."""
    yield
    os.sched_setaffinity(0, USABLE)


@pytest.fixture
def pooled(monkeypatch):
    """Return how to make a package whose library has pools of threads, and that library."""

    def find(library, name, _result, *_arguments):
        return getattr(library, name)

    monkeypatch.setattr(loader, "_function", find)

    def make(**how):
        info = how.pop("system_info", b"")
        library = Library(**how)
        return make_package(library, system_info=info), library

    yield make
    assert not loader._POOLED


def open_with(settings, package=None, **overrides):
    return loader.open_engine(package or make_package(), "model.gguf", settings, **overrides)


def usable_cpu():
    return min(USABLE)


# The file itself


def test_it_is_python_3_8_and_needs_nothing_but_the_standard_library():
    tree = ast.parse(FILE.read_text(), feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported - set(sys.stdlib_module_names) <= {"tomli", "tomllib"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_repair_puts_the_modules_beside_the_guard_and_takes_nobodys_place():
    plan = make_plan_of()
    members = add_carried(wheel_members(), plan)
    source = Path(__file__).parents[3] / "src" / "truewheel"
    assert members["toy_engine/truewheel_preset.py"] == Member(FILE.read_bytes())
    assert members["toy_engine/truewheel_cores.py"] == Member((source / "carried" / "cores.py").read_bytes())
    assert f"{DIST_INFO}/WHEEL" in members
    for name in MODULES:
        taken = f"toy_engine/{name}.py"
        with pytest.raises(RepairError, match=f"the wheel has a {re.escape(taken)} of its own") as caught:
            add_carried({**wheel_members(), taken: Member(b"")}, plan)
        assert caught.value.exit_code == 6


# What is asked for


def test_it_knows_the_settings_that_presets_have():
    assert set(loader.SETTINGS) == set(RunSettings.__struct_fields__)


ODD = st.sampled_from([-1, 0, 1, 2, 64, 100, 101, 512, 513, 2**31, True, False, "auto", "on", "off", "f16", "q8_0",
                       "q4_0", "q4_1", "", None, [], [0], [0, 0], [511], [512], [-1], [True], ["0"]])  # fmt: skip


@given(st.dictionaries(st.sampled_from([*loader.SETTINGS, "n_thread"]), ODD, max_size=4))
def test_it_refuses_what_truewheel_refuses(settings):
    def passes(check):
        try:
            check(settings)
        except ValueError:
            return False
        return True

    # Presets in Python may say None for what is left out; in a file there is no such thing.
    if None not in settings.values():
        assert passes(loader.check_settings) == passes(make_settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_thread": 2}, "there is no setting 'n_thread': did you mean 'n_threads'?"),
        ({"n_threads": 0}, "n_threads is 0, and must be a whole number from 1 to 512"),
        ({"n_threads": True}, "n_threads is True, and must be a whole number"),
        ({"type_k": "q5"}, "type_k is 'q5', and must be one of f16, q8_0, q4_0"),
        ({"repack": 1}, "repack is 1, and must be true or false"),
        ({"cpus": [1, 1]}, "must be a list of different numbers of CPUs"),
        ({"n_batch": 1, "n_ubatch": 2}, "n_ubatch (2) is more than n_batch (1)"),
        ({"type_v": "q8_0", "flash_attn": "off"}, "needs flash attention"),
    ],
)
def test_what_is_wrong_is_said_in_words_before_anything_is_loaded(settings, said):
    package = make_package()
    with pytest.raises(ValueError, match=re.escape(said)):
        open_with(settings, package)
    assert not package.llama_cpp.seen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema = 1\nn_ctx = 1\n[settings]\n", "there is no key 'n_ctx'"),
        ("schema = 1\n[setings]\n", "there is no key 'setings': did you mean 'settings'?"),
        ("schema = 2\n[settings]\n", "schema = 1 is missing"),
        ("schema = 1\n", "it has no table [settings]"),
        ("schema = 1\nsettings = 3\n", "it has no table [settings]"),
        ("schema = 1\n[settings]\npoll = 101\n", "poll is 101"),
        ("schema = \n", "Invalid value"),
    ],
)
def test_a_file_is_named_with_what_is_wrong_in_it(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="mine") as caught:
        loader.read_preset(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_preset_is_a_path_or_settings(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("schema = 1\n[for]\n[settings]\nn_ctx = 64\n[runner-up.settings]\nn_ctx = 32\n[evidence]\n")
    assert loader.read_preset(str(path)) == loader.read_preset(path) == loader.read_preset({"n_ctx": 64})
    with pytest.raises(TypeError, match="path of a TOML file, or a dict of settings, not int"):
        loader.read_preset(3)
    with pytest.raises(FileNotFoundError):
        loader.read_preset(tmp_path / "none.toml")


def test_an_old_python_without_toml_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    with pytest.raises(ImportError, match="install tomli, or give a dict of settings"):
        loader.read_preset("mine.toml")
    assert loader.read_preset({"n_ctx": 64}) == {"n_ctx": 64}


# Arguments and fields


def test_settings_are_arguments_of_the_engine():
    numbers = {"n_ctx": 64, "n_batch": 32, "n_ubatch": 16, "n_threads": 2, "n_threads_batch": 3}
    engine = open_with({**numbers, "use_mmap": False, "use_mlock": True, "type_k": "q8_0", "type_v": "q4_0"})
    assert engine.given.items() >= {**numbers, "use_mmap": False, "use_mlock": True, "type_k": 8, "type_v": 2}.items()
    assert engine.surplus == {}
    assert engine.truewheel_settings["not_followed"] == {}
    assert engine.truewheel_settings["followed"].items() >= {**numbers, "type_k": "q8_0"}.items()


@pytest.mark.parametrize(("setting", "argument", "field"), [("on", True, 1), ("off", False, 0), ("auto", False, -1)])
def test_flash_attention_is_on_or_off_by_argument_and_auto_by_field(setting, argument, field):
    package = make_package()
    engine = open_with({"flash_attn": setting}, package)
    assert engine.given["flash_attn"] is argument
    assert package.llama_cpp.seen == [True, field]
    assert engine.context_params.flash_attn_type == field


def test_a_quantized_v_cache_brings_flash_attention_along():
    assert open_with({"type_v": "q8_0"}).context_params.flash_attn_type == -1
    assert open_with({"type_v": "f16"}).context_params.flash_attn_type == 0
    assert open_with({"type_v": "q8_0"}, flash_attn=True).context_params.flash_attn_type == 1
    assert open_with({"type_v": "q8_0"}, flash_attn=False).context_params.flash_attn_type == 0


def test_repacking_is_a_field_and_only_while_the_engine_is_made():
    package = make_package()
    bindings = package.llama_cpp
    before = bindings.llama_model_load_from_file, bindings.llama_init_from_model
    assert not open_with({"repack": False}, package).model_params.use_extra_bufts
    assert (bindings.llama_model_load_from_file, bindings.llama_init_from_model) == before
    assert package.Llama("model.gguf").model_params.use_extra_bufts
    assert bindings.seen[::2] == [False, True]


def test_what_was_put_in_the_way_is_taken_away_after_an_error():
    package = make_package(fail=RuntimeError("no memory"))
    bindings = package.llama_cpp
    before = bindings.llama_model_load_from_file, bindings.llama_init_from_model
    with pytest.raises(RuntimeError, match="no memory"):
        open_with({"repack": False, "flash_attn": "auto", "cpus": [usable_cpu()]}, package)
    assert bindings.seen == [False]
    assert (bindings.llama_model_load_from_file, bindings.llama_init_from_model) == before
    assert os.sched_getaffinity(0) == USABLE
    assert loader._LOCK.acquire(timeout=1)
    loader._LOCK.release()


def test_engines_that_another_thread_makes_meanwhile_are_left_alone():
    package = make_package()
    other = []

    def make_another():
        other.append(package.Llama("other.gguf"))

    with loader.filled_in(package.llama_cpp, {"model": {"use_extra_bufts": False}, "context": {"flash_attn_type": -1}}):
        thread = threading.Thread(target=make_another)
        thread.start()
        thread.join()
        mine = package.Llama("mine.gguf")
    assert (other[0].model_params.use_extra_bufts, other[0].context_params.flash_attn_type) == (True, 0)
    assert (mine.model_params.use_extra_bufts, mine.context_params.flash_attn_type) == (False, -1)


def test_arguments_win_over_the_preset():
    engine = open_with({"n_ctx": 64, "flash_attn": "auto", "repack": False}, n_ctx=128, flash_attn=True, verbose=False)
    assert (engine.given["n_ctx"], engine.given["flash_attn"], engine.given["verbose"]) == (128, True, False)
    assert engine.context_params.flash_attn_type == 1
    assert engine.truewheel_settings["followed"] == {"repack": False}
    # What is no argument of the engine takes the setting's place, checked as a setting.
    assert open_with({"repack": False}, repack=True).model_params.use_extra_bufts
    with pytest.raises(ValueError, match="repack is 3"):
        open_with({}, repack=3)


def test_everything_may_be_an_argument():
    cpu = usable_cpu()
    engine = open_with(
        {"flash_attn": "auto", "repack": False, "cpus": [cpu, NEVER], "poll": 7, "own_pool": True, "n_ctx": 64},
        make_argument_package(),
    )
    assert engine.given["flash_attn"] is None
    assert engine.given.items() >= {"use_extra_bufts": False, "cpus": [cpu], "poll": 7}.items()
    told = engine.truewheel_settings
    assert told["followed"] == {"flash_attn": "auto", "repack": False, "poll": 7, "own_pool": True, "cpus": [cpu]}
    assert told["not_followed"] == {"n_ctx": "Llama has no such argument", "cpus": f"not usable here: {NEVER}"}


def test_an_engine_whose_threads_always_stay_says_so():
    told = open_with({"own_pool": False}, make_argument_package()).truewheel_settings
    assert told["followed"] == {}
    assert "stay between calls" in told["not_followed"]["own_pool"]


def test_a_package_that_knows_less_says_what_it_cannot_follow():
    package = ModuleType("toy_ik")

    class IkLlama:
        def __init__(self, model_path, *, n_ctx=512, flash_attn=True):
            self.given = (model_path, n_ctx, flash_attn)

    package.IkLlama = IkLlama
    bindings = package._ctypes_api = ModuleType("toy_ik._ctypes_api")
    bindings.llama_model_params = bindings.llama_context_params = type("Params", (ctypes.Structure,), {"_fields_": ()})
    bindings.llama_init_from_model = print
    settings = {"n_ctx": 64, "n_batch": 32, "repack": True, "type_v": "q8_0", "own_pool": True, "poll": 0}
    engine = open_with(settings, package)
    assert engine.given == ("model.gguf", 64, True)
    assert set(engine.truewheel_settings["not_followed"]) == {"n_batch", "repack", "type_v", "own_pool", "poll"}
    told = open_with({"flash_attn": "auto"}, package).truewheel_settings["not_followed"]
    assert "on and off alone" in told["flash_attn"]
    with pytest.raises(TypeError, match="toy has no class Llama"):
        open_with({}, ModuleType("toy"))


# Threads


def test_one_pool_does_for_both_and_is_freed_after_the_context(pooled):
    package, library = pooled(threads=(2, 2))
    engine = open_with({"own_pool": True, "poll": 0}, package)
    context = engine._ctx.ctx
    assert library.events == [("new", 1, 2, 0, [], False), ("attach", context, 1, 1)]
    del library.events[:]
    engine.close()
    engine.close()
    assert library.events == [("context freed", context), ("free", 1)]
    assert engine.truewheel_settings["followed"] == {"own_pool": True, "poll": 0}


def test_tokens_have_a_pool_of_their_own_that_is_paused_until_it_is_wanted(pooled):
    package, library = pooled(threads=(1, 3))
    cpu = usable_cpu()
    engine = open_with({"own_pool": True, "cpus": [cpu]}, package)
    context = engine._ctx.ctx
    assert library.events == [
        ("new", 1, 3, 50, [cpu], False),
        ("new", 2, 1, 50, [cpu], True),
        ("attach", context, 2, 1),
    ]
    engine._ctx.close()  # as where the model is closed, or collected
    assert library.events[3:] == [("context freed", context), ("free", 2), ("free", 1)]


@pytest.mark.parametrize(("fail_at", "freed"), [(1, []), (2, [("free", 1)])])
def test_an_engine_whose_pool_cannot_be_made_goes_on_without(pooled, fail_at, freed):
    package, library = pooled(threads=(1, 2), fail_at=fail_at)
    engine = open_with({"own_pool": True}, package)
    assert [event for event in library.events if event[0] != "new"] == freed
    assert "no pool of threads" in engine.truewheel_settings["not_followed"]["own_pool"]
    engine.close()
    assert library.events[-1][0] == "context freed"


def test_bindings_that_leave_the_system_info_out_are_opened_all_the_same(pooled):
    package, _ = pooled()
    del package.llama_cpp.llama_print_system_info
    assert open_with({"n_ctx": 64}, package).truewheel_settings["followed"] == {"n_ctx": 64}


def test_a_forked_process_computes_without_the_pools_and_does_not_wait_for_their_threads(pooled, monkeypatch):
    package, library = pooled()
    engine = open_with({"own_pool": True}, package)
    context = engine._ctx.ctx
    pid = os.getpid()
    loader._detach_all()
    assert library.events[-1] == ("detach", context)
    monkeypatch.setattr(loader.os, "getpid", lambda: pid + 1)
    engine.close()
    assert library.events[-1] == ("context freed", context)


def test_a_closed_context_is_not_touched_again(pooled):
    package, library = pooled()
    open_with({"own_pool": True}, package).close()
    count = len(library.events)
    loader._detach_all()
    assert len(library.events) == count


THREADS_STAY = b"CPU : AVX2 = 1 | THREADS_STAY = 1 | "


def test_where_the_backend_keeps_its_threads_no_pool_is_made(pooled):
    package, library = pooled(system_info=THREADS_STAY)
    engine = open_with({"own_pool": True}, package)
    assert library.events == []
    assert engine.truewheel_settings["followed"] == {"own_pool": True}
    told = open_with({"own_pool": False}, package).truewheel_settings["not_followed"]
    assert "stay between calls" in told["own_pool"]


@pytest.mark.parametrize("asked", [{"poll": 7}, {"cpus": [min(USABLE)]}])
def test_a_pool_is_made_there_for_what_is_asked_of_it(pooled, asked):
    package, library = pooled(system_info=THREADS_STAY)
    engine = open_with({"own_pool": True, **asked}, package)
    assert library.events[0] == ("new", 1, 2, asked.get("poll", 50), asked.get("cpus", []), False)
    assert engine.truewheel_settings["followed"] == {"own_pool": True, **asked}
    engine.close()


def test_openmp_has_its_own_way_to_wait(pooled):
    package, library = pooled(system_info=b"CPU : AVX2 = 1 | OPENMP = 1 | ")
    engine = open_with({"own_pool": True, "poll": 9}, package)
    assert library.events[0] == ("new", 1, 2, 50, [], False)
    assert "OpenMP" in engine.truewheel_settings["not_followed"]["poll"]
    engine.close()


def test_the_cpu_backend_is_asked_for_its_functions_where_it_is_loaded_at_run_time(monkeypatch):
    made, freed = [], []
    pointer = ctypes.c_void_p
    new = ctypes.CFUNCTYPE(pointer, pointer)(lambda params: made.append(params) or 77)
    free = ctypes.CFUNCTYPE(None, pointer)(freed.append)
    addresses = {
        b"ggml_threadpool_new": ctypes.cast(new, pointer).value,
        b"ggml_threadpool_free": ctypes.cast(free, pointer).value,
    }
    library = SimpleNamespace(
        ggml_backend_dev_by_type=lambda kind: 5 if kind == 0 else None,
        ggml_backend_dev_backend_reg=lambda device: device + 1,
        ggml_backend_reg_get_proc_address=lambda registry, name: addresses.get(name) if registry == 6 else None,
    )
    monkeypatch.setattr(loader, "_function", lambda library, name, *_: getattr(library, name))
    make, release = loader._find_pool_makers(library)
    assert make(3) == 77
    release(77)
    assert (made, freed) == ([3], [77])
    addresses.clear()
    with pytest.raises(AttributeError, match="ggml_threadpool_new"):
        loader._find_pool_makers(library)


def test_an_unknown_form_of_the_pools_parameters_is_not_written_into(pooled):
    package, library = pooled()

    def other_form(address, _n_threads):
        loader._PoolParams.from_address(address).n_threads = 7

    library.ggml_threadpool_params_init = other_form
    engine = open_with({"own_pool": True}, package)
    assert "ggml_threadpool_params" in engine.truewheel_settings["not_followed"]["own_pool"]
    assert library.events == []
    engine.close()


def test_without_pools_in_the_library_it_says_so():
    told = open_with({"own_pool": True, "poll": 3}).truewheel_settings["not_followed"]
    assert "cannot be given a pool" in told["own_pool"]
    assert told["poll"] == "it is about the threads of own_pool"


def test_the_thread_is_pinned_while_the_engine_is_open():
    cpu = usable_cpu()
    engine = open_with({"cpus": [cpu, NEVER]})
    assert os.sched_getaffinity(0) == {cpu}
    assert engine.truewheel_settings["followed"] == {"cpus": [cpu]}
    assert engine.truewheel_settings["not_followed"] == {"cpus": f"not usable here: {NEVER}"}
    engine.close()
    assert os.sched_getaffinity(0) == USABLE


def test_cpus_of_which_none_is_here_change_nothing():
    told = open_with({"cpus": [NEVER]}).truewheel_settings
    assert os.sched_getaffinity(0) == USABLE
    assert told["followed"] == {}
    assert told["not_followed"] == {"cpus": "none of them is usable here"}


def test_a_thread_that_somebody_else_has_pinned_since_is_left_alone():
    if len(USABLE) < 2:
        pytest.skip("needs two CPUs")
    first, second, *_ = sorted(USABLE)
    engine = open_with({"cpus": [first]})
    os.sched_setaffinity(0, {second})
    engine.close()
    assert os.sched_getaffinity(0) == {second}


# Memory

MAPS = """\
00400000-01400000 rw-p 00000000 00:00 0
02000000-02400000 rw-p 00000000 00:00 0                                  [heap]
03000000-033ff000 rw-p 00000000 00:00 0
04000000-05000000 r--p 00000000 00:00 0
05000000-06000000 rw-s 00000000 00:00 0
06000000-07000000 rw-p 00000000 08:01 131                                /a file
07000000-08000000 rw-p 00000000 00:00 0                                  [stack]
08000000-09000000 rw-p 00000000 00:00 0                                  [anon:a name]
"""


def test_large_private_memory_of_no_file_is_found():
    found = loader.find_large_memory(MAPS.splitlines(keepends=True))
    assert found == [(0x400000, 16 << 20), (0x2000000, 4 << 20), (0x8000000, 16 << 20)]


class System:
    """Stands in for the C library: `refusals` are the error numbers by start, size and advice; all else goes well."""

    def __init__(self, monkeypatch, spans, refusals):
        self.calls, self.refusals = [], refusals
        # A function of ctypes has an attribute for the types of its arguments.
        self.madvise = functools.partial(self.answer)
        monkeypatch.setattr(loader.ctypes, "CDLL", lambda *_, **__: self)
        monkeypatch.setattr(loader, "find_large_memory", lambda _lines: spans)
        monkeypatch.setattr(loader, "_huge_bytes", lambda: len(self.calls) << 20)

    def answer(self, start, size, advice):
        self.calls.append((start, size, advice))
        ctypes.set_errno(self.refusals.get((start, size, advice), 0))
        return -1 if (start, size, advice) in self.refusals else 0


def test_a_system_that_stops_at_the_first_unused_page_is_asked_for_each(monkeypatch):
    mib = 1 << 20
    refusals = {
        (3 * mib, 8 * mib, 25): errno.EINVAL,
        (4 * mib, 2 * mib, 25): errno.EINVAL,
        (6 * mib, 2 * mib, 25): errno.ENOMEM,
        (32 * mib, 4 * mib, 14): errno.EINVAL,
    }
    system = System(monkeypatch, [(3 * mib, 8 * mib), (16 * mib, 4 * mib), (32 * mib, 4 * mib)], refusals)
    size, errors = loader.use_huge_pages()
    assert system.calls == [
        (3 * mib, 8 * mib, 14),
        (3 * mib, 8 * mib, 25),
        *((start * mib, 2 * mib, 25) for start in (4, 6, 8)),
        (16 * mib, 4 * mib, 14),
        (16 * mib, 4 * mib, 25),
        (32 * mib, 4 * mib, 14),
    ]
    assert (size, errors) == (len(system.calls) << 20, 2)


def test_huge_pages_leave_the_memorys_content_alone():
    program = f"""
import importlib.util, mmap
spec = importlib.util.spec_from_file_location("loader", {str(FILE)!r})
loader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loader)
memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for start in range(0, 16 << 20, 4096):
    memory[start] = start // 4096 % 251
size, errors = loader.use_huge_pages()
assert all(memory[start] == start // 4096 % 251 for start in range(0, 16 << 20, 4096))
assert isinstance(size, int) and 0 <= size <= 64 << 20 and 0 <= errors < 100
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_lies_on_huge_pages_is_told(monkeypatch):
    monkeypatch.setattr(loader, "use_huge_pages", lambda: (6 << 20, 2))
    told = open_with({"huge_pages": True}).truewheel_settings
    assert told == {
        "followed": {"huge_pages": True},
        "not_followed": {},
        "huge_page_bytes": 6 << 20,
        "huge_page_errors": 2,
    }
    assert open_with({"huge_pages": False}).truewheel_settings["huge_page_bytes"] == 0
    monkeypatch.setattr(loader, "use_huge_pages", lambda: (0, 0))
    told = open_with({"huge_pages": True}).truewheel_settings
    assert told["followed"] == {}
    assert "no more memory came to lie on them" in told["not_followed"]["huge_pages"]


def test_a_system_without_huge_pages_is_no_fault(monkeypatch):
    def fail():
        raise FileNotFoundError("/proc/self/smaps_rollup")

    monkeypatch.setattr(loader, "use_huge_pages", fail)
    assert "smaps_rollup" in open_with({"huge_pages": True}).truewheel_settings["not_followed"]["huge_pages"]


# In a package

PACKAGE = """
class Llama:
    def __init__(self, model_path, n_ctx=512, verbose=True):
        self.given = (model_path, n_ctx, verbose)
"""
PRESET = "schema = 1\n[for]\n[settings]\nn_ctx = 64\npoll = 3\nhuge_pages = true\n"


@pytest.fixture
def call(tmp_path):
    """Run Python beside a package that the file lies in, with a preset."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "mine.toml").write_text(PRESET)
    shutil.copyfile(FILE, tmp_path / "toy" / "truewheel_preset.py")

    def run(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="the called Python reads TOML since 3.11")


@needs_toml
def test_one_line_loads_a_model_under_a_preset(call):
    program = (
        "from toy.truewheel_preset import arguments, load\n"
        "print(load('m.gguf', 'mine.toml', verbose=False).given)\n"
        "print(arguments({'n_ctx': 64, 'n_batch': 32}))"
    )
    code, out, err = call("-c", program)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "('m.gguf', 64, False)",
        "({'n_ctx': 64}, ['n_batch: Llama has no such argument'])",
    ]


@needs_toml
def test_the_module_prints_what_would_be_given(call):
    code, out, err = call("-m", "toy.truewheel_preset", "mine.toml")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Llama gets: n_ctx=64",
        "by load() itself: huge_pages=True",
        "not followed: poll: it is about the threads of own_pool",
    ]


@needs_toml
@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "usage: python -m toy.truewheel_preset PRESET"), (("none.toml",), "No such file"), (("toy",), "directory")],
)
def test_the_module_says_what_is_wrong_without_a_traceback(call, arguments, said):
    code, out, err = call("-m", "toy.truewheel_preset", *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert "Traceback" not in err


def test_a_file_outside_of_a_package_asks_for_one():
    with pytest.raises(ImportError, match="call open_engine, and name one"):
        loader.load("model.gguf", {})
