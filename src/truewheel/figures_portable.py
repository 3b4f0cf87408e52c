"""The portable wheels' speed, measured on this machine: `nox -s figures_portable -- WHEELHOUSE PEER...`.

Takes wheels that `truewheel build --all --toolchain zig` stored, so that one compiler built them all, and peers'
wheels. Runs each pair in turn, A B B A, each run in a fresh process, and prints medians of ratios with bootstrap
intervals beside the noise floor of the same run: one wheel against itself.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from truewheel import process
from truewheel.console import Console
from truewheel.cpu.host import detect_host
from truewheel.errors import CheckError, LoadError
from truewheel.figures import LOW_LEVEL, inside_noise, interval, spell
from truewheel.inference.environment import Environment, fresh_environment
from truewheel.inference.models import find_model
from truewheel.wheel.archive import read_wheel
from truewheel.wheelhouse.store import Wheelhouse

_ROUNDS = 5
_TOKENS = "[index * 37 % 40000 + 100 for index in range(512)]"

_RUNNERS = {
    "llama-cpp-python": LOW_LEVEL,
    "xllamacpp": f"""
import json, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_batch, params.n_parallel = sys.argv[1], 1024, 512, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
server = xllamacpp.Server(params)
tokens = {_TOKENS}
request = {{"temperature": 0, "cache_prompt": False, "ignore_eos": True}}
server.handle_completions({{"prompt": tokens[:64], "n_predict": 4, **request}})
timings = server.handle_completions({{"prompt": tokens, "n_predict": 64, **request}})["timings"]
print(json.dumps([timings["prompt_per_second"], timings["predicted_per_second"]]))
""",
    # Its own loop, sampling included: it offers no other.
    "ik-llama-cpp-python": f"""
import json, sys, time
from ik_llama_cpp.llama import IkLlama
engine = IkLlama(sys.argv[1], n_ctx=1024, n_threads=int(sys.argv[2]), verbose=False)
tokens = {_TOKENS}
engine.generate(tokens[:64], max_tokens=2)
seconds = []
for count in (1, 65):
    start = time.perf_counter()
    engine.generate(tokens, max_tokens=count)
    seconds.append(time.perf_counter() - start)
print(json.dumps([len(tokens) / seconds[0], 64 / (seconds[1] - seconds[0])]))
""",
    "nobodywho": """
import json, sys, time
import nobodywho
chat = nobodywho.Chat(nobodywho.Model(sys.argv[1], use_gpu_if_available=False), n_ctx=2048, n_threads=int(sys.argv[2]),
                      sampler=nobodywho.SamplerPresets.greedy())
prompt = " ".join(["the river runs down to the old town and on to the sea"] * 42) + ". Count slowly to one hundred."
count = len(chat.tokenize(prompt))
chat.ask("Say hello.").completed()
chat.reset_history()
start = time.perf_counter()
stream = iter(chat.ask(prompt))
next(stream)
first = time.perf_counter()
pieces = sum(1 for _, piece in zip(range(64), stream))
print(json.dumps([count / (first - start), pieces / (time.perf_counter() - first)]))
""",
}
"""How each package is run: tokens/s of a prompt of about 512 tokens and of 64 further ones, as its last line."""


class Side(NamedTuple):
    """One wheel in its own environment, and how it is run."""

    name: str
    environment: Environment
    runner: str


def main(arguments: list[str]) -> None:
    """Measure every pair and print the table."""
    console = Console()
    if not arguments:
        raise LoadError("no wheelhouse is named", hint="python -m truewheel.figures_portable WHEELHOUSE PEER...")
    ours = _newest(Wheelhouse(Path(arguments[0])))
    pairs: list[tuple[Path, Path]] = [(ours["dispatch"], ours["native"])]
    pairs += [(ours["x86_64_v3"], Path(peer)) for peer in arguments[1:]]
    host, model = detect_host(), find_model("smollm2").path
    lines = [
        f"{host.model}, {host.level}, {host.usable_cores} threads, SmolLM2-135M Q4_1",
        "",
        "| pair | phase | ratio | speeds, tokens/s | A/A | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for left, right in pairs:
        with _side(left) as a, _side(right) as b:
            run = _make_run(model, host.usable_cores, console)
            try:
                lines += list(_rows(a, b, run, console))
            except CheckError as error:
                lines.append(f"| {a.name} / {b.name} | | {error.message}: {error.hint} | | | none |")
    console.data("\n".join(lines))


def _newest(house: Wheelhouse) -> dict[str, Path]:
    """Return the newest sound wheel of each profile."""
    found: dict[str, Path] = {}
    for stored in house.list():
        if stored.report.plan is not None and stored.report.sound:
            found.setdefault(stored.report.plan.profile, stored.path)
    for profile in ("dispatch", "native", "x86_64_v3"):
        if profile not in found:
            raise LoadError(f"{house.root} has no wheel {profile}", hint="`truewheel build --all --toolchain zig`")
    return found


@contextlib.contextmanager
def _side(path: Path) -> Iterator[Side]:
    wheel = read_wheel(path)
    if wheel.name.project not in _RUNNERS:
        raise LoadError(f"nothing is known of how {wheel.name.project} is run", hint=f"known: {', '.join(_RUNNERS)}")
    with fresh_environment(wheel) as environment:
        label = wheel.name.build or f"{wheel.name.project} {wheel.name.version}"
        yield Side(label, environment, _RUNNERS[wheel.name.project])


def _make_run(model: Path, threads: int, console: Console) -> Callable[[Side], list[float]]:
    def run(side: Side) -> list[float]:
        command = [str(side.environment.python), "-c", side.runner, str(model), str(threads)]
        done = process.run(command, timeout=900)
        lines = done.output.strip().splitlines() or [""]
        if done.returncode != 0:
            raise CheckError(f"{side.name} ended with {done.returncode}", hint=lines[-1][-200:])
        speeds: list[float] = json.loads(next(line for line in reversed(lines) if line.startswith("[")))
        console.say(f"         {side.name}: {speeds[0]:.0f} and {speeds[1]:.0f} tokens/s")
        return speeds

    return run


def _rows(a: Side, b: Side, run: Callable[[Side], list[float]], console: Console) -> Iterator[str]:
    """Yield a row a phase."""
    pairs, floor = [], []
    for number in range(_ROUNDS):
        console.say(f"{a.name} and {b.name}, round {number + 1} of {_ROUNDS}")
        first, second, third, last = (run(side) for side in (a, b, b, a))
        pairs += [(first, second), (last, third)]
        floor.append((first, last))
    for position, phase in enumerate(("prefill 512", "decode 64")):
        ratio = interval([left[position] / right[position] for left, right in pairs])
        noise = interval([left[position] / right[position] for left, right in floor])
        speeds = " and ".join(f"{sorted(pair[side][position] for pair in pairs)[_ROUNDS]:.0f}" for side in (0, 1))
        verdict = "none: inside the noise" if inside_noise(ratio, noise) else "faster" if ratio[0] > 1 else "slower"
        yield f"| {a.name} / {b.name} | {phase} | {spell(ratio)} | {speeds} | {spell(noise)} | {verdict} |"


if __name__ == "__main__":
    main(sys.argv[1:])
