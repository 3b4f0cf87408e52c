"""Whatever the system refuses is told in one line, as an error of the stage that it happened in."""

import errno
import os

import pytest

from truewheel.errors import BuildError, CheckError
from truewheel.stages import refusal_of, refusals_told

NUMBERS = sorted(errno.errorcode)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_is_told(number):
    with pytest.raises(BuildError) as caught, refusals_told(BuildError, "build"):
        raise OSError(number, os.strerror(number), "/some/where")
    assert caught.value.message == f"build stopped: {os.strerror(number)} (/some/where)"
    assert caught.value.hint
    assert caught.value.exit_code == 5


def test_an_error_without_a_number_is_told():
    error = refusal_of(OSError("8192 requested and 4096 written"), BuildError, "build")
    assert error.message == "build stopped: 8192 requested and 4096 written"


def test_memory_that_is_not_there_is_told():
    assert "not enough memory" in refusal_of(MemoryError(), CheckError, "check").message


def test_a_path_that_is_no_text_stays_on_one_line():
    message = refusal_of(OSError(errno.EIO, "bad", b"/a\n\xff\x1b"), CheckError, "check").message
    assert message.isprintable()


def test_an_error_of_an_inner_stage_keeps_its_family():
    with pytest.raises(CheckError), refusals_told(BuildError, "build"), refusals_told(CheckError, "check"):
        raise OSError(errno.ENOSPC, "full")


def test_a_fault_of_our_own_is_none_of_the_system():
    with pytest.raises(KeyError), refusals_told(BuildError, "build"):
        raise KeyError
