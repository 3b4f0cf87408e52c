"""What a benchmark shows, as words and rounded figures: shared by its terminal text, its Markdown and its page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from truewheel.measure.result import Benchmark, Interval, Machine, ModelFacts, Subject
from truewheel.pages.document import Style
from truewheel.text import number_words, time_words

LIMIT_WORDS = {"read": "memory", "int8": "int8", "f32": "f32"}
CLAIMS: dict[str, Style] = {"faster": "good", "smaller": "good", "slower": "bad", "larger": "bad"}
"""Verdicts that claim something, and whether that is good."""

_LOW_LEVEL = re.compile(r"(pp|tg)([0-9]{1,9})(?:@([0-9]{1,9}))?")
_KEYS = {
    "answer-prefill": "prompt of an answer",
    "answer-decode": "text of an answer",
    "answer-first": "first piece of text of an answer",
    "answer-whole": "whole answer",
    "wheel": "file of the wheel",
    "installed": "files that are installed",
    "import": "import of the package",
    "load": "load of the model",
    "peak": "peak memory",
}
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_SIGNIFICANT = 4
_MOST_DECIMALS = 6
_WIDE_RATIO = 100


class Key(NamedTuple):
    """What a low-level metric measures.

    Attributes:
        phase: `prefill` or `decode`.
        tokens: how many were timed.
        depth: how many were in the context before.
    """

    phase: str
    tokens: int
    depth: int


def parse_key(key: str) -> Key | None:
    """Return what `pp512` or `tg64@2048` measures; None for what is no low-level metric."""
    match = _LOW_LEVEL.fullmatch(key)
    if match is None:
        return None
    return Key("prefill" if match[1] == "pp" else "decode", int(match[2]), int(match[3] or 0))


def key_words(key: str) -> str:
    """Say what a metric measures; a metric that is not known is its own name."""
    parsed = parse_key(key)
    if parsed is None:
        return _KEYS.get(key, key)
    depth = f" at depth {parsed.depth}" if parsed.depth else ""
    return f"{parsed.phase} of {number_words(parsed.tokens, 'token')}{depth}"


def round_number(value: float, size: float | None = None) -> str:
    """Return a figure with three or four significant digits, or with as many decimals as one of another size gets."""
    size = abs(value if size is None else size)
    if not math.isfinite(value) or not math.isfinite(size):
        return "not finite"
    decimals = _SIGNIFICANT - 1 - math.floor(math.log10(size)) if size else 0
    most = _MOST_DECIMALS if size < 1 else 2
    return f"{value:.{min(max(decimals, 0), most)}f}"


def unit_for(largest: float, unit: str) -> tuple[float, str]:
    """Return what figures are divided by and shown in, when the largest of them is so large."""
    if unit == "s":
        return (1.0, "s") if largest >= 1 else (1e-3, "ms")
    if unit == "bytes":
        return next(((float(size), name) for size, name in _BYTES if largest >= size), (1.0, "bytes"))
    return 1.0, unit


def interval_words(interval: Interval, scale: float = 1.0) -> tuple[str, str]:
    """Return a median and its interval, the latter empty where it has no width."""
    median = interval.median / scale
    low, high = (round_number(end / scale, median) for end in (interval.low, interval.high))
    value = round_number(median)
    return value, "" if low == high == value else f"[{low}, {high}]"


def ratio_words(interval: Interval) -> tuple[str, str]:
    """Return a ratio and its interval with three decimals, so that ratios near 1 can be told apart."""
    decimals = 3 if abs(interval.median) < _WIDE_RATIO else 0
    value, low, high = (f"{end:.{decimals}f}" for end in (interval.median, interval.low, interval.high))
    return value, "" if low == high == value else f"[{low}, {high}]"


def percent(part: float) -> str:
    """Return a part of 1 as percent."""
    return f"{100 * part:.3g} %" if math.isfinite(part) else "not finite"


def rate_words(value: float, unit: str) -> str:
    """Return a rate with a decimal prefix: `20.1 GB/s`, `1.52 Top/s`."""
    scale, prefix = next(((scale, prefix) for scale, prefix in _PREFIXES if value >= scale), (1.0, ""))
    return f"{value / scale:.3g} {prefix}{unit}"


def settings_words(settings: Mapping[str, object], empty: str = "the engine's own defaults") -> str:
    """Return settings as `name=value`, in their order."""
    return ", ".join(f"{name}={_value_words(value)}" for name, value in settings.items()) or empty


def model_words(model: ModelFacts) -> str:
    """Say which model was run, in one line."""
    parts = [
        model.quantization,
        f"{rate_words(model.parameters, '').rstrip()} parameters",
        model.architecture,
        f"{model.size / 1e6:.1f} MB",
    ]
    words = f"{model.name} ({', '.join(part for part in parts if part)})"
    if model.synthetic:
        words += "; its weights are random: its speed is the real model's, its text is not"
    return words


def machine_words(machine: Machine) -> str:
    """Say on which machine it was run, in one line."""
    huge = f"transparent huge pages: {machine.huge_pages}" if machine.huge_pages else ""
    parts = (machine.cpu, machine.level, number_words(machine.cores, "usable core"), machine.system, huge)
    return ", ".join(part for part in parts if part)


def quiet_words(benchmark: Benchmark) -> str:
    """Say how quiet the machine was."""
    machine = benchmark.machine
    words = (
        f"load average {machine.load_before:.2f} before and {machine.load_after:.2f} after; the host took "
        f"{percent(machine.steal)} of the CPU time away"
    )
    if benchmark.repeated:
        words += f"; {number_words(benchmark.repeated, 'repetition')} measured again because of that"
    return words


def floor_intro(benchmark: Benchmark) -> str:
    """Say what the noise floor is."""
    if not benchmark.floors:
        return f"No noise floor was measured.{_cut_words(benchmark)}"
    return (
        f"{benchmark.reference} against itself, both run as if they were two, in the same "
        f"{number_words(benchmark.rounds, 'round')}. Above {percent(benchmark.worst_floor)} there is no verdict."
        f"{_cut_words(benchmark)}"
    )


def _cut_words(benchmark: Benchmark) -> str:
    """Say what was measured less often because time was short: nothing, or one sentence behind a space."""
    if not benchmark.cut:
        return ""
    groups: dict[str, list[str]] = {}
    for each in benchmark.cut:
        what = f"{each.done} instead of {number_words(each.asked, 'repetition')} of" if each.done else "without"
        groups.setdefault(what, []).append(each.key)
    parts = "; ".join(f"{what} {', '.join(keys)}" for what, keys in sorted(groups.items()))
    return f" Shortened to end in {time_words(benchmark.budget)}: {parts}; --thorough measures all."


def loud_words(benchmark: Benchmark) -> list[str]:
    """Say which metrics have no verdict because their noise floor is too high: nothing, or one sentence."""
    loud = [f"{floor.key} ({percent(floor.floor)})" for floor in benchmark.floors if not floor.quiet]
    if not loud:
        return []
    words = (
        f"No verdict is given for {', '.join(loud)}: {benchmark.reference} against itself came out that far apart in "
        f"the same rounds, and above {percent(benchmark.worst_floor)} a difference cannot be told from noise."
    )
    return [words]


def reading_words(benchmark: Benchmark) -> str:
    """Say how the tables are to be read."""
    shares = any(figure.share is not None for subject in benchmark.subjects for figure in subject.figures)
    words = (
        f"Values are medians over the processes, with 95 % bootstrap intervals in brackets. Ratios are against "
        f"{benchmark.reference}, turned so that above 1 is better."
    )
    return words + (" The last column is the share of what this machine can do at most." if shares else "")


def subject_facts(subject: Subject) -> list[tuple[str, str]]:
    """Return what was run and how, as label and text."""
    rows = [
        ("asked for", subject.asked if subject.asked != subject.label else ""),
        ("engine", f"{subject.engine} {subject.version}".strip()),
        ("from", "the package index" if subject.peer else ""),
        ("settings", settings_words(subject.settings)),
        ("took", settings_words(subject.took, "")),
        *(("note", note) for note in subject.notes),
        ("failed", subject.failure),
    ]
    return [(label, text) for label, text in rows if text]


def _value_words(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not said" if value is None else str(value)
