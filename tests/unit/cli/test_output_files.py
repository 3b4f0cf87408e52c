"""Files that a person names for output: none is waited for, none is believed to be written that was not."""

import os
import threading
from pathlib import Path

import pytest

from truewheel.cli.common import json_text, refuse_unwritable, write_text
from truewheel.errors import StoreError


def test_a_pipe_gets_the_text_when_somebody_reads_it(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    refuse_unwritable((path,))
    reader.start()
    while True:
        try:
            write_text(path, "x" * 200_000)
            break
        except StoreError:
            # The reader has not opened it yet.
            continue
    reader.join(timeout=10)
    assert got == [b"x" * 200_000]


def test_a_pipe_that_nobody_reads_is_refused(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="No such device"):
        write_text(path, "x")


def test_a_full_device_is_told():
    with pytest.raises(StoreError, match="No space left"):
        write_text(Path("/dev/full"), "x")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to(path.name)])
def test_what_cannot_be_written_is_refused_before(tmp_path, make):
    path = tmp_path / "target"
    make(path)
    with pytest.raises(StoreError):
        refuse_unwritable((path,))


def test_a_trial_leaves_nothing(tmp_path):
    refuse_unwritable((tmp_path / "page.html",))
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_text_are_shown_as_far_as_they_are():
    odd = os.fsdecode(b"a\xff")
    assert json_text({odd: [odd]}) == '{\n  "a\\\\udcff": [\n    "a\\\\udcff"\n  ]\n}\n'
