"""Temporary files: gone at the end, and what a killed run left is gone after the next start."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from truewheel import scratch
from truewheel.guardian import Guard
from truewheel.scratch import Scratch, make_name, sweep


@pytest.fixture
def made(tmp_path):
    """Scratch of its own, with a journal below tmp_path."""
    guard = Guard()
    made = Scratch(guard)
    made.keep_journals(tmp_path / "runs")
    yield made
    made.clear()
    guard.leave()


def journals(tmp_path):
    return sorted((tmp_path / "runs").iterdir()) if (tmp_path / "runs").is_dir() else []


def test_a_folder_is_ours_alone_and_goes(made, tmp_path):
    with made.folder("work", tmp_path) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.name.startswith("work.")
    assert not folder.exists()


def test_what_is_made_beside_a_file_goes_unless_it_was_renamed(made, tmp_path):
    with made.beside(tmp_path / "a") as one, made.beside(tmp_path / "a") as other:
        one.write_text("one")
        other.mkdir()
        (other / "file").touch()
        one.replace(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "runs"]


def test_a_relative_path_is_written_down_whole(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with made.beside(Path("a")) as place:
        assert place.is_absolute()
        assert os.fsencode(place) + b"\0" in journals(tmp_path)[0].read_bytes()


def test_folders_that_a_stranger_closed_are_removed(made, tmp_path):
    with made.folder("work", tmp_path) as folder:
        (folder / "closed" / "deeper").mkdir(parents=True)
        (folder / "closed" / "deeper" / "file").touch()
        (folder / "closed" / "deeper").chmod(0)
        (folder / "closed").chmod(0o400)
    assert not folder.exists()


def test_folders_deeper_than_the_stack_and_any_path_are_removed(made, tmp_path):
    with made.folder("work", tmp_path) as folder:
        here = os.open(folder, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("deep", dir_fd=here)
            inner = os.open("deep", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open("file", os.O_CREAT, dir_fd=here))
        os.close(here)
    assert not folder.exists()


def test_links_are_removed_and_not_followed(made, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    kept.chmod(0o755)
    with made.folder("work", tmp_path) as folder:
        (folder / "link").symlink_to(kept)
        (folder / "closed").mkdir(mode=0)
    assert (kept / "file").exists()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755


def test_a_run_that_makes_nothing_keeps_no_journal(made, tmp_path):
    made.clear()
    assert journals(tmp_path) == []


def test_the_journal_goes_with_the_run(made, tmp_path):
    with made.folder("work", tmp_path):
        assert len(journals(tmp_path)) == 1
    made.clear()
    assert journals(tmp_path) == []


def test_what_was_not_left_in_order_is_cleared(made, tmp_path):
    entered = made.folder("work", tmp_path)
    folder = entered.__enter__()
    made.clear()
    assert not folder.exists()


def test_programs_put_their_temporary_files_into_one_folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = made.for_children()
    assert folder == made.for_children()
    assert folder.parent == tmp_path
    (folder / "cc1.s").touch()
    made.clear()
    assert not folder.exists()


def test_libraries_make_their_temporary_files_in_a_folder_of_ours(made, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with made.for_libraries():
        folder = Path(tempfile.mkdtemp()).parent
        assert os.fsencode(folder) + b"\0" in journals(tmp_path)[0].read_bytes()
        assert made.for_children().parent == tmp_path
    assert tempfile.tempdir == str(tmp_path)
    assert not folder.exists()


def test_without_a_place_for_it_there_is_no_such_folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert made.for_children() is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_no_journal_is_no_failure(made, tmp_path):
    tmp_path.chmod(0o500)
    made.keep_journals(tmp_path / "runs")
    made.for_children()


def test_a_file_in_the_place_of_the_journals_is_no_failure(made, tmp_path):
    (tmp_path / "file").touch()
    made.keep_journals(tmp_path / "file" / "runs")
    with made.folder("work", tmp_path) as folder:
        assert folder.exists()


LEAVE = """
import sys, time
from pathlib import Path
from truewheel.scratch import SCRATCH
from truewheel import process
root = Path(sys.argv[1])
SCRATCH.keep_journals(root / "runs")
entered = SCRATCH.folder("work", root), SCRATCH.beside(root / "page")
folder, page = (each.__enter__() for each in entered)
(folder / "file").touch()
page.write_text("half")
with process.start([sys.executable, "-c", "import time; time.sleep(60)"], env=None, stdout=-3, stderr=-3) as child:
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def running(tmp_path):
    """A run that has made a folder and a file and has started a program; returns it and the program's number."""
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    run = subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield run, int(run.stdout.readline())
    run.kill()
    run.communicate()


def state(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, running):
    running[0].kill()
    running[0].wait()
    assert len(list(tmp_path.glob("*.part"))) == 2
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    sweep(tmp_path / "runs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert journals(tmp_path) == []


def test_the_next_run_ends_the_programs_where_the_guardian_was_killed_too(tmp_path, running):
    run, number = running
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    guardians = [int(word) for word in children if int(word) != number]
    assert len(guardians) == 1
    os.kill(guardians[0], signal.SIGKILL)
    run.kill()
    run.wait()
    time.sleep(0.3)
    assert state(number) not in {"", "Z"}
    sweep(tmp_path / "runs")
    assert state(number) in {"", "Z"}


def test_what_a_live_run_uses_stays(tmp_path, running):
    sweep(tmp_path / "runs")
    assert state(running[1]) not in {"", "Z"}
    assert len(list(tmp_path.glob("*.part"))) == 2
    assert len(journals(tmp_path)) == 1


def journal(tmp_path, *entries, token=b"1-0123456789abcdef."):
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "1-0123456789abcdef"
    path.write_bytes(b"".join(entry + b"\0" for entry in (token, *entries)))
    return path


def test_a_journal_names_nothing_but_what_has_such_a_name(tmp_path):
    for name in ("work", "work.part", f"{make_name('work')}x", "work.0123456789ABCDEF.part"):
        (tmp_path / name).mkdir()
    path = journal(tmp_path, *(os.fsencode(each) for each in tmp_path.iterdir()), b"", b"/", b"..")
    before = sorted(each.name for each in tmp_path.iterdir())
    sweep(tmp_path / "runs")
    assert sorted({*(each.name for each in tmp_path.iterdir()), "runs"}) == sorted({*before, "runs"})
    assert not path.exists()


def test_a_link_with_such_a_name_stays_and_so_does_what_it_leads_to(tmp_path):
    (tmp_path / "kept").mkdir()
    link = tmp_path / make_name("work")
    link.symlink_to(tmp_path / "kept")
    journal(tmp_path, os.fsencode(link))
    sweep(tmp_path / "runs")
    assert link.is_symlink()
    assert (tmp_path / "kept").is_dir()


def test_what_another_user_owns_stays(tmp_path, monkeypatch):
    folder = tmp_path / make_name("work")
    folder.mkdir()
    journal(tmp_path, os.fsencode(folder))
    monkeypatch.setattr(scratch.os, "geteuid", lambda: os.getuid() + 1)
    sweep(tmp_path / "runs")
    assert folder.is_dir()


def test_an_entry_without_its_end_was_never_made(tmp_path):
    folder = tmp_path / make_name("work")
    folder.mkdir()
    path = journal(tmp_path)
    path.write_bytes(path.read_bytes() + os.fsencode(folder))
    sweep(tmp_path / "runs")
    assert folder.is_dir()


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0", b"nonsense", bytes(range(256)) * 99])
def test_a_journal_of_anything_is_removed_and_no_failure(tmp_path, content):
    journal(tmp_path).write_bytes(content)
    sweep(tmp_path / "runs")
    assert journals(tmp_path) == []


def test_a_pipe_or_a_folder_among_the_journals_is_passed_over(tmp_path):
    (tmp_path / "runs" / "folder").mkdir(parents=True)
    os.mkfifo(tmp_path / "runs" / "pipe")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "runs" / "pipe")
    sweep(tmp_path / "runs")
    assert len(journals(tmp_path)) == 3


def test_the_usual_case_takes_no_time(tmp_path):
    (tmp_path / "runs").mkdir()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        sweep(tmp_path / "runs")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.005
