"""Wheel file names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.errors import CheckError
from truewheel.wheel.name import WheelName, parse_wheel_name


def test_parts_without_build_tag():
    name = parse_wheel_name("llama_cpp_python-0.3.36-py3-none-linux_x86_64.whl")
    assert name == WheelName("llama_cpp_python", "0.3.36", "", "py3-none-linux_x86_64")
    assert name.project == "llama-cpp-python"
    assert name.platforms == ("linux_x86_64",)


def test_parts_with_build_tag():
    name = parse_wheel_name("toy-1.0-1_native_abc-cp310-abi3-manylinux_2_17_x86_64.whl")
    assert (name.version, name.build, name.tags) == ("1.0", "1_native_abc", "cp310-abi3-manylinux_2_17_x86_64")


def test_compressed_tags_are_taken_apart():
    name = parse_wheel_name("toy-1.0-py2.py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl")
    assert name.platforms == ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
    assert len(name.tag_set) == 4


@pytest.mark.parametrize(
    "filename",
    [
        "",
        ".whl",
        "toy",
        "toy.whl",
        "toy-1.0.whl",
        "toy-1.0-py3-none.whl",
        "toy-1.0-py3-none-any",
        "toy-1.0-py3-none-any.zip",
        "toy-1.0-py3-none-any.WHL",
        "toy-1.0-native-py3-none-any.whl",
        "toy-1.0-1-2-py3-none-any.whl",
        "toy-one-py3-none-any.whl",
        "to/y-1.0-py3-none-any.whl",
        "../toy-1.0-py3-none-any.whl",
        "toy-1.0-py3-none-any.whl.part",
    ],
)
def test_other_names_are_refused_with_the_right_form(filename):
    with pytest.raises(CheckError, match="not a wheel's file name") as caught:
        parse_wheel_name(filename)
    assert "NAME-VERSION" in caught.value.hint
    assert caught.value.exit_code == 7


@given(
    distribution=st.from_regex(r"[A-Za-z][A-Za-z0-9_.]{0,10}[A-Za-z0-9]", fullmatch=True),
    version=st.from_regex(r"(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){0,3}", fullmatch=True),
    build=st.just("") | st.from_regex(r"[0-9][a-z0-9_]{0,20}", fullmatch=True),
    platform=st.sampled_from(["any", "linux_x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64"]),
)
def test_composing_and_parsing_are_inverse(distribution, version, build, platform):
    name = WheelName(distribution, version, build, f"py3-none-{platform}")
    assert parse_wheel_name(name.filename) == name


@given(st.text(max_size=30).map(lambda text: f"{text}.whl") | st.text(max_size=30))
def test_no_text_gives_anything_but_a_name_or_a_refusal(text):
    try:
        name = parse_wheel_name(text)
    except CheckError:
        return
    assert name.filename == text
