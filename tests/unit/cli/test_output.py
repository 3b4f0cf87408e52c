"""In which forms the verbs give their accounts: JSON with a schema, Markdown and pages, on stdout or in files."""

import json
import os
import re
from pathlib import Path

import click
import msgspec
import pytest
from bench_reports import make_benchmark, make_tuning
from click.testing import CliRunner
from factories import DIST_INFO, make_stored_report, wheel_members

from truewheel.cli import VERBS, cli, common, run
from truewheel.cli.schema_ import find_schema
from truewheel.corridor.pipeline import Outcome
from truewheel.corridor.series import ProfileOutcome
from truewheel.errors import BuildError, StoreError
from truewheel.measure.result import Benchmark, Tuning
from truewheel.pages.document import Document, Paragraph
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.writer import write_wheel

NO_ACCOUNT = {"plan", "schema"}
ACCOUNTS = [verb for verb in VERBS if verb not in NO_ACCOUNT]


@pytest.fixture
def house(tmp_path, monkeypatch):
    wheel = tmp_path / "toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl"
    write_wheel(wheel, wheel_members(), DIST_INFO)
    house = Wheelhouse(tmp_path / "house")
    house.add(wheel, make_stored_report())
    monkeypatch.setenv("TRUEWHEEL_WHEELHOUSE", str(house.root))
    return house.root


def options_of(verb):
    return {name for parameter in cli.get_command(None, verb).params for name in parameter.opts}


@pytest.mark.parametrize("verb", ACCOUNTS)
def test_every_account_has_the_same_forms(verb):
    assert {"--json", "--markdown", "--html"} <= options_of(verb)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "schema"])
def test_every_output_has_a_schema(verb):
    schema = find_schema(verb)
    assert schema["title"] == f"truewheel {verb}"
    refs = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))
    assert refs
    assert refs <= set(schema["$defs"])


def snakes(schema):
    """Return the names of JSON keys with an underscore; settings have the names that engines gave them."""
    return {
        f"{name}: {key}"
        for name, part in schema.get("$defs", {}).items()
        if name != "RunSettings"
        for key in part.get("properties", {})
        if "_" in key
    }


@pytest.mark.parametrize("what", sorted({*VERBS, "recipe", "preset", "policy", "report"} - {"schema"}))
def test_all_keys_are_written_alike(what):
    assert snakes(find_schema(what)) == set()


def test_a_key_of_another_case_would_be_seen():
    class Odd(msgspec.Struct):
        two_words: int

    assert snakes(msgspec.json.schema(Odd)) == {"Odd: two_words"}


def test_figures_survive_being_saved():
    for value, kind in ((make_benchmark(), Benchmark), (make_tuning(), Tuning)):
        assert msgspec.json.decode(common.json_text(value), type=kind) == value


def test_schemas_that_are_none_are_wrong_usage(capsys):
    assert run(["schema", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err


def test_an_account_goes_into_files_and_the_table_stays(house, tmp_path, capsys):
    page, text = tmp_path / "page.html", tmp_path / "text.md"
    assert run(["list", "--html", str(page), "--markdown", str(text)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("verdict ")
    assert f"the page is {page}" in captured.err
    assert page.read_text().startswith("<!doctype html>")
    assert text.read_text().startswith("| verdict | MiB |")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert house.is_dir()


@pytest.mark.parametrize("arguments", [["--markdown"], ["--markdown", "-"], ["--markdown=-"]])
def test_markdown_without_a_file_goes_to_stdout(house, capsys, arguments):
    assert run(["list", "--wheelhouse", str(house), *arguments]) == 0
    assert capsys.readouterr().out.startswith("| verdict | MiB |")


def test_json_and_markdown_share_no_stdout(house, tmp_path, capsys):
    assert run(["list", "--json", "--markdown"]) == 2
    assert "choose one" in capsys.readouterr().err
    assert run(["list", "--json", "--markdown", str(tmp_path / "text.md")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"].endswith(".whl")
    assert (tmp_path / "text.md").is_file()
    assert house.is_dir()


def test_markdown_before_a_wheel_prints_and_never_writes_over_it(tmp_path, capsys):
    wheel = tmp_path / "toy_engine-1.2.3-py3-none-any.whl"
    write_wheel(wheel, wheel_members(), DIST_INFO)
    before = wheel.read_bytes()
    run(["check", "--markdown", str(wheel)])
    assert capsys.readouterr().out.startswith("# toy_engine")
    assert run(["check", f"--markdown={wheel}", str(wheel)]) == 2
    assert "would write over a wheel" in capsys.readouterr().err
    assert wheel.read_bytes() == before


@pytest.mark.parametrize("option", ["--markdown", "--html"])
def test_what_cannot_be_written_is_refused_before_anything_is_done(tmp_path, option):
    seen = []

    @click.command()
    @common.account_options
    def command(output):
        seen.append(output)

    result = CliRunner().invoke(command, [option, str(tmp_path / "none" / "file")])
    assert isinstance(result.exception, StoreError)
    assert "its folder is not there" in result.exception.message
    assert seen == []


def test_devices_and_links_are_written_to_and_not_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    common.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    common.write_text(tmp_path / os.devnull, "nothing")
    assert Path(os.devnull).is_char_device()


def test_an_account_is_described_only_where_it_is_asked_for(capsys):
    described = []

    def describe():
        described.append(1)
        return Document("title", (Paragraph("text"),))

    from truewheel.console import Console

    common.Output(as_json=True, markdown="", html=None).show(Console(), {"a-key": 1}, describe)
    assert described == []
    assert json.loads(capsys.readouterr().out) == {"a-key": 1}
    common.Output(as_json=False, markdown="", html=None).show(Console(), {}, describe)
    assert capsys.readouterr().out == "title\n\ntext\n"


def test_a_benchmark_is_written_in_every_form(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("truewheel.measure.run.run_benchmark", lambda *_: make_benchmark())
    page, text, saved = (tmp_path / name for name in ("page.html", "text.md", "figures.json"))
    files = ("--html", str(page), "--markdown", str(text), "--save", str(saved))
    assert run(["bench", "pypi:xllamacpp==2026.10.1", "--model", "tiny", "--no-limits", *files]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["Benchmark of smollm2-135m", "", "Noise floor"]
    assert page.read_text().count("<svg") == 4
    assert text.read_text().startswith("# Benchmark of smollm2-135m\n")
    assert msgspec.json.decode(saved.read_bytes(), type=Benchmark) == make_benchmark()
    assert run(["bench", "--model", "tiny", "--no-limits", "--json", "--markdown", "pypi:xllamacpp==2026.10.1"]) == 2


def test_all_profiles_are_one_table_and_an_error_is_a_row(monkeypatch, house, tmp_path, capsys):
    (stored,) = Wheelhouse(house).list()
    done = ProfileOutcome("native", Outcome(stored, fresh=True), None)
    results = (done, ProfileOutcome("x86_64_v4", None, BuildError("the linker | failed")))
    monkeypatch.setattr("truewheel.corridor.series.build_all", lambda *_: results)
    monkeypatch.setattr("truewheel.corridor.series.compare_results", lambda *_: None)
    page = tmp_path / "page.html"
    assert run(["build", "--all", "--html", str(page)]) == BuildError.exit_code
    out, err = capsys.readouterr()
    assert out == f"{stored.path}\n"
    rows = [line.split() for line in err.splitlines()]
    assert ["passed", "0.00", "native"] in rows
    assert ["failed", "-", "x86_64_v4:", "the", "linker", "|", "failed"] in rows
    assert stored.path.name in page.read_text()
    assert run(["build", "--all", "--json"]) == BuildError.exit_code
    table = json.loads(capsys.readouterr().out)
    assert [row["profile"] for row in table["wheels"]] == ["native", "x86_64_v4"]
    assert table["wheels"][1] == {"profile": "x86_64_v4", "error": "the linker | failed", "exit-code": 5}
    assert table["comparison"] is None
