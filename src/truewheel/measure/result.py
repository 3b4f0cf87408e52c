"""What a benchmark showed; the JSON of `truewheel bench --json`, and what its accounts are written from."""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = 1


class Interval(msgspec.Struct, frozen=True):
    """A median and its 95 % bootstrap interval.

    Attributes:
        median: of the values.
        low: lower end.
        high: upper end.
    """

    median: float
    low: float
    high: float


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What this machine did at most with one number of threads, measured in the same run.

    Attributes:
        threads: how many worked at once.
        read: bytes a second that were read from memory.
        int8: 8-bit integer operations a second (a multiplication and an addition are two), the best kernel.
        int8_kernel: which: `amx`, `avx512_vnni`, `avx_vnni`, `avx2`, `ssse3`.
        f32: 32-bit floating-point operations a second.
        f32_kernel: which: `avx512`, `fma`, `sse2`.
        others: operations a second of the other kernels of this CPU, by name.
    """

    threads: int
    read: float
    int8: float
    int8_kernel: str
    f32: float
    f32_kernel: str
    others: dict[str, float] = {}


class Cost(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a model costs at least, by its file's header.

    Attributes:
        weights: bytes of weights that are read for one token.
        cache: bytes of keys and values (16-bit) that are read for one token, a position of the context.
        operations: multiplications and additions of one token's matrices.
        attention: multiplications and additions of one token with one position of the context.
        integer: whether most of the weights are quantized, so that 8-bit integers do the work.
    """

    weights: int
    cache: int
    operations: int
    attention: int
    integer: bool


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The model that was run.

    Attributes:
        name: as it was asked for.
        architecture: of the GGUF header.
        quantization: of the GGUF header, e.g. `Q4_K_M`; empty where it does not say.
        parameters: number of weights.
        size: of the file, bytes.
        synthetic: whether its weights are random: its speed is the real model's, its text is not.
        cost: what it costs at least; None where the header does not say enough.
    """

    name: str
    architecture: str
    quantization: str
    parameters: int
    size: int
    synthetic: bool
    cost: Cost | None


class Machine(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The machine, and how quiet it was.

    Attributes:
        cpu: its name.
        level: x86-64 level.
        cores: usable cores.
        system: kernel and C library.
        huge_pages: the system's setting of transparent huge pages.
        load_before: load average of one minute when it began.
        load_after: and when it ended.
        steal: part of the CPU time of all runs that the host took away, 0 to 1.
    """

    cpu: str
    level: str
    cores: int
    system: str
    huge_pages: str
    load_before: float
    load_after: float
    steal: float


class Figure(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One figure of one subject.

    Attributes:
        key: what was measured: `pp512`, `tg64`, `tg64@2048`, `answer-prefill`, `answer-decode`, `answer-first`,
            `answer-whole`, `load`, `import`, `peak`, `wheel`, `installed`.
        unit: `tokens/s`, `s` or `bytes`.
        value: median over the processes and its interval; None where it could not be measured.
        reason: why it could not.
        ratio: against the reference, so that above 1 is better; None for the reference itself.
        verdict: `faster`, `slower`, `smaller`, `larger`, or `none` with the reason behind a colon.
        share: part of the machine's limit that it reached, 0 to 1; None where there is no limit to compare with.
        limit: which limit: `read`, `int8` or `f32`.
        samples: the processes' values, in the order of the runs.
    """

    key: str
    unit: str
    value: Interval | None = None
    reason: str = ""
    ratio: Interval | None = None
    verdict: str = ""
    share: float | None = None
    limit: str = ""
    samples: tuple[float, ...] = ()


class Subject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One that was measured.

    Attributes:
        label: what it is called in the tables; unique.
        asked: as it was named on the command line.
        engine: driver that ran it.
        version: of the package.
        settings: what it was run with, by the engines' names; what is not there was left to the engine.
        took: what the engine says that it took.
        notes: how it differs from the others: chat template, sampling, counting.
        failure: why nothing could be measured; empty when something was.
        text: beginning of its answer.
        figures: in the order of the metrics.
        peer: whether it came from the package index.
    """

    label: str
    asked: str
    engine: str
    version: str = ""
    settings: dict[str, bool | int | str | list[int]] = {}
    took: dict[str, bool | int | float | str | None] = {}
    notes: tuple[str, ...] = ()
    failure: str = ""
    text: str = ""
    figures: tuple[Figure, ...] = ()
    peer: bool = False


class Floor(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The noise floor of one metric: the reference against itself, in the same rounds.

    Attributes:
        key: the metric.
        ratio: A / A, both run as if they were two.
        floor: how far from 1 its interval reaches, e.g. 0.021 for 2.1 %.
        quiet: whether that is small enough for a verdict.
    """

    key: str
    ratio: Interval
    floor: float
    quiet: bool


class Cut(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Work that was measured less often than it was asked for, because time was short.

    Attributes:
        key: `pp512`, `tg64`, `tg64@2048` or `answer`.
        asked: repetitions that were asked for, over all rounds.
        done: repetitions that were measured; 0 where it was left out.
    """

    key: str
    asked: int
    done: int


class Benchmark(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One run of `truewheel bench`.

    Attributes:
        schema: version of this format.
        when: UTC, ISO 8601.
        machine: where.
        model: what was run.
        limits: one a number of threads; empty where they were not measured.
        limits_reason: why not.
        rounds: how often the whole order was run.
        floors: noise floor by metric; the first thing to read.
        worst_floor: the floor above which there is no verdict, e.g. 0.03.
        reference: label of the subject that the others are compared with.
        subjects: all, also those that failed.
        repeated: repetitions that were measured again because the host or other programs took the CPU meanwhile.
        budget: seconds that it was allowed to take; 0 where there was no such limit.
        cut: what was measured less often because of that.
    """

    schema: int
    when: str
    machine: Machine
    model: ModelFacts
    limits: tuple[Limits, ...]
    limits_reason: str = ""
    rounds: int
    floors: tuple[Floor, ...]
    worst_floor: float
    reference: str
    subjects: tuple[Subject, ...]
    repeated: int = 0
    budget: float = 0.0
    cut: tuple[Cut, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One setting that `tune` tried.

    Attributes:
        number: 1, 2, 3 …; the first is the engine's own defaults.
        settings: what was tried.
        rung: how far it came, from 1.
        prefill: tokens/s, median of all its runs; 0 where it died.
        decode: the same.
        first: seconds to the first token.
        peak: bytes.
        score: what it was ranked by, relative to the first trial; above 1 is better.
        dropped: why it went no further; empty for the finalists.
    """

    number: int
    settings: dict[str, bool | int | str | list[int]]
    rung: int
    prefill: float
    decode: float
    first: float
    peak: int
    score: float
    dropped: str = ""


class Tuning(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One run of `truewheel tune`.

    Attributes:
        schema: version of this format.
        when: UTC, ISO 8601.
        goal: `latency`, `decode`, `prefill` or `memory`.
        machine: where.
        model: for what.
        engine: which engine, with its version.
        seconds: how long it took.
        budget: how long it was allowed to take, seconds.
        trials: all, in the order in which they were tried.
        winner: number of the trial that won the last comparison; 1, the defaults, where nothing was better.
        runner_up: number of the next best; 0 where there is none.
        final: the last comparison: the defaults, and what was best in the search, interleaved.
        divergence: mean KL divergence of the winner's answers from the defaults', nats; None where nothing of it can
            change answers.
    """

    schema: int
    when: str
    goal: Literal["latency", "decode", "prefill", "memory"]
    machine: Machine
    model: ModelFacts
    engine: str
    seconds: float
    budget: float
    trials: tuple[Trial, ...]
    winner: int
    runner_up: int
    final: Benchmark
    divergence: float | None = None
