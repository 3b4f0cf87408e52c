"""Data to stdout, talk to stderr, style and animation where they are wanted."""

import io
import sys

import pytest

from truewheel.console import Console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def on_terminal(monkeypatch):
    """Make a console that talks to a terminal; returns it and the terminal."""

    def make(environ, **options):
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return Console(environ=environ, **options), stream

    return make


def test_data_goes_to_stdout_and_talk_to_stderr(capsys):
    console = Console(environ={})
    console.data("data")
    console.say("talk")
    console.warn("careful")
    console.error("wrong", "do it right")
    captured = capsys.readouterr()
    assert captured.out == "data\n"
    assert captured.err == "talk\nwarning: careful\nerror: wrong\n\nhint: do it right\n"


def test_quiet_leaves_warnings_errors_and_data(capsys):
    console = Console(quiet=True, environ={})
    console.data("data")
    console.say("talk")
    console.warn("careful")
    console.error("wrong")
    with console.stage("build", "toy"):
        pass
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("data\n", "warning: careful\nerror: wrong\n")


@pytest.mark.parametrize(
    ("environ", "styled"),
    [({}, True), ({"NO_COLOR": ""}, False), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_colour_where_it_is_wanted(on_terminal, environ, styled):
    console, terminal = on_terminal(environ)
    console.error("wrong")
    assert ("\x1b[" in terminal.getvalue()) is styled


@pytest.mark.parametrize(("environ", "painted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_data_is_painted_where_stdout_is_the_terminal(monkeypatch, environ, painted):
    monkeypatch.setattr(sys, "stdout", Terminal())
    console = Console(environ=environ)
    assert (console.paint("data", "1") == "\x1b[1mdata\x1b[0m") is painted
    assert console.style("talk", "1") == "talk"


def test_a_file_gets_no_colour_and_no_animation(capsys):
    console = Console(environ={})
    console.error("wrong")
    assert not console.animated
    assert console.paint("data", "1") == "data"
    assert "\x1b" not in capsys.readouterr().err


def test_no_animation_where_nobody_watches(on_terminal):
    assert on_terminal({})[0].animated
    assert not on_terminal({"CI": "true"})[0].animated
    assert not on_terminal({"TERM": "dumb"})[0].animated
    assert not on_terminal({}, quiet=True)[0].animated


def test_a_stage_is_framed_with_its_time(capsys):
    with Console(environ={}).stage("build", "toy 1.0"):
        pass
    first, second = capsys.readouterr().err.splitlines()
    assert first == "  build  toy 1.0"
    assert second.strip() == "build took 0.0 s"


def test_a_stage_is_folded_on_ci_even_when_it_fails(capsys):
    console = Console(environ={"GITHUB_ACTIONS": "true"})
    with pytest.raises(ValueError, match="x"), console.stage("build", "toy"):
        raise ValueError("x")
    assert capsys.readouterr().err == "::group::build: toy\n::endgroup::\n"


def test_steps_without_a_terminal_are_sparse_lines(capsys):
    with Console(environ={}).steps("compiling") as steps:
        for done in range(1, 101):
            steps.advance(done, 100, "x.c.o")
    assert capsys.readouterr().err == "  compiling: 100 of 100\n"


def test_steps_on_a_terminal_are_a_bar_and_no_lines(on_terminal):
    console, terminal = on_terminal({})
    with console.steps("compiling") as steps:
        steps.advance(1, 2, "dot.c.o")
    assert "compiling: " not in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
