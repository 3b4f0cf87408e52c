from pathlib import Path

import msgspec
import pytest
from factories import LIBRARY, make_code, make_elf, make_facts, make_kernel, make_stored_report, make_wheel

from tools import survey
from tools.survey import HEADINGS, NO_CODE, Failure, Project, Survey
from truewheel.checks.finding import Finding
from truewheel.errors import CheckError, FetchError, LoadError
from truewheel.report import report_of_malformed

WHEEL = "toy_engine-1.2.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
LIST = Survey(
    schema=1,
    title="Toys",
    about="What toys need.",
    projects=(Project(name="toy-engine", version="1.2.3", remark="It is a toy."), Project(name="other", version="1")),
)


def report_of(*kernels, findings=(), asks=(), wheel=WHEEL, **changes):
    code = {LIBRARY: make_code(kernels=kernels, asks=asks)}
    made = {"wheel": make_wheel(wheel), "code": code, "libraries": {LIBRARY: make_elf(isa_level="")}, **changes}
    return make_stored_report(findings, make_facts(None, **made))


def pure_report():
    wheel = make_wheel("toy_engine-1.2.3-py3-none-any.whl", members={})
    return make_stored_report((), make_facts(None, wheel=wheel, libraries={}))


def malformed_report(name=WHEEL):
    finding = Finding(code="ARCHIVE-TWICE", where=name, message="twice")
    return report_of_malformed(Path(name), (finding, finding))


class TestRow:
    def test_says_what_code_needs_on_every_cpu_and_in_how_many_functions(self):
        row = survey.row_of(report_of(make_kernel("a", "avx2"), make_kernel("b", "avx2", "rdrand")))
        assert row.needs == "x86-64-v3, rdrand"
        assert row.explanation == "avx2 (2 functions), rdrand (1 function) on every CPU"

    def test_names_the_rules_that_let_code_through(self):
        row = survey.row_of(report_of(make_kernel("a", "avx2", standing="guarded"), asks=("ask",)))
        assert row.needs == "x86-64"
        assert row.chosen == "avx2 in 1 function (cpuid-guarded)"
        assert row.explanation == "up to avx2 in 1 function guarded by CPUID"

    def test_adds_up_rules_over_libraries(self):
        kernel = make_kernel("a", "avx512f", "fma", standing="guarded")
        code = {path: make_code(kernels=(kernel,), asks=("ask",)) for path in (LIBRARY, "other.so")}
        libraries = dict.fromkeys(code, make_elf(isa_level=""))
        row = survey.row_of(report_of(code=code, libraries=libraries))
        assert row.chosen == "fma, avx512f in 2 functions (cpuid-guarded)"
        assert row.explanation == "up to avx512f in 2 functions guarded by CPUID"

    def test_says_that_a_rule_other_than_the_walk_chooses(self):
        row = survey.row_of(report_of(make_kernel("dot_avx2", "avx2"), asks=("ask",)))
        assert row.chosen == "avx2 in 1 function (named for it)"
        assert row.explanation == "up to avx2 in 1 function chosen by CPUID"

    def test_shows_what_stayed_undecided(self):
        row = survey.row_of(report_of(make_kernel("a", "avx", standing="unreached"), asks=("ask",)))
        assert row.undecided == "avx"
        assert row.explanation == "nothing shows what chooses avx in 1 function"

    def test_baseline_code_needs_no_words(self):
        assert survey.row_of(report_of()).explanation == "baseline only"

    def test_a_wheel_without_libraries_is_pure(self):
        row = survey.row_of(pure_report())
        assert (row.needs, row.explanation, row.claims) == (NO_CODE, "pure", "py3-none-any")

    def test_code_for_another_machine_is_no_x86_code(self):
        row = survey.row_of(report_of(code={}, libraries={LIBRARY: make_elf(machine="EM_AARCH64", isa_level="")}))
        assert (row.needs, row.explanation) == (NO_CODE, "no 64-bit x86 code")

    def test_a_malformed_wheel_shows_its_codes_and_nothing_else(self):
        row = survey.row_of(malformed_report())
        assert row.verdict == "malformed"
        assert row.errors == "ARCHIVE-TWICE (2)"
        assert (row.needs, row.chosen, row.undecided) == ("", "", "")
        assert row.explanation.startswith("not looked into")

    def test_a_file_that_is_not_named_like_a_wheel_is_shown_by_its_name(self):
        assert survey.row_of(malformed_report("toy.whl")).wheel == "toy.whl"

    def test_counts_errors_by_code_and_leaves_warnings_out(self):
        findings = [
            Finding(code="LINK-TWICE", where="a", message="m"),
            Finding(code="LINK-TWICE", where="b", message="m"),
            Finding(code="HARD-STACK", where="a", message="m"),
            Finding(code="HARD-CET", severity="warning", where="a", message="m"),
        ]
        assert survey.row_of(report_of(findings=findings)).errors == "HARD-STACK, LINK-TWICE (2)"

    def test_shows_a_level_that_the_wheel_claims(self):
        row = survey.row_of(report_of(wheel="toy_engine-1.2.3-py3-none-linux_x86_64-x86_64_v3.whl"))
        assert row.claims == "py3-none-linux; x86_64_v3"


class TestTags:
    def test_aliases_and_the_machine_are_left_out(self):
        assert survey.short_tags(make_wheel(WHEEL).name) == "cp311-cp311-manylinux_2_17"

    def test_an_old_alias_alone_is_kept(self):
        name = make_wheel("toy_engine-1.2.3-cp37-abi3-manylinux2014_x86_64.whl").name
        assert survey.short_tags(name) == "cp37-abi3-manylinux2014"


class TestSummary:
    def test_counts_verdicts_levels_and_errors(self):
        error = Finding(code="HARD-STACK", where="a", message="m")
        reports = [
            report_of(),
            report_of(make_kernel("a", "avx2", "rdrand"), findings=[error, error]),
            report_of(make_kernel("a", "avx", standing="unreached"), asks=("ask",)),
            report_of(make_kernel("a", "avx", standing="guarded"), asks=("ask",)),
            pure_report(),
            malformed_report(),
        ]
        lines = "\n".join(survey.summary(reports))
        assert "6 wheels, 1 of them refused as malformed" in lines
        assert "4 passed every check, 1 were refused" in lines
        assert "1 hold no 64-bit x86 code, 3 need x86-64, 1 need x86-64-v3; 1 need features of no level" in lines
        assert "In 1 of them the choice between kernels stayed undecided" in lines
        assert "1 hold code beyond their claim that is chosen at run time" in lines
        assert "ARCHIVE-TWICE in 1, HARD-STACK in 1" in lines

    def test_nothing_gives_a_summary_too(self):
        assert "0 wheels" in survey.summary([])[0]


class TestPage:
    def test_has_a_line_a_wheel_under_the_headings(self):
        lines = survey.page(LIST, [report_of(), pure_report()], [], "Made today.").splitlines()
        start = lines.index(f"| {' | '.join(HEADINGS)} |")
        assert lines[:5] == ["# Toys", "", "What toys need.", "", "Made today."]
        assert [line.split(" | ")[0] for line in lines[start + 2 : start + 4]] == ["| toy_engine 1.2.3"] * 2

    def test_names_what_was_not_looked_at_and_adds_remarks(self):
        text = survey.page(LIST, [], [Failure("other 1", "there is none")], "Made today.")
        assert "- other 1: there is none" in text
        assert "- **toy-engine**: It is a toy." in text
        assert "**other**" not in text

    def test_an_empty_cell_is_a_dash_and_a_bar_does_not_end_one(self):
        error = Finding(code="A|B", where="a", message="m")
        text = survey.page(LIST, [report_of(findings=[error])], [], "Made today.")
        assert " | - | " in text
        assert " | A\\|B | " in text


class TestList:
    def test_the_lists_of_the_project_can_be_read(self):
        folder = Path(__file__).parents[1].parent / "data"
        assert len(survey.load_survey(folder / "corpus.toml").projects) >= 110
        assert survey.load_survey(folder / "peers.toml").projects

    def test_no_project_stands_twice_in_a_list(self):
        for file in (Path(__file__).parents[1].parent / "data").glob("*.toml"):
            keys = [(project.name, project.platform) for project in survey.load_survey(file).projects]
            assert len(keys) == len(set(keys))

    @pytest.mark.parametrize("text", ["", "schema = 2", "not toml", 'schema = 1\ntitle = "t"\nwhat = 1'])
    def test_another_format_is_refused(self, tmp_path, text):
        path = tmp_path / "list.toml"
        path.write_text(text)
        with pytest.raises(LoadError):
            survey.load_survey(path)

    def test_a_list_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(LoadError, match="cannot read"):
            survey.load_survey(tmp_path / "list.toml")


class TestFetch:
    def test_takes_what_is_there(self, tmp_path, monkeypatch):
        (tmp_path / WHEEL).write_bytes(b"")
        (tmp_path / "odd.whl").write_bytes(b"")
        monkeypatch.setattr(survey, "run_pip", lambda *_args, **_keywords: pytest.fail("nothing is missing"))
        project = Project(name="Toy.Engine", version="1.2.3.0")
        assert survey.fetch_wheel(project, tmp_path) == tmp_path / WHEEL

    def test_downloads_another_version(self, tmp_path, monkeypatch):
        (tmp_path / WHEEL).write_bytes(b"")
        asked = []

        def bring(arguments, *, what):
            asked.append((arguments, what))
            (tmp_path / "toy_engine-2-py3-none-any.whl").write_bytes(b"")

        monkeypatch.setattr(survey, "run_pip", bring)
        project = Project(name="toy-engine", version="2")
        assert survey.fetch_wheel(project, tmp_path).name == "toy_engine-2-py3-none-any.whl"
        arguments, what = asked[0]
        assert what == "toy-engine==2"
        assert arguments == ["download", "--no-deps", "--only-binary", ":all:", "-d", str(tmp_path), "toy-engine==2"]

    def test_another_platform_has_a_folder_of_its_own(self, tmp_path, monkeypatch):
        (tmp_path / WHEEL).write_bytes(b"")

        def bring(arguments, *, what):
            assert what
            assert arguments[arguments.index("--platform") + 1] == "musllinux_1_2_x86_64"
            (Path(arguments[arguments.index("-d") + 1]) / WHEEL).write_bytes(b"")

        monkeypatch.setattr(survey, "run_pip", bring)
        project = Project(name="toy-engine", version="1.2.3", platform="musllinux_1_2_x86_64")
        assert survey.fetch_wheel(project, tmp_path) == tmp_path / "musllinux_1_2_x86_64" / WHEEL

    def test_says_when_pip_brought_nothing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(survey, "run_pip", lambda *_args, **_keywords: "")
        with pytest.raises(CheckError, match="no wheel"):
            survey.fetch_wheel(Project(name="toy", version="1"), tmp_path)


class TestLook:
    def test_goes_on_after_a_wheel_that_cannot_be_had(self, tmp_path, monkeypatch, quiet_console):
        def fetch(project, _folder):
            if project.name == "toy-engine":
                raise FetchError("there is none")
            return tmp_path / "other.whl"

        report = report_of()
        monkeypatch.setattr(survey, "fetch_wheel", fetch)
        monkeypatch.setattr(survey, "check_wheel", lambda path: msgspec.structs.replace(report, wheel=path.name))
        found = list(survey.look(LIST, tmp_path, [tmp_path / "mine.whl"], quiet_console))
        assert [failure for _, failure in found] == [Failure("toy-engine 1.2.3", "there is none"), None, None]
        assert [seen.wheel for seen, _ in found if seen] == ["other.whl", "mine.whl"]


@pytest.fixture
def quiet_console():
    return survey.Console(quiet=True, environ={})


class TestMain:
    def test_writes_the_page(self, tmp_path, monkeypatch):
        path, out = tmp_path / "list.toml", tmp_path / "out.md"
        path.write_text('schema = 1\ntitle = "Toys"\nabout = "All."\nprojects = [{ name = "toy", version = "1" }]\n')
        monkeypatch.setattr(survey, "fetch_wheel", lambda _project, folder: folder / "toy.whl")
        monkeypatch.setattr(survey, "check_wheel", lambda _path: report_of())
        monkeypatch.setattr("sys.argv", ["survey", str(path), str(tmp_path), str(out)])
        survey.main()
        assert "# Toys" in out.read_text()
        assert str(tmp_path) not in out.read_text()

    def test_ends_with_the_error_of_a_list_that_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.argv", ["survey", str(tmp_path / "no.toml"), str(tmp_path), str(tmp_path / "out.md")])
        with pytest.raises(SystemExit) as ended:
            survey.main()
        assert ended.value.code == LoadError.exit_code
