"""The pure function from recipe, profile, compiler and machine to a plan."""

import hashlib
import re

import msgspec
import pytest
from factories import (
    make_host,
    make_plan_of,
    make_profile,
    make_recipe,
    make_source,
    make_toolchain,
    recipe_table,
)
from hypothesis import given
from hypothesis import strategies as st

from truewheel.config.tables import Recipe
from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.errors import PlanError
from truewheel.plan import _GGML_ISA, Plan, check_platform, cmake_value, planned_source

V2 = make_profile(label="v2", level="x86-64-v2")
V3 = make_profile(label="v3", level="x86-64-v3")


def test_the_same_inputs_give_the_same_plan():
    assert make_plan_of() == make_plan_of()
    assert re.fullmatch(r"[0-9a-f]{64}", make_plan_of().digest)


def test_the_digest_is_that_of_the_canonical_text():
    plan = msgspec.structs.replace(make_plan_of(), build_tag="")
    text = msgspec.json.encode(plan, order="deterministic")
    assert make_plan_of().digest == hashlib.sha256(text).hexdigest()


def test_the_digest_survives_being_stored():
    plan = make_plan_of()
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert plan.to_dict()["digest"] == plan.digest
    assert msgspec.convert({**plan.to_dict()}, Plan).digest == plan.digest


def test_the_order_of_keys_does_not_matter():
    table = recipe_table(build={"define": {"B": 1, "A": 2}, "commit": {"y": "2", "x": "1"}})
    turned = recipe_table(build={"define": {"A": 2, "B": 1}, "commit": {"x": "1", "y": "2"}})
    first = make_plan_of(
        recipe=msgspec.convert(table, Recipe),
        tools={"b": "1", "a": "2"},
        source=make_source(commit={"y": "2", "x": "1"}),
    )
    second = make_plan_of(
        recipe=msgspec.convert(turned, Recipe),
        tools={"a": "2", "b": "1"},
        source=make_source(commit={"x": "1", "y": "2"}),
    )
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2.0"},
        {"builder": "c" * 64},
        {"tools": {"cmake": "4.0.1", "ninja": "1.12.0"}},
        {"tools": {"cmake": "4.0.0", "ninja": "1.12.0", "scikit-build-core": "0.11"}},
        {"source": make_source(sha256="d" * 64)},
        {"source": make_source(version="1.2.4")},
        {"source": make_source(name="other")},
        {"source": make_source(kind="path")},
        {"source": make_source(patches=("a.patch sha256:" + "e" * 64,))},
        {"source": make_source(exclude=("docs/*",))},
        {"source": make_source(commit={"llama.cpp": "f" * 40})},
        {"toolchain": make_toolchain(kind="clang")},
        {"toolchain": make_toolchain(version="13.2.1")},
        {"toolchain": make_toolchain(target="x86_64-linux-gnu.2.17")},
        {"toolchain": make_toolchain(native_cpu="znver4")},
        {"toolchain": make_toolchain(native_features=("avx", "avx2"))},
        {"toolchain": make_toolchain(isa_note=False)},
        {"host": make_host(level="x86-64-v4")},
        {"profile": make_profile(label="other")},
        {"profile": make_profile(level="x86-64-v3")},
        {"profile": make_profile(openmp=True)},
        {"profile": make_profile(lto=True)},
        {"profile": make_profile(define={"TOY": True})},
        {"profile": make_profile(flags=("-O2",))},
        {"recipe": make_recipe(engine={"import-name": "toy"})},
        {"recipe": make_recipe(engine={"driver": "other"})},
        {"recipe": make_recipe(build={"define": {"TOY_EXTRAS": True}})},
        {"recipe": make_recipe(build={"isa": "none"})},
        {"recipe": make_recipe(build={"wheel-exclude": ["bin/*"]})},
        {"recipe": make_recipe(package={"license-files": ["LICENSE"]})},
        {"recipe": make_recipe(checks={"max-wheel-mib": 2})},
        {"recipe": make_recipe(checks={"isa-units": []})},
        {"recipe": make_recipe(checks={"isa-library": ""})},
        {"recipe": make_recipe(checks={"in-process": False})},
    ],
    ids=str,
)
def test_each_input_changes_the_digest(changes):
    plan = make_plan_of(**changes)
    assert plan.digest != make_plan_of().digest
    assert plan.build_tag != make_plan_of().build_tag


@pytest.mark.parametrize(
    "changes",
    [
        {"toolchain": make_toolchain(cc="/opt/gcc/bin/gcc", cxx="/opt/gcc/bin/g++", ar="/x/ar", ranlib="/x/ranlib")},
        {"toolchain": make_toolchain(unused=("avx512f",))},
        {"toolchain": make_toolchain(native_features=tuple(reversed(make_toolchain().native_features)))},
        {"host": make_host(model="Another CPU", vendor="AuthenticAMD", physical_cores=64, memory_bytes=1)},
        {"host": make_host(libc="glibc 2.40")},
        {"profile": make_profile(toolchain=("gcc",))},
    ],
    ids=str,
)
def test_what_does_not_change_the_wheel_does_not_change_the_digest(changes):
    assert make_plan_of(**changes) == make_plan_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"host": make_host(level="x86-64")},
        {"toolchain": make_toolchain(native_cpu="znver4", native_features=())},
    ],
    ids=str,
)
def test_a_build_for_a_level_does_not_depend_on_the_machine(changes):
    assert make_plan_of(profile=V3, **changes) == make_plan_of(profile=V3)


def test_a_native_build_uses_what_the_compiler_makes_of_this_cpu():
    plan = make_plan_of(toolchain=make_toolchain(native_features=("avx2", "avx", "sse4_2", "fma")))
    assert (plan.level, plan.march, plan.toolchain.native_cpu) == ("x86-64-v3", "native", "haswell")
    assert plan.features == ("avx", "avx2", "fma", "sse4_2")
    assert plan.engine_features == ("AVX", "AVX2", "FMA")
    assert plan.defines["GGML_NATIVE"] == "ON"


def test_a_build_for_a_level_uses_the_levels_features():
    plan = make_plan_of(profile=V2)
    assert (plan.level, plan.march, plan.toolchain.native_cpu) == ("x86-64-v2", "", "")
    assert set(plan.features) == level_features("x86-64-v2")
    assert plan.defines["GGML_NATIVE"] == "OFF"


@pytest.mark.parametrize(
    "profile", [make_profile(), *(make_profile(label="x", level=level) for level in LEVELS)], ids=str
)
def test_every_isa_option_is_given_and_says_what_the_features_say(profile):
    plan = make_plan_of(profile=profile)
    for option, feature in _GGML_ISA.items():
        assert plan.defines[option] == ("ON" if feature in plan.features else "OFF")


def test_every_isa_option_stands_for_a_feature_of_the_table():
    assert set(_GGML_ISA.values()) <= set(feature_table())


@pytest.mark.parametrize(
    ("level", "on"),
    [
        ("x86-64", set()),
        ("x86-64-v2", {"SSE42"}),
        ("x86-64-v3", {"SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C"}),
        ("x86-64-v4", {"SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C", "AVX512"}),
    ],
)
def test_the_isa_options_of_a_level(level, on):
    plan = make_plan_of(profile=make_profile(label="x", level=level))
    assert {option for option in _GGML_ISA if plan.defines[option] == "ON"} == {f"GGML_{name}" for name in on}


def test_an_engine_without_isa_options_claims_no_level():
    plan = make_plan_of(recipe=make_recipe(build={"isa": "none"}))
    assert (plan.level, plan.march, plan.features, plan.engine_features) == ("x86-64", "", (), ())
    assert not any(key.startswith("GGML_") for key in plan.defines)
    assert plan.link_flags == ("-s",)


def test_definitions_are_merged_the_profiles_last():
    recipe = make_recipe(build={"define": {"A": 1, "B": True, "GGML_AVX2": False, "CMAKE_INSTALL_RPATH": "/x"}})
    defines = make_plan_of(recipe=recipe, profile=make_profile(define={"A": "x", "GGML_AVX": False})).defines
    assert (defines["A"], defines["B"]) == ("x", "ON")
    assert (defines["GGML_AVX2"], defines["GGML_AVX"]) == ("ON", "OFF")
    assert defines["CMAKE_INSTALL_RPATH"] == "$ORIGIN"
    assert defines["CMAKE_EXPORT_COMPILE_COMMANDS"] == "ON"
    assert list(defines) == sorted(defines)


def test_lto_and_openmp_are_given_either_way():
    plain = make_plan_of().defines
    rich = make_plan_of(profile=make_profile(lto=True, openmp=True)).defines
    assert (plain["GGML_LTO"], plain["GGML_OPENMP"]) == ("OFF", "OFF")
    assert (rich["GGML_LTO"], rich["GGML_OPENMP"]) == ("ON", "ON")


def test_lto_of_another_engine_is_cmakes_own():
    recipe = make_recipe(build={"isa": "none"})
    assert (
        make_plan_of(recipe=recipe, profile=make_profile(lto=True)).defines["CMAKE_INTERPROCEDURAL_OPTIMIZATION"]
        == "ON"
    )
    assert "CMAKE_INTERPROCEDURAL_OPTIMIZATION" not in make_plan_of(recipe=recipe).defines


def test_the_commit_of_llama_cpp_is_told_to_its_build():
    plan = make_plan_of(recipe=make_recipe(build={"commit": {"llama.cpp": "0123456789abcdef", "other": "x"}}))
    assert plan.defines["LLAMA_BUILD_COMMIT"] == "012345678"
    assert "LLAMA_BUILD_COMMIT" not in make_plan_of().defines


@pytest.mark.parametrize(
    ("value", "text"), [(True, "ON"), (False, "OFF"), (0, "0"), (3, "3"), ("x y", "x y"), ("", "")]
)
def test_values_are_spelled_as_cmake_does(value, text):
    assert cmake_value(value) == text


def test_the_linker_is_asked_for_the_note_where_it_can_and_where_it_says_something():
    assert make_plan_of().link_flags == ("-s", "-Wl,-z,x86-64-v3")
    assert make_plan_of(toolchain=make_toolchain(isa_note=False)).link_flags == ("-s",)
    assert make_plan_of(profile=make_profile(label="plain", level="x86-64")).link_flags == ("-s",)


def test_paths_stand_as_placeholders():
    text = msgspec.json.encode(make_plan_of()).decode()
    assert "-ffile-prefix-map={source}=." in make_plan_of().c_flags
    assert "-ffile-prefix-map={build}=." in make_plan_of().c_flags
    assert "/usr" not in text
    assert "/home" not in text


def test_the_profiles_flags_come_last():
    assert make_plan_of(profile=make_profile(flags=("-O2", "-fno-plt"))).c_flags[-2:] == ("-O2", "-fno-plt")


def test_zig_has_no_openmp():
    with pytest.raises(PlanError, match="profile native: zig has no OpenMP run-time") as caught:
        make_plan_of(profile=make_profile(openmp=True), toolchain=make_toolchain(kind="zig"))
    assert caught.value.exit_code == 3
    assert "openmp = false" in caught.value.hint
    assert make_plan_of(toolchain=make_toolchain(kind="zig")).toolchain.kind == "zig"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"system": "Darwin"}, "Darwin"),
        ({"system": "Windows"}, "Windows"),
        ({"machine": "aarch64"}, "aarch64"),
        ({"machine": "i686"}, "i686"),
        ({"libc": "musl 1.2.4"}, "musl 1.2.4"),
        ({"libc": "unknown"}, "unknown"),
    ],
)
def test_other_platforms_are_refused_by_name(changes, named):
    with pytest.raises(PlanError, match=f"{named} is not supported yet") as caught:
        make_plan_of(host=make_host(**changes))
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_this_platform_is_not():
    check_platform(make_host())


@given(
    label=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
    cpu=st.from_regex(r"([a-z0-9_]{1,20})?", fullmatch=True),
    level=st.sampled_from(["native", *LEVELS]),
)
def test_the_build_tag_is_one(label, cpu, level):
    plan = make_plan_of(profile=make_profile(label=label, level=level), toolchain=make_toolchain(native_cpu=cpu))
    assert re.fullmatch(r"[0-9][a-z0-9_]*", plan.build_tag)
    assert plan.build_tag.endswith(plan.digest[:8])


def test_the_build_tag_names_profile_and_cpu():
    assert make_plan_of().build_tag.startswith("1_native_haswell_")
    assert make_plan_of(profile=V3).build_tag.startswith("1_v3_")
    assert re.fullmatch(r"1_native_[0-9a-f]{8}", make_plan_of(toolchain=make_toolchain(native_cpu="")).build_tag)


def test_a_packages_source_is_planned_with_the_hashes_of_its_patches():
    recipe = make_recipe(
        source={"patches": ["a.patch"], "exclude": ["docs/*"]}, build={"commit": {"llama.cpp": "0123456789"}}
    )
    planned = planned_source(recipe, {"a.patch": b"abc"}, "unused")
    assert planned == make_source(
        patches=(f"a.patch sha256:{hashlib.sha256(b'abc').hexdigest()}",),
        exclude=("docs/*",),
        commit={"llama.cpp": "0123456789"},
    )


def test_a_path_source_is_planned_with_the_hash_of_its_tree():
    table = recipe_table()
    table["source"] = {"type": "path", "path": "source", "version": "2.0"}
    planned = planned_source(msgspec.convert(table, Recipe), {}, "9" * 64)
    assert (planned.kind, planned.name, planned.version, planned.sha256) == ("path", "toy-engine", "2.0", "9" * 64)
