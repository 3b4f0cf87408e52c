"""Writing wheels: the same members, the same bytes."""

import csv
import hashlib
import os
import unicodedata
import zipfile

import pytest
from factories import DIST_INFO, LIBRARY, wheel_members
from hypothesis import given
from hypothesis import strategies as st

from truewheel.wheel.archive import Member, read_all
from truewheel.wheel.record import record_line_hash
from truewheel.wheel.writer import write_wheel

FILENAME = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
RECORD = f"{DIST_INFO}/RECORD"


@pytest.fixture
def path(tmp_path):
    target = tmp_path / FILENAME
    write_wheel(target, wheel_members(), DIST_INFO)
    return target


def test_the_same_members_in_another_order_give_the_same_bytes(tmp_path, path):
    other = tmp_path / "other" / FILENAME
    other.parent.mkdir()
    write_wheel(other, dict(reversed(wheel_members().items())), DIST_INFO)
    assert other.read_bytes() == path.read_bytes()


def test_the_bytes_do_not_depend_on_the_clock(tmp_path, path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: pytest.fail("the clock was asked"))
    other = tmp_path / "other.whl"
    write_wheel(other, wheel_members(), DIST_INFO)
    assert other.read_bytes() == path.read_bytes()


def test_the_bytes_do_not_depend_on_the_file_mode_mask(tmp_path, path):
    before = os.umask(0o077)
    try:
        other = tmp_path / "other.whl"
        write_wheel(other, wheel_members(), DIST_INFO)
    finally:
        os.umask(before)
    assert other.read_bytes() == path.read_bytes()


def test_times_and_modes_are_clamped(path):
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.create_system for info in infos} == {3}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert modes.pop(LIBRARY) == 0o100755
    assert set(modes.values()) == {0o100644}


def test_dist_info_comes_last_and_record_at_its_end(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert names[-1] == RECORD
    assert [name.startswith(DIST_INFO) for name in names] == sorted(name.startswith(DIST_INFO) for name in names)


def test_record_names_every_member_with_hash_and_size(path):
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.reader(archive.read(RECORD).decode().splitlines()))
        expected = [
            [name, record_line_hash(archive.read(name)), str(len(archive.read(name)))] for name in archive.namelist()
        ]
    assert rows[:-1] == expected[:-1]
    assert rows[-1] == [RECORD, "", ""]


def test_an_old_record_is_replaced(tmp_path, path):
    other = tmp_path / "other.whl"
    write_wheel(other, {**wheel_members(), RECORD: Member(b"nonsense")}, DIST_INFO)
    assert other.read_bytes() == path.read_bytes()


def test_one_changed_byte_changes_the_file(tmp_path, path):
    other = tmp_path / "other.whl"
    write_wheel(other, wheel_members(**{"toy_engine/__init__.py": Member(b'"""A toz."""\n')}), DIST_INFO)
    assert hashlib.sha256(other.read_bytes()).digest() != hashlib.sha256(path.read_bytes()).digest()


def test_nothing_is_left_beside(path):
    assert [item.name for item in path.parent.iterdir()] == [FILENAME]


def test_a_failure_leaves_neither_part_nor_change(path):
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_wheel(path, {"a": Member(b"a"), "b": None}, DIST_INFO)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [FILENAME]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_wheel(tmp_path / "gone" / FILENAME, wheel_members(), DIST_INFO)


_PART = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789_+,=@~äß語"), min_size=1, max_size=12)
_NAME = st.lists(_PART, min_size=1, max_size=3).map(lambda parts: "toy_engine/" + "/".join(parts))


def _is_a_tree(files):
    """Tell whether no two names would be one file, and none is a folder of another."""
    folded = [unicodedata.normalize("NFKC", name).casefold() for name in files]
    return len(set(folded)) == len(folded) and not any(a != b and b.startswith(f"{a}/") for a in folded for b in folded)


_MEMBER = st.builds(Member, st.binary(max_size=300), st.booleans())


@given(st.dictionaries(_NAME, _MEMBER, max_size=8).filter(_is_a_tree))
def test_what_is_written_is_read_back(tmp_path_factory, extra):
    path = tmp_path_factory.getbasetemp() / FILENAME
    members = wheel_members(**extra)
    write_wheel(path, members, DIST_INFO)
    back = read_all(path)[1]
    del back[RECORD]
    assert back == members
