"""The Rust engine against the C++ engine of the same build, measured: `nox -s figures_rust -- RUST.whl CPP.whl`.

Runs both in turn, A B B A, each run in a fresh process that imports, loads, completes and evaluates; prints medians of
ratios with bootstrap intervals beside the noise floor of the same run: each engine against itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from truewheel import process
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import CheckError, LoadError
from truewheel.figures import inside_noise, interval, spell
from truewheel.inference.environment import Environment, fresh_environment
from truewheel.inference.models import find_model
from truewheel.wheel.archive import read_wheel

_ROUNDS = 6
_MODULES = {"llama-rs": "llama_rs", "llama-cpp-python": "llama_cpp"}

_RUN = """
import importlib, json, resource, statistics, sys, time
name, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
start = time.perf_counter()
package = importlib.import_module(name)
imported = time.perf_counter() - start
options = {"n_ctx": 1024, "n_batch": 512, "n_threads": threads, "n_threads_batch": threads, "verbose": False}
start = time.perf_counter()
engine = package.Llama(model, **options)
loaded = time.perf_counter() - start
prompt = "Once upon a time"
longer = "The lighthouse keeper wrote down the weather every evening: wind from the north-west, 7 knots. " * 6
request = {"max_tokens": 128, "temperature": 0.0}
engine.create_completion(longer, max_tokens=4, temperature=0.0)

def complete(text, **more):
    engine.reset()
    start = time.perf_counter()
    result = engine.create_completion(text, **request, **more)
    if more:
        result = list(result)[-1]
    return time.perf_counter() - start, result

runs = [complete(prompt) for _ in range(3)]
whole, result = statistics.median(seconds for seconds, _ in runs), runs[0][1]
streamed, _ = complete(prompt, stream=True)
with_prompt, _ = complete(longer)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tokens = [index * 37 % 40000 + 100 for index in range(512)]
engine.reset()
start = time.perf_counter()
engine.eval(tokens)
prefill = time.perf_counter() - start
start = time.perf_counter()
for token in tokens[:64]:
    engine.eval([token])
decode = time.perf_counter() - start
print(json.dumps({
    "text": result["choices"][0]["text"], "count": result["usage"]["completion_tokens"],
    "create_completion": whole, "stream": streamed, "with_prompt": with_prompt, "prefill": prefill, "decode": decode,
    "import": imported, "load": loaded, "peak": peak,
}))
"""


class _Figure(NamedTuple):
    """One line of the table: a key of what a run prints, and the bar for theirs / ours."""

    key: str
    what: str
    bar: str


_FIGURES = (
    _Figure("create_completion", "create_completion, 128 tokens, end to end (seconds: C++ / Rust)", "≥ 1.10"),
    _Figure("stream", "the same, streamed (seconds: C++ / Rust)", ""),
    _Figure("with_prompt", "after a prompt of about 160 tokens (seconds: C++ / Rust)", ""),
    _Figure("prefill", "eval of 512 tokens (seconds: C++ / Rust)", "≥ 0.99"),
    _Figure("decode", "64 times eval of one token (seconds: C++ / Rust)", "≥ 0.99"),
    _Figure("import", "import (seconds: C++ / Rust)", "≥ 2"),
    _Figure("load", "load (seconds: C++ / Rust)", ""),
    _Figure("peak", "peak memory (KiB: C++ / Rust)", "≥ 1.00"),
)


def main(arguments: list[str]) -> None:
    """Measure both and print the table."""
    console = Console()
    if len(arguments) != 2:  # noqa: PLR2004 - a pair
        raise LoadError("two wheels are compared", hint="python -m truewheel.figures_rust RUST.whl CPP.whl")
    wheels = {read_wheel(Path(path)).name.project: Path(path) for path in arguments}
    if set(wheels) != set(_MODULES):
        raise LoadError(
            f"{' and '.join(sorted(wheels))} are not the two engines", hint=f"name {' and '.join(_MODULES)}"
        )
    host, model = detect_host(), find_model("smollm2").path
    with (
        fresh_environment(read_wheel(wheels["llama-rs"])) as ours,
        fresh_environment(read_wheel(wheels["llama-cpp-python"])) as theirs,
    ):
        rounds = []
        for number in range(_ROUNDS):
            console.say(f"round {number + 1} of {_ROUNDS}")
            order = (("llama-rs", ours), ("llama-cpp-python", theirs), ("llama-cpp-python", theirs), ("llama-rs", ours))
            rounds.append([_run(project, each, model, host.usable_cores, console) for project, each in order])
    texts = {run["text"] for each in rounds for run in each}
    sizes = {project: path.stat().st_size for project, path in wheels.items()}
    lines = [
        f"{host.model}, {host.level}, {host.usable_cores} threads, SmolLM2-135M Q4_1; greedy texts: {len(texts)}",
        "",
        "| figure | ratio | Rust | C++ | Rust / Rust | C++ / C++ | bar | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(figure, rounds) for figure in _FIGURES),
        f"| wheel size | | {' | '.join(f'{sizes[project] / 1e6:.2f} MB' for project in _MODULES)} | | | ≤ 4 MB | |",
    ]
    console.data("\n".join(lines))


def _run(project: str, environment: Environment, model: Path, threads: int, console: Console) -> dict[str, float]:
    command = [str(environment.python), "-c", _RUN, _MODULES[project], str(model), str(threads)]
    done = process.run(command, timeout=900)
    lines = done.output.strip().splitlines() or [""]
    if done.returncode != 0:
        raise CheckError(f"{project} ended with {done.returncode}", hint=lines[-1][-300:])
    told: dict[str, float] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    console.say(f"         {project}: {told['count'] / told['create_completion']:.1f} tokens/s end to end")
    return told


def _row(figure: _Figure, rounds: list[list[dict[str, float]]]) -> str:
    ours = [run[figure.key] for first, _, _, last in rounds for run in (first, last)]
    theirs = [run[figure.key] for _, second, third, _ in rounds for run in (second, third)]
    ratio = interval([b / a for a, b in zip(ours, theirs, strict=True)])
    floors = [
        interval([one[figure.key] / other[figure.key] for one, other in pairs])
        for pairs in ([(each[0], each[3]) for each in rounds], [(each[1], each[2]) for each in rounds])
    ]
    noisy = any(inside_noise(ratio, floor) for floor in floors)
    verdict = "none: inside the noise" if noisy else "Rust needs less" if ratio[0] > 1 else "Rust needs more"
    middle = [f"{sorted(values)[len(values) // 2]:.4g}" for values in (ours, theirs)]
    cells = [figure.what, spell(ratio), *middle, *(spell(floor) for floor in floors), figure.bar, verdict]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
