"""The locked-down child: it reads an open wheel and writes facts, and can do nothing else.

Run as `python -I -B child.py FOLDER` with FOLDER on the import path; the request comes on standard input. Everything
is imported before the process gives up opening files.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    # It may compute for minutes: it ends with whoever waits for it. (PR_SET_PDEATHSIG)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)

import msgspec

from truewheel.binary.code import read_code
from truewheel.binary.decode import code_table
from truewheel.binary.elf import elf_facts
from truewheel.binary.image import ElfImage
from truewheel.child.programs import lockdown
from truewheel.errors import CheckError
from truewheel.examine.bounds import weight_of
from truewheel.examine.reading import LibraryFacts, decode, encode
from truewheel.wheel.archive import Entry, MalformedWheelError, WheelFile, WheelReader, read_unsound
from truewheel.wheel.container import Fault
from truewheel.wheel.sources import scan_sources

_MAX_FACTS = 32 << 20
_ENOUGH, _TIMES = 1 << 20, 4
"""Bytes that facts of a library may have: a mebibyte and four times its own size, and no more than the first."""

_PRELOADED = (
    "elftools.elf.enums",
    "iced_x86",
    "packaging.tags",
)
"""What is imported at its first use elsewhere, and could not be once files can no longer be opened."""


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do.

    Attributes:
        descriptor: number of the open file.
        path: what the file is called.
        wheel: the wheel as it was accepted; None when it is to be accepted.
        libraries: ELF files to read, in this order.
        sources: whether to read the Python files.
        needles: texts to look for in each library, by the rule that asks.
        memory_bytes: address space that it may use.
        cpu_seconds: processor time that it may use.
        answer_bytes: what it may say.
    """

    descriptor: int
    path: Path
    wheel: WheelFile | None = None
    libraries: tuple[str, ...] = ()
    sources: bool = False
    needles: dict[str, tuple[str, ...]] = {}
    memory_bytes: int = 640 << 20
    cpu_seconds: int = 60
    answer_bytes: int = 64 << 20


class AnswerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the child's answer; what is None is not what the line is about."""

    locked: str | None = None
    wheel: WheelFile | None = None
    faults: tuple[Fault, ...] | None = None
    refusal: str | None = None
    library: str | None = None
    facts: LibraryFacts | None = None
    sources: bytes | None = None
    done: bool = False


def work(request: ReadRequest, stream: BinaryIO) -> Iterator[AnswerLine]:
    """Yield the answers to a request."""
    try:
        if request.wheel is None:
            yield AnswerLine(wheel=read_unsound(request.path, stream=stream))
        else:
            yield from _read_contents(request, request.wheel, stream)
    except MalformedWheelError as error:
        yield AnswerLine(faults=tuple(error.faults))
    except CheckError as error:
        yield AnswerLine(refusal=error.message)


def _read_contents(request: ReadRequest, wheel: WheelFile, stream: BinaryIO) -> Iterator[AnswerLine]:
    reader = WheelReader(stream, wheel)
    for path in request.libraries:
        entry = wheel.entries[path]
        facts = read_library(reader.read(path), request.needles, weight_of(entry))
        yield AnswerLine(library=path, facts=bound_facts(facts, entry))
    if request.sources:
        files = [name for name in wheel.entries if name.endswith((".py", ".pyw", ".so", ".pyd"))]
        # Of an extension module it is enough to know that it is there.
        scanned = scan_sources((name, reader.read(name) if ".py" in name[-4:] else b"") for name in files)
        yield AnswerLine(sources=msgspec.json.encode(scanned))


def bound_facts(facts: LibraryFacts, entry: Entry) -> LibraryFacts:
    """Return facts, or that they are more than a library of its size has to say."""
    said = len(encode(facts))
    if said <= min(_MAX_FACTS, _ENOUGH + _TIMES * entry.size):
        return facts
    return LibraryFacts(elf=None, code=None, damage=f"it says {said} bytes of itself, more than its size allows")


def read_library(data: bytes, needles: dict[str, tuple[str, ...]], weight: int | None = None) -> LibraryFacts:
    """Read one library from memory; a damaged one gives the reason, as far as it could be read.

    Args:
        data: its bytes.
        needles: texts to look for, by the rule that asks.
        weight: bytes that it counts for; its own size by itself.
    """
    try:
        image = ElfImage(data, weight)
        marks = _find_marks(data, image.undebugged(), needles)
        elf = elf_facts(image)
    except (ValueError, MemoryError) as error:
        marks = _find_marks(data, [(0, len(data))], needles)
        return LibraryFacts(elf=None, code=None, marks=marks, damage=str(error))
    if not image.x86_64:
        return LibraryFacts(elf=elf, code=None, marks=marks, damage=image.damage)
    try:
        code = read_code(image)
    except Exception as error:  # noqa: BLE001 - hostile bytes can fail anywhere, and the finding is that they do
        return LibraryFacts(elf=elf, code=None, marks=marks, damage=f"{type(error).__name__}: {error}")
    return LibraryFacts(elf=elf, code=code, marks=marks, damage=image.damage)


def _find_marks(data: bytes, where: list[tuple[int, int]], needles: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the rules all of whose texts stand somewhere in these stretches of a file."""
    texts = {text for wanted in needles.values() for text in wanted}
    found = {text for text in texts if any(data.find(text.encode(), start, end) >= 0 for start, end in where)}
    return tuple(sorted(rule for rule, wanted in needles.items() if found.issuperset(wanted)))


def prepare() -> None:
    """Import all that reading needs, while files can be opened."""
    for name in _PRELOADED:
        importlib.import_module(name)
    code_table()


def main() -> None:
    """Lock down, read the request, write the answers."""
    data = sys.stdin.buffer.read()
    request: ReadRequest = decode(data, ReadRequest)
    prepare()
    stream = os.fdopen(request.descriptor, "rb")
    lockdown.limit(request.cpu_seconds, request.memory_bytes, request.answer_bytes)  # type: ignore[no-untyped-call]
    reason: str = lockdown.confine()  # type: ignore[no-untyped-call]
    sink = sys.stdout.buffer
    sink.write(encode(AnswerLine(locked=reason)) + b"\n")
    for answer in work(request, stream):
        sink.write(encode(answer) + b"\n")
        sink.flush()
    sink.write(encode(AnswerLine(done=True)) + b"\n")
    sink.flush()


if __name__ == "__main__":
    main()
