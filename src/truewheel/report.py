"""What was proven of one wheel: the account as data; `pages/` shows it to people."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from truewheel.checks.finding import Finding
from truewheel.checks.size import Space, space_of
from truewheel.child.emulated_run import EmulatedRun
from truewheel.child.smoke import SmokeRecord
from truewheel.child.system_info import SystemInfo
from truewheel.config.schema import SCHEMA_DIALECT
from truewheel.errors import LoadError
from truewheel.examine.facts import Facts
from truewheel.examine.isa_account import IsaAccount, account_of
from truewheel.files import read_file
from truewheel.kept.sealed import KEY, is_sealed_json, seal_json
from truewheel.plan.plan import Plan
from truewheel.text import clean
from truewheel.wheel.container import hash_stream


class Library(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One library of the wheel, as the report shows it.

    Attributes:
        path: in the wheel.
        size: bytes.
        needed: libraries that it needs.
        isa_level: the level that its ELF note asks for; empty without a note.
        level: the lowest x86-64 level that holds what its code needs; empty when that is not known.
        needs: features that its code needs on every CPU.
    """

    path: str
    size: int
    needed: tuple[str, ...]
    isa_level: str
    level: str = ""
    needs: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The account of one wheel.

    Attributes:
        schema: version of this format.
        wheel: file name.
        sha256: of the file.
        size: of the file, bytes.
        installed_size: of its content, bytes.
        verdict: `passed` when no finding is an error, `refused` when one is, `malformed` when the archive was not
            accepted, `unproven` when nothing speaks against it and this CPU could not run it.
        digest: of what decides the wheel's bytes; empty for a wheel that we did not build.
        proof: of what decides what was proven of it; empty likewise.
        level: x86-64 level of the plan; for other wheels the one that its code needs; empty when it is not known.
        created: when the report was made, UTC.
        symbols: the platform that its symbol versions allow, as auditwheel says; empty where it does not.
        libraries: what it holds.
        findings: everything that the checks said.
        smoke: the smoke test's record, or None when it was not run.
        seconds: wall time of each stage of the build.
        plan: what was asked for, or None.
        isa: what it claims of the CPU and what its code needs; None for a malformed wheel.
        space: what takes the space; None for a malformed wheel.
        told: what its libraries said of themselves; empty when they were not run.
        emulation: what it did on other CPUs, and on this one to compare; empty when it was not run there.
        unchecked: what was not looked at, and why, in sentences.
    """

    schema: int
    wheel: str
    sha256: str
    size: int
    installed_size: int
    verdict: str
    digest: str
    level: str
    created: str
    symbols: str
    libraries: tuple[Library, ...]
    findings: tuple[Finding, ...]
    smoke: SmokeRecord | None
    seconds: dict[str, float]
    plan: Plan | None
    isa: IsaAccount | None = None
    space: Space | None = None
    told: tuple[SystemInfo, ...] = ()
    emulation: tuple[EmulatedRun, ...] = ()
    unchecked: tuple[str, ...] = ()
    proof: str = ""

    @property
    def passed(self) -> bool:
        """Return whether everything was shown."""
        return self.verdict == "passed"

    @property
    def sound(self) -> bool:
        """Return whether the wheel may leave the house: passed, or unproven and said to be."""
        return self.verdict in ("passed", "unproven")

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that refuse the wheel."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def _verdict(findings: tuple[Finding, ...]) -> str:
    if any(finding.severity == "error" for finding in findings):
        return "refused"
    return "unproven" if any(finding.code.endswith("-UNPROVEN") for finding in findings) else "passed"


def make_report(facts: Facts, findings: tuple[Finding, ...], seconds: dict[str, float]) -> Report:
    """Put facts and findings together; the verdict follows from the findings alone."""
    wheel, plan = facts.wheel, facts.plan
    isa = account_of(facts)
    libraries = tuple(
        Library(
            path=path,
            size=wheel.entries[path].size,
            needed=elf.needed,
            isa_level=elf.isa_level,
            level=isa.libraries[path].level if path in isa.libraries else "",
            needs=isa.libraries[path].needs if path in isa.libraries else (),
        )
        for path, elf in sorted(facts.libraries.items())
    )
    return Report(
        schema=3,
        wheel=wheel.path.name,
        sha256=wheel.sha256,
        size=wheel.size,
        installed_size=wheel.installed_size,
        verdict=_verdict(findings),
        digest=plan.digest if plan else "",
        proof=plan.proof if plan else "",
        level=plan.code.level if plan else isa.level if facts.code else "",
        created=_now(),
        symbols=str((facts.policy or {}).get("sym_tag", "")),
        libraries=libraries,
        findings=findings,
        smoke=facts.smoke,
        seconds={name: round(value, 2) for name, value in seconds.items()},
        plan=plan,
        isa=isa,
        space=space_of(facts),
        told=facts.told,
        emulation=facts.emulation,
        unchecked=tuple(_unchecked(facts)),
    )


def report_of_malformed(path: Path, findings: tuple[Finding, ...]) -> Report:
    """Return the account of a file that was not accepted: what is wrong with it, and nothing of its content."""
    try:
        with path.open("rb") as stream:
            sha256, size = hash_stream(stream)
    except OSError:
        sha256, size = "", 0
    return Report(
        schema=3,
        wheel=path.name,
        sha256=sha256,
        size=size,
        installed_size=0,
        verdict="malformed",
        digest="",
        level="",
        created=_now(),
        symbols="",
        libraries=(),
        # Whatever a policy says: what is not accepted was not looked at.
        findings=tuple(msgspec.structs.replace(finding, severity="error") for finding in findings),
        smoke=None,
        seconds={},
        plan=None,
        unchecked=("everything but the archive: nothing in a file that is not accepted is looked at",),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _unchecked(facts: Facts) -> list[str]:
    """Say what no check looked at, so that silence is not taken for praise."""
    said = []
    others = sorted(
        {elf.machine.removeprefix("EM_").lower() for path, elf in facts.libraries.items() if path not in facts.code}
        - {"x86_64"}
    )
    if others:
        said.append(f"{', '.join(others)} code was not disassembled, and its links were compared with names alone")
    foreign = [path for path, entry in facts.wheel.entries.items() if entry.kind in ("pe", "macho")]
    if foreign:
        said.append(f"{len(foreign)} libraries for Windows or macOS, e.g. {foreign[0]}, were not looked into")
    python = sum(path.endswith(".py") for path in facts.wheel.entries)
    if python and facts.sources is None:
        said.append(f"its {python} Python files could not be read, so what they import is not known")
    elif facts.sources is not None and facts.sources.unparsable:
        count, first = len(facts.sources.unparsable), next(iter(facts.sources.unparsable))
        said.append(f"{count} of its {python} Python files, e.g. {first}, cannot be parsed by this Python")
    linux = any("linux" in platform for platform in facts.wheel.name.platforms)
    if linux and facts.libraries and facts.policy is None:
        said.append("auditwheel could not tell which platform tag its symbol versions allow")
    if facts.code and facts.smoke is None and not facts.emulation:
        said.append("no code of it was run" if not facts.told else "no inference was run")
    return said


def to_json(report: Report) -> bytes:
    """Return the report as indented JSON, sealed with the hash of its text."""
    return seal_json(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_report(data: bytes) -> Report:
    """Return a report that was stored; one of schema 2 is read without its plan, which had another form.

    Raises:
        msgspec.DecodeError: it is no report.
    """
    try:
        return msgspec.json.decode(data, type=Report)
    except msgspec.ValidationError:
        table = msgspec.json.decode(data)
        if not isinstance(table, dict) or table.get("schema") != 2:  # noqa: PLR2004
            raise
        return msgspec.convert({**table, "plan": None}, Report)


def refuse_other(wheel: Path, sha256: str) -> None:
    """Refuse a wheel that is not the one which the report beside it is about; one without a report is nobody's word.

    Args:
        wheel: the wheel.
        sha256: its hash.

    Raises:
        LoadError: it is another one.
    """
    try:
        data = read_file(wheel.with_name(f"{wheel.name}.report.json"))
        proven = read_report(data).sha256 if is_sealed_json(data) else sha256
    except (OSError, msgspec.DecodeError):
        return
    if proven != sha256:
        raise LoadError(
            f"{clean(wheel.name)} is not the wheel that the report beside it is about: it was changed since",
            hint="`truewheel list` shows what is damaged; `truewheel build` makes it anew",
        )


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report."""
    schema = msgspec.json.schema(Report)
    said = "SHA-256 of the text without this key; the last one, and in the report that lies beside a wheel alone"
    schema["$defs"]["Report"]["properties"][KEY] = {"type": "string", "description": said}
    return {"$schema": SCHEMA_DIALECT, "title": "truewheel report", **schema}
