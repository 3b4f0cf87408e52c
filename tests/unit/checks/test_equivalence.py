"""Are two variants the same engine? Planted differences around both bars, and children that are not to be believed."""

import os
import signal
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from factories import ended, hear
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from truewheel.checks.equivalence import (
    CODES,
    DIVERGES_ABOVE,
    EQUIVALENT_BELOW,
    _judge,
    compare,
    findings,
    kl_divergence,
    unproven_row,
)
from truewheel.child.events import Script
from truewheel.child.logits import (
    GREEDY_TOKENS,
    POSITIONS,
    STEPS,
    Answer,
    LogitsRecord,
    failed_answer,
    judge,
)
from truewheel.child.programs.logits import Comparer

ROWS, VOCABULARY = 16, 200
TOKENS = tuple(range(GREEDY_TOKENS))
MARGINS = (0.5, 0.02, 0.01, 0.0099, 0.007, *[1.0] * (GREEDY_TOKENS - 5))
LOGITS = np.random.Generator(np.random.PCG64(1)).normal(0, 2, (ROWS, VOCABULARY)).astype(np.float32)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def make_answer(logits=LOGITS, **changes):
    record = LogitsRecord(
        variant="other",
        text=tuple(range(ROWS)),
        tokens=TOKENS,
        margins=MARGINS,
        positions=ROWS,
        vocabulary=VOCABULARY,
    )
    return Answer(msgspec.structs.replace(record, **changes), logits)


REFERENCE = make_answer(variant="reference")


def noise(size):
    return LOGITS + np.random.Generator(np.random.PCG64(2)).normal(0, size, LOGITS.shape).astype(np.float32)


def parted(*places):
    return tuple(token + 100 if index in places else token for index, token in enumerate(TOKENS))


def row_of(answer):
    return compare(REFERENCE, [answer])[1]


def codes_of(row):
    return [finding.code for finding in findings([row])]


class TestDivergence:
    def test_is_the_textbooks_in_nats(self):
        reference, other = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
        assert kl_divergence(reference, other) == pytest.approx([0.5 * np.log(2) + 0.5 * np.log(2 / 3)])

    def test_has_one_figure_a_position(self):
        other = LOGITS.copy()
        other[3] = other[3][::-1]
        divergence = kl_divergence(LOGITS, other)
        assert (divergence.shape, divergence.dtype) == ((ROWS,), np.float64)
        assert np.flatnonzero(divergence).tolist() == [3]

    def test_refuses_other_shapes(self):
        with pytest.raises(ValueError, match="cannot be compared"):
            kl_divergence(LOGITS, LOGITS[:, 1:])

    @given(arrays.arrays(np.float32, (2, 3, 5), elements=FINITE))
    def test_is_never_negative_and_always_a_number(self, pair):
        divergence = kl_divergence(*pair)
        assert np.isfinite(divergence).all()
        assert (divergence >= 0).all()

    @given(arrays.arrays(np.float32, (3, 5), elements=FINITE))
    def test_of_the_same_is_nothing(self, logits):
        assert kl_divergence(logits, logits.copy()).tolist() == [0.0, 0.0, 0.0]

    @given(
        arrays.arrays(np.float64, (2, 3, 5), elements=st.floats(-50, 50)),
        arrays.arrays(np.float64, (3, 1), elements=st.floats(-1000, 1000)),
    )
    def test_does_not_see_what_is_added_to_a_whole_row(self, pair, constant):
        reference, other = pair
        assert kl_divergence(reference, other + constant) == pytest.approx(kl_divergence(reference, other), abs=1e-9)


class TestVerdict:
    def test_the_references_row_comes_first_and_has_no_figures(self):
        first, second = compare(REFERENCE, [make_answer(backend="b")])
        assert (first.variant, first.verdict, first.mean_divergence) == ("reference", "reference", None)
        assert (second.variant, second.backend) == ("other", "b")
        assert codes_of(first) == []

    def test_a_reference_without_logits_is_none(self):
        with pytest.raises(ValueError, match="has no logits"):
            compare(failed_answer("x", "died"), [])

    def test_the_same_bits_are_told_apart_from_the_nearly_same(self):
        row = row_of(make_answer(LOGITS.copy()))
        assert (row.verdict, row.mean_divergence, row.top_agreement) == ("same bits", 0.0, 1.0)
        other = LOGITS.copy()
        other[0, 0] = np.nextafter(other[0, 0], np.float32(9))
        assert row_of(make_answer(other)).verdict == "equivalent"

    def test_the_same_logits_with_another_near_tie_are_not_the_same_bits(self):
        assert row_of(make_answer(tokens=parted(4))).verdict == "equivalent"

    def test_logits_that_are_shifted_as_a_whole_are_equivalent(self):
        row = row_of(make_answer(LOGITS + np.float32(3)))
        assert row.verdict == "equivalent"
        assert row.mean_divergence < 1e-9
        assert codes_of(row) == []

    @pytest.mark.parametrize(
        ("size", "verdict", "codes"),
        [
            (0.001, "equivalent", []),
            (0.04, "equivalent", []),
            (0.06, "drifts", ["EQUIV-DRIFTS"]),
            (0.1, "drifts", ["EQUIV-DRIFTS"]),
            (0.13, "diverges", ["EQUIV-DIVERGES"]),
            (2.0, "diverges", ["EQUIV-DIVERGES"]),
        ],
    )
    def test_noise_around_both_bars(self, size, verdict, codes):
        row = row_of(make_answer(noise(size)))
        assert row.verdict == verdict
        assert codes_of(row) == codes
        # What theory expects of small noise: half of its variance, but for what moves all of a row.
        weights = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
        expected = size**2 / 2 * (1 - (weights**2).sum(axis=1).mean())
        assert size >= 1 or row.mean_divergence == pytest.approx(expected, rel=0.2)

    @pytest.mark.parametrize(
        ("mean", "verdict"),
        [
            (0.0, "equivalent"),
            (np.nextafter(EQUIVALENT_BELOW, 0), "equivalent"),
            (EQUIVALENT_BELOW, "drifts"),
            (DIVERGES_ABOVE, "drifts"),
            (np.nextafter(DIVERGES_ABOVE, 1), "diverges"),
            (np.inf, "diverges"),
            (np.nan, "diverges"),
        ],
    )
    def test_the_bars_themselves(self, mean, verdict):
        assert _judge(mean, None) == verdict

    def test_the_mean_is_judged_and_the_worst_position_shown(self):
        other = LOGITS.copy()
        other[7] += np.random.Generator(np.random.PCG64(3)).normal(0, 0.15, VOCABULARY).astype(np.float32)
        row = row_of(make_answer(other))
        assert (row.verdict, row.max_position) == ("equivalent", 7)
        assert row.max_divergence > DIVERGES_ABOVE
        assert row.mean_divergence == pytest.approx(row.max_divergence / ROWS)

    def test_the_share_of_positions_with_the_same_best_token(self):
        other = LOGITS.copy()
        other[:4] = other[:4, ::-1]
        assert row_of(make_answer(other)).top_agreement == 0.75

    @pytest.mark.parametrize(
        ("place", "verdict", "code"),
        [
            (0, "diverges", "EQUIV-TOKENS"),
            (1, "diverges", "EQUIV-TOKENS"),
            (2, "diverges", "EQUIV-TOKENS"),
            (3, "equivalent", "EQUIV-NEAR-TIE"),
            (4, "equivalent", "EQUIV-NEAR-TIE"),
            (31, "diverges", "EQUIV-TOKENS"),
        ],
    )
    def test_a_swapped_token_is_judged_by_the_references_margin(self, place, verdict, code):
        row = row_of(make_answer(noise(0.001), tokens=parted(place), margins=(9.0,) * GREEDY_TOKENS))
        assert (row.first_difference, row.margin, row.verdict) == (place, MARGINS[place], verdict)
        assert codes_of(row) == [code]

    def test_only_the_first_swapped_token_counts(self):
        row = row_of(make_answer(tokens=parted(4, 5, 6)))
        assert (row.first_difference, codes_of(row)) == (4, ["EQUIV-NEAR-TIE"])

    def test_a_near_tie_takes_no_drift_away(self):
        row = row_of(make_answer(noise(0.06), tokens=parted(4)))
        assert (row.verdict, codes_of(row)) == ("drifts", ["EQUIV-DRIFTS", "EQUIV-NEAR-TIE"])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_no_number_never_passes(self, value):
        other = LOGITS.copy()
        other[2, 2] = value
        row = row_of(make_answer(other))
        assert (row.verdict, row.note) == ("failed", "a logit is not finite")
        assert codes_of(row) == ["EQUIV-FAILED"]

    @pytest.mark.parametrize(
        "answer",
        [make_answer(LOGITS[:-1]), make_answer(LOGITS[:, :-1]), make_answer(text=(9, *range(1, ROWS)))],
        ids=["fewer positions", "a smaller vocabulary", "another token"],
    )
    def test_a_text_that_is_split_otherwise_diverges(self, answer):
        row = row_of(answer)
        assert (row.verdict, row.mean_divergence) == ("diverges", None)
        assert codes_of(row) == ["EQUIV-DIVERGES"]

    def test_a_variant_that_gave_nothing_is_told_with_its_reason(self):
        row = row_of(failed_answer("x", "at load: illegal\ninstruction", "SMOKE-ILLEGAL"))
        (finding,) = findings([row])
        assert (row.verdict, finding.code, finding.where) == ("failed", "EQUIV-FAILED", "x")
        assert finding.message == "at load: illegal instruction"

    def test_what_cannot_run_here_is_no_pass(self):
        row = unproven_row("x", "not provable here: this CPU lacks avx512f")
        (finding,) = findings([row])
        assert (row.verdict, finding.code, finding.message) == ("unproven", "EQUIV-UNPROVEN", row.note)

    def test_every_code_can_come(self):
        answers = [make_answer(noise(1)), make_answer(noise(0.06)), make_answer(tokens=parted(0))]
        answers += [make_answer(tokens=parted(4)), failed_answer("x", "died")]
        found = list(findings([*compare(REFERENCE, answers), unproven_row("x", "it lacks")]))
        assert {finding.code for finding in found} == set(CODES)
        assert all(finding.where and finding.message and "\n" not in finding.message for finding in found)


TOLD = {
    "load": {"vocabulary": VOCABULARY},
    "tokenize": {"text": list(range(ROWS))},
    "greedy": {"tokens": list(TOKENS), "margins": list(MARGINS)},
    "backend": {"backend": "b"},
}


SCRIPT = Script(STEPS)


def events_of(until=None, **changes):
    told = {**TOLD, **changes}
    passed = [{"step": step, "state": "passed", "facts": told.get(step, {})} for step in STEPS[:until]]
    return [{"step": "lock", "state": "passed", "reason": ""}, *passed]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "logits"
    path.write_bytes(LOGITS.astype("<f4").tobytes())
    return path


@pytest.mark.parametrize(("vocabulary", "positions"), [(320, 128), (1 << 17, 128), (1 << 18, 64), (1 << 19, 32)])
def test_the_driver_looks_at_fewer_positions_of_a_large_vocabulary(vocabulary, positions):
    engine = SimpleNamespace(vocabulary=lambda: vocabulary, tokenize=lambda text: list(text.encode()))
    request = {"text": "x" * 500, "prompt": "Once", "positions": POSITIONS, "logits-bytes": 64 << 20}
    run = Comparer(request, engine)
    assert run.do_tokenize() == {"text": [ord("x")] * positions}


class TestChild:
    def test_that_did_all_it_should_gives_record_and_logits(self, file):
        record, logits = judge("x", hear(events_of(), SCRIPT), ended(0), file)
        assert record == LogitsRecord(
            variant="x",
            backend="b",
            text=tuple(range(ROWS)),
            tokens=TOKENS,
            margins=MARGINS,
            positions=ROWS,
            vocabulary=VOCABULARY,
        )
        assert np.array_equal(logits, LOGITS)

    @pytest.mark.parametrize(
        ("number", "code", "words"),
        [
            (signal.SIGILL, "SMOKE-ILLEGAL", "at logits: illegal instruction"),
            (signal.SIGSEGV, "SMOKE-SEGFAULT", "at logits: segmentation fault"),
            (signal.SIGKILL, "SMOKE-MEMORY", "at logits: killed"),
            (signal.SIGSYS, "SMOKE-ESCAPE", "at logits: it tried to start a process"),
        ],
    )
    def test_that_died_is_a_failure_in_words(self, file, number, code, words):
        events = [*events_of(STEPS.index("logits")), {"step": "logits", "state": "begin"}]
        record, logits = judge("x", hear(events, SCRIPT), ended(-number), file)
        assert (record.code, logits) == (code, None)
        assert record.failure.startswith(words)

    @pytest.mark.parametrize("count", range(len(STEPS)))
    def test_that_left_early_gave_nothing(self, file, count):
        record, logits = judge("x", hear(events_of(count), SCRIPT), ended(0), file)
        assert (record.code, logits) == ("SMOKE-FAILED", None)
        assert record.failure.startswith(f"at {STEPS[count]}: ")

    def test_whose_time_was_up(self, file):
        assert judge("x", hear(events_of(), SCRIPT), ended(0, timed_out=True), file).record.code == "SMOKE-TIMEOUT"

    def test_that_could_not_lock_itself_down(self, file):
        events = [{"step": "lock", "state": "failed", "reason": "no seccomp"}]
        record, _ = judge("x", hear(events, SCRIPT), ended(97), file)
        assert (record.code, record.failure) == (
            "SMOKE-UNLOCKED",
            "the child cannot lock itself down here (no seccomp)",
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"load": {}},
            {"load": {"vocabulary": 1}},
            {"load": {"vocabulary": 1 << 40}},
            {"load": {"vocabulary": "many"}},
            {"tokenize": {"text": []}},
            {"tokenize": {"text": [0] * (POSITIONS + 1)}},
            {"tokenize": {"text": [VOCABULARY]}},
            {"tokenize": {"text": [-1]}},
            {"greedy": {"tokens": list(TOKENS)[:-1], "margins": list(MARGINS)}},
            {"greedy": {"tokens": list(TOKENS), "margins": list(MARGINS)[:-1]}},
            {"greedy": {"tokens": list(TOKENS), "margins": [-1.0, *MARGINS[1:]]}},
            {"greedy": {"tokens": [VOCABULARY, *TOKENS[1:]], "margins": list(MARGINS)}},
            {"backend": {"backend": "b" * 101}},
            {"backend": {"backend": 7}},
            {"backend": [1]},
        ],
    )
    def test_whose_account_makes_no_sense_is_not_believed(self, file, change):
        record, logits = judge("x", hear(events_of(**change), SCRIPT), ended(0), file)
        assert (record.code, logits) == ("SMOKE-FAILED", None)
        assert "cannot be" in record.failure

    @pytest.mark.parametrize("size", [0, 4 * ROWS * VOCABULARY - 4, 4 * ROWS * VOCABULARY + 1])
    def test_whose_file_has_another_size(self, file, size):
        os.truncate(file, size)
        record, logits = judge("x", hear(events_of(), SCRIPT), ended(0), file)
        assert (record.code, logits) == ("SMOKE-FAILED", None)
        assert "no plain file of 12800 bytes" in record.failure

    def test_whose_file_is_larger_than_a_child_may_write(self, file):
        change = {"load": {"vocabulary": 1 << 22}}
        assert (
            "more than a child may write"
            in judge("x", hear(events_of(**change), SCRIPT), ended(0), file).record.failure
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_whose_logits_are_not_finite(self, file, value):
        logits = LOGITS.astype("<f4")
        logits[-1, -1] = value
        file.write_bytes(logits.tobytes())
        assert "a logit is not finite" in judge("x", hear(events_of(), SCRIPT), ended(0), file).record.failure

    @pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
    def test_whose_file_is_none(self, file, tmp_path, kind):
        planted = tmp_path / "planted"
        if kind == "link":
            planted.symlink_to(file)
        elif kind == "pipe":
            os.mkfifo(planted)
        elif kind == "folder":
            planted.mkdir()
        record, logits = judge("x", hear(events_of(), SCRIPT), ended(0), planted)
        assert (record.code, logits) == ("SMOKE-FAILED", None)

    @given(
        events=st.lists(
            st.fixed_dictionaries(
                {
                    "step": st.sampled_from([*STEPS, "lock"]),
                    "state": st.sampled_from(["begin", "passed", "failed"]),
                    "facts": st.sampled_from([*TOLD.values(), {}, {"vocabulary": 3}]),
                }
            ),
            max_size=12,
        ),
        returncode=st.sampled_from([0, 1, 97, 98, -4, -11]),
    )
    def test_gives_logits_or_a_reason_whatever_it_says(self, tmp_path_factory, events, returncode):
        path = tmp_path_factory.getbasetemp() / "same-logits"
        path.write_bytes(LOGITS.astype("<f4").tobytes())
        record, logits = judge("x", hear(events, SCRIPT), ended(returncode), path)
        assert (logits is None) == bool(record.failure) == bool(record.code)
