"""llama.cpp's own llama-bench, built from the same source with the same flags, beside our low-level figures.

`nox -s llama_bench` builds it, runs it in turn with the default wheel, and prints the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel import process
from truewheel.build.cache import find_cache_tool, open_cache
from truewheel.build.product import BuildTools, process_reason
from truewheel.build.scikit_build import build_variables, config_settings
from truewheel.child.measure import Session, open_session
from truewheel.child.work import Workload
from truewheel.config.locations import cache_root
from truewheel.console import Console
from truewheel.corridor.prepare import Order, Prepared, prepare
from truewheel.cpu.host import detect_host
from truewheel.errors import BuildError, CheckError, LoadError, PlanError
from truewheel.fetch.source import fetch_source
from truewheel.files import replacing_folder
from truewheel.machine.tools import find_tool, search_path
from truewheel.measure.install import open_subject
from truewheel.measure.metrics import make_workload, read_event
from truewheel.measure.result import Floor, Interval
from truewheel.measure.run import WORST_FLOOR
from truewheel.measure.statistics import compare, interval, noise_floor, spell
from truewheel.measure.subjects import parse_subject
from truewheel.models.models import find_model
from truewheel.plan.plan import ScikitBuildPlan

_ROUNDS = 3
_REPEAT = 4
_PREFIX = "cmake.define."
_SECONDS = 1800.0
_TOOL = {
    "LLAMA_BUILD_COMMON": "ON",
    "LLAMA_BUILD_TOOLS": "ON",
    # One program: between libraries that each have a C++ library of their own, as zig makes them, only C may pass.
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_BACKEND_DL": "OFF",
    "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
}
_PROGRAM = Path("bin") / "llama-bench"


class Agreement(NamedTuple):
    """One figure of both.

    Attributes:
        key: `pp512` or `tg64`.
        ours: tokens/s, median.
        theirs: tokens/s of llama-bench, median.
        ratio: ours / theirs.
        floor: our noise floor of the same rounds.
    """

    key: str
    ours: float
    theirs: float
    ratio: Interval
    floor: Floor

    @property
    def agrees(self) -> bool:
        """Tell whether the two differ by no more than ours does from itself, or by nothing that was seen."""
        most = 1 + self.floor.floor
        return self.ratio.low <= most and self.ratio.high >= 1 / most


class _Row(msgspec.Struct):
    n_prompt: int
    n_gen: int
    avg_ts: float


def build_llama_bench(console: Console, order: Order | None = None) -> Path:
    """Return llama-bench, built before or now from the source and with the flags of a plan of llama-cpp-python.

    Args:
        console: shows the progress.
        order: the plan that is followed; by default that of the native wheel.

    Raises:
        PlanError: no compiler is fit.
        FetchError: source or tools cannot be had.
        BuildError: it does not build.
    """
    ready = prepare(order or Order(), console)
    builder = ready.plan.builder
    if not isinstance(builder, ScikitBuildPlan):
        raise PlanError(f"{ready.plan.subject.engine} is not built by CMake", hint="it is built as llama-cpp-python is")
    folder = cache_root() / "bench" / f"llama-bench-{_key(ready)}"
    if (folder / _PROGRAM).is_file():
        return folder / _PROGRAM
    cmake, ninja = find_tool("cmake", console.say), find_tool("ninja", console.say)
    source = fetch_source(
        ready.recipe, ready.plan.subject.source, ready.changes, cache_root(), search_path(cmake, ninja)
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = cache_root() / "logs" / f"{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # What was compiled for a wheel is found again only where the folders are the same each time.
    work = folder.with_name("llama-bench-work")
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        cache = None
        if tool := find_cache_tool(ready.toolchain.kind, console.say):
            cache_log = cache_root() / "logs" / "compile-cache.log"
            cache = stack.enter_context(
                open_cache(tool, cache_root() / "compile-cache" / tool.name, ready.host, cache_log)
            )
        tools = BuildTools(ready.toolchain, cmake, ninja, cache)
        settings = config_settings(builder, source.path, work, tools, work / "no-note.o")
        defines = {key.removeprefix(_PREFIX): value for key, value in settings.items() if key.startswith(_PREFIX)}
        # The note is what makes a C library refuse the file on a lesser CPU; here it runs at once or not at all.
        defines |= {"CMAKE_SHARED_LINKER_FLAGS": "-s", "CMAKE_MODULE_LINKER_FLAGS": "-s", **_TOOL}
        given = [f"-D{key}={value}" for key, value in defines.items()]
        tree, jobs = source.path / "vendor" / "llama.cpp", str(ready.host.usable_cores)
        commands: tuple[list[str | Path], ...] = (
            [cmake.path, "-S", tree, "-B", work, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *given],
            [cmake.path, "--build", work, "--target", "llama-bench", "--parallel", jobs],
        )
        environment = build_variables(builder, source, tools, work, ready.host.usable_cores)
        console.say("         building llama-bench")
        for command in commands:
            done = process.run(command, env=environment, log=log, timeout=_SECONDS)
            if done.returncode != 0:
                reason = process_reason(done.output)
                raise BuildError(f"llama-bench does not build: {reason}", hint=f"the full log is {log}")
        _keep(work, folder)
    return folder / _PROGRAM


def _key(ready: Prepared) -> str:
    """Return what tells builds of llama-bench apart: source, compiler, defines and flags."""
    plan = ready.plan
    cmake = plan.builder.cmake
    parts = (plan.subject.source, plan.compiler, cmake.defines, cmake.c_flags, plan.code.features, _TOOL)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:12]


def _keep(work: Path, folder: Path) -> None:
    """Keep the program, whole or not at all."""
    with replacing_folder(folder) as beside:
        (beside / "bin").mkdir()
        shutil.copy2(work / _PROGRAM, beside / _PROGRAM)


def run_llama_bench(program: Path, model: Path, threads: int, repeat: int) -> dict[str, float]:
    """Run llama-bench once and return tokens/s of `pp512` and `tg64`.

    Raises:
        CheckError: it ended badly, or says what cannot be read.
    """
    lengths = ["-p", "512", "-n", "64", "-b", "512", "-ub", "512", "-fa", "off"]
    command: list[str | Path] = [program, "-m", model, *lengths, "-t", str(threads), "-r", str(repeat), "-o", "json"]
    done = process.run(
        command, env=process.plain_environment(), timeout=_SECONDS, merge_stderr=False, keep_lines=100_000
    )
    if done.returncode != 0:
        raise CheckError(f"llama-bench ended with {done.returncode}", hint=done.output.strip()[-300:])
    try:
        rows = msgspec.json.decode(done.output, type=list[_Row])
    except msgspec.DecodeError as error:
        raise CheckError(f"llama-bench says what cannot be read: {error}") from error
    return {f"pp{row.n_prompt}" if row.n_prompt else f"tg{row.n_gen}": row.avg_ts for row in rows}


def compare_with_llama_bench(wheel: Path, model_name: str, rounds: int, console: Console) -> list[Agreement]:
    """Run a wheel and llama-bench in turn, the wheel twice as if it were two, and compare.

    Both keep one pool of threads, as llama-bench does by itself, and neither uses flash attention.

    Args:
        wheel: a wheel of the plan that llama-bench is built from.
        model_name: what is run.
        rounds: how often ours is started anew.
        console: shows the progress.
    """
    program, model, host = build_llama_bench(console), find_model(model_name).path, detect_host()
    plan = make_workload([512], [64], [0], 0, 8, _REPEAT)
    asked = parse_subject(str(wheel))
    settings = {"n_threads": host.usable_cores, "n_threads_batch": host.usable_cores}
    settings |= {"n_batch": 512, "n_ubatch": 512}
    if asked.engine.driver == "llama_cpp":
        settings |= {"own_pool": True, "poll": 50}
    samples: dict[str, list[dict[str, list[float]]]] = {"a": [], "again": [], "b": []}
    with open_subject(asked, settings) as installed, console.steps("measuring") as steps:
        for number in range(rounds):
            taken: dict[str, dict[str, list[float]]] = {name: {"pp512": [], "tg64": []} for name in samples}
            with (
                open_session(installed.runner, model, plan, "") as first,
                open_session(installed.runner, model, plan, "") as second,
            ):
                sessions = {"a": first, "again": second}
                for turn in range(_REPEAT):
                    for name in ("a", "again", "b", "b", "again", "a"):
                        if name == "b":
                            figures = run_llama_bench(program, model, host.usable_cores, 1)
                        else:
                            figures = _run_ours(sessions[name], plan)
                        for key, value in figures.items():
                            taken[name][key].append(value)
                    steps.advance(number * _REPEAT + turn + 1, rounds * _REPEAT)
            for name, each in samples.items():
                each.append(taken[name])
    return [_agreement(key, samples) for key in ("pp512", "tg64")]


def _run_ours(session: Session, plan: Workload) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in plan.work:
        event = session.measure(item.id)
        if event is None:
            raise CheckError(f"the wheel cannot be measured: {session.finish().failure}", hint="try `truewheel smoke`")
        found |= dict(read_event(item, event))
    return found


def _agreement(key: str, samples: dict[str, list[dict[str, list[float]]]]) -> Agreement:
    ours, again, theirs = ([each[key] for each in samples[name]] for name in ("a", "again", "b"))
    floor = noise_floor(key, again, ours, WORST_FLOOR)
    middle = [interval([value for each in rounds for value in each]).median for rounds in (ours, theirs)]
    return Agreement(key, middle[0], middle[1], compare(ours, theirs, lower_is_better=False), floor)


def to_lines(found: Sequence[Agreement]) -> list[str]:
    """Return the comparison as a Markdown table."""
    lines = ["| | ours, tokens/s | llama-bench, tokens/s | ours / llama-bench | ours / ours | |"]
    lines.append("| --- | ---: | ---: | --- | --- | --- |")
    for one in found:
        verdict = "agrees" if one.agrees else "**differs**"
        cells = (one.key, f"{one.ours:.1f}", f"{one.theirs:.1f}", spell(one.ratio), spell(one.floor.ratio), verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(arguments: list[str]) -> None:
    """Compare a wheel with llama-bench and print the table."""
    if not 1 <= len(arguments) <= 2:  # noqa: PLR2004 - a wheel, a model
        raise LoadError("one wheel is wanted", hint="python -m tools.llama_bench WHEEL [MODEL]")
    console = Console()
    model = arguments[1] if len(arguments) > 1 else "smollm2"
    console.data("\n".join(to_lines(compare_with_llama_bench(Path(arguments[0]), model, _ROUNDS, console))))


if __name__ == "__main__":
    main(sys.argv[1:])
