"""Have a model's header read by a locked-down child: a file that somebody names is a stranger's."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from truewheel import process
from truewheel.decoding import UnreadableError, decode_json
from truewheel.errors import LoadError
from truewheel.models.gguf_child import PLACE, ModelAnswer
from truewheel.models.gguf_header import GgufContents

_CHILD = Path(__file__).resolve().parent / "gguf_child.py"
_SECONDS, _MEMORY, _ANSWER, _WALL_SECONDS = 20, 640 << 20, 64 << 20, 120.0
_HINT = "name a GGUF file, `tiny`, `smollm2`, or a synthetic model such as `qwen2.5-0.5b:q8_0`"


def read_model(path: Path) -> GgufContents:
    """Return what a model file's header says, as a child read it.

    Raises:
        LoadError: the file cannot be read, is no GGUF, is damaged, is cut off, or ends the child.
    """
    descriptor = _open(path)
    try:
        limits = map(str, (descriptor, _SECONDS, _MEMORY, _ANSWER))
        command = [sys.executable, "-I", "-B", str(_CHILD), str(_CHILD.parents[2]), *limits]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        jobs = [process.Job(command, b"", (descriptor,))]
        (result,) = process.run_together(jobs, env=environment, timeout=_WALL_SECONDS, most=_ANSWER)
    finally:
        os.close(descriptor)
    return _take(path, result.stdout)


def _open(path: Path) -> int:
    try:
        # A pipe without a writer would keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or str(error)
        raise LoadError(f"cannot read the model {path}: {reason}", hint=_HINT) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LoadError(f"cannot read the model {path}: it is no regular file", hint=_HINT)
    return descriptor


def _take(path: Path, said: bytes) -> GgufContents:
    try:
        answer = decode_json(said, ModelAnswer)
    except UnreadableError as error:
        reason = "the child that reads its header died: it is damaged or hostile"
        raise LoadError(f"cannot read the model {path}: {reason}", hint="get it again") from error
    if answer.contents is None:
        raise LoadError(answer.message.replace(PLACE, str(path)), hint=answer.hint)
    return answer.contents
