"""Check many wheels and write one table of them: `python -m tools.survey LIST.toml FOLDER OUT.md`.

The list names projects and versions; what FOLDER does not hold is downloaded into it first. `--wheel FILE` adds
a wheel that no index has.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import Version

from truewheel import __version__
from truewheel.console import Console
from truewheel.corridor.verify import check_wheel
from truewheel.cpu.levels import LEVELS
from truewheel.errors import CheckError, LoadError, TruewheelError
from truewheel.examine.isa_account import IsaAccount
from truewheel.examine.isa_rules import GUARD_RULE
from truewheel.machine.index import run_pip
from truewheel.report import Report
from truewheel.wheel.name import WheelName, parse_wheel_name

NO_CODE = "no code"
_TOOLS = ("auditwheel", "iced-x86", "pyelftools")
_MOST_FEATURES = 6
_LEGACY = ("manylinux1_", "manylinux2010_", "manylinux2014_")


class Project(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a list.

    Attributes:
        name: the project.
        version: exact.
        platform: the platform tag to ask for; empty for this machine's own.
        remark: what a person found out about its CPU features, in sentences; may be empty.
    """

    name: str
    version: str
    platform: str = ""
    remark: str = ""


class Survey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of wheels.

    Attributes:
        schema: version of this format.
        title: the page's heading.
        about: what the list is, in sentences.
        projects: what is checked.
    """

    schema: Literal[1]
    title: str
    about: str
    projects: tuple[Project, ...]


class Row(NamedTuple):
    """One wheel in the table; every field is a cell."""

    wheel: str
    claims: str
    verdict: str
    needs: str
    chosen: str
    undecided: str
    symbols: str
    errors: str
    explanation: str


HEADINGS = Row(
    "wheel",
    "claims",
    "verdict",
    "needs on every CPU",
    "chosen at run time, by which rules",
    "undecided",
    "symbols allow",
    "errors",
    "in short",
)


class Failure(NamedTuple):
    """A wheel that could not be looked at: which, and why not."""

    wheel: str
    reason: str


def load_survey(path: Path) -> Survey:
    """Read a list.

    Raises:
        LoadError: it cannot be read, or does not follow the format.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Survey)
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from error
    except msgspec.DecodeError as error:
        raise LoadError(f"{path}: {error}", hint="it has schema, title, about and projects") from error


def find_wheel(project: Project, folder: Path) -> Path | None:
    """Return the project's wheel in a folder; None when it is not there."""
    wanted = canonicalize_name(project.name), Version(project.version)
    for path in sorted(place_of(project, folder).glob("*.whl")):
        try:
            name = parse_wheel_name(path.name)
        except CheckError:
            continue
        if (name.project, Version(name.version)) == wanted:
            return path
    return None


def place_of(project: Project, folder: Path) -> Path:
    """Return where a project's wheel lies: those for another platform have a folder of their own."""
    return folder / project.platform if project.platform else folder


def fetch_wheel(project: Project, folder: Path) -> Path:
    """Return the project's wheel, downloaded when it is not there yet.

    Raises:
        FetchError: it cannot be had.
        CheckError: pip brought another one.
    """
    if found := find_wheel(project, folder):
        return found
    target = place_of(project, folder)
    target.mkdir(parents=True, exist_ok=True)
    platform = ["--platform", project.platform] if project.platform else []
    what = f"{project.name}=={project.version}"
    run_pip(["download", "--no-deps", "--only-binary", ":all:", *platform, "-d", str(target), what], what=what)
    found = find_wheel(project, folder)
    if found is None:
        raise CheckError(f"pip brought no wheel of {what}")
    return found


def row_of(report: Report) -> Row:
    """Return the table's line for one report."""
    name = _name_of(report.wheel)
    isa = report.isa
    title = f"{name.distribution} {name.version}" if name else report.wheel
    errors = Counter(finding.code for finding in report.errors)
    return Row(
        wheel=title,
        claims=_claims(name, isa),
        verdict=report.verdict,
        needs=_needs(isa),
        chosen=_chosen(isa),
        undecided=", ".join(isa.undecided) if isa else "",
        symbols=report.symbols.removesuffix("_x86_64"),
        errors=", ".join(f"{code} ({count})" if count > 1 else code for code, count in sorted(errors.items())),
        explanation=explain(report),
    )


def _name_of(wheel: str) -> WheelName | None:
    try:
        return parse_wheel_name(wheel)
    except CheckError:
        return None


def short_tags(name: WheelName) -> str:
    """Return a wheel's tags without aliases of the same platform and without the machine that all of them share."""
    python, abi, _ = name.tags.split("-")
    platforms = [platform for platform in name.platforms if not platform.startswith(_LEGACY)] or name.platforms
    return f"{python}-{abi}-{'.'.join(platform.removesuffix('_x86_64') for platform in platforms)}"


def _claims(name: WheelName | None, isa: IsaAccount | None) -> str:
    tags = short_tags(name) if name else ""
    told = sorted({claim.text for claim in isa.claims if claim.features} if isa else ())
    return "; ".join([tags, *told]).strip("; ")


def _needs(isa: IsaAccount | None) -> str:
    if isa is None:
        return ""
    return ", ".join([isa.level, *isa.beyond]) if isa.libraries else NO_CODE


def _chosen(isa: IsaAccount | None) -> str:
    return "; ".join(
        f"{_list(features)} in {count} {_plural(count, 'function')} ({rule})"
        for rule, (count, features) in _allowed(isa).items()
    )


def _allowed(isa: IsaAccount | None) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return by rule how many functions it let through in all libraries, and which features they need."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for library in isa.libraries.values() if isa else ():
        for rule, allowed in library.allowed.items():
            count, features = found.get(rule, (0, ()))
            found[rule] = (count + allowed.functions, tuple(dict.fromkeys((*features, *allowed.features))))
    return dict(sorted(found.items()))


def explain(report: Report) -> str:
    """Return what a report says of the CPU features, in one phrase."""
    isa = report.isa
    if isa is None:
        return "not looked into: the archive is not accepted"
    if not report.libraries:
        return "pure"
    if not isa.libraries:
        return "no 64-bit x86 code"
    parts = []
    if isa.needs:
        parts.append(f"{_list(_by_count(isa))} on every CPU")
    if isa.undecided:
        functions = sum(library.undecided_functions for library in isa.libraries.values())
        parts.append(
            f"nothing shows what chooses {_list(isa.undecided)} in {functions} {_plural(functions, 'function')}"
        )
    allowed = _allowed(isa)
    if allowed:
        highest = next(iter(_highest(feature for _, features in allowed.values() for feature in features)))
        count = sum(number for number, _ in allowed.values())
        how = "guarded by CPUID" if set(allowed) == {GUARD_RULE} else "chosen by CPUID"
        parts.append(f"up to {highest} in {count} {_plural(count, 'function')} {how}")
    return "; ".join(parts) or "baseline only"


def _by_count(isa: IsaAccount) -> list[str]:
    """Return what is needed everywhere, each with the functions that need it."""
    counts: Counter[str] = Counter()
    for library in isa.libraries.values():
        counts.update(library.counts)
    return [f"{feature} ({counts[feature]} {_plural(counts[feature], 'function')})" for feature in isa.needs]


def _highest(features: Iterable[str]) -> list[str]:
    """Return features from the newest level's to the oldest; those of no level last."""
    from truewheel.cpu.levels import level_features

    def rank(feature: str) -> int:
        return next((number for number, level in enumerate(LEVELS) if feature in level_features(level)), -1)

    return sorted(set(features), key=lambda feature: (-rank(feature), feature))


def _list(features: Iterable[str]) -> str:
    names = list(features)
    more = f" and {len(names) - _MOST_FEATURES} more" if len(names) > _MOST_FEATURES else ""
    return ", ".join(names[:_MOST_FEATURES]) + more


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def summary(reports: Iterable[Report]) -> list[str]:
    """Return the summary's lines."""
    reports = list(reports)
    verdicts = Counter(report.verdict for report in reports)
    read = [report.isa for report in reports if report.isa is not None]
    levels = Counter(isa.level if isa.libraries else NO_CODE for isa in read)
    beyond = sum(bool(isa.beyond) for isa in read)
    errors = Counter(code for report in reports for code in {finding.code for finding in report.errors})
    needs = [f"{count} {_need_words(level)}" for level, count in sorted(levels.items())]
    lines = [
        f"- {len(reports)} wheels, {verdicts['malformed']} of them refused as malformed.",
        f"- {verdicts['passed']} passed every check, {verdicts['refused']} were refused by one of the others.",
        f"- What the code needs on every CPU: {', '.join(needs) or 'nothing was read'}"
        + (f"; {beyond} need features of no level besides." if beyond else "."),
        f"- In {sum(bool(isa.undecided) for isa in read)} of them the choice between kernels stayed undecided.",
        f"- {sum(bool(_allowed(isa)) for isa in read)} hold code beyond their claim that is chosen at run time.",
    ]
    if errors:
        said = ", ".join(
            f"{code} in {count}" for code, count in sorted(errors.items(), key=lambda item: (-item[1], item))
        )
        lines.append(f"- Errors, in how many wheels: {said}.")
    return lines


def _need_words(level: str) -> str:
    return "hold no 64-bit x86 code" if level == NO_CODE else f"need {level}"


def page(survey: Survey, reports: Iterable[Report], failures: Iterable[Failure], made: str) -> str:
    """Return the page as Markdown.

    Args:
        survey: the list.
        reports: of the wheels that were looked at, in the order of the table.
        failures: wheels that were not.
        made: when and with what, in one sentence.
    """
    reports, failures = list(reports), list(failures)
    lines = [f"# {survey.title}", "", survey.about, "", made, "", *summary(reports), ""]
    lines += [f"| {' | '.join(HEADINGS)} |", f"| {' | '.join('---' for _ in HEADINGS)} |"]
    lines += [f"| {' | '.join(_cell(text) for text in row_of(report))} |" for report in reports]
    if failures:
        lines += ["", "Not looked at:", "", *(f"- {failure.wheel}: {failure.reason}" for failure in failures)]
    remarks = [f"- **{project.name}**: {project.remark}" for project in survey.projects if project.remark]
    if remarks:
        lines += ["", "## Remarks", "", *remarks]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or "-"


def _made() -> str:
    tools = ", ".join(f"{name} {metadata.version(name)}" for name in _TOOLS)
    day = datetime.now(timezone.utc).date().isoformat()
    return f"Made on {day} by `python -m tools.survey` of truewheel {__version__} with {tools}."


def look(
    survey: Survey, folder: Path, wheels: Iterable[Path], console: Console
) -> Iterator[tuple[Report | None, Failure | None]]:
    """Fetch and check each wheel, and yield its report or why there is none.

    Args:
        survey: the list.
        folder: where its wheels are, or come to lie.
        wheels: further ones.
        console: told of each.
    """
    extra = list(wheels)
    jobs: list[Project | Path] = [*survey.projects, *extra]
    for number, job in enumerate(jobs, 1):
        title = job.name if isinstance(job, Path) else f"{job.name} {job.version}"
        console.say(f"{number} of {len(jobs)}: {title}")
        try:
            path = job if isinstance(job, Path) else fetch_wheel(job, folder)
            report = check_wheel(path)
        except TruewheelError as error:
            console.warn(f"{title}: {error.message}")
            yield None, Failure(title, error.message)
            continue
        if report.verdict != "passed":
            console.say(f"  {report.verdict}: {', '.join(sorted({finding.code for finding in report.errors}))}")
        yield report, None


def main() -> None:
    """Check a list of wheels and write the page."""
    what = "Check many wheels and write one table."
    parser = argparse.ArgumentParser(prog="python -m tools.survey", description=what)
    parser.add_argument("list", type=Path, metavar="LIST.toml", help="which projects and versions")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the wheels are, or come to lie")
    parser.add_argument("out", type=Path, metavar="OUT.md", help="the page")
    parser.add_argument("--wheel", type=Path, action="append", default=[], metavar="FILE", help="one more wheel")
    given = parser.parse_args()
    console = Console()
    try:
        survey = load_survey(given.list)
        found = list(look(survey, given.folder, given.wheel, console))
    except TruewheelError as error:
        console.error(error.message, error.hint)
        sys.exit(error.exit_code)
    reports = [report for report, _ in found if report is not None]
    reports.sort(key=lambda report: report.wheel.lower())
    failures = [failure for _, failure in found if failure is not None]
    given.out.write_text(page(survey, reports, failures, _made()), encoding="utf-8")
    console.say(f"wrote {given.out}: {len(reports)} wheels, {len(failures)} failures")


if __name__ == "__main__":
    main()
