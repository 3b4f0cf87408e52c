"""The whole way through the house with the smallest engine: real compiler, real backend, real child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from truewheel.config.locations import cache_root
from truewheel.cpu.host import detect_host
from truewheel.wheel.archive import read_all, read_wheel

_ILLEGAL = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\x0f\\x0b")
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""


def built(result) -> dict:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_build_is_proven_stored_and_found_again(truewheel, engine):
    first = built(truewheel("build", str(engine), "--json"))
    wheel = read_wheel(Path(first["path"]))
    assert first["fresh"]
    assert first["report"]["verdict"] == "passed"
    assert wheel.name.build.startswith("1_native_")
    assert wheel.name.platforms == ("linux_x86_64",)
    assert [step["state"] for step in first["report"]["smoke"]["steps"]] == ["passed"] * 10

    info = json.loads(wheel.texts[f"{wheel.dist_info}/truewheel.json"])
    assert info["plan"]["digest"] == first["report"]["digest"]
    assert info["cmake-cache"]["GGML_NATIVE"] == "ON"
    sbom = json.loads(read_all(wheel.path)[1][f"{wheel.dist_info}/sboms/truewheel.cdx.json"].data)
    assert sbom["bomFormat"] == "CycloneDX"
    assert f"{wheel.dist_info}/licenses/LICENSE" in wheel.entries
    assert sum(path.endswith("libtiny.so") for path in wheel.entries) == 1
    for beside in (".report.json", ".report.md"):
        assert Path(first["path"] + beside).is_file()

    again = built(truewheel("build", str(engine), "--json"))
    assert not again["fresh"]
    assert again["path"] == first["path"]

    rows = json.loads(truewheel("list", "--json").stdout)
    assert [row["verdict"] for row in rows] == ["passed"]


def test_a_raised_size_limit_proves_the_same_wheel_again(truewheel, engine, tmp_path):
    first = built(truewheel("build", str(engine), "--json"))
    engine.write_text(engine.read_text().replace("max-wheel-mib = 1", "max-wheel-mib = 2"))
    second = built(truewheel("build", str(engine), "--json"))
    assert second["fresh"]
    assert (second["path"], second["report"]["sha256"]) == (first["path"], first["report"]["sha256"])
    assert second["report"]["proof"] != first["report"]["proof"]
    assert {"check", "repair"} <= second["report"]["seconds"].keys()
    assert "build" not in second["report"]["seconds"]
    assert len(list((tmp_path / "house").glob("*.whl"))) == 1


def test_a_stand_in_is_no_engine_of_a_model_that_is_known(truewheel, engine):
    result = truewheel("build", str(engine), known=True)
    assert result.returncode == 7
    assert "at load: the model has 320 tokens, and 256 were loaded" in result.stdout + result.stderr


def test_the_same_plan_gives_the_same_bytes(truewheel, engine):
    first = built(truewheel("build", str(engine), "--json"))
    second = built(truewheel("build", str(engine), "--json", "--no-cache"))
    assert second["fresh"]
    assert first["report"]["sha256"] == second["report"]["sha256"]


def test_silently_losing_the_native_flag_refuses_the_wheel(truewheel, engine, tmp_path):
    cmake = engine.parent / "source" / "CMakeLists.txt"
    cmake.write_text(cmake.read_text().replace("if(GGML_NATIVE)", "if(FALSE)"))
    result = truewheel("build", str(engine))
    assert result.returncode == 7
    assert "FLAGS-LOST" in result.stderr
    rejected = list((tmp_path / "house" / "rejected").glob("*.whl"))
    assert len(rejected) == 1
    codes = {finding["code"] for finding in json.loads(Path(f"{rejected[0]}.report.json").read_bytes())["findings"]}
    assert "FLAGS-LOST" in codes
    if detect_host().level != "x86-64":
        assert "FLAGS-LOADED" in codes
    assert not list((tmp_path / "house").glob("*.whl"))


def test_a_forced_cmake_option_refuses_the_wheel(truewheel, engine):
    cmake = engine.parent / "source" / "CMakeLists.txt"
    forced = 'set(GGML_OPENMP ON CACHE BOOL "forced" FORCE)\nadd_library'
    cmake.write_text(cmake.read_text().replace("add_library", forced))
    result = truewheel("build", str(engine))
    assert result.returncode == 7
    assert "FLAGS-CACHE" in result.stderr
    assert "asked for OFF, CMake has ON" in result.stderr


@pytest.mark.parametrize(
    ("planted", "code"),
    [
        ("import os; os.fork()", "SMOKE-ESCAPE"),
        ("import socket; socket.socket()", "SMOKE-ESCAPE"),
        ("import ctypes; ctypes.string_at(0)", "SMOKE-SEGFAULT"),
        ("import os; os.abort()", "SMOKE-ABORT"),
        ("import os; os._exit(0)", "SMOKE-FAILED"),
        ("x = bytearray(1 << 40)", "SMOKE-MEMORY"),
        (_ILLEGAL, "SMOKE-ILLEGAL"),
    ],
)
def test_a_wheel_that_misbehaves_is_refused_and_its_death_told(truewheel, engine, planted, code):
    init = engine.parent / "source" / "tiny_engine" / "__init__.py"
    init.write_text(f"{init.read_text()}\n{planted}\n")
    result = truewheel("build", str(engine))
    assert result.returncode == 7, result.stderr
    assert code in result.stderr


def test_an_import_on_a_lesser_cpu_is_refused_in_one_sentence(truewheel, engine, tmp_path):
    wheel = Path(built(truewheel("build", str(engine), "--json"))["path"])
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    guard = target / "tiny_engine" / "truewheel.py"
    guard.write_text(guard.read_text().replace("'required': (", "'required': ('avx9000', "))
    command = [sys.executable, "-c", "import tiny_engine"]
    result = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert last.startswith("ImportError: this wheel was built for the CPU of the machine that built it")
    assert "and lacks avx9000" in last


def test_a_compiler_error_is_shown_with_the_log(truewheel, engine):
    (engine.parent / "source" / "tiny.c").write_text("int broken( { return 1; }\n")
    result = truewheel("build", str(engine))
    assert result.returncode == 5
    assert "tiny.c:1" in result.stderr
    log = Path(result.stderr.rsplit("the full log is ", 1)[1].strip())
    assert "broken" in log.read_text()


def test_a_folder_with_spaces_and_umlauts_is_no_trouble(truewheel, engine, tmp_path):
    home = tmp_path / "mein größtes Häuschen"
    moved = home / "engine dir"
    (home / "caché dir").mkdir(parents=True)
    (home / "caché dir" / "tools").symlink_to(cache_root() / "tools")
    engine.parent.rename(moved)
    result = truewheel(
        "build",
        str(moved / "recipe.toml"),
        "--json",
        cache=home / "caché dir",
        TRUEWHEEL_WHEELHOUSE=str(home / "räder"),
    )
    assert built(result)["report"]["verdict"] == "passed"


def test_stray_variables_do_not_reach_the_build(truewheel, engine):
    plain = built(truewheel("build", str(engine), "--json"))
    strays = {"CFLAGS": "-march=x86-64 -DSTRAY", "SOURCE_DATE_EPOCH": "1", "CMAKE_ARGS": "-DGGML_NATIVE=OFF"}
    result = truewheel("build", str(engine), "--json", "--no-cache", **strays)
    assert "CFLAGS" in result.stderr
    assert built(result)["report"]["sha256"] == plain["report"]["sha256"]


def test_two_builds_at_once_build_once(engine, shared_cache, tmp_path):
    environment = {
        **os.environ,
        "TRUEWHEEL_CACHE_DIR": str(shared_cache),
        "TRUEWHEEL_WHEELHOUSE": str(tmp_path / "house"),
        "ZIG_GLOBAL_CACHE_DIR": str(cache_root() / "zig" / "global"),
    }
    command = [sys.executable, str(Path(__file__).with_name("stand_in.py")), "build", str(engine), "--json"]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0, 0], results
    answers = [json.loads(stdout) for stdout, _ in results]
    assert sorted(answer["fresh"] for answer in answers) == [False, True]


def test_interrupting_a_build_leaves_nothing_half_made_and_the_next_one_works(
    truewheel, engine, shared_cache, tmp_path
):
    kernel = engine.parent / "source" / "tiny.c"
    whole = kernel.read_text()
    # The preprocessor reads this for as long as the pipe stays empty: the compiler is surely running when we interrupt.
    pipe = engine.parent.parent / "waiting.h"
    os.mkfifo(pipe)
    kernel.write_text(f'#include "{pipe}"\n{whole}')
    environment = {
        **os.environ,
        "TRUEWHEEL_CACHE_DIR": str(shared_cache),
        "TRUEWHEEL_WHEELHOUSE": str(tmp_path / "house"),
        "ZIG_GLOBAL_CACHE_DIR": str(cache_root() / "zig" / "global"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "truewheel", "build", str(engine)], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    writer = None
    while writer is None and time.monotonic() < deadline and process.poll() is None:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
    assert writer is not None, process.stderr.read() if process.poll() is not None else "the compiler never began"
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == -signal.SIGINT, talk
    assert "Traceback" not in talk
    assert not list((tmp_path / "house").glob("*.whl"))
    assert not (shared_cache / "work" / "tiny-engine").exists()
    kernel.write_text(whole)
    assert built(truewheel("build", str(engine), "--json"))["report"]["verdict"] == "passed"


def test_a_wheelhouse_that_cannot_be_written_is_told_before_the_build(truewheel, engine, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = truewheel("build", str(engine), "--wheelhouse", str(tmp_path / "file" / "house"))
    assert result.returncode == 8
    assert "hint:" in result.stderr
    assert "compiling" not in result.stderr


def test_every_verb_says_in_one_line_what_is_wrong_with_bad_input(truewheel, tmp_path):
    text = tmp_path / "not_a_wheel-1.0-py3-none-any.whl"
    text.write_text("hello")
    short = tmp_path / "short.gguf"
    short.write_bytes(b"GGUF\x03\x00\x00\x00")
    for arguments, code in (
        (["smoke", str(text)], 7),
        (["smoke", str(tmp_path / "absent-1.0-py3-none-any.whl")], 7),
        (["smoke", str(tmp_path)], 7),
        (["check", str(tmp_path)], 7),
        (["check", str(tmp_path / "absent-1.0-py3-none-any.whl")], 7),
        (["check", str(text), "--policy", str(text)], 2),
        (["explain", "ISA-BEYONT"], 2),
        (["build", "nonsense"], 2),
        (["build", "llama-cpp-python", "nativ"], 2),
        (["plan", "llama-cpp-python", "--toolchain", "msvc"], 2),
    ):
        result = truewheel(*arguments)
        assert result.returncode == code, (arguments, result.stderr)
        # A line that says what is being read may come first.
        assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) == 1, (arguments, result.stderr)
        assert "\n\nhint: " in result.stderr, (arguments, result.stderr)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""


def test_a_truncated_model_is_refused_before_it_is_loaded(truewheel, engine, tmp_path):
    wheel = built(truewheel("build", str(engine), "--json"))["path"]
    target = Path(wheel).with_name(Path(wheel).name.replace("tiny_engine", "llama_cpp_python"))
    assert not target.exists()
    short = tmp_path / "short.gguf"
    short.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x01" * 40)
    result = truewheel("build", str(engine), "--no-cache", "--model", str(short))
    assert result.returncode == 2
    assert "short.gguf" in result.stderr


def test_doctor_and_plan_do_nothing_and_say_all(truewheel, tmp_path, engine):
    doctor = json.loads(truewheel("doctor", "--json").stdout)
    assert doctor["host"]["usable-cores"] >= 1
    assert doctor["cells"]
    plan = json.loads(truewheel("plan", str(engine), "--json").stdout)
    assert plan["builder"]["cmake"]["defines"]["GGML_NATIVE"] == "ON"
    assert len(plan["digest"]) == 64
    assert not (tmp_path / "house").exists()
