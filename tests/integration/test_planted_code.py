"""What real compilers and assemblers write: each feature is found and named, none is missed, plain code needs none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from truewheel.binary.code import CodeFacts, read_code
from truewheel.binary.image import ElfImage
from truewheel.config.locations import cache_root
from truewheel.cpu.features import feature_table
from truewheel.errors import TruewheelError
from truewheel.machine.tools import find_tool

_SSE = {"sse3", "ssse3", "sse4_1", "sse4_2"}
_AVX = _SSE | {"avx", "popcnt"}
_AVX2 = _AVX | {"avx2"}
_AVX512 = _AVX2 | {"avx512f", "avx512bw,avx512vl", "avx512bw", "avx512bw,avx512dq", "fma", "f16c", "bmi2"}
_IMPLIED = {"sse4a": {"sse3"}, "fma4": _AVX | {"sse4a"}, "xop": _AVX | {"sse4a", "fma4"}, "vaes": _AVX2 | {"aes"}}
_IMPLIED |= {"vpclmulqdq": _AVX2 | {"pclmulqdq"}, "fma": _AVX2, "f16c": _AVX2, "avx2": _AVX2, "avx": _AVX}


class Kernel(NamedTuple):
    """A function in C that needs one feature: the compiler's name of it, and the body."""

    feature: str
    target: str
    body: str
    gcc: int = 8


# o, a and b are pointers, n is a 64-bit number.
KERNELS = [
    Kernel("sse3", "sse3", "_mm_storeu_pd(o, _mm_hadd_pd(_mm_loadu_pd(a), _mm_loadu_pd(b)));"),
    Kernel("ssse3", "ssse3", "S128(_mm_shuffle_epi8(L128(a), L128(b)));"),
    Kernel("sse4_1", "sse4.1", "S128(_mm_mullo_epi32(L128(a), L128(b)));"),
    Kernel("sse4_1", "sse4.1", "_mm_storeu_pd(o, _mm_floor_pd(_mm_loadu_pd(a)));"),
    Kernel("sse4_2", "sse4.2,crc32", "*(unsigned *)o = _mm_crc32_u32(*(unsigned *)a, *(unsigned *)b);", 11),
    Kernel("sse4_2", "sse4.2", "S128(_mm_cmpgt_epi64(L128(a), L128(b)));"),
    Kernel("sse4a", "sse4a", "S128(_mm_extract_si64(L128(a), L128(b)));"),
    Kernel("popcnt", "popcnt", "*(unsigned *)o = __builtin_popcountll(n);"),
    Kernel("abm", "lzcnt", "*(unsigned *)o = _lzcnt_u64(n);"),
    Kernel("bmi1", "bmi", "*(long long *)o = _blsr_u64(n);"),
    Kernel("bmi1", "bmi", "*(long long *)o = ~n & *(long long *)a;"),
    Kernel("bmi2", "bmi2", "*(long long *)o = _pdep_u64(n, *(long long *)a);"),
    Kernel("bmi2", "bmi2", "*(long long *)o = _bzhi_u64(n, *(int *)a);"),
    Kernel("adx", "adx", "ADCX"),
    Kernel("movbe", "movbe", "*(long long *)o = __builtin_bswap64(*(long long *)a);"),
    Kernel("cx16", "cx16", "CMPXCHG16B"),
    Kernel("avx", "avx", "_mm256_storeu_ps(o, _mm256_add_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b)));"),
    Kernel("avx2", "avx2", "S256(_mm256_add_epi32(L256(a), L256(b)));"),
    Kernel("avx2", "avx2", "S256(_mm256_i32gather_epi32(a, L256(b), 4));"),
    Kernel("fma", "fma", "_mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_loadu_ps(a), _mm256_loadu_ps(b), F256(o)));"),
    Kernel("f16c", "f16c", "_mm256_storeu_ps(o, _mm256_cvtph_ps(L128(a)));"),
    Kernel("fma4", "fma4", "_mm_storeu_ps(o, _mm_macc_ps(_mm_loadu_ps(a), _mm_loadu_ps(b), _mm_loadu_ps(o)));"),
    Kernel("xop", "xop", "S128(_mm_rot_epi32(L128(a), L128(b)));"),
    Kernel("tbm", "tbm", "*(long long *)o = n & (n + 1);"),
    Kernel("aes", "aes", "S128(_mm_aesenc_si128(L128(a), L128(b)));"),
    Kernel("pclmulqdq", "pclmul", "S128(_mm_clmulepi64_si128(L128(a), L128(b), 1));"),
    Kernel("sha_ni", "sha", "S128(_mm_sha1msg1_epu32(L128(a), L128(b)));"),
    Kernel("gfni", "gfni", "S128(_mm_gf2p8mul_epi8(L128(a), L128(b)));"),
    Kernel("vaes", "vaes,avx2", "S256(_mm256_aesenc_epi128(L256(a), L256(b)));"),
    Kernel("vpclmulqdq", "vpclmulqdq,avx2", "S256(_mm256_clmulepi64_epi128(L256(a), L256(b), 1));"),
    Kernel("rdrand", "rdrnd", "_rdrand64_step((unsigned long long *)o);"),
    Kernel("rdseed", "rdseed", "_rdseed64_step((unsigned long long *)o);"),
    Kernel("avx512f", "avx512f", "S512(_mm512_add_epi32(L512(a), L512(b)));"),
    Kernel("avx512bw", "avx512bw", "S512(_mm512_add_epi8(L512(a), L512(b)));"),
    Kernel("avx512cd", "avx512cd", "S512(_mm512_conflict_epi32(L512(a)));"),
    Kernel("avx512dq", "avx512dq", "S512(_mm512_mullo_epi64(L512(a), L512(b)));"),
    Kernel("avx512vl", "avx512vl", "S128(_mm_maskz_add_epi32(n, L128(a), L128(b)));"),
    Kernel("avx512ifma", "avx512bw,avx512ifma", "S512(_mm512_madd52lo_epu64(L512(a), L512(b), L512(o)));"),
    Kernel("avx512vbmi", "avx512bw,avx512vbmi", "S512(_mm512_permutexvar_epi8(L512(a), L512(b)));"),
    Kernel("avx512_vbmi2", "avx512bw,avx512vbmi2", "S512(_mm512_maskz_compress_epi8(n, L512(a)));"),
    Kernel("avx512_vnni", "avx512bw,avx512vnni", "S512(_mm512_dpbusd_epi32(L512(o), L512(a), L512(b)));"),
    Kernel("avx512_bitalg", "avx512bw,avx512bitalg", "S512(_mm512_popcnt_epi8(L512(a)));"),
    Kernel("avx512_vpopcntdq", "avx512bw,avx512vpopcntdq", "S512(_mm512_popcnt_epi64(L512(a)));"),
    Kernel(
        "avx512_bf16", "avx512bw,avx512bf16", "_mm512_storeu_ps(o, _mm512_dpbf16_ps(F512(o), B512(a), B512(b)));", 10
    ),
    Kernel(
        "avx512_fp16", "avx512bw,avx512fp16", "_mm512_storeu_ph(o, _mm512_add_ph(_mm512_loadu_ph(a), H512(b)));", 12
    ),
    Kernel("avx_vnni", "avxvnni", "S256(_mm256_dpbusd_avx_epi32(L256(o), L256(a), L256(b)));", 11),
    Kernel("avx_ifma", "avxifma", "S256(_mm256_madd52lo_avx_epu64(L256(o), L256(a), L256(b)));", 13),
    Kernel("avx_vnni_int8", "avxvnniint8", "S256(_mm256_dpbssd_epi32(L256(o), L256(a), L256(b)));", 13),
    Kernel("avx_ne_convert", "avxneconvert", "_mm256_storeu_ps(o, _mm256_bcstnebf16_ps(a));", 13),
    Kernel("amx_tile", "amx-tile", "_tile_loadconfig(a);", 11),
    Kernel("amx_int8", "amx-tile,amx-int8", "_tile_dpbssd(1, 2, 3);", 11),
    Kernel("amx_bf16", "amx-tile,amx-bf16", "_tile_dpbf16ps(1, 2, 3);", 11),
]
HEAD = """
#include <immintrin.h>
#ifdef __has_include
#if __has_include(<x86intrin.h>)
#include <x86intrin.h>
#endif
#endif
#define L128(p) _mm_loadu_si128((const __m128i *)(p))
#define L256(p) _mm256_loadu_si256((const __m256i *)(p))
#define L512(p) _mm512_loadu_si512(p)
#define F256(p) _mm256_loadu_ps((const float *)(p))
#define F512(p) _mm512_loadu_ps(p)
#define B512(p) (__m512bh)_mm512_loadu_si512(p)
#define H512(p) _mm512_loadu_ph(p)
#define S128(v) _mm_storeu_si128((__m128i *)o, v)
#define S256(v) _mm256_storeu_si256((__m256i *)o, v)
#define S512(v) _mm512_storeu_si512(o, v)
#define ADCX __asm__ volatile("adcx %1, %0" : "+r"(n) : "r"(n)); *(long long *)o = n;
#define CMPXCHG16B *(char *)o = __sync_bool_compare_and_swap((__int128 *)o, *(__int128 *)a, *(__int128 *)b);
"""
PLAIN = """
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <math.h>
float dot(const float *a, const float *b, size_t n) {
    float s = 0;
    for (size_t i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}
void scale(double *a, double f, size_t n) { for (size_t i = 0; i < n; i++) a[i] *= f; }
void add(int *o, const int *a, const int *b, size_t n) { for (size_t i = 0; i < n; i++) o[i] = a[i] + b[i]; }
void multiply(int *o, const int *a, const int *b, size_t n) { for (size_t i = 0; i < n; i++) o[i] = a[i] * b[i]; }
void widen(int64_t *o, const int8_t *a, size_t n) { for (size_t i = 0; i < n; i++) o[i] = a[i]; }
void largest(int *o, const int *a, size_t n) { for (size_t i = 0; i < n; i++) if (a[i] > o[i]) o[i] = a[i]; }
int bits(uint64_t x) { return __builtin_popcountll(x); }
int trailing(uint64_t x) { return __builtin_ctzll(x); }
int leading(uint64_t x) { return __builtin_clzll(x); }
int first(int x) { return __builtin_ffs(x); }
int trailing_or(uint32_t x) { return x ? __builtin_ctz(x) : 32; }
uint64_t swap(uint64_t x) { return __builtin_bswap64(x); }
uint64_t shift(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }
uint64_t clear(uint64_t x) { return x & (x - 1); }
unsigned __int128 wide(uint64_t a, uint64_t b) { return (unsigned __int128)a * b; }
double down(double x) { return floor(x) + ceil(x) + rint(x) + trunc(x); }
float root(float x) { return sqrtf(x); }
float fused(float a, float b, float c) { return a * b + c; }
void copy(char *o, const char *a, size_t n) { memcpy(o, a, n); memset(o + n, 0, 100); }
int atomic(int *p) { return __sync_fetch_and_add(p, 1); }
uint32_t hash(const uint8_t *p, size_t n) { uint32_t h = 5381; while (n--) h = h * 33 ^ *p++; return h; }
int many(int x) {
    switch (x) {
        case 0: return 7; case 1: return 9; case 2: return 8; case 3: return 1; case 4: return 77;
        case 5: return bits(x); case 6: return first(x); case 7: return trailing(x); case 8: return leading(x);
        default: return x * 3;
    }
}
void relax(volatile int *p) { while (*p) __builtin_ia32_pause(); __builtin_prefetch((void *)p, 1); }
"""
ASSEMBLY = [
    ("sse3", "movddup xmm0, xmm1"),
    ("ssse3", "palignr xmm0, xmm1, 4"),
    ("sse4_1", "pblendw xmm0, xmm1, 3"),
    ("sse4_2", "pcmpistri xmm0, xmm1, 8"),
    ("popcnt", "popcnt eax, edi"),
    ("abm", "lzcnt eax, edi"),
    ("cx16", "lock cmpxchg16b [rdi]"),
    ("movbe", "movbe [rdi], eax"),
    ("bmi1", "blsmsk eax, edi"),
    ("bmi2", "rorx eax, edi, 7"),
    ("adx", "adox eax, edi"),
    ("avx", "vbroadcastss ymm0, [rdi]"),
    ("avx2", "vpermd ymm0, ymm1, ymm2"),
    ("fma", "vfnmadd213sd xmm0, xmm1, xmm2"),
    ("f16c", "vcvtps2ph xmm0, ymm1, 0"),
    ("fma4", "vfmsubpd ymm0, ymm1, ymm2, ymm3"),
    ("xop", "vphaddbw xmm0, xmm1"),
    ("aes", "aeskeygenassist xmm0, xmm1, 1"),
    ("pclmulqdq", "pclmulqdq xmm0, xmm1, 0"),
    ("sha_ni", "sha256msg2 xmm0, xmm1"),
    ("gfni", "gf2p8affineqb xmm0, xmm1, 1"),
    ("vaes", "vaesdeclast ymm0, ymm1, ymm2"),
    ("vpclmulqdq", "vpclmulqdq ymm0, ymm1, ymm2, 0"),
    ("avx512f", "vpermt2d zmm0, zmm1, zmm2"),
    ("avx512bw", "kortestq k1, k2"),
    ("avx512cd", "vplzcntd zmm0, zmm1"),
    ("avx512dq", "vrangeps zmm0, zmm1, zmm2, 1"),
    ("avx512vl", "vpternlogd ymm0, ymm1, ymm2, 3"),
    ("avx512ifma", "vpmadd52huq zmm0, zmm1, zmm2"),
    ("avx512vbmi", "vpmultishiftqb zmm0, zmm1, zmm2"),
    ("avx512_vbmi2", "vpshldvd zmm0, zmm1, zmm2"),
    ("avx512_vnni", "vpdpwssds zmm0, zmm1, zmm2"),
    ("avx512_bitalg", "vpshufbitqmb k1, zmm1, zmm2"),
    ("avx512_vpopcntdq", "vpopcntd zmm0, zmm1"),
    ("rdrand", "rdrand eax"),
    ("rdseed", "rdseed eax"),
    ("rtm", "xend"),
]
# Feature, the compiler's name of it, and the body of a function in Rust.
RUST = [
    ("sse3", "sse3", "_mm_storeu_pd(o as *mut f64, _mm_hadd_pd(pd!(a), pd!(b)))"),
    ("ssse3", "ssse3", "put!(o, _mm_shuffle_epi8(get!(a), get!(b)))"),
    ("sse4_1", "sse4.1", "put!(o, _mm_mullo_epi32(get!(a), get!(b)))"),
    ("sse4_2", "sse4.2", "*(o as *mut u32) = _mm_crc32_u32(*(a as *const u32), *(b as *const u32))"),
    ("popcnt", "popcnt", "*o = (*(a as *const u64)).count_ones() as u8"),
    ("abm", "lzcnt", "*o = (*(a as *const u64)).leading_zeros() as u8"),
    ("bmi1", "bmi1", "*(o as *mut u64) = _blsr_u64(*(a as *const u64))"),
    ("bmi2", "bmi2", "*(o as *mut u64) = _pext_u64(*(a as *const u64), *(b as *const u64))"),
    ("movbe", "movbe", "*(o as *mut u64) = (*(a as *const u64)).swap_bytes()"),
    ("avx", "avx", "_mm256_storeu_ps(o as *mut f32, _mm256_add_ps(ps!(a), ps!(b)))"),
    ("avx2", "avx2", "wide!(o, _mm256_add_epi32(all!(a), all!(b)))"),
    ("fma", "fma", "_mm256_storeu_ps(o as *mut f32, _mm256_fmadd_ps(ps!(a), ps!(b), ps!(o)))"),
    ("f16c", "f16c", "_mm256_storeu_ps(o as *mut f32, _mm256_cvtph_ps(get!(a)))"),
    ("aes", "aes", "put!(o, _mm_aesenc_si128(get!(a), get!(b)))"),
    ("pclmulqdq", "pclmulqdq", "put!(o, _mm_clmulepi64_si128::<1>(get!(a), get!(b)))"),
    ("sha_ni", "sha", "put!(o, _mm_sha256msg1_epu32(get!(a), get!(b)))"),
    ("rdrand", "rdrand", "_rdrand64_step(&mut *(o as *mut u64));"),
    ("rdseed", "rdseed", "_rdseed64_step(&mut *(o as *mut u64));"),
]
RUST_HEAD = """
#![allow(unused)]
use std::arch::x86_64::*;
macro_rules! get { ($p:expr) => { _mm_loadu_si128($p as *const __m128i) } }
macro_rules! pd { ($p:expr) => { _mm_loadu_pd($p as *const f64) } }
macro_rules! ps { ($p:expr) => { _mm256_loadu_ps($p as *const f32) } }
macro_rules! all { ($p:expr) => { _mm256_loadu_si256($p as *const __m256i) } }
macro_rules! put { ($p:expr, $v:expr) => { _mm_storeu_si128($p as *mut __m128i, $v) } }
macro_rules! wide { ($p:expr, $v:expr) => { _mm256_storeu_si256($p as *mut __m256i, $v) } }
"""
RUST_PLAIN = """
use std::collections::HashMap;
use std::ffi::{c_char, CStr};
#[no_mangle]
pub unsafe extern "C" fn words(text: *const c_char) -> usize {
    let text = CStr::from_ptr(text).to_string_lossy();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in text.split_whitespace() { *counts.entry(word).or_default() += 1; }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort();
    println!("{rows:?}");
    rows.iter().map(|row| row.1.count_ones() as usize + row.1.trailing_zeros() as usize).sum()
}
"""
COMPILERS = ("gcc", "clang", "zig")
FORMS = ("symbols", "stripped", "stripped, without frames")


def run(command: list[str], cwd: Path) -> None:
    """Run a compiler, and fail with what it said."""
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache_root() / "zig" / "global"), "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[:1500]}"


def compiler(name: str) -> list[str]:
    """Return the command of a compiler for plain x86-64, or skip."""
    if name == "zig":
        try:
            path = find_tool("ziglang", print).path
        except TruewheelError as error:
            pytest.skip(f"zig cannot be had: {error}")
        return [str(path), "cc", "-target", "x86_64-linux-gnu", "-fno-sanitize=all"]
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine")
    return [path, "-march=x86-64"]


def version_of(name: str) -> int:
    """Return gcc's major version; clang's of today knows everything."""
    if name != "gcc":
        return 99
    done = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True)
    return int(done.stdout.split(".")[0])


def known_to(name: str) -> list[tuple[int, Kernel]]:
    """Return the kernels that a compiler can compile, each with its number."""
    version = version_of(name)
    return [(number, kernel) for number, kernel in enumerate(KERNELS) if kernel.gcc <= version]


def source(name: str) -> str:
    """Return C with one hidden function a kernel and an exported table of all."""
    known = known_to(name)
    functions = [
        f'__attribute__((target("{kernel.target}"), noinline)) static void f{number}(void *o, '
        f"const void *a, const void *b, unsigned long long n) {{ (void)a; (void)b; (void)n; {kernel.body} }}"
        for number, kernel in known
    ]
    table = ", ".join(f"(void *)f{number}" for number, _ in known)
    return "\n".join([HEAD, *functions, f'__attribute__((visibility("default"))) void *kernels[] = {{ {table} }};\n'])


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """Compile a library of all kernels once a compiler and form; skip where the compiler is not there."""
    made: dict[tuple[str, str], Path] = {}

    def make(name: str, form: str) -> Path:
        if (name, form) not in made:
            command = compiler(name)
            folder = tmp_path_factory.mktemp("planted")
            (folder / "kernels.c").write_text(source(name))
            frames = "-fno-asynchronous-unwind-tables" if "without" in form else "-fasynchronous-unwind-tables"
            strip = [] if form == "symbols" else ["-Wl,-s"]
            options = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-w", frames, *strip]
            run([*command, *options, "-o", "libkernels.so", "kernels.c"], folder)
            made[name, form] = folder / "libkernels.so"
        return made[name, form]

    return make


def read(path: Path) -> CodeFacts:
    return read_code(ElfImage(path.read_bytes()))


def needs(code: CodeFacts) -> set[str]:
    return {feature for kernel in code.kernels if kernel.standing == "open" for feature in kernel.features}


def by_number(path: Path, name: str) -> dict[int, set[str]]:
    """Return the features of each kernel, which the table of pointers leads to, by its number."""
    image = ElfImage(path.read_bytes())
    (table,) = [symbol for symbol in image.symbols(dynamic=True) if symbol.name == "kernels"]
    targets = {row.slot: row.addend for row in image.relocations() if row.kind == 8}
    code = read_code(image)
    found = {kernel.address: set(kernel.features) for kernel in code.kernels}
    numbers = [number for number, _ in known_to(name)]
    return {number: found.get(targets[table.value + 8 * position], set()) for position, number in enumerate(numbers)}


def allowed(feature: str) -> set[str]:
    """Return a feature and those that compilers take for granted beside it."""
    if feature.startswith(("avx512", "amx")):
        return _AVX512 | {feature, "amx_tile"}
    if feature.startswith(("avx_", "vaes", "vpcl")):
        return _AVX2 | _IMPLIED.get(feature, set()) | {feature}
    return _IMPLIED.get(feature, _SSE if feature not in ("abm", "bmi1", "bmi2", "tbm") else set()) | {feature}


def test_there_are_enough_kernels_and_the_features_are_ours():
    assert len(KERNELS) >= 40
    planted = {kernel.feature for kernel in KERNELS} | {feature for feature, _ in ASSEMBLY}
    assert planted - {"rdrand", "rdseed", "rtm"} <= feature_table().keys()


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("name", COMPILERS)
def test_each_kernel_in_c_is_found_and_its_feature_named(libraries, name, form):
    path = libraries(name, form)
    found = by_number(path, name)
    wrong = {
        f"{KERNELS[number].feature}: {KERNELS[number].body}": sorted(features)
        for number, features in found.items()
        if KERNELS[number].feature not in features or not features <= allowed(KERNELS[number].feature)
    }
    assert wrong == {}
    assert len(found) >= 40


@pytest.mark.parametrize("name", COMPILERS)
def test_the_names_of_functions_are_the_names_of_kernels(libraries, name):
    code = read(libraries(name, "symbols"))
    known = known_to(name)
    assert {f"f{number}" for number, _ in known} == {kernel.name for kernel in code.kernels}
    examples = {example.feature for example in code.examples}
    assert {kernel.feature for _, kernel in known} <= examples


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", COMPILERS)
def test_no_feature_is_missed_in_any_form(libraries, name, form):
    missed = {kernel.feature for _, kernel in known_to(name)} - needs(read(libraries(name, form)))
    assert missed == set()


@pytest.mark.parametrize("optimization", ["-O2", "-O3"])
@pytest.mark.parametrize("name", COMPILERS)
def test_plain_code_of_the_same_compilers_needs_nothing(tmp_path, name, optimization):
    command = compiler(name)
    (tmp_path / "plain.c").write_text(PLAIN)
    for strip in ([], ["-Wl,-s"], ["-Wl,-s", "-fno-asynchronous-unwind-tables"]):
        run([*command, optimization, "-fPIC", "-shared", "-w", *strip, "-o", "libplain.so", "plain.c", "-lm"], tmp_path)
        code = read(tmp_path / "libplain.so")
        assert [(kernel.name, kernel.features) for kernel in code.kernels] == []


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_the_same_code_for_a_newer_cpu_needs_it(tmp_path, name):
    command = compiler(name)
    (tmp_path / "plain.c").write_text(PLAIN)
    run([*command, "-O3", "-march=x86-64-v3", "-fPIC", "-shared", "-w", "-o", "libv3.so", "plain.c", "-lm"], tmp_path)
    assert {"avx", "avx2", "fma", "bmi1", "bmi2", "popcnt", "abm"} <= needs(read(tmp_path / "libv3.so"))


def test_the_same_code_of_zig_for_a_newer_cpu_needs_it(tmp_path):
    command = [*compiler("zig"), "-mcpu=x86_64_v3"]
    (tmp_path / "plain.c").write_text(PLAIN)
    run([*command, "-O3", "-fPIC", "-shared", "-w", "-o", "libv3.so", "plain.c", "-lm"], tmp_path)
    assert {"avx", "avx2", "fma", "bmi1", "bmi2", "popcnt", "abm"} <= needs(read(tmp_path / "libv3.so"))


@pytest.mark.parametrize("strip", [False, True])
def test_each_kernel_in_assembly_is_found_and_its_feature_named(tmp_path, strip):
    if shutil.which("as") is None or shutil.which("gcc") is None:
        pytest.skip("the GNU assembler and gcc are not on this machine")
    lines = [".intel_syntax noprefix", ".text"]
    for number, (_, instruction) in enumerate(ASSEMBLY):
        name = f"f{number}"
        lines += [".p2align 4", f".globl {name}", f".type {name}, @function", f"{name}:", instruction, "ret"]
        lines += [f".size {name}, .-{name}"]
    lines += ['.section .note.GNU-stack,"",@progbits', ""]
    (tmp_path / "kernels.s").write_text("\n".join(lines))
    options = ["-Wl,-s"] if strip else []
    run(["gcc", "-shared", *options, "-o", "libkernels.so", "kernels.s"], tmp_path)
    found = {kernel.name: set(kernel.features) for kernel in read(tmp_path / "libkernels.so").kernels}
    wrong = {
        instruction: found.get(f"f{number}")
        for number, (feature, instruction) in enumerate(ASSEMBLY)
        if feature not in found.get(f"f{number}", ()) or not found[f"f{number}"] <= allowed(feature)
    }
    assert wrong == {}


def test_assembly_with_neither_types_nor_sizes_nor_frames_is_found(tmp_path):
    if shutil.which("as") is None or shutil.which("gcc") is None:
        pytest.skip("the GNU assembler and gcc are not on this machine")
    lines = [".intel_syntax noprefix", ".text", ".globl kernels"]
    for number, (_, instruction) in enumerate(ASSEMBLY):
        lines += [".p2align 4", f"f{number}:", instruction, "ret"]
    lines += ['.section .data.rel.ro,"aw"', ".p2align 3", ".type kernels, @object", "kernels:"]
    lines += [f".quad f{number}" for number in range(len(ASSEMBLY))]
    lines += [".size kernels, .-kernels", '.section .note.GNU-stack,"",@progbits', ""]
    (tmp_path / "kernels.s").write_text("\n".join(lines))
    run(["gcc", "-shared", "-Wl,-s", "-o", "libkernels.so", "kernels.s"], tmp_path)
    assert {feature for feature, _ in ASSEMBLY} <= needs(read(tmp_path / "libkernels.so"))


def rustc() -> str:
    """Return the Rust compiler, or skip."""
    path = shutil.which("rustc")
    if path is None or shutil.which("cc") is None:
        pytest.skip("rustc, or the linker that it calls, is not on this machine")
    # What rustup puts there is no compiler before one is chosen.
    asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"rustc does not run: {asked.stderr.splitlines()[0]}")
    return path


RUST_OPTIONS = ["--edition", "2021", "--crate-type", "cdylib", "-O", "-C", "panic=abort", "-C", "codegen-units=1"]


@pytest.mark.parametrize("strip", ["none", "symbols"])
def test_each_kernel_in_rust_is_found_and_its_feature_named(tmp_path, strip):
    command = rustc()
    lines = [RUST_HEAD]
    for number, (_, target, body) in enumerate(RUST):
        lines += [
            f'#[no_mangle] #[target_feature(enable = "{target}")]',
            f'pub unsafe extern "C" fn f{number}(o: *mut u8, a: *const u8, b: *const u8) {{ {body}; }}',
        ]
    (tmp_path / "kernels.rs").write_text("\n".join(lines))
    run([command, *RUST_OPTIONS, "-C", f"strip={strip}", "-o", "libkernels.so", "kernels.rs"], tmp_path)
    code = read(tmp_path / "libkernels.so")
    found = {kernel.name: set(kernel.features) for kernel in code.kernels}
    wrong = {
        body: found.get(f"f{number}")
        for number, (feature, _, body) in enumerate(RUST)
        if feature not in found.get(f"f{number}", ()) or not found[f"f{number}"] <= allowed(feature)
    }
    assert wrong == {}
    # Rust's own library asks before it takes anything beyond plain x86-64.
    ours = {f"f{number}" for number in range(len(RUST))}
    assert {kernel.name for kernel in code.kernels if kernel.standing == "open"} == ours


@pytest.mark.parametrize("strip", ["none", "symbols"])
def test_plain_rust_with_its_library_needs_nothing(tmp_path, strip):
    command = rustc()
    (tmp_path / "plain.rs").write_text(RUST_PLAIN)
    run([command, *RUST_OPTIONS, "-C", f"strip={strip}", "-o", "libplain.so", "plain.rs"], tmp_path)
    assert needs(read(tmp_path / "libplain.so")) == set()


DISPATCH = """
__attribute__((target("avx2"), noinline)) static int fast(const int *p, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) s += p[i] * p[i];
    return s;
}
__attribute__((noinline)) static int plain(const int *p, int n) {
    int s = 0;
    for (int i = 0; i < n; i++) s += p[i] * p[i];
    return s;
}
"""
# Each asks by itself: the constructor that fills what gcc and clang look at is not in every run-time library.
DISPATCHED = {
    "where it is called": """
int sum(const int *p, int n) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? fast(p, n) : plain(p, n);
}
""",
    "by a pointer": """
static int (*chosen)(const int *, int);
__attribute__((constructor)) static void choose(void) {
    __builtin_cpu_init();
    chosen = __builtin_cpu_supports("avx2") ? fast : plain;
}
int sum(const int *p, int n) { return chosen(p, n); }
""",
    "by a table": """
static int (*const table[2])(const int *, int) = { plain, fast };
static int level = -1;
__attribute__((noinline)) static int (*pick(void))(const int *, int) {
    if (level < 0) {
        __builtin_cpu_init();
        level = __builtin_cpu_supports("avx2") != 0;
    }
    return table[level];
}
int sum(const int *p, int n) { return pick()(p, n); }
""",
    "by the loader": """
static int (*resolve(void))(const int *, int) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? fast : plain;
}
int sum(const int *p, int n) __attribute__((ifunc("resolve")));
""",
    "by cpuid": """
#include <cpuid.h>
static int level;
__attribute__((constructor)) static void look(void) {
    unsigned a, b, c, d;
    level = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}
__attribute__((noinline)) static int inner(const int *p, int n) { return level ? fast(p, n) : plain(p, n); }
int sum(const int *p, int n) { return n > 8 ? inner(p, n) : plain(p, n); }
""",
}
UNGUARDED = {
    "called without asking": """
int sum(const int *p, int n) { return fast(p, n); }
int other(void) { return plain(0, 0); }
""",
    "asked for something else": """
int has(void) { __builtin_cpu_init(); return __builtin_cpu_supports("sse4.2"); }
int sum(const int *p, int n) { return fast(p, n); }
int other(void) { return plain(0, 0); }
""",
    "asked for after it was called": """
int sum(const int *p, int n) { return fast(p, n); }
int careful(const int *p, int n) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? fast(p, n) : plain(p, n);
}
""",
}


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("way", DISPATCHED)
@pytest.mark.parametrize("name", COMPILERS)
def test_what_asks_before_it_calls_is_guarded(tmp_path, name, way, strip):
    if name == "zig" and way not in ("by the loader", "by cpuid"):
        pytest.skip("the CPU model of zig's run-time library is never filled in, so that nobody asks")
    command = compiler(name)
    (tmp_path / "dispatch.c").write_text(DISPATCH + DISPATCHED[way])
    options = ["-Wl,-s"] if strip else []
    run([*command, "-O3", "-fPIC", "-shared", "-w", *options, "-o", "libtoy.so", "dispatch.c"], tmp_path)
    code = read(tmp_path / "libtoy.so")
    kernels = [kernel for kernel in code.kernels if "avx2" in kernel.features]
    assert kernels
    assert {kernel.standing for kernel in kernels} == {"guarded"}
    assert needs(code) == set()


@pytest.mark.parametrize("way", UNGUARDED)
@pytest.mark.parametrize("name", COMPILERS)
def test_what_calls_without_asking_is_open(tmp_path, name, way):
    command = compiler(name)
    (tmp_path / "dispatch.c").write_text(DISPATCH + UNGUARDED[way])
    run([*command, "-O3", "-fPIC", "-shared", "-w", "-o", "libtoy.so", "dispatch.c"], tmp_path)
    assert "avx2" in needs(read(tmp_path / "libtoy.so"))
