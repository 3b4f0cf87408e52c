"""Which codes refuse a wheel: the default table, and a person's own over it."""

import pytest

from truewheel.checks.policy import Policy, default_policy, load_policy
from truewheel.errors import LoadError

CODES = frozenset(("SIZE-DEBUG", "SIZE-DOUBLED", "HARD-PATH", "LINK-MISSING"))


def load(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return load_policy(path, CODES)


def test_a_code_may_be_worse_in_our_own_wheels():
    policy = default_policy()
    assert policy.severity_of("SIZE-DOUBLED", own=True) == "error"
    assert policy.severity_of("SIZE-DOUBLED", own=False) == "warning"


def test_what_could_not_be_shown_is_a_warning_and_what_failed_an_error():
    policy = default_policy()
    for own in (True, False):
        assert policy.severity_of("SMOKE-UNPROVEN", own=own) == "warning"
        assert policy.severity_of("SMOKE-ILLEGAL", own=own) == "error"


def test_a_library_without_its_note_refuses_a_wheel_whatever_linked_it():
    assert default_policy().severity_of("LINK-NOTE", own=True) == "error"
    assert "LINK-NO-NOTE" not in default_policy().severity


def test_a_code_without_a_line_is_a_fault_of_ours():
    with pytest.raises(KeyError):
        Policy(schema=1, severity={"A-*": "info"}).severity_of("B-X", own=True)


def test_the_last_line_that_fits_decides():
    policy = Policy(schema=1, severity={"A-B": "error", "A-*": "warning", "A-C": "info"})
    assert [policy.severity_of(code, own=True) for code in ("A-B", "A-C", "A-D")] == ["warning", "info", "warning"]


def test_a_persons_lines_win_over_the_default(tmp_path):
    policy = load(tmp_path, 'schema = 1\n[severity]\nHARD-PATH = "info"\n"SIZE-*" = "error"\n')
    assert policy.severity_of("HARD-PATH", own=False) == "info"
    assert policy.severity_of("SIZE-DEBUG", own=False) == "error"
    assert policy.severity_of("LINK-MISSING", own=False) == default_policy().severity_of("LINK-MISSING", own=False)


def test_a_line_of_a_person_comes_after_patterns_of_the_default(tmp_path):
    policy = load(
        tmp_path, 'schema = 1\n[severity]\n"*" = "info"\nLINK-MISSING = { own = "error", foreign = "warning" }\n'
    )
    assert policy.severity_of("LINK-MISSING", own=True) == "error"
    assert policy.severity_of("LINK-MISSING", own=False) == "warning"
    assert policy.severity_of("HARD-PATH", own=True) == "info"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('schema = 1\n[severity]\nHARD-PAHT = "info"\n', "there is no code 'HARD-PAHT'"),
        ('schema = 1\n[severity]\n"NONE-*" = "info"\n', "there is no code 'NONE-*'"),
        ('schema = 1\n[severity]\nHARD-PATH = "fatal"\n', "fatal"),
        ('schema = 2\n[severity]\nHARD-PATH = "info"\n', "schema"),
        ('schema = 1\n[severities]\nHARD-PATH = "info"\n', "severit"),
        ("schema = 1\n[severity\n", "policy.toml"),
        ("", "schema"),
    ],
)
def test_a_policy_that_cannot_be_used_says_why(tmp_path, text, words):
    with pytest.raises(LoadError) as caught:
        load(tmp_path, text)
    assert words in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_the_nearest_code_is_named(tmp_path):
    with pytest.raises(LoadError) as caught:
        load(tmp_path, 'schema = 1\n[severity]\nHARD-PAHT = "info"\n')
    assert "HARD-PATH" in caught.value.hint


def test_a_policy_that_is_not_there(tmp_path):
    with pytest.raises(LoadError, match="No such file"):
        load_policy(tmp_path / "none.toml", CODES)
