"""The front door: every session makes an environment and calls truewheel; no logic of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["build"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).resolve().parent
LOCKS = {
    "check": (),
    "build": ("build",),
    "bench": ("bench",),
    "docs": ("docs",),
    "tests": ("bench", "build", "test"),
}
"""The lock files by name, and the extras of pyproject.toml that each holds besides the package's own dependencies."""


def lock_file(name: str) -> Path:
    return ROOT / "ci" / f"requirements-{name}.txt"


def install(session: nox.Session, name: str) -> None:
    """Install a lock file and this checkout, unless the environment already has just these."""
    lock = lock_file(name)
    parts = (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode())
    wanted = hashlib.sha256(b"".join(parts)).hexdigest()
    stamp = Path(session.virtualenv.location) / "truewheel.stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    session.install("--require-hashes", "-r", str(lock))
    session.install("--no-deps", "-e", str(ROOT))
    stamp.write_text(wanted)


@nox.session(venv_backend="venv")
def build(session: nox.Session) -> None:
    """Build, prove and store a wheel; arguments after -- go to `truewheel build`."""
    install(session, "build")
    session.run("truewheel", "build", *session.posargs)


@nox.session(venv_backend="venv")
def tests(session: nox.Session) -> None:
    """Check style and types and run the unit and integration tests; arguments after -- go to pytest alone."""
    install(session, "tests")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    # Hundreds of processes import truewheel: where no byte code is kept, each of them compiles it anew.
    kept = {"PYTHONDONTWRITEBYTECODE": ""}
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "-m", "not alone", env=kept)
    session.run("pytest", "-m", "alone", "tests/integration", "tests/faults", env=kept)
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "-m", "not alone", "tests/faults", env=kept)


@nox.session(venv_backend="venv")
def faults(session: nox.Session) -> None:
    """Try every planted fault (hostile wheels, flips, signals, full disks): hours; arguments name files of one kind."""
    install(session, "tests")
    session.run("pytest", "--every", *(session.posargs or ("tests/faults",)))


@nox.session(venv_backend="venv")
def fuzz(session: nox.Session) -> None:
    """Fuzz the readers of strangers' files by coverage; arguments: targets, --minutes N for each (5 by default)."""
    install(session, "tests")
    # It has a wheel for a few Pythons alone, so it is in no lock file that others need.
    session.install("atheris>=3")
    arguments = list(session.posargs)
    minutes = "5"
    if "--minutes" in arguments:
        at = arguments.index("--minutes")
        minutes = arguments[at + 1]
        del arguments[at : at + 2]
    environment = {"PYTHONPATH": f"{ROOT / 'tests' / 'unit'}:{ROOT}"}
    for target in arguments or ("elf", "zip", "texts", "gguf", "toml"):
        session.run("python", "-m", "tests.fuzz.fuzz", target, minutes, session.create_tmp(), env=environment)


@nox.session(venv_backend="venv")
def end_to_end(session: nox.Session) -> None:
    """Build both engines for this machine, run the smoke tests on them with a real model, then compare them."""
    install(session, "tests")
    wheelhouse = str(ROOT / "wheelhouse")
    session.run("truewheel", "doctor")
    for engine in ("llama-cpp-python", "llama-rs"):
        session.run("truewheel", "build", "--wheelhouse", wheelhouse, engine, *session.posargs)
        session.run("pytest", "tests/smoke", "--wheelhouse", wheelhouse, "--model", "smollm2")
    session.run("truewheel", "list", "--wheelhouse", wheelhouse)
    session.notify("compatibility", posargs=[])
    session.notify("kernels", posargs=[])


@nox.session(venv_backend="venv")
def compatibility(session: nox.Session) -> None:
    """Run the suites that are about both engines of a wheelhouse, and the hostile calls on the Rust engine."""
    install(session, "tests")
    both = ("--wheelhouse", str(ROOT / "wheelhouse"), *session.posargs)
    suite = "tests/compatibility/test_compatibility.py"
    session.run("pytest", suite, *both, "--engine", "llama_cpp")
    session.run("pytest", suite, *both, "--engine", "llama_rs", "--model", "smollm2")
    alone = (f"tests/compatibility/test_{name}.py" for name in ("threads", "hostile_calls", "leaks"))
    session.run("pytest", *alone, *both)


@nox.session(venv_backend="venv")
def kernels(session: nox.Session) -> None:
    """Compile the kernels for each instruction set and hold them against sums in double precision."""
    install(session, "tests")
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "tests/kernels", *session.posargs)


@nox.session(venv_backend="venv")
def bench(session: nox.Session) -> None:
    """Measure the wheelhouse's best wheels on a real model; arguments after -- go to `truewheel bench`."""
    install(session, "bench")
    session.run("truewheel", "bench", *(session.posargs or ("--quick",)))


@nox.session(venv_backend="venv")
def tune(session: nox.Session) -> None:
    """Find the best settings for the default wheel, this machine and a model; arguments go to `truewheel tune`."""
    install(session, "bench")
    session.run("truewheel", "tune", *(session.posargs or ("--minutes", "4")))


@nox.session(venv_backend="venv")
def prove(session: nox.Session) -> None:
    """Build every profile, run each wheel on emulated CPUs and compare their answers: slow, needs qemu-user."""
    install(session, "build")
    session.run("truewheel", "matrix")
    session.run("truewheel", "build", "--all", "--emulate", *session.posargs)


@nox.session(venv_backend="venv")
def figures(session: nox.Session) -> None:
    """Measure the default build against `pip wheel` of the same engine: about half an hour on 2 cores."""
    install(session, "tests")
    session.run("python", "-m", "tools.figures", *session.posargs)


@nox.session(venv_backend="venv")
def llama_bench(session: nox.Session) -> None:
    """Build llama.cpp's own llama-bench from the same source and flags and hold a wheel's figures against it."""
    install(session, "tests")
    session.run("truewheel", "build")
    session.run("pytest", "tests/benchmark", "-s", *session.posargs)


@nox.session(venv_backend="venv")
def survey(session: nox.Session) -> None:
    """Check today's peers and over a hundred wheels of the package index, and write what they claim and need."""
    install(session, "check")
    folder = Path(session.posargs[0] if session.posargs else session.create_tmp()) / "wheels"
    built = folder / "built"
    if not list(built.glob("llama_cpp_python-*.whl")):
        # It has no wheel on the index; this one is what everybody's pip makes of it.
        arguments = ("--no-deps", "--no-binary", "llama-cpp-python", "llama-cpp-python==0.3.36", "-w", str(built))
        session.run("python", "-m", "pip", "wheel", *arguments)
    local = ("--wheel", str(next(built.glob("llama_cpp_python-*.whl"))))
    for name, more in (("peers", local), ("corpus", ())):
        wanted, page = ROOT / "tests" / "data" / f"{name}.toml", ROOT / "docs" / "concepts" / f"{name}.md"
        session.run("python", "-m", "tools.survey", str(wanted), str(folder), str(page), *more)


@nox.session(venv_backend="venv")
def docs(session: nox.Session) -> None:
    """Write the reference pages anew from the code, and the pages of `docs/` as a site; a broken link is an error."""
    install(session, "docs")
    session.run("python", "-m", "tools.reference", str(ROOT / "docs" / "reference"))
    session.run("zensical", "build", "--clean", "--strict")


@nox.session(venv_backend="venv")
def lock(session: nox.Session) -> None:
    """Resolve the dependencies anew, with hashes and without addresses."""
    session.install("uv")
    for name, extras in LOCKS.items():
        session.run(
            "uv", "pip", "compile", "--quiet", "--universal", "--upgrade", "--generate-hashes", "--no-header",
            "--no-annotate", "--python-version", "3.10", *(f"--extra={extra}" for extra in extras), "pyproject.toml",
            "-o", str(lock_file(name)),
        )  # fmt: skip
