"""A preset that an engine finds by itself: a toy package with the modules that wheels carry, run as a person does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories import make_host, make_plan_of
from test_guard import START, source_of
from tunings import tuning

from truewheel.carried import found
from truewheel.carried.cores import count_usable
from truewheel.carried.found import Wanted, cpu_name, fingerprint, preset_folder, preset_name
from truewheel.config.presets import load_preset
from truewheel.errors import StoreError
from truewheel.repair.carried import add_carried
from truewheel.tune.preset import found_target, make_preset, write_found

ENGINE = """
from .truewheel import with_preset

class Llama:
    @with_preset
    def __init__(self, model_path, *, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=None, n_threads_batch=None,
                 flash_attn=False, type_k=None, type_v=None, use_extra_bufts=True, {threads} vocab_only=False,
                 verbose=True):
        self.given = {{name: value for name, value in locals().items() if name != "self"}}
        self.calls = getattr(self, "calls", 0) + 1
        if type_k == 2 or n_ctx == 13:
            raise ValueError("the engine refuses it")

    def close(self):
        self.closed = True
"""
RUN = """
import json, sys, toy_engine
llama = toy_engine.Llama(*json.loads(sys.argv[1]), **json.loads(sys.argv[2]))
toy_engine.Llama(*json.loads(sys.argv[1]), **json.loads(sys.argv[2]))
found = toy_engine.truewheel.preset(*json.loads(sys.argv[1]))
told = getattr(llama, "truewheel_settings", None)
print(json.dumps({"given": llama.given, "told": told, "found": found, "calls": llama.calls}))
"""
needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML since 3.11")
pytestmark = needs_toml


class Home:
    """A person's home with presets, a model, and an engine of the toy package."""

    def __init__(self, folder, threads):
        plan = make_plan_of()
        package = folder / "toy_engine"
        package.mkdir()
        (package / "truewheel.py").write_text(source_of(plan).removesuffix(START))
        (package / "__init__.py").write_text("from . import truewheel\n" + ENGINE.format(threads=threads))
        for path, member in add_carried({}, plan).items():
            (folder / path).write_bytes(member.data)
        self.folder, self.engine = folder, plan.subject.engine
        self.model = folder / "model.gguf"
        self.model.write_bytes(b"GGUF" + os.urandom(200_000))
        self.presets = folder / ".config" / "truewheel" / "presets"
        self.wanted = Wanted(cpu_name(), count_usable(), fingerprint(self.model), self.engine)

    def put(self, text):
        self.presets.mkdir(parents=True, exist_ok=True)
        path = self.presets / preset_name(self.wanted)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def preset(self, lines, stated=""):
        return self.put(f"schema = 1\n[for]\n{stated}\n[settings]\n{lines}\n")

    def load(self, *, code=0, model=None, variables=(), **given):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **dict(variables)}
        command = [sys.executable, "-c", RUN, json.dumps([str(model or self.model)]), json.dumps(given)]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return (json.loads(done.stdout) if code == 0 else {}), done.stderr


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path, threads="cpus=(), poll=None,")


def test_without_a_preset_nothing_is_changed_or_said(home):
    answer, said = home.load(n_ctx=64)
    assert (answer["given"]["n_threads"], answer["given"]["n_ctx"], said) == (None, 64, "")
    assert (answer["told"], answer["found"]) == (None, None)


def test_the_preset_of_this_machine_and_model_is_followed_and_said_once(home):
    path = home.preset("n_threads = 3\nflash_attn = 'on'\ntype_k = 'q8_0'\nrepack = false")
    answer, said = home.load(verbose=False)
    given = answer["given"]
    assert (given["n_threads"], given["flash_attn"], given["type_k"]) == (3, True, 8)
    assert (given["use_extra_bufts"], given["verbose"], given["n_ctx"]) == (False, False, 512)
    assert said == f"toy_engine: run under the preset {path}; TRUEWHEEL_PRESET=off does without\n"
    assert answer["found"] == answer["told"]["preset"] == str(path)
    assert answer["told"]["followed"]["n_threads"] == 3


@pytest.mark.parametrize("word", ["off", "OFF", " off "])
def test_it_is_switched_off(home, word):
    home.preset("n_threads = 3")
    answer, said = home.load(variables={"TRUEWHEEL_PRESET": word})
    assert (answer["given"]["n_threads"], answer["told"], answer["found"], said) == (None, None, None, "")


def test_the_folder_is_that_of_the_settings_of_this_person(home, tmp_path):
    path = home.preset("n_threads = 3")
    elsewhere = tmp_path / "elsewhere"
    assert home.load(variables={"XDG_CONFIG_HOME": str(elsewhere)})[0]["told"] is None
    (elsewhere / "truewheel").mkdir(parents=True)
    path.parent.rename(elsewhere / "truewheel" / "presets")
    assert home.load(variables={"XDG_CONFIG_HOME": str(elsewhere)})[0]["given"]["n_threads"] == 3
    assert home.load(variables={"XDG_CONFIG_HOME": "elsewhere"})[0]["told"] is None
    assert preset_folder({"HOME": "/home/x"}) == "/home/x/.config/truewheel/presets"
    assert preset_folder({"HOME": "/home/x", "XDG_CONFIG_HOME": "/c"}) == "/c/truewheel/presets"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n_threads": 1}, {"n_threads": 1, "n_threads_batch": 4, "cpus": []}),
        ({"n_threads": None, "n_threads_batch": 0}, {"n_threads": 3, "n_threads_batch": 4, "cpus": [0]}),
        ({"cpus": [0], "poll": 0}, {"n_threads": None, "n_threads_batch": None, "cpus": [0], "poll": 0}),
        ({"poll": None, "cpus": []}, {"poll": 7, "cpus": [0]}),
        ({"flash_attn": False}, {"flash_attn": False, "type_v": None, "type_k": 8}),
        ({"type_k": None}, {"type_k": None, "type_v": 8}),
        ({"n_batch": 32}, {"n_batch": 32, "n_ubatch": 512}),
        ({"n_ubatch": 512}, {"n_batch": 512, "n_ubatch": 512}),
        ({"use_extra_bufts": True}, {"use_extra_bufts": True}),
        ({"n_ctx": 99}, {"n_ctx": 99, "n_batch": 256, "n_ubatch": 64}),
    ],
    ids=str,
)
def test_a_persons_own_argument_wins(home, given, expected):
    home.preset(
        "n_ctx = 2048\nn_threads = 3\nn_threads_batch = 4\ncpus = [0]\npoll = 7\nflash_attn = 'on'\ntype_k = 'q8_0'\n"
        "type_v = 'q8_0'\nrepack = false\nn_batch = 256\nn_ubatch = 64"
    )
    answer, said = home.load(**given)
    assert {name: answer["given"][name] for name in expected} == expected
    assert said.count("\n") == 1


def test_a_quantized_cache_of_a_persons_own_gets_the_attention_that_it_needs(home):
    home.preset("flash_attn = 'off'\nn_threads = 3")
    answer, _ = home.load(type_v=8)
    assert (answer["given"]["type_v"], answer["given"]["n_threads"]) == (8, 3)
    assert "flash_attn" not in answer["told"]["followed"]


def test_all_arguments_given_leave_nothing_to_follow_and_nothing_to_say(home):
    home.preset("n_threads = 3")
    answer, said = home.load(n_threads=2)
    assert (answer["given"]["n_threads"], answer["told"], said) == (2, None, "")


def test_an_engine_that_pins_the_callers_own_thread_is_not_told_cpus(tmp_path):
    home = Home(tmp_path, threads="")
    home.preset("cpus = [0]\nn_threads = 1")
    answer, _ = home.load()
    assert answer["told"]["followed"] == {"n_threads": 1}


def test_a_vocabulary_alone_needs_no_preset(home):
    home.preset("n_threads = 3")
    assert home.load(vocab_only=True)[0]["told"] is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"schema = 2\n[settings]\n", b"not toml", b"schema = 1\n", b"schema = 1\nsettings = 3\n",
     b"schema = 1\n[settings]\nn_threads = 0\n", b"schema = 1\n[settings]\nthreads = 2\n", b"a = " + b"[" * 9000,
     b"schema = 1\nfor = 3\n[settings]\nn_threads = 2\n", b"schema = 1\nfor.model = []\n[settings]\nn_threads = 2\n"],
)  # fmt: skip
def test_a_damaged_preset_is_passed_over_in_one_line(home, content):
    path = home.put(content)
    answer, said = home.load()
    assert (answer["given"]["n_threads"], answer["told"], answer["calls"]) == (None, None, 1)
    assert said.startswith("toy_engine: a preset is passed over: ")
    assert str(path) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("how", ["folder", "dangling", "unreadable"])
def test_what_is_no_file_is_passed_over_too(home, how):
    path = home.put("")
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "dangling":
        path.symlink_to("nowhere.toml")
    else:
        path.symlink_to("/proc/self/mem")
    answer, said = home.load()
    assert (answer["given"]["n_threads"], said.count("\n")) == (None, 1)
    assert "a preset is passed over" in said


@pytest.mark.parametrize(
    ("stated", "what"),
    [
        ("machine = { cpu = 'Another CPU' }", "another CPU: Another CPU"),
        ("machine = { cores = 4096 }", "another number of CPUs: 4096"),
        (f"model = {{ fingerprint = '{'0' * 16}' }}", f"another model: {'0' * 16}"),
        ("engine = 'another'", "another engine: another"),
    ],
)
def test_a_preset_for_something_else_is_passed_over_in_one_line(home, stated, what):
    home.preset("n_threads = 3", stated)
    answer, said = home.load()
    assert (answer["given"]["n_threads"], said.count("\n")) == (None, 1)
    assert f"it is for {what}, not " in said


def test_a_preset_that_the_engine_refuses_is_given_up_and_the_model_loaded(home):
    path = home.preset("n_threads = 3\ntype_k = 'q4_0'")
    answer, said = home.load()
    assert (answer["given"]["n_threads"], answer["given"]["type_k"], answer["calls"]) == (None, None, 2)
    assert said == f"toy_engine: a preset cannot be followed: {path}: the engine refuses it\n"


def test_a_persons_own_fault_is_raised_as_it_is_and_nothing_is_said_of_presets(home):
    home.preset("n_threads = 3")
    _, said = home.load(code=1, n_ctx=13)
    assert said.splitlines()[-1] == "ValueError: the engine refuses it"
    assert "cannot be followed" not in said
    assert "unexpected keyword argument 'nctx'" in home.load(code=1, nctx=3)[1]


def test_another_model_has_no_preset(home):
    home.preset("n_threads = 3")
    other = home.folder / "other.gguf"
    other.write_bytes(home.model.read_bytes()[:-1] + b"x")
    assert home.load(model=other)[0]["told"] is None
    assert home.load(model=home.folder / "none.gguf")[0]["told"] is None


def test_a_preset_that_is_loaded_by_name_is_the_only_one(home):
    home.preset("n_threads = 3\nn_ctx = 4096")
    program = (
        "from toy_engine.truewheel_preset import load\n"
        f"llama = load({str(home.model)!r}, {{'n_threads': 5}})\n"
        "print(llama.given['n_threads'], llama.given['n_ctx'], llama.truewheel_settings['followed'])"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(home.folder)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=home.folder, env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("5 512 {'n_threads': 5}\n", "")


def test_what_tune_writes_is_found(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.folder / ".config"))
    host = make_host(model=home.wanted.cpu, usable_cores=home.wanted.cores)
    found_preset = make_preset(tuning(), host, home.wanted.fingerprint)
    preset = type(found_preset)(
        schema=1, settings=found_preset.settings, figures=found_preset.figures, runner_up=found_preset.runner_up,
        evidence=found_preset.evidence, purpose=_for_engine(found_preset.purpose, home.engine),
    )  # fmt: skip
    target = found_target(host, preset)
    assert (target.parent, target.name) == (home.presets, preset_name(home.wanted))
    write_found(target, preset)
    assert load_preset(str(target)).purpose.model.fingerprint == home.wanted.fingerprint
    answer, said = home.load()
    assert answer["given"]["n_threads"] == 2
    assert str(target) in said


def _for_engine(purpose, engine):
    from msgspec.structs import replace

    return replace(purpose, engine=engine)


def test_a_person_without_a_home_is_told(monkeypatch):
    monkeypatch.setattr("truewheel.tune.preset.preset_folder", lambda: "")
    with pytest.raises(StoreError, match="no folder for presets"):
        found_target(make_host(), make_preset(tuning(), make_host()))


def test_the_fingerprint_tells_files_apart_without_reading_them_whole(tmp_path):
    path = tmp_path / "m.gguf"
    content = bytearray(os.urandom(300_000))
    path.write_bytes(content)
    first = fingerprint(path)
    assert len(first) == 16
    assert fingerprint(str(path)) == first
    for place in (0, 65_535, 299_999, 240_000):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert fingerprint(path) != first
    path.write_bytes(content + b"\0")
    assert fingerprint(path) != first
    for small in (b"", b"GGUF"):
        path.write_bytes(small)
        assert len(fingerprint(path)) == 16


@pytest.mark.parametrize(
    ("cpu", "name"),
    [
        ("Intel(R) Core(TM) i3-6100 CPU @ 3.70GHz", "intel-core-i3-6100-4-core"),
        ("../../etc/passwd", "etc-passwd-4-core"),
        ("x " * 500, f"{'x-' * 12}4-core"),
        ("", "4-core"),
    ],
)
def test_the_name_is_that_of_a_file(cpu, name):
    assert preset_name(Wanted(cpu, 4, "0" * 16, "llama-rs")) == f"{name}-{'0' * 16}-llama-rs.toml"


def test_the_cpu_has_the_name_that_the_host_has(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Imagined: CPU 3000\n\nmodel name\t: Other\n")
    assert cpu_name(str(tmp_path)) == "Imagined: CPU 3000"
    assert cpu_name(str(tmp_path / "none")) == "unknown"
    (tmp_path / "cpuinfo").write_text("model name\t:\n")
    assert cpu_name(str(tmp_path)) == "unknown"


def test_the_module_stands_alone_and_is_for_python_3_8():
    tree = ast.parse(Path(found.__file__).read_text(), feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)
