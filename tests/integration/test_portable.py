"""Portable wheels and the one that chooses: real builds of the smallest engine, and what people may do to them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from truewheel.cpu.features import with_implied
from truewheel.cpu.host import detect_host
from truewheel.cpu.levels import level_features
from truewheel.errors import PlanError
from truewheel.machine.rust import other_compilers
from truewheel.wheel.archive import read_all, read_wheel

ENGINE = Path(__file__).parents[1] / "data" / "tiny-engine"
HERE = set(detect_host().features)
BACKENDS = {"haswell": ("bmi2", "fma", "f16c", "avx2"), "sandybridge": ("avx",), "sse42": ("sse4_2",)}
FIT = [name for name, features in BACKENDS.items() if with_implied(features) <= HERE]
UNFIT = [name for name in BACKENDS if name not in FIT]
TELL = "import tiny_engine; b = tiny_engine.truewheel.backend(); print(b.name); print(b.why); print(b.library)"

pytestmark = pytest.mark.skipif(not level_features("x86-64-v2") <= HERE, reason="this CPU is below the floor of all")


def build(truewheel, engine, profile):
    result = truewheel("build", str(engine), profile, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def dispatch_wheel(truewheel_in, tmp_path_factory):
    """The dispatch wheel, built once."""
    folder = tmp_path_factory.mktemp("dispatch")
    return build(truewheel_in(folder), ENGINE / "recipe.toml", "dispatch")["path"]


@pytest.fixture
def site(dispatch_wheel, tmp_path):
    """A folder with the dispatch wheel's content."""
    target = tmp_path / "site"
    with zipfile.ZipFile(dispatch_wheel) as archive:
        archive.extractall(target)
    return target


def tell(site, code=TELL, **options):
    options = {"cwd": site, **options}
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), **options.pop("variables", {})}
    command = [sys.executable, "-B", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


def refused(result):
    assert result.returncode == 1, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: "), result.stderr
    return last


def test_the_wheel_that_chooses_is_proven_and_takes_the_best_that_this_cpu_runs(truewheel, engine):
    report = build(truewheel, engine, "dispatch")["report"]
    assert report["verdict"] == "passed"
    assert report["plan"]["wheel"]["platform"] == "manylinux2014_x86_64.manylinux_2_17_x86_64"
    assert f"-2_dispatch_{report['digest'][:8]}-" in report["wheel"]
    told = next(step for step in report["smoke"]["steps"] if step["name"] == "system-info")["facts"]
    assert told["backend"] == FIT[0]
    assert {row["path"] for row in report["libraries"]} >= {
        f"tiny_engine/lib/libtiny-cpu-{name}.so" for name in BACKENDS
    }
    assert not [row for row in report["findings"] if row["severity"] == "error"]
    levels = {row["path"]: row["isa-level"] for row in report["libraries"]}
    assert levels.pop("tiny_engine/_truewheel_cpuid.so") == ""
    assert set(levels.values()) == {"x86-64-v2"}


def test_portable_profiles_share_all_but_their_backend(truewheel, engine):
    contents = {}
    for profile in ("x86_64_v2", "dispatch"):
        contents[profile] = read_all(Path(build(truewheel, engine, profile)["path"]))[1]
    same = "tiny_engine/lib/libtiny.so"
    assert contents["x86_64_v2"][same].data == contents["dispatch"][same].data


def test_a_wheel_beyond_this_cpu_is_kept_and_said_to_be_unproven(truewheel, engine, tmp_path):
    # The one is AMD's of 2011 to 2016, the other of 2021 and later: no CPU has both.
    profile = tmp_path / "odd.toml"
    profile.write_text(
        'schema = 1\nlabel = "odd"\nlevel = "x86-64-v3"\nfeatures = ["fma4", "avx_vnni"]\n'
        'glibc = "2.17"\ntoolchain = ["zig"]\n'
    )
    first = build(truewheel, engine, str(profile))
    assert first["report"]["verdict"] == "unproven"
    assert first["report"]["smoke"]["ending"].startswith("not provable here: this CPU lacks ")
    assert not build(truewheel, engine, str(profile))["fresh"]
    wheel = read_wheel(Path(first["path"]))
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(target)
    assert "this wheel was built for x86-64-v3 with avx_vnni, fma4 CPUs; this CPU is x86-64" in refused(tell(target))


def provable(profile):
    from truewheel.config.load import load_profile

    table = load_profile(profile)
    return level_features(table.level) | with_implied(table.features) <= HERE


def glibc():
    return tuple(map(int, platform.libc_ver()[1].split("."))) if platform.libc_ver()[0] == "glibc" else ()


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="there is no emulator")
@pytest.mark.skipif(glibc() < (2, 33), reason="this loader does not read the note")
def test_the_loader_refuses_a_library_by_itself_where_nobody_asks_the_guard(truewheel, engine, tmp_path):
    wheel = Path(build(truewheel, engine, "x86_64_v3")["path"])
    library = tmp_path / "libtiny.so"
    library.write_bytes(read_all(wheel)[1]["tiny_engine/lib/libtiny.so"].data)
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('loaded')"
    ends = {}
    for cpu in ("Nehalem", "Haswell"):
        command = ["qemu-x86_64", "-cpu", cpu, sys.executable, "-c", code, str(library)]
        ends[cpu] = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "CPU ISA level is lower than required" in ends["Nehalem"].stderr
    assert ends["Haswell"].stdout == "loaded\n", ends["Haswell"].stderr


def test_the_choice_is_told_with_its_reason(site):
    result = tell(site)
    name, why, library = result.stdout.splitlines()
    assert name == FIT[0]
    assert why.startswith("the best of 3 backends that this CPU (x86-64")
    assert library == str(site / "tiny_engine" / "lib" / f"libtiny-cpu-{name}.so")
    assert result.stderr == ""


@pytest.mark.parametrize("name", FIT)
def test_a_variable_forces_a_backend(site, name):
    result = tell(site, variables={"TRUEWHEEL_BACKEND": name})
    assert result.stdout.splitlines()[:2] == [name, f"TRUEWHEEL_BACKEND={name} is set"]


def test_forcing_what_this_cpu_cannot_run_or_nobody_made_is_refused(site):
    last = refused(tell(site, variables={"TRUEWHEEL_BACKEND": "pentium"}))
    assert last.endswith("this wheel has no such backend; it has haswell, sandybridge, sse42")
    for name in UNFIT:
        last = refused(tell(site, variables={"TRUEWHEEL_BACKEND": name}))
        assert f"choose one of {', '.join(FIT)}, or unset it" in last
    # A CPU without AVX, made by taking the bit away from what the guard knows of this one.
    guard = site / "tiny_engine" / "truewheel.py"
    assert guard.read_text().count("    features = _read_cpu(root)\n") == 1
    guard.write_text(guard.read_text().replace("    features = _read_cpu(root)\n", "    features = _old(root)\n"))
    old = "def _old(root):\n    return {n: w for n, w in _read_cpu(root).items() if 'avx' not in n}\n\n\n_BACKEND ="
    guard.write_text(guard.read_text().replace("_BACKEND =", old, 1))
    last = refused(tell(site, variables={"TRUEWHEEL_BACKEND": "sandybridge"}))
    assert "this CPU (x86-64-v2) cannot run that backend, it lacks avx: choose one of sse42, or unset it" in last
    assert tell(site).stdout.splitlines()[0] == "sse42"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Path.unlink, "cannot be read (No such file or directory): install the wheel again"),
        (lambda path: os.truncate(path, 100), "is not the file that came with this wheel"),
        (lambda path: path.write_bytes(b""), "is not the file that came with this wheel"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "is not the file that came with this wheel"),
        (lambda path: shutil.copy(path.with_name("libtiny.so"), path), "is not the file that came with this wheel"),
    ],
    ids=["missing", "truncated", "empty", "longer", "foreign"],
)
def test_a_backend_that_is_not_what_it_was_is_refused_before_it_is_loaded(site, change, words):
    change(site / "tiny_engine" / "lib" / f"libtiny-cpu-{FIT[0]}.so")
    assert words in refused(tell(site))


def test_backends_that_are_not_needed_may_be_deleted(site):
    for name in BACKENDS:
        if name != FIT[0]:
            (site / "tiny_engine" / "lib" / f"libtiny-cpu-{name}.so").unlink()
    assert tell(site).stdout.splitlines()[0] == FIT[0]


def test_nothing_is_loaded_from_the_current_folder(site, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    marker = tmp_path / "loaded"
    source = trap / "evil.c"
    source.write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void run(void) "
        f'{{ fclose(fopen("{marker}", "w")); }}\nint ggml_backend_score(void) {{ return 1 << 30; }}\n'
    )
    compiler = shutil.which("gcc") or shutil.which("cc")
    names = ["libggml-cpu-evil.so", "libtiny-cpu-evil.so", f"libtiny-cpu-{FIT[0]}.so", "libtiny.so"]
    for name in names:
        if compiler:
            subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(trap / name)], check=True)
        else:
            (trap / name).write_bytes(b"no library")
    assert tell(site, cwd=trap).stdout.splitlines()[0] == FIT[0]
    assert not marker.exists()


def test_a_relative_path_and_a_folder_that_cannot_be_written_are_no_trouble(site, tmp_path):
    code = f"import sys; sys.path.insert(0, 'site'); {TELL}; import os; os.chdir('/'); print(tiny_engine.Llama)"
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines()[0] == FIT[0], result.stderr
    folders = [site, *(path for path in site.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert tell(site).stdout.splitlines()[0] == FIT[0]
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_all_profiles_are_built_by_one_command_and_one_that_fails_keeps_no_other(truewheel, engine):
    result = truewheel("build", str(engine), "--all", "--json", timeout=1200)
    told = json.loads(result.stdout)
    rows = {row["profile"]: row for row in told["wheels"]}
    assert result.returncode == 0, result.stderr
    assert {"native", "dispatch", "x86_64_v2", "x86_64_v3", "x86_64_v4", "x86_64_v4_vnni"} <= rows.keys()
    for profile, row in rows.items():
        expected = "passed" if profile in ("native", "dispatch") or provable(profile) else "unproven"
        assert row["report"]["verdict"] == expected, profile
    again = json.loads(truewheel("build", str(engine), "--all", "--json").stdout)["wheels"]
    assert not any(row["fresh"] for row in again)


def test_all_and_a_profile_contradict_each_other(truewheel, engine):
    result = truewheel("build", str(engine), "native", "--all")
    assert result.returncode == 2
    assert "--all builds every profile; leave out 'native'" in result.stderr


def test_the_matrix_says_what_can_be_built_and_proven_and_why_not(truewheel):
    matrix = json.loads(truewheel("matrix", "--json").stdout)
    cells = {(cell["engine"], cell["profile"]): cell for cell in matrix["cells"]}
    assert cells["llama-cpp-python", "x86_64_v2"]["provable"]
    try:
        rust = bool(other_compilers("maturin"))
    except PlanError:
        rust = False
    assert {key for key, cell in cells.items() if not cell["buildable"]} == (
        set() if rust else {key for key in cells if key[0] == "llama-rs"}
    )
    beyond = cells["llama-cpp-python", "x86_64_v4_vnni"]
    assert beyond["provable"] == provable("x86_64_v4_vnni")
    assert beyond["provable"] or "this CPU lacks" in beyond["proof"]
    refused_platforms = {row["name"] for row in matrix["platforms"] if not row["supported"]}
    assert {"aarch64-linux-gnu", "x86_64-linux-musl", "x86_64-windows", "aarch64-macos"} <= refused_platforms
    assert all(row["reason"] for row in matrix["platforms"] if not row["supported"])
