"""The check of what an installer makes of a wheel."""

import itertools

import msgspec
import pytest
from factories import make_facts
from planted_installed import DATA, DIST_INFO, ENTRIES, MEMBERS, PTH, planted, with_program, with_pth
from planted_metadata import with_wheel

from truewheel.checks.installed import CODES, check
from truewheel.wheel.name import parse_wheel_name

PLANTED = planted(make_facts)


def found(*members, **how):
    return [finding.code for finding in check(with_wheel(make_facts(plan=None), files=list(members), **how))]


def pairs(table):
    return [(code, one) for code, many in table.items() for one in many]


def test_a_sound_wheel_gives_nothing():
    assert list(check(make_facts())) == []
    assert list(check(make_facts(plan=None))) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found(code):
    findings = [finding for finding in check(PLANTED[code]()) if finding.code == code]
    assert findings
    assert all(finding.where and finding.message and finding.hint for finding in findings)


@pytest.mark.parametrize(("code", "member"), pairs(MEMBERS))
def test_each_bad_member_is_found(code, member):
    extra = ["toy_engine/__init__.py"] if code in ("INSTALL-TWICE", "INSTALL-COLLISION") else []
    assert code in found(*extra, member)


@pytest.mark.parametrize(("code", "text"), pairs(PTH))
def test_each_pth_file_is_judged_by_what_it_runs(code, text):
    assert [finding.code for finding in check(with_pth(make_facts(), text))] == [code]


def test_a_pth_file_that_was_not_read_is_not_trusted():
    assert found("toy.pth") == ["INSTALL-PTH-HIDDEN"]


@pytest.mark.parametrize(("code", "name"), pairs(ENTRIES))
@pytest.mark.parametrize("group", ["console_scripts", "gui_scripts"])
def test_each_bad_program_of_an_entry_point_is_found(code, name, group):
    assert code in [finding.code for finding in check(with_program(make_facts(), name, group=group))]


@pytest.mark.parametrize(
    "member",
    [
        f"{DATA}/scripts/toy",
        f"{DATA}/scripts/pythonic",
        f"{DATA}/scripts/python-toy",
        f"{DATA}/scripts/pipx",
        f"{DATA}/data/share/python/toy.cfg",
        f"{DATA}/data/lib/libtoy.so",
        f"{DATA}/data/lib/toy/os.txt",
        f"{DATA}/data/etc/jupyter/toy.json",
        f"{DATA}/headers/toy.h",
        f"{DATA}/platlib/toy_engine/more.so",
        "toy_engine/pip/__init__.py",
        "toy_engine/sitecustomize.py",
        "toy_engine/toy.pth",
        "toy_engine/pyvenv.cfg",
        "toy_engine/x.dist-info/METADATA",
        f"{DIST_INFO}/sboms/toy.json",
        "toy_engine.data.py",
    ],
)
def test_what_honest_wheels_install_gives_nothing(member):
    assert found(member) == []


@pytest.mark.parametrize(
    ("project", "member"),
    [
        ("pip", "pip/__init__.py"),
        ("setuptools", "pkg_resources/__init__.py"),
        ("cmake", "cmake-1.2.3.data/data/bin/cmake"),
        ("uv", "uv-1.2.3.data/scripts/uv"),
    ],
)
def test_a_project_may_install_what_is_its_own(project, member):
    facts = with_wheel(make_facts(plan=None), files=[member])
    name = parse_wheel_name(f"{project}-1.2.3-py3-none-any.whl")
    wheel = msgspec.structs.replace(facts.wheel, name=name, dist_info=f"{project}-1.2.3.dist-info")
    entries = {path: entry for path, entry in wheel.entries.items() if DIST_INFO not in path}
    assert list(check(facts._replace(wheel=msgspec.structs.replace(wheel, entries=entries)))) == []


def test_two_programs_of_one_name_are_found():
    text = "[console_scripts]\ntoy = toy_engine:main\n[gui_scripts]\nToy = toy_engine:other\n"
    assert found(entry_points=text) == ["INSTALL-TWICE"]


def test_entry_points_that_make_no_program_are_not_judged():
    assert found(entry_points="[toy.plugins]\npython = toy_engine:main\n") == []


def test_a_wheel_of_ten_thousand_bad_members_gives_few_findings():
    members = [f"{DATA}/scripts/python3.{number}" for number in range(10_000)]
    assert len(found(*members)) == 20
    assert set(itertools.chain(MEMBERS, PTH, ENTRIES)) | {"INSTALL-WRAPPER"} == set(CODES)
