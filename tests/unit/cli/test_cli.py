"""The command line: what it prints where, and with which code it ends."""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from factories import DIST_INFO, make_dispatch_plan, make_facts, make_stored_report, make_toolchain, wheel_members

import truewheel
import truewheel.cli
from truewheel.checks.finding import Finding
from truewheel.checks.run import run_checks
from truewheel.child.smoke import unproven
from truewheel.cli import VERBS, cli, run
from truewheel.errors import FAMILIES, LoadError, TruewheelError
from truewheel.files import hash_file
from truewheel.models.models import find_model
from truewheel.report import make_report
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.writer import write_wheel

HEAVY = (
    "truewheel.corridor.pipeline",
    "truewheel.plan.plan",
    "truewheel.report",
    "archspec",
    "auditwheel",
    "elftools",
    "gguf",
    "numpy",
    "pip",
    "rich",
)


@pytest.fixture
def command(capsys):
    """Run the command line and return its exit code, data and talk."""

    def call(*arguments):
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def failing(monkeypatch):
    """Let every build raise an error."""

    def plant(error):
        def build(*_, **__):
            raise error

        monkeypatch.setattr("truewheel.corridor.pipeline.build", build)

    return plant


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_verb(command, option):
    code, out, err = command(option)
    assert (code, err) == (0, "")
    for verb, text in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(text)}$", out, re.MULTILINE)
    assert "130 Ctrl-C" in out


def test_no_arguments_show_the_help(command):
    code, out, err = command()
    assert (code, err) == (0, "")
    assert out == command("--help")[1]


def test_version(command):
    assert command("--version") == (0, f"truewheel, version {truewheel.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(command, verb):
    code, out, err = command(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: truewheel {verb}")
    assert re.search(rf"Examples?:\n +truewheel {verb}", out)


@pytest.mark.parametrize("verb", VERBS)
def test_the_short_help_is_the_verbs_own(verb):
    found = cli.get_command(None, verb)
    assert found.name == verb
    assert found.short_help == VERBS[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_offers_json(verb):
    assert "--json" in [name for parameter in cli.get_command(None, verb).params for name in parameter.opts]


def test_the_verbs_are_the_files():
    files = {path.stem.removesuffix("_") for path in Path(truewheel.cli.__file__).parent.glob("[a-z]*_.py")}
    assert files == set(VERBS)


def _loaded_by(*arguments):
    script = (
        "import sys\nfrom truewheel.cli import run\nrun(sys.argv[1:])\n"
        f"print(*(name for name in {(*HEAVY, 'filelock')!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stderr.split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["build", "--help"], ["schema"]])
def test_what_needs_no_machinery_loads_none(arguments):
    assert _loaded_by(*arguments) == []


def test_the_wheelhouse_is_listed_without_the_rooms_of_a_report():
    assert not set(_loaded_by("list")) & {*HEAVY, "filelock"}


def test_an_unknown_verb_gets_a_suggestion(command):
    code, out, err = command("bild")
    assert (code, out) == (2, "")
    assert err == "error: there is no verb 'bild'. Did you mean 'build'?\n\nhint: try `truewheel --help`\n"


def test_a_verb_far_from_all_gets_the_list(command):
    code, _, err = command("xyzzy")
    assert code == 2
    assert f"Verbs are: {', '.join(VERBS)}." in err


@pytest.mark.parametrize("arguments", [["--hepl"], ["build", "--jsno"], ["list", "--wheelhuose", "x"]])
def test_an_unknown_option_gets_a_suggestion(command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert re.search(r"did you mean|possible options", err, re.IGNORECASE)
    assert "hint: try `truewheel" in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["build", "--jobs", "0"], "--jobs"),
        (["build", "--jobs", "many"], "--jobs"),
        (["build", "--toolchain", "icc"], "--toolchain"),
        (["build", "a", "b", "c"], "unexpected extra argument"),
        (["smoke"], "WHEEL"),
    ],
)
def test_wrong_usage_names_what_is_wrong(command, arguments, named):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert named in err
    assert f"\n\nhint: try `truewheel {arguments[0]} --help`" in err


def test_an_option_without_its_argument(command):
    code, out, err = command("list", "--wheelhouse")
    assert (code, out) == (2, "")
    assert "'--wheelhouse' requires an argument" in err


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_errors_has_its_exit_code(command, failing, family):
    failing(family("it went wrong", hint="do it better"))
    code, out, err = command("build")
    assert (code, out) == (family.exit_code, "")
    assert err == "error: it went wrong\n\nhint: do it better\n"


def test_an_error_without_hint(command, failing):
    failing(LoadError("it went wrong"))
    assert command("build") == (2, "", "error: it went wrong\n")


def test_the_exit_codes_are_those_of_the_stages():
    assert [family.exit_code for family in FAMILIES] == [2, 3, 4, 5, 6, 7, 8]
    assert TruewheelError.exit_code == 1
    assert len({family.stage for family in FAMILIES}) == len(FAMILIES)


def test_an_interruption_ends_with_130(command, failing):
    failing(KeyboardInterrupt())
    code, out, err = command("build")
    assert (code, out) == (130, "")
    assert "error: interrupted; nothing half-made was left behind" in err


def test_a_fault_of_our_own_is_not_hidden(failing):
    failing(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        run(["build"])


def test_main_exits_with_the_code(failing, capsys):
    failing(LoadError("x"))
    with pytest.raises(SystemExit) as caught:
        truewheel.cli.main(["build"])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_an_unknown_engine_and_profile(command):
    code, out, err = command("plan", "lama-cpp-python")
    assert (code, out) == (2, "")
    assert "there is no recipe named 'lama-cpp-python'" in err
    assert "did you mean 'llama-cpp-python'?" in err
    assert command("plan", "llama-cpp-python", "natvie")[0] == 2


def test_smoke_of_what_is_no_wheel(command, tmp_path):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_text("not found\n")
    code, out, err = command("smoke", str(path))
    assert (code, out) == (7, "")
    assert "ARCHIVE-UNREADABLE" in err


def test_smoke_of_a_wheel_without_driver(command, tmp_path):
    path = tmp_path / "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    write_wheel(path, wheel_members(), DIST_INFO)
    code, out, err = command("smoke", str(path))
    assert (code, out) == (2, "")
    assert "no smoke driver knows the project 'toy-engine'" in err


def test_the_schema_is_json(command):
    code, out, err = command("schema")
    assert (code, err) == (0, "")
    assert {"Recipe", "Profile"} <= set(json.loads(out)["$defs"])
    assert command("schema", "--json") == (0, out, "")


def test_an_empty_wheelhouse_lists_nothing(command, tmp_path):
    assert command("list", "--json", "--wheelhouse", str(tmp_path / "none")) == (0, "[]\n", "")
    code, out, err = command("list", "--wheelhouse", str(tmp_path / "none"))
    assert (code, out) == (0, "")
    assert "is empty; `truewheel build` makes a wheel" in err


def about(wheel, report):
    return msgspec.structs.replace(report, sha256=hash_file(wheel))


def test_the_wheelhouse_is_listed_as_data(command, tmp_path, monkeypatch):
    wheel = tmp_path / "toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl"
    write_wheel(wheel, wheel_members(), DIST_INFO)
    stored = Wheelhouse(tmp_path / "house").add(wheel, about(wheel, make_stored_report()))
    monkeypatch.setenv("TRUEWHEEL_WHEELHOUSE", str(tmp_path / "house"))
    code, out, err = command("list", "--json")
    (row,) = json.loads(out)
    assert (code, err) == (0, "")
    assert (row["path"], row["verdict"], row["level"], row["findings"]) == (str(stored.path), "passed", "x86-64-v3", [])
    code, out, err = command("list")
    assert (code, err) == (0, "")
    headings, row = out.splitlines()
    assert headings.split() == ["verdict", "MiB", "level", "checked", "wheel"]
    assert row.startswith("passed")
    assert row.endswith(wheel.name)


def unproven_report():
    facts = make_facts(smoke=unproven(find_model("tiny"), "not provable here: this CPU lacks avx512f"))
    return make_report(facts, run_checks(facts), {})


def test_an_unproven_wheel_is_listed_as_such(command, tmp_path):
    wheel = tmp_path / "toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl"
    write_wheel(wheel, wheel_members(), DIST_INFO)
    Wheelhouse(tmp_path / "house").add(wheel, about(wheel, unproven_report()))
    code, out, _ = command("list", "--wheelhouse", str(tmp_path / "house"))
    assert (code, out.splitlines()[1].split()[0]) == (0, "unproven")
    (row,) = json.loads(command("list", "--json", "--wheelhouse", str(tmp_path / "house"))[1])
    assert (row["verdict"], row["findings"]) == ("unproven", ["SMOKE-UNPROVEN"])


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (make_stored_report(), 0),
        (unproven_report(), 0),
        (make_stored_report([Finding(code="SMOKE-ILLEGAL", where="model tiny", message="it died")]), 7),
    ],
    ids=["passed", "unproven", "refused"],
)
def test_what_could_not_be_shown_is_no_failure(command, monkeypatch, tmp_path, report, expected):
    monkeypatch.setattr("truewheel.corridor.verify.smoke_wheel", lambda *_: report)
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    wheel.touch()
    code, out, _ = command("smoke", str(wheel))
    assert code == expected
    assert out.startswith(report.verdict)


def test_a_plan_shows_each_backend_line_by_line(command, monkeypatch):
    plan = make_dispatch_plan()
    passed = make_toolchain(kind="clang", version="12", refusal="too old")
    monkeypatch.setattr(
        "truewheel.corridor.prepare.prepare", lambda *_: SimpleNamespace(plan=plan, passed_over=[passed])
    )
    code, out, err = command("plan", "llama-cpp-python", "dispatch")
    assert (code, err) == (0, "passed over clang 12: too old\n")
    out = "\n".join(line.removeprefix("    ") for line in out.splitlines())
    assert out.count("backends:\n  name: ") == 3
    assert "backends:\n  name: good\n  library: toy_engine/lib/libtoy-cpu-good.so\n  target: toy-cpu-good\n" in out
    assert "  flags: -mavx -mavx2 -mbmi2 -mfma -msse4.2\n" in out
    assert "{'" not in out
    table = json.loads(command("plan", "llama-cpp-python", "dispatch", "--json")[1])
    assert [backend["name"] for backend in table["code"]["kernels"]["backends"]] == ["best", "good", "base"]


def test_a_wheelhouse_that_is_a_file_is_wrong_usage(command, tmp_path):
    (tmp_path / "file").touch()
    assert command("list", "--wheelhouse", str(tmp_path / "file"))[0] == 2


def test_engines_and_profiles_are_completed():
    parameters = {parameter.name: parameter for parameter in cli.get_command(None, "build").params}
    context = cli.make_context("truewheel", ["build"], resilient_parsing=True)
    found = parameters["engine"].shell_complete(context, "llama")
    assert "llama-cpp-python" in [item.value for item in found]
    assert [item.value for item in parameters["profile"].shell_complete(context, "nati")] == ["native"]


def _start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "truewheel", *arguments], stderr=subprocess.PIPE, text=True, **options
    )


def test_a_reader_that_has_gone_is_no_fault():
    reading, writing = os.pipe()
    os.close(reading)
    child = _start("schema", stdout=writing)
    os.close(writing)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (0, "")


def test_a_real_process_dies_of_ctrl_c_so_that_a_shell_ends_its_loop(tmp_path):
    script = """
import sys, time
import truewheel.corridor.pipeline
def build(*_, **__):
    print("ready", flush=True)
    time.sleep(30)
truewheel.corridor.pipeline.build = build
from truewheel.cli import main
main(["build"])
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert "Traceback" not in err
    assert "interrupted" in err


COMPILING = """
import sys
import truewheel.corridor.pipeline
from truewheel import process
from truewheel.errors import LoadError
def build(*_, **__):
    print("building", flush=True)
    process.run(["/bin/sh", "-c", sys.argv[1]], on_line=lambda line: print(line, flush=True))
    raise LoadError("compiled")
truewheel.corridor.pipeline.build = build
from truewheel.cli import main
main(["build"])
"""


def _start_compiling(script, **options):
    """Start a build whose compiler is a shell script; return it and the number that the script prints."""
    child = subprocess.Popen(
        [sys.executable, "-c", COMPILING, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    assert child.stdout.readline() == "building\n"
    return child, int(child.stdout.readline())


def _ends(number, within=5.0):
    """Tell whether a process is gone, or a zombie, before the time is up."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_a_real_process_and_its_children(trap, times, number):
    child, grandchild = _start_compiling(f"({trap}exec sleep 60) & echo $!; wait")
    try:
        for _ in range(times):
            child.send_signal(number)
            time.sleep(0.1)
        _, err = child.communicate(timeout=30)
        assert (child.returncode, _ends(grandchild)) == (-number, True)
        what = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        assert err.splitlines()[-3:] == [
            f"error: {what}; nothing half-made was left behind",
            "",
            "hint: run the same command again; what was fetched and compiled is kept",
        ]
        assert "Traceback" not in err
    finally:
        _kill(grandchild)


SETSID = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_what_left_its_session_ends_too_however_the_run_ended(number):
    child, server = _start_compiling(f"{sys.executable} -c '{SETSID}' & wait")
    try:
        child.send_signal(number)
        child.communicate(timeout=30)
        assert _ends(server)
    finally:
        _kill(server)


def test_a_terminal_that_was_closed_does_not_keep_a_run_from_ending():
    child, number = _start_compiling("echo $$; exec sleep 60")
    child.stdout.close()
    child.stderr.close()
    child.send_signal(signal.SIGHUP)
    assert (child.wait(timeout=30), _ends(number)) == (-signal.SIGHUP, True)


def test_a_signal_while_modules_are_imported_is_no_traceback(tmp_path):
    # The first module that the command line imports waits.
    (tmp_path / "click.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(30)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(truewheel.__file__).parents[1]}"}
    child = subprocess.Popen(
        [sys.executable, "-m", "truewheel", "list"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "importing\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err.count("\n")) == (-signal.SIGINT, 3)
    assert err.startswith("error: interrupted; ")


def _kill(number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stays_ignored_where_it_was(number):
    def ignore():
        signal.signal(number, signal.SIG_IGN)

    child, _ = _start_compiling("echo $$; exec sleep 0.5", preexec_fn=ignore)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (2, "error: compiled\n")


def test_the_meaning_of_sigterm_is_left_as_it_was(failing, capsys):
    failing(LoadError("x"))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        truewheel.cli.main(["build"])
    assert "error: x" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("arguments", "seconds", "rounds"),
    [((), 300, 5), (("--minutes", "2"), 120, 5), (("--thorough",), math.inf, 5), (("--quick",), 300, 3)],
)
def test_bench_takes_five_minutes_unless_told_otherwise(command, monkeypatch, arguments, seconds, rounds):
    methods = []

    def run_benchmark(_asked, _model, method, *_):
        methods.append(method)
        raise LoadError("x")

    monkeypatch.setattr("truewheel.measure.run.run_benchmark", run_benchmark)
    monkeypatch.setattr("truewheel.measure.subjects.parse_subject", lambda text: text)
    monkeypatch.setattr("truewheel.models.models.find_model", lambda name: name)
    command("bench", "a.whl", "b.whl", "--no-limits", *arguments)
    assert [(method.budget.seconds, method.rounds) for method in methods] == [(seconds, rounds)]


def test_bench_without_a_limit_takes_none(command):
    code, _, err = command("bench", "a.whl", "--thorough", "--minutes", "3")
    assert code == 2
    assert "leave --minutes away" in err
