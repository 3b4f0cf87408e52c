"""The logits that a wheel's engine gives for a fixed text, each run in a locked-down child of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from truewheel import process
from truewheel.child import ending
from truewheel.child.confinement import STRANGERS, Required
from truewheel.child.environment import InstallError, fresh_environment
from truewheel.child.events import Said, Script, read_regular, read_said
from truewheel.child.installed import Environment
from truewheel.child.limits import ANSWER
from truewheel.child.registry import EngineEntry
from truewheel.child.request import LogitsRequest, drive, place
from truewheel.child.start import ONE_BLAS_THREAD, Confined, scratch_in
from truewheel.models.models import Model
from truewheel.wheel.archive import WheelFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = ("import", "load", "tokenize", "logits", "greedy", "backend")

POSITIONS = 128
"""Tokens of the text that are looked at; half of it is left where a vocabulary has a quarter of a million entries."""

GREEDY_TOKENS = 32

TEXT = """\
The lighthouse keeper wrote down the weather every evening: wind from the north-west, 7 knots, pressure 1013.2 hPa, \
visibility good. In 1987 the lamp was replaced by an electric one, and nobody climbed the 214 steps any more. "Why do \
you stay?" asked the boy. "Because somebody has to count the ships," she said, and laughed.

def mean(values):
    return sum(values) / len(values)

Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. La mer est calme ce soir; il n'y a pas un bruit. \
Water boils at 100 °C at sea level, at about 71 °C on the top of the highest mountain, because there the air is thin.
"""
"""What every variant reads: prose, figures, code and other languages; more tokens than are looked at."""

_FLOAT_BYTES = 4
_MOST_WORDS = 400

_Token = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]
_Margin = Annotated[float, msgspec.Meta(ge=0)]


class _Told(msgspec.Struct):
    """What a child says of its run; it may be lying, but not at any length."""

    vocabulary: Annotated[int, msgspec.Meta(ge=2, le=1 << 24)]
    text: Annotated[tuple[_Token, ...], msgspec.Meta(min_length=1, max_length=POSITIONS)]
    tokens: Annotated[tuple[_Token, ...], msgspec.Meta(min_length=GREEDY_TOKENS, max_length=GREEDY_TOKENS)]
    margins: Annotated[tuple[_Margin, ...], msgspec.Meta(min_length=GREEDY_TOKENS, max_length=GREEDY_TOKENS)]
    backend: Annotated[str, msgspec.Meta(max_length=100)] = ""

    def __post_init__(self) -> None:
        if max(self.text + self.tokens) >= self.vocabulary:
            raise ValueError("a token is not in the vocabulary")


class LogitsRecord(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What one variant of an engine answered, but for the logits themselves.

    Attributes:
        variant: its label.
        backend: the backend that it says it took; empty where it has no choice.
        text: tokens of the fixed text.
        tokens: greedy continuation of the model's prompt.
        margins: distance of the two best logits at each of those tokens.
        positions: rows of the logits.
        vocabulary: columns of the logits.
        failure: why there are none, in one line; empty when there are.
        code: the smoke test's code for such an end; empty when there are logits.
    """

    variant: str
    backend: str = ""
    text: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()
    positions: int = 0
    vocabulary: int = 0
    failure: str = ""
    code: str = ""


class Answer(NamedTuple):
    """A record with its logits, positions x vocabulary in float32; None where the record tells a failure."""

    record: LogitsRecord
    logits: NDArray[np.float32] | None


class LogitsRunner(NamedTuple):
    """An installed wheel that can be run more than once.

    Attributes:
        environment: where it is installed.
        model: what it loads.
        engine: how it is imported and driven.
        threads: threads of the engine.
        log: gets everything that is printed.
    """

    environment: Environment
    model: Model
    engine: EngineEntry
    threads: int
    log: Path | None = None

    def run(
        self,
        variant: str,
        variables: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Run the engine once in a locked-down child and return what it answered, or how it failed.

        Args:
            variant: label for the record.
            variables: what the child's environment holds besides the fixed few.
            settings: of a preset that it is run under.
        """
        given = {"n_threads": self.threads, "n_threads_batch": self.threads, **(settings or {})}
        with scratch_in(self.environment) as scratch:
            confined = Confined(self.environment, scratch, ANSWER)
            request = LogitsRequest(
                program="logits",
                **place(self.environment, scratch, ANSWER, self.model.path),
                **drive(self.engine),
                settings=given,
                steps=STEPS,
                model=str(self.model.path),
                text=TEXT,
                prompt=self.model.prompt,
                positions=POSITIONS,
                greedy=GREEDY_TOKENS,
                logits=str(scratch / "logits"),
                logits_bytes=ANSWER.file_bytes,
                preset=bool(settings),
            )
            done = confined.run(request, variables={**(variables or {}), **ONE_BLAS_THREAD}, log=self.log)
            return judge(variant, read_said(Path(request.events), Script(STEPS)), done, Path(request.logits))


@contextlib.contextmanager
def open_runner(
    wheel: WheelFile,
    model: Model,
    engine: EngineEntry,
    *,
    threads: int,
    log: Path | None = None,
    required: Required = STRANGERS,
) -> Iterator[LogitsRunner]:
    """Install a wheel into a fresh environment, to be run once for each of its backends.

    Raises:
        InstallError: the wheel cannot be installed on this machine.
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    with fresh_environment(wheel, log, required=required) as environment:
        yield LogitsRunner(environment, model, engine, threads, log)


def run_logits(
    wheel: WheelFile,
    model: Model,
    engine: EngineEntry,
    *,
    threads: int,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Answer:
    """Install a wheel into a fresh environment and return the logits that it gives for the fixed text.

    Args:
        wheel: the wheel, ours or anybody's.
        model: a model whose header was checked.
        engine: how it is imported and driven.
        threads: threads of the engine.
        environment: further variables of the child, e.g. which backend is wanted.
        log: gets everything that is printed.

    Raises:
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    variant = wheel.name.variant or wheel.name.build or wheel.name.version
    try:
        with open_runner(wheel, model, engine, threads=threads, log=log) as runner:
            return runner.run(variant, environment)
    except InstallError as error:
        return failed_answer(variant, error.message, error.code)


def failed_answer(variant: str, failure: str, code: str = "SMOKE-FAILED") -> Answer:
    """Return the answer of a variant that gave none: why, in one line, and the smoke test's code for it."""
    return Answer(LogitsRecord(variant=variant, failure=" ".join(failure.split())[:_MOST_WORDS], code=code), None)


def judge(variant: str, said: Said, done: process.Completed, logits: Path) -> Answer:
    """Turn what the child said, its end and its file into an answer; each is looked at before it is believed."""
    ended = ending.judge(STEPS, said, done)
    if ended.code:
        return failed_answer(variant, ended.words, ended.code)
    lacks = next((step for step in ended.steps if step.state == "absent"), None)
    if lacks is not None:
        return failed_answer(variant, f"at {lacks.name}: {lacks.reason}")
    try:
        told = msgspec.convert(ended.facts(), _Told)
        matrix = _read_logits(logits, len(told.text), told.vocabulary)
    except (msgspec.ValidationError, ValueError) as error:
        return failed_answer(variant, f"what the child gave cannot be used: {error}")
    except OSError as error:
        return failed_answer(variant, f"the child's logits cannot be read: {error.strerror}")
    record = LogitsRecord(
        variant=variant,
        backend=told.backend,
        text=told.text,
        tokens=told.tokens,
        margins=told.margins,
        positions=len(told.text),
        vocabulary=told.vocabulary,
    )
    return Answer(record, matrix)


def _read_logits(path: Path, positions: int, vocabulary: int) -> NDArray[np.float32]:
    """Read the child's file into memory, where nobody can change it any more.

    Raises:
        ValueError: it is not a plain file of just that many finite numbers.
        OSError: it is a link, or cannot be read.
    """
    import numpy as np

    size = positions * vocabulary * _FLOAT_BYTES
    if size > ANSWER.file_bytes:
        raise ValueError(f"{positions} x {vocabulary} logits are more than a child may write")
    try:
        data = read_regular(path, size)
    except ValueError as error:
        raise ValueError(f"the logits are no plain file of {size} bytes") from error
    if len(data) != size:
        raise ValueError(f"the logits are no plain file of {size} bytes")
    matrix = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False).reshape(positions, vocabulary)
    if not np.isfinite(matrix).all():
        raise ValueError("a logit is not finite")
    return matrix
