#pragma once
// The vectors of the instruction set that this file is compiled for, under names that are the same for all.
//
// LANES words of 32 bits make a vector: 16 with AVX-512, 8 with AVX2. Where there is none of both, LANES is 0 and
// nothing of this folder is compiled. VNNI says whether four products of bytes are added into a word in one step.

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define PANEL_LANES 16
#if defined(__AVX512VNNI__)
#define PANEL_VNNI 1
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PANEL_LANES 8
#if defined(__AVXVNNI__)
#define PANEL_VNNI 1
#endif
#else
#define PANEL_LANES 0
#endif
#if !defined(PANEL_VNNI)
#define PANEL_VNNI 0
#endif

#if PANEL_LANES

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PANEL_INLINE inline __attribute__((always_inline))
#define PANEL_UNROLL _Pragma("GCC unroll 32")

namespace panel {

constexpr int  LANES = PANEL_LANES;
constexpr bool VNNI  = PANEL_VNNI;

static PANEL_INLINE int word(const void * p) { int w; memcpy(&w, p, 4); return w; }

#if PANEL_LANES == 16

typedef __m512i ints;
typedef __m512  floats;

static PANEL_INLINE ints load(const void * p) { return _mm512_loadu_si512(p); }
static PANEL_INLINE void store(void * p, ints v) { _mm512_storeu_si512(p, v); }
static PANEL_INLINE ints no_ints() { return _mm512_setzero_si512(); }
static PANEL_INLINE ints all_words(int w) { return _mm512_set1_epi32(w); }
static PANEL_INLINE ints all_bytes(int b) { return _mm512_set1_epi8((char) b); }
static PANEL_INLINE ints both(ints a, ints b) { return _mm512_and_si512(a, b); }
static PANEL_INLINE ints either(ints a, ints b) { return _mm512_or_si512(a, b); }
static PANEL_INLINE ints flip(ints a, ints b) { return _mm512_xor_si512(a, b); }
static PANEL_INLINE ints right(ints a, int n) { return _mm512_srli_epi32(a, n); }
static PANEL_INLINE ints left(ints a, int n) { return _mm512_slli_epi32(a, n); }
static PANEL_INLINE ints right_signed(ints a, int n) { return _mm512_srai_epi32(a, n); }
static PANEL_INLINE ints add_words(ints a, ints b) { return _mm512_add_epi32(a, b); }
static PANEL_INLINE ints max_words(ints a, ints b) { return _mm512_max_epi32(a, b); }
static PANEL_INLINE ints times_words(ints a, ints b) { return _mm512_mullo_epi32(a, b); }
static PANEL_INLINE ints look_up(__m128i table, ints index) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index); }

static PANEL_INLINE floats load(const float * p) { return _mm512_loadu_ps(p); }
static PANEL_INLINE void store(float * p, floats v) { _mm512_storeu_ps(p, v); }
static PANEL_INLINE floats no_floats() { return _mm512_setzero_ps(); }
static PANEL_INLINE floats all_floats(float f) { return _mm512_set1_ps(f); }
static PANEL_INLINE floats add(floats a, floats b) { return _mm512_add_ps(a, b); }
static PANEL_INLINE floats times(floats a, floats b) { return _mm512_mul_ps(a, b); }
static PANEL_INLINE floats times_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static PANEL_INLINE floats to_floats(ints a) { return _mm512_cvtepi32_ps(a); }
static PANEL_INLINE ints to_ints(floats a) { return _mm512_cvtps_epi32(a); }
static PANEL_INLINE ints bits(floats a) { return _mm512_castps_si512(a); }

// The low and the high half of each word, as f16, to floats.
static PANEL_INLINE floats low_halves(ints a) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a)); }
static PANEL_INLINE floats high_halves(ints a) { return low_halves(right(a, 16)); }
static PANEL_INLINE floats halves(const uint16_t * p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }

// LANES values of f16. The steps that bring together what rows have at one place stay in 128 bits.
typedef __m256i shorts;
static PANEL_INLINE floats halves(shorts a) { return _mm512_cvtph_ps(a); }
static PANEL_INLINE shorts low_shorts(shorts a, shorts b) { return _mm256_unpacklo_epi16(a, b); }
static PANEL_INLINE shorts high_shorts(shorts a, shorts b) { return _mm256_unpackhi_epi16(a, b); }
static PANEL_INLINE shorts low_twos(shorts a, shorts b) { return _mm256_unpacklo_epi32(a, b); }
static PANEL_INLINE shorts high_twos(shorts a, shorts b) { return _mm256_unpackhi_epi32(a, b); }
static PANEL_INLINE shorts low_fours(shorts a, shorts b) { return _mm256_unpacklo_epi64(a, b); }
static PANEL_INLINE shorts high_fours(shorts a, shorts b) { return _mm256_unpackhi_epi64(a, b); }

// 16 bytes of the rows j and j + 8.
static PANEL_INLINE shorts eighths(const char * rows, size_t stride, int j) {
    const auto part = [&](int i) { return _mm_loadu_si128((const __m128i *) (rows + (j + 8 * i) * stride)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
}

static PANEL_INLINE int sum_words(ints a) { return _mm512_reduce_add_epi32(a); }
static PANEL_INLINE int max_word(ints a) { return _mm512_reduce_max_epi32(a); }
static PANEL_INLINE floats max_floats(floats a, floats b) { return _mm512_max_ps(a, b); }
static PANEL_INLINE float max_float(floats a) { return _mm512_reduce_max_ps(a); }
static PANEL_INLINE bool all_are(floats a, float f) { return _mm512_cmp_ps_mask(a, all_floats(f), _CMP_NEQ_UQ) == 0; }

// Each word to a signed byte, saturated.
static PANEL_INLINE void store_bytes(int8_t * p, ints a) { _mm_storeu_si128((__m128i *) p, _mm512_cvtsepi32_epi8(a)); }

// 16 bytes of the rows j, j + 4, j + 8 and j + 12.
static PANEL_INLINE ints quarters(const uint8_t * const * rows, size_t offset, int j) {
    const auto part = [&](int i) { return _mm_loadu_si128((const __m128i *) (rows[j + 4 * i] + offset)); };
    ints v = _mm512_castsi128_si512(part(0));
    v = _mm512_inserti32x4(v, part(1), 1);
    v = _mm512_inserti32x4(v, part(2), 2);
    return _mm512_inserti32x4(v, part(3), 3);
}
static PANEL_INLINE ints low_words(ints a, ints b) { return _mm512_unpacklo_epi32(a, b); }
static PANEL_INLINE ints high_words(ints a, ints b) { return _mm512_unpackhi_epi32(a, b); }
static PANEL_INLINE ints low_pairs(ints a, ints b) { return _mm512_unpacklo_epi64(a, b); }
static PANEL_INLINE ints high_pairs(ints a, ints b) { return _mm512_unpackhi_epi64(a, b); }

#if PANEL_VNNI
static PANEL_INLINE ints dot(ints sum, ints unsigned_bytes, ints signed_bytes) {
    return _mm512_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
}
#endif
static PANEL_INLINE ints products(ints unsigned_bytes, ints signed_bytes) { return _mm512_maddubs_epi16(unsigned_bytes, signed_bytes); }
static PANEL_INLINE ints add_shorts(ints a, ints b) { return _mm512_add_epi16(a, b); }
static PANEL_INLINE ints widen(ints shorts) { return _mm512_madd_epi16(shorts, _mm512_set1_epi16(1)); }
static PANEL_INLINE ints magnitude(ints a) { return _mm512_abs_epi8(a); }
static PANEL_INLINE ints with_sign(ints a, ints sign) {
    return _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), a);
}

#else

typedef __m256i ints;
typedef __m256  floats;

static PANEL_INLINE ints load(const void * p) { return _mm256_loadu_si256((const __m256i *) p); }
static PANEL_INLINE void store(void * p, ints v) { _mm256_storeu_si256((__m256i *) p, v); }
static PANEL_INLINE ints no_ints() { return _mm256_setzero_si256(); }
static PANEL_INLINE ints all_words(int w) { return _mm256_set1_epi32(w); }
static PANEL_INLINE ints all_bytes(int b) { return _mm256_set1_epi8((char) b); }
static PANEL_INLINE ints both(ints a, ints b) { return _mm256_and_si256(a, b); }
static PANEL_INLINE ints either(ints a, ints b) { return _mm256_or_si256(a, b); }
static PANEL_INLINE ints flip(ints a, ints b) { return _mm256_xor_si256(a, b); }
static PANEL_INLINE ints right(ints a, int n) { return _mm256_srli_epi32(a, n); }
static PANEL_INLINE ints left(ints a, int n) { return _mm256_slli_epi32(a, n); }
static PANEL_INLINE ints right_signed(ints a, int n) { return _mm256_srai_epi32(a, n); }
static PANEL_INLINE ints add_words(ints a, ints b) { return _mm256_add_epi32(a, b); }
static PANEL_INLINE ints max_words(ints a, ints b) { return _mm256_max_epi32(a, b); }
static PANEL_INLINE ints times_words(ints a, ints b) { return _mm256_mullo_epi32(a, b); }
static PANEL_INLINE ints look_up(__m128i table, ints index) { return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index); }

static PANEL_INLINE floats load(const float * p) { return _mm256_loadu_ps(p); }
static PANEL_INLINE void store(float * p, floats v) { _mm256_storeu_ps(p, v); }
static PANEL_INLINE floats no_floats() { return _mm256_setzero_ps(); }
static PANEL_INLINE floats all_floats(float f) { return _mm256_set1_ps(f); }
static PANEL_INLINE floats add(floats a, floats b) { return _mm256_add_ps(a, b); }
static PANEL_INLINE floats times(floats a, floats b) { return _mm256_mul_ps(a, b); }
static PANEL_INLINE floats times_add(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static PANEL_INLINE floats to_floats(ints a) { return _mm256_cvtepi32_ps(a); }
static PANEL_INLINE ints to_ints(floats a) { return _mm256_cvtps_epi32(a); }
static PANEL_INLINE ints bits(floats a) { return _mm256_castps_si256(a); }

static PANEL_INLINE floats low_halves(ints a) {
    const __m256i low = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
static PANEL_INLINE floats high_halves(ints a) { return low_halves(right(a, 16)); }
static PANEL_INLINE floats halves(const uint16_t * p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)); }

typedef __m128i shorts;
static PANEL_INLINE floats halves(shorts a) { return _mm256_cvtph_ps(a); }
static PANEL_INLINE shorts low_shorts(shorts a, shorts b) { return _mm_unpacklo_epi16(a, b); }
static PANEL_INLINE shorts high_shorts(shorts a, shorts b) { return _mm_unpackhi_epi16(a, b); }
static PANEL_INLINE shorts low_twos(shorts a, shorts b) { return _mm_unpacklo_epi32(a, b); }
static PANEL_INLINE shorts high_twos(shorts a, shorts b) { return _mm_unpackhi_epi32(a, b); }
static PANEL_INLINE shorts low_fours(shorts a, shorts b) { return _mm_unpacklo_epi64(a, b); }
static PANEL_INLINE shorts high_fours(shorts a, shorts b) { return _mm_unpackhi_epi64(a, b); }

// 16 bytes of row j.
static PANEL_INLINE shorts eighths(const char * rows, size_t stride, int j) { return _mm_loadu_si128((const __m128i *) (rows + j * stride)); }

static PANEL_INLINE __m128i add_halves(ints a) { return _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)); }
static PANEL_INLINE int sum_words(ints a) {
    __m128i s = add_halves(a);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
static PANEL_INLINE int max_word(ints a) {
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
static PANEL_INLINE floats max_floats(floats a, floats b) { return _mm256_max_ps(a, b); }
static PANEL_INLINE float max_float(floats a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static PANEL_INLINE bool all_are(floats a, float f) { return _mm256_movemask_ps(_mm256_cmp_ps(a, all_floats(f), _CMP_NEQ_UQ)) == 0; }

static PANEL_INLINE void store_bytes(int8_t * p, ints a) {
    const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *) p, _mm_packs_epi16(shorts, shorts));
}

// 16 bytes of the rows j and j + 4.
static PANEL_INLINE ints quarters(const uint8_t * const * rows, size_t offset, int j) {
    const auto part = [&](int i) { return _mm_loadu_si128((const __m128i *) (rows[j + 4 * i] + offset)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
}
static PANEL_INLINE ints low_words(ints a, ints b) { return _mm256_unpacklo_epi32(a, b); }
static PANEL_INLINE ints high_words(ints a, ints b) { return _mm256_unpackhi_epi32(a, b); }
static PANEL_INLINE ints low_pairs(ints a, ints b) { return _mm256_unpacklo_epi64(a, b); }
static PANEL_INLINE ints high_pairs(ints a, ints b) { return _mm256_unpackhi_epi64(a, b); }

#if PANEL_VNNI
static PANEL_INLINE ints dot(ints sum, ints unsigned_bytes, ints signed_bytes) {
    return _mm256_dpbusd_avx_epi32(sum, unsigned_bytes, signed_bytes);
}
#endif
static PANEL_INLINE ints products(ints unsigned_bytes, ints signed_bytes) { return _mm256_maddubs_epi16(unsigned_bytes, signed_bytes); }
static PANEL_INLINE ints add_shorts(ints a, ints b) { return _mm256_add_epi16(a, b); }
static PANEL_INLINE ints widen(ints shorts) { return _mm256_madd_epi16(shorts, _mm256_set1_epi16(1)); }
static PANEL_INLINE ints magnitude(ints a) { return _mm256_abs_epi8(a); }
static PANEL_INLINE ints with_sign(ints a, ints sign) { return _mm256_sign_epi8(a, sign); }

#endif

#if !PANEL_VNNI
// Never called; so that both ways of a product compile.
static PANEL_INLINE ints dot(ints sum, ints, ints) { return sum; }
#endif

static PANEL_INLINE ints all_words_at(const void * p) { return all_words(word(p)); }

// out[i]: word i of 16 bytes of each of LANES rows.
static PANEL_INLINE void words(const uint8_t * const * rows, size_t offset, ints out[4]) {
    ints v[4];
    PANEL_UNROLL for (int j = 0; j < 4; j++) v[j] = quarters(rows, offset, j);
    const ints a = low_words(v[0], v[1]), b = high_words(v[0], v[1]);
    const ints c = low_words(v[2], v[3]), d = high_words(v[2], v[3]);
    out[0] = low_pairs(a, c);
    out[1] = high_pairs(a, c);
    out[2] = low_pairs(b, d);
    out[3] = high_pairs(b, d);
}

// out[i]: value i of 8 values of f16 in each of LANES rows, `stride` bytes apart.
static PANEL_INLINE void turn_halves(const char * rows, size_t stride, shorts out[8]) {
    shorts twos[8], fours[8];   // of two and of four rows at a time: the values 0 to 3, 4 to 7; 0 and 1, 2 and 3, ...
    PANEL_UNROLL for (int i = 0; i < 4; i++) {
        const shorts a = eighths(rows, stride, 2 * i), b = eighths(rows, stride, 2 * i + 1);
        twos[i] = low_shorts(a, b);
        twos[i + 4] = high_shorts(a, b);
    }
    PANEL_UNROLL for (int i = 0; i < 8; i += 2) {
        fours[i] = low_twos(twos[i], twos[i + 1]);
        fours[i + 1] = high_twos(twos[i], twos[i + 1]);
    }
    PANEL_UNROLL for (int i = 0; i < 4; i++) {
        const shorts a = fours[i / 2 * 4 + i % 2], b = fours[i / 2 * 4 + i % 2 + 2];
        out[2 * i] = low_fours(a, b);
        out[2 * i + 1] = high_fours(a, b);
    }
}

// The same as floats to out[value][row], `out_stride` floats apart.
static PANEL_INLINE void transpose_halves(const char * rows, size_t stride, float * out, size_t out_stride) {
    shorts turned[8];
    turn_halves(rows, stride, turned);
    PANEL_UNROLL for (int i = 0; i < 8; i++) store(out + i * out_stride, halves(turned[i]));
}

} // namespace panel

#endif
