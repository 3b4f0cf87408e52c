"""Files and folders that are there whole or not at all."""

import os
import stat

import pytest

from truewheel import files
from truewheel.cli.common import write_text
from truewheel.errors import StoreError
from truewheel.files import replacing, replacing_folder, write_file


def test_a_file_takes_the_place_of_the_former(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("former")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_a_file_that_is_half_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("former")
    with replacing(path) as beside:
        beside.write_text("ne")
        assert path.read_text() == "former"
        assert beside.parent == path.parent


@pytest.mark.parametrize("ending", [OSError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_the_writing_leaves_the_former_and_nothing_beside(tmp_path, ending):
    path = tmp_path / "a.txt"
    path.write_text("former")
    with pytest.raises(ending), replacing(path) as beside:
        _begin(beside, ending)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def _begin(path, ending):
    path.write_text("ne")
    raise ending


def test_a_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    path, steps, sync = tmp_path / "a.txt", [], os.fsync

    def record(descriptor):
        steps.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", record)
    write_file(path, b"new")
    assert steps == [False, True], "the file before it is renamed, the folder after it"


def test_a_mode_is_set_before_the_file_is_there(tmp_path):
    write_file(tmp_path / "run", b"#!/bin/sh\n", mode=0o755)
    write_file(tmp_path / "data", b"")
    usual = 0o666 & ~_umask()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "data")] == [0o755, usual]


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "other").write_text("other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    write_file(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "other").read_text() == "other"


def test_two_writers_do_not_write_to_one_file_beside(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        one.touch()
        other.touch()


def test_a_folder_takes_the_place_of_the_former(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "former").touch()
    with replacing_folder(folder) as beside:
        (beside / "new").touch()
        assert (folder / "former").exists()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_is_not_finished_leaves_the_former(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), replacing_folder(folder) as beside:
        _begin(beside / "new", KeyboardInterrupt)
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_user_names_may_be_a_link_or_a_pipe(tmp_path):
    (tmp_path / "page.html").write_text("former")
    (tmp_path / "link").symlink_to(tmp_path / "page.html")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page.html").read_text() == "new"
    reader, writer = os.pipe()
    write_text(tmp_path / "page.html", "whole")
    write_text(type(tmp_path)(f"/proc/self/fd/{writer}"), "through a pipe")
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert stream.read() == "through a pipe"


def test_what_a_user_names_and_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="cannot write"):
        write_text(tmp_path / "none" / "page.html", "new")
