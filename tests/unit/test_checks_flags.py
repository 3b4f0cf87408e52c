"""The check of flags: asked, cached, compiled, loaded."""

import msgspec
import pytest
from factories import (
    ended,
    make_code,
    make_evidence,
    make_facts,
    make_kernel,
    make_plan_of,
    make_profile,
    make_recipe,
    smoke_events,
    system_info,
)
from planted import PLANTED

from truewheel.build.evidence import CompileUnit, Evidence
from truewheel.checks.flags import CODES, check
from truewheel.inference.smoke import judge
from truewheel.inference.system_info import SystemInfo

PLAN = make_plan_of()


def codes(facts):
    return [finding.code for finding in check(facts)]


def with_cache(plan=PLAN, **cache):
    return make_facts(plan, evidence=make_evidence(plan, cache=cache))


def with_units(*units, plan=PLAN):
    return make_facts(plan, evidence=make_evidence(plan, units=units))


def kernel(*march, features=(), file="src/kernels/dot.c"):
    return CompileUnit(file, march, features, "x.o", other=("-DNDEBUG", *PLAN.c_flags))


def reporting(text, plan=PLAN):
    events = smoke_events(plan)
    next(event for event in events if event["step"] == "system-info")["facts"] = {"text": text}
    return make_facts(plan, smoke=judge("tiny", events, ended()))


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
    unit = msgspec.structs.replace(kernel("native"), optimization=optimization, other=(*other, *PLAN.c_flags))
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
    (finding,) = check(reporting(system_info(name for name in PLAN.engine_features if name != "FMA")))
    assert (finding.code, finding.where) == ("FLAGS-LOADED", "FMA")


def test_a_feature_that_is_reported_as_off_is_not_there():
    text = system_info(name for name in PLAN.engine_features if name != "FMA") + "FMA = 0 | "
    assert codes(reporting(text)) == ["FLAGS-LOADED"]


def test_a_feature_that_the_plan_did_not_ask_for():
    (finding,) = check(reporting(system_info([*PLAN.engine_features, "AVX512_VNNI"])))
    assert (finding.code, finding.where) == ("FLAGS-BEYOND", "AVX512_VNNI")


def test_what_is_no_cpu_feature_may_be_reported():
    assert codes(reporting(system_info([*PLAN.engine_features, "LLAMAFILE", "REPACK", "OPENMP"]))) == []


def test_names_that_contain_each_other_are_told_apart():
    text = system_info(name for name in PLAN.engine_features if name != "AVX")
    assert [(finding.code, finding.where) for finding in check(reporting(text))] == [("FLAGS-LOADED", "AVX")]


@pytest.mark.parametrize("smoke", [None, judge("tiny", [], ended(98))])
def test_a_smoke_test_that_did_not_get_so_far_is_not_told_twice(smoke):
    assert codes(make_facts(smoke=smoke)) == []


def test_a_definition_that_cmake_does_not_have_was_lost():
    whole = make_evidence(PLAN)
    cache = {key: value for key, value in whole.cmake_cache.items() if key != "GGML_AVX512"}
    found = list(check(make_facts(PLAN, evidence=Evidence(cache, whole.units))))
    assert [(finding.code, finding.where) for finding in found] == [("FLAGS-CACHE", "GGML_AVX512")]
    assert found[0].message.endswith("CMake has nothing")
