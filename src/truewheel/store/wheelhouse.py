"""The wheelhouse: locked, atomic, found again by digest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from truewheel.config.locations import cache_root
from truewheel.decoding import MOST_JSON, UnreadableError, decode_json, read_bounded
from truewheel.errors import StoreError
from truewheel.files import hash_file, replacing, write_file
from truewheel.kept.hashes import hash_files
from truewheel.kept.sealed import is_sealed_json
from truewheel.locks import locked
from truewheel.scratch import SCRATCH

if TYPE_CHECKING:
    from truewheel.child.smoke import SmokeRecord
    from truewheel.report import Report

_LOCK_SECONDS = 60.0
_WHEEL, _REPORT = ".whl", ".report.json"


class Stored(NamedTuple):
    """A wheel of the wheelhouse and its report."""

    path: Path
    report: Report


class CodeOutline(msgspec.Struct, frozen=True):
    """What is read of a finding to list its wheel."""

    code: str


class Outline(msgspec.Struct, frozen=True):
    """What is read of a report to list its wheel: reading all of it needs every room that has a part in it."""

    verdict: str
    size: int = 0
    level: str = ""
    created: str = ""
    digest: str = ""
    sha256: str = ""
    findings: tuple[CodeOutline, ...] = ()


class Wheelhouse:
    """A folder of wheels with a report beside each.

    Args:
        root: the folder; made when the first wheel is added.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def rejected(self) -> Path:
        """Return the folder of what failed."""
        return self.root / "rejected"

    def prepare(self) -> None:
        """Make the folder and try to write to it, so that a build does not end at a closed door.

        Raises:
            StoreError: it cannot be written to.
        """
        with self._guard(), self._locked(), SCRATCH.beside(self.root / "probe") as probe:
            probe.write_bytes(b"x")

    def find(
        self, digest: str, proof: str, model: str, *, emulated: bool = False, provable: bool = True
    ) -> Stored | None:
        """Return the proven wheel of the plan with these digests, if it is still what its report says.

        Args:
            digest: of what decides its bytes.
            proof: of what decides what is proven of it.
            model: the model that it must have answered with; `tiny` asks for no more than any whose answers were
                compared with what it gives.
            emulated: whether it must have been run on emulated CPUs, too.
            provable: whether this machine can run it; then one that was never run is not enough.
        """
        for stored in self.list():
            report = stored.report
            smoke = report.smoke
            answered = smoke is not None and smoke.passed and _suits(smoke, model)
            answered = answered or (report.verdict == "unproven" and not provable)
            answered = answered and (not emulated or bool(report.emulation))
            same = (report.digest, report.proof) == (digest, proof)
            if same and report.sound and answered and _has(stored.path, report.sha256):
                return stored
        return None

    def outlines(self) -> list[tuple[Path, Outline]]:
        """Return an outline of the proven wheels, then of the rejected ones, each newest first.

        The verdict is that of the report where wheel and report are what they were. Else it is `damaged` where one of
        them is not, `lost` where the wheel is gone, `unsealed` where the report has no hash of its own, as those of
        older versions have none, and `unknown` where no report lies beside the wheel.
        """
        return [*self._outline(self.root), *self._outline(self.rejected)]

    def _outline(self, folder: Path) -> Iterator[tuple[Path, Outline]]:
        reports = {path.with_name(path.name.removesuffix(_REPORT)) for path in folder.glob(f"*{_WHEEL}{_REPORT}")}
        wheels = set(folder.glob(f"*{_WHEEL}"))
        place = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
        hashes = hash_files(sorted(wheels), cache_root() / "seen" / place)
        found = [(wheel, _outline(wheel, hashes.get(wheel, ""))) for wheel in reports | wheels]
        found.sort(key=lambda each: (each[1].created, each[0].name), reverse=True)
        yield from found

    def list(self, *, rejected: bool = False) -> list[Stored]:
        """Return what is stored, newest first; reports that are not what was stored are passed over.

        Whoever takes a wheel of it must compare its hash.
        """
        folder = self.rejected if rejected else self.root
        found = [stored for path in folder.glob(f"*{_WHEEL}{_REPORT}") if (stored := _read(path)) is not None]
        return sorted(found, key=lambda stored: stored.report.created, reverse=True)

    def add(self, wheel: Path, report: Report) -> Stored:
        """Store a wheel and its report: among the proven, or among the rejected as the verdict says.

        Each file is written beside its place, synced and renamed; the wheel comes last, so that a wheel
        that is there has its report. What was known of the same file before goes: its older copy among the rejected,
        or among the proven where this report is of another proof.

        Raises:
            StoreError: the wheelhouse cannot be written to, or is locked for too long.
        """
        from truewheel.pages.markdown import to_markdown
        from truewheel.pages.wheel import describe_wheel
        from truewheel.report import to_json

        folder = self.root if report.sound else self.rejected
        with self._guard(), self._locked():
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / wheel.name
            write_file(target.with_name(f"{target.name}{_REPORT}"), to_json(report))
            write_file(target.with_name(f"{target.name}.report.md"), to_markdown(describe_wheel(report)).encode())
            with replacing(target) as beside:
                shutil.copyfile(wheel, beside)
            self._forget(wheel.name, report)
        return Stored(target, report)

    def _forget(self, name: str, report: Report) -> None:
        other = (self.rejected if report.sound else self.root) / name
        stored = _read(other.with_name(f"{name}{_REPORT}"))
        if report.sound or stored is None or stored.report.proof != report.proof:
            for suffix in ("", _REPORT, ".report.md"):
                other.with_name(f"{name}{suffix}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        from filelock import Timeout

        try:
            yield
        except Timeout as error:
            raise StoreError(
                f"the wheelhouse {self.root} is locked by another program", hint="wait for it, or choose --wheelhouse"
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot write to the wheelhouse {self.root}: {error.strerror or error}",
                hint="free space or permissions, or choose another folder with --wheelhouse",
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / ".lock", "the wheelhouse", timeout=_LOCK_SECONDS):
            yield


def _read(path: Path) -> Stored | None:
    """Return the wheel of a report with it; None where either is not there, or the report not what was stored."""
    from truewheel.report import read_report

    wheel = path.with_name(path.name.removesuffix(_REPORT))
    try:
        data = read_bounded(path, MOST_JSON)
        report = read_report(data) if is_sealed_json(data) and wheel.is_file() else None
    except UnreadableError:
        return None
    return Stored(wheel, report) if report is not None else None


def _outline(wheel: Path, sha256: str) -> Outline:
    """Return what is to be said of a wheel.

    Args:
        wheel: where it is, or should be.
        sha256: its hash; empty where there is no such file.
    """
    try:
        data = read_bounded(wheel.with_name(f"{wheel.name}{_REPORT}"), MOST_JSON)
        outline = decode_json(data, Outline)
    except UnreadableError as error:
        return Outline("unknown" if error.missing else "damaged", _size(wheel))
    doubt = ""
    if not os.path.lexists(wheel):
        doubt = "lost"
    elif sha256 != outline.sha256:
        doubt = "damaged"
    elif not is_sealed_json(data):
        doubt = "damaged" if b'"seal"' in data else "unsealed"
    return msgspec.structs.replace(outline, verdict=doubt) if doubt else outline


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _suits(smoke: SmokeRecord, model: str) -> bool:
    return model == smoke.model or (model == "tiny" and smoke.compared)


def _has(path: Path, sha256: str) -> bool:
    try:
        return hash_file(path) == sha256
    except OSError:
        return False
