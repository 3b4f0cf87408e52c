"""The wheelhouse: locked, atomic, found again by digest."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from truewheel.errors import StoreError
from truewheel.files import hash_file, replacing, write_file
from truewheel.locks import locked
from truewheel.scratch import SCRATCH

if TYPE_CHECKING:
    from truewheel.report import Report

_LOCK_SECONDS = 60.0


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
    size: int
    level: str
    created: str
    digest: str
    findings: tuple[CodeOutline, ...]


_Read = TypeVar("_Read", "Report", Outline)


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
            model: the model that it must have answered with; `tiny` asks for no more than any.
            emulated: whether it must have been run on emulated CPUs, too.
            provable: whether this machine can run it; then one that was never run is not enough.
        """
        for stored in self.list():
            report = stored.report
            smoke = report.smoke
            answered = smoke is not None and smoke.passed and model in ("tiny", smoke.model)
            answered = answered or (report.verdict == "unproven" and not provable)
            answered = answered and (not emulated or bool(report.emulation))
            same = (report.digest, report.proof) == (digest, proof)
            if same and report.sound and answered and hash_file(stored.path) == report.sha256:
                return stored
        return None

    def outlines(self) -> list[tuple[Path, Outline]]:
        """Return an outline of the proven wheels, then of the rejected ones, each newest first."""
        return [*_read(_read_outline, self.root), *_read(_read_outline, self.rejected)]

    def list(self, *, rejected: bool = False) -> list[Stored]:
        """Return what is stored, newest first; reports that cannot be read are passed over."""
        from truewheel.report import read_report

        return [Stored(*each) for each in _read(read_report, self.rejected if rejected else self.root)]

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
            write_file(target.with_name(f"{target.name}.report.json"), to_json(report))
            write_file(target.with_name(f"{target.name}.report.md"), to_markdown(describe_wheel(report)).encode())
            with replacing(target) as beside:
                shutil.copyfile(wheel, beside)
            self._forget(wheel.name, report)
        return Stored(target, report)

    def _forget(self, name: str, report: Report) -> None:
        for stored in self.list(rejected=report.sound):
            if stored.path.name == name and (report.sound or stored.report.proof != report.proof):
                for suffix in ("", ".report.json", ".report.md"):
                    stored.path.with_name(f"{name}{suffix}").unlink(missing_ok=True)

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


def _read(read: Callable[[bytes], _Read], folder: Path) -> list[tuple[Path, _Read]]:
    """Return the wheels of a folder with what is wanted of their reports, newest first."""
    found = []
    for report_path in folder.glob("*.whl.report.json"):
        wheel = report_path.with_name(report_path.name.removesuffix(".report.json"))
        try:
            report = read(report_path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue
        if wheel.is_file():
            found.append((wheel, report))
    return sorted(found, key=lambda each: each[1].created, reverse=True)


def _read_outline(text: bytes) -> Outline:
    return msgspec.json.decode(text, type=Outline)
