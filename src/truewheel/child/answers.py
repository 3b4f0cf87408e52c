"""What a child says of its steps, judged by what only the parent knows: the child tells numbers, and no verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from truewheel.child.challenge import Question
from truewheel.child.ending import Ending, SmokeStep
from truewheel.child.told import (
    FACTS,
    Alone,
    Continued,
    Decoded,
    Embedded,
    Loaded,
    Prefilled,
    Returned,
    Saved,
    Streamed,
    Tokenized,
)
from truewheel.models.reference import Reference
from truewheel.text import clean, cut

TOLERANCE = 0.5
"""How far below the best logit an engine's choice may lie as it is computed here, in standard deviations of all logits.
Engines round activations to eight bits; llama.cpp's choices lay at most 0.05 below, on 600 tokens of the two models.
Within half a deviation lie 4 tokens of 320, and 6 of 49,152."""
_SHOWN = 40


class WrongAnswerError(Exception):
    """What a child says is not what was asked for, or not what the model gives."""


class Exam(NamedTuple):
    """What an answer is judged by.

    Attributes:
        question: what the child was asked.
        loaded: tokens of the model, as the child says; 0 where it does not.
    """

    question: Question
    loaded: int

    @property
    def vocabulary(self) -> int:
        """Return how many tokens there are: what is known here, or what the child said; 0 where neither is."""
        reference = self.question.reference
        return len(reference.pieces) if reference else self.loaded


def judge_answers(question: Question, ended: Ending) -> Ending:
    """Return an ending in which each step that passed has also answered rightly."""
    loaded = next((step.facts.get("vocabulary", 0) for step in ended.steps if step.name == "load"), 0)
    exam = Exam(question, loaded)
    steps = tuple(_judge_step(step, exam) for step in ended.steps)
    wrong = next((step for step, before in zip(steps, ended.steps, strict=True) if step.state != before.state), None)
    if wrong is None or ended.code:
        return ended._replace(steps=steps)
    return ended._replace(steps=steps, code="SMOKE-FAILED", words=f"at {wrong.name}: {wrong.reason}")


def _judge_step(step: SmokeStep, exam: Exam) -> SmokeStep:
    """Return a step with the facts that are reported; one that passed and answered wrongly has failed."""
    if step.state != "passed" or step.name not in _JUDGES:
        return step
    try:
        facts = _JUDGES[step.name](msgspec.convert(step.facts, FACTS[step.name]), exam)
    except WrongAnswerError as error:
        return msgspec.structs.replace(step, state="failed", reason=str(error), facts={})
    return msgspec.structs.replace(step, facts=facts)


def _require(right: bool, words: str) -> None:
    if not right:
        raise WrongAnswerError(words)


def _show(value: object) -> str:
    return cut(clean(repr(value)), _SHOWN)


def _judge_load(told: Loaded, exam: Exam) -> dict[str, Any]:
    known = exam.vocabulary
    _require(told.vocabulary == known, f"the model has {known} tokens, and {told.vocabulary} were loaded")
    return {"vocabulary": told.vocabulary, "context": told.context}


def _judge_tokenize(told: Tokenized, exam: Exam) -> dict[str, Any]:
    texts = exam.question.texts
    _require(len(told.texts) == len(texts), f"{len(texts)} texts were asked for, and {len(told.texts)} came back")
    for text, returned in zip(texts, told.texts, strict=True):
        _check_return(text.encode(), returned, exam)
    _require(bool(told.prompt), "the prompt has no tokens")
    return {"prompt": len(told.prompt)}


def _check_return(data: bytes, returned: Returned, exam: Exam) -> None:
    """Hold what came back against what was sent, and the tokens against the vocabulary where it is known here."""
    try:
        back = bytes.fromhex(returned.back)
    except ValueError as error:
        raise WrongAnswerError("what came back is not in hexadecimal digits") from error
    same = back == data if exam.question.model.vocabulary_round_trips else back.strip() == data.strip()
    _require(same, f"{_show(data)} came back as {_show(back)}")
    reference = exam.question.reference
    if reference is not None:
        meant = _spell(reference, returned.tokens)
        _require(meant.strip() == data.strip(), f"the tokens of {_show(data)} mean {_show(meant)}")


def _spell(reference: Reference, tokens: Sequence[int]) -> bytes:
    """Return the text of tokens, without those that stand for none."""
    _require(max(tokens, default=0) < len(reference.pieces), "a token is not in the vocabulary")
    return b"".join(reference.pieces[token] for token in tokens if token not in reference.controls)


def _judge_prefill(told: Prefilled, exam: Exam) -> dict[str, Any]:
    logits = told.logits
    _require(
        told.tokens == exam.question.prefill,
        f"{told.tokens} tokens were evaluated instead of {exam.question.prefill}",
    )
    _require(logits.count == (exam.vocabulary or logits.count), f"{logits.count} logits of {exam.vocabulary} tokens")
    _require(logits.finite == logits.count, "a logit is not finite")
    _require(logits.least != logits.most, "all logits are the same")
    return {"tokens": told.tokens, "tokens-per-second": told.rate}


def _judge_decode(told: Decoded, exam: Exam) -> dict[str, Any]:
    model, drawn = exam.question.model, told.drawn
    for tokens, margins, count in (
        (told.tokens, told.margins, exam.question.decode),
        (drawn.tokens, drawn.margins, exam.question.few),
    ):
        _require(len(tokens) == len(margins) == count, f"{count} tokens were asked for, and {len(tokens)} came")
        _require(max(tokens) < (exam.vocabulary or max(tokens) + 1), "a token is not in the vocabulary")
    _require(model.expect in told.text, f"the continuation {_show(told.text)} does not contain {model.expect!r}")
    facts = {"tokens": told.tokens, "margins": told.margins, "text": told.text, "tokens-per-second": told.rate}
    reference = exam.question.reference
    return facts if reference is None else {**facts, **_compare(reference, drawn, exam)}


def _compare(reference: Reference, drawn: Continued, exam: Exam) -> dict[str, Any]:
    """Hold a continuation against what the model gives, token by token, each behind those that the child chose."""
    prompt = reference.tokenize(exam.question.drawn[0])
    plain = [token for token in drawn.prompt if token not in reference.controls]
    _require(plain == prompt, f"{_show(exam.question.drawn[0])} is not the tokens {_show(drawn.prompt)}")
    sequence = [*drawn.prompt, *drawn.tokens]
    (logits,) = reference.next_logits([sequence[:-1]], [len(drawn.tokens)])
    gaps = [float((row.max() - row[token]) / row.std()) for row, token in zip(logits, drawn.tokens, strict=True)]
    _require(
        max(gaps) <= TOLERANCE,
        f"token {gaps.index(max(gaps)) + 1} behind a prompt that was drawn is not the model's: its logit lies "
        f"{max(gaps):.1f} deviations below the best",
    )
    return {"compared": len(gaps), "largest-gap": round(max(gaps), 4)}


def _judge_stream(told: Streamed, exam: Exam) -> dict[str, Any]:
    whole = "".join(told.parts)
    _require(whole == told.whole, f"streamed {_show(whole)}, at once {_show(told.whole)}")
    answers, prompts = [told.whole, *told.others], exam.question.drawn
    _require(len(answers) == len(prompts), f"{len(prompts)} prompts were asked for, and {len(answers)} answers came")
    reference = exam.question.reference
    if reference is None or exam.question.chat:
        return {"parts": len(told.parts)}
    return {"parts": len(told.parts), "compared": _compare_texts(reference, prompts, answers)}


def _compare_texts(reference: Reference, prompts: Sequence[str], answers: Sequence[str]) -> int:
    """Hold the beginning of each text against the tokens that come first; return how many could be compared."""
    rows = reference.next_logits([reference.tokenize(prompt) for prompt in prompts], [1] * len(prompts))
    compared = 0
    for answer, (row,) in zip(answers, rows, strict=True):
        near = (row >= row.max() - TOLERANCE * row.std()).nonzero()[0].tolist()
        # Half of a letter, and what stands for no text, is shown in ways of each engine's own.
        if any(token in reference.controls or not reference.pieces[token].isascii() for token in near):
            continue
        starts = {reference.pieces[token].decode() for token in near}
        starts |= {start.lstrip(" ") for start in starts} - {""}
        _require(answer.startswith(tuple(starts)), f"no text of the model begins with {_show(answer)}")
        compared += 1
    return compared


def _judge_embed(told: Embedded, _exam: Exam) -> dict[str, Any]:
    count = len(told.vector)
    _require(count == told.dimensions, f"the embedding has {count} numbers instead of {told.dimensions}")
    _require(None not in told.vector and any(told.vector), "the embedding is not finite, or zero")
    return {"dimensions": count}


def _judge_state(told: Saved, _exam: Exam) -> dict[str, Any]:
    same = len(told.first) > 1 and told.first[1:] == told.second
    _require(same, f"after loading the state {told.second!r} followed instead of {told.first[1:]!r}")
    return {"bytes": told.bytes}


def _judge_alone(told: Alone, _exam: Exam) -> dict[str, Any]:
    _require(not told.children, f"a child process is running: {_show(', '.join(told.children))}")
    _require(not told.sockets, "a socket is open")
    return {"peak-bytes": told.peak_bytes}


_JUDGES: dict[str, Callable[[Any, Exam], dict[str, Any]]] = {
    "load": _judge_load,
    "tokenize": _judge_tokenize,
    "prefill": _judge_prefill,
    "decode": _judge_decode,
    "stream": _judge_stream,
    "embed": _judge_embed,
    "state": _judge_state,
    "alone": _judge_alone,
}
