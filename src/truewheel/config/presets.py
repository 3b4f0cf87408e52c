"""The table of a preset: HOW an engine is run, for one machine and one model; loader and writer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from truewheel.carried import preset_template as vocabulary
from truewheel.config.load import decode_file, find_file
from truewheel.config.tables import TomlTable
from truewheel.decoding import decode_json
from truewheel.files import write_file

Settings = dict[str, Any]
"""How an engine is run, by the engines' own names."""
Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Fingerprint = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?$", description="16 hexadecimal digits")]

_INLINE = ("machine", "model", "prefill", "decode", "first", "peak")
_NO_SCHEMA = "`truewheel schema preset`"


class PresetMachine(TomlTable, frozen=True, kw_only=True):
    """The machine that a preset is for.

    Attributes:
        cpu: the CPU's name.
        cores: usable cores, hardware threads counted.
        memory: bytes of memory.
    """

    cpu: str = ""
    cores: Count | None = None
    memory: Count | None = None


class PresetModel(TomlTable, frozen=True, kw_only=True):
    """The model that a preset is for.

    Attributes:
        name: as it was asked for.
        architecture: of the GGUF header.
        quantization: of the GGUF header, e.g. `Q4_K_M`.
        parameters: number of weights.
        fingerprint: hash of the file's size, its first 64 KiB and its last, by which an engine finds the preset.
    """

    name: str = ""
    architecture: str = ""
    quantization: str = ""
    parameters: Count | None = None
    fingerprint: Fingerprint = ""


class Purpose(TomlTable, frozen=True, kw_only=True):
    """What a preset is for; what is left out may be any.

    Attributes:
        machine: which machine: `cpu`, `cores`, `memory` (bytes).
        model: which model: `name`, `architecture`, `quantization`, `parameters`, `fingerprint`.
        engine: project name of the engine, e.g. `llama-cpp-python`.
        version: of the engine.
        goal: what it was made best at.
    """

    machine: PresetMachine | None = None
    model: PresetModel | None = None
    engine: str = ""
    version: str = ""
    goal: Literal["latency", "decode", "prefill", "memory"] | None = None


def _type_of(setting: vocabulary.Setting) -> Any:
    """Return the type of a setting that may be left out."""
    if setting.words:
        return Literal[tuple(setting.words)] | None
    if setting.bounds is None:
        return bool | None
    number = Annotated[int, Meta(ge=setting.bounds[0], le=setting.bounds[1])]
    return (Annotated[tuple[number, ...], Meta(min_length=1)] if setting.many else number) | None


_Vocabulary: Any = msgspec.defstruct(
    "_Vocabulary",
    [(name, _type_of(setting), None) for name, setting in vocabulary.SETTINGS.items()],
    bases=(TomlTable,),
    frozen=True,
    kw_only=True,
    rename="lower",
)


class RunSettings(_Vocabulary):  # type: ignore[misc]  # made from the table
    """How the engine is run, in its own terms; what is left out is left to it."""

    def __post_init__(self) -> None:
        vocabulary.check_settings(self.chosen())

    def chosen(self) -> dict[str, Any]:
        """Return what is set, by name, as JSON and TOML have it."""
        settings = decode_json(msgspec.json.encode(self), dict[str, Any])
        return {name: value for name, value in settings.items() if value is not None}


_MEANINGS = "".join(f"\n        {name}: {setting.text}." for name, setting in vocabulary.SETTINGS.items())
RunSettings.__doc__ = f"{RunSettings.__doc__}\n\n    Attributes:{_MEANINGS}\n    "


class Measured(TomlTable, frozen=True, kw_only=True):
    """One figure, and what it is against the engine's defaults.

    Attributes:
        value: median of all runs.
        ratio: against the defaults; above 1 is better.
        low: lower end of the ratio's 95 % interval.
        high: upper end of it.
    """

    value: Amount
    ratio: Amount | None = None
    low: Amount | None = None
    high: Amount | None = None

    def __post_init__(self) -> None:
        known = [end for end in (self.low, self.ratio, self.high) if end is not None]
        if len(known) not in {0, 3} or known != sorted(known):
            raise ValueError("ratio, low and high are given together, the ratio between the other two")


class PresetFigures(TomlTable, frozen=True, kw_only=True):
    """What was measured with a preset; each is a table of `value`, `ratio`, `low` and `high`.

    Attributes:
        prefill: tokens/s of a prompt.
        decode: tokens/s of an answer.
        first: seconds to the first token.
        peak: bytes of memory at most.
    """

    prefill: Measured | None = None
    decode: Measured | None = None
    first: Measured | None = None
    peak: Measured | None = None


class RunnerUp(TomlTable, frozen=True, kw_only=True):
    """The next best that was found.

    Attributes:
        settings: as above.
        figures: as above.
    """

    settings: RunSettings
    figures: PresetFigures | None = None


class PresetEvidence(TomlTable, frozen=True, kw_only=True):
    """Where a preset comes from.

    Attributes:
        measured: whether it was measured on the machine that it is for.
        how: one sentence; of a preset that was not measured, what it rests on.
        when: UTC, ISO 8601.
        rounds: how often the last comparison was run.
        noise_floor: how far the defaults were from themselves in the same rounds, e.g. 0.021 for 2.1 %.
        steal: part of the CPU time that the host took away, 0 to 1.
        divergence: mean KL divergence of the answers from the defaults', nats; left out where nothing can change them.
        trials: how many settings were tried.
        seconds: how long the search took.
    """

    measured: bool
    how: str = ""
    when: str = ""
    rounds: Count | None = None
    noise_floor: Amount | None = None
    steal: Share | None = None
    divergence: Amount | None = None
    trials: Count | None = None
    seconds: Amount | None = None

    def __post_init__(self) -> None:
        if not self.measured and not self.how:
            raise ValueError("a preset that was not measured says in `how` what it rests on")


class Preset(TomlTable, frozen=True, kw_only=True):
    """HOW an engine is run: one machine, one model.

    Attributes:
        schema: version of this format.
        purpose: what it is for.
        settings: how the engine is run.
        figures: what was measured with it, which `evidence` must then say.
        runner_up: the next best.
        evidence: where it comes from.
    """

    schema: Literal[1]
    purpose: Purpose = msgspec.field(name="for")
    settings: RunSettings
    figures: PresetFigures | None = None
    runner_up: RunnerUp | None = None
    evidence: PresetEvidence | None = None

    def __post_init__(self) -> None:
        if self.figures is not None and not (self.evidence and self.evidence.measured):
            raise ValueError("there are figures, and no evidence.measured = true: only what was measured has figures")

    def chosen(self) -> dict[str, Any]:
        """Return the settings that are set, by name."""
        return self.settings.chosen()


def load_preset(name: str) -> Preset:
    """Load a preset by name, or by the path of a TOML file.

    Raises:
        LoadError: there is none, or it does not follow the format.
    """
    return decode_file(find_file(name, "presets"), Preset, _NO_SCHEMA)


def make_settings(settings: Mapping[str, Any]) -> RunSettings:
    """Return settings that were put together in code.

    Raises:
        ValueError: one is unknown, or cannot be.
    """
    return msgspec.convert(dict(settings), RunSettings)


def write_preset(path: Path, preset: Preset) -> None:
    """Write a preset as TOML, atomically; the same preset gives the same bytes.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: the preset does not follow the format.
    """
    write_file(path, to_toml(preset, path.name).encode())


def to_toml(preset: Preset, name: str) -> str:
    """Return a preset as the text of its file.

    Args:
        preset: the preset.
        name: what the file is called, for the comment that says how to use it.

    Raises:
        ValueError: it does not follow the format, which nothing else has looked at where it was made in code.
    """
    sound = msgspec.convert(msgspec.to_builtins(preset), Preset)
    return "\n".join([*_head(sound, name), *_lines(msgspec.to_builtins(sound), ())]) + "\n"


def _head(preset: Preset, name: str) -> Iterator[str]:
    model, machine = preset.purpose.model, preset.purpose.machine
    engine = f"{preset.purpose.engine} {preset.purpose.version}".strip() or "an engine"
    where = f" on {machine.cpu}" if machine and machine.cpu else ""
    what = f" with {model.name}" if model and model.name else ""
    for line in (
        f"A preset: how {engine} is run{what}{where}. `truewheel schema preset` describes every key.",
        "Use it in one line, with either engine:",
        f'    from llama_cpp.truewheel_preset import load; llama = load("model.gguf", "{name}")',
        f'    from llama_rs.truewheel_preset import load; llama = load("model.gguf", "{name}")',
    ):
        # What a model or a file is called must not end the comment.
        yield "# " + "".join(character if character.isprintable() else "?" for character in line)


def _lines(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table: its values, then the tables in it; what is None or empty text is left out."""
    inner = {}
    for key, value in table.items():
        if value is None or value == "":
            continue
        if isinstance(value, dict) and key not in _INLINE:
            inner[key] = value
        else:
            yield f"{key} = {_value(value)}"
    for key, value in inner.items():
        here = (*above, key)
        yield from ("", f"[{'.'.join(here)}]")
        yield from _lines(value, here)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ((key, one) for key, one in value.items() if one is not None and one != "")
        inside = ", ".join(f"{key} = {_value(one)}" for key, one in pairs)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for one character that TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(one) for one in value)}]"
    return str(value).lower()
