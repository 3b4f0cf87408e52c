"""What was proven of one wheel: for the terminal, as JSON, as Markdown."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from truewheel.checks.finding import Facts, Finding
from truewheel.checks.run import CODES
from truewheel.inference.smoke import SmokeRecord
from truewheel.plan import Plan

_MIB = 1 << 20


class Library(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One library of the wheel, as the report shows it."""

    path: str
    size: int
    needed: tuple[str, ...]
    isa_level: str


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The account of one wheel.

    Attributes:
        schema: version of this format.
        wheel: file name.
        sha256: of the file.
        size: of the file, bytes.
        installed_size: of its content, bytes.
        verdict: `passed` when no finding is an error, else `refused`.
        digest: of the plan; empty for a wheel that we did not build.
        level: x86-64 level of the plan; empty likewise.
        created: when the report was made, UTC.
        symbols: the platform that its symbol versions allow, as auditwheel says; empty where it does not.
        libraries: what it holds.
        findings: everything that the checks said.
        smoke: the smoke test's record, or None when it was not run.
        seconds: wall time of each stage of the build.
        plan: what was asked for, or None.
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

    @property
    def passed(self) -> bool:
        """Return whether the wheel may leave the house."""
        return self.verdict == "passed"

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that refuse the wheel."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def make_report(facts: Facts, findings: tuple[Finding, ...], seconds: dict[str, float]) -> Report:
    """Put facts and findings together; the verdict follows from the findings alone."""
    wheel, plan = facts.wheel, facts.plan
    refused = any(finding.severity == "error" for finding in findings)
    libraries = tuple(
        Library(path=path, size=len(wheel.members[path].data), needed=elf.needed, isa_level=elf.isa_level)
        for path, elf in sorted(facts.libraries.items())
    )
    return Report(
        schema=1,
        wheel=wheel.path.name,
        sha256=wheel.sha256,
        size=wheel.size,
        installed_size=sum(len(member.data) for member in wheel.members.values()),
        verdict="refused" if refused else "passed",
        digest=plan.digest if plan else "",
        level=plan.level if plan else "",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        symbols=str((facts.policy or {}).get("sym_tag", "")),
        libraries=libraries,
        findings=findings,
        smoke=facts.smoke,
        seconds={name: round(value, 2) for name, value in seconds.items()},
        plan=plan,
    )


def to_json(report: Report) -> bytes:
    """Return the report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def to_dict(report: Report) -> dict[str, Any]:
    """Return the report as plain data."""
    table: dict[str, Any] = msgspec.to_builtins(report)
    return table


def to_lines(report: Report) -> list[str]:
    """Return the report for a terminal, without style."""
    lines = [f"{report.verdict}: {report.wheel}", f"  {_size_line(report)}"]
    if report.plan is not None:
        toolchain = report.plan.toolchain
        cpu = f", made for {toolchain.native_cpu}" if toolchain.native_cpu else ""
        lines.append(f"  {report.level}{cpu}, {toolchain.kind} {toolchain.version}, digest {report.digest[:12]}")
    if report.symbols:
        lines.append(f"  its symbols allow {report.symbols}")
    if report.smoke is not None:
        lines.append(f"  smoke on {report.smoke.model}: {report.smoke.ending}")
    for finding in report.findings:
        lines.append(f"  {finding.severity}: {finding.code}: {finding.where}: {finding.message}")
        if finding.hint:
            lines.append(f"      {finding.hint}")
    return lines


def to_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    lines = [f"# {report.wheel}", "", f"**{report.verdict}** on {report.created}. {_size_line(report)}.", ""]
    lines += [f"- sha256: `{report.sha256}`"]
    if report.plan is not None:
        plan = report.plan
        cpu = f" (`{plan.toolchain.native_cpu}`)" if plan.toolchain.native_cpu else ""
        commits = ", ".join(f"{name} `{commit}`" for name, commit in plan.source.commit.items())
        lines += [
            f"- plan: `{report.digest}`",
            f"- engine: {plan.engine} {plan.source.version}" + (f", {commits}" if commits else ""),
            f"- profile: {plan.profile}; level {plan.level}{cpu}",
            f"- compiler: {plan.toolchain.kind} {plan.toolchain.version} {plan.toolchain.target}".rstrip(),
            f"- CPU features that its code may use: {', '.join(plan.features) or 'none beyond x86-64'}",
        ]
    lines += ["", "## Findings", ""]
    if report.findings:
        lines += ["| code | severity | where | what |", "| --- | --- | --- | --- |"]
        lines += [f"| {f.code} | {f.severity} | {_cell(f.where)} | {_cell(f.message)} |" for f in report.findings]
        lines += ["", *(f"- **{code}**: {CODES.get(code, '')}" for code in sorted({f.code for f in report.findings}))]
    else:
        lines += ["None."]
    lines += ["", "## Libraries", "", "| library | KiB | needs | ELF note |", "| --- | ---: | --- | --- |"]
    lines += [
        f"| {library.path} | {library.size // 1024} | {', '.join(library.needed)} | {library.isa_level or '-'} |"
        for library in report.libraries
    ]
    if report.smoke is not None:
        lines += _smoke_section(report.smoke)
    if report.seconds:
        lines += ["", "## Time", "", "| stage | seconds |", "| --- | ---: |"]
        lines += [f"| {stage} | {seconds:.1f} |" for stage, seconds in report.seconds.items()]
    return "\n".join(lines) + "\n"


def _smoke_section(record: SmokeRecord) -> list[str]:
    lines = [
        "",
        f"## Smoke test on {record.model}",
        "",
        f"It {'passed' if record.passed else 'ended ' + record.ending}.",
        "",
    ]
    lines += ["| step | result | seconds |", "| --- | --- | ---: |"]
    lines += [f"| {step.name} | {step.state} | {step.seconds:.2f} |" for step in record.steps]
    decode = record.facts("decode")
    if decode:
        margins = decode["margins"]
        lines += [
            "",
            f"It continued with {decode['text']!r}; smallest margin between the two best logits {min(margins):.4f}.",
        ]
    if record.output:
        lines += ["", "```text", record.output, "```"]
    return lines


def _size_line(report: Report) -> str:
    return f"{report.size / _MIB:.2f} MiB, {report.installed_size / _MIB:.1f} MiB installed"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
