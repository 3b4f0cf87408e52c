"""The locked-down child that reads the header of a model file that is open already.

Run as `python -I -B gguf_child.py FOLDER DESCRIPTOR SECONDS MEMORY ANSWER` with FOLDER on the import path. All that it
needs is imported before it gives up opening files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

import msgspec

from truewheel.child.programs import lockdown
from truewheel.errors import LoadError
from truewheel.models.gguf_header import GgufContents, read_gguf_stream

PLACE = "{model}"
"""Stands in what the child says for the path of the model, which it is not told."""


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the child says: the header's contents, or why they cannot be read."""

    contents: GgufContents | None = None
    message: str = ""
    hint: str = ""


def answer(descriptor: int) -> ModelAnswer:
    """Return what an open file's header says."""
    try:
        with os.fdopen(descriptor, "rb") as stream:
            return ModelAnswer(contents=read_gguf_stream(stream, Path(PLACE)))
    except LoadError as error:
        return ModelAnswer(message=error.message, hint=error.hint)


def main() -> None:
    """Lock down, read, answer."""
    msgspec.json.encode(ModelAnswer())
    lockdown.limit(*map(int, sys.argv[3:6]))  # type: ignore[no-untyped-call]
    lockdown.confine()  # type: ignore[no-untyped-call]
    sys.stdout.buffer.write(msgspec.json.encode(answer(int(sys.argv[2]))))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
