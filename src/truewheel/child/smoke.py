"""The smoke test: one wheel, one model, one locked-down child, and an account of every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from truewheel import process
from truewheel.child import ending
from truewheel.child.answers import judge_answers
from truewheel.child.challenge import Question, draw_question
from truewheel.child.confinement import STRANGERS, Confinement, Required
from truewheel.child.ending import SmokeStep
from truewheel.child.environment import InstallError, fresh_environment
from truewheel.child.events import Said, Script, read_said
from truewheel.child.limits import ANSWER
from truewheel.child.registry import EngineEntry
from truewheel.child.request import SmokeRequest, drive, place
from truewheel.child.start import ONE_BLAS_THREAD, Confined, scratch_in
from truewheel.child.told import FACTS
from truewheel.console import Console
from truewheel.models.models import Model
from truewheel.text import clean
from truewheel.wheel.archive import WheelFile

STEPS = ("import", "system-info", "load", "tokenize", "prefill", "decode", "stream", "embed", "state", "alone")


_MOST_WORDS = 100
_PROOFS = ("decode", "stream")
"""An engine that does neither has shown nothing."""


class SmokeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a smoke test showed.

    Attributes:
        model: name of the model.
        steps: every step in order, also those not reached.
        ending: `passed`, or how the child ended.
        code: finding code of the ending; empty when it passed.
        locked: whether the child could lock itself down.
        output: last lines of what the child printed; empty when it passed.
        confinement: what was in force; nothing in older records, which do not tell.
    """

    model: str
    steps: tuple[SmokeStep, ...]
    ending: str
    code: str
    locked: bool
    output: str = ""
    confinement: Confinement = Confinement()

    @property
    def passed(self) -> bool:
        """Return whether every step passed."""
        return not self.code

    @property
    def compared(self) -> bool:
        """Return whether what it answered was held against what the model gives."""
        return bool(self.facts("decode").get("compared"))

    def facts(self, step: str) -> dict[str, Any]:
        """Return what a step measured; empty when it did not pass."""
        return next((item.facts for item in self.steps if item.name == step), {})


def run_smoke(
    wheel: WheelFile,
    model: Model,
    engine: EngineEntry,
    *,
    threads: int,
    console: Console,
    required: Required = STRANGERS,
    wall_seconds: float = ANSWER.wall_seconds,
    log: Path | None = None,
) -> SmokeRecord:
    """Install a wheel into a fresh environment and run one inference in a locked-down child.

    Args:
        wheel: the wheel, ours or anybody's.
        model: a model whose header was checked.
        engine: how it is imported and driven.
        threads: threads of the engine.
        console: shows the steps.
        required: what the child may not be without; see `confinement.py`.
        wall_seconds: after which the child is ended.
        log: gets everything that is printed.

    Raises:
        CheckError: its METADATA cannot be followed.
        FetchError: a dependency cannot be had.
    """
    try:
        return _run_child(wheel, model, engine, threads, console, wall_seconds, log, required=required)
    except InstallError as error:
        steps = tuple(SmokeStep(name, "not reached") for name in STEPS)
        return SmokeRecord(model=model.name, steps=steps, ending=error.message, code=error.code, locked=False)


def unproven(model: Model, reason: str) -> SmokeRecord:
    """Return the record of a wheel that was not run because this CPU cannot run it."""
    steps = tuple(SmokeStep(name, "not reached") for name in STEPS)
    return SmokeRecord(model=model.name, steps=steps, ending=reason, code="SMOKE-UNPROVEN", locked=False)


def _run_child(
    wheel: WheelFile,
    model: Model,
    engine: EngineEntry,
    threads: int,
    console: Console,
    wall_seconds: float,
    log: Path | None,
    *,
    required: Required,
) -> SmokeRecord:
    with fresh_environment(wheel, log, required=required) as environment, scratch_in(environment) as scratch:
        confined = Confined(environment, scratch, ANSWER._replace(wall_seconds=wall_seconds))
        question = draw_question(model, chat=engine.chat)
        request = make_request(confined, question, engine, threads)
        done = confined.run(request, variables=ONE_BLAS_THREAD, log=log)
        said = read_said(Path(request.events), Script(STEPS))
    record = judge(question, said, done)
    if record.locked:
        console.say(f"         {'locked down':<12} {record.confinement.words()}")
    for step in record.steps:
        if step.state in ("passed", "absent"):
            console.say(f"         {step.name:<12} {step.seconds:6.2f} s  {_summary(step)}".rstrip())
    return record


def make_request(confined: Confined, question: Question, engine: EngineEntry, threads: int) -> SmokeRequest:
    """Return what the smoke test's program is asked for: what is to be done, and nothing of what should come of it."""
    model = question.model
    return SmokeRequest(
        program="smoke",
        **place(confined.environment, confined.scratch, confined.limits, model.path),
        **drive(engine),
        settings={"n_threads": threads, "n_threads_batch": threads},
        steps=STEPS,
        model=str(model.path),
        prompt=model.prompt,
        texts=question.texts,
        drawn=question.drawn,
        decode=question.decode,
        few=question.few,
        prefill=question.prefill,
        threads=threads,
    )


def judge(question: Question, said: Said, done: process.Completed) -> SmokeRecord:
    """Turn what the child said and its end into a record.

    A step that is absent has not passed, and is told apart. An engine must show that it generates text one way or the
    other.
    """
    ended = judge_answers(question, ending.judge(STEPS, said, done, FACTS))
    code, words = ended.code, ended.words
    if not code and not any(step.state == "passed" for step in ended.steps if step.name in _PROOFS):
        reason = next(step.reason for step in ended.steps if step.name == _PROOFS[0])
        code, words = "SMOKE-FAILED", f"at {_PROOFS[0]}: its adapter shows no text that the engine generates: {reason}"
    return SmokeRecord(
        model=question.model.name,
        steps=ended.steps,
        ending=words,
        code=code,
        locked=ended.locked,
        output=ended.output,
        confinement=ended.confinement,
    )


def _summary(step: SmokeStep) -> str:
    facts = step.facts
    if step.state == "absent":
        return f"absent: {clean(step.reason)[:_MOST_WORDS]}"
    if step.name == "decode":
        rate, margin = facts["tokens-per-second"], min(facts["margins"])
        return f"{facts['text'][:50]!r}, {rate:.0f} tokens/s, smallest margin {margin:.3f}"
    if step.name == "prefill":
        return f"{facts['tokens-per-second']:.0f} tokens/s"
    return ""
