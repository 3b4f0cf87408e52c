"""What is in force is told in a line, and where too little is, nothing runs unless a person insists."""

import os
import signal
import sys
import time

import click
import pytest
from click.testing import CliRunner

from truewheel import process
from truewheel.child.account import find_confinement
from truewheel.child.confinement import (
    OWN,
    STRANGERS,
    UNCONFINED,
    Confinement,
    apply_insistence,
    insisting,
    read_confinement,
)
from truewheel.child.installed import Environment
from truewheel.child.limits import TELL
from truewheel.child.programs import lockdown
from truewheel.child.request import place
from truewheel.cli.common import unconfined_option

WHOLE = {"filter": True, "landlock": 7, "namespaces": ["network"], "capabilities": True, "missing": {}}
WITHOUT = {**WHOLE, "landlock": 0, "missing": {"files": "no Landlock: x", "namespaces": "no namespaces: y"}}


@pytest.mark.parametrize(
    ("account", "required", "listening", "reason"),
    [
        (WHOLE, STRANGERS, False, ""),
        (WITHOUT, STRANGERS, False, "no Landlock: x"),
        (WITHOUT, OWN, False, ""),
        (WITHOUT, OWN, True, "no namespaces: y"),
        (WITHOUT, UNCONFINED, False, ""),
        ({**WITHOUT, "filter": False, "missing": {"filter": "no filter"}}, OWN, False, "no filter"),
        ({**WITHOUT, "filter": False, "missing": {"filter": "no filter"}}, UNCONFINED, False, ""),
    ],
)
def test_a_child_goes_on_with_what_is_asked_for_and_no_less(account, required, listening, reason):
    assert lockdown.lacks(account, {"required": required, "listening": listening}) == reason


def test_it_is_told_in_a_line():
    whole = read_confinement(WHOLE)
    assert whole.enough
    assert whole.words() == "system calls by a list, files by Landlock 7, network namespaces, no capabilities"
    assert read_confinement(WITHOUT).words().startswith("unconfined: system calls by a list")
    assert read_confinement({"filter": "x"}) == read_confinement(None) == Confinement()
    assert Confinement().words() == "unconfined: nothing"


def test_a_person_may_insist(tmp_path):
    environment = Environment(tmp_path, tmp_path, tmp_path, tmp_path)
    assert place(environment, tmp_path, TELL)["required"] == STRANGERS
    with insisting():
        assert place(environment, tmp_path, TELL)["required"] == UNCONFINED
    assert apply_insistence(OWN) == OWN


def test_the_option_holds_for_one_command():
    @click.command()
    @unconfined_option
    def command():
        click.echo(" ".join(apply_insistence(STRANGERS)))

    assert CliRunner().invoke(command, ["--unconfined"]).output == "\n"
    assert CliRunner().invoke(command, []).output == "filter files\n"


def test_this_system_is_asked():

    found = find_confinement()
    assert found.filter or "filter" in found.missing
    assert found.landlock or "files" in found.missing


def test_a_program_is_ended_by_whoever_watches_it():
    began = time.monotonic()
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    done = process.run(sleeping, watch=lambda pid: f"too much of {pid}")
    assert (done.returncode, done.timed_out) == (-signal.SIGKILL, False)
    assert done.excess.startswith("too much of ")
    assert time.monotonic() - began < 30


def test_a_program_that_has_not_too_much_is_left_alone():
    seen = []
    done = process.run([sys.executable, "-c", "import time; time.sleep(1)"], watch=lambda pid: seen.append(pid) or "")
    assert (done.returncode, done.excess) == (0, "")
    assert seen


def test_our_memory_is_hidden_from_others():
    body = "import os; from truewheel import process; process.hide(); print(os.stat('/proc/self/environ').st_uid)"
    script = f"import ctypes; {body}; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    done = process.run([sys.executable, "-c", script], env=os.environ)
    assert done.output.split()[-1] == "0", done.output
