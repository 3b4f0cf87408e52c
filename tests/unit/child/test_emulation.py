"""Which CPUs show what a wheel promises, what a run on one of them was, and what follows; no emulator is needed."""

import platform
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from factories import QUESTION, ended, hear, make_facts, make_host, make_stored_report, make_wheel, smoke_events
from iced_x86 import CpuidFeature, Decoder
from planted_emulation import (
    HASWELL,
    HERE,
    NEHALEM,
    PENRYN,
    PLANTED_EMULATION,
    SOUND,
    change,
    emulated,
    with_haswell,
)

import truewheel.child.programs
from truewheel.checks.emulation import CODES, check
from truewheel.checks.run import run_checks
from truewheel.child import emulation
from truewheel.child.emulated_cpus import (
    CpuPromise,
    EmulatedCpu,
    PlannedRun,
    canary_codes,
    choose_cpus,
    emulated_cpus,
    plan_runs,
)
from truewheel.child.emulated_run import judge_run
from truewheel.child.limits import EMULATED
from truewheel.child.programs import emulate
from truewheel.child.smoke import STEPS
from truewheel.child.start import Confined, scratch_in
from truewheel.cli import run as run_command
from truewheel.cpu.features import feature_table
from truewheel.cpu.host import detect_host
from truewheel.cpu.levels import LEVELS, highest_level, level_features
from truewheel.errors import CheckError
from truewheel.examine.isa_account import target_of
from truewheel.pages.html import to_html
from truewheel.pages.markdown import to_markdown
from truewheel.pages.terminal import to_lines
from truewheel.pages.wheel import describe_wheel
from truewheel.report import make_report

V2, V3, V4 = (level_features(level) for level in LEVELS[1:])
WORDS = "ImportError: this wheel was built for x86-64-v3 CPUs; this CPU is x86-64-v2 and lacks avx2"
CPU = EmulatedCpu(name="Nehalem", family="Nehalem", canary="avx")
REGISTERS = ("eax", "ebx", "ecx", "edx")


# The data


@pytest.mark.parametrize("cpu", emulated_cpus(), ids=lambda cpu: cpu.name)
def test_a_cpu_is_a_known_family_and_its_canary_is_the_weakest_that_it_lacks(cpu):
    assert cpu.lacks <= cpu.of_family
    assert cpu.canary == next(feature for feature in canary_codes() if feature not in cpu.of_family)


def test_cpus_stand_from_the_least_and_none_has_what_the_emulator_lacks():
    levels = [LEVELS.index(highest_level(cpu.features)) for cpu in emulated_cpus()]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert not any(name.startswith(("avx512", "avx_", "amx")) for cpu in emulated_cpus() for name in cpu.features)


@pytest.mark.parametrize("feature", canary_codes())
def test_a_canary_is_one_instruction_of_its_feature(feature):
    code = bytes.fromhex(canary_codes()[feature])
    instruction = Decoder(64, code).decode()
    assert instruction.len == len(code)
    assert [getattr(CpuidFeature, feature.upper())] == instruction.cpuid_features()


# Which CPUs


@pytest.mark.parametrize(
    ("floor", "names"),
    [
        (frozenset(), "Penryn Nehalem Westmere SandyBridge IvyBridge Opteron_G5 Haswell EPYC-Milan"),
        (V2, "Penryn Nehalem Westmere SandyBridge IvyBridge Opteron_G5 Haswell EPYC-Milan"),
        (V3, "Nehalem Westmere SandyBridge IvyBridge Opteron_G5 Haswell EPYC-Milan"),
        (V3 | {"avx_vnni"}, "Haswell EPYC-Milan"),
        (V4, "Haswell EPYC-Milan"),
        (V2 | {"avx"}, "Nehalem Westmere SandyBridge IvyBridge Opteron_G5 Haswell EPYC-Milan"),
    ],
)
def test_cpus_at_the_floor_and_up_are_chosen_and_those_one_level_below(floor, names):
    assert [cpu.name for cpu in choose_cpus(floor)] == names.split()


def test_this_machine_runs_a_wheel_that_it_can_run_and_comes_first():
    assert plan_runs(CpuPromise(V3), V3)[0] == PlannedRun(None)
    assert all(order.cpu for order in plan_runs(CpuPromise(V4), V3))


def test_this_machine_is_asked_for_backends_that_no_emulated_cpu_gets():
    backends = {"wide": V4 | {"amx_int8"}, "middle": V4, "vnni": V3 | {"avx_vnni"}, "small": V3, "least": V2}
    here = V4 | {"avx_vnni"}
    orders = plan_runs(CpuPromise(V2, backends), here)
    assert [order.backend for order in orders if order.cpu is None] == ["", "vnni"]
    assert not any(order.backend for order in orders if order.cpu)


def test_the_best_backend_that_a_cpu_can_run_is_expected():
    target = CpuPromise(V2, {"wide": V4, "middle": V3, "small": V2})
    assert [target.choose(features) for features in (V4, V3, V2, frozenset())] == ["wide", "middle", "small", ""]


def test_a_wheel_promises_what_it_claims():
    target = target_of(emulated())
    assert target.floor == V2
    assert list(target.backends) == ["wide", "middle", "small"]
    assert target_of(make_facts(plan=None, wheel=make_wheel())) == CpuPromise(frozenset(), {})
    assert target_of(make_facts()).floor == V3


# One run


def features_event(*names):
    return {"step": "cpu", "state": "passed", "facts": {"features": list(names)}}


def canary_events(state="begin"):
    events = [{"step": "canary", "state": "begin"}]
    return events if state == "begin" else [*events, {"step": "canary", "state": state}]


def failing(step, reason):
    return [*smoke_events(until=STEPS.index(step)), {"step": step, "state": "failed", "reason": reason}]


def judged(events, returncode, *, floor=V2, seen=V2, backends=(), cpu=CPU, **how):
    lock, *others = events
    events = [lock, *([features_event(*seen)] if seen is not None else []), *others]
    target = CpuPromise(floor, dict(backends))
    return judge_of(cpu, target, events, ended(returncode, **how), emulator="qemu-x86_64 7.2")


def judge_of(cpu, target, events, done, *, emulator="", backend=""):
    order = PlannedRun(cpu, backend)
    return judge_run(order, target, V4, QUESTION, hear(events, emulation.script_of(order)), done, emulator=emulator)


def test_a_run_passed_when_all_its_steps_did_and_the_canary_died():
    run = judged([*smoke_events(), *canary_events()], -signal.SIGILL, output="noise")
    assert (run.outcome, run.canary, run.ending, run.output) == ("passed", "died", "passed", "")
    assert (run.cpu, run.family, run.level, run.lacks) == ("Nehalem", "Nehalem", "x86-64-v2", ())
    assert (run.tokens, run.margins, run.seconds) == ((1, 2), (0.5, 0.25), 5.0)
    assert run.emulator == "qemu-x86_64 7.2"


def test_a_canary_that_lived_is_told_whatever_else_happened():
    assert judged([*smoke_events(), *canary_events("survived")], 0).canary == "survived"
    assert judged([*failing("import", WORDS), *canary_events("survived")], 98, seen=()).canary == "survived"


@pytest.mark.parametrize("returncode", [0, -signal.SIGSEGV])
def test_a_run_without_a_death_of_the_canary_is_told_so(returncode):
    assert judged(smoke_events(), returncode).canary == "not reached"
    assert judged([*smoke_events(), *canary_events()], returncode).canary == "not reached"


def test_a_refusal_in_words():
    run = judged([*failing("import", WORDS), *canary_events()], -signal.SIGILL, floor=V3)
    assert (run.outcome, run.canary) == ("refused", "died")
    assert run.ending == WORDS.removeprefix("ImportError: ")
    assert run.lacks == tuple(sorted(V3 - V2))
    assert run.expected == ""


@pytest.mark.parametrize("reason", ["ImportError: libgomp.so.1: cannot open", "RuntimeError: this CPU is too old", ""])
def test_another_failure_is_no_refusal(reason):
    assert judged([*failing("import", reason), *canary_events()], -signal.SIGILL, floor=V3).outcome == "failed"


def test_words_on_a_cpu_that_has_everything_are_a_failure():
    run = judged([*failing("import", WORDS), *canary_events()], -signal.SIGILL)
    assert (run.outcome, run.ending) == ("failed", f"at import: {WORDS}")


def test_words_after_the_import_are_no_refusal():
    assert judged([*failing("load", WORDS), *canary_events()], -signal.SIGILL, floor=V3).outcome == "failed"


def test_an_illegal_instruction_before_the_canary():
    events = [*smoke_events(until=4), {"step": "prefill", "state": "begin"}]
    run = judged(events, -signal.SIGILL, output="Fatal Python error: Illegal instruction")
    assert (run.outcome, run.canary) == ("illegal", "not reached")
    assert run.ending.startswith("at prefill: illegal instruction")
    assert run.output == "Fatal Python error: Illegal instruction"


def test_a_python_that_does_not_run_there_says_nothing_of_the_wheel():
    run = judge_of(CPU, CpuPromise(V2), [], ended(-signal.SIGILL))
    assert run.outcome == "not started"
    assert judge_of(CPU, CpuPromise(V2), [], ended(127)).outcome == "failed"


def test_an_escape_is_a_failure_with_its_words():
    events = [*smoke_events(until=2), {"step": "load", "state": "begin"}]
    run = judged(events, -signal.SIGSYS)
    assert (run.outcome, run.ending) == (
        "failed",
        "at load: it tried to start a process, open a socket or reach for another process",
    )


def test_what_counts_is_what_the_cpu_says_that_it_has():
    run = judged([*smoke_events(), *canary_events()], -signal.SIGILL, seen=V3)
    assert run.level == "x86-64-v3"
    assert set(run.surplus) == V3 - CPU.of_family
    weak = judged([*failing("import", WORDS), *canary_events()], -signal.SIGILL, seen=V2 - {"popcnt"})
    assert (weak.level, weak.lacks, weak.outcome) == ("x86-64", ("popcnt",), "refused")


@pytest.mark.parametrize("facts", [None, 5, {}, {"features": "all"}, {"features": [1]}])
def test_a_look_that_makes_no_sense_counts_for_nothing(facts):
    lock, *others = smoke_events()
    events = [lock, {"step": "cpu", "state": "passed", "facts": facts}, *others]
    assert judge_of(CPU, CpuPromise(V2), events, ended(0)).lacks == ()


def test_the_backend_that_the_guard_names_and_the_one_that_it_should_take():
    events = [*smoke_events(), *canary_events()]
    event = next(event for event in events if event["step"] == "system-info")
    event["facts"] = {**event["facts"], "backend": "small"}
    run = judged(events, -signal.SIGILL, backends={"middle": V3, "small": V2})
    assert (run.expected, run.backend) == ("small", "small")
    event["facts"]["backend"] = "\x1b[31m"
    assert judged(events, -signal.SIGILL).backend == "'\\x1b[31m'"
    event["facts"]["backend"] = ["small"]
    assert judged(events, -signal.SIGILL).backend == ""


def test_a_run_on_this_machine_needs_no_canary():
    promise = CpuPromise(V2, {"wide": V4, "middle": V3})
    run = judge_of(None, promise, smoke_events(), ended(), backend="middle")
    assert (run.cpu, run.canary, run.outcome, run.emulator) == ("this machine", "not needed", "passed", "")
    assert (run.level, run.asked, run.expected) == ("x86-64-v4", "middle", "middle")


# What follows


@pytest.mark.parametrize("code", CODES)
def test_a_planted_fault_is_found_and_no_other(code):
    found = list(check(PLANTED_EMULATION[code]()))
    assert {finding.code for finding in found} == {code, "EMULATE-PASSED"}
    (finding,) = (finding for finding in found if finding.code == code)
    assert finding.hint or code == "EMULATE-PASSED"


def test_nothing_is_said_of_a_wheel_that_was_not_emulated():
    assert list(check(make_facts())) == []


def test_runs_that_did_as_promised_are_listed():
    (finding,) = check(emulated(*SOUND))
    assert finding.code == "EMULATE-PASSED"
    assert finding.message == (
        "it ran on this machine (wide), Nehalem (small), Haswell (middle); it refused Penryn in words"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"surplus": ("avx",)}, "EMULATE-CANARY"),
        ({"canary": "not reached"}, "EMULATE-CANARY"),
        ({"canary": "not reached", "outcome": "illegal", "ending": "x"}, "EMULATE-ILLEGAL"),
        ({"backend": ""}, "EMULATE-BACKEND"),
        ({"outcome": "refused", "ending": "this CPU"}, "EMULATE-FAILED"),
        ({"outcome": "not started", "ending": "this Python"}, "EMULATE-UNPROVEN"),
        ({"lacks": ("avx2",)}, "EMULATE-SILENT"),
    ],
)
def test_each_way_to_go_wrong_has_its_code(changes, code):
    found = [finding for finding in check(with_haswell(**changes)) if finding.where == "Haswell"]
    assert [finding.code for finding in found] == [code]


def test_a_refusal_without_a_canary_shows_nothing():
    found = list(check(emulated(HERE, change(PENRYN, canary="not reached"), NEHALEM, HASWELL)))
    assert [finding.code for finding in found] == ["EMULATE-CANARY", "EMULATE-PASSED"]


@pytest.mark.parametrize(
    ("tokens", "margins", "codes"),
    [
        ((1, 2, 3), (0.5, 0.25, 0.125), []),
        ((1, 2, 9), (0.5, 0.25, 0.009), []),
        ((1, 2, 9), (0.5, 0.25, 0.01), ["EMULATE-TEXT"]),
        ((1, 8, 9), (0.5, 0.009, 0.5), []),
    ],
)
def test_tokens_may_part_at_a_near_tie_alone(tokens, margins, codes):
    runs = (change(HERE, margins=margins), PENRYN, NEHALEM, change(HASWELL, tokens=tokens))
    assert [finding.code for finding in check(emulated(*runs)) if finding.where == "Haswell"] == codes


def test_without_this_machine_the_first_that_passed_is_the_reference():
    runs = (PENRYN, change(NEHALEM, tokens=(1, 7, 3)), HASWELL)
    (finding,) = (finding for finding in check(emulated(*runs)) if finding.code == "EMULATE-TEXT")
    assert finding.where == "Haswell"
    assert "than on Nehalem" in finding.message


def test_a_run_that_was_asked_for_a_backend_is_told_apart():
    asked = change(HERE, asked="middle", expected="middle", backend="wide")
    (finding,) = (finding for finding in check(emulated(*SOUND, asked)) if finding.code == "EMULATE-BACKEND")
    assert finding.where == "this machine, asked for middle"


def test_backends_that_nothing_here_gets_are_not_proven():
    (finding,) = (finding for finding in check(emulated(PENRYN, NEHALEM, HASWELL)) if "UNPROVEN" in finding.code)
    assert finding.message.endswith("gets wide")


def test_a_wheel_that_nothing_here_can_run_is_not_proven():
    lacks = ("avx512bw", "avx512f")
    runs = (change(PENRYN, cpu="Haswell", lacks=lacks), change(PENRYN, cpu="EPYC-Milan", lacks=lacks))
    (finding, passed) = check(emulated(*runs, backends=[], level="x86-64-v4"))
    assert finding.code == "EMULATE-UNPROVEN"
    assert "it needs avx512bw, avx512f, which neither this machine nor a CPU has" in finding.message
    assert passed.message == "it refused Haswell, EPYC-Milan in words"


def test_a_wheel_that_cannot_be_installed_failed_and_that_is_all():
    run = change(HERE, outcome="failed", ending="pip cannot install it", expected="", backend="", tokens=(), margins=())
    assert [finding.code for finding in check(emulated(run))] == ["EMULATE-FAILED"]


def verdict(*runs):
    facts = emulated(*runs)
    findings = tuple(finding for finding in run_checks(facts) if finding.code.startswith("EMULATE-"))
    return make_report(facts, findings, {}).verdict


def test_the_verdict_follows():
    assert verdict(*SOUND) == "passed"
    assert verdict(PENRYN, NEHALEM, HASWELL) == "unproven"
    assert verdict(*SOUND[:3], change(HASWELL, canary="survived")) == "refused"


# The account


def test_the_table_stands_in_every_form_of_the_account():
    report = make_stored_report(facts=emulated(*SOUND, change(HERE, asked="<b>", backend="\x1b[31m")))
    lines = to_lines(describe_wheel(report, "brief"))
    at = lines.index("  Emulated by qemu-x86_64 7.2.22.")
    assert lines[at - 1] == "On other CPUs"
    assert lines[at + 1].split() == ["CPU", "level", "expected", "outcome", "backend", "seconds"]
    assert " ".join(lines[at + 3].split()) == "Penryn x86-64 refused: lacks popcnt, sse4_2 refused - 12.3"
    assert not any("\x1b" in line for line in lines)
    markdown, page = to_markdown(describe_wheel(report)), to_html(describe_wheel(report))
    assert "## On other CPUs\n\nEmulated by qemu-x86_64 7.2.22." in markdown
    assert "| Haswell | x86-64-v3 | middle | passed | middle | 12.3 |" in markdown
    assert "<h2>On other CPUs</h2>" in page
    assert "\x1b" not in markdown + page


def test_without_such_runs_nothing_is_said_of_them():
    report = make_stored_report()
    assert "other CPUs" not in "\n".join(
        (
            *to_lines(describe_wheel(report, "brief")),
            to_markdown(describe_wheel(report)),
            to_html(describe_wheel(report)),
        )
    )


def test_a_family_of_another_name_is_told():
    run = change(HASWELL, cpu="Opteron_G5", family="Piledriver", canary="survived")
    text = "\n".join(
        to_lines(
            describe_wheel(make_stored_report(facts=emulated(run, change(HASWELL, surplus=("avx512f",)))), "brief")
        )
    )
    assert "Opteron_G5 (Piledriver)" in text
    assert "canary survived" in text
    assert "another CPU" in text


# The emulator


@pytest.fixture
def no_emulator(monkeypatch):
    monkeypatch.setattr(emulation.shutil, "which", lambda _name: None)
    monkeypatch.setattr(emulation.platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("no_emulator")
def test_without_an_emulator_one_is_told_how_to_get_it(tmp_path, capsys):
    with pytest.raises(CheckError, match="qemu-x86_64 is not here") as caught:
        emulation.find_emulator()
    assert "apt-get install qemu-user" in caught.value.hint
    assert emulation.emulated_here() == ()
    assert run_command(["check", "--emulate", str(tmp_path / "toy-1.0-py3-none-any.whl")]) == 7
    assert "apt-get install qemu-user" in capsys.readouterr().err


def test_on_another_architecture_nothing_is_emulated(monkeypatch):
    monkeypatch.setattr(emulation.platform, "machine", lambda: "aarch64")
    assert emulation.emulated_here() == ()
    with pytest.raises(CheckError, match="aarch64"):
        emulation.find_emulator()


def test_with_an_emulator_its_cpus_are_known(monkeypatch):
    monkeypatch.setattr(emulation.shutil, "which", lambda _name: "/usr/bin/qemu-x86_64")
    monkeypatch.setattr(emulation.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(emulation.process, "run", lambda *_, **__: ended(output="qemu-x86_64 version 7.2.22 (Debian)"))
    assert [name for name, _ in emulation.emulated_here()] == [cpu.name for cpu in emulated_cpus()]
    assert emulation.find_emulator() == ("/usr/bin/qemu-x86_64", "qemu-x86_64 7.2.22")


def test_a_model_without_emulation_is_wrong_usage(capsys):
    assert run_command(["check", "toy-1.0-py3-none-any.whl", "--model", "smollm2"]) == 2
    assert "--emulate" in capsys.readouterr().err


# What stands in the child

DRIVERS = Path(truewheel.child.programs.__file__).parent
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code for x86-64")


def child(body):
    """Run a body beside the drivers, as they run: without site-packages."""
    script = f"import sys; sys.path.insert(0, {str(DRIVERS.parents[2])!r})\nimport ctypes, os\n"
    script += f"from truewheel.child.programs import emulate, lockdown\n{body}"
    command = [sys.executable, "-I", "-S", "-B", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@on_x86_64
def test_the_driver_sees_the_cpu_as_it_is():
    places = {
        name: (place.leaf, place.subleaf, REGISTERS.index(place.register), place.bit, place.state)
        for name, place in feature_table().items()
    }
    assert emulate.read_features(places) == sorted(detect_host().features)


@on_x86_64
@pytest.mark.parametrize(("code", "returncode"), [("0f 0b", -signal.SIGILL), ("90", 0)])
def test_an_instruction_that_no_cpu_has_ends_the_process_and_one_that_all_have_does_not(code, returncode):
    done = child(f"import faulthandler; faulthandler.enable(); emulate.run_canary({code!r})")
    assert (done.returncode, done.stderr) == (returncode, "")


LOCK = """
name = ctypes.create_string_buffer(b"/bin/echo")
if reason := lockdown.forbid(ctypes.addressof(name)):
    sys.exit(97)
"""


@on_x86_64
@pytest.mark.parametrize(
    ("body", "returncode", "output"),
    [
        ("ctypes.CDLL(None).execl(name, b'echo', b'started', None)", 0, "started\n"),
        ("os.execv('/bin/echo', ['echo', 'started'])", -signal.SIGSYS, ""),
        ("os.fork()", -signal.SIGSYS, ""),
        ("import socket; socket.socket()", -signal.SIGSYS, ""),
    ],
)
def test_the_launcher_can_start_one_program_and_nothing_else(body, returncode, output):
    done = child(LOCK + body)
    if done.returncode == 97:
        pytest.skip("no process can lock itself down here")
    assert (done.returncode, done.stdout) == (returncode, output)


@on_x86_64
def test_a_lock_from_outside_is_found_and_its_absence_too():
    assert child("print(repr(lockdown.find_lock()))").stdout == "'no filter was installed before it began'\n"
    done = child(LOCK + "print(repr(lockdown.find_lock()))")
    assert done.returncode == 97 or done.stdout == "''\n"


def test_the_request_names_every_feature_and_the_canary(tmp_path):
    session = emulation._Session(
        emulation.Environment(tmp_path / "python", tmp_path, tmp_path / "site", tmp_path),
        emulation.Model("tiny", Path(__file__), "Once", "", vocabulary_round_trips=True),
        emulation.EngineEntry(import_name="toy", driver="llama_cpp"),
        CpuPromise(V2),
        make_host(),
        emulation.Emulator("/usr/bin/qemu-x86_64", "7.2"),
    )
    with scratch_in(session.environment) as scratch:
        confined = Confined(session.environment, scratch, EMULATED)
        order = session._emulated(PlannedRun(CPU), confined, session._draw())
        request = msgspec.json.decode(msgspec.json.encode(order))
        job = confined.job(order)
    assert request["emulated"]["command"][:3] == ["/usr/bin/qemu-x86_64", "-cpu", "Nehalem,check=off"]
    assert Path(job.env["HOME"]) == job.cwd == scratch
    assert scratch.parent == tmp_path
    assert Path(request["events"]).parent == scratch
    assert set(request["emulated"]["features"]) == set(feature_table())
    assert request["emulated"]["canary"] == canary_codes()["avx"]
    assert (request["prefill"], request["threads"]) == (16, 1)
