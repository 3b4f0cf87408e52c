"""What is kept is taken again as it was, or not at all."""

import os
import shutil
import time

import pytest

from truewheel.kept import parts, record
from truewheel.kept.entry import discard, growing, is_kept, keep
from truewheel.kept.record import read_record, write_record

PLANTED = {
    "a byte": lambda tree: (tree / "a.c").write_bytes(b"int b;\n"),
    "an end": lambda tree: (tree / "a.c").write_bytes(b"int a;"),
    "a header": lambda tree: (tree / "sub" / "stdio.h").touch(),
    "an empty folder": lambda tree: (tree / "new").mkdir(),
    "a file that is gone": lambda tree: (tree / "a.c").unlink(),
    "a folder that is gone": lambda tree: shutil.rmtree(tree / "sub"),
    "a link to the same": lambda tree: (tree / "a.c").rename(tree.parent / "a") and (tree / "a.c").symlink_to("../a"),
    "another link": lambda tree: (tree / "link").unlink() or (tree / "link").symlink_to("a.c"),
    "a pipe": lambda tree: (tree / "a.c").unlink() or os.mkfifo(tree / "a.c"),
    "a mode": lambda tree: (tree / "a.c").chmod(0o755),
    "a name": lambda tree: (tree / "a.c").rename(tree / os.fsdecode(b"\xff.c")),
    "a seal": lambda tree: flip(tree.with_name("tree.seal")),
    "a folder for a seal": lambda tree: tree.with_name("tree.seal").unlink() or tree.with_name("tree.seal").mkdir(),
    "no seal": lambda tree: tree.with_name("tree.seal").unlink(),
    "all": lambda tree: shutil.rmtree(tree) or tree.write_text(""),
    "all a link": lambda tree: tree.rename(tree.with_name("x")) and tree.symlink_to("x"),
}


def flip(path, at=-1):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "tree"
    (path / "sub").mkdir(parents=True)
    (path / "a.c").write_bytes(b"int a;\n")
    (path / "sub" / "b.h").write_bytes(b"")
    (path / "link").symlink_to("sub/b.h")
    keep(path)
    return path


@pytest.mark.parametrize("always", [True, False])
def test_what_was_kept_is_taken_again(tree, always, capsys):
    assert is_kept(tree, always=always)
    assert is_kept(tree, always=always)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_not_what_was_kept_is_removed_and_said_once(tree, planted, capsys):
    PLANTED[planted](tree)
    assert not is_kept(tree)
    assert not os.path.lexists(tree)
    assert not is_kept(tree)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("warning: kept ")
    assert said[0].isprintable()


def test_what_is_not_there_is_not_spoken_of(tmp_path, capsys):
    assert not is_kept(tmp_path / "none")
    assert not is_kept(tmp_path / "none" / "none")
    assert capsys.readouterr().err == ""


def test_a_file_has_the_hash_that_is_asked_for(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"x")
    keep(path)
    assert is_kept(path, sha256="2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    assert not is_kept(path, sha256="0" * 64)


@pytest.fixture
def hashed(monkeypatch):
    """Return the list of files that are hashed, and let files settle at once."""
    found = []
    real = parts._hash
    monkeypatch.setattr(parts, "_hash", lambda path, size: found.append(path.name) or real(path, size))
    monkeypatch.setattr(parts, "_MOMENT", -1)
    return found


def test_size_and_times_are_enough_until_they_differ(tree, hashed):
    assert is_kept(tree)
    assert hashed == []
    os.utime(tree / "a.c")
    assert is_kept(tree)
    assert hashed == ["a.c"]
    assert is_kept(tree)
    assert hashed == ["a.c"]
    assert is_kept(tree, always=True)
    assert sorted(hashed) == ["a.c", "a.c", "b.h"]


@pytest.mark.usefixtures("hashed")
def test_a_time_that_was_set_back_hides_nothing(tree):
    path = tree / "a.c"
    status = path.stat()
    path.write_bytes(b"int b;\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert not is_kept(tree)


def test_after_a_week_contents_are_hashed_again(tree, hashed, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(parts.time, "time_ns", lambda: now + 8 * 86_400 * 10**9)
    assert is_kept(tree)
    assert sorted(hashed) == ["a.c", "b.h"]


def test_after_the_machine_was_started_contents_are_hashed_again(tree, hashed, monkeypatch):
    monkeypatch.setattr(parts, "boot", lambda: "another")
    assert is_kept(tree)
    assert sorted(hashed) == ["a.c", "b.h"]


def test_a_file_that_has_just_changed_is_hashed_each_time(tree, hashed, monkeypatch):
    monkeypatch.setattr(parts, "_MOMENT", 10**9)
    assert is_kept(tree)
    assert is_kept(tree)
    assert hashed.count("a.c") == 2


def test_without_a_start_of_the_machine_times_are_not_believed(tree, hashed, monkeypatch):
    monkeypatch.setattr(parts, "read_file", lambda *_: (_ for _ in ()).throw(OSError()))
    parts.boot.cache_clear()
    keep(tree)
    hashed.clear()
    assert is_kept(tree)
    assert sorted(hashed) == ["a.c", "b.h"]
    parts.boot.cache_clear()


def test_a_tree_deeper_than_the_stack_is_no_end(tree):
    folder = os.open(tree, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert not is_kept(tree)


def test_what_is_discarded_leaves_nothing(tree):
    discard(tree)
    assert list(tree.parent.iterdir()) == []


@pytest.mark.parametrize("piecemeal", [True, False])
def test_a_folder_that_grows_is_taken_again_as_it_has_become(tree, piecemeal):
    with growing(tree, piecemeal=piecemeal):
        (tree / "new").write_text("new")
    with growing(tree, piecemeal=piecemeal):
        assert (tree / "new").read_text() == "new"
        assert (tree / "a.c").exists()


@pytest.mark.parametrize("piecemeal", [True, False])
@pytest.mark.parametrize("planted", [name for name in PLANTED if name != "an empty folder"])
def test_of_a_folder_that_grows_what_is_not_what_was_kept_is_removed(tree, planted, piecemeal):
    PLANTED[planted](tree)
    with growing(tree, piecemeal=piecemeal):
        left = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if not path.is_dir())
    assert left in ([], ["a.c", "link", "sub/b.h"], ["link", "sub/b.h"], ["a.c", "sub/b.h"], ["a.c", "link"])
    assert (left == []) or piecemeal
    assert is_kept(tree)


def test_a_folder_that_another_process_has_open_is_left_to_it(tree):
    with growing(tree, piecemeal=False):
        (tree / "new").write_text("new")
        with growing(tree, piecemeal=False):
            assert (tree / "new").exists()
    assert is_kept(tree)


def test_a_record_is_read_again_under_its_name_alone(tmp_path, capsys):
    path = tmp_path / "facts" / "one"
    write_record(path, b"value")
    assert read_record(path) == b"value"
    path.rename(tmp_path / "facts" / "other")
    assert read_record(tmp_path / "facts" / "other") is None
    assert list((tmp_path / "facts").iterdir()) == []
    assert capsys.readouterr().err.count("\n") == 1
    assert read_record(path) is None


def test_a_record_that_cannot_be_read_is_none(tmp_path, monkeypatch):
    write_record(tmp_path / "one", b"value")
    monkeypatch.setattr(record, "read_file", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    assert read_record(tmp_path / "one") is None
