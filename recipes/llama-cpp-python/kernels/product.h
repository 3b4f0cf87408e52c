#pragma once
// The product of a tile of weights and a panel of activations, and how both are made.
//
// Activations: `width` columns of a matrix as signed bytes, [depth / 4][width][4], with a scale for each SCALED of
// them, [depth / SCALED][width], and for each GROUP what their sum adds to the product, [depth / GROUP][width].
// Weights: codes of ROWS rows, [depth / 4][ROWS][4], with scales and minima [depth / GROUP][ROWS].

#include "formats.h"

#if PANEL_LANES

namespace panel {

constexpr int VECTORS = 2;                           // vectors of rows that a kernel holds
constexpr int ROWS = VECTORS * LANES;
constexpr int WIDTH = LANES == 16 ? 6 : 3;           // columns of a panel: 12 or 6 sums stay in registers
constexpr int WIDTHS[3] = { WIDTH, LANES == 16 ? 4 : 2, LANES == 16 ? 2 : 1 };   // and of the last panel of a matrix

// ---- activations

// Round `depth` values to bytes, into column `column` of a panel. Where one of them is not a number, the scale is not
// one either, and so is all that it is multiplied into. Too small for its inverse to be a float is zero.
template <class Format>
void quantize(const float * x, int depth, int width, int column, int8_t * codes, float * scales, float * sums) {
    int32_t * whole_sums = (int32_t *) sums;
    for (int start = 0; start < depth; start += Format::SCALED) {
        ints largest = no_ints();
        // The order of floats without their sign is that of their bits, and infinity and what is no number come last.
        for (int i = 0; i < Format::SCALED; i += LANES) {
            largest = max_words(largest, both(bits(load(x + start + i)), all_words(0x7fffffff)));
        }
        const int word_of_most = max_word(largest);
        float most;
        memcpy(&most, &word_of_most, 4);
        const float scale = most / 127.0f;
        const floats inverse = all_floats(most > 1e-36f ? 127.0f / most : 0.0f);
        scales[start / Format::SCALED * width + column] = scale;
        for (int part = start; part < start + Format::SCALED; part += Format::GROUP) {
            int8_t bytes[Format::GROUP];
            ints total = no_ints();
            PANEL_UNROLL for (int i = 0; i < Format::GROUP; i += LANES) {
                const ints rounded = to_ints(times(load(x + part + i), inverse));
                total = add_words(total, rounded);
                store_bytes(bytes + i, rounded);
            }
            const int sum = sum_words(total), place = part / Format::GROUP * width + column;
            if (!Format::MINIMUM) whole_sums[place] = (int32_t) (0u - (uint32_t) Format::ZERO * (uint32_t) sum);   // may wrap where x is no number
            else sums[place] = Format::SCALED == 32 ? scale * sum : (float) sum;
            PANEL_UNROLL for (int i = 0; i < Format::GROUP / 4; i++) {
                memcpy(codes + ((size_t) (part / 4 + i) * width + column) * 4, bytes + 4 * i, 4);
            }
        }
    }
}

// ---- weights

template <class Format> struct tile_sink {
    uint8_t * codes;
    float   * scales, * minima;
    PANEL_INLINE void group(int u, const ints * from, floats scale, floats minimum) {
        PANEL_UNROLL for (int i = 0; i < Format::GROUP / 4; i++) {
            store(codes + (size_t) (u * (Format::GROUP / 4) + i) * ROWS * 4, from[i]);
        }
        store(scales + (size_t) u * ROWS, scale);
        if (Format::MINIMUM) store(minima + (size_t) u * ROWS, minimum);
    }
    PANEL_INLINE void scaled(int) {}
};

template <class Format>
__attribute__((noinline)) void unpack(rows_t rows, int blocks, uint8_t * codes, float * scales, float * minima) {
    for (int v = 0; v < VECTORS; v++) {
        tile_sink<Format> sink = { codes + v * LANES * 4, scales + v * LANES, minima + v * LANES };
        Format::run(rows + v * LANES, blocks, sink);
    }
}

// ---- the kernel

// How many products of pairs of codes and activations fit into 16 bits.
constexpr int pairs_in_short(int code_bits) { return code_bits <= 4 ? 8 : code_bits == 5 ? 4 : code_bits == 6 ? 2 : 1; }

// Keep the compiler from moving sums about: it would spill what it delays.
static PANEL_INLINE void stay(ints & v) { __asm__("" : "+v"(v)); }

// Add the products of STEPS words of a group, from word `first` on, to the sums.
template <int BITS, int STEPS, int W>
static PANEL_INLINE void add_products(ints sums[VECTORS][W], const uint8_t * weights, const int8_t * codes) {
    ints part[VECTORS][W];
    PANEL_UNROLL for (int k = 0; k < STEPS; k++) {
        ints x[VECTORS], size[VECTORS];
        PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
            x[v] = load(weights + (size_t) (k * VECTORS + v) * LANES * 4);
            if (!VNNI && BITS == 8) size[v] = magnitude(x[v]);
        }
        PANEL_UNROLL for (int c = 0; c < W; c++) {
            const ints y = all_words_at(codes + (k * W + c) * 4);
            PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
                if (VNNI) {
                    sums[v][c] = dot(sums[v][c], x[v], y);
                } else {
                    const ints p = BITS == 8 ? products(size[v], with_sign(y, x[v])) : products(x[v], y);
                    part[v][c] = k ? add_shorts(part[v][c], p) : p;
                    stay(part[v][c]);
                }
            }
        }
    }
    if (!VNNI) {
        PANEL_UNROLL for (int c = 0; c < W; c++) PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
            sums[v][c] = add_words(sums[v][c], widen(part[v][c]));
        }
    }
}

// Multiply a tile of ROWS rows with a panel of W columns, over `blocks` times 32 columns of the weights, and set `out`
// (first) or add to it; a column of it begins `out_stride` floats after the one before.
template <int SCALED, int GROUP, bool MINIMUM, int BITS, int W>
__attribute__((noinline)) void multiply(int blocks, const uint8_t * weights, const float * scales, const float * minima,
                                        const int8_t * codes, const float * code_scales, const float * code_sums,
                                        float * out, size_t out_stride, bool first) {
    constexpr int WORDS = GROUP / 4, LIMIT = VNNI ? WORDS : pairs_in_short(BITS), STEPS = WORDS < LIMIT ? WORDS : LIMIT;
    constexpr bool WHOLE = SCALED == 32;   // the sums are scaled in each block, and stay in registers to the end
    floats total[VECTORS][W];
    PANEL_UNROLL for (int c = 0; c < W; c++) PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
        total[v][c] = WHOLE && !first ? load(out + c * out_stride + v * LANES) : no_floats();
    }
    for (int b = 0; b < blocks; b++) {
        PANEL_UNROLL for (int u = 0; u < 32 / GROUP; u++) {
            ints sums[VECTORS][W];
            PANEL_UNROLL for (int c = 0; c < W; c++) {
                const ints start = MINIMUM ? no_ints() : all_words_at(code_sums + c);
                PANEL_UNROLL for (int v = 0; v < VECTORS; v++) sums[v][c] = start;
            }
            PANEL_UNROLL for (int k = 0; k < WORDS; k += STEPS) {
                add_products<BITS, STEPS, W>(sums, weights + (size_t) k * ROWS * 4, codes + k * W * 4);
            }
            weights += WORDS * ROWS * 4;
            codes += WORDS * W * 4;
            PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
                const floats scale = load(scales + v * LANES);
                PANEL_UNROLL for (int c = 0; c < W; c++) {
                    floats f = to_floats(sums[v][c]);
                    if (WHOLE) f = times(f, all_floats(code_scales[c]));
                    total[v][c] = times_add(f, scale, total[v][c]);
                    if (MINIMUM) total[v][c] = times_add(load(minima + v * LANES), all_floats(code_sums[c]), total[v][c]);
                }
            }
            scales += ROWS;
            if (MINIMUM) minima += ROWS;
            code_sums += W;
        }
        if (WHOLE) {
            code_scales += W;
        } else if (b % 8 == 7) {
            PANEL_UNROLL for (int c = 0; c < W; c++) {
                const floats scale = all_floats(code_scales[c]);
                PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
                    float * o = out + c * out_stride + v * LANES;
                    store(o, first ? times(total[v][c], scale) : times_add(total[v][c], scale, load(o)));
                    total[v][c] = no_floats();
                }
            }
            first = false;
            code_scales += W;
        }
    }
    if (WHOLE) {
        PANEL_UNROLL for (int c = 0; c < W; c++) PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
            store(out + c * out_stride + v * LANES, total[v][c]);
        }
    }
}

// ---- few columns: the codes are used at once, and not kept

template <class Format, int W> struct few_sink {
    const int8_t * codes;
    const float  * code_scales, * code_sums;
    const char   * next;   // the rows that come next; null where rows are long: then the CPU itself has fetched ahead
    floats total[W], all[W];
    PANEL_INLINE void group(int u, const ints * from, floats scale, floats minimum) {
        constexpr int AHEAD = LANES * Format::GROUP * Format::BYTES / Format::BLOCK;
        if (next) {
            PANEL_UNROLL for (int i = 0; i < AHEAD; i += 64) _mm_prefetch(next + (size_t) u * AHEAD + i, _MM_HINT_T1);
        }
        constexpr int WORDS = Format::GROUP / 4, BITS = Format::BITS, LIMIT = VNNI ? WORDS : pairs_in_short(BITS);
        constexpr int STEPS = WORDS < LIMIT ? WORDS : LIMIT;
        const int8_t * right = codes + (size_t) u * WORDS * W * 4;
        PANEL_UNROLL for (int c = 0; c < W; c++) {
            ints sum = Format::MINIMUM ? no_ints() : all_words_at(code_sums + (size_t) u * W + c);
            if (VNNI) {
                ints second = no_ints();   // two chains, as each product waits for the one before
                PANEL_UNROLL for (int k = 0; k < WORDS; k += 2) {
                    sum = dot(sum, from[k], all_words_at(right + (k * W + c) * 4));
                    second = dot(second, from[k + 1], all_words_at(right + ((k + 1) * W + c) * 4));
                }
                sum = add_words(sum, second);
            } else {
                PANEL_UNROLL for (int k = 0; k < WORDS; k += STEPS) {
                    ints part = no_ints();
                    PANEL_UNROLL for (int i = k; i < k + STEPS; i++) {
                        const ints y = all_words_at(right + (i * W + c) * 4);
                        const ints p = BITS == 8 ? products(magnitude(from[i]), with_sign(y, from[i])) : products(from[i], y);
                        part = i == k ? p : add_shorts(part, p);
                    }
                    sum = add_words(sum, widen(part));
                }
            }
            floats f = to_floats(sum);
            if (Format::SCALED == 32) f = times(f, all_floats(code_scales[(size_t) u * W + c]));
            total[c] = times_add(f, scale, total[c]);
            if (Format::MINIMUM) total[c] = times_add(minimum, all_floats(code_sums[(size_t) u * W + c]), total[c]);
        }
    }
    PANEL_INLINE void scaled(int s) {
        PANEL_UNROLL for (int c = 0; c < W; c++) {
            all[c] = times_add(total[c], all_floats(code_scales[(size_t) s * W + c]), all[c]);
            total[c] = no_floats();
        }
    }
};

// LANES rows times W columns, the whole depth, to out[column * LANES + row].
template <class Format, int W>
__attribute__((noinline)) void multiply_few(rows_t rows, int blocks, const int8_t * codes, const float * code_scales,
                                            const float * code_sums, const char * next, float * out) {
    few_sink<Format, W> sink;
    sink.next = next;
    sink.codes = codes, sink.code_scales = code_scales, sink.code_sums = code_sums;
    PANEL_UNROLL for (int c = 0; c < W; c++) sink.total[c] = sink.all[c] = no_floats();
    Format::run(rows, blocks, sink);
    PANEL_UNROLL for (int c = 0; c < W; c++) store(out + c * LANES, Format::SCALED == 32 ? sink.total[c] : sink.all[c]);
}

} // namespace panel

#endif
