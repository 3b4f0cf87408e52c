"""The pure function from recipe, profile, compiler and machine to a plan."""

import hashlib
import re

import msgspec
import pytest
from factories import (
    BACKENDS,
    GLIBC,
    LOADER,
    make_backend_plan,
    make_dispatch_plan,
    make_host,
    make_plan_of,
    make_portable,
    make_profile,
    make_recipe,
    make_source,
    make_toolchain,
    make_zig,
    recipe_table,
)
from hypothesis import given
from hypothesis import strategies as st

from truewheel.checks.run import CODES
from truewheel.config.hardening import hardening
from truewheel.config.tables import Recipe
from truewheel.cpu.features import engine_names, engine_options, feature_table
from truewheel.cpu.levels import LEVELS, level_features
from truewheel.cpu.models import cpu_models
from truewheel.errors import PlanError
from truewheel.machine.probe import MINIMUM_VERSIONS
from truewheel.plan.cmake import cmake_value
from truewheel.plan.make import Changes, planned_source
from truewheel.plan.plan import LinkedKernels, Plan

OPTIONS = {feature.option: name for name, feature in feature_table().items() if feature.option}
VENDORS = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD"}
V2 = make_profile(label="v2", level="x86-64-v2")
V3 = make_profile(label="v3", level="x86-64-v3")


def test_the_same_inputs_give_the_same_plan():
    assert make_plan_of() == make_plan_of()
    assert re.fullmatch(r"[0-9a-f]{64}", make_plan_of().digest)


def test_the_digest_is_that_of_the_canonical_text():
    plan = make_plan_of()
    table = {key: value for key, value in msgspec.to_builtins(plan).items() if key != "expect"}
    text = msgspec.json.encode(table, order="deterministic")
    assert plan.digest == hashlib.sha256(text).hexdigest()
    proven = msgspec.json.encode([plan.digest, plan.expect], order="deterministic")
    assert plan.proof == hashlib.sha256(proven).hexdigest()


def test_a_wheel_carries_what_decides_its_bytes_and_no_more():
    plan = make_plan_of()
    assert plan.to_dict().keys() - plan.to_wheel().keys() == {"expect", "proof"}
    assert plan.to_wheel()["build-tag"] == plan.build_tag


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
        {"host": make_host(level="x86-64")},
        {"host": make_host(vendor="AuthenticAMD"), "toolchain": make_toolchain(native_features=())},
    ],
    ids=str,
)
def test_a_build_for_a_level_does_not_depend_on_the_machine(changes):
    assert make_plan_of(profile=V3, **changes) == make_plan_of(profile=V3)


def test_a_native_build_uses_what_the_compiler_makes_of_this_cpu():
    plan = make_plan_of(toolchain=make_toolchain(native_features=("avx2", "avx", "sse4_2", "fma")))
    assert (plan.code.level, plan.code.native, plan.code.family) == ("x86-64-v3", True, "haswell")
    assert plan.code.features == ("avx", "avx2", "fma", "sse4_2")
    assert plan.builder.cmake.defines["GGML_NATIVE"] == "ON"


def test_a_build_for_a_level_uses_the_levels_features():
    plan = make_plan_of(profile=V2)
    assert (plan.code.level, plan.code.native, plan.code.family) == ("x86-64-v2", False, "")
    assert set(plan.code.features) == level_features("x86-64-v2")
    assert plan.builder.cmake.defines["GGML_NATIVE"] == "OFF"


@pytest.mark.parametrize(
    "profile", [make_profile(), *(make_profile(label="x", level=level) for level in LEVELS)], ids=str
)
def test_every_isa_option_is_given_and_says_what_the_features_say(profile):
    plan = make_plan_of(profile=profile)
    for option, feature in OPTIONS.items():
        assert plan.builder.cmake.defines[option] == ("ON" if feature in plan.code.features else "OFF")


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
    assert {option for option in OPTIONS if plan.builder.cmake.defines[option] == "ON"} == {
        f"GGML_{name}" for name in on
    }


def test_an_engine_without_isa_options_claims_no_level():
    plan = make_plan_of(recipe=make_recipe(build={"isa": "none"}))
    assert (plan.code.level, plan.code.native, plan.code.features) == ("x86-64", False, ())
    assert not any(key.startswith("GGML_") for key in plan.builder.cmake.defines)
    assert plan.builder.cmake.link_flags == ("-s", *hardening().link_flags("gcc"))


def test_definitions_are_merged_the_profiles_last():
    recipe = make_recipe(build={"define": {"A": 1, "B": True, "GGML_AVX2": False, "CMAKE_INSTALL_RPATH": "/x"}})
    defines = make_plan_of(
        recipe=recipe, profile=make_profile(define={"A": "x", "GGML_AVX": False})
    ).builder.cmake.defines
    assert (defines["A"], defines["B"]) == ("x", "ON")
    assert (defines["GGML_AVX2"], defines["GGML_AVX"]) == ("ON", "OFF")
    assert defines["CMAKE_INSTALL_RPATH"] == "$ORIGIN"
    assert defines["CMAKE_EXPORT_COMPILE_COMMANDS"] == "ON"
    assert list(defines) == sorted(defines)


def test_lto_and_openmp_are_given_either_way():
    plain = make_plan_of().builder.cmake.defines
    rich = make_plan_of(profile=make_profile(lto=True, openmp=True)).builder.cmake.defines
    assert (plain["GGML_LTO"], plain["GGML_OPENMP"]) == ("OFF", "OFF")
    assert (rich["GGML_LTO"], rich["GGML_OPENMP"]) == ("ON", "ON")


def test_lto_of_another_engine_is_cmakes_own():
    recipe = make_recipe(build={"isa": "none"})
    assert (
        make_plan_of(recipe=recipe, profile=make_profile(lto=True)).builder.cmake.defines[
            "CMAKE_INTERPROCEDURAL_OPTIMIZATION"
        ]
        == "ON"
    )
    assert "CMAKE_INTERPROCEDURAL_OPTIMIZATION" not in make_plan_of(recipe=recipe).builder.cmake.defines


def test_the_commit_of_llama_cpp_is_told_to_its_build():
    plan = make_plan_of(recipe=make_recipe(build={"commit": {"llama.cpp": "0123456789abcdef", "other": "x"}}))
    assert plan.builder.cmake.defines["LLAMA_BUILD_COMMIT"] == "012345678"
    assert "LLAMA_BUILD_COMMIT" not in make_plan_of().builder.cmake.defines


@pytest.mark.parametrize(
    ("value", "text"), [(True, "ON"), (False, "OFF"), (0, "0"), (3, "3"), ("x y", "x y"), ("", "")]
)
def test_values_are_spelled_as_cmake_does(value, text):
    assert cmake_value(value) == text


@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_library_is_linked_with_the_note_of_the_level_by_an_option_or_by_an_object(level):
    profile = make_profile(label="level", level=level)
    assert make_plan_of(profile=profile).builder.cmake.link_flags[-1] == f"-Wl,-z,{level}"
    by_object = make_plan_of(profile=profile, toolchain=make_toolchain(isa_note="object"))
    assert by_object.builder.cmake.link_flags[-1] == "{note}"


@pytest.mark.parametrize("toolchain", [make_toolchain(), make_zig()], ids=["linker", "object"])
def test_what_runs_everywhere_is_linked_without_a_note(toolchain):
    plan = make_plan_of(profile=make_profile(label="plain", level="x86-64"), toolchain=toolchain)
    assert plan.builder.cmake.link_flags == ("-s", *hardening().link_flags(toolchain.kind))


@pytest.mark.parametrize("toolchain", [make_toolchain(), make_toolchain(kind="clang"), make_zig()])
def test_everything_is_hardened_and_a_profiles_own_flags_come_after(toolchain):
    plan = make_plan_of(profile=make_profile(flags=("-fno-stack-protector",)), toolchain=toolchain)
    flags, links = plan.builder.cmake.c_flags, plan.builder.cmake.link_flags
    assert {"-fstack-protector-strong", "-fcf-protection=full", "-D_FORTIFY_SOURCE=3"} <= set(flags)
    assert flags.index("-U_FORTIFY_SOURCE") < flags.index("-D_FORTIFY_SOURCE=3") < len(flags) - 1
    assert flags[-1] == "-fno-stack-protector"
    assert {"-Wl,-z,relro", "-Wl,-z,now"} <= set(links)
    assert ("-Wl,-z,shstk" in links) is ("HARD-CET" not in hardening().of(toolchain.kind).cannot)


def test_what_is_linked_without_a_run_time_library_asks_for_none():
    # zig refuses a stack protector there.
    assert set(hardening().bare) < set(hardening().compile)
    assert not any("stack-protector" in flag or "FORTIFY" in flag for flag in hardening().bare)


def test_what_a_compiler_cannot_do_is_a_code_of_the_check():
    assert {code for each in hardening().compiler.values() for code in each.cannot} <= set(CODES)
    assert set(hardening().compiler) <= set(MINIMUM_VERSIONS)


def test_paths_stand_as_placeholders():
    text = msgspec.json.encode(make_plan_of()).decode()
    assert "-ffile-prefix-map={source}=." in make_plan_of().builder.cmake.c_flags
    assert "-ffile-prefix-map={build}=." in make_plan_of().builder.cmake.c_flags
    assert "/usr" not in text
    assert "/home" not in text


def test_the_profiles_flags_come_last():
    assert make_plan_of(profile=make_profile(flags=("-O2", "-fno-plt"))).builder.cmake.c_flags[-2:] == (
        "-O2",
        "-fno-plt",
    )


def test_zig_has_no_openmp():
    with pytest.raises(PlanError, match="profile native: zig has no OpenMP run-time") as caught:
        make_plan_of(profile=make_profile(openmp=True), toolchain=make_toolchain(kind="zig"))
    assert caught.value.exit_code == 3
    assert "openmp = false" in caught.value.hint
    assert make_plan_of(toolchain=make_toolchain(kind="zig")).compiler.kind == "zig"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"system": "Darwin"}, "macOS"),
        ({"system": "FreeBSD"}, "FreeBSD"),
        ({"machine": "aarch64"}, "aarch64"),
        ({"libc": "musl 1.2.4"}, "musl"),
    ],
)
def test_other_platforms_are_refused_by_name(changes, named):
    with pytest.raises(PlanError, match=f"{named}.* is not supported yet") as caught:
        make_plan_of(host=make_host(**changes))
    assert caught.value.exit_code == 3
    assert caught.value.hint


@given(
    label=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
    model=st.sampled_from(cpu_models()),
    level=st.sampled_from(["native", *LEVELS]),
)
def test_the_build_tag_is_one(label, model, level):
    toolchain = make_toolchain(native_features=tuple(sorted(model.features & feature_table().keys())))
    host = make_host(vendor=VENDORS[model.vendor])
    plan = make_plan_of(profile=make_profile(label=label, level=level), toolchain=toolchain, host=host)
    assert re.fullmatch(r"[0-9][a-z0-9_]*", plan.build_tag)
    assert plan.build_tag.endswith(plan.digest[:8])


def test_the_build_tag_names_profile_and_cpu():
    assert make_plan_of().build_tag.startswith("1_native_haswell_")
    assert make_plan_of(profile=V3).build_tag.startswith("1_v3_")
    assert re.fullmatch(r"1_native_[0-9a-f]{8}", make_plan_of(host=make_host(vendor="CentaurHauls")).build_tag)


def test_the_build_tag_names_what_the_code_needs_and_not_what_the_compiler_calls_the_cpu():
    """As gcc 12 does, which knows every feature of a Zen 4 and calls it znver3."""
    zen4 = next(model for model in cpu_models() if model.name == "Zen 4")
    toolchain = make_toolchain(native_cpu="znver3", native_features=tuple(zen4.features & feature_table().keys()))
    plan = make_plan_of(toolchain=toolchain, host=make_host(vendor="AuthenticAMD"))
    assert plan.build_tag.startswith("1_native_zen4_")
    lesser = msgspec.structs.replace(toolchain, native_features=("avx", "avx2", "fma"))
    assert make_plan_of(toolchain=lesser, host=make_host(vendor="AuthenticAMD")).code.family == "excavator"


# Portable wheels


def test_a_wheel_with_a_glibc_floor_has_its_platform_tags():
    assert make_plan_of().wheel.platform == "linux_x86_64"
    assert make_backend_plan().wheel.platform == "manylinux2014_x86_64.manylinux_2_17_x86_64"
    later = make_backend_plan(profile=make_portable(glibc="2.28"), toolchain=make_zig(target="x86_64-linux-gnu.2.28"))
    assert later.wheel.platform == "manylinux_2_28_x86_64"


def test_a_profile_may_ask_for_features_beyond_its_level_and_gets_what_they_imply():
    plan = make_backend_plan(profile=make_portable(level="x86-64-v2", features=("avx_vnni",)))
    assert set(plan.code.features) == {"avx_vnni", "avx2", "avx", *level_features("x86-64-v2")}
    assert plan.code.level == "x86-64-v2"
    on = {option for option in OPTIONS if plan.builder.cmake.defines[option] == "ON"}
    assert on == {"GGML_SSE42", "GGML_AVX", "GGML_AVX2", "GGML_AVX_VNNI"}
    assert engine_names(plan.code.features) == {"AVX", "AVX2", "AVX_VNNI", "SSE3", "SSSE3"}


def test_a_wheel_with_one_backend():
    plan = make_backend_plan()
    (backend,) = plan.code.backends
    assert (backend.name, backend.library, backend.target) == ("portable", "toy_engine/lib/libtoy-cpu.so", "toy-cpu")
    assert backend.features == plan.code.features
    assert backend.flags == ("-mavx", "-mavx2", "-mbmi2", "-mf16c", "-mfma", "-msse4.2")
    assert plan.code.kernels.loader == LOADER
    assert plan.builder.cmake.defines["TOY_SEVERAL"] == "OFF"
    assert "TOY_NAMES" not in plan.builder.cmake.defines
    assert plan.build_tag.startswith("1_portable_")


def test_the_one_backend_of_a_native_wheel_has_the_flag_and_all_features_of_this_cpu():
    plan = make_backend_plan(profile=make_profile(), toolchain=make_toolchain())
    (backend,) = plan.code.backends
    assert (backend.name, backend.flags) == ("native", ("-march=native",))
    assert set(backend.features) == set(plan.code.features) == set(make_toolchain().native_features)
    assert (plan.wheel.platform, plan.build_tag[:17]) == ("linux_x86_64", "1_native_haswell_")


def test_a_wheel_that_chooses_has_a_backend_for_each_variant_in_their_order():
    plan = make_dispatch_plan()
    assert [backend.name for backend in plan.code.backends] == ["best", "good", "base"]
    good = plan.code.backends[1]
    assert (good.library, good.target) == ("toy_engine/lib/libtoy-cpu-good.so", "toy-cpu-good")
    assert good.features == (*("avx", "avx2", "bmi2", "fma", "popcnt", "sse3", "sse4_1", "sse4_2", "ssse3"),)
    assert good.flags == ("-mavx", "-mavx2", "-mbmi2", "-mfma", "-msse4.2")
    assert (plan.builder.cmake.defines["TOY_SEVERAL"], plan.builder.cmake.defines["TOY_NAMES"]) == (
        "ON",
        "best;good;base",
    )


def test_a_wheel_that_chooses_demands_only_its_level_and_gives_no_isa_option_to_all():
    plan = make_dispatch_plan()
    assert (plan.code.level, set(plan.code.features), plan.code.native) == (
        "x86-64-v2",
        level_features("x86-64-v2"),
        False,
    )
    assert {plan.builder.cmake.defines[option] for option in OPTIONS} == {"OFF"}
    assert plan.builder.cmake.defines["GGML_NATIVE"] == "OFF"


def test_of_wheels_with_the_same_tags_the_one_that_runs_everywhere_has_the_highest_build_number():
    assert make_dispatch_plan().build_tag.startswith("2_dispatch_")
    assert make_backend_plan().build_tag.startswith("1_portable_")


def test_a_wheel_with_many_backends_may_be_larger():
    assert (make_backend_plan().expect.max_wheel_mib, make_dispatch_plan().expect.max_wheel_mib) == (1, 3)
    unlimited = {key: value for key, value in BACKENDS.items() if key != "max-wheel-mib"}
    assert make_dispatch_plan(recipe=make_recipe(backends=unlimited)).expect.max_wheel_mib == 1


def test_an_engine_without_backends_has_none():
    plan = make_plan_of(profile=make_portable(), toolchain=make_zig())
    assert (plan.code.backends, plan.code.kernels) == ((), LinkedKernels())


@pytest.mark.parametrize("plan", [make_backend_plan, make_dispatch_plan])
@pytest.mark.parametrize("level", LEVELS)
def test_a_portable_plan_is_the_same_on_every_machine(plan, level):
    host = make_host(level=level, features=tuple(sorted(level_features(level))), libc="glibc 2.41", model="Other")
    assert plan(host=host) == plan()


def test_a_plan_with_backends_survives_being_stored():
    plan = make_dispatch_plan()
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert msgspec.convert(plan.to_dict(), Plan).digest == plan.digest


@pytest.mark.parametrize(
    "variant",
    [
        {"name": "other", "features": ["avx2", "fma", "bmi2"]},
        {"name": "good", "features": ["avx2", "fma"]},
    ],
    ids=str,
)
def test_name_and_features_of_a_backend_change_the_digest(variant):
    variants = [BACKENDS["variant"][0], variant, BACKENDS["variant"][2]]
    recipe = make_recipe(backends={**BACKENDS, "variant": variants}, checks={"isa-units": [], "isa-library": ""})
    assert make_dispatch_plan(recipe=recipe).digest != make_dispatch_plan().digest
    # It does not matter to a wheel that has none of them.
    assert make_backend_plan(recipe=recipe).digest == make_backend_plan().digest


def refused(plan=make_plan_of, **changes):
    """Return the message of a refusal, which has a hint and the exit code of its stage."""
    with pytest.raises(PlanError) as caught:
        plan(**changes)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("changes", [{"features": ("avx_vnni",)}, {"dispatch": True}, {"glibc": GLIBC}], ids=str)
def test_a_native_profile_takes_all_from_the_machine(changes):
    message, hint = refused(profile=make_profile(**changes), toolchain=make_zig())
    assert message == "profile native: level native takes all from this machine: no features, dispatch or glibc"
    assert 'level = "x86-64-v3"' in hint


def test_a_feature_that_nobody_knows():
    message, hint = refused(make_backend_plan, profile=make_portable(features=("avx2", "avx9000")))
    assert message == "profile portable: features: 'avx9000' is no known CPU feature"
    assert "avx512_vnni" in hint


@pytest.mark.parametrize("backends", [{}, {"backends": {**BACKENDS, "variant": []}}], ids=["none", "no variants"])
def test_an_engine_that_has_nothing_to_choose_from(backends):
    message, hint = refused(make_dispatch_plan, recipe=make_recipe(**backends))
    assert message == "profile dispatch: toy-engine has no backends to choose from at run time"
    assert "[[backends.variant]]" in hint


@pytest.mark.parametrize(
    ("toolchain", "glibc"),
    [
        (make_toolchain(), "2.17"),
        (make_toolchain(kind="clang"), "2.17"),
        (make_zig(), "2.28"),
        (make_zig(), "2.7"),
        (make_zig(target="x86_64-linux-gnu.2.28"), "2.2"),
    ],
    ids=str,
)
def test_a_compiler_that_cannot_build_for_the_glibc_floor(toolchain, glibc):
    message, hint = refused(make_backend_plan, toolchain=toolchain, profile=make_portable(glibc=glibc))
    assert message == f"profile portable: {toolchain.kind} {toolchain.version} cannot build for glibc {glibc}"
    assert "zig builds for 2.17" in hint


def test_a_variant_with_a_feature_that_nobody_knows():
    variants = [{"name": "odd", "features": ["avx2", "avx9000"]}]
    message, hint = refused(make_dispatch_plan, recipe=make_recipe(backends={**BACKENDS, "variant": variants}))
    assert message == "recipe toy-engine: backends.variant odd: 'avx9000' is no CPU feature"
    assert "avx512_vnni" in hint


@given(st.sets(st.sampled_from(sorted(feature_table()))))
def test_each_feature_that_is_asked_for_turns_its_option_on_and_its_flags(features):
    plan = make_backend_plan(profile=make_portable(level="x86-64", features=tuple(sorted(features))))
    assert features <= set(plan.code.features)
    assert {option for option in OPTIONS if plan.builder.cmake.defines[option] == "ON"} == {
        option for option, on in engine_options(plan.code.features).items() if on
    }
    (backend,) = plan.code.backends
    wanted = {flag for name in plan.code.features for flag in feature_table()[name].flags}
    assert (set(backend.flags), list(backend.flags)) == (wanted, sorted(backend.flags))


def test_a_packages_source_is_planned_with_the_hashes_of_its_patches():
    recipe = make_recipe(
        source={"patches": ["a.patch"], "add": {"ours": "there"}, "exclude": ["docs/*"]},
        build={"commit": {"llama.cpp": "0123456789"}},
    )
    planned = planned_source(recipe, Changes({"a.patch": b"abc"}, {"there/a.h": b"def"}), "unused")
    assert planned == make_source(
        patches=(f"a.patch sha256:{hashlib.sha256(b'abc').hexdigest()}",),
        exclude=("docs/*",),
        commit={"llama.cpp": "0123456789"},
        added=(f"there/a.h sha256:{hashlib.sha256(b'def').hexdigest()}",),
    )


def test_a_path_source_is_planned_with_the_hash_of_its_tree():
    table = recipe_table()
    table["source"] = {"type": "path", "path": "source", "version": "2.0"}
    planned = planned_source(msgspec.convert(table, Recipe), Changes({}, {}), "9" * 64)
    assert (planned.kind, planned.name, planned.version, planned.sha256) == ("path", "toy-engine", "2.0", "9" * 64)
