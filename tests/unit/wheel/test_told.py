"""What a wheel's own texts say: the same as the standard library's parsers make of them, cut and counted."""

import configparser
from email.parser import HeaderParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.wheel.entry_points import EntryPoint, read_entry_points
from truewheel.wheel.told import MAX_VALUE, read_texts

LINES = st.sampled_from(
    [
        "[a]",
        "[b] c",
        "[]",
        "x = y:z",
        "x=",
        "=x",
        " x = q = r ",
        "# no",
        "; no",
        "",
        "  ",
        "[a",
        "\tk = v",
        "x : y",
        "[[a]]",
    ]
)


def as_configparser(text):
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False, default_section="")
    parser.optionxform = str
    parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    return [(group, name, value) for group in parser.sections() for name, value in parser.items(group)]


@given(st.lists(LINES, max_size=12))
def test_entry_points_are_what_a_configparser_makes_of_them(lines):
    text = "\n".join(lines)
    try:
        expected = as_configparser(text)
    except configparser.Error:
        with pytest.raises(configparser.Error):
            read_entry_points(text)
    else:
        assert [tuple(entry) for entry in read_entry_points(text)] == expected


def told(metadata="", wheel="", entry_points=""):
    texts = {"x.dist-info/METADATA": metadata, "x.dist-info/WHEEL": wheel, "x.dist-info/entry_points.txt": entry_points}
    return read_texts(texts, "x.dist-info")


@given(st.text(max_size=200))
def test_fields_are_what_the_standard_library_reads(text):
    message = HeaderParser().parsestr(f"Name: a\n{text}")
    assert told(metadata=f"Name: a\n{text}")["metadata"].get_all("Requires-Dist") == [
        str(value)[:MAX_VALUE] for value in message.get_all("Requires-Dist", [])
    ]


def test_fields_are_asked_for_by_any_spelling():
    fields = told(metadata="NAME: a\nrequires-dist: b\nRequires-Dist: c\n\nbody: d\n")["metadata"]
    assert (fields["Name"], fields.get("name"), fields.get_all("Requires-Dist")) == ("a", "a", ["b", "c"])
    assert (fields.get("Version"), fields.get_all("Version"), fields.get("body")) == ("", [], "")


def test_what_is_too_long_is_cut_and_marked_and_what_is_too_much_is_left_out():
    fields = told(metadata="Requires-Dist: " + "x" * 9000 + "\n" + "Requires-Dist: y\n" * 9000)["metadata"]
    values = fields.get_all("Requires-Dist")
    assert (len(values), values[0]) == (2000, "x" * MAX_VALUE + "…")
    points = told(entry_points="[g]\n" + "".join(f"n{number} = m:o\n" for number in range(20_000)))["entry_points"]
    assert (len(points.found), points.found[0], points.fault) == (10_000, EntryPoint("g", "n0", "m:o"), "")


def test_entry_points_that_cannot_be_read_are_a_fault():
    points = told(entry_points="name = value\n")["entry_points"]
    assert points.found == ()
    assert "no section headers" in points.fault
