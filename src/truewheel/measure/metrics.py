"""What is measured: the work that a child is given, and how its events become figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from truewheel.child.work import Work, Workload
from truewheel.decoding import UnreadableError, convert
from truewheel.measure.result import Cost, Limits


def make_workload(
    prefill: Sequence[int], decode: Sequence[int], depths: Sequence[int], answer: int, prompt: int, repeat: int
) -> Workload:
    """Return the work for these lengths; deep contexts come last and are measured once a process.

    Args:
        prefill: numbers of tokens that are evaluated at once.
        decode: numbers of tokens that are generated one after another.
        depths: how full the context is before that; 0 is an empty one.
        answer: tokens of an answer end to end; 0 for none.
        prompt: tokens of its prompt.
        repeat: how often each is measured in one process.
    """
    work = [Work(f"pp{count}", "prefill", count, 0, repeat if count < _LONG else 1) for count in prefill]
    for depth in sorted(depths):
        name = f"@{depth}" if depth else ""
        work += [Work(f"tg{count}{name}", "decode", count, depth, repeat) for count in decode]
    if answer:
        work.insert(0, Work("answer", "answer", answer, 0, repeat))
    return Workload(tuple(work), prompt)


_LONG = 1024


class Metric(NamedTuple):
    """How a figure is read.

    Attributes:
        key: see `result.Figure`.
        unit: `tokens/s`, `s` or `bytes`.
        words: what a better and a worse one is called.
    """

    key: str
    unit: str
    words: tuple[str, str]

    @property
    def lower_is_better(self) -> bool:
        """Return whether less of it is better."""
        return self.unit != "tokens/s"


_SPEED = ("faster", "slower")
_SIZE = ("smaller", "larger")


def metrics_of(plan: Workload) -> tuple[Metric, ...]:
    """Return the metrics that a plan's work gives, in the order of the tables."""
    found = [Metric(item.id, "tokens/s", _SPEED) for item in plan.work if item.kind != "answer"]
    if any(item.kind == "answer" for item in plan.work):
        found += [Metric(f"answer-{name}", "tokens/s", _SPEED) for name in ("prefill", "decode", "whole")]
        found.append(Metric("answer-first", "s", _SPEED))
    found += [Metric("load", "s", _SPEED), Metric("import", "s", _SPEED)]
    return (*found, *(Metric(key, "bytes", _SIZE) for key in ("peak", "wheel", "installed")))


class _Answer(msgspec.Struct):
    """What a child says of one answer; it may be lying, but every type is looked at."""

    seconds: float
    prompt: int
    count: int
    text: str = ""
    first: float | None = None


def read_event(item: Work, event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the metrics of one `measure` event with their values.

    Raises:
        ValueError: it is not what the protocol says.
    """
    try:
        answer = convert({"prompt": 0, **event}, _Answer)
    except UnreadableError as error:
        raise ValueError(str(error)) from error
    if answer.seconds <= 0 or answer.count < 0:
        raise ValueError(f"{item.id} took {answer.seconds} s for {answer.count} tokens")
    if item.kind != "answer":
        yield item.id, answer.count / answer.seconds
        return
    if answer.count:
        yield "answer-whole", answer.count / answer.seconds
    if answer.first is not None and 0 < answer.first <= answer.seconds:
        yield "answer-first", answer.first
        yield "answer-prefill", answer.prompt / answer.first
        if answer.count > 1 and answer.seconds > answer.first:
            yield "answer-decode", (answer.count - 1) / (answer.seconds - answer.first)


def share_of_limit(
    key: str, value: float, plan: Workload, cost: Cost | None, limits: Limits | None
) -> tuple[float, str]:
    """Return which part of the machine's limit a speed reached, and which limit; 0 where there is none.

    Generating reads every weight and the keys and values of all positions once a token: bytes over bandwidth. A prompt
    multiplies each token with every weight: operations over the peak of the arithmetic that the weights are for.

    Args:
        key: the metric.
        value: tokens a second.
        plan: the work.
        cost: what the model costs.
        limits: what the machine can do.
    """
    if cost is None or limits is None:
        return 0.0, ""
    item = next((item for item in plan.work if item.id == key), None)
    if item is None:
        answer = next((item for item in plan.work if item.kind == "answer"), None)
        if answer is None or key not in ("answer-prefill", "answer-decode"):
            return 0.0, ""
        decode = key == "answer-decode"
        item = Work(key, "decode" if decode else "prefill", answer.tokens if decode else plan.prompt)
        item = msgspec.structs.replace(item, depth=plan.prompt if decode else 0)
    middle = item.depth + item.tokens / 2
    if item.kind == "decode":
        return value * (cost.weights + cost.cache * middle) / limits.read, "read"
    peak, name = (limits.int8, "int8") if cost.integer else (limits.f32, "f32")
    return value * (cost.operations + cost.attention * middle) / peak, name
