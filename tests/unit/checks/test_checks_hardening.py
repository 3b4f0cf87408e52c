"""The check of hardening: what makes code easier to misuse, or harms the process that loads it."""

import pytest
from factories import LIBRARY, make_code, make_elf, make_facts, make_plan_of, make_toolchain, make_zig
from planted_linkage import PLANTED_LINKAGE, library

from truewheel.checks.hardening import CODES, check
from truewheel.checks.run import run_checks

OTHER = "toy_engine/lib/libother.so"
PROGRAM = "toy_engine-1.2.3.data/scripts/toy"


def found(facts):
    return {finding.code: finding for finding in check(facts)}


def wheel_of(*libraries, code=None):
    paths = [LIBRARY, OTHER, "toy_engine/lib/libthird.so", "toy_engine/lib/libfourth.so"]
    facts = make_facts(libraries=dict(zip(paths, libraries, strict=False)))
    return facts if code is None else facts._replace(code=code)


def test_a_sound_wheel_gives_nothing():
    assert found(make_facts()) == {}


def test_a_wheel_of_python_alone_gives_nothing():
    assert found(make_facts(plan=None, libraries={})) == {}


@pytest.mark.parametrize("code", CODES)
def test_a_planted_violation_is_found_and_nothing_else(code):
    (finding,) = check(PLANTED_LINKAGE[code]())
    assert finding.code == code
    assert finding.hint
    assert finding.where


def test_what_is_wrong_with_one_library_is_said_of_that_one():
    for change in ("executable_stack", "writable_code", "text_relocations", "fast_math_startup"):
        (finding,) = check(wheel_of(make_elf(), make_elf(**{change: True})))
        assert finding.where == OTHER


def test_everything_that_is_wrong_is_said():
    facts = make_facts(libraries={LIBRARY: make_elf(executable_stack=True, relro="none", shstk=False)})
    assert set(found(facts)) == {"HARD-STACK", "HARD-RELRO", "HARD-CET"}


def test_the_start_up_function_is_named_when_its_code_was_found():
    facts = make_facts(code={LIBRARY: make_code(fast_math="frame_dummy_2")})
    assert found(facts)["HARD-FAST-MATH"].message.startswith("frame_dummy_2 changes")
    assert found(library(fast_math_startup=True))["HARD-FAST-MATH"].message.startswith("set_fast_math changes")


def test_a_program_may_change_the_floating_point_mode_of_its_own_process():
    facts = make_facts(plan=None, libraries={PROGRAM: make_elf(fast_math_startup=True)})
    assert found(facts._replace(code={PROGRAM: make_code(fast_math="set_fast_math")})) == {}


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "it holds /a/0.c"),
        (3, "it holds /a/0.c, /a/1.c, /a/2.c"),
        (4, "it holds /a/0.c, /a/1.c, /a/2.c and 1 more"),
        (1000, "it holds /a/0.c, /a/1.c, /a/2.c and 997 more"),
    ],
)
def test_some_paths_are_shown_and_the_others_are_counted(count, message):
    paths = tuple(f"/a/{number}.c" for number in range(min(count, 8)))
    assert found(library(private_paths=paths, private_path_count=count))["HARD-PATH"].message == message
    assert found(library(source_paths=paths, source_path_count=count))["HARD-PATH-SOURCE"].message == message


def test_libraries_that_lack_the_same_are_told_together():
    facts = wheel_of(make_elf(), make_elf(relro="partial"), make_elf(relro="partial"), make_elf(relro="none"))
    findings = found(facts)
    assert set(findings) == {"HARD-RELRO", "HARD-BIND-NOW"}
    assert findings["HARD-BIND-NOW"].where == facts.wheel.path.name
    assert findings["HARD-BIND-NOW"].message.startswith(
        f"2 of 4 libraries look functions up at the first call, the first is {OTHER}"
    )
    assert findings["HARD-RELRO"].message.startswith("1 of 4 libraries")


@pytest.mark.parametrize(
    ("functions", "canaries", "said"), [(50, 0, True), (5000, 0, True), (49, 0, False), (50, 1, False), (1, 0, False)]
)
def test_a_library_of_some_size_checks_the_stack_somewhere(functions, canaries, said):
    facts = make_facts(code={LIBRARY: make_code(functions=functions, canaries=canaries)})
    assert ("HARD-CANARY" in found(facts)) is said


def test_shares_are_those_of_the_whole_wheel():
    code = {LIBRARY: make_code(functions=100, canaries=0, endbr=0), OTHER: make_code(canaries=75, endbr=50)}
    findings = found(wheel_of(make_elf(shstk=False), make_elf(), code=code))
    assert set(findings) == {"HARD-CANARY", "HARD-CET"}
    assert findings["HARD-CANARY"].message == (
        f"1 of 2 libraries have no function that checks the stack, the first is {LIBRARY}; "
        "in the whole wheel 38 % of 200 functions do"
    )
    assert findings["HARD-CET"].message == (
        f"1 of 2 libraries are not marked, the first is {LIBRARY}; "
        "in the whole wheel 25 % of 200 functions begin with endbr64"
    )


def test_libraries_of_another_machine_do_not_count():
    arm = make_elf(machine="EM_AARCH64", ibt=False, shstk=False)
    code = {LIBRARY: make_code(canaries=0, endbr=80), OTHER: make_code(canaries=100, endbr=0)}
    findings = found(wheel_of(make_elf(shstk=False), arm, code=code))
    assert findings["HARD-CANARY"].message.startswith("1 of 1 libraries")
    assert findings["HARD-CANARY"].message.endswith("0 % of 100 functions do")
    assert findings["HARD-CET"].message.startswith("1 of 1 libraries")
    assert findings["HARD-CET"].message.endswith("80 % of 100 functions begin with endbr64")


def test_a_wheel_for_another_machine_is_asked_for_no_marks():
    facts = make_facts(plan=None, libraries={LIBRARY: make_elf(machine="EM_AARCH64", ibt=False, shstk=False)}, code={})
    assert found(facts) == {}


def test_the_mark_of_indirect_branches_alone_is_no_fault_and_not_enough():
    assert found(library(ibt=False)) == {}
    assert "HARD-CET" in found(library(ibt=True, shstk=False))


def test_rust_needs_no_canary_and_the_reason_is_told():
    code = {LIBRARY: make_code(canaries=0), OTHER: make_code(canaries=0)}
    findings = found(wheel_of(make_elf(rust=True), make_elf(), code=code))
    assert set(findings) == {"HARD-CANARY", "HARD-CANNOT"}
    assert findings["HARD-CANARY"].message.startswith(
        f"1 of 2 libraries have no function that checks the stack, the first is {OTHER}"
    )
    assert findings["HARD-CANNOT"].message == (
        f"HARD-CANARY: 1 of 2 libraries have no function that checks the stack, the first is {LIBRARY}; "
        "stable Rust has no stack protector; safe Rust checks each index"
    )


def unmarked_by(toolchain):
    """Return what is found in a wheel of ours without marks, with the severity that it has."""
    plan = make_plan_of(toolchain=toolchain)
    facts = make_facts(plan, libraries={LIBRARY: make_elf(shstk=False)})
    return {finding.code: finding.severity for finding in run_checks(facts) if finding.code.startswith("HARD-")}


def test_what_the_compiler_of_our_own_wheel_cannot_do_is_told_and_refuses_nothing():
    assert unmarked_by(make_zig(native_features=make_toolchain().native_features)) == {"HARD-CANNOT": "info"}
    assert unmarked_by(make_toolchain()) == {"HARD-CET": "error"}
    assert unmarked_by(make_toolchain(kind="clang")) == {"HARD-CET": "error"}


def test_a_strangers_wheel_has_no_excuse_of_a_compiler():
    assert "HARD-CET" in found(make_facts(plan=None, libraries={LIBRARY: make_elf(shstk=False)}))


@pytest.mark.parametrize(
    "change",
    [
        {"relro": "none"},
        {"relro": "partial"},
        {"shstk": False},
        {"unfortified": ("printf",)},
    ],
)
def test_a_warning_of_others_refuses_a_wheel_of_ours(change):
    (ours,) = [each for each in run_checks(library(**change)) if each.code.startswith("HARD-")]
    (others,) = [
        each
        for each in run_checks(make_facts(plan=None, libraries={LIBRARY: make_elf(**change)}))
        if each.code.startswith("HARD-")
    ]
    assert (ours.severity, others.severity) == ("error", "warning")


def test_nothing_is_said_of_code_that_could_not_be_read():
    findings = found(make_facts(libraries={LIBRARY: make_elf(shstk=False)}, code={}))
    assert set(findings) == {"HARD-CET"}
    assert "whole wheel" not in findings["HARD-CET"].message


@pytest.mark.parametrize(
    ("fortified", "unfortified", "said"),
    [
        ((), ("printf",), True),
        ((), ("memcpy", "snprintf"), True),
        ((), ("longjmp",), True),
        # Where the buffer's size is not known, the compiler leaves these as they are.
        ((), ("memcpy", "memmove", "memset", "read"), False),
        ((), (), False),
        (("memcpy",), ("printf",), False),
        (("printf",), (), False),
    ],
)
def test_a_library_that_prints_is_compiled_with_the_checks_or_not(fortified, unfortified, said):
    assert ("HARD-FORTIFY" in found(library(fortified=fortified, unfortified=unfortified))) is said


def test_rust_calls_no_checked_function_and_the_reason_is_told():
    findings = found(wheel_of(make_elf(rust=True, unfortified=("printf",)), make_elf(fortified=("memcpy",))))
    assert "HARD-FORTIFY" not in findings
    assert "Rust calls the C library without its headers" in findings["HARD-CANNOT"].message
    both = found(wheel_of(make_elf(rust=True, unfortified=("printf",)), make_elf(unfortified=("printf",))))
    assert {"HARD-FORTIFY", "HARD-CANNOT"} <= both.keys()


def test_the_share_of_checked_functions():
    facts = wheel_of(make_elf(unfortified=("memcpy", "printf")), make_elf(fortified=("memcpy",), unfortified=("read",)))
    assert found(facts)["HARD-FORTIFY"].message == (
        f"1 of 2 libraries call no function with its check, the first is {LIBRARY}; "
        "in the whole wheel 25 % of 4 such functions are called with it"
    )
