"""The check of flags: asked, cached, compiled, loaded."""

import msgspec
import pytest
from factories import (
    BACKENDS,
    ended,
    judge_smoke,
    make_backend_plan,
    make_code,
    make_dispatch_plan,
    make_evidence,
    make_facts,
    make_kernel,
    make_plan_of,
    make_profile,
    make_recipe,
    make_shipped_plan,
    make_toolchain,
    make_unit,
    smoke_events,
    system_info,
)
from planted import PLANTED

from truewheel.build.evidence import CompileUnit, Evidence
from truewheel.checks.flags import CODES, check
from truewheel.child.system_info import SystemInfo
from truewheel.cpu.features import engine_names

PLAN = make_plan_of()
ENGINE_FEATURES = sorted(engine_names(PLAN.code.features))
ONE = make_backend_plan()
SEVERAL = make_dispatch_plan()
NATIVE = make_backend_plan(profile=make_profile(), toolchain=make_toolchain())


def codes(facts):
    return [finding.code for finding in check(facts)]


def with_cache(plan=PLAN, **cache):
    return make_facts(plan, evidence=make_evidence(plan, cache=cache))


def with_units(*units, plan=PLAN):
    return make_facts(plan, evidence=make_evidence(plan, units=units))


def kernel(*march, features=(), file="src/kernels/dot.c"):
    return CompileUnit(file, march, features, "x.o", other=("-DNDEBUG", *PLAN.builder.cmake.c_flags))


def reporting(text, plan=PLAN):
    events = smoke_events(plan)
    next(event for event in events if event["step"] == "system-info")["facts"] = {"text": text}
    return make_facts(plan, smoke=judge_smoke("tiny", events, ended()))


def test_a_build_that_did_what_was_asked_gives_nothing():
    assert codes(make_facts()) == []


def test_a_build_for_a_level_gives_nothing():
    plan = make_plan_of(profile=make_profile(label="v3", level="x86-64-v3"))
    unit = kernel(features=("-mavx2", "-mfma", "-mf16c"))
    assert codes(make_facts(plan, evidence=make_evidence(plan, units=(unit,)))) == []


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    if code == "FLAGS-RUN-DIFFERS":  # what differs was said before
        assert codes(PLANTED[code]()) == ["FLAGS-RUN", code]
        return
    facts = PLANTED[code]()
    if code == "FLAGS-LEAKED":  # a single unit outside the kernels means that there are no kernels, too
        units = (*facts.evidence.units, kernel("native"))
        facts = facts._replace(evidence=Evidence(facts.evidence.cmake_cache, units))
    (finding,) = check(facts)
    assert (finding.code, finding.severity) == (code, "error")
    assert finding.hint or code == "FLAGS-RUN"


@pytest.mark.parametrize("code", [code for code in CODES if not code.startswith("FLAGS-RUN")])
def test_nothing_of_the_build_is_compared_for_a_wheel_of_somebody_else(code):
    assert codes(PLANTED[code]()._replace(plan=None)) == []


def test_what_libraries_say_is_compared_with_any_wheels_code():
    told = (SystemInfo(library="a.so", text="AVX512 = 0 | AVX2 = 1 | LLAMAFILE = 1 | "),)
    code = {"a.so": make_code(kernels=(make_kernel("dot", "avx", "avx2"),))}
    assert codes(make_facts(plan=None, told=told, code=code)) == ["FLAGS-RUN"]
    (_, differs) = check(make_facts(plan=None, told=told, code={"a.so": make_code(kernels=())}))
    assert (differs.code, differs.where) == ("FLAGS-RUN-DIFFERS", "a.so")
    assert "avx2" in differs.message


@pytest.mark.parametrize(
    ("optimization", "other", "expected"),
    [
        (("-O3",), ("-DNDEBUG",), []),
        (("-O0", "-O2"), ("-DNDEBUG",), []),
        (("-O3", "-O0"), ("-DNDEBUG",), ["FLAGS-SLOW"]),
        ((), ("-DNDEBUG",), ["FLAGS-SLOW"]),
        (("-O3",), (), ["FLAGS-SLOW"]),
        (("-O3",), ("-DNDEBUG", "-UNDEBUG"), ["FLAGS-SLOW"]),
        (("-Ofast",), ("-DNDEBUG",), ["FLAGS-FAST-MATH"]),
        (("-O3",), ("-DNDEBUG", "-ffast-math"), ["FLAGS-FAST-MATH"]),
        (("-O3",), ("-DNDEBUG", "-ffast-math", "-fno-fast-math"), []),
    ],
)
def test_how_a_unit_is_optimized(optimization, other, expected):
    unit = msgspec.structs.replace(
        kernel("native"), optimization=optimization, other=(*other, *PLAN.builder.cmake.c_flags)
    )
    assert codes(with_units(unit)) == expected


def test_assembler_has_no_optimization():
    unit = msgspec.structs.replace(kernel("native", file="src/kernels/dot.S"), language=".S", optimization=(), other=())
    assert codes(with_units(kernel("native"), unit)) == []


def test_an_overruled_definition_is_told_with_both_values():
    (finding,) = check(with_cache(GGML_AVX2="OFF"))
    assert (finding.where, finding.message) == ("GGML_AVX2", "asked for ON, CMake has OFF")


@pytest.mark.parametrize("value", ["ON", "on", "TRUE", "true", "YES", "Y", "1"])
def test_every_spelling_of_true_is_the_same(value):
    assert codes(with_cache(GGML_AVX2=value)) == []
    assert codes(with_cache(GGML_AVX512=value)) == ["FLAGS-CACHE"]


@pytest.mark.parametrize("value", ["OFF", "off", "FALSE", "no", "N", "0", "", "GGML-NOTFOUND"])
def test_every_spelling_of_false_is_the_same(value):
    assert codes(with_cache(GGML_AVX512=value)) == []
    assert codes(with_cache(GGML_AVX2=value)) == ["FLAGS-CACHE"]


def test_other_values_must_be_equal():
    plan = make_plan_of(profile=make_profile(define={"TOY_MODE": "fast", "TOY_COUNT": 3}))
    assert codes(with_cache(plan, TOY_MODE="fast", TOY_COUNT="3")) == []
    assert codes(with_cache(plan, TOY_MODE="Fast")) == ["FLAGS-CACHE"]
    assert codes(with_cache(plan, TOY_COUNT="4")) == ["FLAGS-CACHE"]


def test_what_nobody_asked_for_may_have_any_value():
    assert codes(with_cache(SOMETHING_ELSE="ON")) == []


@pytest.mark.parametrize("evidence", [None, Evidence({}, ())])
def test_no_evidence_at_all(evidence):
    findings = list(check(make_facts(evidence=evidence)))
    assert {finding.code for finding in findings} == {"FLAGS-NO-EVIDENCE"}
    assert [finding.where for finding in findings] == ["CMakeCache.txt", "compile_commands.json"]


def test_no_unit_that_the_recipe_calls_a_kernel():
    (finding,) = check(with_units(kernel(file="src/api.c")))
    assert finding.code == "FLAGS-NO-EVIDENCE"
    assert "*/kernels/*" in finding.message


@pytest.mark.parametrize(
    ("march", "expected"),
    [
        (("native",), []),
        (("x86-64", "native"), []),
        ((), ["FLAGS-LOST"]),
        (("x86-64-v2",), ["FLAGS-LOST"]),
        (("native", "x86-64"), ["FLAGS-OVERRULED"]),
        (("native", "native"), []),
    ],
)
def test_the_last_march_of_a_kernel_must_be_the_plans(march, expected):
    assert codes(with_units(kernel(*march))) == expected


def test_the_march_that_wins_is_named():
    (finding,) = check(with_units(kernel("x86-64-v2", "native", "x86-64-v4")))
    assert finding.message == "-march=x86-64-v4 comes after -march=native and wins"


def test_each_unit_is_looked_at():
    units = (kernel(), kernel(file="a/kernels/b.cpp"), kernel("native", file="kernels.c"))
    assert codes(with_units(*units)) == ["FLAGS-LOST", "FLAGS-LOST", "FLAGS-LEAKED"]


@pytest.mark.parametrize("features", [("-m64",), ("-mno-avx512f",), ("-m64", "-mtune=native")])
def test_neutral_options_may_stand_anywhere(features):
    assert codes(with_units(kernel("native"), kernel(features=features, file="src/api.c"))) == []


@pytest.mark.parametrize("unit", [kernel("native", file="api.c"), kernel(features=("-m64", "-mfma"), file="api.c")])
def test_isa_flags_outside_the_kernels(unit):
    (finding,) = check(with_units(kernel("native"), unit))
    assert (finding.code, finding.where) == ("FLAGS-LEAKED", "api.c")
    assert finding.message in {"carries -march=native", "carries -m64 -mfma"}


def test_a_recipe_without_kernels_has_no_units_to_compare():
    plan = make_plan_of(recipe=make_recipe(checks={"isa-units": []}))
    assert codes(make_facts(plan, evidence=make_evidence(plan, units=()))) == []


def test_a_feature_that_the_loaded_library_lacks():
    (finding,) = check(reporting(system_info(name for name in ENGINE_FEATURES if name != "FMA")))
    assert (finding.code, finding.where) == ("FLAGS-LOADED", "FMA")


def test_a_feature_that_is_reported_as_off_is_not_there():
    text = system_info(name for name in ENGINE_FEATURES if name != "FMA") + "FMA = 0 | "
    assert codes(reporting(text)) == ["FLAGS-LOADED"]


def test_a_feature_that_the_plan_did_not_ask_for():
    (finding,) = check(reporting(system_info([*ENGINE_FEATURES, "AVX512_VNNI"])))
    assert (finding.code, finding.where) == ("FLAGS-BEYOND", "AVX512_VNNI")


def test_what_is_no_cpu_feature_may_be_reported():
    assert codes(reporting(system_info([*ENGINE_FEATURES, "LLAMAFILE", "REPACK", "OPENMP"]))) == []


def test_names_that_contain_each_other_are_told_apart():
    text = system_info(name for name in ENGINE_FEATURES if name != "AVX")
    assert [(finding.code, finding.where) for finding in check(reporting(text))] == [("FLAGS-LOADED", "AVX")]


@pytest.mark.parametrize("smoke", [None, judge_smoke("tiny", [], ended(98))])
def test_a_smoke_test_that_did_not_get_so_far_is_not_told_twice(smoke):
    assert codes(make_facts(smoke=smoke)) == []


def test_a_definition_that_cmake_does_not_have_was_lost():
    whole = make_evidence(PLAN)
    cache = {key: value for key, value in whole.cmake_cache.items() if key != "GGML_AVX512"}
    found = list(check(make_facts(PLAN, evidence=Evidence(cache, whole.units))))
    assert [(finding.code, finding.where) for finding in found] == [("FLAGS-CACHE", "GGML_AVX512")]
    assert found[0].message.endswith("CMake has nothing")


# Backends, one of which is loaded at run time


def units_of(plan, change=lambda unit: unit, target=""):
    """Return facts of a build that changed the units of one target."""
    whole = make_evidence(plan)
    units = tuple(change(unit) if target and f"/{target}.dir/" in unit.target else unit for unit in whole.units)
    assert not target or units != whole.units
    return make_facts(plan, evidence=Evidence(whole.cmake_cache, units))


def carrying(*more, without=()):
    """Return a change of a unit's flags."""

    def change(unit):
        features = tuple(flag for flag in unit.features if flag not in without)
        return msgspec.structs.replace(unit, features=(*features, *more))

    return change


@pytest.mark.parametrize("plan", [ONE, SEVERAL, NATIVE, make_shipped_plan("dispatch"), make_shipped_plan("x86_64_v4")])
def test_backends_that_were_built_as_asked_give_nothing(plan):
    assert codes(make_facts(plan)) == []


@pytest.mark.parametrize("backend", SEVERAL.code.backends, ids=lambda backend: backend.name)
def test_each_flag_that_one_backend_lost_is_named_with_the_unit(backend):
    for flag in backend.flags:
        (finding,) = check(units_of(SEVERAL, carrying(without=(flag,)), backend.target))
        assert finding.code == "FLAGS-LOST"
        assert finding.where == f"vendor/CMakeFiles/{backend.target}.dir/dot.c.o"
        assert finding.message == f"was compiled without {flag}"
        assert "option off" in finding.hint


@pytest.mark.parametrize("flag", ["-mavx512f", "-mf16c", "-mgfni"])
def test_a_flag_that_nobody_asked_for_in_one_backend(flag):
    (finding,) = check(units_of(SEVERAL, carrying(flag), "toy-cpu-good"))
    assert (finding.code, finding.message) == (
        "FLAGS-OVERRULED",
        f"was compiled with {flag}, which nobody asked for",
    )
    assert finding.where == "vendor/CMakeFiles/toy-cpu-good.dir/dot.c.o"


def test_a_backend_that_got_anothers_flags_lost_its_own():
    best, good, _ = SEVERAL.code.backends
    found = codes(units_of(SEVERAL, carrying(*best.flags, without=good.flags), "toy-cpu-good"))
    assert found == ["FLAGS-OVERRULED"]
    found = codes(units_of(SEVERAL, carrying(*good.flags, without=best.flags), "toy-cpu-best"))
    assert found == ["FLAGS-LOST"]


def test_neutral_flags_may_stand_in_any_backend():
    assert codes(units_of(SEVERAL, carrying("-mtune=generic", "-mno-avx512fp16"), "toy-cpu-good")) == []


@pytest.mark.parametrize("given", ["-mno-avx2", "march"])
def test_what_turns_a_flag_off_or_replaces_all_is_told(given):
    def change(unit):
        if given == "march":
            return msgspec.structs.replace(unit, march=("x86-64-v4",))
        return carrying(given)(unit)

    (finding,) = check(units_of(SEVERAL, change, "toy-cpu-good"))
    assert finding.code == "FLAGS-OVERRULED"
    assert ("-march=x86-64-v4" if given == "march" else given) in finding.message


def test_each_unit_of_a_backend_is_looked_at():
    whole = make_evidence(SEVERAL)
    (good,) = (unit for unit in whole.units if "/toy-cpu-good.dir/" in unit.target)
    second = carrying(without=("-mavx2",))(msgspec.structs.replace(good, target=good.target.replace("dot", "mul")))
    (finding,) = check(make_facts(SEVERAL, evidence=Evidence(whole.cmake_cache, (*whole.units, second))))
    assert (finding.code, finding.where) == ("FLAGS-LOST", "vendor/CMakeFiles/toy-cpu-good.dir/mul.c.o")


@pytest.mark.parametrize(("plan", "target"), [(SEVERAL, "toy-cpu-good-feats"), (ONE, "toy-cpu-feats")])
@pytest.mark.parametrize("change", [carrying("-mavx2"), lambda unit: msgspec.structs.replace(unit, march=("native",))])
def test_what_asks_the_cpu_must_carry_no_flag(plan, target, change):
    (finding,) = check(units_of(plan, change, target))
    assert (finding.code, finding.where) == ("FLAGS-LEAKED", "src/feats.cpp")


@pytest.mark.parametrize("name", ["toy-cpu", "toy-cpu-goo", "toy-cpu-goods", "not-toy-cpu-good", "toy-cpu-good-feats"])
def test_a_target_of_a_like_name_is_no_backend(name):
    whole = make_evidence(SEVERAL)
    good = SEVERAL.code.backends[1]
    unit = make_unit(good, target=f"vendor/CMakeFiles/{name}.dir/x.c.o", file="x.c", other=whole.units[0].other)
    (finding,) = check(make_facts(SEVERAL, evidence=Evidence(whole.cmake_cache, (*whole.units, unit))))
    assert (finding.code, finding.where) == ("FLAGS-LEAKED", "x.c")


def test_a_target_at_the_root_of_the_build_is_found():
    whole = make_evidence(ONE)
    units = tuple(
        msgspec.structs.replace(unit, target=unit.target.removeprefix("vendor/CMakeFiles/")) for unit in whole.units
    )
    assert codes(make_facts(ONE, evidence=Evidence(whole.cmake_cache, units))) == []


def test_code_beside_the_backends_must_carry_no_flag():
    whole = make_evidence(SEVERAL)
    units = (*whole.units[:-1], carrying("-mavx")(whole.units[-1]))
    (finding,) = check(make_facts(SEVERAL, evidence=Evidence(whole.cmake_cache, units)))
    assert (finding.code, finding.where) == ("FLAGS-LEAKED", "src/api.cpp")


@pytest.mark.parametrize("name", ["best", "good", "base"])
def test_a_backend_of_which_nothing_was_compiled(name):
    whole = make_evidence(SEVERAL)
    units = tuple(unit for unit in whole.units if f"/toy-cpu-{name}.dir/" not in unit.target)
    (finding,) = check(make_facts(SEVERAL, evidence=Evidence(whole.cmake_cache, units)))
    assert (finding.code, finding.message) == (
        "FLAGS-NO-EVIDENCE",
        f"no compile unit belongs to the target toy-cpu-{name}",
    )
    assert "[backends]" in finding.hint


@pytest.mark.parametrize(
    ("march", "expected"), [(("native",), []), ((), ["FLAGS-LOST"]), (("native", "x86-64-v2"), ["FLAGS-OVERRULED"])]
)
def test_the_one_backend_of_a_native_wheel_must_have_its_march(march, expected):
    facts = units_of(NATIVE, lambda unit: msgspec.structs.replace(unit, march=march, optimization=("-O2",)), "toy-cpu")
    assert codes(facts) == expected


def test_a_native_backend_needs_no_other_flag():
    (finding,) = check(units_of(NATIVE, carrying("-mavx512f"), "toy-cpu"))
    assert (finding.code, finding.message) == (
        "FLAGS-OVERRULED",
        "was compiled with -mavx512f, which nobody asked for",
    )


def loading(plan, chosen="", **told):
    """Return facts of a run in which a backend was loaded that told something else of itself."""
    events = smoke_events(plan, backend=chosen)
    next(event for event in events if event["step"] == "system-info")["facts"].update(told)
    return make_facts(plan, smoke=judge_smoke("tiny", events, ended()))


@pytest.mark.parametrize("name", ["best", "good", "base"])
def test_what_is_loaded_is_compared_with_the_backend_that_was_chosen(name):
    assert codes(loading(SEVERAL, name)) == []
    others = {backend.name for backend in SEVERAL.code.backends} - {name}
    for other in others:
        assert set(codes(loading(SEVERAL, name, backend=other))) <= {"FLAGS-LOADED", "FLAGS-BEYOND"}
        assert codes(loading(SEVERAL, name, backend=other))


def test_a_feature_that_the_chosen_backend_lacks_or_has_too_much():
    asked = ["AVX", "AVX2", "BMI2", "FMA", "SSE3", "SSSE3"]
    assert codes(loading(SEVERAL, "good", text=system_info(asked))) == []
    (lost,) = check(loading(SEVERAL, "good", text=system_info(name for name in asked if name != "FMA")))
    assert (lost.code, lost.where) == ("FLAGS-LOADED", "FMA")
    (beyond,) = check(loading(SEVERAL, "good", text=system_info([*asked, "F16C"])))
    assert (beyond.code, beyond.where) == ("FLAGS-BEYOND", "F16C")


@pytest.mark.parametrize("plan", [ONE, SEVERAL, NATIVE])
@pytest.mark.parametrize("name", ["x64", "GOOD", "toy-cpu-good", ""])
def test_a_backend_that_the_plan_does_not_have(plan, name):
    (finding,) = check(loading(plan, backend=name))
    assert (finding.code, finding.where) == ("FLAGS-LOADED", name or "no backend")
    assert "the plan has no backend of that name" in finding.message
    assert "import guard" in finding.hint


def test_a_package_that_does_not_tell_its_backend_did_not_run_our_guard():
    events = smoke_events(SEVERAL)
    del next(event for event in events if event["step"] == "system-info")["facts"]["backend"]
    assert codes(make_facts(SEVERAL, smoke=judge_smoke("tiny", events, ended()))) == ["FLAGS-LOADED"]


@pytest.mark.parametrize("smoke", [None, judge_smoke("tiny", [], ended(98))])
@pytest.mark.parametrize("plan", [ONE, SEVERAL])
def test_a_wheel_with_backends_that_was_not_run_so_far_is_not_told_twice(plan, smoke):
    assert codes(make_facts(plan, smoke=smoke)) == []


def test_options_that_the_backends_are_built_with_must_be_in_the_cache():
    for key in ("TOY_SEVERAL", "TOY_NAMES"):
        assert key in BACKENDS["several"]
        (finding,) = check(with_cache(SEVERAL, **{key: "OFF"}))
        assert (finding.code, finding.where) == ("FLAGS-CACHE", key)


class TestFakeNative:
    """llama-cpp-sys-2 overrules GGML_NATIVE=ON unless rustc was told target-cpu=native: a level, not this machine."""

    def plan(self):
        libraries = {"source": "crate", "crate": "llama-cpp-sys-2"}
        recipe = make_recipe(libraries=libraries, build={"backend": "maturin", "define": {}})
        return make_plan_of(recipe=recipe, rust=True)

    def facts(self, march, native):
        plan = self.plan()
        other = ("-DNDEBUG", *plan.builder.cmake.c_flags)
        unit = CompileUnit("src/kernels/dot.c", march, (), "dot.c.o", other=other)
        cache = {**plan.builder.cmake.defines, "GGML_NATIVE": native}
        return make_facts(plan, evidence=Evidence(cache, (unit,)))

    def test_a_true_one_passes(self):
        assert codes(self.facts(("native",), "ON")) == []

    def test_the_cache_and_the_units_tell_a_fake_one(self):
        assert codes(self.facts(("x86-64-v3",), "OFF")) == ["FLAGS-CACHE", "FLAGS-LOST"]

    def test_the_units_tell_it_when_the_cache_does_not(self):
        assert codes(self.facts((), "ON")) == ["FLAGS-LOST"]
