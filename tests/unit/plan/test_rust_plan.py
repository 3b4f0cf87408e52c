"""What a plan says of Rust, and of libraries that another recipe builds."""

import pytest
from factories import (
    BACKENDS,
    CRATE,
    change_plan,
    make_backend_plan,
    make_crate_plan,
    make_dispatch_plan,
    make_plan_of,
    make_portable,
    make_profile,
    make_recipe,
    make_zig,
)

from truewheel.config.tables import Rust
from truewheel.errors import PlanError
from truewheel.plan.cargo import renamed
from truewheel.plan.plan import BundledLibraries, ScikitBuildPlan

LIBRARIES = {
    "source": "recipe",
    "recipe": "toy-engine",
    "take": {BACKENDS["library"]: "toy_rust/libkernels*.so", BACKENDS["loader"]: "toy_rust/loader.so"},
    "link": ["toy_rust/loader.so"],
    "headers": ["include"],
}


def rust_plan(base, **changes):
    """Return the plan of an engine whose libraries are those of `base`."""
    profile = changes.pop("profile", make_portable())
    changes = {"libraries": LIBRARIES, "build": {"backend": "maturin", "define": {}}, **changes}
    recipe = make_recipe(**changes)
    return make_plan_of(recipe=recipe, profile=profile, toolchain=make_zig(), rust=True, base=base)


def test_a_native_build_takes_the_cpu_and_a_portable_one_its_features():
    native = make_crate_plan().builder
    assert "-Ctarget-cpu=native" in native.flags
    flags = make_crate_plan(profile=make_portable(level="x86-64-v2"), toolchain=make_zig()).builder.flags
    (features,) = [flag for flag in flags if flag.startswith("-Ctarget-feature=")]
    assert {"+sse4.2", "+popcnt"} <= set(features.removeprefix("-Ctarget-feature=").split(","))
    assert "avx" not in features


def test_the_plain_level_asks_for_nothing():
    flags = make_crate_plan(profile=make_portable(level="x86-64"), toolchain=make_zig()).builder.flags
    assert not [flag for flag in flags if "target-" in flag]


def test_the_linker_is_told_of_the_level():
    flags = make_crate_plan(profile=make_portable(), toolchain=make_zig()).builder.flags
    assert any("x86-64-v3" in flag or "{note}" in flag for flag in flags if flag.startswith("-Clink-arg="))
    assert "-Clink-arg=-s" not in flags


def test_the_profile_decides_optimization_and_allocator():
    plain = make_crate_plan().builder
    assert (plain.features, plain.profile["CARGO_PROFILE_RELEASE_LTO"]) == ((), "fat")
    other = make_crate_plan(profile=make_profile(rust=Rust(lto="thin", allocator="mimalloc"))).builder
    assert (other.features, other.profile["CARGO_PROFILE_RELEASE_LTO"]) == (("mimalloc",), "thin")


def test_an_engine_without_rust_has_none():
    plan = make_plan_of()
    assert isinstance(plan.builder, ScikitBuildPlan)
    assert (plan.taken, "rustc" in plan.builder.tools) == ((), False)


def test_a_rust_engine_says_where_its_libraries_come_from():
    with pytest.raises(PlanError, match="libraries: a Rust engine says where") as caught:
        make_plan_of(recipe=make_recipe(build=CRATE["build"]), rust=True)
    assert 'source = "crate"' in caught.value.hint


@pytest.mark.parametrize("make_base", [make_backend_plan, make_dispatch_plan])
def test_backends_and_definitions_are_those_of_the_other_recipe(make_base):
    base = make_base()
    plan = rust_plan(base)
    assert plan.builder.cmake.defines == base.builder.cmake.defines
    assert [backend.name for backend in plan.code.backends] == [backend.name for backend in base.code.backends]
    assert [backend.flags for backend in plan.code.backends] == [backend.flags for backend in base.code.backends]
    assert all(backend.library.startswith("toy_rust/libkernels") for backend in plan.code.backends)
    assert len({backend.library for backend in plan.code.backends}) == len(base.code.backends)
    assert (plan.code.kernels.loader, plan.builder.libraries.digest) == ("toy_rust/loader.so", base.digest)


def test_a_wheel_with_all_backends_may_be_as_large_as_the_other_recipes():
    base = make_dispatch_plan()
    base = change_plan(base, max_wheel_mib=77)
    dispatch = make_portable(label="dispatch", level="x86-64", dispatch=True)
    assert rust_plan(base, profile=dispatch).expect.max_wheel_mib == 77
    assert rust_plan(base).expect.max_wheel_mib == make_plan_of().expect.max_wheel_mib


def test_another_build_of_the_libraries_is_another_plan():
    assert rust_plan(make_backend_plan()).digest != rust_plan(make_backend_plan(code="c" * 64)).digest


def test_a_longer_name_has_no_room():
    take = {"a/lib.so": "b/library.so"}
    with pytest.raises(PlanError, match="longer name"):
        rust_plan(make_backend_plan(), libraries={**LIBRARIES, "take": take})


def test_a_library_of_a_crate_has_no_digest():
    plan = rust_plan(None, libraries={"source": "crate", "crate": "toy-sys"})
    assert plan.builder.libraries == BundledLibraries(crate="toy-sys")
    assert plan.taken == ()
    assert "CMAKE_INSTALL_RPATH" not in plan.builder.cmake.defines


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/libx.so", "b/y.so"), ("a/k-avx.so", "b/k-avx.so"), ("a/k.so", "b/k.so"), ("a/other.so", ""), ("libx.so", "")],
)
def test_names_follow_their_pattern(path, name):
    assert renamed(path, {"a/libx.so": "b/y.so", "a/k*.so": "b/k*.so"}) == name
