"""Who stands before a kernel: what is called on every CPU, what only where somebody asked, what by nobody."""

import pytest
from code_builder import (
    CPUID,
    RET,
    build_library,
    call,
    call_by,
    compare,
    data_in_text,
    function,
    jump,
    load,
    load_wide,
    store,
    store_wide,
    take,
    variable,
)

from truewheel.binary.code import read_code
from truewheel.binary.image import ElfImage

KERNEL = function("kernel", bytes.fromhex("c5f5fec2"), RET)
EXPORTED_KERNEL = KERNEL._replace(exported=True)
LEVEL, POINTER = variable("level"), variable("pointer")
DETECT = function("detect", CPUID, store("level"), RET)
DETECT_AT_START = {"start": ["detect"], "variables": [LEVEL, POINTER]}
SKIP_CALL = b"\x74\x05"
"""je over a call."""
ENTRY = function("entry", compare("level"), SKIP_CALL, call("kernel"), RET, exported=True)
FILLER = bytes.fromhex("8d047e 0fafc7") * 6
STRIPPED = [{}, {"symtab": False, "frames": True}, {"symtab": False, "frames": True, "packed": True}]


def code_of(*functions, **options):
    return read_code(ElfImage(build_library(*functions, **options).data))


def standing(*functions, **options):
    """Return how the only kernel of a library stands."""
    (kernel,) = code_of(*functions, **options).kernels
    return kernel.standing


@pytest.mark.parametrize("form", STRIPPED)
def test_a_kernel_behind_a_function_that_reads_what_was_stored_is_guarded(form):
    assert standing(DETECT, ENTRY, KERNEL, **DETECT_AT_START, **form) == "guarded"


@pytest.mark.parametrize("form", STRIPPED)
def test_the_same_kernel_that_somebody_else_calls_as_well_is_open(form):
    other = function("other", FILLER, call("kernel"), RET, exported=True)
    assert standing(DETECT, ENTRY, other, KERNEL, **DETECT_AT_START, **form) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_the_same_kernel_that_others_may_call_by_name_is_open(form):
    (kernel,) = code_of(DETECT, ENTRY, EXPORTED_KERNEL, **DETECT_AT_START, **form).kernels
    assert (kernel.standing, kernel.exported) == ("open", True)


def test_a_function_that_jumps_to_the_kernel_counts_as_one_that_calls_it():
    other = function("other", FILLER, jump("kernel"), exported=True)
    assert standing(DETECT, ENTRY, other, KERNEL, **DETECT_AT_START) == "open"


def test_a_kernel_that_somebody_takes_the_address_of_may_be_called_by_him():
    other = function("other", take("kernel"), RET, exported=True)
    assert standing(DETECT, ENTRY, other, KERNEL, **DETECT_AT_START) == "open"


def test_a_kernel_far_behind_an_aware_function_is_guarded():
    between = [function(f"step_{number}", FILLER, call(f"step_{number + 1}"), RET) for number in range(5)]
    last = function("step_5", FILLER, call("kernel"), RET)
    choose = function("choose", compare("level"), SKIP_CALL, call("step_0"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    assert standing(DETECT, entry, choose, *between, last, KERNEL, **DETECT_AT_START) == "guarded"
    shortcut = function("shortcut", FILLER, call("step_3"), RET, exported=True)
    assert standing(DETECT, entry, shortcut, choose, *between, last, KERNEL, **DETECT_AT_START) == "open"


def test_functions_that_call_each_other_end_the_walk():
    ping = function("ping", FILLER, call("pong"), RET, exported=True)
    pong = function("pong", FILLER, call("ping"), call("kernel"), RET)
    assert standing(DETECT, ping, pong, KERNEL, **DETECT_AT_START) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_an_entrance_that_looks_at_the_cpu_does_not_guard_the_library_behind_it(form):
    entry = function("entry", compare("level"), SKIP_CALL, call("helper"), RET, exported=True)
    helper = function("helper", FILLER, call("kernel"), RET)
    assert standing(DETECT, entry, helper, KERNEL, **DETECT_AT_START, **form) == "open"


def test_asking_without_ever_looking_at_the_answer_guards_nothing():
    entry = function("entry", FILLER, call("kernel"), RET, exported=True)
    assert standing(DETECT, entry, KERNEL, **DETECT_AT_START) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_a_kernel_that_nothing_leads_to_is_unreached(form):
    entry = function("entry", FILLER, RET, exported=True)
    assert standing(DETECT, entry, KERNEL, **DETECT_AT_START, **form) == "unreached"


@pytest.mark.parametrize("form", STRIPPED)
@pytest.mark.parametrize("called", [True, False])
def test_where_nobody_asks_the_cpu_everything_is_open(form, called):
    body = [compare("level"), SKIP_CALL, call("kernel")] if called else [FILLER]
    entry = function("entry", *body, RET, exported=True)
    assert standing(entry, KERNEL, variables=[LEVEL], **form) == "open"


@pytest.mark.parametrize("length", [1, 5])
def test_where_nobody_asks_the_cpu_code_without_any_name_is_open_once_it_is_called(length):
    entry = function("entry", call("kernel"), RET, exported=True)
    kernel = data_in_text("kernel", bytes.fromhex("c5f5fec2") * length, RET, align=1)
    assert standing(entry, kernel, symtab=False) == "open"


def test_a_function_that_asks_itself_guards_what_it_calls_and_what_is_in_it():
    entry = function("entry", CPUID, SKIP_CALL, call("kernel"), RET, exported=True)
    assert standing(entry, KERNEL) == "guarded"
    assert standing(function("entry", CPUID, bytes.fromhex("c5f5fec2"), RET, exported=True)) == "guarded"


def test_a_small_function_that_tells_the_level_makes_its_callers_aware():
    tell = function("has_avx2", load("level"), RET)
    choose = function("choose", call("has_avx2"), b"\x85\xc0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    assert standing(DETECT, tell, choose, entry, KERNEL, **DETECT_AT_START) == "guarded"


def test_a_caller_of_the_one_who_asks_may_store_the_answer():
    ask = function("ask", CPUID, RET)
    remember = function("remember", call("ask"), store("level"), RET)
    options = {"start": ["remember"], "variables": [LEVEL]}
    assert standing(ask, remember, ENTRY, KERNEL, **options) == "guarded"


def test_a_pointer_that_the_one_who_asks_sets_is_guarded():
    choose = function("choose", CPUID, take("kernel"), store_wide("pointer"), RET)
    entry = function("entry", FILLER, call_by("pointer"), RET, exported=True)
    assert standing(choose, entry, KERNEL, start=["choose"], variables=[POINTER]) == "guarded"


def test_a_pointer_that_an_aware_function_sets_is_guarded():
    choose = function("choose", compare("level"), take("kernel"), store_wide("pointer"), RET)
    entry = function("entry", FILLER, call_by("pointer"), RET, exported=True)
    options = {"start": ["detect", "choose"], "variables": [LEVEL, POINTER]}
    assert standing(DETECT, choose, entry, KERNEL, **options) == "guarded"


@pytest.mark.parametrize("packed", [False, True])
def test_a_pointer_that_leads_to_the_kernel_from_the_start_is_open(packed):
    entry = function("entry", FILLER, call_by("pointer"), RET, exported=True)
    variables = [LEVEL, variable("pad"), variable("pointer", "kernel")]
    assert standing(DETECT, entry, KERNEL, start=["detect"], variables=variables, packed=packed) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_a_table_of_pointers_that_an_aware_function_chooses_is_guarded(form):
    plain = function("plain", FILLER, RET)
    choose = function("choose", compare("level"), take("fast"), store_wide("table"), RET)
    entry = function("entry", FILLER, load_wide("table"), b"\xff\x10", RET, exported=True)
    variables = [LEVEL, variable("pad"), variable("table"), variable("fast", "plain", "kernel"), variable("end")]
    options = {"start": ["detect", "choose"], "variables": variables, **form}
    assert standing(DETECT, choose, entry, plain, KERNEL, **options) == "guarded"


@pytest.mark.parametrize("form", STRIPPED)
def test_a_table_of_pointers_that_an_entrance_reads_is_open(form):
    other = function("other", FILLER, take("fast"), b"\xff\x50\x08", RET, exported=True)
    plain = function("plain", FILLER, RET)
    variables = [LEVEL, variable("pad"), variable("fast", "plain", "kernel"), variable("end")]
    assert standing(DETECT, other, plain, KERNEL, start=["detect"], variables=variables, **form) == "open"


def test_a_table_beside_the_one_that_is_read_is_not_read():
    other = function("other", FILLER, take("slow"), RET, exported=True)
    choose = function("choose", compare("level"), take("fast"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    plain = function("plain", FILLER, RET)
    variables = [LEVEL, variable("pad"), variable("slow", "plain"), variable("fast", "kernel")]
    options = {"start": ["detect"], "variables": variables}
    assert standing(DETECT, other, choose, entry, plain, KERNEL, **options) == "guarded"


def test_a_table_of_tables_is_followed():
    other = function("other", FILLER, take("outer"), RET, exported=True)
    variables = [LEVEL, variable("pad"), variable("outer", "inner"), variable("inner", "kernel")]
    assert standing(DETECT, other, KERNEL, start=["detect"], variables=variables) == "open"


@pytest.mark.parametrize("word", ["kernel", "@kernel"])
def test_what_others_may_read_they_may_call(word):
    kernel = EXPORTED_KERNEL if word.startswith("@") else KERNEL
    variables = [LEVEL, variable("pad"), variable("methods", word, exported=True)]
    assert standing(DETECT, kernel, start=["detect"], variables=variables) == "open"


def test_a_kernel_that_the_loader_runs_at_the_start_is_open():
    assert standing(DETECT, KERNEL, start=["detect", "kernel"], variables=[LEVEL]) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_a_kernel_that_an_exported_ifunc_chooses_is_guarded(form):
    ask = function("ask", CPUID, RET)
    resolver = function("sum", call("ask"), take("kernel"), RET, exported=True, resolver=True)
    code = code_of(ask, resolver, KERNEL, **form)
    assert [kernel.standing for kernel in code.kernels] == ["guarded"]
    assert "sum" in code.asks


@pytest.mark.parametrize("form", STRIPPED)
def test_a_kernel_that_a_hidden_ifunc_chooses_is_guarded(form):
    resolver = function("choose", compare("got:__cpu_model"), take("kernel"), RET)
    entry = function("entry", FILLER, call_by("slot"), RET, exported=True)
    options = {"imports": ["__cpu_model"], "variables": [variable("slot")], "chosen": [("slot", "choose")]}
    code = code_of(resolver, entry, KERNEL, **options, **form)
    assert [kernel.standing for kernel in code.kernels] == ["guarded"]
    assert code.asks


def test_a_kernel_that_is_called_beside_its_ifunc_is_open():
    resolver = function("sum", take("kernel"), RET, exported=True, resolver=True)
    other = function("other", FILLER, call("kernel"), RET, exported=True)
    assert standing(resolver, other, KERNEL) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_what_the_compilers_run_time_stored_is_looked_at_through_the_offset_table(form):
    choose = function("choose", load_wide("got:__cpu_model"), b"\x83\x38\0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    assert standing(choose, entry, KERNEL, imports=["__cpu_model"], **form) == "guarded"


def test_what_the_compilers_run_time_stored_is_looked_at_where_somebody_asks_as_well():
    choose = function("choose", load_wide("got:__cpu_model"), b"\x83\x38\0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    options = {"imports": ["__cpu_model"], **DETECT_AT_START}
    assert standing(DETECT, choose, entry, KERNEL, **options) == "guarded"


def test_another_import_tells_nothing_of_the_cpu():
    choose = function("choose", load_wide("got:environ"), b"\x83\x38\0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    options = {"imports": ["environ"], **DETECT_AT_START}
    assert standing(DETECT, choose, entry, KERNEL, **options) == "open"


@pytest.mark.parametrize("asks", ["getauxval", "__cpu_indicator_init"])
def test_calls_through_the_linkage_table_do_not_make_a_caller_aware(asks):
    # One of the imports may tell of the CPU, another is called; both stand in one small table of jumps.
    entry = function("entry", FILLER, call("jump:memcpy"), call("kernel"), RET, exported=True)
    assert standing(DETECT, entry, KERNEL, jumps=[asks, "memcpy"], **DETECT_AT_START) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_a_small_function_that_tells_the_level_is_known_through_the_linkage_table(form):
    tell = function("has_avx2", load("level"), RET, exported=True)
    choose = function("choose", call("jump:has_avx2"), b"\x85\xc0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    options = {"jumps": ["memcpy", "has_avx2"], **DETECT_AT_START, **form}
    assert standing(DETECT, tell, choose, entry, KERNEL, **options) == "guarded"


def test_a_kernel_that_is_called_through_the_linkage_table_is_called():
    entry = function("entry", FILLER, call("jump:wrapper"), RET, exported=True)
    wrapper = function("wrapper", FILLER, call("kernel"), RET, exported=True)
    assert standing(DETECT, entry, wrapper, KERNEL, jumps=["wrapper"], **DETECT_AT_START) == "open"


@pytest.mark.parametrize("form", STRIPPED)
def test_whoever_asks_through_a_pointer_to_the_one_who_asks_is_aware(form):
    ask = function("ask", CPUID, RET)
    choose = function("choose", call_by("asker"), b"\x85\xc0", SKIP_CALL, call("kernel"), RET)
    entry = function("entry", FILLER, call("choose"), RET, exported=True)
    assert standing(ask, choose, entry, KERNEL, variables=[variable("asker", "ask")], **form) == "guarded"


def test_a_step_in_front_of_a_kernel_that_an_aware_entrance_takes_is_a_part_of_it():
    step = function("step", bytes.fromhex("4889f8"), jump("kernel"))
    entry = function("entry", compare("level"), take("step"), RET, exported=True)
    assert standing(DETECT, entry, step, KERNEL, **DETECT_AT_START) == "guarded"


def test_a_variable_that_is_not_the_answer_guards_nothing():
    entry = function("entry", compare("mode"), SKIP_CALL, call("kernel"), RET, exported=True)
    variables = [LEVEL, variable("pad"), variable("mode")]
    assert standing(DETECT, entry, KERNEL, start=["detect"], variables=variables) == "open"


def test_two_halves_of_a_word_that_is_written_at_once_are_both_the_answer():
    detect = function("detect", CPUID, store_wide("level"), RET)
    second = compare("level")._replace(shift=4)
    entry = ENTRY._replace(parts=(second, *ENTRY.parts[1:]))
    assert standing(detect, entry, KERNEL, **DETECT_AT_START) == "guarded"


def test_each_kernel_has_a_standing_of_its_own():
    code = code_of(
        DETECT,
        ENTRY,
        KERNEL,
        KERNEL._replace(name="lonely"),
        KERNEL._replace(name="offered", exported=True),
        **DETECT_AT_START,
    )
    assert {kernel.name: kernel.standing for kernel in code.kernels} == {
        "kernel": "guarded",
        "lonely": "unreached",
        "offered": "open",
    }
    assert {example.function: example.standing for example in code.examples} == {
        "kernel": "guarded",
        "lonely": "unreached",
        "offered": "open",
    }
    assert code.asks == ("detect",)
