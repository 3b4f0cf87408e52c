"""What this machine can do at most, measured by a small program of our own: read memory, multiply and add.

A figure is the work of all threads in one window of time, divided by its length; of several windows the best counts,
because whatever else happens on a machine only slows it down.
"""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from truewheel import process
from truewheel.config.locations import cache_root
from truewheel.console import Console
from truewheel.cpu.features import with_implied
from truewheel.cpu.host import Host, available_memory
from truewheel.decoding import UnreadableError, decode_json, read_text
from truewheel.errors import BuildError, TruewheelError
from truewheel.machine.probe import Toolchain
from truewheel.measure.limits_program import build_program, find_compiler
from truewheel.measure.result import Limits

SECONDS = 0.25
WINDOWS = 5

KERNELS: dict[str, tuple[str, ...]] = {
    "read-avx512": ("avx512f",),
    "read-avx2": ("avx2",),
    "read-sse2": (),
    "int8-amx": ("amx_tile", "amx_int8"),
    "int8-avx512_vnni": ("avx512f", "avx512_vnni"),
    "int8-avx_vnni": ("avx2", "avx_vnni"),
    "int8-avx2": ("avx2",),
    "int8-ssse3": ("ssse3",),
    "f32-avx512": ("avx512f",),
    "f32-fma": ("avx", "fma"),
    "f32-sse2": (),
}
"""The program's kernels, of each kind the widest first, and the CPU features that each needs beyond plain x86-64."""
FRONTS = "-fronts"
"""Ends the name of the other way to read: at eight places of memory at once, which keeps more reads on their way."""

_LEAST_BYTES = 512 << 20
_TIMES_CACHE = 8
_SPARE_SECONDS = 60.0
_SLOWEST_FILL = 200e6
_DISTURBED = 0.95
_SYSTEM = Path("/sys/devices/system/cpu")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class LimitsError(BuildError):
    """What this machine can do at most cannot be measured."""


class Reading(NamedTuple):
    """What the program said.

    Attributes:
        rates: bytes or operations a second of the best window, by kernel.
        failures: why a kernel cannot be measured, by kernel.
        bytes: how much memory was read again and again.
        bound: how many threads were bound to a CPU.
        ran: part of those best windows in which the system let the threads run, of the most disturbed one.
    """

    rates: dict[str, float]
    failures: dict[str, str]
    bytes: int
    bound: int
    ran: float


class _Line(msgspec.Struct):
    kernel: str = ""
    work: int = 0
    seconds: float = 0.0
    failed: str = ""
    bytes: int = 0
    bound: int = 0
    ran: float = 1.0


def measure_limits(
    threads: Sequence[int],
    host: Host,
    console: Console,
    *,
    cpus: Sequence[int] = (),
    seconds: float = SECONDS,
    windows: int = WINDOWS,
    toolchain: Toolchain | None = None,
) -> tuple[Limits, ...]:
    """Measure what this machine can do at most, with each number of threads.

    Args:
        threads: numbers of threads; `choose_threads` gives the usual ones.
        host: this machine.
        console: is told what is done, and with how much memory.
        cpus: CPUs that threads may be bound to, the first ones first; by default all that we may use, cores before
            their second hardware threads.
        seconds: length of one window.
        windows: how many windows each kernel has; the best one counts.
        toolchain: compiler; by default the one that `truewheel build` takes for this machine.

    Raises:
        LimitsError: there is no compiler, or the program cannot be built or run.
    """
    if (host.system, host.machine) != ("Linux", "x86_64"):
        raise LimitsError(f"there are no kernels for {host.system} on {host.machine}")
    try:
        program = build_program(toolchain or find_compiler(host, console), cache_root() / "bench", console)
        places = tuple(cpus) or order_cpus({cpu: _core_of(cpu) for cpu in os.sched_getaffinity(0)})
        names = choose_kernels(host.features)
        with console.steps("measuring what this machine can do") as steps:
            done, total = 0, len(threads) * len(names) * windows

            def count(line: str) -> None:
                nonlocal done
                done += '"work"' in line
                steps.advance(done, total)

            readings = [_run(program, names, number, places, seconds, windows, host, count) for number in threads]
    except LimitsError:
        raise
    except TruewheelError as error:
        raise LimitsError(error.message, hint=error.hint) from error
    except OSError as error:
        raise LimitsError(f"what this machine can do cannot be measured: {error}") from error
    _tell(threads, readings, places, console)
    return tuple(make_limits(number, reading) for number, reading in zip(threads, readings, strict=True))


def choose_threads(usable: int) -> tuple[int, ...]:
    """Return the usual numbers of threads: one, half of the usable cores, and all of them."""
    return tuple(sorted({1, (usable + 1) // 2, usable}))


def choose_kernels(features: Iterable[str]) -> tuple[str, ...]:
    """Return the kernels that a CPU with these features runs: all that compute, and both ways to read of the widest."""
    present = set(features)
    fit = [name for name, needs in KERNELS.items() if with_implied(needs) <= present]
    widest = next(name for name in fit if name.startswith("read-"))
    return (widest, widest + FRONTS, *(name for name in fit if not name.startswith("read-")))


def order_cpus(cores: Mapping[int, str]) -> tuple[int, ...]:
    """Return CPUs so that the first ones share as few cores as possible.

    Args:
        cores: the core of each CPU, by any name.
    """
    seen: dict[str, int] = {}
    ranks = {}
    for cpu in sorted(cores):
        ranks[cpu] = seen[cores[cpu]] = seen.get(cores[cpu], -1) + 1
    return tuple(sorted(ranks, key=lambda cpu: (ranks[cpu], cpu)))


def last_level_cache(cpus: Iterable[int], system: Path = _SYSTEM) -> int:
    """Return the bytes of all last-level caches that these CPUs have; 0 where the system does not say.

    Args:
        cpus: their numbers.
        system: the kernel's folder about CPUs.
    """
    found: dict[tuple[int, str], int] = {}
    for cpu in cpus:
        levels = {}
        for folder in sorted(system.glob(f"cpu{cpu}/cache/index*")):
            size = re.fullmatch(r"(\d+)([KMG]?)", _read(folder / "size"))
            level = _read(folder / "level")
            if size and level.isdecimal():
                shared = (int(level), _read(folder / "shared_cpu_list"))
                levels[shared] = int(size[1]) * _UNITS[size[2]]
        if levels:
            last = max(levels)
            found[last] = levels[last]
    return sum(found.values())


def choose_bytes(cache: int, memory: int) -> int:
    """Return how much memory is read: far more than the caches hold, and never more than half of what there is.

    Args:
        cache: bytes of the last-level caches.
        memory: bytes that may be used.
    """
    return min(max(_LEAST_BYTES, _TIMES_CACHE * cache), memory // 2)


def read_output(text: str) -> Reading:
    """Read what the program printed; lines that it cannot have meant are passed over."""
    best: dict[str, tuple[float, float]] = {}
    failures: dict[str, str] = {}
    size = bound = 0
    for row in text.splitlines():
        try:
            line = decode_json(row, _Line)
        except UnreadableError:
            continue
        if not line.kernel:
            size, bound = max(size, line.bytes), max(bound, line.bound)
        elif line.kernel.removesuffix(FRONTS) not in KERNELS:
            continue
        elif line.failed:
            failures[line.kernel] = line.failed
        elif line.work > 0 and line.seconds > 0 and math.isfinite(rate := line.work / line.seconds):
            best[line.kernel] = max(best.get(line.kernel, (0.0, 0.0)), (rate, line.ran))
    rates = {name: rate for name, (rate, _) in best.items()}
    return Reading(rates, failures, size, bound, min((ran for _, ran in best.values()), default=1.0))


def make_limits(threads: int, reading: Reading) -> Limits:
    """Return the limits with one number of threads: of each kind the best kernel.

    Raises:
        LimitsError: nothing was measured of a kind.
    """
    best = {}
    for kind in ("read", "int8", "f32"):
        rates = {name: rate for name, rate in reading.rates.items() if name.startswith(f"{kind}-")}
        if not rates:
            reasons = [f"{name}: {why}" for name, why in reading.failures.items() if name.startswith(f"{kind}-")]
            raise LimitsError(f"no {kind} kernel gave a figure: {'; '.join(reasons) or 'this CPU runs none of them'}")
        best[kind] = max(rates, key=lambda name: rates[name])
    computing = {name: rate for name, rate in reading.rates.items() if not name.startswith("read-")}
    return Limits(
        threads=threads,
        read=reading.rates[best["read"]],
        int8=reading.rates[best["int8"]],
        int8_kernel=best["int8"].removeprefix("int8-"),
        f32=reading.rates[best["f32"]],
        f32_kernel=best["f32"].removeprefix("f32-"),
        others={name.partition("-")[2]: rate for name, rate in computing.items() if name not in best.values()},
    )


def _run(
    program: Path,
    kernels: Sequence[str],
    threads: int,
    cpus: Sequence[int],
    seconds: float,
    windows: int,
    host: Host,
    count: Callable[[str], None],
) -> Reading:
    """Run the program with one number of threads.

    Raises:
        LimitsError: it cannot be run, or came to no good end.
    """
    used = tuple(cpus[:threads])
    memory = min(available_memory() or host.memory_bytes, host.memory_bytes)
    size = choose_bytes(last_level_cache(used), memory)
    words = (",".join(kernels), threads, ",".join(map(str, used)), seconds, windows, size)
    expected = len(kernels) * windows * (seconds + 0.1) + size / _SLOWEST_FILL
    done = process.run(
        [program, *map(str, words)],
        env=process.plain_environment(),
        timeout=_SPARE_SECONDS + 2 * expected,
        on_line=count,
        keep_lines=100_000,
    )
    if done.returncode != 0:
        raise LimitsError(
            f"the program that measures this machine {_explain(done)}", hint=f"delete {program} to have it made anew"
        )
    return read_output(done.output)


def _explain(done: process.Completed) -> str:
    if done.timed_out:
        return f"was ended after {done.seconds:.0f} s without a result"
    if done.returncode < 0:
        name = next((known.name for known in signal.Signals if known == -done.returncode), f"signal {-done.returncode}")
        return f"died by {name}"
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    return f"failed: {lines[-1][:300] if lines else f'exit code {done.returncode}'}"


def _tell(threads: Sequence[int], readings: Sequence[Reading], cpus: Sequence[int], console: Console) -> None:
    for number, reading in zip(threads, readings, strict=True):
        many = f"{number} thread{'s' if number > 1 else ''}"
        console.say(f"         {many} read {reading.bytes >> 20} MiB of memory again and again")
        if reading.bytes < 4 * last_level_cache(cpus[:number]):
            console.warn("there is too little memory to read far more than the caches hold: the figure may be theirs")
        if reading.bound < number:
            console.say(f"         only {reading.bound} of {many} could be bound to a CPU")
        if reading.ran < _DISTURBED:
            console.warn(
                f"{many}: something else took up to {1 - reading.ran:.0%} of the CPU time even in the best windows: "
                "this machine can do more"
            )
    for name, reason in {name: why for reading in readings for name, why in reading.failures.items()}.items():
        console.say(f"         {name} is not measured: {reason}")


def _core_of(cpu: int) -> str:
    """Return what names the core of a CPU: the list of its hardware threads."""
    topology = _SYSTEM / f"cpu{cpu}" / "topology"
    return _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list") or str(cpu)


def _read(path: Path) -> str:
    try:
        return read_text(path).strip()
    except UnreadableError:
        return ""
