"""The table of CPU features, the levels, and what is read from the kernel's files."""

import itertools
import re
from importlib import resources

import archspec.cpu
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.cpu import host
from truewheel.cpu.features import (
    engine_flags,
    engine_names,
    engine_options,
    feature_table,
    features_of_macros,
    with_implied,
)
from truewheel.cpu.levels import LEVELS, highest_level, level_features

TABLE = feature_table()
_LEFT_OUT = {"mmx", "sse", "sse2", "xsave"}
"""What plain x86-64 has anyway, and what the AVX features ask of the system already, by their XCR0 bits."""


def test_names_are_unique_and_spelled_like_the_kernels():
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in TABLE)
    assert all(name == feature.name for name, feature in TABLE.items())
    text = resources.files("truewheel.cpu").joinpath("features.toml").read_text()
    assert text.count("[[feature]]") == len(TABLE)


def test_no_two_features_share_a_macro_or_a_place_in_cpuid():
    macros = [feature.macro for feature in TABLE.values() if feature.macro]
    places = [(feature.leaf, feature.subleaf, feature.register, feature.bit) for feature in TABLE.values()]
    assert len(set(macros)) == len(macros)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("feature", TABLE.values(), ids=TABLE)
def test_every_feature_is_sane(feature):
    assert feature.register in {"eax", "ebx", "ecx", "edx"}
    assert 0 <= feature.bit < 32
    assert feature.leaf in {1, 7, 0xD, 0x14, 0x19, 0x80000001, 0x80000007, 0x80000008}
    assert feature.subleaf >= 0
    assert feature.macro == "" or re.fullmatch(r"__[A-Z0-9_]+", feature.macro)
    assert re.fullmatch(r"[A-Z0-9_]*", feature.engine)


@pytest.mark.parametrize("feature", TABLE.values(), ids=TABLE)
def test_registers_that_the_system_must_save_are_asked_for(feature):
    # SDM volume 1, 13.1: bits 1 and 2 are SSE and AVX, 5 to 7 AVX-512, 17 and 18 AMX.
    if feature.name.startswith("avx512"):
        assert feature.state == 0xE6
    elif feature.name.startswith("amx"):
        assert feature.state & 0x60000 == 0x60000
    elif feature.name.startswith(("avx", "fma", "f16c", "vaes", "vpclmulqdq")):
        assert feature.state & 0x6 == 0x6
    else:
        assert feature.state in {0, 0x6}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("avx", (1, 0, "ecx", 28)),
        ("fma", (1, 0, "ecx", 12)),
        ("f16c", (1, 0, "ecx", 29)),
        ("avx2", (7, 0, "ebx", 5)),
        ("bmi2", (7, 0, "ebx", 8)),
        ("avx512f", (7, 0, "ebx", 16)),
        ("avx512_vnni", (7, 0, "ecx", 11)),
        ("avx_vnni", (7, 1, "eax", 4)),
        ("avx512_bf16", (7, 1, "eax", 5)),
        ("amx_tile", (7, 0, "edx", 24)),
        ("amx_int8", (7, 0, "edx", 25)),
    ],
)
def test_known_features_stand_where_the_manual_says(name, place):
    feature = TABLE[name]
    assert (feature.leaf, feature.subleaf, feature.register, feature.bit) == place


@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_feature_of_a_level_is_in_the_table(level):
    wanted = archspec.cpu.TARGETS[level.replace("-", "_")].features
    assert set(wanted) - set(TABLE) <= _LEFT_OUT
    assert level_features(level)


def test_levels_grow():
    for lower, higher in itertools.pairwise(LEVELS):
        assert level_features(lower) < level_features(higher)


def test_what_makes_a_level():
    assert not level_features("x86-64")
    assert {"sse4_2", "popcnt", "ssse3", "cx16"} <= level_features("x86-64-v2")
    assert {"avx", "avx2", "bmi2", "f16c", "fma"} <= level_features("x86-64-v3") - level_features("x86-64-v2")
    assert {"avx512f", "avx512bw", "avx512vl"} <= level_features("x86-64-v4") - level_features("x86-64-v3")


@pytest.mark.parametrize("level", ["x86_64_v3", "native", "", "x86-64-v5"])
def test_other_levels_are_refused(level):
    with pytest.raises(KeyError):
        level_features(level)


@pytest.mark.parametrize("level", LEVELS)
def test_highest_level_of_just_a_levels_features(level):
    assert highest_level(level_features(level)) == level


@pytest.mark.parametrize("level", LEVELS[1:])
def test_one_missing_feature_takes_the_level_away(level):
    own = level_features(level) - level_features(LEVELS[LEVELS.index(level) - 1])
    for name in own:
        assert LEVELS.index(highest_level(level_features("x86-64-v4") - {name})) < LEVELS.index(level)


@given(st.sets(st.sampled_from(sorted(TABLE)) | st.text(max_size=5)))
def test_the_highest_level_is_covered_and_the_next_is_not(features):
    level = highest_level(features)
    assert level_features(level) <= features
    higher = LEVELS[LEVELS.index(level) + 1 :]
    assert not higher or not level_features(higher[0]) <= features


def test_features_of_macros():
    assert features_of_macros(["__AVX2__", "__FMA__", "__linux__", "__GNUC__"]) == {"avx2", "fma"}
    assert features_of_macros([]) == frozenset()
    assert features_of_macros(feature.macro for feature in TABLE.values()) == frozenset(TABLE)


def test_engine_names():
    assert engine_names(["avx2", "fma"]) == {"AVX2", "FMA"}
    assert engine_names(["popcnt", "unheard_of"]) == frozenset()
    assert "" not in engine_names(TABLE)
    assert {"AVX", "AVX2", "AVX512", "F16C", "BMI2"} <= engine_names(TABLE)


# What an engine's CMake and a compiler make of features


@pytest.mark.parametrize("feature", TABLE.values(), ids=TABLE)
def test_options_flags_and_what_comes_along_are_sane(feature):
    assert re.fullmatch(r"(GGML_[A-Z0-9_]+)?", feature.option)
    assert bool(feature.option) == bool(feature.flags)
    assert all(re.fullmatch(r"-m[a-z0-9.-]+", flag) for flag in feature.flags)
    assert set(feature.implies) <= TABLE.keys() - {feature.name}


def test_no_two_features_share_an_option_or_a_flag():
    options = [feature.option for feature in TABLE.values() if feature.option]
    flags = [flag for feature in TABLE.values() for flag in feature.flags]
    assert len(set(options)) == len(options) == 14
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("feature", [feature for feature in TABLE.values() if feature.flags], ids=lambda it: it.name)
def test_an_options_own_flag_is_among_its_flags(feature):
    plain = feature.name.replace("sse4_2", "sse4.2").replace("amx_", "amx-").replace("_", "")
    assert f"-m{plain}" in feature.flags


def test_what_comes_along_is_no_circle_and_of_no_higher_registers():
    for name, feature in TABLE.items():
        assert name not in with_implied(feature.implies)
        for other in with_implied(feature.implies):
            assert TABLE[other].state & feature.state == TABLE[other].state


@pytest.mark.parametrize(
    ("features", "whole"),
    [
        ([], set()),
        (["popcnt"], {"popcnt"}),
        (["sse4_2"], {"sse4_2", "sse4_1", "ssse3", "sse3", "popcnt"}),
        (["avx"], {"avx", "sse4_2", "sse4_1", "ssse3", "sse3", "popcnt"}),
        (["f16c", "bmi2"], {"f16c", "bmi2", "avx", "sse4_2", "sse4_1", "ssse3", "sse3", "popcnt"}),
        (["amx_int8"], {"amx_int8", "amx_tile"}),
    ],
)
def test_what_a_compiler_uses_along(features, whole):
    assert with_implied(features) == whole


@pytest.mark.parametrize("name", [name for name in TABLE if name.startswith("avx512") and TABLE[name].option])
def test_every_avx_512_option_needs_the_options_before_it(name):
    assert {"avx512f", "avx2", "avx", "fma", "f16c", "sse4_2"} <= with_implied([name])


@given(st.sets(st.sampled_from(sorted(TABLE))), st.sets(st.sampled_from(sorted(TABLE))))
def test_what_comes_along_is_closed_and_grows(some, others):
    whole = with_implied(some)
    assert some <= whole
    assert with_implied(whole) == whole
    assert with_implied(some | others) == whole | with_implied(others)


def test_a_feature_that_nobody_knows_is_a_key_error():
    with pytest.raises(KeyError, match="avx9000"):
        with_implied(["avx2", "avx9000"])


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_holds_what_comes_along_with_its_features(level):
    assert with_implied(level_features(level)) == level_features(level)


def test_every_option_is_named_and_on_only_with_its_feature():
    assert set(engine_options(TABLE).values()) == {True}
    assert set(engine_options([]).values()) == {False}
    assert {option for option, on in engine_options(["avx", "avx512f", "popcnt"]).items() if on} == {
        "GGML_AVX",
        "GGML_AVX512",
    }


def test_the_flags_of_features_are_in_order():
    assert engine_flags([]) == engine_flags(["popcnt", "unheard_of"]) == ()
    assert engine_flags(["fma", "avx2", "sse4_2"]) == ("-mavx2", "-mfma", "-msse4.2")
    assert engine_flags(["avx512f"]) == ("-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512f", "-mavx512vl")


CPUINFO = """\
processor\t: 0
model name\t: Imagined CPU 3000
physical id\t: 0
core id\t\t: 0

processor\t: 1
model name\t: Imagined CPU 3000
physical id\t: 0
core id\t\t: 0

processor\t: 2
physical id\t: 0
core id\t\t: 1

processor\t: 3
physical id\t: 1
core id\t\t: 1
"""


def test_cpuinfo_is_split_into_blocks():
    blocks = host._cpuinfo_blocks(CPUINFO)
    assert [block["processor"] for block in blocks] == ["0", "1", "2", "3"]
    assert blocks[0]["model name"] == "Imagined CPU 3000"
    assert host._cpuinfo_blocks("") == []


def test_physical_cores_are_pairs_of_socket_and_core():
    assert host.count_physical_cores(host._cpuinfo_blocks(CPUINFO)) == 3


def test_physical_cores_without_sockets():
    assert host.count_physical_cores([{"core id": "0"}, {"core id": "1"}, {"core id": "1"}]) == 2


def test_physical_cores_that_the_kernel_does_not_name():
    assert host.count_physical_cores([]) == 0
    assert host.count_physical_cores([{"processor": "0"}]) == 0


@pytest.fixture
def files(monkeypatch):
    """Let the host be read from a table of files."""
    table = {}
    monkeypatch.setattr(host, "_read", lambda path: table.get(str(path), ""))
    monkeypatch.setattr(host.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(host.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 21}[name])
    return table


@pytest.mark.parametrize(("limit", "expected"), [("", 8 << 30), ("max", 8 << 30), (str(1 << 30), 1 << 30)])
def test_memory_respects_the_control_group(files, limit, expected):
    files["/sys/fs/cgroup/memory.max"] = limit
    assert host._memory_bytes() == expected


def test_available_memory(files):
    files["/proc/meminfo"] = "MemTotal: 8000 kB\nMemAvailable:  2000 kB\nHugePages_Total: 0\n"
    assert host.available_memory() == 2000 * 1024
    assert host.available_memory({}) == 0


def test_detecting_the_host_gives_a_whole_account():
    found = host.detect_host()
    assert found.system
    assert found.machine
    assert found.libc
    assert list(found.features) == sorted(set(found.features) & set(TABLE))
    assert found.usable_cores >= 1
    assert 1 <= found.physical_cores <= found.logical_cores
    assert found.memory_bytes > 0
    if found.machine == "x86_64":
        assert found.level == highest_level(found.features)


@pytest.mark.parametrize(
    ("said", "files", "libc"),
    [
        (("glibc", "2.36"), [], "glibc 2.36"),
        (("glibc", "2.36"), ["ld-musl-x86_64.so.1"], "glibc 2.36"),
        (("musl", "1.2.5"), [], "musl 1.2.5"),
        (("", ""), ["ld-musl-x86_64.so.1"], "musl"),
        (("", ""), ["ld-linux.so.2"], "unknown"),
    ],
)
def test_the_c_library_is_named_as_far_as_it_is_known(monkeypatch, tmp_path, said, files, libc):
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(host, "_LOADERS", tmp_path)
    monkeypatch.setattr(host.platform, "libc_ver", lambda: said)
    assert host.detect_host().libc == libc


def test_another_architecture_has_no_level_and_no_features(monkeypatch):
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    found = host.detect_host()
    assert (found.level, found.features, found.vendor) == ("aarch64", (), "unknown")
