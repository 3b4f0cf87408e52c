"""Doctor, matrix, list and the codes: one style of table, and no reason twice."""

import pytest
from factories import make_host, make_toolchain

from truewheel.checks.run import explain
from truewheel.machine.doctor import Diagnosis, ToolState
from truewheel.machine.matrix import Cell, Matrix, Platform
from truewheel.pages.html import to_html
from truewheel.pages.listing import Listed, describe_codes, describe_wheelhouse
from truewheel.pages.machine import describe_machine, describe_matrix
from truewheel.pages.markdown import to_markdown
from truewheel.pages.terminal import NARROW, to_lines

PROFILES = ("dispatch", "native", "x86_64_v2", "x86_64_v3", "x86_64_v3_vnni", "x86_64_v4", "x86_64_v4_vnni")
NO_RUST = "rustc is not on this machine"
LACKS = "this CPU lacks avx_vnni, and no CPU that can be emulated here has them"


def cells():
    for profile in PROFILES:
        provable = profile != "x86_64_v3_vnni"
        proof = "on this CPU" if provable else LACKS
        yield Cell(
            engine="llama-cpp-python",
            profile=profile,
            buildable=True,
            build="with gcc 13.2.0",
            provable=provable,
            proof=proof,
        )
        yield Cell(engine="llama-rs", profile=profile, buildable=False, build=NO_RUST, provable=False, proof="no wheel")


MATRIX = Matrix("x86-64-v4", (Platform("x86_64-linux-gnu", True, ""), Platform("aarch64", False, "soon")), (*cells(),))


def diagnosis(**changes):
    facts = {
        "host": make_host(),
        "compilers": (make_toolchain(), make_toolchain(kind="clang", version="12", refusal="too old", cc="/usr/clang")),
        "tools": (ToolState("cmake", "3.25.1", "machine", "/usr/bin/cmake"), ToolState("ccache", "", "not here", "")),
        "cells": MATRIX.cells,
        "memory_available": 3 << 30,
        "disk_free": 9 << 30,
        "cache": "/caches",
        "wheelhouse": "/house",
        "problems": ("only 3 MiB of disk are free",),
    }
    return Diagnosis(**{**facts, **changes})


@pytest.mark.parametrize("document", [describe_matrix(MATRIX), describe_machine(diagnosis())], ids=["matrix", "doctor"])
def test_engine_by_profile_is_one_table_that_fits(document):
    lines = to_lines(document, NARROW)
    assert max(map(len, lines)) <= NARROW
    text = "\n".join(lines)
    assert text.count(NO_RUST) == text.count("lacks avx_vnni") == text.count("with gcc 13.2.0") == 1
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] and line.split()[0] in PROFILES}
    assert list(rows) == list(PROFILES)
    assert rows["native"] == ["build,", "prove", "(1,", "2)", "no", "(3)"]
    assert rows["x86_64_v3_vnni"] == ["build", "(1,", "4)", "no", "(3)"]
    assert next(line for line in lines if line.strip().startswith("3: ")).strip() == f"3: cannot be built: {NO_RUST}"
    assert NO_RUST in to_markdown(document)
    assert to_html(document).count(NO_RUST) == 1


def test_platforms_that_are_refused_are_named():
    lines = to_lines(describe_matrix(MATRIX), NARROW)
    assert "  aarch64: soon" in lines
    assert not any("x86_64-linux-gnu" in line for line in lines)


def test_a_compiler_that_is_passed_over_says_why():
    lines = to_lines(describe_machine(diagnosis()), NARROW)
    (row,) = (line for line in lines if line.startswith("  clang "))
    assert row.split(maxsplit=2) == ["clang", "12", "no: too old (/usr/clang)"]
    assert lines[-2:] == ["1 problem", "  only 3 MiB of disk are free"]
    alone = to_lines(describe_machine(diagnosis(compilers=(), problems=())), NARROW)
    assert any("none is on this machine" in line for line in alone)


def test_the_wheelhouse_is_a_table_and_names_stand_last():
    name = "toy_engine-1.2.3-py3-none-linux_x86_64.whl"
    wheel = Listed(
        path=f"/house/{name}",
        name=name,
        verdict="passed",
        size=3 << 20,
        level="",
        created="2031-05-06T07:08:09+00:00",
        digest="",
        findings=(),
    )
    assert [line.split() for line in to_lines(describe_wheelhouse((wheel,)), NARROW)] == [
        ["verdict", "MiB", "level", "checked", "wheel"],
        ["passed", "3.00", "-", "2031-05-06", "07:08", name],
    ]


def test_one_code_is_explained_and_several_are_listed():
    isa, harm = explain("ISA-BEYOND"), explain("HARD-PATH")
    one = to_lines(describe_codes([isa]))
    assert one[0] == "ISA-BEYOND"
    assert " ".join(one[-1].split()) in " ".join(isa.meaning.split())
    assert len(to_lines(describe_codes([isa, harm]))) == 3
