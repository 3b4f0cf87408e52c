"""The check of links: what each library needs, where it looks, what it promises."""

import pytest
from factories import LIBRARY, make_elf, make_facts, make_plan_of, make_profile, make_recipe, make_toolchain, make_wheel
from planted import PLANTED, without_note_support

from truewheel.checks.linkage import CODES, check


def codes(facts):
    return [finding.code for finding in check(facts)]


def library(**changes):
    return make_facts(libraries={LIBRARY: make_elf(**changes)})


def test_a_sound_wheel_gives_nothing():
    assert codes(make_facts()) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    (finding,) = check(PLANTED[code]())
    assert finding.code == code
    assert finding.severity == "error"
    assert finding.hint


def test_a_damaged_library_is_named_with_the_reason():
    (finding,) = check(PLANTED["LINK-DAMAGED"]())
    assert (finding.where, finding.message) == ("toy_engine/lib/cut.so", "damaged ELF file")


@pytest.mark.parametrize("name", ["libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"])
def test_what_every_glibc_machine_has_may_be_needed(name):
    assert codes(library(needed=(name,))) == []


def test_a_library_of_the_same_wheel_may_be_needed_by_file_name_or_soname():
    libraries = {
        LIBRARY: make_elf(needed=("libbase.so", "libnamed.so.1")),
        "toy_engine/lib/libbase.so": make_elf(soname=""),
        "toy_engine/lib/other.so": make_elf(soname="libnamed.so.1"),
    }
    assert codes(make_facts(libraries=libraries)) == []


@pytest.mark.parametrize(
    "name", ["libopenblas.so.0", "libc.so.7", "libc.musl-x86_64.so.1", "libcurl.so.4", "libgomp.so.1"]
)
def test_what_a_machine_may_lack_is_missing(name):
    (finding,) = check(library(needed=(name, "libc.so.6")))
    assert finding.code == "LINK-MISSING"
    assert name in finding.message


@pytest.mark.parametrize("name", ["libssl.so.3", "libssl.so.1.1", "libcrypto.so.3"])
def test_the_machines_openssl(name):
    (finding,) = check(library(needed=(name,)))
    assert (finding.code, finding.message) == ("LINK-SSL", f"needs the machine's {name}")


def test_openssl_that_was_grafted_is_the_wheels_own():
    libraries = {
        LIBRARY: make_elf(needed=("libssl-1a2b3c.so.3",)),
        "toy_engine.libs/libssl-1a2b3c.so.3": make_elf(soname="libssl-1a2b3c.so.3"),
    }
    assert codes(make_facts(libraries=libraries)) == []


@pytest.mark.parametrize(
    "entry",
    [
        "$ORIGIN",
        "$ORIGIN/",
        "$ORIGIN/.",
        "$ORIGIN/deeper",
        "$ORIGIN/..",
        "$ORIGIN/../../toy_engine.libs",
        "$ORIGIN/a/b/../../../..",
    ],
)
def test_a_run_path_inside_the_wheel(entry):
    assert codes(library(runpath=(entry,))) == []


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "lib",
        "/usr/lib",
        "/tmp/build",
        "$ORIGINAL",
        "$ORIGIN/../../..",
        "$ORIGIN/../../../toy_engine/lib",
        "$ORIGIN/a/../../../../b",
        "$ORIGIN/./../../..",
        "$ORIGIN//../../..",
        "$LIB",
    ],
)
def test_a_run_path_that_leads_out_of_the_wheel(entry):
    (finding,) = check(library(runpath=("$ORIGIN", entry)))
    assert finding.code == "LINK-RPATH"
    assert (entry or "the current folder") in finding.message


def test_each_bad_entry_of_a_run_path_is_named():
    assert codes(library(runpath=("/a", "/b"))) == ["LINK-RPATH", "LINK-RPATH"]


def test_one_openmp_runtime_is_enough():
    libraries = {
        LIBRARY: make_elf(needed=("libgomp.so.1",)),
        "toy_engine/lib/libother.so": make_elf(soname="libother.so", needed=("libgomp.so.1",)),
        "toy_engine/lib/libgomp.so.1": make_elf(soname="libgomp.so.1"),
    }
    assert codes(make_facts(libraries=libraries)) == []


@pytest.mark.parametrize("pair", [("libgomp.so.1", "libomp.so"), ("libiomp5.so", "libgomp.so.1")])
def test_two_openmp_runtimes_are_named_together(pair):
    findings = {finding.code: finding for finding in check(library(needed=pair))}
    assert all(name in findings["LINK-OPENMP-TWICE"].message for name in pair)


def tagged(platform, **changes):
    return library(**changes)._replace(wheel=make_wheel(f"toy_engine-1.2.3-1-py3-none-{platform}.whl"))


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("GLIBC_2.2.5", False),
        ("GLIBC_2.17", False),
        ("GLIBC_2.18", True),
        ("GLIBC_2.34", True),
        ("GLIBC_PRIVATE", False),
    ],
)
def test_the_tag_promises_a_c_library(version, wrong):
    facts = tagged("manylinux_2_17_x86_64", versions={"libc.so.6": ("GLIBC_2.4", version)})
    assert codes(facts) == (["LINK-VERSION"] if wrong else [])


@pytest.mark.parametrize("name", ["libm.so.6", "libpthread.so.0", "libdl.so.2"])
def test_every_library_of_the_c_library_is_compared(name):
    facts = tagged("manylinux_2_17_x86_64", versions={"libc.so.6": ("GLIBC_2.4",), name: ("GLIBC_2.29",)})
    (finding,) = check(facts)
    assert (finding.code, finding.message) == ("LINK-VERSION", "asks for glibc 2.29, the tag promises 2.17")


def test_versions_of_other_libraries_are_not_the_c_librarys():
    facts = tagged("manylinux_2_17_x86_64", versions={"libstdc++.so.6": ("GLIBCXX_3.4.30", "CXXABI_1.3.13")})
    assert codes(facts) == []


@pytest.mark.parametrize("platform", ["linux_x86_64", "any", "manylinux_x_y_x86_64", "manylinux_2_x86_64"])
def test_a_tag_without_a_promise(platform):
    assert codes(tagged(platform, versions={"libc.so.6": ("GLIBC_2.99",)})) == []


def test_of_several_tags_each_promise_must_hold():
    facts = tagged("manylinux_2_17_x86_64.manylinux_2_28_x86_64", versions={"libc.so.6": ("GLIBC_2.28",)})
    assert codes(facts) == ["LINK-VERSION"]


def test_a_linker_that_writes_no_note_is_told_but_no_fault():
    (finding,) = check(without_note_support())
    assert (finding.code, finding.severity) == ("LINK-NOTE", "info")
    assert "gcc's linker writes none" in finding.message


@pytest.mark.parametrize("level", ["", "x86-64", "x86-64-v2", "x86-64-v4"])
def test_the_note_must_say_just_the_level(level):
    assert codes(library(isa_level=level)) == ["LINK-NOTE"]


def test_a_recipe_that_names_another_library_is_wrong():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-library": "toy_engine/lib/libtyo.so"}))
    (finding,) = check(make_facts(plan))
    assert (finding.code, finding.severity, finding.where) == ("LINK-NOTE", "error", "toy_engine/lib/libtyo.so")
    assert "checks.isa-library" in finding.hint


def test_no_note_is_asked_of_a_wheel_of_somebody_else():
    assert codes(library(isa_level="")._replace(plan=None)) == []


def test_no_note_is_asked_for_plain_x86_64():
    plan = make_plan_of(profile=make_profile(label="plain", level="x86-64"), toolchain=make_toolchain())
    assert codes(make_facts(plan, libraries={LIBRARY: make_elf(isa_level="")})) == []


def test_no_note_is_asked_when_the_recipe_names_no_library():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-library": ""}))
    assert codes(make_facts(plan, libraries={LIBRARY: make_elf(isa_level="")})) == []


def test_a_wheel_without_libraries_has_no_links():
    assert codes(make_facts(plan=None, libraries={})) == []
