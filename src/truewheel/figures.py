"""The corridor's figures, measured on this machine: `nox -s figures`.

Builds the default wheel cold, again, and from the compile cache; lets pip build the same version; builds cold
once more, because a shared machine's speed drifts; and runs both wheels in turn on the same model. Prints each
figure with its bar as one Markdown table. It takes as long as four builds, so it is no test.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from truewheel import index, process
from truewheel.config.load import load_recipe
from truewheel.config.tables import PackageSource
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import BuildError, CheckError
from truewheel.inference.environment import Environment, fresh_environment
from truewheel.inference.models import find_model
from truewheel.wheel.archive import read_wheel

_ROUNDS = 6
_HELP_RUNS = 11
_RESAMPLES = 2000
_RESCUE_FLAGS = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
"""What makes gcc 12.2 build a wheel that runs on a CPU with AMX; see docs/concepts/toolchains.md."""

LOW_LEVEL = """
import json, sys, time
import llama_cpp
model, threads = sys.argv[1], int(sys.argv[2])
engine = llama_cpp.Llama(model, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
tokens = [index * 37 % 40000 + 100 for index in range(512)]
engine.eval(tokens[:64])
engine.reset()
start = time.perf_counter()
engine.eval(tokens)
prefill = len(tokens) / (time.perf_counter() - start)
start = time.perf_counter()
for token in tokens[:64]:
    engine.eval([token])
print(json.dumps([prefill, 64 / (time.perf_counter() - start)]))
"""


class Row(NamedTuple):
    """One figure: what it is, what was measured, and the bar."""

    figure: str
    measured: str
    bar: str


def main() -> None:
    """Measure everything and print the table."""
    console = Console()
    threads = detect_host().usable_cores
    with tempfile.TemporaryDirectory(prefix="truewheel figures ") as scratch:
        folder = Path(scratch)
        model = find_model("smollm2")
        rows, ours, first = _our_builds(folder, console)
        theirs, pip_seconds, name = _pip_builds(folder, console, model.path, threads)
        console.say("building cold once more")
        last, _ = _our_build(folder / "second cache", folder / "third")
        cold, other = statistics.mean((first, last)), statistics.mean(pip_seconds)
        each = f"{first:.0f} and {last:.0f} s; pip: {' and '.join(f'{seconds:.0f}' for seconds in pip_seconds)} s"
        rows.append(Row("cold build with checks and smoke / pip wheel, wall", f"{cold / other:.2f} ({each})", "≤ 0.6"))
        size, their_size = ours.stat().st_size, theirs.stat().st_size
        rows.append(Row("wheel size", f"{size / (1 << 20):.2f} MiB (pip: {their_size / (1 << 20):.1f})", "≤ 4 MB"))
        rows += _speeds(ours, theirs, name, model.path, threads, console)
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


def _pip_builds(folder: Path, console: Console, model: Path, threads: int) -> tuple[Path, list[float], str]:
    """Let pip build the same version; once more without AMX when what it built dies here."""
    console.say("pip builds the same version")
    wheel, seconds = _pip_wheel(folder / "pip", {})
    with fresh_environment(read_wheel(wheel)) as environment:
        died = _one_run(environment, model, threads) is None
    if not died:
        return wheel, [seconds], "pip's"
    console.say("pip's wheel dies on this machine; pip builds once more, without AMX")
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


def _speeds(ours: Path, theirs: Path, name: str, model: Path, threads: int, console: Console) -> list[Row]:
    """Run both wheels in turn, A B B A, each in a fresh process; medians of ratios with bootstrap intervals."""
    with fresh_environment(read_wheel(ours)) as a, fresh_environment(read_wheel(theirs)) as b:
        pairs: list[tuple[list[float], list[float]]] = []
        floor: list[tuple[list[float], list[float]]] = []
        for number in range(_ROUNDS):
            console.say(f"speed, round {number + 1} of {_ROUNDS}")
            runs = [_one_run(environment, model, threads) for environment in (a, b, b, a)]
            first, second, third, last = runs
            if first is None or second is None or third is None or last is None:
                raise CheckError("a wheel died in the speed comparison", hint="`truewheel smoke` says how")
            pairs += [(first, second), (last, third)]
            floor.append((first, last))
    rows = []
    for position, phase in enumerate(("prefill 512", "decode 64")):
        ratio = interval([pair[0][position] / pair[1][position] for pair in pairs])
        noise = interval([pair[0][position] / pair[1][position] for pair in floor])
        speeds = statistics.median(pair[0][position] for pair in pairs)
        measured = f"{spell(ratio)} at {speeds:.0f} tokens/s; A/A {spell(noise)}"
        if inside_noise(ratio, noise):
            measured += "; no verdict: inside the noise floor"
        rows.append(Row(f"{phase}: ours / {name}", measured, "≥ 1.00"))
    return rows


def _one_run(environment: Environment, model: Path, threads: int) -> list[float] | None:
    """Return prefill and decode tokens/s of one fresh process, or None when it died."""
    command = [str(environment.python), "-c", LOW_LEVEL, str(model), str(threads)]
    done = process.run(command, timeout=600, merge_stderr=False)
    if done.returncode != 0:
        return None
    result: list[float] = json.loads(done.output)
    return result


def inside_noise(ratio: tuple[float, float, float], noise: tuple[float, float, float]) -> bool:
    """Tell whether a ratio is no farther from 1 than a wheel against itself came out, read either way round.

    Args:
        ratio: median, low and high of ours against theirs.
        noise: median, low and high of ours against ours.
    """
    median, low, high = ratio
    floor = max(noise[2], 1 / noise[1])
    return low <= 1 <= high or 1 / floor <= median <= floor


def spell(interval: tuple[float, float, float]) -> str:
    """Write a median and its interval."""
    return f"{interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}]"


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Return the median and the ends of its 95 % bootstrap interval."""
    generator = random.Random(0)  # noqa: S311 - resampling, nothing secret
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    low, high = medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES)]
    return statistics.median(ratios), low, high


def _help_seconds() -> float:
    times = []
    for _ in range(_HELP_RUNS):
        start = time.perf_counter()
        process.run([Path(sys.executable).parent / "truewheel", "--help"])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
