"""The parent judges what a child tells; each wrong answer is planted once."""

from __future__ import annotations

import numpy as np
import pytest
from factories import ANSWERS, QUESTION, ended, hear, smoke_events

from truewheel.child import answers
from truewheel.child.challenge import DRAWN, Question, draw_question, open_reference
from truewheel.child.smoke import judge
from truewheel.models.models import Model, find_model


def judged(question=QUESTION, **changes):
    """Return the record of a child some of whose answers are others."""
    events = smoke_events()
    for event in events:
        if event["step"] in changes:
            event["facts"] = {**event["facts"], **changes[event["step"]]}
    return judge(question, hear(events), ended())


def test_right_answers_pass_and_what_is_reported_is_no_more_than_is_needed():
    record = judged()
    assert record.passed
    assert record.facts("embed") == {"dimensions": 3}
    assert record.facts("tokenize") == {"prompt": 2}
    assert record.facts("state") == {"bytes": 7}
    assert record.facts("decode") == {key: value for key, value in ANSWERS["decode"].items() if key != "drawn"}


@pytest.mark.parametrize(
    ("step", "change", "words"),
    [
        ("load", {"vocabulary": 1}, "cannot be read"),
        ("tokenize", {"texts": []}, "1 texts were asked for, and 0 came back"),
        ("tokenize", {"texts": [{"tokens": [1], "back": b"a  b".hex()}]}, "b'a b' came back as b'a  b'"),
        ("tokenize", {"texts": [{"tokens": [1], "back": "xyz"}]}, "hexadecimal"),
        ("tokenize", {"prompt": []}, "the prompt has no tokens"),
        ("prefill", {"tokens": 127}, "127 tokens were evaluated instead of 128"),
        ("prefill", {"tokens-per-second": 0.0}, "cannot be read"),
        ("prefill", {"logits": {"count": 319, "finite": 319, "least": 0.0, "most": 1.0}}, "319 logits of 320 tokens"),
        ("prefill", {"logits": {"count": 320, "finite": 319, "least": 0.0, "most": 1.0}}, "a logit is not finite"),
        ("prefill", {"logits": {"count": 320, "finite": 320, "least": 1.0, "most": 1.0}}, "all logits are the same"),
        ("decode", {"tokens": [1]}, "2 tokens were asked for, and 1 came"),
        ("decode", {"tokens": [1, 320]}, "a token is not in the vocabulary"),
        ("decode", {"tokens": [], "margins": []}, "2 tokens were asked for, and 0 came"),
        ("decode", {"drawn": {"prompt": [], "tokens": [1], "margins": [1.0]}}, "2 tokens were asked for, and 1 came"),
        ("stream", {"parts": [" so"]}, "streamed ' so', at once ' so on'"),
        ("stream", {"others": []}, "2 prompts were asked for, and 1 answers came"),
        ("embed", {"dimensions": 4}, "the embedding has 3 numbers instead of 4"),
        ("embed", {"vector": [0.5, None, 1.0]}, "the embedding is not finite, or zero"),
        ("embed", {"vector": [0.0, 0.0, 0.0]}, "the embedding is not finite, or zero"),
        ("state", {"second": [2, 3, 5]}, "after loading the state [2, 3, 5] followed instead of [2, 3, 4]"),
        ("state", {"first": [1], "second": []}, "after loading the state"),
        ("alone", {"children": ["77"]}, "a child process is running: '77'"),
        ("alone", {"sockets": 1}, "a socket is open"),
    ],
)
def test_a_wrong_answer_did_not_pass(step, change, words):
    record = judged(**{step: change})
    assert (record.code, record.passed) == ("SMOKE-FAILED", False)
    assert record.ending.startswith(f"at {step}: ")
    assert words in record.ending
    assert next(item for item in record.steps if item.name == step).state == "failed"


def test_a_vocabulary_that_drops_blanks_is_held_to_the_rest():
    model = QUESTION.model._replace(vocabulary_round_trips=False)
    change = {"texts": [{"tokens": [1], "back": b" a b".hex()}]}
    assert judged(QUESTION._replace(model=model), tokenize=change).passed
    assert not judged(tokenize=change).passed


def test_a_continuation_that_is_no_sensible_text():
    model = QUESTION.model._replace(expect="Paris")
    assert "does not contain 'Paris'" in judged(QUESTION._replace(model=model)).ending


def test_what_the_child_died_of_is_not_covered_by_what_it_answered():
    events = smoke_events()
    events[-1]["facts"]["sockets"] = 1
    record = judge(QUESTION, hear(events), ended(-11))
    assert record.code == "SMOKE-SEGFAULT"


# What is known of a model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return find_model("tiny")


def continue_greedily(reference, prompt, count):
    """Return what the model gives, as an engine would find it."""
    tokens = list(prompt)
    for _ in range(count):
        ((row,),) = reference.next_logits([tokens], [1])
        tokens.append(int(row.argmax()))
    return tokens[len(prompt) :]


@pytest.fixture(scope="module")
def asked(tiny):
    """Return a question, and the answers of an engine that computes the model."""
    question = draw_question(tiny)._replace(decode=2, few=4)
    reference = open_reference(tiny.path)
    prompts = [reference.tokenize(prompt) for prompt in question.drawn]
    drawn = continue_greedily(reference, prompts[0], 4)
    first = [continue_greedily(reference, prompt, 1)[0] for prompt in prompts]
    texts = [{"tokens": list(text.encode()), "back": text.encode().hex()} for text in question.texts]
    for each in texts:
        each["tokens"] = [
            int(np.flatnonzero([piece == bytes([byte]) for piece in reference.pieces])[0])
            for byte in bytes.fromhex(each["back"])
        ]
    spelled = [reference.pieces[token].decode("utf-8", "ignore") for token in first]
    told = {
        "tokenize": {"texts": texts},
        "decode": {"drawn": {"prompt": prompts[0], "tokens": drawn, "margins": [1.0] * 4}},
        "stream": {"whole": spelled[0], "parts": [spelled[0]], "others": spelled[1:]},
    }
    return question, told


def test_an_engine_that_computes_the_model_passes(asked):
    question, told = asked
    record = judged(question, **told)
    assert record.passed, record.ending
    assert record.facts("decode")["compared"] == 4
    assert record.facts("decode")["largest-gap"] < 0.001


def test_other_tokens_than_the_models_are_refused(asked):
    question, told = asked
    drawn = told["decode"]["drawn"]
    refused = 0
    for shift in range(1, 40, 5):
        tokens = [(token + shift) % 320 for token in drawn["tokens"]]
        record = judged(question, **{**told, "decode": {"drawn": {**drawn, "tokens": tokens}}})
        refused += "behind a prompt that was drawn is not the model's" in record.ending
    assert refused == 8


def test_the_continuation_of_another_prompt_is_refused(asked):
    question, told = asked
    other = draw_question(question.model)
    prompt = open_reference(question.model.path).tokenize(other.drawn[0])
    record = judged(question, **{**told, "decode": {"drawn": {**told["decode"]["drawn"], "prompt": prompt}}})
    assert "is not the tokens" in record.ending


def test_tokens_that_mean_another_text_are_refused(asked):
    question, told = asked
    texts = [dict(each) for each in told["tokenize"]["texts"]]
    texts[0]["tokens"] = texts[1]["tokens"]
    assert "the tokens of" in judged(question, **{**told, "tokenize": {"texts": texts}}).ending
    texts[0]["tokens"] = [5000]
    assert "not in the vocabulary" in judged(question, **{**told, "tokenize": {"texts": texts}}).ending


def test_a_model_of_another_size_is_refused(asked):
    question, told = asked
    assert judged(question, **told, load={"vocabulary": 256}).ending == (
        "at load: the model has 320 tokens, and 256 were loaded"
    )


class Known:
    """A model of forty tokens, of which the second is always the next."""

    pieces = (b" the", b" cat", *["é".encode()[:1]] * 38)
    controls = frozenset()

    def tokenize(self, text):
        return [0] * len(text.split())

    def next_logits(self, sequences, last):
        return [
            np.array([[0.0, self.best, *[-3.0] * 38]] * count, dtype=np.float32)
            for _, count in zip(sequences, last, strict=True)
        ]

    best = 9.0


def compare_texts(answer, best=9.0):
    known = Known()
    known.best = best
    return answers._compare_texts(known, ("a b",), (answer,))


@pytest.mark.parametrize("answer", [" cat sat", "cat sat"])
def test_a_text_that_begins_as_the_model_does(answer):
    assert compare_texts(answer) == 1


@pytest.mark.parametrize("answer", [" the", "", " ca", "x cat", "\x00"])
def test_a_text_that_begins_otherwise_is_refused(answer):
    with pytest.raises(answers.WrongAnswerError, match="no text of the model begins with"):
        compare_texts(answer)


def test_a_text_may_begin_as_what_is_nearly_as_likely():
    known = Known()
    known.best = 0.3
    known.pieces = (b" the", b" cat", *[b" so"] * 38)
    assert answers._compare_texts(known, ("a b",), (" the",)) == 1
    with pytest.raises(answers.WrongAnswerError):
        answers._compare_texts(known, ("a b",), (" so",))


def test_what_has_no_letter_of_its_own_is_not_compared():
    known = Known()
    known.pieces = (b" the", b"\xc3", *[b"x"] * 38)
    assert answers._compare_texts(known, ("a b",), ("anything",)) == 0


def test_a_chat_is_not_held_to_a_prompt_without_its_template(asked):
    question, told = asked
    wrong = {**told, "stream": {"whole": "Hello", "parts": ["Hello"], "others": ["Hello"] * (DRAWN - 1)}}
    assert judged(question._replace(chat=True), **wrong).passed


# What is drawn


def test_each_run_is_asked_something_else(tiny):
    questions = [draw_question(tiny) for _ in range(20)]
    assert len({question.drawn for question in questions}) == 20
    assert len({question.texts for question in questions}) == 20
    assert len({prompt for question in questions for prompt in question.drawn}) == 20 * DRAWN


def test_what_is_drawn_is_more_than_can_be_guessed(tiny):
    (*_, prompt) = draw_question(tiny).drawn
    assert len(prompt.replace(" ", "")) >= 28  # letters: 131 bits


def test_a_model_that_is_not_known_is_asked_too(tmp_path):
    question = draw_question(Model("any.gguf", tmp_path / "any.gguf", "Once", "", vocabulary_round_trips=False))
    assert question.reference is None
    assert len(question.drawn) == DRAWN


def test_a_file_that_is_none_of_ours_has_no_reference(tmp_path):
    (tmp_path / "model").write_bytes(b"GGUF, or so it says")
    assert open_reference(tmp_path / "model") is None
    assert open_reference(tmp_path / "gone") is None
    assert isinstance(
        draw_question(Model("x", tmp_path / "gone", "", "", vocabulary_round_trips=True, known=True)), Question
    )
