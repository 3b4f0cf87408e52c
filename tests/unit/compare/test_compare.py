"""Several wheels of one engine, compared: which variants there are, which is the reference, what becomes of each."""

import contextlib
import errno
import json
import os
import textwrap

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from factories import DIST_INFO, make_engine, make_facts, make_host, make_wheel, wheel_members

from truewheel.checks.equivalence import CODES, ComparedVariant
from truewheel.checks.finding import Finding
from truewheel.checks.policy import Policy
from truewheel.child.environment import InstallError
from truewheel.child.logits import GREEDY_TOKENS, Answer, LogitsRecord, failed_answer, run_logits
from truewheel.child.registry import engine_for
from truewheel.cli.compare_ import command
from truewheel.compare import run as compare
from truewheel.compare.run import Comparison, compare_wheels, find_variants, label_wheels
from truewheel.console import Console
from truewheel.errors import CheckError, LoadError
from truewheel.models.models import Model, find_model
from truewheel.pages.comparison import describe_comparison
from truewheel.pages.html import to_html
from truewheel.pages.markdown import to_markdown
from truewheel.pages.terminal import to_lines
from truewheel.wheel.archive import Member, read_wheel
from truewheel.wheel.writer import write_wheel

POLICY = Policy(
    schema=1,
    severity={
        "EQUIV-*": "error",
        "EQUIV-DRIFTS": "warning",
        "EQUIV-UNPROVEN": "warning",
        "EQUIV-NEAR-TIE": "info",
    },
)
TOY = make_engine()
NAME = "toy_engine-1.2.3{}-py3-none-any.whl"


def plan_text(profile="x86_64_v3", level="x86-64-v3", features=(), backends=None):
    plan = {"profile": profile, "level": level, "features": list(features)}
    if backends is not None:
        plan["backends"] = [
            {"name": name, "library": f"lib-{name}.so", "features": list(needs)} for name, needs in backends
        ]
    return json.dumps({"schema": 1, "plan": plan})


def facts_of(build="", plan=None):
    """Return what was read of a wheel that was never written."""
    members = wheel_members(**({f"{DIST_INFO}/truewheel.json": Member(plan.encode())} if plan else {}))
    wheel = make_wheel(NAME.format(f"-{build}" if build else ""), members=members)
    return make_facts(None, wheel=wheel, libraries={}, code={}, sources=None)


def answer_of(label, shift=0.0, **changes):
    """Return an answer whose divergence from the one without a shift grows with it."""
    logits = np.arange(40, dtype=np.float32).reshape(4, 10) / 10
    logits[:, 0] += np.float32(shift)
    record = LogitsRecord(
        variant=label,
        text=(1, 2, 3, 4),
        tokens=(0,) * GREEDY_TOKENS,
        margins=(1.0,) * GREEDY_TOKENS,
        positions=4,
        vocabulary=10,
    )
    return Answer(msgspec.structs.replace(record, **changes), logits)


class Bench:
    """Stands in for wheels, machine and children: `wheels` are read, `answers` are what labels answer."""

    def __init__(self, monkeypatch):
        self.wheels = []
        self.answers = {}
        self.uninstallable = ()
        self.installed = []
        self.driven = []
        self.told = {}
        self.full_at = "", ""
        monkeypatch.setattr(compare, "examine", lambda path: self.wheels[int(str(path))])
        monkeypatch.setattr(compare, "engine_for", lambda _project: make_engine())
        monkeypatch.setattr(compare, "detect_host", make_host)
        monkeypatch.setattr(
            compare, "find_model", lambda name: Model(name, None, "Once", "", vocabulary_round_trips=True)
        )
        monkeypatch.setattr(compare, "open_runner", self.open_runner)

    @contextlib.contextmanager
    def open_runner(self, wheel, _model, engine, *, threads):
        assert threads == 2
        self.driven.append(engine.name)
        if wheel.name.build in self.uninstallable:
            raise InstallError("pip cannot install it: wrong tags")
        self._write("open_runner", wheel.name.build.removeprefix("1_"))
        self.installed.append(wheel.name.build)
        yield self

    def _write(self, place, label):
        if self.full_at == (place, label):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def run(self, label, variables):
        self._write("run", label)
        self.told[label] = dict(variables)
        return self.answers.get(label) or answer_of(label, backend=variables.get("TRUEWHEEL_BACKEND", ""))

    def compare(self, **options):
        return compare_wheels(range(len(self.wheels)), "tiny", threads=2, console=Console(), policy=POLICY, **options)


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


def verdicts(comparison):
    return {row.variant: row.verdict for row in comparison.rows}


class TestLabels:
    @pytest.mark.parametrize(
        ("wheels", "labels"),
        [
            ([("", None)], ["1.2.3"]),
            ([("1_a", plan_text("x86_64_v2")), ("1_b", plan_text("x86_64_v3"))], ["x86_64_v2", "x86_64_v3"]),
            ([("1_a", plan_text()), ("1_b", plan_text()), ("", None)], ["1_a", "1_b", "1.2.3"]),
            ([("", None), ("", None)], ["toy_engine-1.2.3-py3-none-any#1", "toy_engine-1.2.3-py3-none-any#2"]),
            ([("1_a", "no plan"), ("1_b", plan_text(level="x86-64-v9"))], ["1_a", "1_b"]),
        ],
    )
    def test_are_short_and_differ(self, wheels, labels):
        assert label_wheels([facts_of(*wheel) for wheel in wheels]) == labels


class TestVariants:
    def test_a_wheel_of_ours_needs_what_its_plan_says(self):
        (variant,) = find_variants(facts_of(plan=plan_text(level="x86-64-v2", features=["amx_int8"])), "x", TOY)
        assert (variant.label, variant.backend) == ("x", "")
        assert {"sse4_2", "amx_int8"} <= variant.features

    @pytest.mark.parametrize("count", [0, 1])
    def test_a_wheel_with_one_backend_at_most_is_one_variant(self, count):
        plan = plan_text(level="x86-64", backends=[("only", ["avx2"])][:count])
        (variant,) = find_variants(facts_of(plan=plan), "x", TOY)
        assert (variant.label, variant.backend, variant.features) == ("x", "", {"avx2"} if count else set())

    def test_a_wheel_with_several_backends_is_as_many_variants(self):
        plan = plan_text(level="x86-64", features=["aes"], backends=[("best", ["avx512f"]), ("plain", [])])
        best, plain = find_variants(facts_of(plan=plan), "x", TOY)
        assert (best.label, best.backend, best.features) == ("x/best", "best", {"aes", "avx512f"})
        assert (plain.label, plain.backend, plain.features) == ("x/plain", "plain", {"aes"})
        assert best.level > plain.level

    @pytest.mark.parametrize("name", ["", "a b", "a\0b", "\x1b[2J", "x" * 65])
    def test_a_backend_that_cannot_be_named_to_a_child_is_not(self, name):
        plan = plan_text(backends=[(name, []), ("b", [])])
        assert [variant.backend for variant in find_variants(facts_of(plan=plan), "x", TOY)] == [""]

    def test_a_wheel_without_a_plan_is_taken_at_what_its_code_needs(self):
        (variant,) = find_variants(facts_of(), "x", TOY)
        assert (variant.features, variant.level) == (set(), 0)


class TestComparison:
    def test_the_lowest_level_is_the_reference_and_stands_first(self, bench):
        bench.wheels = [facts_of("1_c", plan_text("c", "x86-64-v3")), facts_of("1_b", plan_text("b", "x86-64-v2"))]
        comparison = bench.compare()
        assert (comparison.reference, comparison.passed, comparison.positions) == ("b", True, 4)
        assert list(verdicts(comparison).items()) == [("b", "reference"), ("c", "same bits")]
        assert comparison.findings == ()

    def test_wheels_of_several_engines_are_each_driven_their_own_way(self, bench, monkeypatch):
        def engine_named(project):
            return msgspec.structs.replace(TOY, name=project)

        monkeypatch.setattr(compare, "engine_for", engine_named)
        other = make_wheel("other-1.2.3-py3-none-any.whl", members={})
        bench.wheels = [facts_of(), facts_of()._replace(wheel=other)]
        comparison = bench.compare()
        assert comparison.engine == "toy-engine, other"
        assert bench.driven == ["toy-engine", "other"]
        assert verdicts(comparison) == {"toy-engine:1.2.3": "reference", "other:1.2.3": "same bits"}

    def test_any_variant_may_be_the_reference(self, bench):
        bench.wheels = [facts_of("1_c", plan_text("c", "x86-64-v3")), facts_of("1_b", plan_text("b", "x86-64-v2"))]
        assert verdicts(bench.compare(reference="c")) == {"c": "reference", "b": "same bits"}

    def test_a_variant_that_answers_otherwise_is_an_error(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        bench.answers = {"b": answer_of("b", shift=3)}
        comparison = bench.compare()
        assert verdicts(comparison) == {"a": "reference", "b": "diverges"}
        assert [(finding.code, finding.severity) for finding in comparison.findings] == [("EQUIV-DIVERGES", "error")]
        assert not comparison.passed

    def test_each_backend_is_run_once_in_one_environment(self, bench):
        plan = plan_text("all", "x86-64", backends=[("haswell", ["avx2"]), ("x64", [])])
        bench.wheels = [facts_of("2_all", plan)]
        comparison = bench.compare()
        assert verdicts(comparison) == {"all/x64": "reference", "all/haswell": "same bits"}
        assert bench.installed == ["2_all"]
        assert bench.told == {
            "all/haswell": {"TRUEWHEEL_BACKEND": "haswell"},
            "all/x64": {"TRUEWHEEL_BACKEND": "x64"},
        }

    def test_a_wheel_without_a_choice_is_told_nothing(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        bench.compare()
        assert bench.told == {"a": {}, "b": {}}

    @pytest.mark.parametrize(("took", "words"), [("x64", "took x64"), ("", "took none")])
    def test_a_backend_that_was_not_taken_did_not_pass(self, bench, took, words):
        bench.wheels = [facts_of("2_all", plan_text("all", "x86-64", backends=[("haswell", ["avx2"]), ("x64", [])]))]
        bench.answers = {"all/haswell": answer_of("all/haswell", backend=took)}
        comparison = bench.compare()
        assert verdicts(comparison)["all/haswell"] == "failed"
        assert words in comparison.findings[0].message

    def test_what_this_cpu_cannot_run_is_unproven_and_never_passed(self, bench):
        plan = plan_text("all", "x86-64", backends=[("amx", ["amx_tile"]), ("haswell", ["avx2"]), ("x64", [])])
        bench.wheels = [facts_of("1_v4", plan_text("v4", "x86-64-v4")), facts_of("2_all", plan)]
        comparison = bench.compare()
        assert verdicts(comparison) == {
            "all/x64": "reference",
            "v4": "unproven",
            "all/amx": "unproven",
            "all/haswell": "same bits",
        }
        assert comparison.rows[2].note == "not provable here: this CPU lacks amx_tile"
        assert {finding.code for finding in comparison.findings} == {"EQUIV-UNPROVEN"}
        assert "v4" not in bench.told

    def test_a_variant_that_died_is_told_and_another_is_the_reference(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a", "x86-64")), facts_of("1_b", plan_text("b", "x86-64-v2"))]
        bench.answers = {"a": failed_answer("a", "at load: illegal instruction", "SMOKE-ILLEGAL")}
        comparison = bench.compare()
        assert verdicts(comparison) == {"b": "reference", "a": "failed"}
        assert not comparison.passed

    def test_a_wheel_that_cannot_be_installed_is_told_too(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        bench.uninstallable = ("1_b",)
        comparison = bench.compare()
        assert verdicts(comparison) == {"a": "reference", "b": "failed"}
        assert comparison.findings[0].message == "pip cannot install it: wrong tags"

    @pytest.mark.parametrize("place", ["open_runner", "run"])
    def test_what_the_system_refuses_is_told_too(self, bench, place):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        bench.full_at = place, "b"
        comparison = bench.compare()
        assert verdicts(comparison) == {"a": "reference", "b": "failed"}
        assert comparison.findings[0].message == "it could not be run: No space left on device"

    def test_one_wheel_given_twice_is_compared_with_itself(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a"))] * 2
        assert list(verdicts(bench.compare()).values()) == ["reference", "same bits"]


class TestRefusals:
    def test_a_wheel_that_was_changed_since_its_report_was_made(self, bench, monkeypatch):
        def refuse(path, sha256):
            raise LoadError(f"{path.name} is another one than {sha256[:1]}")

        monkeypatch.setattr(compare, "refuse_other", refuse)
        bench.wheels = [facts_of("1_a", plan_text("a"))]
        with pytest.raises(LoadError, match="is another one"):
            bench.compare()

    def test_one_variant_alone(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a"))]
        with pytest.raises(LoadError, match="nothing to compare: a is the only variant"):
            bench.compare()

    def test_wheels_of_an_engine_that_nobody_can_drive(self, bench, monkeypatch):
        monkeypatch.setattr(compare, "engine_for", engine_for)
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        with pytest.raises(LoadError, match="no smoke driver knows the project 'toy-engine'"):
            bench.compare()

    def test_a_reference_that_is_not_there(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("first")), facts_of("1_b", plan_text("second"))]
        with pytest.raises(LoadError, match="no variant 'frist'") as caught:
            bench.compare(reference="frist")
        assert caught.value.hint == "did you mean first?"
        assert bench.installed == []

    def test_a_reference_that_cannot_run_here(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b", "x86-64-v4"))]
        with pytest.raises(LoadError, match="b cannot be the reference: not provable here: this CPU lacks avx512"):
            bench.compare(reference="b")

    def test_a_reference_that_gave_nothing(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a")), facts_of("1_b", plan_text("b"))]
        bench.answers = {"b": failed_answer("b", "at load: it died")}
        with pytest.raises(CheckError, match="b gave no logits: at load: it died"):
            bench.compare(reference="b")

    def test_nothing_that_can_run_here(self, bench):
        bench.wheels = [facts_of("1_a", plan_text("a", "x86-64-v4")), facts_of("1_b", plan_text("b", "x86-64-v4"))]
        with pytest.raises(CheckError, match="this CPU can run none of the variants"):
            bench.compare()


ENGINE = textwrap.dedent('''
    """An engine of sines with the shape of the real one."""

    import math
    import os
    import signal

    from . import truewheel

    __version__ = "1.2.3"
    _VOCABULARY = 50


    def llama_get_logits_ith(context, position):
        return context.rows[position]


    class _Context:
        def __init__(self):
            self.ctx = self
            self.rows = []


    class Llama:
        def __init__(self, model_path, n_ctx, logits_all=False, **_options):
            open(model_path, "rb").close()
            self._ctx = _Context()
            self._all = logits_all
            self._count = 0

        def n_vocab(self):
            return _VOCABULARY

        def tokenize(self, text):
            return [byte % _VOCABULARY for byte in text]

        def reset(self):
            self._count = 0

        def eval(self, tokens):
            assert self._all
            change = truewheel.CHANGES[truewheel.backend().name]
            if change == "die":
                os.kill(os.getpid(), signal.SIGILL)
            self._ctx.rows = []
            for token in tokens:
                self._count += 1
                row = [3 * math.sin(0.7 * entry + 0.3 * token + self._count) for entry in range(_VOCABULARY)]
                self._ctx.rows.append([value + change * math.cos(3.1 * place) for place, value in enumerate(row)])
    ''')
CHOOSER = textwrap.dedent("""
    import collections
    import os

    CHANGES = {changes}


    def backend():
        return collections.namedtuple("Backend", "name")(os.environ.get("TRUEWHEEL_BACKEND", "plain"))
    """)


def write_engine(folder, build, changes, **plan):
    """Write a wheel whose backends change the logits by this much; the first is the plain one."""
    text = plan_text(build, "x86-64", **plan)
    members = {
        "toy_engine/__init__.py": Member(ENGINE.encode()),
        "toy_engine/truewheel.py": Member(CHOOSER.replace("{changes}", repr(changes)).encode()),
        f"{DIST_INFO}/METADATA": Member(b"Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.2.3\n"),
        f"{DIST_INFO}/WHEEL": Member(
            f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\nBuild: 1_{build}\n".encode()
        ),
        f"{DIST_INFO}/truewheel.json": Member(text.encode()),
    }
    path = folder / NAME.format(f"-1_{build}")
    write_wheel(path, members, DIST_INFO)
    return path


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    changes = {"same": 0.0, "near": 0.001, "drifting": 0.08, "wrong": 0.5, "dying": "die", "lying": 0.0}
    backends = [(name, []) for name in changes]
    paths = [
        write_engine(folder, "one", {"plain": 0.0}),
        write_engine(folder, "many", changes, backends=backends),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "engine_for", lambda _project: make_engine())
        yield compare_wheels(paths, "tiny", threads=1, console=Console(), policy=POLICY)


class TestRealChildren:
    """The whole way, with wheels of pure Python in environments of their own."""

    def test_every_variant_gets_its_verdict(self, comparison):
        assert verdicts(comparison) == {
            "one": "reference",
            "many/same": "same bits",
            "many/near": "equivalent",
            "many/drifting": "drifts",
            "many/wrong": "diverges",
            "many/dying": "failed",
            "many/lying": "same bits",
        }

    def test_backends_and_figures_are_told(self, comparison):
        rows = {row.variant: row for row in comparison.rows}
        assert rows["one"].backend == "plain"
        assert rows["many/near"].backend == "near"
        assert 0 < rows["many/near"].mean_divergence < 1e-5
        assert rows["many/dying"].note.startswith("at logits: illegal instruction")
        assert comparison.positions == 128

    def test_one_run_by_itself(self, tmp_path):
        path = write_engine(tmp_path, "one", {"plain": 0.0, "wrong": 1.0})
        wheel, engine, model = read_wheel(path), make_engine(), find_model("tiny")
        record, logits = run_logits(wheel, model, engine, threads=1, environment={"TRUEWHEEL_BACKEND": "wrong"})
        assert (record.variant, record.backend, record.failure) == ("1_one", "wrong", "")
        assert logits.shape == (record.positions, record.vocabulary) == (128, 50)
        assert (len(record.tokens), len(record.margins)) == (GREEDY_TOKENS, GREEDY_TOKENS)


ROWS = (
    ComparedVariant(variant="a|b", verdict="reference"),
    ComparedVariant(
        variant="same", verdict="same bits", mean_divergence=0, max_divergence=0, max_position=0, top_agreement=1.0
    ),
    ComparedVariant(
        variant="far",
        verdict="diverges",
        mean_divergence=0.0123,
        max_divergence=0.5,
        max_position=7,
        top_agreement=0.75,
        first_difference=3,
        margin=0.25,
    ),
    ComparedVariant(variant="away", verdict="unproven", note="not provable here"),
)
FOUND = Finding(code="EQUIV-DIVERGES", where="far", message="mean *divergence*", hint="look")
COMPARISON = Comparison(
    engine="toy-engine", model="tiny", threads=2, positions=128, reference="a|b", rows=ROWS, findings=(FOUND,)
)


class TestCommand:
    @pytest.fixture
    def call(self, monkeypatch):
        """Run the verb on a comparison that is already made; returns exit code and data."""
        given = {}

        def run(*arguments, comparison=COMPARISON):
            def make(paths, model, **options):
                given.update(paths=paths, model=model, **options)
                return comparison

            monkeypatch.setattr(compare, "compare_wheels", make)
            result = CliRunner().invoke(command, ["x.whl", "y.whl", *arguments], standalone_mode=False)
            assert result.exception is None, result.exception
            return result.return_value, result.stdout, given

        return run

    def test_prints_a_table_and_ends_with_7_for_an_error(self, call):
        code, out, _ = call()
        lines = out.splitlines()
        assert code == 7
        at = next(number for number, line in enumerate(lines) if line.startswith("verdict "))
        assert [line.split("  ")[0] for line in lines[at + 1 : at + 5]] == [
            "reference",
            "same bits",
            "diverges",
            "unproven",
        ]
        assert lines[at + 3].split()[1:6] == ["1.2e-02", "5.0e-01", "at", "7", "75.0%"]
        assert "3 (0.2500)" in lines[at + 3]
        assert lines[-2:] == ["  error: EQUIV-DIVERGES: far: mean *divergence*", "    hint: look"]

    def test_ends_with_0_when_nothing_is_an_error(self, call):
        warning = msgspec.structs.replace(FOUND, code="EQUIV-DRIFTS", severity="warning")
        assert call(comparison=msgspec.structs.replace(COMPARISON, findings=(warning,)))[0] == 0

    def test_prints_everything_as_json(self, call):
        code, out, _ = call("--json")
        assert code == 7
        assert msgspec.json.decode(out, type=Comparison) == COMPARISON

    def test_prints_markdown_in_which_names_are_no_markup(self, call):
        _, out, _ = call("--markdown")
        assert "| --- | ---: | ---: | ---: | ---: | --- |" in out
        assert "| a\\|b |" in out
        assert "mean \\*divergence\\*" in out

    def test_hands_on_what_it_is_asked(self, call):
        given = call("--model", "smollm2", "--reference", "far")[2]
        assert [path.name for path in given["paths"]] == ["x.whl", "y.whl"]
        assert (given["model"], given["reference"]) == ("smollm2", "far")

    def test_two_formats_at_once_are_refused(self):
        assert CliRunner().invoke(command, ["x.whl", "--json", "--markdown"]).exit_code == 2

    def test_what_steers_a_terminal_is_harmless(self):
        steering = msgspec.structs.replace(ROWS[0], variant="\x1b[2J")
        finding = msgspec.structs.replace(FOUND, message="\x1b[2J", where="\x1b")
        comparison = msgspec.structs.replace(COMPARISON, rows=(steering,), findings=(finding,), reference="\x1b")
        document = describe_comparison(comparison)
        assert "\x1b" not in "\n".join([*to_lines(document), to_markdown(document), to_html(document)])


def test_the_policy_of_these_tests_is_about_every_code():
    assert {POLICY.severity_of(code, own=False) for code in CODES} == {"error", "warning", "info"}
