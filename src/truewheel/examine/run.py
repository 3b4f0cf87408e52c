"""Hand a wheel to locked-down children and put together what they found."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from truewheel import process
from truewheel.config.locations import cache_root
from truewheel.cpu.host import detect_host
from truewheel.decoding import UnreadableError, decode_json
from truewheel.errors import CheckError
from truewheel.examine.bounds import (
    MAX_LIBRARIES,
    MAX_NEEDED,
    MAX_SYMBOLS,
    bound_archive,
    bound_audit,
    bound_contents,
    weight_of,
)
from truewheel.examine.child import AnswerLine, ReadRequest
from truewheel.examine.reading import LibraryFacts, WheelFacts, decode, encode
from truewheel.kept.record import read_record, write_record
from truewheel.plan.identity import prover_hash
from truewheel.scratch import SCRATCH
from truewheel.wheel.archive import MalformedWheelError, WheelFile, open_wheel
from truewheel.wheel.container import Fault, hash_stream
from truewheel.wheel.sources import SourceFacts

_HERE = Path(__file__).resolve().parent
_PACKAGE_PARENT = _HERE.parent.parent
_WALL_SECONDS = 900.0
_DIED = "the child that read it died: it is damaged or hostile, or needs more memory than there is"
_MANY = "the wheel has more libraries than are looked into"
_MUCH = "the wheel's libraries have more symbols, or need more libraries, than are compared"
_MOST_SAID = 104 << 20
_START_COST = 2 << 20
"""A library costs a child as much as this many bytes, however small it is."""


def inspect_wheel(
    path: Path, *, needles: Mapping[str, tuple[str, ...]] | None = None, cache: bool = True
) -> WheelFacts:
    """Read a wheel, anybody's, in locked-down children: all of its archive, code, links and sources.

    Args:
        path: the wheel.
        needles: texts to look for in each library, by the rule that asks.
        cache: take what is known of a file with the same name and hash.

    Raises:
        MalformedWheelError: it is not accepted.
        CheckError: it cannot be opened, or the children cannot be run.
    """
    needles = needles or {}
    with open_wheel(path) as stream:
        sha256, _ = hash_stream(stream)
        kept = _cache_path(path, sha256, needles) if cache else None
        if kept is not None and (known := _recall(kept)) is not None:
            wheel = msgspec.structs.replace(known.wheel, path=path)
            return msgspec.structs.replace(known, wheel=wheel)
        facts, lasting = _inspect(path, stream, needles)
    if facts.wheel.sha256 != sha256:
        raise MalformedWheelError(path, [Fault("ARCHIVE-CHANGED", "", "the file changed while it was read")])
    if kept is not None and lasting:
        _remember(kept, facts)
    return facts


def _inspect(path: Path, stream: BinaryIO, needles: Mapping[str, tuple[str, ...]]) -> tuple[WheelFacts, bool]:
    """Return the facts, and whether they may be kept."""
    wheel, locked = _accept(path, stream)
    reading, policy = _read_contents(wheel, stream, needles)
    facts = WheelFacts(
        wheel=wheel,
        libraries={name: reading.libraries[name] for name in wheel.shared_objects()},
        sources=reading.sources,
        policy=policy,
        locked=locked,
    )
    # That a child died may have been the machine's fault: it is tried again the next time.
    return facts, locked and reading.whole


def _accept(path: Path, stream: BinaryIO) -> tuple[WheelFile, bool]:
    bounds = bound_archive(os.fstat(stream.fileno()).st_size)
    (answers,), _ = _ask(stream, [ReadRequest(descriptor=0, path=path, **bounds._asdict())])
    locked = next((answer.locked for answer in answers if answer.locked is not None), "it never began")
    for answer in answers:
        if answer.wheel is not None:
            return answer.wheel, not locked
        if answer.faults:
            raise MalformedWheelError(path, answer.faults)
        if answer.refusal is not None:
            raise CheckError(answer.refusal)
    raise CheckError(
        f"{path.name} could not be read: the child that reads it died",
        hint="the wheel may be hostile; do not install it",
    )


def _unread(reason: str) -> LibraryFacts:
    return LibraryFacts(elf=None, code=None, damage=reason)


class _Reading:
    """The contents of a wheel, as far as children have read them.

    Args:
        wheel: what was accepted.
    """

    def __init__(self, wheel: WheelFile) -> None:
        self.wheel = wheel
        self.libraries: dict[str, LibraryFacts] = {}
        self.sources: SourceFacts | None = None
        found = wheel.shared_objects()
        self.libraries |= {name: _unread(_MANY) for name in found[MAX_LIBRARIES:]}
        self.waiting = sorted(found[:MAX_LIBRARIES], key=lambda name: -wheel.entries[name].size)
        self._symbols = self._needed = 0
        self.wants_sources = any(name.endswith(".py") for name in wheel.entries)
        self.whole = True

    def requests(self, shares: list[list[str]], needles: Mapping[str, tuple[str, ...]]) -> list[ReadRequest]:
        """Return what each child is to read; the last one also reads the Python files."""
        weights = [sum(weight_of(self.wheel.entries[name]) for name in share) for share in shares]
        whole = max(1, sum(weights))
        return [
            ReadRequest(
                descriptor=0,
                path=self.wheel.path,
                wheel=self.wheel,
                libraries=tuple(share),
                sources=self.wants_sources and number == len(shares) - 1,
                needles=dict(needles),
                **self._bound(share, weights[number] / whole, sources=number == len(shares) - 1),
            )
            for number, share in enumerate(shares)
        ]

    def _bound(self, share: list[str], part: float, *, sources: bool) -> dict[str, int]:
        return bound_contents(self.wheel, share, sources=sources and self.wants_sources, share=part)._asdict()

    def _keep(self, name: str, facts: LibraryFacts) -> None:
        """Keep a library's facts, unless all of them are more than a wheel's checks can compare."""
        elf = facts.elf
        if elf is not None:
            self._symbols += len(elf.undefined) + len(elf.defined)
            self._needed += len(elf.needed)
        beyond = self._symbols > MAX_SYMBOLS or self._needed > MAX_NEEDED
        self.libraries[name] = _unread(_MUCH) if beyond and elf is not None else facts

    def take(self, request: ReadRequest, answers: list[AnswerLine]) -> None:
        """Take a child's answers, as far as they are about what it was asked.

        Raises:
            MalformedWheelError: the file is no longer what was accepted.
        """
        for answer in answers:
            if answer.faults:
                raise MalformedWheelError(self.wheel.path, answer.faults)
            if answer.library in request.libraries and answer.facts is not None:
                self._keep(str(answer.library), answer.facts)
            if answer.sources is not None and request.sources:
                with contextlib.suppress(UnreadableError):
                    self.sources = decode_json(answer.sources, SourceFacts)
                self.wants_sources = False
        missed = [name for name in request.libraries if name not in self.libraries]
        done = bool(answers) and answers[-1].done
        # The first that is missing is the one that it died of; the others get another child.
        for name in missed if done else missed[:1]:
            self.libraries[name] = _unread(_DIED)
            self.whole = False
        if request.sources and self.wants_sources and (done or not missed):
            self.wants_sources = self.whole = False


def _read_contents(
    wheel: WheelFile, stream: BinaryIO, needles: Mapping[str, tuple[str, ...]]
) -> tuple[_Reading, dict[str, Any] | None]:
    reading = _Reading(wheel)
    policy: dict[str, Any] | None = None
    audit = _wants_audit(wheel)
    while reading.waiting or reading.wants_sources:
        shares = _share(wheel, reading.waiting, max(1, detect_host().usable_cores))
        requests = reading.requests(shares, needles)
        found, audited = _ask(stream, requests, audit=wheel if audit else None)
        if audit:
            audit, policy = False, _read_audit(audited)
        for request, answers in zip(requests, found, strict=True):
            reading.take(request, answers)
        reading.waiting = [name for name in reading.waiting if name not in reading.libraries]
    return reading, policy


def _share(wheel: WheelFile, names: list[str], count: int) -> list[list[str]]:
    """Deal libraries out so that every child has about as much to do, the largest first."""
    shares: list[list[str]] = [[] for _ in range(max(1, min(count, len(names))))]
    loads = [0] * len(shares)
    for name in names:
        lightest = loads.index(min(loads))
        shares[lightest].append(name)
        loads[lightest] += wheel.entries[name].size + _START_COST
    return shares


def _ask(
    stream: BinaryIO, requests: list[Any], *, audit: WheelFile | None = None
) -> tuple[list[list[Any]], process.Result | None]:
    """Run one child a request, side by side, and auditwheel beside them when asked to; return what they said."""
    jobs = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(SCRATCH.folder("truewheel-check"))
        for request in requests:
            # An open file of its own for each: those that share one would move each other's place in it.
            descriptor = os.open(f"/proc/self/fd/{stream.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            command = [sys.executable, "-I", "-B", str(_HERE / "child.py"), str(_PACKAGE_PARENT)]
            data = encode(msgspec.structs.replace(request, descriptor=descriptor))
            jobs.append(process.Job(command, data, (descriptor,)))
        if audit is not None:
            limits = list(map(str, bound_audit(audit)))
            command = [sys.executable, "-I", "-B", str(_HERE / "audit.py"), str(_PACKAGE_PARENT)]
            jobs.append(process.Job([*command, str(audit.path.absolute()), *limits], b""))
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": str(folder), "HOME": str(folder)}
        results = process.run_together(jobs, env=environment, timeout=_WALL_SECONDS, most=_MOST_SAID)
    answers = [list(_lines(result.stdout, AnswerLine)) for result in results[: len(requests)]]
    return answers, results[-1] if audit is not None else None


def _lines(data: bytes, kind: type) -> Iterator[Any]:
    at = 0
    while (end := data.find(b"\n", at)) >= 0:
        try:
            yield decode(memoryview(data)[at:end], kind)
        except UnreadableError:
            return
        at = end + 1


def _wants_audit(wheel: WheelFile) -> bool:
    platforms = wheel.name.platforms
    return bool(wheel.shared_objects()) and any("linux" in name and name.endswith("x86_64") for name in platforms)


def _read_audit(result: process.Result | None) -> dict[str, Any] | None:
    """Return what `auditwheel show --json` said; None where it could not tell."""
    start = result.stdout.find(b"{") if result is not None else -1
    if result is None or result.returncode != 0 or start < 0:
        return None
    try:
        return decode_json(result.stdout[start:], dict[str, Any])
    except UnreadableError:
        return None


def _cache_path(path: Path, sha256: str, needles: Mapping[str, tuple[str, ...]]) -> Path:
    tools = " ".join(f"{name} {version(name)}" for name in ("auditwheel", "iced-x86", "pyelftools"))
    key = (
        f"{prover_hash()}\0{tools}\0{sha256}\0".encode()
        + os.fsencode(path.name)
        + b"\0"
        + msgspec.json.encode(dict(sorted(needles.items())))
    )
    return cache_root() / "facts" / hashlib.sha256(key).hexdigest()


def _recall(path: Path) -> WheelFacts | None:
    data = read_record(path)
    try:
        known: WheelFacts | None = decode(data, WheelFacts) if data is not None else None
    except UnreadableError:
        return None
    return known


def _remember(path: Path, facts: WheelFacts) -> None:
    """Keep facts for the next time; that they cannot be kept is no reason to fail."""
    with contextlib.suppress(OSError):
        write_record(path, encode(facts))
