"""The standard streams take whatever text there is, or are quiet."""

import io
import os
from pathlib import Path

import pytest

from truewheel import streams


def writer(encoding, sink):
    streams.mend()
    return io.TextIOWrapper(sink, encoding=encoding, errors="truewheel.escapes")


@pytest.mark.parametrize(
    ("encoding", "text", "written"),
    [
        ("utf-8", "é", "é".encode()),
        ("utf-8", os.fsdecode(b"a\xffb"), b"a\xffb"),
        ("ascii", "é…", b"\\u00e9\\u2026"),
        ("ascii", "\U0001f6de", b"\\ud83d\\udede"),
        ("latin-1", "é…", b"\xe9\\u2026"),
        ("ascii", os.fsdecode(b"\xff"), b"\xff"),
        ("utf-8", "\ud800", b"\\ud800"),
    ],
)
def test_letters_that_an_encoding_has_not_are_written_as_in_json(encoding, text, written):
    sink = io.BytesIO()
    stream = writer(encoding, sink)
    streams.write(stream, text)
    assert sink.getvalue() == written


def test_a_stream_that_takes_nothing_is_told_once_and_quiet_then():
    with Path("/dev/full").open("w") as stream:
        with pytest.raises(OSError, match="No space left"):
            streams.write(stream, "a")
        streams.write(stream, "b")


@pytest.mark.parametrize("through", [False, True])
def test_output_that_is_not_taken_is_told_apart_from_other_errors(through):
    with Path("/dev/full").open("wb", buffering=0) as raw:
        output = streams.DataStream(raw, write_through=through)
        with pytest.raises(streams.UnwrittenError, match="No space left"):
            streams.write(output, "a")
        streams.write(output, "b")


def test_a_pipe_whose_reader_has_gone_is_told():
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as stream:
        with pytest.raises(BrokenPipeError):
            streams.write(stream, "a")
        streams.write(stream, "b")
