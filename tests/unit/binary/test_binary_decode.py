"""Machine code to features: what is planted is found and named, and what is harmless is let be."""

import itertools

import pytest
from code_builder import (
    CPUID,
    RET,
    build_library,
    call,
    compare,
    data_in_text,
    function,
    jump,
    load,
    store,
    take,
    variable,
)

from truewheel.binary.code import read_code
from truewheel.binary.decode import GAP, UNNAMED, code_table, find_stretches, load_needs
from truewheel.binary.image import ElfImage
from truewheel.cpu.features import feature_table

# Feature, the GNU assembler's bytes, and how the instruction reads.
PLANTED = [
    ("sse3", "f20fd0c1", "addsubps xmm0,xmm1"),
    ("sse3", "660f7cd3", "haddpd xmm2,xmm3"),
    ("sse3", "f20ff027", "lddqu xmm4,[rdi]"),
    ("sse3", "db0f", "fisttp dword ptr [rdi],st"),
    ("ssse3", "660f3800c1", "pshufb xmm0,xmm1"),
    ("ssse3", "0f381ec1", "pabsd mm0,mm1"),
    ("sse4_1", "660f3840c1", "pmulld xmm0,xmm1"),
    ("sse4_1", "660f3a0bc101", "roundsd xmm0,xmm1,1"),
    ("sse4_1", "660f3a14c803", "pextrb eax,xmm1,3"),
    ("sse4_2", "660f3837c1", "pcmpgtq xmm0,xmm1"),
    ("sse4_2", "f20f38f1c1", "crc32 eax,ecx"),
    ("sse4a", "660f79c1", "extrq xmm0,xmm1"),
    ("popcnt", "f3480fb8c1", "popcnt rax,rcx"),
    ("cx16", "f0480fc70f", "lock cmpxchg16b [rdi]"),
    ("abm", "f30fbdc1", "lzcnt eax,ecx"),
    ("movbe", "0f38f007", "movbe eax,[rdi]"),
    ("aes", "660f38dcc1", "aesenc xmm0,xmm1"),
    ("pclmulqdq", "660f3a44c111", "pclmulhqhqdq xmm0,xmm1"),
    ("sha_ni", "0f38cbca", "sha256rnds2 xmm1,xmm2"),
    ("gfni", "660f38cfc1", "gf2p8mulb xmm0,xmm1"),
    ("adx", "660f38f6c1", "adcx eax,ecx"),
    ("adx", "f3480f38f6c1", "adox rax,rcx"),
    ("avx", "c5f458c2", "vaddps ymm0,ymm1,ymm2"),
    ("avx", "c5f877", "vzeroupper"),
    ("avx", "c5fa6f1e", "vmovdqu xmm3,[rsi]"),
    ("avx2", "c5f5fec2", "vpaddd ymm0,ymm1,ymm2"),
    ("avx2", "c4e269900488", "vpgatherdd xmm0,[rax+xmm1*4],xmm2"),
    ("fma", "c4e275b8c2", "vfmadd231ps ymm0,ymm1,ymm2"),
    ("f16c", "c4e27d13c1", "vcvtph2ps ymm0,xmm1"),
    ("f16c", "c4e37d1d0f00", "vcvtps2ph [rdi],ymm1,0"),
    ("bmi1", "c4e270f2c2", "andn eax,ecx,edx"),
    ("bmi1", "c4e2f8f3c9", "blsr rax,rcx"),
    ("bmi1", "c4e268f7c1", "bextr eax,ecx,edx"),
    ("bmi2", "c4e273f5c2", "pdep eax,ecx,edx"),
    ("bmi2", "c4e2f3f6c2", "mulx rax,rcx,rdx"),
    ("bmi2", "c4e2e9f7c1", "shlx rax,rcx,rdx"),
    ("vaes", "c4e275dcc2", "vaesenc ymm0,ymm1,ymm2"),
    ("vpclmulqdq", "c4e37544c201", "vpclmulhqlqdq ymm0,ymm1,ymm2"),
    ("fma4", "c4e3f168c320", "vfmaddps xmm0,xmm1,xmm2,xmm3"),
    ("xop", "8fe870a2c230", "vpcmov xmm0,xmm1,xmm2,xmm3"),
    ("xop", "8fe878c2c103", "vprotd xmm0,xmm1,3"),
    ("tbm", "8fe97801c9", "blcfill eax,ecx"),
    ("avx_vnni", "c4e27550c2", "vpdpbusd ymm0,ymm1,ymm2"),
    ("avx_vnni_int8", "c4e27750c2", "vpdpbssd ymm0,ymm1,ymm2"),
    ("avx_ifma", "c4e2f5b4c2", "vpmadd52luq ymm0,ymm1,ymm2"),
    ("avx_ne_convert", "c4e27eb107", "vbcstnebf162ps ymm0,[rdi]"),
    ("avx512f", "62f1744858c2", "vaddps zmm0,zmm1,zmm2"),
    ("avx512f", "62f3754825c296", "vpternlogd zmm0,zmm1,zmm2,96h"),
    ("avx512f", "c5f892c8", "kmovw k1,eax"),
    ("avx512bw", "62f17548fcc2", "vpaddb zmm0,zmm1,zmm2"),
    ("avx512cd", "62f27d48c4c1", "vpconflictd zmm0,zmm1"),
    ("avx512dq", "62f2f54840c2", "vpmullq zmm0,zmm1,zmm2"),
    ("avx512f", "62f17509fec2", "vpaddd xmm0{k1},xmm1,xmm2"),
    ("avx512vl", "62f17509fec2", "vpaddd xmm0{k1},xmm1,xmm2"),
    ("avx512ifma", "62f2f548b4c2", "vpmadd52luq zmm0,zmm1,zmm2"),
    ("avx512vbmi", "62f275488dc2", "vpermb zmm0,zmm1,zmm2"),
    ("avx512_vbmi2", "62f27d4863c8", "vpcompressb zmm0,zmm1"),
    ("avx512_vnni", "62f2754850c2", "vpdpbusd zmm0,zmm1,zmm2"),
    ("avx512_bitalg", "62f27d4854c1", "vpopcntb zmm0,zmm1"),
    ("avx512_vpopcntdq", "62f2fd4855c1", "vpopcntq zmm0,zmm1"),
    ("avx512_vp2intersect", "62f2774868c2", "vp2intersectd k0,zmm1,zmm2"),
    ("avx512_bf16", "62f2764852c2", "vdpbf16ps zmm0,zmm1,zmm2"),
    ("avx512_fp16", "62f5744858c2", "vaddph zmm0,zmm1,zmm2"),
    ("amx_tile", "c4e27b49c0", "tilezero tmm0"),
    ("amx_tile", "c4e2784907", "ldtilecfg [rdi]"),
    ("amx_int8", "c4e26b5ec1", "tdpbssd tmm0,tmm1,tmm2"),
    ("amx_bf16", "c4e26a5cc1", "tdpbf16ps tmm0,tmm1,tmm2"),
    ("amx_fp16", "c4e26b5cc1", "tdpfp16ps tmm0,tmm1,tmm2"),
    ("rdrand", "0fc7f0", "rdrand eax"),
    ("rdseed", "480fc7f8", "rdseed rax"),
    ("rtm", "0f01d5", "xend"),
    ("rtm", "0f01d6", "xtest"),
    ("fsgsbase", "f3480faec0", "rdfsbase rax"),
    ("clflushopt", "660fae3f", "clflushopt [rdi]"),
    ("clwb", "660fae37", "clwb [rdi]"),
    ("movdiri", "0f38f907", "movdiri [rdi],eax"),
    ("movdir64b", "660f38f83e", "movdir64b rdi,[rsi]"),
    ("waitpkg", "660faef0", "tpause eax"),
    ("monitorx", "0f01fa", "monitorx"),
    ("3dnow", "0f0fc19e", "pfadd mm0,mm1"),
    ("serialize", "0f01e8", "serialize"),
]
HARMLESS = {
    "endbr64": "f30f1efa",
    "nop [rax+rax]": "660f1f0400",
    "nop of eleven bytes": "66662e0f1f840000000000",
    "xchg ax,ax": "6690",
    "pause": "f390",
    "rep ret": "f3c3",
    "prefetchw": "0f0d0f",
    "prefetch": "0f0d07",
    "prefetchwt1": "0f0d17",
    "xgetbv": "0f01d0",
    "rdtscp": "0f01f9",
    "rdpid": "f30fc7f8",
    "xsave": "0fae27",
    "clflush": "0fae3f",
    "mfence": "0faef0",
    "cmpxchg8b": "0fc70f",
    "cldemote": "0f1c07",
    "rdsspq": "f3480f1ec8",
    "ptwrite": "f30faee0",
    "bnd jmp": "f2eb00",
    "bsf": "0fbcc1",
    "bsr": "0fbdc1",
    "movdqa": "660f6fc1",
    "cvttsd2si": "f2480f2cc1",
    "fxsave": "0fae07",
    "ldmxcsr": "0fae17",
    # No compiler writes it unless it is told to, and its one byte is everywhere in data.
    "lahf": "9f",
}
FORMS = {
    "symbols": {"symtab": True},
    "symbols and frames": {"symtab": True, "frames": True},
    "frames": {"symtab": False, "frames": True},
    "segments and frames": {"symtab": False, "frames": True, "section_table": False},
    "sections": {"symtab": False},
    "segments": {"symtab": False, "section_table": False},
}
PLAIN = bytes.fromhex("55 4889e5 8d047e 0fafc7 5d c3")
"""push rbp; mov rbp, rsp; lea eax, [rsi+rdi*2]; imul eax, edi; pop rbp; ret."""
VPADDD = bytes.fromhex("c5f5fec2")
BLSR = bytes.fromhex("c4e2f8f3c9")
TZCNT = bytes.fromhex("f30fbcc1")
BAD = b"\x06\x07\x0e\x16\x17\x1e\x1f\x27"
"""Bytes of which none begins an instruction of a 64-bit program."""


def code_of(*functions, **options):
    return read_code(ElfImage(build_library(*functions, **options).data))


def features(code):
    return {feature for kernel in code.kernels for feature in kernel.features}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("feature", "code", "text"), PLANTED, ids=[f"{row[0]}-{row[1]}" for row in PLANTED])
def test_what_is_planted_is_found_and_named(form, feature, code, text):
    before = b"\x53\x31\xc0"
    library = build_library(
        function("plain", PLAIN, exported="symbols" in form),
        function("kernel", before, bytes.fromhex(code), b"\x5b", RET),
        function("other", PLAIN),
        **FORMS[form],
    )
    facts = read_code(ElfImage(library.data))
    (kernel,) = facts.kernels
    (example,) = [example for example in facts.examples if example.feature == feature]
    at = library.addresses["kernel"]
    assert feature in kernel.features
    # Some instructions say that they need AVX-512F besides, some do not; every CPU that has the rest has it.
    assert set(kernel.features) <= {"avx512f", *(row[0] for row in PLANTED if row[1] == code)}
    assert (example.address, example.text) == (at + len(before), text)
    assert example.function == kernel.name
    section = "segment" if "segments" in form else ".text"
    if "symbols" in form:
        assert (kernel.name, kernel.address) == ("kernel", at)
    elif "frames" in form:
        assert (kernel.name, kernel.address) == (f"{section}@{at:#x}", at)
    else:
        assert kernel.name == f"{section}@{library.sections['.text']:#x}"


def test_everything_at_once_is_told_apart():
    functions = [
        function(f"{number}_{feature}", bytes.fromhex(code), RET) for number, (feature, code, _) in enumerate(PLANTED)
    ]
    code = code_of(*functions)
    assert len(code.kernels) == len(functions) == code.functions
    for kernel in code.kernels:
        assert kernel.name.partition("_")[2] in kernel.features
    assert len(code.examples) <= 3 * len(features(code))


def test_every_planted_feature_is_one_that_a_claim_can_name():
    beyond_levels = {"rdrand", "rdseed", "rtm", "fsgsbase", "clflushopt", "clwb", "movdiri", "movdir64b", "waitpkg"}
    beyond_levels |= {"monitorx", "3dnow", "serialize"}
    assert {feature for feature, _, _ in PLANTED} - beyond_levels <= feature_table().keys()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_let_be(form, name):
    code = code_of(function("plain", bytes.fromhex(HARMLESS[name]), PLAIN), **FORMS[form])
    assert code.kernels == ()
    assert (code.maybe_tzcnt, code.skipped) == (0, 0)


@pytest.mark.parametrize("form", FORMS)
def test_everything_harmless_at_once(form):
    body = b"".join(bytes.fromhex(code) for code in HARMLESS.values())
    assert code_of(function("plain", body, PLAIN), **FORMS[form]).kernels == ()


@pytest.mark.parametrize("form", FORMS)
def test_a_tzcnt_of_a_compiler_that_was_told_of_no_cpu_is_counted_and_is_no_need(form):
    # What gcc writes for __builtin_ctz: one encoding, tzcnt or bsf, with one result.
    code = code_of(function("count", TZCNT, PLAIN), function("other", PLAIN), **FORMS[form])
    assert code.kernels == ()
    assert code.maybe_tzcnt == 1


@pytest.mark.parametrize("branch", ["7205", "7305", "0f82 00000000", "0f42c2", "0f92c0", "83d000", "19c0"])
def test_a_tzcnt_whose_carry_flag_counts_is_meant(branch):
    code = code_of(function("count", TZCNT, bytes.fromhex(branch), bytes(5 * [0x90]), RET))
    (kernel,) = code.kernels
    assert (kernel.features, code.maybe_tzcnt) == (("bmi1",), 0)
    (example,) = code.examples
    assert (example.text, example.address) == ("tzcnt eax,ecx", kernel.address)


@pytest.mark.parametrize("branch", ["7405", "7505", "0f44c2", "0f94c0", "01c8"])
def test_a_tzcnt_whose_zero_flag_counts_is_not_meant_by_that(branch):
    # bsf sets the zero flag when its source is zero, tzcnt when its result is: code for both looks at neither.
    code = code_of(function("count", TZCNT, bytes.fromhex(branch), bytes(5 * [0x90]), RET))
    assert (code.kernels, code.maybe_tzcnt) == ((), 1)


@pytest.mark.parametrize(
    ("companion", "expected"),
    [
        ("c4e2f8f3c9", ("bmi1",)),
        ("f30fbdc1", ("abm", "bmi1")),
        ("c4e2e9f7c1", ("bmi1", "bmi2")),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_tzcnt_beside_its_companions_is_meant(companion, expected, first):
    parts = [TZCNT, bytes.fromhex(companion)]
    (kernel,) = code_of(function("count", *(parts if first else parts[::-1]), RET)).kernels
    assert kernel.features == expected


def test_a_tzcnt_beside_something_else_that_is_new_is_not_meant():
    code = code_of(function("count", TZCNT, bytes.fromhex("f30fb8c1"), RET))
    assert code.kernels[0].features == ("popcnt",)
    assert code.maybe_tzcnt == 1


def test_a_tzcnt_in_another_function_is_not_its_companion():
    code = code_of(function("count", TZCNT, RET), function("reset", BLSR, RET))
    assert [kernel.name for kernel in code.kernels] == ["reset"]
    assert code.maybe_tzcnt == 1


@pytest.mark.parametrize("form", ["symbols", "frames", "segments and frames"])
@pytest.mark.parametrize(
    "table",
    [
        (VPADDD + RET) * 8,
        bytes.fromhex("62f1744858c2 c3") * 8,
        (VPADDD + BAD) * 8,
        bytes(range(256)),
        bytes(range(255, -1, -1)),
        b"\xc4\xe2\x75\xb8" * 16 + RET,
    ],
)
def test_data_between_functions_that_nothing_calls_is_data(form, table):
    code = code_of(
        function("first", PLAIN, exported=True),
        data_in_text("table", table),
        function("second", PLAIN, exported=True),
        **FORMS[form],
    )
    assert code.kernels == ()
    assert code.skipped > 0


@pytest.mark.parametrize("form", ["symbols", "frames"])
def test_constants_between_functions_that_code_reads_are_data(form):
    code = code_of(
        function("first", load("constants"), b"\x90", RET, exported=True),
        data_in_text("constants", (VPADDD + RET) * 8),
        function("second", PLAIN, exported=True),
        **FORMS[form],
    )
    assert code.kernels == ()


@pytest.mark.parametrize("form", ["symbols", "frames"])
@pytest.mark.parametrize("way", [call, jump, take])
def test_code_without_a_symbol_that_others_call_or_take_is_code(form, way):
    # Assembly without symbols, sizes or frames.
    first = way("kernel")
    library = build_library(
        function("first", first, RET, exported=True),
        data_in_text("kernel", VPADDD * 5, RET),
        function("second", PLAIN, exported=True),
        **FORMS[form],
    )
    (kernel,) = read_code(ElfImage(library.data)).kernels
    assert (kernel.features, kernel.standing) == (("avx2",), "open")
    assert kernel.name.endswith(f"@{library.addresses['first'] + first.size + 1:#x}")


@pytest.mark.parametrize("form", ["symbols", "frames"])
def test_code_without_a_symbol_that_a_pointer_leads_to_is_code(form):
    code = code_of(
        function("first", take("table"), RET, exported=True),
        data_in_text("kernel", VPADDD * 5, RET),
        function("second", PLAIN, exported=True),
        variables=[variable("table", "kernel")],
        **FORMS[form],
    )
    assert features(code) == {"avx2"}


def test_short_code_without_a_symbol_is_found_when_it_is_called():
    code = code_of(
        function("first", call("kernel"), RET, exported=True),
        data_in_text("kernel", VPADDD, RET),
        function("second", PLAIN, exported=True),
    )
    assert features(code) == {"avx2"}


def test_a_library_of_one_short_function_without_any_name():
    assert features(code_of(data_in_text("kernel", VPADDD, RET), symtab=False)) == {"avx2"}


@pytest.mark.parametrize("form", FORMS)
def test_data_inside_a_function_is_skipped_and_what_follows_is_read(form):
    # jmp over 16 bytes; data that begins as AVX-512 does and is no instruction further on; code again.
    data = bytes.fromhex("62f1744858c2") + BAD + b"\x06\x06"
    body = b"\x90" * 11 + bytes.fromhex("e910000000") + data + VPADDD + RET
    code = code_of(function("kernel", body, exported=True), **FORMS[form])
    assert features(code) == {"avx2"}
    assert code.skipped == 16


@pytest.mark.parametrize("form", FORMS)
def test_a_jump_table_at_the_end_of_a_function_is_no_code(form):
    distances = b"".join((-number).to_bytes(4, "little", signed=True) for number in range(0x3B00C4, 0x3B00D4))
    body = VPADDD + bytes.fromhex("ffe0") + b"\x90" * 10 + distances + BAD
    code = code_of(function("kernel", body, exported=True), function("other", PLAIN, exported=True), **FORMS[form])
    assert features(code) == {"avx2"}


@pytest.mark.parametrize("form", ["symbols", "frames"])
def test_code_that_ends_in_a_call_that_does_not_return_is_read_although_data_follows(form):
    body = VPADDD + b"\xe8\0\0\0\0" + BAD * 4
    code = code_of(function("kernel", body, exported=True), function("other", PLAIN, exported=True), **FORMS[form])
    assert features(code) == {"avx2"}


@pytest.mark.parametrize("padding", [b"\x90", b"\xcc", b"\0", bytes.fromhex("66662e0f1f840000000000"), b"\x66\x90"])
def test_padding_is_neither_code_nor_data(padding):
    filler = (padding * 64)[:64]
    code = code_of(function("first", PLAIN), data_in_text("gap", filler, align=1), function("second", PLAIN))
    assert (code.functions, code.kernels, code.skipped) == (2, (), 0)


def test_code_in_an_executable_segment_but_in_no_section_is_read():
    # The loader maps segments; what the section table leaves out runs all the same.
    code = code_of(function("plain", call("tail"), RET, exported=True), tail=VPADDD * 4 + RET)
    assert features(code) == {"avx2"}


@pytest.mark.parametrize("sized", [True, False])
def test_an_exported_symbol_without_a_type_names_code(sized):
    # What nasm makes of `global kernel`.
    code = code_of(
        function("plain", PLAIN, exported=True),
        function("kernel", VPADDD * 5, RET, exported=True, typed=False, sized=sized),
        symtab=False,
    )
    assert [(kernel.name, kernel.features, kernel.exported) for kernel in code.kernels] == [("kernel", ("avx2",), True)]


@pytest.mark.parametrize("sized", [True, False])
def test_a_hidden_label_inside_a_function_does_not_cut_it(sized):
    # nasm writes its labels into the full symbol table, without a type or a size.
    library = build_library(
        function("kernel", TZCNT, b"\x75\x05", bytes(5 * [0x90]), exported=True, sized=sized),
        function("loop", BLSR, VPADDD, RET, typed=False, sized=False, align=1),
        function("other", PLAIN, exported=True),
    )
    code = read_code(ElfImage(library.data))
    names = {kernel.name.partition(UNNAMED)[0] for kernel in code.kernels}
    assert names == {"kernel"}
    assert features(code) == {"avx2", "bmi1"}


def test_labels_in_a_function_that_is_chosen_are_not_open():
    level, skip = variable("level"), b"\x74\x05"
    code = code_of(
        function("detect", CPUID, store("level"), RET),
        function("entry", compare("level"), skip, call("kernel"), RET, exported=True),
        function("kernel", VPADDD, sized=False),
        function("loop", VPADDD * 3, b"\x75\xf2", typed=False, sized=False, align=1),
        function("done", VPADDD, RET, typed=False, sized=False, align=1),
        variables=[level],
        start=["detect"],
    )
    assert {kernel.standing for kernel in code.kernels} == {"guarded"}


def test_a_symbol_without_a_type_in_data_names_no_code():
    code = code_of(function("plain", PLAIN, exported=True), function("_end", BAD, exported=True, typed=False))
    assert code.kernels == ()


def test_a_symbol_without_a_size_reaches_to_the_next():
    code = code_of(
        function("kernel", PLAIN, VPADDD, RET, sized=False, exported=True),
        function("other", PLAIN, sized=False, exported=True),
        symtab=False,
    )
    assert [(kernel.name, kernel.features) for kernel in code.kernels] == [("kernel", ("avx2",))]


def test_a_frame_gives_a_symbol_without_a_size_its_end():
    options = {"sized": False, "exported": True}
    library = build_library(
        function("kernel", PLAIN, **options),
        data_in_text("table", (VPADDD + RET) * 8),
        function("other", PLAIN, **options),
        symtab=False,
        frames=True,
    )
    image = ElfImage(library.data)
    assert [
        (stretch.name, stretch.end - stretch.start) for stretch in find_stretches(image) if stretch.origin != GAP
    ] == [
        ("kernel", len(PLAIN)),
        ("other", len(PLAIN)),
    ]
    assert read_code(image).kernels == ()


def test_stretches_cover_the_code_without_overlapping():
    library = build_library(
        function("first", PLAIN * 3, exported=True),
        data_in_text("unknown", PLAIN * 3, align=1),
        function("second", PLAIN, exported=True),
        frames=True,
    )
    stretches = find_stretches(ElfImage(library.data))
    assert stretches[0].start == library.sections[".text"]
    assert all(one.end == two.start for one, two in itertools.pairwise(stretches))
    assert [stretch.origin for stretch in stretches] == ["symbol", "gap", "symbol"]


def test_the_table_of_instructions_is_whole():
    table = code_table()
    needs = load_needs()
    assert not {*needs.baseline} & {*needs.feature}
    assert not {*needs.ignored} & {*needs.feature}
    assert not {*needs.ignored} & {*needs.baseline}
    assert len(table.features) > 2500
    assert table.invalid not in table.features
    for group in (table.asks, table.ends, table.branches, table.carry, table.takes, table.floating_point_mode):
        assert group
