"""Wheels that would be what runs instead of Python are told, and no door installs them."""

import pytest
from factories import make_wheel, wheel_members
from planted_installed import DATA, DIST_INFO, MEMBERS

from truewheel.child.environment import InstallError, fresh_environment
from truewheel.wheel.archive import Member
from truewheel.wheel.takeover import explain_takeover, find_takeovers

TAKING = [
    (code, member) for code, members in MEMBERS.items() for member in members if code.endswith(("ER", "RY", "UP"))
]


def wheel_of(*members, entry_points=""):
    files = {**dict.fromkeys(members, Member(b"1")), f"{DIST_INFO}/entry_points.txt": Member(entry_points.encode())}
    return make_wheel(members=wheel_members(**files))


@pytest.mark.parametrize(("code", "member"), TAKING)
def test_what_takes_over_is_told_and_installed_by_nobody(code, member):
    (found,) = find_takeovers([member])
    assert f"INSTALL-{found.kind.upper()}" == code
    with pytest.raises(InstallError, match="is not installed") as caught, fresh_environment(wheel_of(member)):
        pass
    assert member in caught.value.message
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("name", ["python", "python3.12", "activate"])
def test_a_program_of_an_entry_point_may_take_over_too(name):
    wheel = wheel_of(entry_points=f"[console_scripts]\n{name} = toy_engine:main\n")
    assert f"bin/{name}" in explain_takeover(wheel)
    with pytest.raises(InstallError, match="is not installed"), fresh_environment(wheel):
        pass


@pytest.mark.parametrize("member", [f"{DATA}/scripts/toy", f"{DATA}/data/share/python", "toy_engine/os.py", "toy.pth"])
def test_what_takes_nothing_over_is_not_told(member):
    assert explain_takeover(wheel_of(member)) == ""


def test_entry_points_that_cannot_be_read_take_nothing_over():
    assert explain_takeover(wheel_of(entry_points="[console_scripts\n")) == ""
