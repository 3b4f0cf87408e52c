"""Builds the kernels of our own for each instruction set and holds them against sums in double precision."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from truewheel.config.load import load_recipe
from truewheel.config.locations import cache_root
from truewheel.cpu.host import detect_host
from truewheel.fetch.source import fetch_source, read_changes, tree_hash
from truewheel.plan.make import planned_source

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "recipes" / "llama-cpp-python" / "kernels"

AVX512 = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]
SETS = {
    "avx2": ["avx2", "fma", "f16c", "bmi2"],
    "avx-vnni": ["avx2", "fma", "f16c", "bmi2", "avx_vnni"],
    "avx512": ["avx2", "fma", "f16c", "bmi2", *AVX512],
    "avx512-vnni": ["avx2", "fma", "f16c", "bmi2", *AVX512, "avx512_vnni"],
}
"""What each set of kernels is compiled for, by the name that it gives itself."""


def run(*command, timeout=1500):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False)


def compilers():
    found = [(name, shutil.which(name)) for name in ("g++", "clang++", *(f"clang++-{n}" for n in range(30, 14, -1)))]
    kinds = {}
    for name, path in found:
        if path:
            kinds.setdefault(name.partition("-")[0], path)
    return list(kinds.values())


@pytest.fixture(scope="session")
def ggml(tmp_path_factory):
    """Return ggml's folder in the engine's patched source, and its base library for the test program."""
    loaded = load_recipe("llama-cpp-python")
    changes = read_changes(loaded)
    source = planned_source(loaded.recipe, changes, tree_hash(loaded))
    tree = fetch_source(loaded, source, changes, cache_root(), os.environ["PATH"]).path
    folder = tree / "vendor" / "llama.cpp" / "ggml"
    scratch = tmp_path_factory.mktemp("ggml")
    (scratch / "ggml-version.h").write_text('#define GGML_VERSION ""\n#define GGML_COMMIT ""\n')
    objects = []
    for name in ("ggml.c", "ggml-quants.c", "ggml-threading.cpp"):
        objects.append(scratch / f"{name}.o")
        compiler = "gcc" if name.endswith(".c") else "g++"
        options = ("-O2", "-w", "-ffunction-sections", "-D_GNU_SOURCE", '-DGGML_VERSION=""', '-DGGML_COMMIT=""')
        done = run(compiler, *options, *includes(folder, scratch), "-c", folder / "src" / name, "-o", objects[-1])
        assert done.returncode == 0, done.stderr
    return folder, objects, scratch


def includes(folder, scratch):
    return [f"-I{each}" for each in (scratch, folder / "include", folder / "src", folder / "src" / "ggml-cpu")]


def build(ggml, tmp_path, compiler, features, kernels=KERNELS, more=()):
    """Return the test program, compiled for a set of features with the kernels of a folder."""
    folder, objects, scratch = ggml
    place = tmp_path / "include"
    place.mkdir()
    shutil.copytree(kernels, place / "panel")
    program = tmp_path / "products"
    sources = [HERE / "products.cpp", *sorted((place / "panel").glob("*.cpp"))]
    done = run(
        compiler, "-O3", "-std=c++17", "-w", *more, *(f"-m{name.replace('_', '')}" for name in features),
        f"-I{place}", *includes(folder, scratch), *sources, *objects,
        "-o", program, "-pthread", "-Wl,--gc-sections",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="session")
def steps(ggml, tmp_path_factory):
    """Return the program that plans graphs."""
    folder, objects, scratch = ggml
    place = tmp_path_factory.mktemp("steps")
    flags = [f"-m{name}" for name in SETS["avx2"]]
    program, own = (
        place / "steps",
        [place / "steps.o", place / "pool.o", place / "panel.o", place / "half.o"],
    )
    panel = folder / "src" / "ggml-cpu" / "panel"
    pool = place / "pool.c"
    pool.write_text(
        "void ggml_barrier(void * pool) {} void ggml_threadpool_chunk_set(void * pool, int value) {}"
        " int ggml_threadpool_chunk_add(void * pool, int value) { return 0; }"
    )
    sources = [HERE / "steps.c", pool, panel / "panel.cpp", panel / "half.cpp"]
    for source, target in zip(sources, own, strict=True):
        compiler = "gcc" if source.suffix == ".c" else "g++"
        done = run(compiler, "-O1", "-w", *flags, *includes(folder, scratch), "-c", source, "-o", target)
        assert done.returncode == 0, done.stderr
    done = run("g++", *own, *objects, "-o", program, "-pthread", "-lm", "-Wl,--gc-sections")
    assert done.returncode == 0, done.stderr
    return program


def unproven(features):
    missing = set(features) - set(detect_host().features)
    return f"unproven on this CPU: it has no {', '.join(sorted(missing))}" if missing else ""


@pytest.mark.parametrize("compiler", compilers(), ids=lambda path: Path(path).name)
@pytest.mark.parametrize("name", SETS)
def test_products_are_right_for_every_type_and_shape(ggml, tmp_path, name, compiler):
    program = build(ggml, tmp_path, compiler, SETS[name])
    if reason := unproven(SETS[name]):
        pytest.skip(reason)
    seed = 1 + list(SETS).index(name) + len(SETS) * compilers().index(compiler)
    done = run(program, seed, 750)
    assert done.stdout.startswith(f"kernels {name},"), done.stdout[-3000:]
    assert done.stdout.endswith(" 0 faults\n"), done.stdout[-3000:]
    assert done.returncode == 0


def test_nothing_is_read_or_written_where_it_must_not_be(ggml, tmp_path):
    program = build(ggml, tmp_path, "g++", SETS["avx2"], more=("-fsanitize=address,undefined", "-g1", "-O1"))
    if reason := unproven(SETS["avx2"]):
        pytest.skip(reason)
    done = run(program, 2, 10)
    assert (done.returncode, done.stderr) == (0, ""), (done.stdout + done.stderr)[-3000:]


@pytest.mark.parametrize(
    ("file", "right", "wrong", "caught"),
    [
        ("formats.h", "BITS = 6, ZERO = 32", "BITS = 6, ZERO = 31", "q6_K"),
        ("product.h", "code_bits == 5 ? 4", "code_bits == 5 ? 8", "extremes"),
        ("panel.cpp", "(size_t) (block * 32 / p.f->block)", "(size_t) (0)", "depth 8960"),
        ("panel.cpp", "which.slot % b->ne[1] * b->nb[1]", "0", "experts"),
        ("half.cpp", "matrix2 * r2 + h2", "matrix2 + h2 * (b->ne[2] / r2)", "broadcast"),
        ("half.cpp", "count, used - 8, used", "count, used - 7, used", "causal"),
        ("half.cpp", "memcpy(beside[c], columns[c].result", "memset(beside[c], 0", "f16"),
        ("attention.h", "halves(mask + i)", "halves(mask)", "masks"),
        ("panel.cpp", "before += pieces", "before += pieces - 1", "together"),
        ("product.h", "scale = most / 127.0f", "scale = most == most ? most / 127.0f : 1.0f", "odd values"),
    ],
)
def test_a_planted_fault_is_caught(ggml, tmp_path, file, right, wrong, caught):
    kernels = tmp_path / "kernels"
    shutil.copytree(KERNELS, kernels)
    text = (kernels / file).read_text()
    assert text.count(right) == 1
    (kernels / file).write_text(text.replace(right, wrong))
    program = build(ggml, tmp_path, "g++", SETS["avx2"], kernels)
    if reason := unproven(SETS["avx2"]):
        pytest.skip(reason)
    done = run(program, 1, 40)
    assert done.returncode == 1
    assert any(line.startswith("FAULT") and caught in line for line in done.stdout.splitlines()), done.stdout[-3000:]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        # Norm and scale by one member, which quantizes for q and k, and those as one product.
        ("layer", "norm:ao scaled:ap q:orl k:f sum:a soft out"),
        ("overlap", "norm:ao scaled:ap q:r k sum:a soft out"),
        ("extra", "norm scaled:ap q:orl k:f sum:a soft out"),
        ("large", "norm scaled q k sum soft out"),
        ("column", "norm:ao scaled:a q k sum:a soft out"),
    ],
)
def test_what_needs_no_gate_is_planned(steps, what, expected):
    if reason := unproven(SETS["avx2"]):
        pytest.skip(reason)
    assert run(steps, what).stdout.strip() == expected


def test_kernels_are_switched_off_on_demand(ggml, tmp_path, monkeypatch):
    program = build(ggml, tmp_path, "g++", SETS["avx2"])
    if reason := unproven(SETS["avx2"]):
        pytest.skip(reason)
    monkeypatch.setenv("TRUEWHEEL_KERNELS", "upstream")
    assert run(program).stdout == "kernels none, seed 1\n"
