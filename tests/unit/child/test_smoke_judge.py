"""From a child's events and its end to a record: a run passes only when everything says so."""

import contextlib
import json
import signal
from pathlib import Path

import pytest
from factories import QUESTION, ended, judge_smoke, make_engine, make_wheel, smoke_events, with_beginnings
from hypothesis import given
from hypothesis import strategies as st

from truewheel.checks.run import CODES
from truewheel.child import smoke
from truewheel.child.environment import InstallError
from truewheel.child.installed import Environment
from truewheel.child.registry import engine_for
from truewheel.child.smoke import STEPS, run_smoke
from truewheel.console import Console
from truewheel.errors import LoadError
from truewheel.models.models import Model


def begin(step):
    return {"step": step, "state": "begin"}


def died_at(step, **how):
    """Return the record of a child that began a step and ended."""
    return judge_smoke("tiny", [*smoke_events(until=STEPS.index(step)), begin(step)], ended(**how))


def test_a_child_whose_every_step_passed_and_that_left_with_0_passed():
    record = judge_smoke("tiny", smoke_events(), ended(0, "noise"))
    assert record.passed
    assert (record.code, record.ending, record.output, record.locked) == ("", "passed", "", True)
    assert [step.name for step in record.steps] == list(STEPS)
    assert {step.state for step in record.steps} == {"passed"}
    assert record.facts("decode")["text"] == " there was"
    assert record.facts("nothing") == {}


@pytest.mark.parametrize("count", range(len(STEPS)))
def test_a_child_that_leaves_with_0_before_all_steps_passed_did_not_pass(count):
    record = judge_smoke("tiny", smoke_events(until=count), ended(0))
    assert record.code == "SMOKE-FAILED"
    assert record.ending == f"at {STEPS[count]}: the child left with exit code 0 and gave no reason"
    assert [step.state for step in record.steps] == ["passed"] * count + ["not reached"] * (len(STEPS) - count)


@pytest.mark.parametrize("step", STEPS)
def test_a_child_that_leaves_with_0_inside_a_step_did_not_pass(step):
    record = died_at(step, returncode=0)
    assert record.code == "SMOKE-FAILED"
    assert next(item for item in record.steps if item.name == step).state == "died"


def test_one_step_left_out_in_the_middle_did_not_pass():
    events = [event for event in smoke_events() if event["step"] != "embed"]
    record = judge_smoke("tiny", events, ended(0))
    assert (record.code, record.passed) == ("SMOKE-FAILED", False)
    assert "at embed" in record.ending


def test_a_child_without_a_single_event_did_not_pass():
    assert judge_smoke("tiny", [], ended(0)).code == "SMOKE-FAILED"


def absent(*steps):
    """Return the events of a child whose engine has no way to do these steps."""
    told = {"state": "absent", "reason": "it has no such call"}
    return [{**event, **told} if event["step"] in steps else event for event in smoke_events()]


def test_a_step_that_is_absent_is_told_and_not_passed():
    record = judge_smoke("tiny", absent("embed", "state"), ended(0))
    assert (record.passed, record.ending) == (True, "passed")
    states = {step.name: (step.state, step.reason) for step in record.steps}
    assert states["embed"] == states["state"] == ("absent", "it has no such call")
    assert [name for name, (state, _) in states.items() if state == "passed"] == [
        step for step in STEPS if step not in ("embed", "state")
    ]


@pytest.mark.parametrize("one", ["decode", "stream"])
def test_an_engine_that_shows_no_text_at_all_did_not_pass(one):
    record = judge_smoke("tiny", absent("decode", "stream"), ended(0))
    assert (record.passed, record.code) == (False, "SMOKE-FAILED")
    assert record.ending.endswith("shows no text that the engine generates: it has no such call")
    assert judge_smoke("tiny", absent(one), ended(0)).passed


def test_a_child_that_died_where_another_step_is_absent_did_not_pass():
    assert judge_smoke("tiny", absent("embed")[:-1], ended(0)).code == "SMOKE-FAILED"
    assert judge_smoke("tiny", absent("embed"), ended(-signal.SIGSEGV)).code == "SMOKE-SEGFAULT"


@pytest.mark.parametrize("state", ["", "ok", "PASSED", "not reached", "failed"])
def test_any_other_state_than_passed_did_not_pass(state):
    events = smoke_events()
    events[-1] = {**events[-1], "state": state}
    assert not judge_smoke("tiny", events, ended(0)).passed


@pytest.mark.parametrize("returncode", [1, 2, 98, 127, 255])
def test_a_child_whose_every_step_passed_and_that_left_otherwise_did_not_pass(returncode):
    record = judge_smoke("tiny", smoke_events(), ended(returncode))
    assert record.code == "SMOKE-FAILED"
    assert record.ending == f"at the end: the child left with exit code {returncode} and gave no reason"


def test_a_child_that_died_at_its_exit_did_not_pass():
    record = judge_smoke("tiny", smoke_events(), ended(-signal.SIGSEGV))
    assert (record.code, record.ending) == ("SMOKE-SEGFAULT", "at the end: segmentation fault")


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGILL, "SMOKE-ILLEGAL", "illegal instruction"),
        (signal.SIGSEGV, "SMOKE-SEGFAULT", "segmentation fault"),
        (signal.SIGBUS, "SMOKE-SEGFAULT", "bus error"),
        (signal.SIGSYS, "SMOKE-ESCAPE", "start a process, open a socket"),
        (signal.SIGKILL, "SMOKE-MEMORY", "killed: by the system"),
        (signal.SIGABRT, "SMOKE-ABORT", "the engine aborted"),
        (signal.SIGXCPU, "SMOKE-TIMEOUT", "CPU time"),
        (signal.SIGFPE, "SMOKE-DIED", "died by SIGFPE"),
        (signal.SIGTERM, "SMOKE-DIED", "died by SIGTERM"),
        (signal.SIGRTMIN, "SMOKE-DIED", "died by SIGRTMIN"),
        (signal.SIGRTMIN + 3, "SMOKE-DIED", f"died by signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_each_death_has_its_code_and_names_the_step(number, code, words):
    record = died_at("load", returncode=-number, output="x\ny")
    assert record.code == code
    assert record.ending.startswith("at load: ")
    assert words in record.ending
    assert record.output == "x\ny"


@pytest.mark.parametrize(
    "output",
    ["terminate called after throwing an instance of 'std::bad_alloc'", "MemoryError", "ggml: failed to allocate 5 MB"],
)
def test_an_abort_for_want_of_memory_is_told_apart(output):
    assert died_at("load", returncode=-signal.SIGABRT, output=output).code == "SMOKE-MEMORY"


def test_a_child_whose_time_was_up():
    record = died_at("prefill", returncode=-signal.SIGTERM, timed_out=True, seconds=300.4)
    assert (record.code, record.ending) == ("SMOKE-TIMEOUT", "at prefill: ended after 300 s without an answer")


def test_a_child_whose_time_was_up_after_its_last_step_did_not_pass():
    assert judge_smoke("tiny", smoke_events(), ended(0, timed_out=True)).code == "SMOKE-TIMEOUT"


def test_a_child_that_could_not_lock_itself_down():
    events = [{"step": "lock", "state": "failed", "reason": "seccomp: Function not implemented"}]
    record = judge_smoke("tiny", events, ended(97))
    assert (record.code, record.locked) == ("SMOKE-UNLOCKED", False)
    assert record.ending == "the child cannot lock itself down here (seccomp: Function not implemented)"


def test_a_child_that_could_not_lock_itself_down_and_need_not_may_pass():
    facts = {"filter": False, "landlock": 0, "missing": {"filter": "seccomp"}}
    record = judge_smoke("tiny", [{"step": "lock", "state": "passed", "facts": facts}, *smoke_events()[1:]], ended(0))
    assert record.passed
    assert not record.confinement.enough
    assert record.confinement.missing == {"filter": "seccomp"}


def test_a_child_that_goes_on_after_a_lock_that_failed_did_not_pass():
    events = [{"step": "lock", "state": "failed", "reason": "seccomp"}, *smoke_events()[1:]]
    assert judge_smoke("tiny", events, ended(0)).ending.endswith("event 2 cannot be read: import begin is out of turn")


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ValueError: wrong", "SMOKE-FAILED"),
        ("MemoryError: no room", "SMOKE-MEMORY"),
        ("AssertionError: ", "SMOKE-FAILED"),
    ],
)
def test_a_failed_step_is_told_with_its_reason(reason, code):
    events = [*smoke_events(until=4), begin("prefill"), {"step": "prefill", "state": "failed", "reason": reason}]
    record = judge_smoke("tiny", events, ended(98))
    assert (record.code, record.ending) == (code, f"at prefill: {reason}")
    assert record.steps[4].reason == reason


def test_only_the_last_lines_of_the_output_are_kept():
    output = "\n".join(str(number) for number in range(100))
    assert died_at("load", returncode=1, output=output).output.splitlines() == [
        str(number) for number in range(88, 100)
    ]


@given(
    events=st.lists(
        st.fixed_dictionaries(
            {
                "step": st.sampled_from([*STEPS, "lock", "other"]),
                "state": st.sampled_from(["begin", "passed", "failed", "x"]),
            }
        ),
        max_size=25,
    ),
    returncode=st.sampled_from([0, 1, 97, 98, *(-number for number in range(1, 65) if number not in (32, 33))]),
    timed_out=st.booleans(),
)
def test_every_ending_has_a_known_code_and_none_without_answers_passes(events, returncode, timed_out):
    record = judge_smoke("tiny", events, ended(returncode, timed_out=timed_out))
    assert not record.passed
    assert record.code in CODES
    assert record.ending


def test_the_driver_of_a_project_is_its_recipes():
    assert engine_for("llama-cpp-python").driver == "llama_cpp"


def test_a_project_without_recipe_has_no_driver():
    with pytest.raises(LoadError, match="no smoke driver knows the project 'numpy'") as caught:
        engine_for("numpy")
    assert "llama-cpp-python" in caught.value.hint


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Stand in for environment and child: it writes these events and ends well; returns how it was called."""
    calls = {}
    (tmp_path / "model.gguf").write_bytes(bytes(1000))

    @contextlib.contextmanager
    def environment(_wheel, _log, **_options):
        yield Environment(tmp_path / "bin/python", tmp_path, tmp_path / "site", tmp_path)

    def call(command, *, stdin, **options):
        calls.update(options, command=[str(part) for part in command], request=json.loads(stdin))
        events = "".join(json.dumps(event) + "\n" for event in with_beginnings(smoke_events()))
        Path(calls["request"]["events"]).write_text(events)
        return ended(0)

    monkeypatch.setattr(smoke, "fresh_environment", environment)
    monkeypatch.setattr(smoke, "draw_question", lambda model, **_: QUESTION._replace(model=model))
    monkeypatch.setattr("truewheel.process.run", call)
    return calls


def smoke_test(tmp_path, **options):
    model = Model("tiny", tmp_path / "model.gguf", "Once", "", vocabulary_round_trips=True)
    return run_smoke(make_wheel(), model, make_engine(), threads=3, console=Console(), **options)


def test_the_child_is_isolated_and_bounded(child, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/x.so")
    monkeypatch.setenv("PYTHONPATH", "/x")
    assert smoke_test(tmp_path, wall_seconds=7.0).passed
    python, *options, driver = child["command"]
    assert python == str(tmp_path / "bin/python")
    assert options == ["-I", "-S", "-B", "-X", "faulthandler"]
    assert driver.endswith("/programs/main.py")
    assert Path(driver).is_file()
    assert child["request"]["adapter"].endswith("/engines/llama_cpp.py")
    assert Path(child["request"]["adapter"]).is_file()
    assert set(child["env"]) == {"PATH", "HOME", "TMPDIR", "LC_ALL", "OPENBLAS_NUM_THREADS"}
    assert (child["cwd"].parent, child["timeout"]) == (tmp_path, 7.0)
    request = child["request"]
    assert (request["import-name"], request["threads"]) == ("toy_engine", 3)
    assert request["required"] == ["filter", "files"]
    assert request["writable"] == [str(child["cwd"])]
    assert request["memory-bytes"] == (4 << 30) + 3 * 1000
    assert request["file-bytes"] == 64 << 20
    assert request["cpu-seconds"] == 900
    assert request["site"] == str(tmp_path / "site")


@pytest.mark.usefixtures("child")
def test_the_steps_that_passed_are_shown(tmp_path, capsys):
    smoke_test(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["locked", *STEPS]
    assert lines[1 + STEPS.index("prefill")].endswith("100 tokens/s")
    assert lines[1 + STEPS.index("decode")].endswith("' there was', 10 tokens/s, smallest margin 0.250")


def test_a_wheel_that_cannot_be_installed_is_a_record_too(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def environment(_wheel, _log, **_options):
        raise InstallError("pip cannot install it: wrong tags")
        yield

    monkeypatch.setattr(smoke, "fresh_environment", environment)
    record = smoke_test(tmp_path)
    assert (record.code, record.ending, record.locked) == ("SMOKE-INSTALL", "pip cannot install it: wrong tags", False)
    assert {step.state for step in record.steps} == {"not reached"}


@pytest.mark.parametrize(
    ("step", "planted"),
    [
        ("decode", {"facts": {"tokens": [1], "margins": [], "text": "x", "tokens-per-second": 1.0}}),
        ("decode", {"facts": {"tokens": [1], "margins": ["big"], "text": "x", "tokens-per-second": 1.0}}),
        ("decode", {"facts": {}}),
        ("prefill", {"facts": {"tokens-per-second": "fast"}}),
        ("system-info", {"facts": {"text": 5}}),
    ],
)
def test_a_child_whose_account_makes_no_sense_did_not_pass(step, planted):
    events = [{**event, **planted} if event["step"] == step else event for event in smoke_events()]
    record = judge_smoke("tiny", events, ended(0))
    assert record.code == "SMOKE-FAILED"
    assert record.ending.startswith(f"at {step}: what the child says of it cannot be read")


def test_a_child_that_says_that_it_cannot_lock_itself_down_after_it_did_is_not_believed():
    for events in ([], smoke_events(until=0), smoke_events(until=3), smoke_events()):
        record = judge_smoke("tiny", events, ended(97))
        assert (record.code, record.passed) == ("SMOKE-FAILED", False)
        assert "exit code 97" in record.ending


def test_what_the_system_knows_comes_before_what_the_child_says():
    failed = [*smoke_events(until=2), {"step": "load", "state": "failed", "reason": "MemoryError: no room"}]
    assert judge_smoke("tiny", failed, ended(-signal.SIGSYS)).code == "SMOKE-ESCAPE"
    nonsense = [*smoke_events(until=2), {"step": "lock", "state": "failed", "reason": "no filter"}]
    assert judge_smoke("tiny", nonsense, ended(-signal.SIGSYS)).code == "SMOKE-ESCAPE"
    record = judge_smoke("tiny", nonsense, ended(0))
    assert (record.code, record.locked) == ("SMOKE-FAILED", True)
    assert record.ending.startswith("at load: what the child says makes no sense: event 6 cannot be read: lock failed")


def test_the_request_says_nothing_of_what_should_come_of_it(child, tmp_path):
    model = Model("tiny", tmp_path / "model.gguf", "Once", "a word that nobody says", vocabulary_round_trips=True)
    record = run_smoke(make_wheel(), model, make_engine(), threads=3, console=Console())
    assert "does not contain" in record.ending
    assert "a word that nobody says" not in json.dumps(child["request"])
    assert not {"expect", "round-trip"} & set(child["request"])
