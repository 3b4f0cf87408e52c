#pragma once
// What attention does besides its products, in vectors.

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

// Add `slope` times the mask to as many of `count` scores as fill vectors; returns how many.
static inline int add_mask(int count, float * x, const uint16_t * mask, float slope) {
    int i = 0;
#if PANEL_LANES
    for (; i + LANES <= count; i += LANES) store(x + i, times_add(all_floats(slope), halves(mask + i), load(x + i)));
#else
    (void) count, (void) x, (void) mask, (void) slope;
#endif
    return i;
}

// How many of `count` scores there are without whole vectors at the end that are masked.
static inline int unmasked(int count, const float * x) {
#if PANEL_LANES
    while (count >= LANES && all_are(load(x + count - LANES), -INFINITY)) count -= LANES;
#else
    (void) x;
#endif
    return count;
}

// As many of `count` rows of f16 as fill vectors, to columns of f32; returns how many.
static inline int transpose_halves(const char * rows, size_t stride, int count, int64_t values, float * out, size_t out_stride) {
    int row = 0;
#if PANEL_LANES
    if (values % 8 == 0) {
        for (; row + LANES <= count; row += LANES) {
            for (int64_t value = 0; value < values; value += 8) {
                transpose_halves(rows + row * stride + value * 2, stride, out + value * out_stride + row, out_stride);
            }
        }
    }
#else
    (void) rows, (void) stride, (void) count, (void) values, (void) out, (void) out_stride;
#endif
    return row;
}

} // namespace panel
