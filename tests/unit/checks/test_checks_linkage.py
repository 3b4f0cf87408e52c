"""The check of links: what each library needs, where it looks, what it promises."""

import msgspec
import pytest
from factories import (
    DIST_INFO,
    LIBRARY,
    make_backend_plan,
    make_dispatch_plan,
    make_elf,
    make_facts,
    make_plan_of,
    make_profile,
    make_recipe,
    make_toolchain,
    make_wheel,
    wheel_members,
)
from planted_linkage import PLANTED_LINKAGE, SECOND, bring, foreign, library

from truewheel.binary.elf import Undefined
from truewheel.checks.linkage import CODES, check
from truewheel.checks.links import system_libraries
from truewheel.wheel.archive import Member
from truewheel.wheel.told import read_texts

ARM = "EM_AARCH64"
PROGRAM = "toy_engine-1.2.3.data/scripts/toy"


def codes(facts):
    return [finding.code for finding in check(facts)]


def messages(facts):
    return {finding.code: finding.message for finding in check(facts)}


def requiring(facts, *lines):
    """Return the facts of a wheel that requires other projects."""
    metadata = facts.wheel.texts[f"{DIST_INFO}/METADATA"] + "".join(f"Requires-Dist: {line}\n" for line in lines)
    texts = {**facts.wheel.texts, f"{DIST_INFO}/METADATA": metadata}
    return facts._replace(wheel=msgspec.structs.replace(facts.wheel, texts=texts, **read_texts(texts, DIST_INFO)))


def using(platform, *names, **changes):
    """Return facts of a wheel whose library uses symbols that have no version."""
    return foreign(platform, undefined=tuple(Undefined(name) for name in names), **changes)


def test_a_sound_wheel_gives_nothing():
    assert codes(make_facts()) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    (finding,) = check(PLANTED_LINKAGE[code]())
    assert finding.code == code
    assert finding.hint
    assert finding.where


def test_a_wheel_without_libraries_has_no_links():
    assert codes(make_facts(plan=None, libraries={})) == []


def test_a_damaged_library_is_named_with_the_reason():
    (finding,) = check(PLANTED_LINKAGE["LINK-DAMAGED"]())
    assert (finding.where, finding.message) == ("toy_engine/lib/cut.so", "damaged ELF file")


# What may be needed


@pytest.mark.parametrize(
    "name",
    ["libc.so.6", "libm.so.6", "libmvec.so.1", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"],
)
def test_what_every_glibc_machine_has_may_be_needed(name):
    assert codes(library(needed=(name,))) == []


def test_a_library_of_the_same_wheel_may_be_needed_by_file_name_or_soname():
    libraries = {
        LIBRARY: make_elf(needed=("libbase.so", "libnamed.so.1")),
        "toy_engine/lib/libbase.so": make_elf(soname=""),
        "toy_engine/lib/other.so": make_elf(soname="libnamed.so.1"),
    }
    assert codes(make_facts(libraries=libraries)) == []


def test_a_library_that_cannot_be_read_is_damaged_and_not_missing():
    facts = library(needed=("libcut.so",))._replace(damaged={"toy_engine/lib/libcut.so": "damaged ELF file"})
    assert codes(facts) == ["LINK-DAMAGED"]


def test_a_library_for_another_machine_is_of_no_use():
    libraries = {LIBRARY: make_elf(needed=("libother.so",)), "arm/libother.so": make_elf(machine=ARM, soname="")}
    assert codes(make_facts(libraries=libraries)) == ["LINK-MISSING"]


@pytest.mark.parametrize(
    "name",
    [
        *("libopenblas.so.0", "libc.so.7", "libc.musl-x86_64.so.1", "libcurl.so.4", "libgomp.so.1", "libz.so.1"),
        "ld-linux-aarch64.so.1",
    ],
)
def test_what_a_machine_may_lack_is_missing(name):
    (finding,) = check(library(needed=(name, "libc.so.6")))
    assert finding.code == "LINK-MISSING"
    assert name in finding.message


@pytest.mark.parametrize(
    ("platform", "name", "allowed"),
    [
        ("manylinux_2_17_x86_64", "libz.so.1", True),
        ("manylinux1_x86_64", "libX11.so.6", True),
        ("manylinux2014_x86_64", "libGL.so.1", True),
        ("manylinux_2_28_x86_64", "libglib-2.0.so.0", True),
        ("manylinux_2_28_x86_64", "ld-linux-x86-64.so.2", True),
        ("manylinux_2_28_x86_64", "libgomp.so.1", False),
        ("manylinux_2_28_x86_64", "libc.musl-x86_64.so.1", False),
        ("manylinux_2_5_x86_64", "libexpat.so.1", False),
        ("manylinux2010_x86_64", "libexpat.so.1", True),
        ("manylinux_2_17_x86_64", "libmvec.so.1", False),
        ("manylinux_2_24_x86_64", "libmvec.so.1", True),
        ("manylinux_2_24_x86_64.manylinux_2_17_x86_64", "libmvec.so.1", False),
        # A tag for another machine promises nothing to this one's libraries.
        ("manylinux_2_28_aarch64", "libz.so.1", False),
        ("linux_x86_64", "libz.so.1", False),
        ("any", "libz.so.1", False),
        ("musllinux_1_2_x86_64", "libc.musl-x86_64.so.1", True),
        ("musllinux_1_2_x86_64", "libz.so.1", True),
        ("musllinux_1_2_x86_64", "libc.musl-aarch64.so.1", False),
        ("musllinux_1_2_x86_64", "libc.so.6", False),
        ("musllinux_1_2_x86_64", "libstdc++.so.6", False),
        ("manylinux_2_28_x86_64.musllinux_1_2_x86_64", "libz.so.1", True),
        ("manylinux_2_28_x86_64.musllinux_1_2_x86_64", "libc.so.6", False),
        ("manylinux_2_28_x86_64.musllinux_1_2_x86_64", "libc.musl-x86_64.so.1", False),
    ],
)
def test_the_tag_says_what_the_machine_has(platform, name, allowed):
    assert codes(foreign(platform, needed=(name,), versions={})) == ([] if allowed else ["LINK-MISSING"])


def test_our_own_wheels_need_no_more_than_the_c_library_whatever_the_tag():
    facts = library(needed=("libz.so.1",))._replace(
        wheel=make_wheel("toy_engine-1.2.3-1-py3-none-manylinux_2_28_x86_64.whl")
    )
    assert codes(facts) == ["LINK-MISSING"]


@pytest.mark.parametrize(
    ("machine", "loader"),
    [("EM_AARCH64", "ld-linux-aarch64.so.1"), ("EM_386", "ld-linux.so.2"), ("EM_S390", "ld64.so.1")],
)
def test_each_machine_has_its_own_loader(machine, loader):
    assert codes(foreign("linux_x86_64", machine=machine, needed=(loader, "libc.so.6"))) == []
    assert codes(foreign("linux_x86_64", machine=machine, needed=("ld-linux-x86-64.so.2",))) == ["LINK-MISSING"]


def test_a_machine_that_nobody_knows_has_a_c_library_too():
    assert codes(foreign("linux_x86_64", machine="EM_SPARCV9", needed=("libc.so.6",))) == []


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("libcuda.so.1", "display driver"),
        ("libnvidia-ml.so.1", "display driver"),
        ("libcublasLt.so.12", "CUDA toolkit"),
        ("libamdhip64.so.6", "ROCm"),
        ("libvulkan.so.1", "graphics drivers"),
        ("libpython3.11.so.1.0", "interpreter"),
        ("libgomp.so.1", "auditwheel repair"),
    ],
)
def test_the_hint_says_who_brings_a_library(name, word):
    (finding,) = check(foreign("manylinux_2_28_x86_64", needed=(name,)))
    assert finding.code == "LINK-MISSING"
    assert word in finding.hint


@pytest.mark.parametrize(
    ("runpath", "requires", "missing"),
    [
        ("$ORIGIN/../../nvidia/cublas/lib", ("nvidia-cublas-cu12",), False),
        ("$ORIGIN/../../nvidia/cublas/lib", (), True),
        ("$ORIGIN/../../nvidia/cublas/lib", ('nvidia-cublas-cu12; extra == "cuda"',), True),
        ("$ORIGIN/../../toy_engine/lib64", ("nvidia-cublas-cu12",), True),
        ("$ORIGIN/../..", ("nvidia-cublas-cu12",), True),
        ("/usr/local/cuda/lib64", ("nvidia-cublas-cu12",), True),
    ],
)
def test_a_project_that_is_required_may_bring_a_library_into_its_own_folder(runpath, requires, missing):
    facts = requiring(foreign("manylinux_2_28_x86_64", needed=("libcublas.so.12",), runpath=(runpath,)), *requires)
    assert ("LINK-MISSING" in codes(facts)) is missing


def test_what_the_table_of_libraries_holds():
    system = system_libraries()
    assert {"libc.so.6", "libstdc++.so.6"} <= system.glibc
    assert len(system.manylinux) == 22
    assert not system.manylinux & set(system.later)
    assert all(machine.tags and machine.loaders and machine.musl for machine in system.machines.values())


@pytest.mark.parametrize("name", ["libssl.so.3", "libssl.so.1.1", "libcrypto.so.3"])
def test_the_machines_openssl(name):
    (finding,) = check(library(needed=(name,)))
    assert (finding.code, finding.message) == ("LINK-SSL", f"needs the machine's {name}")


@pytest.mark.parametrize("name", ["libssl-1a2b3c4d.so.3", "libssl.so.3"])
def test_openssl_that_the_wheel_brings_is_its_own(name):
    assert codes(make_facts(libraries={LIBRARY: make_elf(needed=(name,)), **bring(name, isa_level="x86-64-v3")})) == []


# Run paths


@pytest.mark.parametrize(
    "entry",
    [
        "$ORIGIN",
        "${ORIGIN}",
        "$ORIGIN/",
        "$ORIGIN/.",
        "$ORIGIN/deeper",
        "$ORIGIN/..",
        "$ORIGIN/../../toy_engine.libs",
        "${ORIGIN}/../../toy_engine.libs",
        "$ORIGIN/a/b/../../../..",
        # Other projects' folders lie in the same place as the wheel's own.
        "$ORIGIN/../../nvidia/cublas/lib",
    ],
)
def test_a_run_path_inside_the_folder_of_wheels(entry):
    assert codes(library(runpath=(entry,))) == []


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "lib",
        "/usr/lib",
        "/tmp/build",
        "/$ORIGIN",
        "$ORIGINAL",
        "$ORIGIN/../../..",
        "$ORIGIN/../../../toy_engine/lib",
        "$ORIGIN/../../../../../lib",
        "$ORIGIN/a/../../../../b",
        "$ORIGIN/./../../..",
        "$ORIGIN//../../..",
        "$LIB",
    ],
)
def test_a_run_path_that_leads_out_of_the_folder_of_wheels(entry):
    (finding,) = check(library(runpath=("$ORIGIN", entry)))
    assert finding.code == "LINK-RPATH"
    assert (entry or "the current folder") in finding.message


def test_each_bad_entry_of_a_run_path_is_named():
    assert codes(library(runpath=("/a", "/b"))) == ["LINK-RPATH", "LINK-RPATH"]


@pytest.mark.parametrize(
    ("path", "entry", "inside"),
    [
        ("toy_engine-1.2.3.data/platlib/toy/lib.so", "$ORIGIN/..", True),
        ("toy_engine-1.2.3.data/platlib/toy/lib.so", "$ORIGIN/../..", False),
        ("toy_engine-1.2.3.data/scripts/toy", "$ORIGIN/../lib", True),
        ("toy_engine-1.2.3.data/scripts/toy", "$ORIGIN/../../lib", False),
        ("toy_engine-1.2.3.data/data/lib/toy.so", "$ORIGIN/..", True),
        ("toy_engine-1.2.3.data/data/lib/toy.so", "$ORIGIN/../..", False),
        ("other.data/data/lib/toy.so", "$ORIGIN/../..", False),
    ],
)
def test_a_run_path_counts_from_where_the_file_is_installed(path, entry, inside):
    facts = make_facts(plan=None, libraries={path: make_elf(runpath=(entry,))})
    assert codes(facts) == ([] if inside else ["LINK-RPATH"])


# Two of a kind


def test_one_openmp_runtime_is_enough():
    libraries = {
        LIBRARY: make_elf(needed=("libgomp.so.1",)),
        SECOND: make_elf(soname="libsecond.so", needed=("libgomp.so.1",)),
        **bring("libgomp.so.1", folder="toy_engine/lib", isa_level="x86-64-v3"),
    }
    assert codes(make_facts(libraries=libraries)) == []


@pytest.mark.parametrize(
    "pair",
    [
        ("libgomp.so.1", "libomp.so"),
        ("libiomp5.so", "libgomp.so.1"),
        ("libgomp-24e2ab19.so.1.0.0", "libomp-0a1b2c3d.so.5"),
        ("libgomp-24e2ab19.so.1.0.0", "libiomp5.so"),
    ],
)
def test_two_openmp_runtimes_are_named_together(pair):
    for brought in (bring(*pair), {}):
        findings = messages(make_facts(libraries={LIBRARY: make_elf(needed=pair), **brought}))
        assert all(name in findings["LINK-OPENMP-TWICE"] for name in pair)


@pytest.mark.parametrize("name", ["libompl.so.16", "libompi.so.1", "libgomp-plugin-nvptx.so.1"])
def test_a_library_with_a_like_name_is_no_openmp_runtime(name):
    assert "LINK-OPENMP-TWICE" not in codes(library(needed=("libgomp.so.1", name)))


def test_a_program_has_its_own_process():
    libraries = {
        LIBRARY: make_elf(needed=("libgomp-11111111.so.1",)),
        PROGRAM: make_elf(soname="", needed=("libgomp-22222222.so.1", "libomp.so.5")),
        **bring("libgomp-11111111.so.1", "libgomp-22222222.so.1", "libomp.so.5"),
    }
    assert codes(make_facts(plan=None, libraries=libraries)) == []


def twice(*needed, brought=(), **changes):
    """Return facts of a wheel that brings libraries, of which one each is needed by another library."""
    users = {
        f"toy_engine/lib/libuser{number}.so": make_elf(soname=f"libuser{number}.so", needed=(name,), **changes)
        for number, name in enumerate(needed)
    }
    return make_facts(plan=None, libraries={**users, **bring(*brought)})


@pytest.mark.parametrize(
    ("one", "other", "copies"),
    [
        ("libgomp-24e2ab19.so.1.0.0", "libgomp-2af01464.so.1", True),
        ("libgfortran-040039e1-0352e75f.so.5.0.0", "libgfortran-8f1e9814.so.5.0.0", True),
        ("libggml-0b5e5db1.so", "libggml.so", True),
        ("libblosc2-a12ec544.so.7", "libblosc2.so", True),
        ("libssl-11111111.so.1.1", "libssl-22222222.so.3", False),
        ("libggml-cpu.so", "libggml-base.so", False),
        ("libtbb-11111111.so.12", "libtbbmalloc-22222222.so.2", False),
        ("toy-11111111.so", "toy-22222222.so", False),
    ],
)
def test_two_libraries_that_differ_in_hash_and_version_are_copies(one, other, copies):
    facts = twice(one, other, brought=(one, other))
    assert codes(facts) == (["LINK-TWICE"] if copies else [])
    assert all(name in messages(facts)["LINK-TWICE"] for name in (one, other) if copies)


def test_a_copy_that_nobody_needs_is_loaded_by_name():
    facts = twice("libggml-0b5e5db1.so", brought=("libggml-0b5e5db1.so", "libggml.so"))
    assert codes(facts) == ["LINK-TWICE"]


def test_libraries_for_two_machines_never_meet():
    libraries = {
        "x86/libtoy-11111111.so": make_elf(soname="libtoy-11111111.so"),
        "arm/libtoy-22222222.so": make_elf(soname="libtoy-22222222.so", machine=ARM),
    }
    assert codes(make_facts(plan=None, libraries=libraries)) == []


def test_a_grafted_copy_beside_the_machines_own():
    facts = twice("libgomp-24e2ab19.so.1.0.0", "libgomp.so.1", brought=("libgomp-24e2ab19.so.1.0.0",))
    findings = messages(facts)
    assert set(findings) == {"LINK-MISSING", "LINK-TWICE"}
    assert "the machine's libgomp.so.1" in findings["LINK-TWICE"]


def test_a_grafted_cxx_library_beside_the_machines_own():
    facts = twice("libstdc++-24e2ab19.so.6.0.30", "libstdc++.so.6", brought=("libstdc++-24e2ab19.so.6.0.30",))
    assert codes(facts) == ["LINK-TWICE"]


def test_whoever_needs_a_name_that_is_loaded_gets_what_is_loaded():
    # Measured: of two files with one soname, in two folders, the loader takes the first for both libraries.
    libraries = {
        "a/libuser.so": make_elf(soname="liba.so", needed=("libtoy.so",)),
        "b/libuser.so": make_elf(soname="libb.so", needed=("libtoy.so",)),
        **{f"{folder}/libtoy.so": make_elf(soname="libtoy.so") for folder in "ab"},
    }
    assert codes(make_facts(plan=None, libraries=libraries)) == []


@pytest.mark.parametrize(
    ("needed", "copies"), [(("libtoy.so", "libtoy.so.1"), True), (("libtoy.so.1", "libtoy.so.1"), False)]
)
def test_one_content_under_two_names_is_two_libraries_when_both_are_needed(needed, copies):
    same = Member(b"\x7fELF the same", executable=True)
    files = {f"toy_engine.libs/{name}": same for name in ("libtoy.so", "libtoy.so.1")}
    users = {
        f"toy_engine/lib/libuser{number}.so": make_elf(soname=f"libuser{number}.so", needed=(name,))
        for number, name in enumerate(needed)
    }
    libraries = {**users, **{path: make_elf(soname="") for path in files}}
    facts = make_facts(plan=None, libraries=libraries, wheel=make_wheel(members=wheel_members(**files)))
    assert codes(facts) == (["LINK-TWICE"] if copies else [])


def test_a_name_as_long_as_a_file_is_read_in_time():
    assert codes(library(needed=("lib" + "-00000000" * 100_000 + "x",))) == ["LINK-MISSING"]


# Versions


def tagged(platform, **changes):
    return library(**changes)._replace(wheel=make_wheel(f"toy_engine-1.2.3-1-py3-none-{platform}.whl"))


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("GLIBC_2.2.5", False),
        ("GLIBC_2.17", False),
        ("GLIBC_2.18", True),
        ("GLIBC_2.34", True),
        ("GLIBC_ABI_DT_RELR", True),
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
    assert (finding.code, finding.message) == ("LINK-VERSION", "asks for glibc 2.29, the tag promises glibc 2.17")


@pytest.mark.parametrize(
    ("platform", "floor"), [("manylinux1", (2, 5)), ("manylinux2010", (2, 12)), ("manylinux2014", (2, 17))]
)
def test_the_old_names_of_tags_promise_as_much(platform, floor):
    version = f"GLIBC_{floor[0]}.{floor[1]}"
    assert codes(tagged(f"{platform}_x86_64", versions={"libc.so.6": (version,)})) == []
    later = f"GLIBC_{floor[0]}.{floor[1] + 1}"
    assert codes(tagged(f"{platform}_x86_64", versions={"libc.so.6": (later,)})) == ["LINK-VERSION"]


@pytest.mark.parametrize(
    ("provider", "version", "promised"),
    [
        ("libstdc++.so.6", "GLIBCXX_3.4.20", "GLIBCXX_3.4.19"),
        ("libstdc++.so.6", "CXXABI_1.3.8", "CXXABI_1.3.7"),
        ("libgcc_s.so.1", "GCC_7.0.0", "GCC_4.8.0"),
    ],
)
def test_the_tag_promises_the_compilers_libraries_too(provider, version, promised):
    facts = tagged("manylinux_2_17_x86_64", needed=(provider,), versions={provider: (promised, version)})
    (finding,) = check(facts)
    assert (finding.code, finding.message) == ("LINK-VERSION", f"asks for {version}, the tag promises {promised}")
    assert codes(tagged("manylinux_2_17_x86_64", versions={provider: (promised,)})) == []


def test_what_the_wheel_brings_itself_may_be_as_new_as_it_likes():
    facts = foreign(
        "manylinux_2_17_x86_64",
        {
            LIBRARY: make_elf(needed=("libstdc++.so.6",), versions={"libstdc++.so.6": ("GLIBCXX_3.4.33",)}),
            **bring("libstdc++.so.6"),
        },
    )
    assert codes(facts) == []


def test_the_newest_of_each_family_is_named():
    versions = {
        "libc.so.6": ("GLIBC_2.9", "GLIBC_2.29", "GLIBC_2.34"),
        "libstdc++.so.6": ("GLIBCXX_3.4.9", "GLIBCXX_3.4.21"),
    }
    (finding,) = check(tagged("manylinux_2_17_x86_64", versions=versions))
    assert finding.message == ("asks for glibc 2.34 and GLIBCXX_3.4.21, the tag promises glibc 2.17 and GLIBCXX_3.4.19")


def test_versions_of_other_libraries_are_their_own_business():
    versions = {"libgomp-24e2ab19.so.1": ("GOMP_99.0", "OMP_9.0"), "libz.so.1": ("ZLIB_9.9",)}
    assert codes(tagged("manylinux_2_17_x86_64", versions=versions)) == []


def test_of_another_machine_only_the_c_library_is_compared():
    versions = {"libc.so.6": ("GLIBC_2.17",), "libstdc++.so.6": ("GLIBCXX_3.4.33",)}
    assert codes(foreign("manylinux_2_17_aarch64", machine=ARM, versions=versions)) == []
    versions = {"libc.so.6": ("GLIBC_2.34",)}
    assert codes(foreign("manylinux_2_17_aarch64", machine=ARM, versions=versions)) == ["LINK-VERSION"]
    assert codes(foreign("manylinux_2_17_x86_64", machine=ARM, versions=versions)) == []


@pytest.mark.parametrize(
    "platform",
    ["linux_x86_64", "any", "manylinux_x_y_x86_64", "manylinux_2_x86_64", "manylinux3_x86_64", "musllinux_1_2_x86_64"],
)
def test_a_tag_without_a_promise(platform):
    assert "LINK-VERSION" not in codes(tagged(platform, versions={"libc.so.6": ("GLIBC_2.99",)}))


def test_of_several_tags_the_oldest_promise_must_hold_and_is_told_once():
    for platform in ("manylinux_2_17_x86_64.manylinux_2_28_x86_64", "manylinux2014_x86_64.manylinux_2_17_x86_64"):
        assert codes(tagged(platform, versions={"libc.so.6": ("GLIBC_2.28",)})) == ["LINK-VERSION"]


# auditwheel's account


def account(overall, sym=None, **more):
    return {
        "version": 1,
        "wheel": "toy.whl",
        "pure": False,
        "overall_tag": overall,
        "sym_tag": sym or overall,
        "pyfpe": False,
        "ucs2": False,
        "unsupported_isa": False,
        "versioned_symbols": {"libc.so.6": ["GLIBC_2.2.5"]},
        "external_libs": {},
        "policy_upgrades": {},
        **more,
    }


NEEDS = {"manylinux_2_17_x86_64": {"libs_to_eliminate": ["libgomp.so.1"]}}


@pytest.mark.parametrize(
    ("platform", "overall", "wrong"),
    [
        ("manylinux_2_17_x86_64", "linux_x86_64", True),
        ("manylinux_2_17_x86_64", "manylinux_2_28_x86_64", True),
        ("manylinux2014_x86_64", "manylinux_2_28_x86_64", True),
        ("manylinux_2_28_x86_64.manylinux_2_17_x86_64", "manylinux_2_28_x86_64", True),
        ("manylinux_2_17_x86_64", "manylinux_2_17_x86_64", False),
        ("manylinux_2_17_x86_64", "manylinux_2_5_x86_64", False),
        ("manylinux_2_5_x86_64", "manylinux_2_12_x86_64", True),
        ("linux_x86_64", "linux_x86_64", False),
        ("any", "linux_x86_64", False),
        ("manylinux_2_17_aarch64", "linux_aarch64", False),
        ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64", True),
        ("musllinux_1_2_x86_64", "musllinux_1_2_x86_64", False),
        ("musllinux_1_2_x86_64", "linux_x86_64", True),
        ("manylinux_2_17_x86_64.musllinux_1_2_x86_64", "manylinux_2_17_x86_64", False),
        ("manylinux_2_17_x86_64", "", False),
        ("manylinux_2_17_x86_64", "nonsense", False),
    ],
)
def test_the_tag_is_compared_with_what_auditwheel_allows(platform, overall, wrong):
    facts = foreign(platform, needed=(), versions={})._replace(
        policy=account(overall, external_libs={"libtoy.so": None})
    )
    assert codes(facts) == (["LINK-POLICY"] if wrong else [])


def test_what_another_finding_explains_is_referred_to():
    told = account(
        "linux_x86_64",
        "manylinux_2_34_x86_64",
        external_libs={"libgomp.so.1": "/lib/libgomp.so.1"},
        policy_upgrades=NEEDS,
        versioned_symbols={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.32", "GLIBC_2.34"]},
    )
    versions = {"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34")}
    facts = foreign("manylinux2014_x86_64", needed=("libgomp.so.1", "libc.so.6"), versions=versions)
    findings = list(check(facts._replace(policy=told)))
    assert [finding.code for finding in findings] == ["LINK-MISSING", "LINK-VERSION", "LINK-POLICY"]
    assert findings[-1].where == facts.wheel.path.name
    assert findings[-1].message == (
        "the tag promises manylinux_2_17_x86_64, auditwheel allows linux_x86_64: it needs libgomp.so.1 "
        "(see LINK-MISSING); it asks for GLIBC_2.34 (see LINK-VERSION)"
    )


def test_what_only_this_machines_libraries_ask_for_is_no_reason():
    # As of a wheel that lacks libgomp: the symbols of this machine's libgomp are in the account.
    told = account(
        "linux_x86_64",
        "manylinux_2_34_x86_64",
        policy_upgrades=NEEDS,
        versioned_symbols={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"]},
    )
    facts = foreign("manylinux_2_17_x86_64", needed=("libgomp.so.1", "libc.so.6"))._replace(policy=told)
    assert messages(facts)["LINK-POLICY"].endswith("linux_x86_64: it needs libgomp.so.1 (see LINK-MISSING)")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"policy_upgrades": NEEDS}, "it needs libgomp.so.1"),
        ({"external_libs": {"libtoy.so": None}}, "it needs libtoy.so"),
        ({"sym": "manylinux_2_28_x86_64"}, "its symbol versions are those of manylinux_2_28_x86_64"),
        ({"unsupported_isa": True}, "its ELF note asks for a newer CPU than any such tag does"),
        ({"ucs2": True}, "it uses what only some Pythons of long ago offer"),
        ({"pyfpe": True}, "it uses what only some Pythons of long ago offer"),
    ],
)
def test_the_reason_is_told_as_far_as_the_account_tells(more, reason):
    (finding,) = check(foreign("manylinux_2_17_x86_64")._replace(policy=account("linux_x86_64", **more)))
    assert finding.message.endswith(f": {reason}")


def test_a_tag_that_auditwheel_is_too_old_to_know_is_no_violation():
    facts = foreign("manylinux_2_44_x86_64", versions={"libc.so.6": ("GLIBC_2.43",)})
    told = account("linux_x86_64", versioned_symbols={"libc.so.6": ["GLIBC_2.43"]})
    assert codes(facts._replace(policy=told)) == []


@pytest.mark.parametrize("policy", [{}, {"overall_tag": 3}, {"overall_tag": None}, {"policy_upgrades": ["x"]}])
def test_an_account_of_another_shape_is_not_judged(policy):
    assert codes(foreign("manylinux_2_17_x86_64")._replace(policy=policy)) == []


# Symbols


@pytest.mark.parametrize(
    ("platform", "name", "since"),
    [
        ("manylinux_2_34_x86_64", "__isoc23_strtol", "glibc 2.38"),
        ("manylinux_2_34_x86_64", "__cxa_call_terminate", "CXXABI_1.3.15"),
        ("manylinux_2_34_x86_64", "_ZSt21ios_base_library_initv", "GLIBCXX_3.4.32"),
        ("manylinux_2_28_x86_64", "_dl_find_object", "glibc 2.35"),
        ("manylinux2014_x86_64", "getrandom", "glibc 2.25"),
        ("manylinux_2_38_x86_64.manylinux_2_34_x86_64", "__isoc23_strtol", "glibc 2.38"),
    ],
)
def test_a_symbol_that_is_newer_than_the_tag(platform, name, since):
    (finding,) = check(using(platform, name))
    assert (finding.code, finding.where) == ("LINK-UNDEFINED", LIBRARY)
    assert f"{name} (since {since})" in finding.message


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("manylinux_2_38_x86_64", "__isoc23_strtol"),
        ("manylinux_2_39_x86_64", "__cxa_call_terminate"),
        ("manylinux_2_17_x86_64", "pthread_create"),
        ("manylinux_2_17_x86_64", "dlopen"),
        # A tag that promises no C library is for machines like the one that built it.
        ("linux_x86_64", "__isoc23_strtol"),
        ("any", "__isoc23_strtol"),
        ("manylinux_2_17_x86_64", "PyObject_GetAttr"),
        ("manylinux_2_17_x86_64", "_Py_Dealloc"),
        ("manylinux_2_17_x86_64", "__cxa_guard_acquire"),
        ("manylinux_2_17_x86_64", "__gxx_personality_v0"),
        ("manylinux_2_17_x86_64", "_ZNSs4swapERSs"),
        ("manylinux_2_17_x86_64", "_ZNSt6localeC1Ev"),
        ("manylinux_2_17_x86_64", "_ZTVN10__cxxabiv117__class_type_infoE"),
        ("manylinux_2_17_x86_64", "_ZTISt9exception"),
        ("manylinux_2_17_x86_64", "_Znwm"),
        ("manylinux_2_17_x86_64", "_ZTIi"),
        ("manylinux_2_17_x86_64", "_Unwind_Resume"),
    ],
)
def test_a_symbol_that_every_promised_machine_has(platform, name):
    assert codes(using(platform, name)) == []


@pytest.mark.parametrize(
    "symbol",
    [
        Undefined("__isoc23_strtol", weak=True),
        Undefined("fancy_new_call", weak=True),
        # Another check compares versions.
        Undefined("__isoc23_strtol", version="GLIBC_2.38"),
        Undefined("GOMP_parallel", version="GOMP_4.0"),
    ],
)
def test_a_symbol_that_may_be_missing_or_has_a_version(symbol):
    assert codes(foreign("manylinux_2_17_x86_64", undefined=(symbol,))) == []


@pytest.mark.parametrize(
    ("needed", "name"),
    [
        (("libc.so.6",), "toy_dot"),
        (("libstdc++.so.6", "libc.so.6"), "_ZN3toy3dotEv"),
        (("libstdc++.so.6", "libc.so.6"), "_ZN3toy3addESt6vectorIiSaIiEE"),
        (("libstdc++.so.6", "libc.so.6"), "_ZTIN3toy5ErrorE"),
        # LLVM's C++ library has its own namespace in std.
        (("libstdc++.so.6", "libc.so.6"), "_ZNSt3__16thread4joinEv"),
        (("libc.so.6",), "_ZNSt6localeC1Ev"),
        (("libc.so.6",), "__cxa_guard_acquire"),
        (("libc.so.6",), "_Unwind_Resume"),
        (("libm.so.6", "libc.so.6"), "_ZGVbN2v_sin"),
        ((), "deflate"),
    ],
)
def test_a_symbol_that_nobody_defines(needed, name):
    (finding,) = check(using("manylinux_2_28_x86_64", name, needed=needed))
    assert finding.code == "LINK-UNDEFINED"
    assert f"{name} (which nobody defines)" in finding.message
    (finding,) = check(using("linux_x86_64", name, needed=needed))
    assert finding.message.endswith(f"uses {name} (which nobody defines) without a version: it cannot be loaded")


def test_what_other_libraries_of_the_wheel_define_is_defined():
    user = make_elf(undefined=(Undefined("toy_dot"), Undefined("__isoc23_strtol")))
    for needed in (("libbase.so", "libc.so.6"), ("libc.so.6",)):
        libraries = {
            LIBRARY: msgspec.structs.replace(user, needed=needed),
            "toy_engine/lib/libbase.so": make_elf(soname="libbase.so", defined=("__isoc23_strtol", "toy_dot")),
        }
        assert codes(foreign("manylinux_2_17_x86_64", libraries)) == []


def test_what_the_libraries_that_are_needed_need_is_loaded_too():
    libraries = {
        LIBRARY: make_elf(needed=("libbase.so",), undefined=(Undefined("_ZNSt6localeC1Ev"), Undefined("deflate"))),
        "toy_engine/lib/libbase.so": make_elf(soname="libbase.so", needed=("libmore.so",)),
        "toy_engine/lib/libmore.so": make_elf(
            soname="libmore.so", needed=("libbase.so", "libstdc++.so.6", "libz.so.1")
        ),
    }
    assert codes(foreign("manylinux_2_17_x86_64", libraries)) == []


def test_a_library_of_another_machine_is_not_asked_for_its_symbols():
    facts = foreign("manylinux_2_17_aarch64", machine=ARM, undefined=(Undefined("toy_dot"),))
    assert codes(facts) == []


def test_five_symbols_are_shown_and_the_others_are_counted():
    (finding,) = check(using("manylinux_2_17_x86_64", *(f"toy_{number}" for number in range(7))))
    assert "toy_4 (which nobody defines) and 2 more without a version" in finding.message
    assert "toy_5" not in finding.message


@pytest.mark.parametrize(
    ("path", "relro", "effect"),
    [
        # Python binds every symbol when it loads a library, whatever the library asks for.
        (LIBRARY, "full", "it cannot be loaded"),
        (LIBRARY, "partial", "it cannot be loaded"),
        ("toy_engine/_toy.cpython-311-x86_64-linux-gnu.so", "partial", "it cannot be loaded"),
        (PROGRAM, "full", "it cannot be loaded"),
        (PROGRAM, "partial", "it fails at the first call"),
        (PROGRAM, "none", "it fails at the first call"),
    ],
)
def test_the_message_says_when_it_fails(path, relro, effect):
    libraries = {path: make_elf(relro=relro, undefined=(Undefined("__isoc23_strtol", function=True),))}
    (finding,) = check(foreign("manylinux_2_34_x86_64", libraries))
    assert finding.message.endswith(f"with no more than manylinux_2_34 promises, {effect}")


@pytest.mark.parametrize("name", ["libX11.so.6", "libz.so.1", "libatomic.so.1"])
def test_a_library_without_a_table_may_define_anything(name):
    (finding,) = check(using("manylinux_2_28_x86_64", "fancy_call", needed=(name, "libc.so.6")))
    assert (finding.code, finding.where) == ("LINK-UNTOLD", "toy_engine-1.2.3-1-py3-none-manylinux_2_28_x86_64.whl")
    assert finding.message == f"fancy_call may come from {name}: it is not known what these define"


def test_what_libz_defined_before_it_had_versions_is_known():
    assert codes(using("manylinux_2_17_x86_64", "inflate", "crc32", "zlibVersion", needed=("libz.so.1",))) == []


def test_what_may_come_from_elsewhere_is_told_once_for_the_wheel():
    libraries = {
        LIBRARY: make_elf(needed=("libX11.so.6",), undefined=(Undefined("XFlush"), Undefined("XSync"))),
        SECOND: make_elf(soname="libsecond.so", needed=("libGL.so.1",), undefined=(Undefined("glFlush"),)),
    }
    (finding,) = check(foreign("manylinux_2_28_x86_64", libraries))
    assert finding.message.startswith("3 symbols may come from libGL.so.1, libX11.so.6:")


def test_a_missing_library_may_define_anything_too():
    facts = using("manylinux_2_28_x86_64", "cuInit", needed=("libcuda.so.1", "libc.so.6"))
    assert codes(facts) == ["LINK-MISSING", "LINK-UNTOLD"]


def test_a_newer_symbol_is_newer_whoever_else_is_loaded():
    facts = using("manylinux_2_34_x86_64", "__isoc23_strtol", "XFlush", needed=("libX11.so.6", "libc.so.6"))
    assert codes(facts) == ["LINK-UNDEFINED", "LINK-UNTOLD"]


def test_a_damaged_library_of_the_wheel_may_define_anything():
    facts = using("manylinux_2_28_x86_64", "toy_dot", needed=("libcut.so", "libc.so.6"))
    facts = facts._replace(damaged={"toy_engine/lib/libcut.so": "damaged ELF file"})
    assert codes(facts) == ["LINK-DAMAGED", "LINK-UNTOLD"]


def test_a_required_project_may_have_loaded_its_libraries_for_all():
    facts = using("manylinux_2_28_x86_64", "nk_capabilities")
    assert codes(facts) == ["LINK-UNDEFINED"]
    (finding,) = check(requiring(facts, "numkong>=7.8.6", 'extra-thing; extra == "all"'))
    assert finding.code == "LINK-UNTOLD"
    assert finding.message.startswith("nk_capabilities may come from project numkong:")


def test_a_musl_wheel_is_not_measured_with_glibc():
    facts = using("musllinux_1_2_x86_64", "__isoc23_strtol", "malloc", needed=("libc.musl-x86_64.so.1",))
    assert codes(facts) == []


# The level note


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("", "has no ELF note that says x86-64-v3 is needed"),
        ("x86-64", "has no ELF note that says x86-64-v3 is needed, but one that says x86-64"),
        ("x86-64-v2", "has no ELF note that says x86-64-v3 is needed, but one that says x86-64-v2"),
        ("x86-64-v4", "has no ELF note that says x86-64-v3 is needed, but one that says x86-64-v4"),
    ],
)
def test_the_note_must_say_just_the_level(level, words):
    (finding,) = check(library(isa_level=level))
    assert (finding.code, finding.where, finding.message) == ("LINK-NOTE", LIBRARY, words)


@pytest.mark.parametrize(
    "plan", [make_plan_of(), make_backend_plan(), make_dispatch_plan()], ids=["linked", "one", "many"]
)
def test_every_library_of_our_own_wheel_must_have_the_note(plan):
    sound = make_facts(plan)
    assert codes(sound) == []
    for path, elf in sound.libraries.items():
        bare = {**sound.libraries, path: msgspec.structs.replace(elf, isa_level="")}
        (finding,) = check(sound._replace(libraries=bare))
        assert (finding.code, finding.where) == ("LINK-NOTE", path)


def test_a_backend_has_the_note_of_the_wheel_and_not_of_its_own_features():
    sound = make_facts(make_dispatch_plan())
    best = "toy_engine/lib/libtoy-cpu-best.so"
    (finding,) = check(
        sound._replace(
            libraries={**sound.libraries, best: make_elf(isa_level="x86-64-v4", soname="libtoy-cpu-best.so")}
        )
    )
    assert (finding.code, finding.where) == ("LINK-NOTE", best)
    assert "says x86-64-v2 is needed, but one that says x86-64-v4" in finding.message


def test_the_guards_own_helper_is_loaded_on_every_cpu():
    for name, expected in (("_truewheel_cpuid.so", []), ("x_truewheel_cpuid.so", ["LINK-NOTE"])):
        beside = make_elf(isa_level="", soname=name)
        assert codes(make_facts(libraries={LIBRARY: make_elf(), f"toy_engine/{name}": beside})) == expected


def test_a_backend_that_is_not_in_the_wheel_is_named():
    facts = make_facts(make_dispatch_plan())
    libraries = {path: elf for path, elf in facts.libraries.items() if "good" not in path}
    (finding,) = check(facts._replace(libraries=libraries))
    assert (finding.code, finding.where) == ("LINK-NOTE", "toy_engine/lib/libtoy-cpu-good.so")
    assert finding.message == "is not among the wheel's libraries, so nothing was compared"
    assert "[backends]" in finding.hint


def test_a_recipe_that_names_another_library_is_wrong():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-library": "toy_engine/lib/libtyo.so"}))
    (finding,) = check(make_facts(plan))
    assert (finding.code, finding.where) == ("LINK-NOTE", "toy_engine/lib/libtyo.so")
    assert "checks.isa-library" in finding.hint


def test_no_note_is_asked_of_a_wheel_of_somebody_else():
    assert codes(library(isa_level="")._replace(plan=None)) == []


def test_no_note_is_asked_for_plain_x86_64():
    plan = make_plan_of(profile=make_profile(label="plain", level="x86-64"), toolchain=make_toolchain())
    assert codes(make_facts(plan, libraries={LIBRARY: make_elf(isa_level="")})) == []


def test_the_note_is_asked_of_every_library_though_the_recipe_names_none():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-library": ""}))
    assert codes(make_facts(plan)) == []
    assert codes(make_facts(plan, libraries={LIBRARY: make_elf(isa_level="")})) == ["LINK-NOTE"]
