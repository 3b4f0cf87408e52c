#pragma once
// What flash attention does for each tile of keys besides its products, in vectors.

#include "vector.h"

#include <math.h>

namespace panel {

// The largest of `count` values.
static inline float largest(int count, const float * x) {
    float most = -INFINITY;
    int i = 0;
#if PANEL_LANES
    if (count >= LANES) {
        floats v = load(x);
        for (i = LANES; i + LANES <= count; i += LANES) v = max_floats(v, load(x + i));
        most = max_float(v);
    }
#endif
    for (; i < count; i++) most = x[i] > most ? x[i] : most;
    return most;
}

#if PANEL_LANES

// LANES values of f16 in each of LANES rows, `stride` bytes apart, to out[value][row], `out_stride` floats apart.
static PANEL_INLINE void transpose_square(const char * rows, size_t stride, float * out, size_t out_stride) {
    floats v[LANES], w[LANES];
    PANEL_UNROLL for (int i = 0; i < LANES; i++) v[i] = halves((const uint16_t *) (rows + i * stride));
    // In each 128 bits: pairs of rows, then fours of rows.
    PANEL_UNROLL for (int i = 0; i < LANES; i += 2) {
        w[i] = low_words(v[i], v[i + 1]);
        w[i + 1] = high_words(v[i], v[i + 1]);
    }
    PANEL_UNROLL for (int i = 0; i < LANES; i += 4) {
        v[i] = low_pairs(w[i], w[i + 2]);
        v[i + 1] = high_pairs(w[i], w[i + 2]);
        v[i + 2] = low_pairs(w[i + 1], w[i + 3]);
        v[i + 3] = high_pairs(w[i + 1], w[i + 3]);
    }
    // v[4a + b], 128-bit part p: value 4p + b of the rows 4a to 4a + 3.
    PANEL_UNROLL for (int b = 0; b < 4; b++) {
        floats column[LANES / 4];
        gather_parts(v + b, column);
        PANEL_UNROLL for (int p = 0; p < LANES / 4; p++) store(out + (4 * p + b) * out_stride, column[p]);
    }
}

#endif

// As many of `count` rows of f16 as make whole squares, to columns of f32; returns how many.
static inline int transpose_halves(const char * rows, size_t stride, int count, int64_t values, float * out, size_t out_stride) {
    int row = 0;
#if PANEL_LANES
    if (values % LANES == 0) {
        for (; row + LANES <= count; row += LANES) {
            for (int64_t value = 0; value < values; value += LANES) {
                transpose_square(rows + row * stride + value * 2, stride, out + value * out_stride + row, out_stride);
            }
        }
    }
#else
    (void) rows, (void) stride, (void) count, (void) values, (void) out, (void) out_stride;
#endif
    return row;
}

} // namespace panel
