"""A child that was taken over writes what it likes, and ends as it likes: nothing of it passes, and nothing hurts."""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.frame import Case

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from factories import ANSWERS, ended, smoke_events, with_beginnings

from truewheel.child import logits, smoke
from truewheel.child.challenge import Question, draw_question, open_reference
from truewheel.child.events import Script, read_said
from truewheel.child.run_account import read_run, script_of
from truewheel.child.work import Work, Workload
from truewheel.models.models import find_model
from truewheel.process import Completed

MOST_MEMORY = 48 << 20
STEPS = smoke.STEPS
PLAN = Workload((Work("pp8", "prefill", 8), Work("tg4", "decode", 4)), 0)

Events = list[dict[str, Any]]
Writer = Callable[[Path], None]


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Question:
    """Return what a child is asked of a model that is known here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return draw_question(find_model("tiny"))._replace(decode=2, few=4)


@pytest.fixture(scope="module")
def honest(question: Question) -> Events:
    """Return what a child writes whose engine computes the model: a forger's dream, for this question alone."""
    reference = open_reference(question.model.path)
    assert reference is not None
    bytewise = {piece: number for number, piece in reversed(list(enumerate(reference.pieces)))}
    prompts = [reference.tokenize(prompt) for prompt in question.drawn]
    first = [int(rows[0].argmax()) for rows in reference.next_logits(prompts, [1] * len(prompts))]
    made = list(prompts[0])
    for _ in range(question.few):
        made.append(int(reference.next_logits([made], [1])[0][0].argmax()))
    spelled = [reference.pieces[token].decode("utf-8", "replace") for token in first]
    texts = [
        {"tokens": [bytewise[bytes([byte])] for byte in text.encode()], "back": text.encode().hex()}
        for text in question.texts
    ]
    drawn = {"prompt": prompts[0], "tokens": made[len(prompts[0]) :], "margins": [1.0] * question.few}
    events = smoke_events()
    by_step = {event["step"]: event for event in events}
    by_step["tokenize"]["facts"]["texts"] = texts
    by_step["decode"]["facts"]["drawn"] = drawn
    by_step["stream"]["facts"] = {"whole": spelled[0], "parts": [spelled[0]], "others": spelled[1:]}
    return list(with_beginnings(events))


def encode(events: Events) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def writing(data: bytes) -> Writer:
    return lambda path: void(path.write_bytes(data))


def void(_value: object) -> None:
    """Forget a value."""


def changed(events: Events, place: int, **changes: Any) -> Events:
    found = copy.deepcopy(events)
    found[place].update(changes)
    return found


# What is written


def make_orders(events: Events) -> Iterator[tuple[str, bytes]]:
    """Yield streams in which every line is sound and the order is not."""
    for place, event in enumerate(events):
        name = f"{event['step']} {event['state']}"
        yield f"without {name}", encode(events[:place] + events[place + 1 :])
        yield f"{name} twice", encode(events[: place + 1] + events[place:])
        yield f"cut before {name}", encode(events[:place])
        if event is not events[-1]:
            yield f"{name} at the end", encode([*events[:place], *events[place + 1 :], event])
        yield f"failed instead of {name}", encode(changed(events, place, state="failed"))
    yield "backwards", encode(events[::-1])
    yield "the lock is said to have failed afterwards", encode([*events, {"step": "lock", "state": "failed"}])
    yield "passed alone", encode([event for event in events if event["state"] == "passed"])
    yield "two runs in one", encode(events + events)
    yield "a step that is not ours", encode([*events[:1], {"step": "verdict", "state": "passed"}, *events[1:]])
    yield "a canary that nobody asked for", encode([*events, {"step": "canary", "state": "begin"}])


BAD_LINES = {
    "no JSON": b"passed",
    "an array": b"[]",
    "half a line": b'{"step": "alone", "sta',
    "not UTF-8": b'{"step": "al\xff", "state": "passed"}',
    "UTF-16": '{"step": "alone", "state": "passed"}'.encode("utf-16"),
    "a key twice": b'{"step": "alone", "state": "failed", "state": "passed"}',
    "a key of facts twice": b'{"step": "alone", "state": "passed", "facts": {"sockets": 1, "sockets": 0}}',
    "an unknown key": b'{"step": "alone", "state": "passed", "verdict": "passed"}',
    "NaN": b'{"step": "alone", "state": "passed", "seconds": NaN}',
    "Infinity": b'{"step": "alone", "state": "passed", "facts": {"sockets": Infinity}}',
    "1e400": b'{"step": "alone", "state": "passed", "seconds": 1e400}',
    "seconds below zero": b'{"step": "alone", "state": "passed", "seconds": -1}',
    "true for a number": b'{"step": "alone", "state": "passed", "seconds": true}',
    "a number of a million digits": b'{"step": "alone", "state": "passed", "seconds": ' + b"9" * 1_000_000 + b"}",
    "a number of forty digits": b'{"step": "alone", "state": "passed", "facts": {"sockets": ' + b"9" * 40 + b"}}",
    "a million arrays in one another": b"[" * 1_000_000,
    "a hundred thousand tables in one another": b'{"facts":' * 100_000 + b"1" + b"}" * 100_000,
    "a line without an end": b'{"step": "' + b"x" * (1 << 20),
    "half a letter": b'{"step": "alone", "state": "passed", "reason": "\\ud800"}',
    "control characters": b'{"step": "\x1b[2J", "state": "passed"}',
    "a name with a line end": b'{"step": "alone\\n::error::", "state": "passed"}',
    "a very long reason": b'{"step": "alone", "state": "failed", "reason": "' + b"y" * 100_000 + b'"}',
    "half a million empty lists": b'{"step": "alone", "state": "passed", "facts": {"a": [' + b"[]," * 300_000 + b"1]}}",
    "nothing": b"",
    "zeros": bytes(1000),
}


def make_lines(events: Events) -> Iterator[tuple[str, bytes]]:
    """Yield streams in which one line is none that our program writes, at their beginning, in them, and behind them."""
    lines = encode(events).splitlines(keepends=True)
    for name, bad in BAD_LINES.items():
        for where, place in (("first", 0), ("in the middle", len(lines) // 2), ("last", len(lines))):
            yield f"{name}, {where}", b"".join([*lines[:place], bad + b"\n", *lines[place:]])
    yield "a mark of the order of bytes", b"\xef\xbb\xbf" + encode(events)
    yield "line ends of another system", encode(events).replace(b"\n", b"\r")
    yield "a million lines", encode(events) + b"{}\n" * 1_000_000
    yield "eight million line ends", b"\n" * (8 << 20)


def make_facts(events: Events) -> Iterator[tuple[str, bytes]]:
    """Yield streams in which a step tells something else: what is forged without an engine, or makes no sense."""
    nonsense = [None, True, -1, 1 << 40, 0.5, "x", "", [], {}, [None], {"a": 1}, "\x1b]0;x\x07"]
    for place, event in enumerate(events):
        # Of what an engine says of itself nothing is asked but that it is a text.
        for key in event.get("facts", {}) if event["step"] not in ("system-info", "import") else ():
            for value in nonsense:
                if differs(event["step"], key, value):
                    facts = {**event["facts"], key: value}
                    yield f"{event['step']}: {key} is {value!r}", encode(changed(events, place, facts=facts))
            facts = {other: each for other, each in event["facts"].items() if other != key}
            if key != "context":
                yield f"{event['step']} without {key}", encode(changed(events, place, facts=facts))


def differs(step: str, key: str, value: object) -> bool:
    """Tell whether a value that a step could tell as well is another than what it should be."""
    free = {
        ("load", "context"): (1 << 40,),
        ("alone", "peak-bytes"): (1 << 40,),
        ("state", "bytes"): (1 << 40,),
        ("prefill", "tokens-per-second"): (1 << 40, 0.5),
        ("decode", "tokens-per-second"): (1 << 40, 0.5),
        ("decode", "text"): ("x", "", "\x1b]0;x\x07"),
        ("alone", "children"): ([],),
    }
    return not any(value is each or value == each for each in free.get((step, key), ()))


def make_guesses(events: Events, question: Question) -> Iterator[tuple[str, bytes]]:
    """Yield what a forger says who has read this program and has no engine."""
    places = {event["step"]: place for place, event in enumerate(events) if event["state"] == "passed"}
    decode, stream, texts = places["decode"], places["stream"], places["tokenize"]
    random_ = random.Random(17)
    for number in range(40):
        tokens = [random_.randrange(261) for _ in range(question.few)]
        drawn = {**events[decode]["facts"]["drawn"], "tokens": tokens}
        yield f"guess {number}", encode(changed(events, decode, facts={**events[decode]["facts"], "drawn": drawn}))
    for token in range(0, 320, 16):
        drawn = {**events[decode]["facts"]["drawn"], "tokens": [token] * question.few}
        yield f"always {token}", encode(changed(events, decode, facts={**events[decode]["facts"], "drawn": drawn}))
    other = draw_question(question.model)
    recorded = [{"tokens": list(text.encode()), "back": text.encode().hex()} for text in other.texts]
    yield "texts of another run", encode(changed(events, texts, facts={"texts": recorded, "prompt": [1]}))
    echoed = [{"tokens": [1], "back": text.encode().hex()} for text in question.texts]
    yield "an echo without tokens", encode(changed(events, texts, facts={"texts": echoed, "prompt": [1]}))
    for words in ("Paris", "", "\x00", "ok"):
        answers = {"whole": words, "parts": [words], "others": [words] * (len(question.drawn) - 1)}
        yield f"all texts are {words!r}", encode(changed(events, stream, facts=answers))
    recorded_facts = {**events[decode]["facts"], "drawn": ANSWERS["decode"]["drawn"]}
    yield "an answer to another question", encode(changed(events, decode, facts=recorded_facts))


def make_files(events: Events) -> Iterator[tuple[str, Writer]]:
    """Yield what stands in the place of the file."""
    good = encode(events)
    yield "a pipe", os.mkfifo
    yield "a socket", lambda path: os.mknod(path, 0o140600)
    yield "a folder", lambda path: path.mkdir()
    yield "nothing", lambda _path: None
    yield "ten GiB of holes", lambda path: (path.write_bytes(good), os.truncate(path, 10 << 30))[0] and None
    yield "a hole in the middle", lambda path: (path.write_bytes(good), os.truncate(path, 1 << 20))[0] and None
    for target in ("/dev/zero", "/dev/tty", "/proc/self/mem", "/proc/kmsg", "/etc/passwd", "loop"):
        yield (
            f"a link to {target}",
            lambda path, target=target: path.symlink_to(path.name if target == "loop" else target),
        )  # type: ignore[misc]
    yield (
        "a link to sound events",
        lambda path: (path.with_name("sound").write_bytes(good), path.symlink_to("sound"))[1],
    )
    yield "a file that nobody may read, of zeros", lambda path: (path.write_bytes(bytes(4096)), path.chmod(0))[1]


ENDINGS: dict[str, Completed] = {
    **{f"exit code {code}": ended(code) for code in (1, 2, 96, 97, 98, 99, 126, 127, 128, 134, 137, 139, 159, 255)},
    **{
        f"signal {number.name}": ended(-number)
        for number in signal.valid_signals()
        if isinstance(number, signal.Signals)
    },
    "a real-time signal": ended(-50),
    "its time was up": ended(0, timed_out=True),
    "its time was up, and it left with 97": ended(97, timed_out=True),
}


# How it is tried


def tried(tmp_path: Path, name: str, write: Writer, judge: Callable[[Path], str]) -> Case:
    """Return a case that writes a file and lets it be judged: `judge` returns what is wrong, or nothing."""

    def attempt() -> None:
        folder = tmp_path / f"{abs(hash(name))}"
        folder.mkdir()
        write(folder / "events")
        tracemalloc.start()
        try:
            wrong = judge(folder / "events")
            peak = tracemalloc.get_traced_memory()[1]
        except Exception as error:
            raise AssertionError(f"a traceback: {type(error).__name__}: {error}") from error
        finally:
            tracemalloc.stop()
        assert not wrong, wrong
        assert peak < MOST_MEMORY, f"{peak >> 20} MiB"

    return Case(name, attempt)


def judge_smoke(question: Question, done: Completed) -> Callable[[Path], str]:
    def judge(path: Path) -> str:
        record = smoke.judge(question, read_said(path, Script(STEPS)), done)
        if record.passed:
            return "it passed"
        shown = [record.ending, *(step.reason for step in record.steps)]
        return next((f"it shows {text[:100]!r}" for text in shown if len(text) > 4100), "")

    return judge


def test_an_engine_that_computes_the_model_passes(question: Question, honest: Events, tmp_path: Path) -> None:
    # Or nothing below would show anything.
    (tmp_path / "events").write_bytes(encode(honest))
    record = smoke.judge(question, read_said(tmp_path / "events", Script(STEPS)), ended())
    assert record.passed, record.ending


@pytest.mark.parametrize("make", [make_orders, make_lines, make_facts, make_guesses])
def test_forged_events(survive: Any, question: Question, honest: Events, tmp_path: Path, make: Any) -> None:
    given = make(honest, question) if make is make_guesses else make(honest)
    judge = judge_smoke(question, ended())
    cases = [tried(tmp_path, name, writing(data), judge) for name, data in given]
    survive(f"forged events: {make.__name__.removeprefix('make_')}", cases)


def test_files_that_are_none(survive: Any, question: Question, honest: Events, tmp_path: Path) -> None:
    judge = judge_smoke(question, ended())
    survive("files in the place of events", [tried(tmp_path, *each, judge) for each in make_files(honest)], short=20)


def test_endings_after_sound_events(survive: Any, question: Question, honest: Events, tmp_path: Path) -> None:
    write = writing(encode(honest))
    cases = [tried(tmp_path, name, write, judge_smoke(question, done)) for name, done in ENDINGS.items()]
    survive("endings that are none", cases)


def test_other_readers(survive: Any, honest: Events, tmp_path: Path) -> None:
    """Each reads the same nonsense: what measures, and what compares."""

    def judge_measure(path: Path) -> str:
        run = read_run(read_said(path, script_of(PLAN)), ended())
        return "" if run.failure and len(run.failure) <= 300 else f"failure is {run.failure[:100]!r}"

    def judge_logits(path: Path) -> str:
        answer = logits.judge("x", read_said(path, Script(logits.STEPS)), ended(), path)
        return "it gave logits" if answer.logits is not None else ""

    cases = []
    for label, judge in (("measure", judge_measure), ("logits", judge_logits)):
        cases += [tried(tmp_path, f"{label}: {name}", writing(data), judge) for name, data in make_lines(honest)]
        cases += [tried(tmp_path, f"{label}: {name}", write, judge) for name, write in make_files(honest)]
    survive("the same in the place of other events", cases)


def test_logits_that_are_none(survive: Any, tmp_path: Path) -> None:
    """Sound events of a child that compares, beside a file that is no logits."""
    rows, vocabulary = 4, 32
    sound = np.zeros((rows, vocabulary), dtype="<f4").tobytes()
    told = {
        "load": {"vocabulary": vocabulary},
        "tokenize": {"text": list(range(rows))},
        "greedy": {"tokens": [1] * logits.GREEDY_TOKENS, "margins": [0.5] * logits.GREEDY_TOKENS},
        "backend": {"backend": ""},
    }
    steps = [{"step": step, "state": "passed", "facts": told.get(step, {})} for step in logits.STEPS]
    events = encode(list(with_beginnings([{"step": "lock", "state": "passed"}, *steps])))

    def judge(path: Path) -> str:
        beside = path.with_name("said")
        beside.write_bytes(events)
        answer = logits.judge("x", read_said(beside, Script(logits.STEPS)), ended(), path)
        return "it gave logits" if answer.logits is not None else ""

    sizes = {"cut": sound[:-1], "longer": sound + b"x", "empty": b"", "not a number": b"\x00\x00\xc0\x7f" + sound[4:]}
    sizes["infinite"] = b"\x00\x00\x80\x7f" + sound[4:]
    cases = [tried(tmp_path, name, writing(data), judge) for name, data in sizes.items()]
    cases += [tried(tmp_path, name, write, judge) for name, write in make_files([])]
    survive("files in the place of logits", cases, short=20)
    (tmp_path / "sound").write_bytes(sound)
    assert judge(tmp_path / "sound") == "it gave logits"
