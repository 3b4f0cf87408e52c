"""The facts of a library's code, and what becomes of libraries that are damaged or hostile."""

import contextlib
import random
import signal
import struct

import pytest
from code_builder import (
    CPUID,
    RET,
    build_library,
    call,
    compare,
    data_in_text,
    function,
    store,
    take,
    variable,
)
from elf_builder import build_elf
from hypothesis import given, settings
from hypothesis import strategies as st

from truewheel.binary import code as code_module
from truewheel.binary.code import CodeFacts, read_code
from truewheel.binary.elf import elf_facts
from truewheel.binary.image import ElfImage

ENDBR = bytes.fromhex("f30f1efa")
VPADDD = bytes.fromhex("c5f5fec2")
LOAD_MODE = bytes.fromhex("0fae5c24fc 814c24fc40800000 0fae5424fc")
"""stmxcsr [rsp-4]; or dword ptr [rsp-4], 8040h; ldmxcsr [rsp-4]: flush denormal numbers, take them as zero."""
CANARIES = {
    "mov rax, fs:[40]": "64488b042528000000",
    "mov rcx, fs:[40]": "64488b0c2528000000",
    "mov r8, fs:[40]": "644c8b042528000000",
    "sub rdx, fs:[40]": "64482b142528000000",
    "xor rcx, fs:[40]": "6448330c2528000000",
    "cmp rax, fs:[40]": "64483b042528000000",
}
SMALL = build_library(
    function("detect", ENDBR, CPUID, store("level"), RET),
    function("entry", ENDBR, compare("level"), b"\x74\x05", call("kernel"), take("table"), RET, exported=True),
    function("kernel", VPADDD, RET),
    data_in_text("constants", bytes(range(64))),
    function("other", bytes.fromhex("f30fbcc1 f30fb8c1"), RET, exported=True),
    function("resolver", take("kernel"), RET, exported=True, resolver=True),
    variables=[variable("level"), variable("table", "kernel", "other", "@entry"), variable("slot")],
    start=["detect"],
    chosen=[("slot", "resolver")],
    imports=["__cpu_model", "memcpy"],
    frames=True,
)
"""A library with everything that `read_code` looks at."""
PACKED = build_library(
    function("entry", take("table"), RET, exported=True),
    function("kernel", VPADDD, RET),
    variables=[variable("table", "kernel", "entry")],
    packed=True,
    symtab=False,
    frames=True,
)
BARE = build_library(
    function("entry", call("kernel"), RET, exported=True),
    data_in_text("kernel", VPADDD * 8, RET),
    symtab=False,
    frames=True,
    section_table=False,
)


def code_of(*functions, **options):
    return read_code(ElfImage(build_library(*functions, **options).data))


@contextlib.contextmanager
def within(seconds):
    """Fail when what is done takes more CPU time; the failure passes through handlers of ordinary errors."""

    def late(_number, _frame):
        pytest.fail(f"it took more than {seconds} seconds of CPU")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def read_or_refuse(data, seconds=20):
    """Read what may be damaged: only a ValueError refuses it, and the code is read or given up, soon."""
    with within(seconds):
        try:
            image = ElfImage(data)
            elf_facts(image)
        except ValueError:
            return None
        if image.x86_64:
            # Whoever reads hostile code takes any error for damage.
            with contextlib.suppress(Exception):
                return read_code(image)
    return None


def test_a_small_library_is_told_whole():
    facts = read_code(ElfImage(SMALL.data))
    assert {(kernel.name, kernel.features, kernel.standing) for kernel in facts.kernels} == {
        ("kernel", ("avx2",), "guarded"),
        ("other", ("popcnt",), "open"),
    }
    assert facts.named == 5
    assert {"detect", "resolver"} <= {*facts.asks}
    assert (facts.maybe_tzcnt, facts.endbr, facts.canaries) == (1, 2, 0)
    assert (facts.fast_math, facts.more) == ("", 0)
    assert facts.functions > facts.named
    assert facts.skipped > 0


def test_kernels_say_what_others_may_call():
    shown = function("shown", VPADDD, RET, exported=True)
    hidden = function("hidden", VPADDD, RET)
    assert {kernel.name: kernel.exported for kernel in code_of(shown, hidden).kernels} == {
        "shown": True,
        "hidden": False,
    }


def test_three_examples_for_each_feature_and_standing():
    kernels = [function(f"kernel_{number}", VPADDD, bytes.fromhex("f30fb8c1"), RET) for number in range(10)]
    examples = code_of(*kernels).examples
    assert sorted(example.feature for example in examples) == ["avx2"] * 3 + ["popcnt"] * 3
    assert {example.standing for example in examples} == {"open"}


def test_more_kernels_than_are_kept_are_counted(monkeypatch):
    monkeypatch.setattr(code_module, "MAX_KERNELS", 4)
    facts = code_of(*(function(f"kernel_{number}", VPADDD, RET) for number in range(10)))
    assert (len(facts.kernels), facts.more) == (4, 6)


def test_only_some_of_those_who_ask_are_named():
    facts = code_of(*(function(f"ask_{number}", CPUID, RET) for number in range(30)), function("kernel", VPADDD, RET))
    assert facts.asks == tuple(f"ask_{number}" for number in range(10))


@pytest.mark.parametrize("form", [{}, {"symtab": False, "frames": True}, {"packed": True}])
def test_a_start_up_function_that_loads_the_floating_point_mode(form):
    library = build_library(
        function("set_fast_math", LOAD_MODE, RET), function("other", RET), start=["other", "set_fast_math"], **form
    )
    name = read_code(ElfImage(library.data)).fast_math
    assert name == ("set_fast_math" if form.get("symtab", True) else f".text@{library.addresses['set_fast_math']:#x}")


def test_the_vector_form_of_that_load_counts_too():
    mode = bytes.fromhex("c5f8ae5424fc")
    assert code_of(function("begin", mode, RET), start=["begin"]).fast_math == "begin"


@pytest.mark.parametrize("body", [bytes.fromhex("0fae5c24fc"), bytes.fromhex("d92c24"), b"\x90"])
def test_a_start_up_function_that_only_looks_at_the_mode(body):
    assert code_of(function("begin", body, RET), start=["begin"]).fast_math == ""


def test_a_function_that_loads_the_mode_when_it_is_called():
    library = [function("with_mode", LOAD_MODE, RET, exported=True), function("begin", RET)]
    assert code_of(*library, start=["begin"]).fast_math == ""
    assert code_of(*library).fast_math == ""


def test_functions_that_begin_with_endbr64_are_counted():
    facts = code_of(
        function("one", ENDBR, RET),
        function("two", RET),
        function("three", b"\x90", ENDBR, RET),
        function("four", ENDBR),
    )
    assert (facts.endbr, facts.functions) == (2, 4)


@pytest.mark.parametrize("form", [{}, {"symtab": False, "frames": True}])
def test_functions_that_look_at_the_canary_are_counted_once(form):
    bodies = [bytes.fromhex(code) for code in CANARIES.values()]
    functions = [function(f"number_{number}", body, b"\x90", body, RET) for number, body in enumerate(bodies)]
    assert code_of(*functions, function("without", RET), **form).canaries == len(CANARIES)


def test_another_word_of_the_thread_is_no_canary():
    assert code_of(function("errno", bytes.fromhex("64488b042500000000"), RET)).canaries == 0


def test_a_library_without_code():
    facts = code_of(symtab=False)
    assert (facts.functions, facts.bytes, facts.kernels) == (0, 0, ())
    assert read_code(ElfImage(build_elf())).functions == 0


def test_without_a_section_table_nothing_is_missed():
    image = ElfImage(BARE.data)
    assert image.damage == ""
    (kernel,) = read_code(image).kernels
    assert (kernel.features, kernel.standing) == (("avx2",), "open")
    assert kernel.name.startswith("entry@")


def test_with_a_cut_off_section_table_nothing_is_missed():
    for end in range(SMALL.section_table, len(SMALL.data), 64):
        image = ElfImage(SMALL.data[:end])
        assert image.damage
        facts = read_code(image)
        features = {feature for kernel in facts.kernels for feature in kernel.features}
        assert features == {"avx2", "popcnt"}
        assert "other" in {kernel.name for kernel in facts.kernels}


@pytest.mark.parametrize("library", [SMALL, PACKED, BARE])
def test_a_library_cut_off_anywhere_is_read_or_refused(library):
    for end in range(0, len(library.data), 64):
        read_or_refuse(library.data[:end])
    whole = read_or_refuse(library.data)
    assert isinstance(whole, CodeFacts)
    assert whole.kernels


def test_random_bytes_behind_the_magic_are_read_or_refused():
    source = random.Random(20)
    header = SMALL.data[:64]
    for _ in range(200):
        read_or_refuse(b"\x7fELF" + source.randbytes(source.randrange(2000)))
        read_or_refuse(header[: source.randrange(4, 64)] + source.randbytes(source.randrange(2000)))
        read_or_refuse(header + source.randbytes(source.randrange(2000)))


@settings(max_examples=600)
@given(
    st.sampled_from([SMALL, PACKED, BARE]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_flipped_bytes_are_read_or_refused(library, changes):
    data = bytearray(library.data)
    for position, value in changes:
        data[int(position * len(data))] = value
    read_or_refuse(bytes(data))


@settings(max_examples=600)
@given(
    st.sampled_from([SMALL, PACKED, BARE]),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(
        [b"\xff" * 4, b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", bytes(7) + b"\x40", bytes(4) + b"\x01", b"\x80"]
    ),
)
def test_extreme_numbers_are_read_or_refused(library, position, number):
    at = int(position * len(library.data)) // 4 * 4
    read_or_refuse(library.data[:at] + number + library.data[at + len(number) :])


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_code_or_data(code):
    # Bytes of every kind in a function, in a gap, and in a library without names.
    for options in ({}, {"symtab": False}):
        facts = read_or_refuse(build_library(function("any", code, exported=not options), **options).data)
        assert isinstance(facts, CodeFacts)
        assert facts.bytes <= len(code) + 16


def patched(library, at, layout, *values):
    data = bytearray(library.data)
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


def segment_header(number):
    return 64 + 56 * number


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, 1 << 62, (1 << 64) - 1])
@pytest.mark.parametrize("field", [32, 40])
@pytest.mark.parametrize("number", range(4))
def test_a_segment_that_reaches_beyond_the_file(number, field, size):
    facts = read_or_refuse(patched(BARE, segment_header(number) + field, "<Q", size))
    if facts is not None:
        assert facts.bytes <= len(BARE.data)


def test_an_endless_segment_whose_last_bytes_are_code_is_read_soon():
    # Behind the end of the library stands code that needs AVX2, in a segment that claims to go on for ever.
    at = len(BARE.data) + -len(BARE.data) % 16
    data = bytearray(BARE.data) + bytes(at - len(BARE.data)) + (VPADDD + RET) * 4
    struct.pack_into("<IIQQQQQQ", data, segment_header(4), 1, 5, at, at, at, 1 << 50, 1 << 50, 8)
    facts = read_or_refuse(bytes(data), seconds=5)
    assert facts is not None
    assert facts.bytes <= len(data)


@pytest.mark.parametrize("size", [25, 1 << 20, 1 << 40, 1 << 62, (1 << 64) - 1])
@pytest.mark.parametrize("name", [".dynsym", ".symtab", ".strtab", ".dynstr"])
def test_a_symbol_table_of_absurd_size(name, size):
    index = next(
        number
        for number in range(1, struct.unpack_from("<H", SMALL.data, 60)[0])
        if struct.unpack_from("<Q", SMALL.data, SMALL.section_table + 64 * number + 24)[0] == SMALL.sections[name]
    )
    facts = read_or_refuse(patched(SMALL, SMALL.section_table + 64 * index + 32, "<Q", size))
    if size > 25:
        assert facts is not None
        assert {feature for kernel in facts.kernels for feature in kernel.features} == {"avx2", "popcnt"}


@pytest.mark.parametrize("size", [1, 25, 1 << 20, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("tag", [8, 10, 27, 35])
def test_a_dynamic_table_of_absurd_size(tag, size):
    for library in (SMALL, PACKED):
        start = library.sections[".dynamic"]
        for at in range(start, start + 16 * 12, 16):
            if struct.unpack_from("<Q", library.data, at)[0] == tag:
                assert read_or_refuse(patched(library, at + 8, "<Q", size)) is not None


def test_many_symbols_whose_names_have_no_end_are_read_soon():
    # 20,000 symbols, each with a name of megabytes.
    count, length = 20_000, 8 << 20
    data = bytearray(SMALL.data)
    symbols_at = len(data)
    names_at = symbols_at + 24 * count
    data += struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000, 1) * count + b"x" * length
    for number in range(1, struct.unpack_from("<H", data, 60)[0]):
        header = SMALL.section_table + 64 * number
        at = struct.unpack_from("<Q", data, header + 24)[0]
        if at == SMALL.sections[".symtab"]:
            struct.pack_into("<QQ", data, header + 24, symbols_at, 24 * count)
        elif at == SMALL.sections[".strtab"]:
            struct.pack_into("<QQ", data, header + 24, names_at, length)
    image = ElfImage(bytes(data))
    with within(5):
        symbols = image.symbols(dynamic=False)
    assert len(symbols) == count
    assert {symbol.name for symbol in symbols} == {"x" * 500}


def test_many_dynamic_segments_are_read_soon():
    # Four thousand program headers that all lead to one table of two thousand tags.
    data = bytearray(PACKED.data)
    tags_at = len(data) + -len(data) % 8
    data += bytes(tags_at - len(data)) + struct.pack("<QQ", 0x6FFFFEF5, 0) * 2000 + bytes(16)
    headers_at = len(data)
    data += PACKED.data[64 : 64 + 56 * 3]
    data += struct.pack("<IIQQQQQQ", 2, 6, tags_at, tags_at, tags_at, 16 * 2001, 16 * 2001, 8) * 4000
    struct.pack_into("<Q", data, 32, headers_at)
    struct.pack_into("<H", data, 56, 4003)
    read_or_refuse(bytes(data), seconds=5)


def test_a_stretch_without_a_single_instruction_is_skipped_soon():
    library = build_library(data_in_text("noise", b"\x06" * (4 << 20)), symtab=False)
    facts = read_or_refuse(library.data, seconds=10)
    assert facts is not None
    assert (facts.skipped, facts.kernels) == (4 << 20, ())


def test_sections_that_overlap_are_read_or_given_up():
    data = bytearray(SMALL.data)
    for number in range(1, struct.unpack_from("<H", data, 60)[0]):
        header = SMALL.section_table + 64 * number
        if struct.unpack_from("<Q", data, header + 24)[0] in (SMALL.sections[".data"], SMALL.sections[".eh_frame"]):
            struct.pack_into("<Q", data, header + 8, 6)
            struct.pack_into("<QQQ", data, header + 16, SMALL.sections[".text"], SMALL.sections[".text"], 64)
    facts = read_or_refuse(bytes(data))
    assert facts is not None
    assert {"avx2", "popcnt"} <= {feature for kernel in facts.kernels for feature in kernel.features}
