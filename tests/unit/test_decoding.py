"""Whatever the bytes are: a value, or the one kind of error, soon."""

import os
import stat
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from truewheel.decoding import UnreadableError, convert, decode_json, decode_toml, read_json, read_text, read_toml

DEEP = 200_000


class Row(msgspec.Struct):
    name: str
    count: int = 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * DEEP,
        '{"name":' * DEEP,
        "9" * 100_000,
        '{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b"\xff\xfe\x00",
        "\0",
        '{"count": 1e400, "name": ""}',
        '{"name": 1}',
        "null",
    ],
)
def test_no_json_is_one_error(text):
    with pytest.raises(UnreadableError) as caught:
        decode_json(text, Row)
    assert len(caught.value.reason) <= 300
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "a = " + "[" * DEEP,
        "a = " + "{b=" * DEEP,
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join("a" * 100_000) + "]",
        "a = {" + " . ".join(["'x.y'"] * 100_000) + " = 1}",
        "count = " + "9" * 100_000,
        'name = "\\ud800"',
        'name = "a\\u0000b"',
        "name = 'a\0b'",
        "a = 2020-13-45",
        "name = 1",
    ],
)
def test_no_toml_is_one_error_and_soon(text):
    start = time.monotonic()
    with pytest.raises(UnreadableError) as caught:
        decode_toml(text, Row)
    assert time.monotonic() - start < 5
    assert len(caught.value.reason) <= 300


def test_a_shape_is_told_apart_from_the_syntax():
    with pytest.raises(UnreadableError) as caught:
        decode_toml("name = 1", Row)
    assert caught.value.shape == "Expected `str`, got `int` - at `$.name`"
    with pytest.raises(UnreadableError) as caught:
        decode_toml("name", Row)
    assert caught.value.shape == ""


def test_values_of_a_child_are_looked_at():
    assert convert({"name": "a"}, Row) == Row("a")
    with pytest.raises(UnreadableError):
        convert({"name": ["a"]}, Row)


@pytest.mark.parametrize("text", ["# " + "." * 80, 'a = "' + "a." * 80 + '"', "a = [" + "0.1, " * 80 + "]"])
def test_dots_that_part_no_key_are_read(text):
    decode_toml(text, dict[str, Any])


def test_line_ends_and_byte_order_marks_of_windows_are_read(tmp_path):
    path = tmp_path / "row.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "a"\r\ncount = 2\r\n')
    assert read_toml(path, Row) == Row("a", 2)


def _pipe(path):
    os.mkfifo(path)


def _socket(path):
    # Bound by a program, its path could have few letters only.
    os.mknod(path, stat.S_IFSOCK | 0o600)


def _endless(path):
    path.symlink_to("/dev/zero")


def _large(path):
    with path.open("wb") as sink:
        sink.truncate(1 << 30)


def _loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [_pipe, _socket, _endless, _large, _loop, Path.mkdir])
@pytest.mark.parametrize("read", [lambda path: read_json(path, Row), read_text, lambda path: read_toml(path, Row)])
def test_other_kinds_of_files_are_refused_without_waiting(tmp_path, make, read):
    path = tmp_path / "file"
    make(path)
    with pytest.raises(UnreadableError) as caught:
        read(path)
    assert not caught.value.missing


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(UnreadableError) as caught:
        read_json(tmp_path / "none", Row)
    assert caught.value.missing


def test_files_of_the_kernel_are_read_although_they_seem_empty():
    assert "Name:" in read_text(Path("/proc/self/status"))
