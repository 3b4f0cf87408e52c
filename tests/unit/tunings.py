"""A search for settings that ended, with figures as they come out of one."""

from __future__ import annotations

from truewheel.measure.result import Benchmark, Figure, Floor, Interval, Machine, ModelFacts, Subject, Trial, Tuning
from truewheel.tune.preset import settle

MACHINE = Machine(
    cpu="Imagined CPU 3000", level="x86-64-v3", cores=2, system="Linux", huge_pages="madvise", load_before=0.1,
    load_after=0.2, steal=0.01,
)  # fmt: skip
MODEL = ModelFacts(
    name="m.gguf", architecture="llama", quantization="Q4_0", parameters=10, size=5, synthetic=False, cost=None
)


def figure(key, unit, value, ratio=None):
    return Figure(key=key, unit=unit, value=Interval(value, value, value), ratio=ratio)


def subject(name, settings, decode):
    figures = (
        figure("pp256", "tokens/s", 500.0, Interval(1.1, 0.9, 1.3)),
        figure("tg32@512", "tokens/s", 80.0, decode),
        figure("answer-whole", "tokens/s", 20.0, Interval(1.2, 1.1, 1.3)),
        figure("answer-first", "s", 0.5, Interval(1.0, 0.9, 1.1)),
        figure("peak", "bytes", 1000.0, Interval(0.99, 0.98, 0.995)),
    )
    return Subject(label=f"llama-rs native @{name}", asked="x", engine="llama_rs", settings=settings, figures=figures)


def tuning(decode=None, goal="decode", floor=0.0204):
    decode = decode or Interval(1.5, 1.4, 1.6)
    first, second = {"n_threads": 2, "cpus": [0, 1]}, {"n_threads": 3}
    trials = tuple(
        Trial(number=number, settings=settings, rung=2, prefill=1.0, decode=1.0, first=1.0, peak=1, score=1.0)
        for number, settings in enumerate(({}, first, second), 1)
    )
    final = Benchmark(
        schema=1, when="2026-01-01T00:00:00+00:00", machine=MACHINE, model=MODEL, limits=(), rounds=4,
        floors=(Floor(key="tg32@512", ratio=Interval(1.0, 0.98, 1.02), floor=floor, quiet=True),), worst_floor=0.03,
        reference="llama-rs native @defaults",
        subjects=(
            subject("defaults", {}, None),
            subject("trial-2", first, decode),
            subject("trial-3", second, Interval(1.3, 1.02, 1.4)),
        ),
    )  # fmt: skip
    winner, runner_up = settle(final, goal)
    return Tuning(
        schema=1, when="2026-01-01T00:00:00+00:00", goal=goal, machine=MACHINE, model=MODEL, engine="llama-rs 0.1.0",
        seconds=300.0, budget=300.0, trials=trials, winner=winner, runner_up=runner_up, final=final,
        divergence=0.0004 if winner != 1 else None,
    )  # fmt: skip
