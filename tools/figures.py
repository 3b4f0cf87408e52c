"""The corridor's figures, measured on this machine: `nox -s figures`.

Builds the default wheel cold, again, and from the compile cache; lets pip build the same version; builds cold
once more, because a shared machine's speed drifts; and runs both wheels in turn on the same model. Prints each
figure with its bar as one Markdown table. It takes as long as four builds, so it is no test.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from truewheel import process
from truewheel.child.measure import run_child
from truewheel.config.load import load_recipe
from truewheel.config.tables import PackageSource
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import BuildError, CheckError
from truewheel.machine import index
from truewheel.measure.install import open_subject
from truewheel.measure.metrics import make_workload
from truewheel.measure.run import Method, run_benchmark
from truewheel.measure.statistics import spell
from truewheel.measure.subjects import parse_subject
from truewheel.models.models import Model, find_model
from truewheel.scratch import SCRATCH

_ROUNDS = 4
_REPEAT = 3
_HELP_RUNS = 11
_RESCUE_FLAGS = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
"""What makes gcc 12.2 build a wheel that runs on a CPU with AMX; see docs/concepts/toolchains.md."""


class Row(NamedTuple):
    """One figure: what it is, what was measured, and the bar."""

    figure: str
    measured: str
    bar: str


def main() -> None:
    """Measure everything and print the table."""
    console = Console()
    threads = detect_host().usable_cores
    with SCRATCH.folder("truewheel figures") as folder:
        model = find_model("smollm2")
        rows, ours, first = _our_builds(folder, console)
        theirs, pip_seconds, name = _pip_builds(folder, console, model.path)
        console.say("building cold once more")
        last, _ = _our_build(folder / "second cache", folder / "third")
        cold, other = statistics.mean((first, last)), statistics.mean(pip_seconds)
        each = f"{first:.0f} and {last:.0f} s; pip: {' and '.join(f'{seconds:.0f}' for seconds in pip_seconds)} s"
        rows.append(Row("cold build with checks and smoke / pip wheel, wall", f"{cold / other:.2f} ({each})", "≤ 0.6"))
        size, their_size = ours.stat().st_size, theirs.stat().st_size
        rows.append(Row("wheel size", f"{size / (1 << 20):.2f} MiB (pip: {their_size / (1 << 20):.1f})", "≤ 4 MB"))
        rows += _speeds(ours, theirs, name, model, console)
        rows.append(Row("truewheel --help", f"{_help_seconds() * 1000:.0f} ms", "≤ 200 ms"))
    host = detect_host()
    lines = [f"{host.model}, {host.level}, {threads} threads", "", "| figure | measured | bar |", "| --- | --- | --- |"]
    lines += [f"| {row.figure} | {row.measured} | {row.bar} |" for row in rows]
    console.data("\n".join(lines))


def _our_build(cache: Path, house: Path) -> tuple[float, Path]:
    """Build with a cache folder into a wheelhouse; return wall seconds and the wheel."""
    command = [sys.executable, "-m", "truewheel", "build", "--json", "--wheelhouse", str(house)]
    start = time.monotonic()
    environment = {**os.environ, "TRUEWHEEL_CACHE_DIR": str(cache)}
    done = process.run(command, env=environment, merge_stderr=False, keep_lines=1_000_000)
    if done.returncode != 0:
        raise BuildError(f"our build ended with exit code {done.returncode}", hint="run `truewheel build` to see why")
    return time.monotonic() - start, Path(json.loads(done.output)["path"])


def _our_builds(folder: Path, console: Console) -> tuple[list[Row], Path, float]:
    """Build cold, again, and with the compile cache alone; return rows, the wheel and the cold build's seconds."""
    console.say("building cold")
    cold, wheel = _our_build(folder / "cache", folder / "first")
    console.say(f"took {cold:.0f} s; building again")
    again, _ = _our_build(folder / "cache", folder / "first")
    console.say("building from the compile cache alone")
    warm, _ = _our_build(folder / "cache", folder / "second")
    rows = [
        Row("the same command again", f"{again:.2f} s", "≤ 2 s"),
        Row("with the compile cache alone / cold", f"{warm / cold:.2f} ({warm:.0f} s)", "≤ 0.25"),
    ]
    return rows, wheel, cold


def _pip_builds(folder: Path, console: Console, model: Path) -> tuple[Path, list[float], str]:
    """Let pip build the same version; once more without AMX when what it built dies here."""
    console.say("pip builds the same version")
    wheel, seconds = _pip_wheel(folder / "pip", {})
    with open_subject(parse_subject(str(wheel)), {}) as installed:
        failure = run_child(installed.runner, model, make_workload([512], [], [], 0, 8, 1), "").failure
    if not failure:
        return wheel, [seconds], "pip's"
    console.say(f"pip's wheel dies on this machine ({failure}); pip builds once more, without AMX")
    flags = {"CFLAGS": _RESCUE_FLAGS, "CXXFLAGS": _RESCUE_FLAGS}
    rescued, again = _pip_wheel(folder / "pip without AMX", flags)
    return rescued, [seconds, again], "pip's without AMX (with it, it dies here)"


def _pip_wheel(target: Path, variables: dict[str, str]) -> tuple[Path, float]:
    source = load_recipe("llama-cpp-python").recipe.source
    assert isinstance(source, PackageSource)
    what = f"{source.name}=={source.version}"
    command = [sys.executable, *index.PIP, "wheel", "--no-deps", "--no-cache-dir", "--no-binary", source.name, what]
    start = time.monotonic()
    done = process.run([*command, "-w", str(target)], env={**index.pip_environment(), **variables})
    if done.returncode != 0:
        raise BuildError("pip could not build its wheel", hint="it needs a C++ compiler on this machine")
    return next(target.glob("*.whl")), time.monotonic() - start


def _speeds(ours: Path, theirs: Path, name: str, model: Model, console: Console) -> list[Row]:
    """Measure both wheels in turn as `truewheel bench` does it."""
    asked = [parse_subject(str(path)) for path in (theirs, ours)]
    method = Method(make_workload([512], [64], [0], 0, 8, _REPEAT), _ROUNDS)
    benchmark = run_benchmark(asked, model, method, detect_host(), console)
    floors = {floor.key: spell(floor.ratio) for floor in benchmark.floors}
    rows = []
    for figure in benchmark.subjects[1].figures:
        if figure.key not in ("pp512", "tg64"):
            continue
        if figure.value is None or figure.ratio is None:
            raise CheckError(f"our wheel gave no {figure.key}: {figure.reason}", hint="`truewheel smoke` says more")
        measured = f"{spell(figure.ratio)} at {figure.value.median:.0f} tokens/s; A/A {floors[figure.key]}"
        rows.append(Row(f"{figure.key}: ours / {name}", f"{measured}; {figure.verdict}", "≥ 1.00"))
    return rows


def _help_seconds() -> float:
    times = []
    for _ in range(_HELP_RUNS):
        start = time.perf_counter()
        process.run([Path(sys.executable).parent / "truewheel", "--help"])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
