#pragma once
// How the quantized formats lie in a file, and how their codes come out of it, LANES rows at a time.
//
// Each format has
//   BLOCK   columns of a block, and BYTES, its size;
//   SCALED  columns of the activations that share a scale: 32, or 256 as for all K quants;
//   GROUP   columns of the weights that share a scale: 16 or 32;
//   BITS    how wide its codes are: what limits how many products fit into 16 bits;
//   ZERO    what is taken off each code, where the format has no minimum;
//   MINIMUM whether it has one: value = scale x code + minimum.
//
// run() goes through `blocks` times 32 columns and hands a sink one group after the other: GROUP / 4 vectors, whose
// word r holds four codes of row r; and the scale and minimum of each row. Groups come in the order of their columns,
// because sums are built in it everywhere. After 256 columns of a K quant it calls sink.scaled().

#include "vector.h"

#if PANEL_LANES

namespace panel {

typedef const uint8_t * const * rows_t;   // LANES rows

static PANEL_INLINE ints low_nibbles(ints x) { return both(x, all_bytes(15)); }
static PANEL_INLINE ints high_nibbles(ints x) { return both(right(x, 4), all_bytes(15)); }

// The bits of `mask` in each byte, after a shift to the right, moved up to bit `to`.
static PANEL_INLINE ints take_bits(ints x, int shift, int mask, int to) { return left(both(right(x, shift), all_bytes(mask)), to); }

// Bits 4i to 4i + 3 of each word, each to bit 4 of one of its bytes.
static PANEL_INLINE ints spread_bits(ints x, int i) {
    const ints four = both(right(x, 4 * i), all_words(15));
    return left(both(times_words(four, all_words(0x00204081)), all_bytes(1)), 4);
}

static PANEL_INLINE floats byte_to_floats(ints x, int i) { return to_floats(both(right(x, 8 * i), all_words(255))); }
static PANEL_INLINE floats signed_byte_to_floats(ints x, int i) { return to_floats(right_signed(left(x, 24 - 8 * i), 24)); }

// A half at the same place of each row.
static PANEL_INLINE floats halves_of_rows(rows_t rows, size_t offset) {
    uint16_t h[LANES];
    PANEL_UNROLL for (int i = 0; i < LANES; i++) memcpy(&h[i], rows[i] + offset, 2);
    return halves(h);
}

static PANEL_INLINE void split_nibbles(const ints q[4], ints codes[8]) {
    PANEL_UNROLL for (int i = 0; i < 4; i++) {
        codes[i] = low_nibbles(q[i]);
        codes[i + 4] = high_nibbles(q[i]);
    }
}

// Codes of eight bits are unsigned where four products are added at once, and signed where pairs would overflow.
constexpr int ZERO_OF_BYTES = VNNI ? 128 : 0;

// The 16 values of IQ4_NL and IQ4_XS.
static PANEL_INLINE __m128i table_of_iq4() {
    const __m128i values = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return _mm_add_epi8(values, _mm_set1_epi8((char) ZERO_OF_BYTES));
}

struct q4_0 {
    static constexpr int BLOCK = 32, BYTES = 18, SCALED = 32, GROUP = 32, BITS = 4, ZERO = 8;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int b = 0; b < blocks; b++) {
            ints q[4], codes[8];
            words(rows, (size_t) b * BYTES + 2, q);
            split_nibbles(q, codes);
            sink.group(b, codes, halves_of_rows(rows, (size_t) b * BYTES), no_floats());
        }
    }
};

struct q4_1 {
    static constexpr int BLOCK = 32, BYTES = 20, SCALED = 32, GROUP = 32, BITS = 4, ZERO = 0;
    static constexpr bool MINIMUM = true;
    template <class Sink> static PANEL_INLINE void one(Sink & sink, int b, ints scale_and_minimum, const ints q[4]) {
        ints codes[8];
        split_nibbles(q, codes);
        sink.group(b, codes, low_halves(scale_and_minimum), high_halves(scale_and_minimum));
    }
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        int b = 0;
        for (; b + 4 <= blocks; b += 4) {   // four blocks are five times 16 bytes
            ints x[20];
            PANEL_UNROLL for (int i = 0; i < 5; i++) words(rows, (size_t) b * BYTES + 16 * i, x + 4 * i);
            PANEL_UNROLL for (int i = 0; i < 4; i++) one(sink, b + i, x[5 * i], x + 5 * i + 1);
        }
        for (; b < blocks; b++) {
            ints x[4], q[4];
            words(rows, (size_t) b * BYTES, x);
            words(rows, (size_t) b * BYTES + 4, q);
            one(sink, b, x[0], q);
        }
    }
};

struct q5_0 {
    static constexpr int BLOCK = 32, BYTES = 22, SCALED = 32, GROUP = 32, BITS = 5, ZERO = 16;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int b = 0; b < blocks; b++) {
            ints x[4], q[4], codes[8];
            words(rows, (size_t) b * BYTES, x);
            words(rows, (size_t) b * BYTES + 6, q);
            const ints high = either(right(x[0], 16), left(x[1], 16));
            split_nibbles(q, codes);
            PANEL_UNROLL for (int i = 0; i < 8; i++) codes[i] = either(codes[i], spread_bits(high, i));
            sink.group(b, codes, low_halves(x[0]), no_floats());
        }
    }
};

struct q5_1 {
    static constexpr int BLOCK = 32, BYTES = 24, SCALED = 32, GROUP = 32, BITS = 5, ZERO = 0;
    static constexpr bool MINIMUM = true;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int b = 0; b < blocks; b++) {
            ints x[4], q[4], codes[8];
            words(rows, (size_t) b * BYTES, x);
            words(rows, (size_t) b * BYTES + 8, q);
            split_nibbles(q, codes);
            PANEL_UNROLL for (int i = 0; i < 8; i++) codes[i] = either(codes[i], spread_bits(x[1], i));
            sink.group(b, codes, low_halves(x[0]), high_halves(x[0]));
        }
    }
};

struct q8_0 {
    static constexpr int BLOCK = 32, BYTES = 34, SCALED = 32, GROUP = 32, BITS = 8, ZERO = ZERO_OF_BYTES;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int b = 0; b < blocks; b++) {
            ints codes[8];
            words(rows, (size_t) b * BYTES + 2, codes);
            words(rows, (size_t) b * BYTES + 18, codes + 4);
            PANEL_UNROLL for (int i = 0; i < 8; i++) codes[i] = flip(codes[i], all_bytes(ZERO));
            sink.group(b, codes, halves_of_rows(rows, (size_t) b * BYTES), no_floats());
        }
    }
};

struct iq4_nl {
    static constexpr int BLOCK = 32, BYTES = 18, SCALED = 32, GROUP = 32, BITS = 8, ZERO = ZERO_OF_BYTES;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int b = 0; b < blocks; b++) {
            ints q[4], codes[8];
            words(rows, (size_t) b * BYTES + 2, q);
            split_nibbles(q, codes);
            PANEL_UNROLL for (int i = 0; i < 8; i++) codes[i] = look_up(table_of_iq4(), codes[i]);
            sink.group(b, codes, halves_of_rows(rows, (size_t) b * BYTES), no_floats());
        }
    }
};

// scales and minima [16], codes of two bits [64], scale and minimum of all
struct q2_K {
    static constexpr int BLOCK = 256, BYTES = 84, SCALED = 256, GROUP = 16, BITS = 2, ZERO = 0;
    static constexpr bool MINIMUM = true;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int s = 0; s < blocks / 8; s++) {
            const size_t start = (size_t) s * BYTES;
            ints x[4], parts[4];
            words(rows, start + 68, x);
            const floats scale = low_halves(x[3]), minimum = times(high_halves(x[3]), all_floats(-1.0f));
            words(rows, start, parts);
            PANEL_UNROLL for (int half = 0; half < 2; half++) {
                ints q[8];
                words(rows, start + 16 + 32 * half, q);
                words(rows, start + 32 + 32 * half, q + 4);
                PANEL_UNROLL for (int j = 0; j < 8; j++) {
                    const int u = half * 8 + j;
                    ints codes[4];
                    PANEL_UNROLL for (int i = 0; i < 4; i++) codes[i] = take_bits(q[j % 2 * 4 + i], j / 2 * 2, 3, 0);
                    const floats low = byte_to_floats(low_nibbles(parts[u / 4]), u % 4), high = byte_to_floats(high_nibbles(parts[u / 4]), u % 4);
                    sink.group(s * 16 + u, codes, times(scale, low), times(minimum, high));
                }
            }
            sink.scaled(s);
        }
    }
};

// third bits [32], codes of two bits [64], scales of six bits [12], scale of all
struct q3_K {
    static constexpr int BLOCK = 256, BYTES = 110, SCALED = 256, GROUP = 16, BITS = 3, ZERO = 4;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int s = 0; s < blocks / 8; s++) {
            const size_t start = (size_t) s * BYTES;
            ints x[4], y[4], parts[4];
            words(rows, start + 94, x);
            words(rows, start + 92, y);
            const floats scale = high_halves(x[3]);
            const ints a = y[1], b = y[2], c = y[3];   // the twelve bytes
            parts[0] = either(low_nibbles(a), take_bits(c, 0, 3, 4));
            parts[1] = either(low_nibbles(b), take_bits(c, 2, 3, 4));
            parts[2] = either(high_nibbles(a), take_bits(c, 4, 3, 4));
            parts[3] = either(high_nibbles(b), take_bits(c, 6, 3, 4));
            ints third[8];
            words(rows, start, third);
            words(rows, start + 16, third + 4);
            PANEL_UNROLL for (int half = 0; half < 2; half++) {
                ints q[8];
                words(rows, start + 32 + 32 * half, q);
                words(rows, start + 48 + 32 * half, q + 4);
                PANEL_UNROLL for (int j = 0; j < 8; j++) {
                    const int u = half * 8 + j;
                    ints codes[4];
                    PANEL_UNROLL for (int i = 0; i < 4; i++) {
                        const int from = j % 2 * 4 + i;
                        codes[i] = either(take_bits(q[from], j / 2 * 2, 3, 0), take_bits(third[from], 4 * half + j / 2, 1, 2));
                    }
                    const floats part = add(byte_to_floats(parts[u / 4], u % 4), all_floats(-32.0f));
                    sink.group(s * 16 + u, codes, times(scale, part), no_floats());
                }
            }
            sink.scaled(s);
        }
    }
};

// scale and minimum of all, both of eight groups in six bits [12], with Q5_K the fifth bits [32], nibbles [128]
template <bool FIFTH> struct q4_or_q5_K {
    static constexpr int BLOCK = 256, BYTES = FIFTH ? 176 : 144, SCALED = 256, GROUP = 32, BITS = FIFTH ? 5 : 4, ZERO = 0;
    static constexpr bool MINIMUM = true;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int s = 0; s < blocks / 8; s++) {
            const size_t start = (size_t) s * BYTES;
            ints x[4], fifth[8], scales[2], minima[2];
            words(rows, start, x);
            const floats scale = low_halves(x[0]), minimum = times(high_halves(x[0]), all_floats(-1.0f));
            scales[0] = both(x[1], all_bytes(63));
            minima[0] = both(x[2], all_bytes(63));
            scales[1] = either(low_nibbles(x[3]), take_bits(x[1], 6, 3, 4));
            minima[1] = either(high_nibbles(x[3]), take_bits(x[2], 6, 3, 4));
            if (FIFTH) {
                words(rows, start + 16, fifth);
                words(rows, start + 32, fifth + 4);
            }
            PANEL_UNROLL for (int c = 0; c < 4; c++) {
                ints q[8];
                const size_t nibbles = start + (FIFTH ? 48 : 16) + 32 * c;
                words(rows, nibbles, q);
                words(rows, nibbles + 16, q + 4);
                PANEL_UNROLL for (int high = 0; high < 2; high++) {
                    ints codes[8];
                    const int u = 2 * c + high;
                    PANEL_UNROLL for (int i = 0; i < 8; i++) {
                        codes[i] = high ? high_nibbles(q[i]) : low_nibbles(q[i]);
                        if (FIFTH) codes[i] = either(codes[i], take_bits(fifth[i], u, 1, 4));
                    }
                    sink.group(s * 8 + u, codes, times(scale, byte_to_floats(scales[u / 4], u % 4)),
                               times(minimum, byte_to_floats(minima[u / 4], u % 4)));
                }
            }
            sink.scaled(s);
        }
    }
};

// nibbles [128], bits 4 and 5 [64], signed scales [16], scale of all
struct q6_K {
    static constexpr int BLOCK = 256, BYTES = 210, SCALED = 256, GROUP = 16, BITS = 6, ZERO = 32;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int s = 0; s < blocks / 8; s++) {
            const size_t start = (size_t) s * BYTES;
            ints parts[4], x[4];
            words(rows, start + 192, parts);
            words(rows, start + 194, x);
            const floats scale = high_halves(x[3]);
            PANEL_UNROLL for (int half = 0; half < 2; half++) {
                ints nibbles[16], high[8];
                PANEL_UNROLL for (int i = 0; i < 4; i++) words(rows, start + 64 * half + 16 * i, nibbles + 4 * i);
                words(rows, start + 128 + 32 * half, high);
                words(rows, start + 144 + 32 * half, high + 4);
                PANEL_UNROLL for (int j = 0; j < 8; j++) {
                    const int u = half * 8 + j;
                    ints codes[4];
                    PANEL_UNROLL for (int i = 0; i < 4; i++) {
                        const ints from = nibbles[j % 4 * 4 + i];
                        codes[i] = either(j < 4 ? low_nibbles(from) : high_nibbles(from), take_bits(high[j % 2 * 4 + i], j / 2 * 2, 3, 4));
                    }
                    sink.group(s * 16 + u, codes, times(scale, signed_byte_to_floats(parts[u / 4], u % 4)), no_floats());
                }
            }
            sink.scaled(s);
        }
    }
};

// scale of all, high bits of the scales [2], low nibbles of the scales [4], nibbles [128]
struct iq4_xs {
    static constexpr int BLOCK = 256, BYTES = 136, SCALED = 256, GROUP = 32, BITS = 8, ZERO = ZERO_OF_BYTES;
    static constexpr bool MINIMUM = false;
    template <class Sink> static PANEL_INLINE void run(rows_t rows, int blocks, Sink & sink) {
        for (int s = 0; s < blocks / 8; s++) {
            const size_t start = (size_t) s * BYTES;
            ints x[4];
            words(rows, start, x);
            const floats scale = low_halves(x[0]);
            PANEL_UNROLL for (int u = 0; u < 8; u++) {
                ints q[4], codes[8];
                words(rows, start + 8 + 16 * u, q);
                split_nibbles(q, codes);
                PANEL_UNROLL for (int i = 0; i < 8; i++) codes[i] = look_up(table_of_iq4(), codes[i]);
                const ints low = both(right(x[1], 4 * u), all_words(15));
                const ints high = left(both(right(x[0], 16 + 2 * u), all_words(3)), 4);
                const floats part = add(to_floats(either(low, high)), all_floats(-32.0f));
                sink.group(s * 8 + u, codes, times(scale, part), no_floats());
            }
            sink.scaled(s);
        }
    }
};

} // namespace panel

#endif
