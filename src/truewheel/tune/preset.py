"""Make a preset of what a search found."""

from __future__ import annotations

import re
from pathlib import Path

from truewheel.bench.result import Benchmark, Figure, Subject, Trial, Tuning
from truewheel.config.locations import checkout
from truewheel.config.presets import (
    Measured,
    Preset,
    PresetEvidence,
    PresetFigures,
    PresetMachine,
    PresetModel,
    Purpose,
    RunnerUp,
    RunSettings,
    make_settings,
    write_preset,
)
from truewheel.cpu.host import Host
from truewheel.errors import StoreError

_HOW = (
    "defaults, winner and runner-up in turn, each run a fresh process; ratios against the defaults of the same rounds"
)
_NOTHING = "nothing that was tried was better than the engine's own settings beyond what was measured"


def default_target(host: Host, model: str, goal: str) -> Path:
    """Return where a preset is written when nobody says: `presets/MACHINE-MODEL-GOAL.toml`."""
    folder = (checkout() or Path.cwd()) / "presets"
    words = re.sub(r"\(r\)|\(tm\)|\bcpu\b|\bprocessor\b|@.*", " ", host.model.lower())
    name = "-".join([*re.findall(r"[a-z0-9]+", words), f"{host.usable_cores}-core"])
    stem = "-".join(re.findall(r"[a-z0-9.]+", model.lower().removesuffix(".gguf")))
    return folder / f"{name}-{stem}-{goal}.toml"


def write_found(path: Path, preset: Preset) -> None:
    """Write a preset into a folder that is made where it is missing.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_preset(path, preset)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}", hint="name another file") from error


def make_preset(tuning: Tuning, host: Host) -> Preset:
    """Return the preset: the winner's settings where it held in the last comparison, else none at all.

    Args:
        tuning: what was found.
        host: this machine.
    """
    subjects = {subject.label.rpartition("@")[2]: subject for subject in tuning.final.subjects} if tuning.final else {}
    winner = subjects.get("winner")
    holds = winner is not None and is_better(winner, tuning.goal)
    settings = _trial(tuning, tuning.winner).settings if holds else {}
    project, _, version = tuning.engine.partition(" ")
    model = tuning.model
    return Preset(
        schema=1,
        purpose=Purpose(
            machine=PresetMachine(cpu=host.model, cores=host.usable_cores, memory=host.memory_bytes),
            model=PresetModel(
                name=model.name,
                architecture=model.architecture,
                quantization=model.quantization,
                parameters=model.parameters,
            ),
            engine=project,
            version=version,
            goal=tuning.goal,
        ),
        settings=make_settings(settings),
        figures=_figures(winner, tuning.final) if holds and winner is not None else None,
        runner_up=_runner_up(tuning, subjects),
        evidence=PresetEvidence(
            measured=True,
            how=_HOW if holds else _NOTHING,
            when=tuning.when,
            rounds=tuning.final.rounds if tuning.final else None,
            noise_floor=_floor(tuning.final, tuning.goal),
            steal=round(min(1.0, max(0.0, tuning.machine.steal)), 4),
            divergence=tuning.divergence if holds else None,
            trials=len(tuning.trials),
            seconds=round(tuning.seconds, 1),
        ),
    )


def is_better(subject: Subject, goal: str) -> bool:
    """Tell whether the interval of a goal's ratio against the defaults lies above 1."""
    figure = _goal_figure(subject, goal)
    return figure is not None and figure.ratio is not None and figure.ratio.low > 1


def _trial(tuning: Tuning, number: int) -> Trial:
    return next(trial for trial in tuning.trials if trial.number == number)


def _find(subject: Subject, prefix: str) -> Figure | None:
    return next((figure for figure in subject.figures if figure.key.startswith(prefix)), None)


_PREFIXES = {"decode": "tg", "prefill": "pp", "latency": "answer-whole", "memory": "peak"}


def _goal_figure(subject: Subject, goal: str) -> Figure | None:
    return _find(subject, _PREFIXES[goal])


def _floor(final: Benchmark | None, goal: str) -> float | None:
    floors = final.floors if final else ()
    return next((round(floor.floor, 4) for floor in floors if floor.key.startswith(_PREFIXES[goal])), None)


def _figures(subject: Subject, final: Benchmark | None) -> PresetFigures | None:
    if final is None:
        return None
    found = {
        name: _measured(_find(subject, prefix))
        for name, prefix in (("prefill", "pp"), ("decode", "tg"), ("first", "answer-first"), ("peak", "peak"))
    }
    return PresetFigures(**found)


def _measured(figure: Figure | None) -> Measured | None:
    if figure is None or figure.value is None:
        return None
    value = float(f"{figure.value.median:.6g}")
    if figure.ratio is None:
        return Measured(value=value)
    low, ratio, high = (round(each, 4) for each in (figure.ratio.low, figure.ratio.median, figure.ratio.high))
    return Measured(value=value, ratio=ratio, low=low, high=high)


def _runner_up(tuning: Tuning, subjects: dict[str, Subject]) -> RunnerUp | None:
    subject = subjects.get("runner-up")
    if subject is None:
        return None
    settings: RunSettings = make_settings(subject.settings)
    return RunnerUp(settings=settings, figures=_figures(subject, tuning.final))
