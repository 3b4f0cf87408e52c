"""The smoke test: one wheel, one model, one locked-down child, and an account of every step."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from truewheel import process
from truewheel.child.environment import Environment, InstallError, fresh_environment
from truewheel.config.load import available, load_recipe
from truewheel.config.tables import Engine
from truewheel.console import Console
from truewheel.errors import LoadError
from truewheel.models.models import Model
from truewheel.wheel.archive import WheelFile

STEPS = ("import", "system-info", "load", "tokenize", "prefill", "decode", "stream", "embed", "state", "alone")


class _Event(msgspec.Struct):
    step: str
    state: Literal["passed", "failed"]
    seconds: float = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class _Rate(msgspec.Struct, rename={"rate": "tokens-per-second"}):
    rate: float


class _Decoded(msgspec.Struct, rename={"rate": "tokens-per-second"}):
    tokens: list[int]
    margins: Annotated[list[float], msgspec.Meta(min_length=1)]
    text: str
    rate: float


class _Info(msgspec.Struct):
    text: str


_FACTS: dict[str, type[msgspec.Struct]] = {"system-info": _Info, "prefill": _Rate, "decode": _Decoded}
"""What the steps must have measured whose figures are used further on."""

_WALL_SECONDS = 300.0
_CPU_SECONDS = 900
_BASE_MEMORY = 4 << 30
_FILE_BYTES = 64 << 20
_DECODE_TOKENS = 24
_TAIL_LINES = 12
_FILTER_OFF_EXIT = 97
_FAILED_EXIT = 98


class SmokeStep(msgspec.Struct, frozen=True):
    """One step of the smoke test.

    Attributes:
        name: one of `STEPS`.
        state: `passed`, `failed`, `died` or `not reached`.
        seconds: wall time.
        reason: why it failed; empty when it passed.
        facts: what it measured.
    """

    name: str
    state: str
    seconds: float = 0.0
    reason: str = ""
    facts: dict[str, Any] = {}


class SmokeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a smoke test showed.

    Attributes:
        model: name of the model.
        steps: every step in order, also those not reached.
        ending: `passed`, or how the child ended, in words.
        code: finding code of the ending; empty when it passed.
        locked: whether the child could lock itself down.
        output: last lines of what the child printed; empty when it passed.
    """

    model: str
    steps: tuple[SmokeStep, ...]
    ending: str
    code: str
    locked: bool
    output: str = ""

    @property
    def passed(self) -> bool:
        """Return whether every step passed."""
        return not self.code

    def facts(self, step: str) -> dict[str, Any]:
        """Return what a step measured; empty when it did not pass."""
        return next((item.facts for item in self.steps if item.name == step), {})


def run_smoke(
    wheel: WheelFile,
    model: Model,
    engine: Engine,
    *,
    threads: int,
    console: Console,
    in_process: bool = True,
    wall_seconds: float = _WALL_SECONDS,
    log: Path | None = None,
) -> SmokeRecord:
    """Install a wheel into a fresh environment and run one inference in a locked-down child.

    Args:
        wheel: the wheel, ours or anybody's.
        model: a model whose header was checked.
        engine: how it is imported and driven.
        threads: threads of the engine.
        console: shows the steps.
        in_process: fail when the child cannot be kept from starting processes and opening sockets.
        wall_seconds: after which the child is ended.
        log: gets everything that is printed.

    Raises:
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    try:
        return _run_child(wheel, model, engine, threads, console, wall_seconds, log, in_process=in_process)
    except InstallError as error:
        steps = tuple(SmokeStep(name, "not reached") for name in STEPS)
        return SmokeRecord(model=model.name, steps=steps, ending=error.message, code="SMOKE-INSTALL", locked=False)


def unproven(model: Model, reason: str) -> SmokeRecord:
    """Return the record of a wheel that was not run because this CPU cannot run it."""
    steps = tuple(SmokeStep(name, "not reached") for name in STEPS)
    return SmokeRecord(model=model.name, steps=steps, ending=reason, code="SMOKE-UNPROVEN", locked=False)


def _run_child(
    wheel: WheelFile,
    model: Model,
    engine: Engine,
    threads: int,
    console: Console,
    wall_seconds: float,
    log: Path | None,
    *,
    in_process: bool,
) -> SmokeRecord:
    with fresh_environment(wheel, log) as environment:
        request = make_request(environment, model, engine, threads, in_process=in_process)
        here = Path(__file__).resolve().parent / "programs" / f"{engine.driver}.py"
        child = {"PATH": "/usr/bin:/bin", "HOME": str(environment.scratch), "TMPDIR": str(environment.scratch)}
        child |= {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
        done = process.run(
            [environment.python, "-I", "-S", "-B", "-X", "faulthandler", here],
            env=child,
            cwd=environment.scratch,
            log=log,
            timeout=wall_seconds,
            stdin=msgspec.json.encode(request),
        )
        events = read_events(Path(request["events"]))
    record = judge(model.name, events, done)
    for step in record.steps:
        if step.state == "passed":
            console.say(f"         {step.name:<12} {step.seconds:6.2f} s  {_summary(step)}".rstrip())
    return record


def engine_for(project: str) -> Engine:
    """Return how the wheels of a project are driven: as the recipe of that name says.

    Raises:
        LoadError: no recipe builds this project.
    """
    for name in available("recipes"):
        engine = load_recipe(name).recipe.engine
        if engine.name == project:
            return engine
    raise LoadError(
        f"no smoke driver knows the project {project!r}", hint=f"known projects are: {', '.join(available('recipes'))}"
    )


def make_request(
    environment: Environment, model: Model, engine: Engine, threads: int, *, in_process: bool
) -> dict[str, Any]:
    """Return what a driver is asked for; the paths are those of an environment that it can see."""
    return {
        "import-name": engine.import_name,
        "model": str(model.path),
        "prompt": model.prompt,
        "expect": model.expect,
        "round-trip": model.vocabulary_round_trips,
        "decode": _DECODE_TOKENS,
        "threads": threads,
        "site": str(environment.site),
        "events": str(environment.scratch / "events.jsonl"),
        "in-process": in_process,
        "cpu-seconds": _CPU_SECONDS,
        "memory-bytes": _BASE_MEMORY + 3 * model.path.stat().st_size,
        "file-bytes": _FILE_BYTES,
    }


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return what a child wrote of its steps, up to the first line that cannot be read."""
    events = []
    if path.is_symlink() or not path.is_file():
        return []  # a pipe or a link in its place would make us wait, or read somebody else's file
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            events.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            break
    return events


def judge(model: str, events: list[dict[str, Any]], done: process.Completed) -> SmokeRecord:
    """Turn the child's events and its end into a record.

    A run passes only when every step says so and the child left with 0: a child that stops early,
    however quietly, has not passed.
    """
    states = {str(event.get("step")): event for event in events}
    steps = [read_step(name, states.get(name)) for name in STEPS]
    locked = states.get("lock", {}).get("state") == "passed"
    where = next((step.name for step in steps if step.state != "passed"), "the end")
    code, ending = explain_ending(done, steps, where, str(states.get("lock", {}).get("reason", "")))
    tail = "\n".join(done.output.splitlines()[-_TAIL_LINES:]) if code else ""
    return SmokeRecord(model=model, steps=tuple(steps), ending=ending, code=code, locked=locked, output=tail)


def read_step(name: str, event: dict[str, Any] | None) -> SmokeStep:
    """Read one step's event; what the child writes is nothing to rely on, so each type is looked at."""
    if event is None:
        return SmokeStep(name, "not reached")
    if event.get("state") == "begin":
        return SmokeStep(name, "died")
    try:
        told = msgspec.convert(event, _Event)
        if told.state == "passed" and name in _FACTS:
            msgspec.convert(told.facts, _FACTS[name])
    except msgspec.ValidationError as error:
        return SmokeStep(name, "failed", reason=f"what the child says of it cannot be read: {error}")
    return SmokeStep(name, told.state, told.seconds, told.reason, told.facts)


def explain_ending(done: process.Completed, steps: list[SmokeStep], where: str, lock_reason: str) -> tuple[str, str]:
    """Return the finding code and the words for how the child ended."""
    if done.timed_out:
        return "SMOKE-TIMEOUT", f"at {where}: ended after {done.seconds:.0f} s without an answer"
    if done.returncode == 0 and all(step.state == "passed" for step in steps):
        return "", "passed"
    if done.returncode == _FILTER_OFF_EXIT:
        return "SMOKE-UNLOCKED", f"the child cannot lock itself down here ({lock_reason})"
    if done.returncode < 0:
        return _death(-done.returncode, done.output, where)
    failed = next((step for step in steps if step.state == "failed"), None)
    if failed is not None:
        code = "SMOKE-MEMORY" if failed.reason.startswith("MemoryError") else "SMOKE-FAILED"
        return code, f"at {failed.name}: {failed.reason}"
    return "SMOKE-FAILED", f"at {where}: the child left with exit code {done.returncode} and gave no reason"


_DEATHS: dict[int, tuple[str, str]] = {
    signal.SIGILL: ("SMOKE-ILLEGAL", "illegal instruction: the wheel ran code that this CPU refuses"),
    signal.SIGSEGV: ("SMOKE-SEGFAULT", "segmentation fault"),
    signal.SIGBUS: ("SMOKE-SEGFAULT", "bus error"),
    signal.SIGSYS: ("SMOKE-ESCAPE", "it tried to start a process, open a socket or trace another"),
    signal.SIGXCPU: ("SMOKE-TIMEOUT", "used up its CPU time"),
    signal.SIGKILL: ("SMOKE-MEMORY", "killed for memory"),
    signal.SIGABRT: ("SMOKE-ABORT", "the engine aborted"),
}
_OUT_OF_MEMORY = re.compile(r"bad_alloc|MemoryError|[Cc]annot allocate memory|failed to allocate")


def _death(number: int, output: str, where: str) -> tuple[str, str]:
    """Tell deaths by signal apart; nothing but the kernel's memory killer ends the child with SIGKILL."""
    if number == signal.SIGABRT and _OUT_OF_MEMORY.search(output):
        number = signal.SIGKILL
    # Most real-time signals have a number and no name.
    name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
    code, words = _DEATHS.get(number, ("SMOKE-DIED", f"died by {name}"))
    return code, f"at {where}: {words}"


def _summary(step: SmokeStep) -> str:
    facts = step.facts
    if step.name == "decode":
        rate, margin = facts["tokens-per-second"], min(facts["margins"])
        return f"{facts['text'][:50]!r}, {rate:.0f} tokens/s, smallest margin {margin:.3f}"
    if step.name == "prefill":
        return f"{facts['tokens-per-second']:.0f} tokens/s"
    return ""
