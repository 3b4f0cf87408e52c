"""Read hostile files, each in a fork of this small process, and say what each took: a line in, a line of JSON out.

Run as `python -m tests.faults.reader`; a line is `KIND PATH`. The forks begin with nothing but what readers need, so
that what the kernel says of them is theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

from truewheel.binary.decode import code_table
from truewheel.errors import TruewheelError
from truewheel.examine.bounds import bound_archive, weight_of
from truewheel.examine.child import bound_facts, read_library
from truewheel.examine.reading import encode
from truewheel.models.gguf_header import read_gguf_contents
from truewheel.wheel.archive import Entry, read_wheel

_SAID = 32 << 20


def _read_elf(path: Path) -> None:
    data = path.read_bytes()
    entry = Entry(len(data), "", compressed=len(zlib.compress(data, 1)))
    facts = read_library(data, {"rule": ("OPENSSL_ia32cap",)}, weight_of(entry))
    said = len(encode(bound_facts(facts, entry)))
    assert said <= _SAID, f"it says {said} bytes"


def _read_zip(path: Path) -> None:
    limit = bound_archive(path.stat().st_size).memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(TruewheelError):
        encode(read_wheel(path))


def _read_gguf(path: Path) -> None:
    with contextlib.suppress(TruewheelError):
        read_gguf_contents(path)


def _hoard(_path: Path) -> None:
    bytearray(600 << 20)


def _fail(_path: Path) -> None:
    raise ZeroDivisionError


_KINDS: dict[str, Callable[[Path], None]] = {
    "elf": _read_elf, "zip": _read_zip, "gguf": _read_gguf, "hoard": _hoard, "fail": _fail
}  # fmt: skip


def _measure(kind: str, path: Path) -> tuple[float, float, int]:
    """Return processor seconds, peak in MiB and exit status of reading a file."""
    number = os.fork()
    if not number:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
            _KINDS[kind](path)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the fork must not read the next line
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status, use = os.wait4(number, 0)
    return use.ru_utime + use.ru_stime, use.ru_maxrss / 1024, status


def main() -> None:
    """Answer line by line."""
    code_table()
    for line in sys.stdin:
        kind, _, path = line.rstrip("\n").partition(" ")
        sys.stdout.write(json.dumps(_measure(kind, Path(path))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
