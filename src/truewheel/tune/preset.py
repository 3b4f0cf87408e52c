"""Make a preset of what a search found."""

from __future__ import annotations

import re
from pathlib import Path

from truewheel.carried.found import Wanted, machine_words, preset_folder, preset_name
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
    make_settings,
    write_preset,
)
from truewheel.cpu.host import Host
from truewheel.errors import StoreError
from truewheel.measure.result import Benchmark, Figure, Subject, Tuning

_HOW = "defaults, winner and runner-up in turn, in fresh processes each round; ratios against the defaults beside them"
_PREFIXES = {"decode": "tg", "prefill": "pp", "latency": "answer-whole", "memory": "peak"}
DEFAULTS = 1
"""Number of the trial that is the engine's own defaults."""
_NOTHING = "nothing that was tried was better than the engine's own settings beyond what was measured"


def default_target(host: Host, model: str, goal: str) -> Path:
    """Return where a preset is written when nobody says: `presets/MACHINE-MODEL-GOAL.toml`."""
    folder = (checkout() or Path.cwd()) / "presets"
    name = machine_words(host.model, host.usable_cores)
    stem = "-".join(re.findall(r"[a-z0-9.]+", model.lower().removesuffix(".gguf")))
    return folder / f"{name}-{stem}-{goal}.toml"


def found_target(host: Host, preset: Preset) -> Path:
    """Return where the engine finds a preset by itself, on this machine and with this model.

    Raises:
        StoreError: this person has no folder for settings.
    """
    folder, model = preset_folder(), preset.purpose.model
    if not folder:
        raise StoreError("there is no folder for presets that are found", hint="set HOME or XDG_CONFIG_HOME")
    fingerprint = model.fingerprint if model else ""
    return Path(folder) / preset_name(Wanted(host.model, host.usable_cores, fingerprint, preset.purpose.engine))


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


def make_preset(tuning: Tuning, host: Host, fingerprint: str = "") -> Preset:
    """Return the preset: the winner's settings; none at all where the defaults won.

    Args:
        tuning: what was found.
        host: this machine.
        fingerprint: of the model's file.
    """
    subjects = _numbered(tuning.final)
    winner = subjects[tuning.winner] if tuning.winner != DEFAULTS else None
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
                fingerprint=fingerprint,
            ),
            engine=project,
            version=version,
            goal=tuning.goal,
        ),
        settings=make_settings(winner.settings if winner else {}),
        figures=_figures(winner) if winner else None,
        runner_up=_runner_up(subjects.get(tuning.runner_up)),
        evidence=PresetEvidence(
            measured=True,
            how=_HOW if winner else _NOTHING,
            when=tuning.when,
            rounds=tuning.final.rounds,
            noise_floor=_floor(tuning.final, tuning.goal),
            steal=round(min(1.0, max(0.0, tuning.machine.steal)), 4),
            divergence=tuning.divergence,
            trials=len(tuning.trials),
            seconds=round(tuning.seconds, 1),
        ),
    )


def name_trial(number: int) -> str:
    """Return what a trial is called in the last comparison."""
    return "defaults" if number == DEFAULTS else f"trial-{number}"


def settle(final: Benchmark, goal: str) -> tuple[int, int]:
    """Return the numbers of the trial that won the last comparison, and of the next best; 0 where there is none.

    The best for the goal wins when its interval against the defaults lies above 1 by more than the noise floor; else
    the defaults do.

    Args:
        final: the defaults and what was best in the search, measured in turn.
        goal: `decode`, `prefill`, `latency` or `memory`.
    """
    floor = _floor(final, goal) or 0.0
    ratios = {}
    for number, subject in _numbered(final).items():
        figure = _find(subject, _PREFIXES[goal])
        if number != DEFAULTS and figure is not None and figure.ratio is not None:
            ratios[number] = figure.ratio
    order = sorted(ratios, key=lambda number: -ratios[number].median)
    better = [number for number in order if ratios[number].low > 1 + floor]
    winner = better[0] if better else DEFAULTS
    return winner, next((number for number in order if number != winner), 0)


def _numbered(final: Benchmark) -> dict[int, Subject]:
    names = {subject.label.rpartition("@")[2]: subject for subject in final.subjects}
    return {
        DEFAULTS if name == name_trial(DEFAULTS) else int(name.removeprefix("trial-")): subject
        for name, subject in names.items()
    }


def _find(subject: Subject, prefix: str) -> Figure | None:
    return next((figure for figure in subject.figures if figure.key.startswith(prefix)), None)


def _floor(final: Benchmark, goal: str) -> float | None:
    return next((round(floor.floor, 4) for floor in final.floors if floor.key.startswith(_PREFIXES[goal])), None)


def _figures(subject: Subject) -> PresetFigures:
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


def _runner_up(subject: Subject | None) -> RunnerUp | None:
    if subject is None:
        return None
    return RunnerUp(settings=make_settings(subject.settings), figures=_figures(subject))
