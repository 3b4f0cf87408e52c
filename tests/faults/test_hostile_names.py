"""Names and texts that would steer a terminal, forge a line or an annotation, or become markup: none does."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
from markdown_it import MarkdownIt

from tests.faults.frame import Case
from tests.unit.elf_builder import build_elf
from tests.unit.factories import DIST_INFO, judge_smoke, make_facts, make_stored_report, smoke_events, wheel_members
from tests.unit.malformed import metadata, sound_archive, sound_files, wheel_text
from truewheel.checks.finding import Finding
from truewheel.cli import VERBS, run
from truewheel.console import Console
from truewheel.pages.html import to_html
from truewheel.pages.markdown import to_markdown
from truewheel.pages.terminal import to_lines
from truewheel.pages.wheel import describe_wheel, describe_wheels
from truewheel.process import Completed
from truewheel.report import Report
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.writer import write_wheel

FORGED = "forged"
"""Stands where a line, a command or an element would begin that nobody but the attacker has written."""

FORGED_LINE = re.compile(f"error: {FORGED}$")

TEXTS = {
    "line feed and command": f"a\n::error file=x::{FORGED}",
    "line feed and words": f"a\nerror: {FORGED}",
    "carriage return": f"a\r::warning::{FORGED}",
    "both": f"a\r\n\r\n::set-output name=x::{FORGED}",
    "begins with a command": f"::error::{FORGED}",
    "begins with spaces and a command": f"   ::stop-commands::{FORGED}",
    "five colons": f":::::error::{FORGED}",
    "numbers of letters": f"%0A::error::{FORGED}%0D%0A",
    "old command": f"##[error]{FORGED}",
    "old command in the middle": f"a ##[group]{FORGED}",
    "three signs": f"###[error]{FORGED}",
    "another runner's command": f"##vso[task.setvariable variable=x]{FORGED}",
    "another server's command": f"##teamcity[buildProblem description='{FORGED}']",
    "section of a log": f"\x1b[0Ksection_start:1:{FORGED}\r\x1b[0K",
    "clear the screen": f"\x1b[2J\x1b[H{FORGED}",
    "colour of our own": f"\x1b[1m{FORGED}\x1b[0m",
    "conceal": f"\x1b[8m{FORGED}",
    "hyperlink": f"\x1b]8;;https://evil.example\x1b\\{FORGED}\x1b]8;;\x1b\\",
    "title": f"\x1b]0;{FORGED}\x07",
    "clipboard": f"\x1b]52;c;Zm9yZ2Vk\x07{FORGED}",
    "control of one byte": f"\x9b31m{FORGED}\x9d0;x\x9c",
    "backspaces": f"abc\x08\x08\x08{FORGED}\x7f",
    "bell and form feed": f"\x07\x0b\x0c{FORGED}",
    "separators of records": f"a\x1cb\x1dc\x1e::error::{FORGED}\x1f",
    "next line": f"a\x85::error::{FORGED}",
    "line separator": f"a\u2028::error::{FORGED}",
    "paragraph separator": f"a\u2029::error::{FORGED}",
    "right to left": f"\u202e{FORGED}gpj.\u202c",
    "isolates": f"\u2066{FORGED}\u2067x\u2069",
    "marks of direction": f"\u200e{FORGED}\u200f\u061c",
    "zero width": "fo\u200br\u200cg\u200de\u2060d\ufeff",
    "no-break space": f"a\u00a0{FORGED}\u2003\u3000",
    "fillers": f"\u3164\u115f\u2800{FORGED}\uffa0",
    "selectors": f"{FORGED}\ufe0f\U000e0100\u034f",
    "tags": f"\U000e0041\U000e0042{FORGED}",
    "private": f"\ue000{FORGED}\U0010fffd",
    "bytes that are no text": f"\udc9b\udcff{FORGED}\udc85",
    "very long": f"{FORGED}{'a' * 3000}end",
    "script": f"<script>alert('{FORGED}')</script><img src=x onerror=alert(1)>",
    "link": f"[{FORGED}](javascript:alert(1)) <javascript:alert(1)> javascript:alert(1)",
    "address": f"https://evil.example/{FORGED} www.evil.example a@evil.example",
    "cells": f"a|{FORGED}|b\\|c",
    "code": f"`{FORGED}` ```sh",
    "entities": f"&lt;b&gt;{FORGED}&#60;",
    "heading": f"# {FORGED}",
    "list": f"- {FORGED}",
    "numbers": f"1. {FORGED}",
    "rule": "---",
    "colon": f": {FORGED}",
    "markup of the progress": f"[bold]{FORGED}[/] [/nothing] [link=https://evil.example]x[/link]",
}
_COMMAND = re.compile(r"\A\s*::|##\w*\[")
_EMPTY = re.compile("[\u034f\u115f\u2800\u3164\ufe0f\uffa0\U000e0100]")


def check_lines(text: str, begun: str = "") -> None:
    """Hold every line to letters that can be seen, and to a beginning that is no command and nobody else's."""
    for line in text.split("\n"):
        assert line.isprintable(), f"{begun} unseen letters in {line!r}"
        assert not _EMPTY.search(line), f"{begun} empty letters in {line!r}"
        assert not _COMMAND.search(line), f"{begun} a command in {line!r}"
        assert not FORGED_LINE.match(line), f"{begun} a forged line {line!r}"


class _Page(HTMLParser):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "object", "form"), f"an element {tag}"
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler {name}"
            assert name not in ("href", "src") or str(value).startswith("#"), f"a link to {value}"


def check_page(text: str) -> None:
    """Hold a page to no element and no link that a text has made."""
    _Page().feed(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]", text), "unseen letters"


def check_markdown(text: str) -> None:
    """Hold Markdown to no element, link or picture."""
    parser = MarkdownIt("commonmark", {"linkify": False}).enable("table")
    tokens = [leaf for token in parser.parse(text) for leaf in (token, *(token.children or ()))]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "hr"}, f"markup {kinds}"
    headings = [tokens[number + 1].content for number, each in enumerate(tokens) if each.type == "heading_open"]
    assert FORGED not in headings, "a forged heading"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]", text), "unseen letters"


def check_json(text: str) -> Any:
    """Hold JSON to letters that can be seen, and return it."""
    for line in text.removesuffix("\n").split("\n"):
        assert line.isprintable(), f"unseen letters in {line!r}"
        assert not _COMMAND.search(line), f"a command in {line!r}"
    return json.loads(text)


def spoken(arguments: list[str]) -> tuple[int, str, str]:
    """Run a verb as on a runner of GitHub, and return its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


def check_talk(text: str) -> None:
    """Hold talk to harmless lines, but for the commands that are ours."""
    own = ("::group::check: ", "::group::smoke: ", "::group::compare: ")
    kept = []
    for line in text.split("\n"):
        if line == "::endgroup::":
            continue
        start = next((each for each in own if line.startswith(each)), "")
        assert not start or "%0A" not in line.replace("%250A", ""), f"a line feed in {line!r}"
        kept.append(line[len(start) :] if start else line)
    check_lines("\n".join(kept))


# Places


def _console(text: str) -> None:
    """Say it in every way that the console has, to a file and to a terminal with colour."""
    for terminal in (False, True):
        stream = io.StringIO()
        stream.isatty = lambda on=terminal: on  # type: ignore[method-assign]
        with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(stream):
            console = Console(environ={"TERM": "xterm"})
            console.say(text, f"  {text}")
            console.warn(text)
            console.error(text, text)
            console.data(text, console.paint(text, "1"), console.style(text, "2"))
            with console.stage("check", text):
                pass
            if not terminal:
                with console.steps(text) as steps:
                    steps.advance(1, 1, text)
        written = re.sub(r"\x1b\[(0|1|2|1;3[1236])m", "", stream.getvalue())
        check_lines(written, "terminal" if terminal else "file")


def _progress(text: str) -> None:
    """Show it beside a bar, whose library has a markup of its own."""
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with contextlib.redirect_stderr(stream):
        console = Console(environ={"TERM": "xterm"})
        with console.steps(text) as steps:
            steps.advance(1, 2, text)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).replace("\r", "")
    assert not set("\x1b\x9b\x07\u202e\u200b") & set(plain), "unseen letters"


def _everywhere(value: Any, text: str) -> Any:
    """Return a value with this text in every place that holds any text."""
    if isinstance(value, msgspec.Struct):
        fields = {field.name: field.type for field in msgspec.structs.fields(value)}
        changed = {
            name: text if kind is str else _everywhere(getattr(value, name), text) for name, kind in fields.items()
        }
        return msgspec.structs.replace(value, **{**changed, **_kept(value)})
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(text if isinstance(each, str) else _everywhere(each, text) for each in value)
    return value


def _kept(value: Any) -> dict[str, str]:
    """Return what a report may not have otherwise: figures of time, names that code looks up."""
    names = {"code", "severity", "created", "verdict", "name", "level"}
    return {name: getattr(value, name) for name in names & {field.name for field in msgspec.structs.fields(value)}}


@functools.cache
def _report() -> Report:
    findings = [
        Finding(code="LINK-MISSING", severity=each, where="w", message="m", hint="h")
        for each in ("error", "warning", "info")
    ]  # type: ignore[arg-type]
    smoke = judge_smoke("tiny", smoke_events(), Completed("python", 1, "printed\nlines", timed_out=False, seconds=1.0))
    return make_stored_report(findings, make_facts(smoke=smoke))


def _pages(text: str) -> None:
    """Give the account of a wheel all of whose texts are this one."""
    report = _everywhere(_report(), text)
    for document in (describe_wheel(report), describe_wheel(report, "brief"), describe_wheel(report, "verbose")):
        check_lines(_printed(to_lines(document)))
    for document in (describe_wheel(report), describe_wheels([report, report])):
        check_markdown(to_markdown(document))
        check_page(to_html(document))


def _printed(lines: list[str]) -> str:
    """Return what the console makes of lines that a writer has made harmless already."""
    assert all(line.isprintable() for line in lines)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        Console(environ={}).data(*lines)
    return out.getvalue()


def _smoke(text: str) -> None:
    """Judge a child that says it wherever a child says something."""
    events = [
        {
            key: text if isinstance(value, str) and key not in ("step", "state") else value
            for key, value in event.items()
        }
        for event in smoke_events()
    ]
    events[-1] = {**events[-1], "state": "failed", "reason": text}
    record = judge_smoke("tiny", events, Completed("python", 98, text, timed_out=False, seconds=1.0))
    report = msgspec.structs.replace(_report(), smoke=record)
    check_lines(_printed(to_lines(describe_wheel(report))))
    check_markdown(to_markdown(describe_wheel(report)))
    check_page(to_html(describe_wheel(report)))


def _arguments(text: str, folder: Path) -> None:
    """Give it to every verb where it names an engine, a profile, a wheel, a model, a code or a folder."""
    missing = str(folder / _file_name(text))
    for verb in VERBS:
        for given in (text, missing, f"{missing}.whl"):
            arguments = [verb, *(["x.whl"] if verb == "compare" else []), given]
            if verb in ("doctor", "matrix"):
                arguments = [verb, f"--{given}"]
            if verb in ("bench", "tune"):
                arguments = [verb, "pypi:none==1", "--model", given]
            if given.startswith("-"):
                arguments.insert(1, "--")
            _check_spoken(spoken(arguments))
    _check_spoken(spoken([text or "-"]))
    _check_spoken(spoken(["check", "x.whl", "--policy", missing]))
    _check_spoken(spoken(["list", "--wheelhouse", missing]))
    _check_spoken(spoken(["list", "--html", f"{missing}/x"]))


def _check_spoken(done: tuple[int, str, str]) -> None:
    _, out, err = done
    check_lines(out)
    check_talk(err)


def _file_name(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape") if not re.search("[\ud800-\udbff]", text) else b"x"
    return os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_")[:180])


def _list(text: str, folder: Path) -> None:
    """List a wheelhouse with a wheel of this name and a report full of it."""
    house, wheel = Wheelhouse(folder / "house"), folder / "toy_engine-1.2.3-py3-none-any.whl"
    write_wheel(wheel, wheel_members(), DIST_INFO)
    stored = house.add(wheel, _report())
    path = Path(stored.path)
    name = path.with_name(f"{_file_name(text)}.whl")
    readable = text.encode("utf-8", "replace").decode()
    report = msgspec.structs.replace(
        _everywhere(_report(), readable), verdict=readable, level=readable, created=readable
    )
    path.rename(name)
    path.with_name(f"{path.name}.report.json").rename(f"{name}.report.json")
    Path(f"{name}.report.json").write_bytes(msgspec.json.encode(report))
    _check_spoken(spoken(["list", "--wheelhouse", str(house.root)]))
    _, out, err = spoken(["list", "--wheelhouse", str(house.root), "--json"])
    check_json(out)
    check_talk(err)
    _, out, err = spoken(["list", "--wheelhouse", str(house.root), "--markdown"])
    check_lines(out)
    check_markdown(out)
    check_talk(err)


def _wheel(text: str, folder: Path) -> None:
    """Check a wheel that has it as a member's name, a text, a library's names and its own."""
    part = _file_name(text)
    inner = text.encode("utf-8", "replace").decode().replace("/", "_").replace("\0", "")[:180]
    library = build_elf(
        soname=inner, needed=(inner,), runpath=inner, symbols=(inner,), versions={"libc.so.6": (inner,)}
    )
    told = inner.replace("\n", " ").replace("\r", " ")
    files = sound_files(
        metadata=metadata() + f"Summary: {told}\nRequires-Dist: {told}\nLicense-File: {told}\n".encode(),
        wheel=wheel_text(more=f"Build: {told}\n"),
    )
    files |= {
        "toy_engine/lib.so": library,
        "toy_engine-1.2.3.dist-info/entry_points.txt": f"[console_scripts]\n{told} = {told}\n".encode(),
    }
    for number, more in enumerate(({}, {f"toy_engine/{inner}.py": f"import {inner}\n".encode()})):
        path = folder / (f"{part}-1.2.3-py3-none-any.whl" if number else "toy_engine-1.2.3-py3-none-any.whl")
        path.write_bytes(sound_archive({**files, **more}).build().data)
        _check_spoken(spoken(["check", "-v", str(path)]))
    page = folder / "page.html"
    _, out, err = spoken(
        ["check", str(path), str(folder / "toy_engine-1.2.3-py3-none-any.whl"), "--json", "--html", str(page)]
    )
    check_json(out)
    check_talk(err)
    if page.exists():
        check_page(page.read_text())


PLACES: dict[str, Callable[..., None]] = {
    "console": _console,
    "progress": _progress,
    "pages": _pages,
    "smoke": _smoke,
}
IN_FOLDERS: dict[str, Callable[[str, Path], None]] = {"arguments": _arguments, "list": _list, "wheel": _wheel}


def _cases(places: dict[str, Callable[..., None]], folder: Path | None = None) -> Iterator[Case]:
    for place, attempt in places.items():
        for number, (name, text) in enumerate(TEXTS.items()):
            if folder is None:
                yield Case(f"{place}: {name}", functools.partial(attempt, text))
            else:
                yield Case(f"{place}: {name}", functools.partial(_within, attempt, text, folder / place / str(number)))


def _within(attempt: Callable[[str, Path], None], text: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else contextlib.nullcontext():
        attempt(text, folder)


def test_hostile_texts_are_shown_and_do_nothing(survive: Callable[..., None]) -> None:
    survive("hostile texts in what is shown", list(_cases(PLACES)), short=200)


def test_hostile_names_are_shown_and_do_nothing(survive: Callable[..., None], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    survive("hostile names given to every verb", list(_cases(IN_FOLDERS, tmp_path)), short=20)
