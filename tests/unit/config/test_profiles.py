"""The profiles and the recipe that come with the program: what each asks for, whatever machine it is built on."""

import itertools
import re

import msgspec
import pytest
from factories import GLIBC, make_facts, make_host, make_shipped_plan, make_toolchain, make_zig
from packaging.utils import parse_wheel_filename

from truewheel.checks import flags, isa, linkage
from truewheel.config.load import available, load_profile, load_recipe
from truewheel.config.locations import data_root
from truewheel.cpu.features import feature_table, with_implied
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.cpu.models import cpu_models, oldest_with
from truewheel.errors import PlanError

TABLE = feature_table()
ENGINE = "llama-cpp-python"
BACKENDS = load_recipe(ENGINE).recipe.backends
ISA_OPTIONS = {
    *("GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_BMI2", "GGML_AVX_VNNI", "GGML_FMA", "GGML_F16C"),
    *("GGML_AVX512", "GGML_AVX512_VBMI", "GGML_AVX512_VNNI", "GGML_AVX512_BF16"),
    *("GGML_AMX_TILE", "GGML_AMX_INT8", "GGML_AMX_BF16"),
}
"""All that upstream's CMake has for x86, besides GGML_NATIVE."""
UPSTREAM = {
    "x64": "",
    "sse42": "SSE42",
    "sandybridge": "SSE42 AVX",
    "ivybridge": "SSE42 AVX F16C",
    "piledriver": "SSE42 AVX F16C FMA",
    "haswell": "SSE42 AVX F16C FMA AVX2 BMI2",
    "skylakex": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512",
    "cannonlake": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI",
    "cascadelake": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VNNI",
    "icelake": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI",
    "cooperlake": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VNNI AVX512_BF16",
    "zen4": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16",
    "alderlake": "SSE42 AVX F16C FMA AVX2 BMI2 AVX_VNNI",
    "sapphirerapids": "SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_TILE AMX_INT8",
}
"""The variants of upstream's CPU backend and their options (ggml/src/CMakeLists.txt)."""
SCORES = {
    "FMA": 1,
    "F16C": 2,
    "SSE42": 4,
    "BMI2": 8,
    "AVX": 16,
    "AVX2": 32,
    "AVX_VNNI": 64,
    "AVX512": 128,
    "AVX512_VBMI": 256,
    "AVX512_BF16": 512,
    "AVX512_VNNI": 1024,
    "AMX_INT8": 2048,
}
"""What each option adds to the score by which upstream chooses (ggml-cpu/arch/x86/cpu-feats.cpp)."""
_V3_FLAGS = ("-mavx", "-mavx2", "-mbmi2", "-mf16c", "-mfma", "-msse4.2")
_V4_FLAGS = ("-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512f", "-mavx512vl")
_V3_OPTIONS = "SSE42 AVX AVX2 BMI2 FMA F16C"
EXPECTED = {
    "x86_64_v2": ("x86-64-v2", (), "SSE42", ("-msse4.2",)),
    "x86_64_v3": ("x86-64-v3", (), _V3_OPTIONS, _V3_FLAGS),
    "x86_64_v3_vnni": ("x86-64-v3", ("avx_vnni",), f"{_V3_OPTIONS} AVX_VNNI", (*_V3_FLAGS, "-mavxvnni")),
    "x86_64_v4": ("x86-64-v4", (), f"{_V3_OPTIONS} AVX512", (*_V3_FLAGS, *_V4_FLAGS)),
    "x86_64_v4_vnni": (
        "x86-64-v4",
        ("avx512_vnni", "avx512vbmi"),
        f"{_V3_OPTIONS} AVX512 AVX512_VNNI AVX512_VBMI",
        (*_V3_FLAGS, *_V4_FLAGS, "-mavx512vnni", "-mavx512vbmi"),
    ),
}
"""Of each portable profile with one backend: its level, features beyond that, ggml's options and the flags."""
PORTABLE = sorted({*EXPECTED, "dispatch"})
PLANS = {name: make_shipped_plan(name) for name in PORTABLE}
HOSTS = {
    level: make_host(level=level, features=tuple(sorted(level_features(level))), model=f"Imagined {level}")
    for level in LEVELS
}


def options_of(names):
    return {f"GGML_{name}" for name in names.split()}


def test_every_shipped_profile_is_looked_at_here():
    assert set(available("profiles")) == {*PORTABLE, "native"}


# Portable profiles


@pytest.mark.parametrize("name", PORTABLE)
@pytest.mark.parametrize("level", HOSTS)
def test_a_portable_plan_is_the_same_on_every_machine(name, level):
    plan = make_shipped_plan(name, host=HOSTS[level])
    assert plan == PLANS[name]
    assert plan.digest == PLANS[name].digest


def test_each_profile_has_a_plan_of_its_own():
    assert len({plan.digest for plan in PLANS.values()}) == len(PLANS)
    assert len({plan.build_tag for plan in PLANS.values()}) == len(PLANS)


@pytest.mark.parametrize("name", PORTABLE)
def test_a_portable_wheel_runs_with_an_old_glibc_and_says_so(name):
    plan = PLANS[name]
    assert load_profile(name).glibc == GLIBC
    assert plan.wheel.platform == "manylinux2014_x86_64.manylinux_2_17_x86_64"
    assert (plan.compiler.kind, plan.compiler.target, plan.code.family) == (
        "zig",
        "x86_64-linux-gnu.2.17",
        "",
    )


@pytest.mark.parametrize("name", PORTABLE)
def test_a_portable_profile_asks_for_nothing_of_this_machine(name):
    plan = PLANS[name]
    assert load_profile(name).toolchain == ("zig",)
    assert (plan.code.native, plan.builder.cmake.defines["GGML_NATIVE"]) == (False, "OFF")
    assert (plan.builder.cmake.defines["GGML_OPENMP"], plan.builder.cmake.defines["GGML_LTO"]) == ("OFF", "OFF")
    assert not [flag for backend in plan.code.backends for flag in backend.flags if "native" in flag]


@pytest.mark.parametrize("name", PORTABLE)
def test_every_isa_option_of_the_engine_is_given_either_way(name):
    assert {PLANS[name].builder.cmake.defines[option] for option in ISA_OPTIONS} <= {"ON", "OFF"}
    assert {feature.option for feature in TABLE.values() if feature.option} == ISA_OPTIONS


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items(), ids=EXPECTED)
def test_a_profile_of_a_level_has_its_features_options_and_flags(name, expected):
    level, beyond, options, wanted = expected
    plan = PLANS[name]
    assert (plan.code.level, set(plan.code.features)) == (level, {*level_features(level), *beyond})
    assert {option for option in ISA_OPTIONS if plan.builder.cmake.defines[option] == "ON"} == options_of(options)
    (backend,) = plan.code.backends
    assert (backend.name, backend.library, backend.target) == (name, "llama_cpp/lib/libggml-cpu.so", "ggml-cpu")
    assert backend.features == plan.code.features
    assert backend.flags == tuple(sorted(wanted))
    assert plan.builder.cmake.defines["GGML_CPU_ALL_VARIANTS"] == "OFF"
    assert plan.build_tag.startswith(f"1_{name}_")
    assert plan.expect.max_wheel_mib == 4


def test_the_profile_for_old_cpus_has_everything_of_avx_turned_off():
    defines = PLANS["x86_64_v2"].builder.cmake.defines
    assert {defines[option] for option in ISA_OPTIONS - {"GGML_SSE42"}} == {"OFF"}
    assert not [
        name for name in PLANS["x86_64_v2"].code.features if name.startswith(("avx", "fma", "f16c", "amx", "bmi"))
    ]


@pytest.mark.parametrize("name", PORTABLE)
def test_what_a_wheel_demands_is_closed_under_what_compilers_use_along(name):
    features = set(PLANS[name].code.features)
    assert with_implied(features) == features


def test_the_wheel_that_chooses_has_every_backend_of_the_recipe():
    plan = PLANS["dispatch"]
    assert (plan.code.level, set(plan.code.features)) == ("x86-64-v2", level_features("x86-64-v2"))
    assert {plan.builder.cmake.defines[option] for option in ISA_OPTIONS} == {"OFF"}
    assert [backend.name for backend in plan.code.backends] == [variant.name for variant in BACKENDS.variant]
    for backend in plan.code.backends:
        assert backend.library == f"llama_cpp/lib/libggml-cpu-{backend.name}.so"
        assert backend.target == f"ggml-cpu-{backend.name}"
    assert plan.builder.cmake.defines["GGML_CPU_ALL_VARIANTS"] == "ON"
    assert plan.builder.cmake.defines["GGML_CPU_VARIANTS"] == ";".join(backend.name for backend in plan.code.backends)
    assert plan.expect.max_wheel_mib == 10
    assert plan.build_tag.startswith("2_dispatch_")


def test_pip_takes_the_wheel_that_chooses_of_all_with_these_tags():
    builds = {}
    for name, plan in PLANS.items():
        filename = f"llama_cpp_python-0.3.36-{plan.build_tag}-py3-none-{plan.wheel.platform}.whl"
        builds[name] = parse_wheel_filename(filename)[2]
    assert max(builds, key=builds.__getitem__) == "dispatch"


def test_all_portable_wheels_share_everything_but_their_kernels():
    # What is not compiled for a CPU must be compiled the same way, so that it is compiled once.
    own = {*ISA_OPTIONS, "GGML_CPU_ALL_VARIANTS", "GGML_CPU_VARIANTS"}
    shared = {
        (
            tuple((key, value) for key, value in plan.builder.cmake.defines.items() if key not in own),
            plan.builder.cmake.c_flags,
            plan.builder.cmake.link_flags,
            plan.code.kernels.loader,
            plan.compiler,
        )
        for plan in PLANS.values()
    }
    assert len(shared) == 1


@pytest.mark.parametrize("name", PORTABLE)
def test_a_build_that_does_what_the_profile_asks_is_what_the_checks_want(name):
    facts = make_facts(PLANS[name])
    found = {finding.code for check in (flags, isa, linkage) for finding in check.check(facts)}
    assert found == ({"ISA-ALLOWED"} if name == "dispatch" else set())


@pytest.mark.parametrize("name", PORTABLE)
def test_no_portable_profile_is_built_by_a_compiler_without_its_glibc(name):
    for toolchain in (make_toolchain(), make_zig(target="x86_64-linux-gnu.2.28")):
        with pytest.raises(PlanError, match=f"profile {name}: .* cannot build for glibc 2.17") as caught:
            make_shipped_plan(name, toolchain=toolchain)
        assert caught.value.hint


@pytest.mark.parametrize("name", EXPECTED)
def test_the_cpus_that_a_profile_names_are_the_oldest_that_run_it(name):
    first = (data_root() / "profiles" / f"{name}.toml").read_text().splitlines()[0]
    named = re.findall(r"([A-Z][A-Za-z0-9 -]*) \((\d{4})\)", first)
    assert named
    oldest = {(model.name, str(model.year)) for model in oldest_with(PLANS[name].code.features)}
    assert {(text.removeprefix("Intel ").removeprefix("AMD "), year) for text, year in named} <= oldest


def test_every_known_cpu_from_the_floor_up_runs_some_portable_wheel_and_each_profile_has_one():
    runs = {
        name: {model.name for model in cpu_models() if set(plan.code.features) <= model.features}
        for name, plan in PLANS.items()
    }
    assert all(runs.values())
    floor = {model.name for model in cpu_models() if level_features("x86-64-v2") <= model.features}
    assert runs["dispatch"] == runs["x86_64_v2"] == floor


# The native profile


def test_the_native_plan_is_for_this_machine_alone():
    plan = make_shipped_plan("native")
    (backend,) = plan.code.backends
    assert (plan.wheel.platform, plan.code.native, plan.builder.cmake.defines["GGML_NATIVE"]) == (
        "linux_x86_64",
        True,
        "ON",
    )
    assert (backend.name, backend.flags, backend.library) == (
        "native",
        ("-march=native",),
        "llama_cpp/lib/libggml-cpu.so",
    )
    assert backend.features == plan.code.features == make_toolchain().native_features
    assert plan.builder.cmake.defines["GGML_CPU_ALL_VARIANTS"] == "OFF"
    other = make_toolchain(native_features=("avx", "sse4_2"))
    assert make_shipped_plan("native", toolchain=other).digest != plan.digest


# The recipe's backends


def test_the_backends_are_in_the_order_of_upstreams_scores():
    scores = [sum(SCORES.get(name, 0) for name in UPSTREAM[variant.name].split()) for variant in BACKENDS.variant]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


@pytest.mark.parametrize("variant", BACKENDS.variant, ids=lambda variant: variant.name)
def test_a_backend_is_compiled_for_what_upstream_compiles_it_for(variant):
    features = with_implied(variant.features)
    assert {TABLE[name].option for name in features} - {""} == options_of(UPSTREAM[variant.name])


def test_the_backends_that_are_left_out_are_those_that_the_recipe_says():
    assert UPSTREAM.keys() - {variant.name for variant in BACKENDS.variant} == {"x64", "cannonlake", "cooperlake"}


@pytest.mark.parametrize("backend", PLANS["dispatch"].code.backends, ids=lambda backend: backend.name)
def test_a_backends_features_are_closed_and_cover_its_flags(backend):
    assert with_implied(backend.features) == set(backend.features)
    by_flag = {f"-m{name.replace('_', '')}": name for name in TABLE} | {"-msse4.2": "sse4_2"}
    by_flag |= {f"-m{name.replace('_', '-')}": name for name in TABLE if name.startswith("amx")}
    assert {by_flag[flag] for flag in backend.flags} <= set(backend.features)
    assert list(backend.features) == sorted(backend.features)


def test_a_better_backend_is_never_one_that_a_lesser_one_holds():
    # Were one held by a later one, the later one would be better for every CPU that runs it, and never be taken.
    for better, lesser in itertools.combinations(PLANS["dispatch"].code.backends, 2):
        assert not set(better.features) <= set(lesser.features)


def test_every_cpu_at_the_floor_runs_the_last_backend():
    plan = PLANS["dispatch"]
    assert set(plan.code.backends[-1].features) <= set(plan.code.features)


def test_every_feature_of_every_backend_is_asked_for_by_the_engines_own_option_or_comes_along():
    for variant in BACKENDS.variant:
        bare = [name for name in variant.features if not TABLE[name].option]
        # One option stands for five features.
        assert set(bare) <= {"avx512cd", "avx512vl", "avx512dq", "avx512bw"}
        assert not bare or "avx512f" in with_implied(variant.features)


@pytest.mark.parametrize("name", available("profiles"))
def test_a_profile_survives_a_round_trip_through_its_own_schema(name):
    profile = load_profile(name)
    assert msgspec.json.decode(msgspec.json.encode(profile), type=type(profile)) == profile
