"""Checking a wheel from its file to its account, and the command that does it."""

import json

import pytest
from elf_builder import build_elf
from factories import DIST_INFO, LIBRARY, wheel_members
from malformed import KINDS

from truewheel.checks import check_wheel
from truewheel.checks.policy import Policy
from truewheel.cli import run
from truewheel.errors import CheckError
from truewheel.examine.examine import examine
from truewheel.report import Report
from truewheel.wheel.archive import MalformedWheelError, Member, read_wheel
from truewheel.wheel.writer import write_wheel

FILENAME = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def wheel(tmp_path):
    """A sound wheel with one real, if small, library."""
    path = tmp_path / FILENAME
    members = wheel_members(**{LIBRARY: Member(build_elf(needed=("libc.so.6",)), executable=True)})
    write_wheel(path, members, DIST_INFO)
    return path


@pytest.fixture
def malformed(tmp_path):
    kind = next(kind for kind in KINDS.values() if kind.code == "ARCHIVE-STACKED")
    return kind.build(tmp_path)


@pytest.fixture
def renamed(tmp_path):
    """A wheel with a library that lacks another, and that was given a promise by renaming it."""
    written = tmp_path / "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    library = Member(build_elf(needed=("libabsent.so.9",)), executable=True)
    write_wheel(written, wheel_members(**{LIBRARY: library}), DIST_INFO)
    return written.rename(tmp_path / "toy_engine-1.2.3-py3-none-manylinux_2_17_x86_64.whl")


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_sound_wheel_is_accounted_for(wheel):
    report = check_wheel(wheel)
    assert report.verdict in {"passed", "refused"}
    assert [library.path for library in report.libraries] == [LIBRARY]
    assert report.isa.needs == ()
    assert report.isa.level == "x86-64"
    assert report.isa.claims[0].source == "the file name"
    assert report.sha256
    assert report.size == wheel.stat().st_size
    assert any("was run" in sentence for sentence in report.unchecked)


def test_the_path_may_be_a_text(wheel):
    assert check_wheel(str(wheel)).wheel == FILENAME


def test_a_malformed_wheel_gives_an_account_too(malformed):
    report = check_wheel(malformed)
    assert report.verdict == "malformed"
    assert not report.passed
    assert report.findings[0].code == "ARCHIVE-STACKED"
    assert report.libraries == ()
    assert "nothing in a file that is not accepted is looked at" in report.unchecked[0]


def test_a_wheel_that_is_not_sound_is_judged_all_the_same(renamed):
    report = check_wheel(renamed)
    assert report.verdict == "malformed"
    assert {"IDENTITY-TAGS", "LINK-MISSING"} <= {finding.code for finding in report.errors}
    assert [library.path for library in report.libraries] == [LIBRARY]
    assert report.isa is not None
    assert report.space is not None
    assert not any("nothing in a file" in sentence for sentence in report.unchecked)


def test_a_wheel_that_is_not_sound_is_not_run(renamed, monkeypatch):
    monkeypatch.setattr("truewheel.examine.runs.load_libraries", lambda _facts: pytest.fail("it was run"))
    report = check_wheel(renamed, run=True)
    assert report.told == ()
    assert any("a wheel that is not sound is not run" in sentence for sentence in report.unchecked)


def test_no_policy_makes_a_wheel_sound(renamed):
    mild = Policy(schema=1, severity={"*": "info"})
    report = check_wheel(renamed, policy=mild)
    assert report.verdict == "malformed"
    assert {finding.code for finding in report.errors} == {"IDENTITY-TAGS"}


def test_every_other_door_refuses_a_wheel_that_is_not_sound(renamed):
    with pytest.raises(MalformedWheelError, match="IDENTITY-TAGS"):
        examine(renamed)
    with pytest.raises(MalformedWheelError, match="IDENTITY-TAGS"):
        read_wheel(renamed)


def test_the_command_says_both(command, renamed):
    code, out, _ = command("check", renamed)
    assert code == 7
    assert out.startswith("malformed: ")
    assert "IDENTITY-TAGS" in out
    assert "LINK-MISSING" in out
    assert "it needs" in out


def test_a_wheel_that_is_not_there(tmp_path):
    with pytest.raises(CheckError, match="No such file"):
        check_wheel(tmp_path / FILENAME)


def test_the_command_prints_an_account_and_leaves_by_the_verdict(command, malformed):
    code, out, _ = command("check", malformed)
    assert code == 7
    assert "malformed" in out
    assert "ARCHIVE-STACKED" in out


def test_the_command_prints_data(command, wheel):
    code, out, _ = command("check", "--json", wheel)
    table = json.loads(out)
    assert code == (0 if table["verdict"] == "passed" else 7)
    assert table["wheel"] == FILENAME
    assert set(table) >= {field.replace("_", "-") for field in Report.__struct_fields__}


def test_several_wheels_give_a_table_and_a_list(command, wheel, malformed):
    code, out, _ = command("check", wheel, malformed)
    assert code == 7
    assert sum(name in out for name in (FILENAME, malformed.name)) >= 1
    _, out, _ = command("check", "--json", wheel, malformed)
    assert [table["verdict"] == "malformed" for table in json.loads(out)] == [False, True]


def test_one_file_that_cannot_be_opened_does_not_hide_the_others(command, wheel, tmp_path):
    code, out, err = command("check", wheel, tmp_path / "gone-1.0-py3-none-any.whl")
    assert code == 7
    assert "toy_engine" in out
    assert "No such file" in err


def test_a_page_is_written(command, wheel, tmp_path):
    page = tmp_path / "account.html"
    command("check", wheel, "--html", page)
    text = page.read_text()
    assert text.lower().startswith("<!doctype html>")
    assert FILENAME in text


def test_a_page_that_cannot_be_written(command, wheel, tmp_path):
    code, _, err = command("check", wheel, "--html", tmp_path / "none" / "account.html")
    assert code == 8
    assert "cannot write" in err


def test_markdown_goes_to_stdout(command, wheel):
    _, out, _ = command("check", "--markdown", wheel)
    assert out.startswith("# ")
    code, _, err = command("check", "--markdown", "--json", wheel)
    assert code == 2
    assert "choose one" in err


def test_a_policy_changes_the_verdict(command, wheel, tmp_path):
    strict, mild = tmp_path / "strict.toml", tmp_path / "mild.toml"
    strict.write_text('schema = 1\n[severity]\n"*" = "error"\n')
    mild.write_text('schema = 1\n[severity]\n"*" = "info"\n')
    assert command("check", wheel, "--policy", strict)[0] == 7
    assert command("check", wheel, "--policy", mild)[0] == 0


def test_a_policy_with_an_unknown_code(command, wheel, tmp_path):
    (tmp_path / "policy.toml").write_text('schema = 1\n[severity]\nISA-BEYONT = "info"\n')
    code, _, err = command("check", wheel, "--policy", tmp_path / "policy.toml")
    assert code == 2
    assert "ISA-BEYOND" in err


def test_no_wheel_at_all(command):
    code, _, err = command("check")
    assert code == 2
    assert "WHEEL" in err


def test_a_code_is_explained(command):
    code, out, _ = command("explain", "isa-beyond")
    assert code == 0
    assert out.startswith("ISA-BEYOND\n\nseverity     error\ncheck        isa\n")
    assert json.loads(command("explain", "ISA-BEYOND", "--json")[1])["check"] == "isa"
    assert "RECORD-HASH" in command("explain")[1]


def test_a_code_that_is_none(command):
    code, _, err = command("explain", "ISA-BEYONT")
    assert code == 2
    assert "did you mean ISA-BEYOND?" in err
