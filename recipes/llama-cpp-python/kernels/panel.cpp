// Which products are computed here, and how their work is laid out and shared among threads.

#include "panel.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "ggml.h"

#include "half.h"
#include "product.h"

#if PANEL_LANES

#include <stdlib.h>
#include <string.h>

#include <algorithm>

namespace panel {
namespace {

typedef void (*quantize_t)(const float *, int, int, int, int8_t *, float *, float *);
typedef void (*unpack_t)(rows_t, int, uint8_t *, float *, float *);
typedef void (*multiply_few_t)(rows_t, int, const int8_t *, const float *, const float *, const char *, float *);
typedef void (*multiply_t)(int, const uint8_t *, const float *, const float *, const int8_t *, const float *, const float *,
                           float *, size_t, bool);

constexpr int FEW = 4;   // up to so many columns the weights are unpacked for each vector of rows and used at once

// A format as its numbers and functions, so that everything below exists once.
struct format {
    ggml_type  type;
    int        block, bytes, scaled, group;
    quantize_t quantize;
    unpack_t   unpack;
    multiply_t multiply[3];   // by WIDTHS
    multiply_few_t multiply_few[FEW];   // by columns
};

// Kernels differ by the widths of codes only where these decide how many products fit into 16 bits.
constexpr int kernel_bits(int bits) { return VNNI ? 8 : bits <= 4 ? 4 : bits; }

template <class F> constexpr format describe(ggml_type type) {
    constexpr int bits = kernel_bits(F::BITS);
    return { type, F::BLOCK, F::BYTES, F::SCALED, F::GROUP, quantize<F>, unpack<F>,
             { multiply<F::SCALED, F::GROUP, F::MINIMUM, bits, WIDTHS[0]>,
               multiply<F::SCALED, F::GROUP, F::MINIMUM, bits, WIDTHS[1]>,
               multiply<F::SCALED, F::GROUP, F::MINIMUM, bits, WIDTHS[2]> },
             { multiply_few<F, 1>, multiply_few<F, 2>, multiply_few<F, 3>, multiply_few<F, 4> } };
}

const format FORMATS[] = {
    describe<q4_0>(GGML_TYPE_Q4_0),
    describe<q4_1>(GGML_TYPE_Q4_1),
    describe<q5_0>(GGML_TYPE_Q5_0),
    describe<q5_1>(GGML_TYPE_Q5_1),
    describe<q8_0>(GGML_TYPE_Q8_0),
    describe<iq4_nl>(GGML_TYPE_IQ4_NL),
    describe<q2_K>(GGML_TYPE_Q2_K),
    describe<q3_K>(GGML_TYPE_Q3_K),
    describe<q4_or_q5_K<false>>(GGML_TYPE_Q4_K),
    describe<q4_or_q5_K<true>>(GGML_TYPE_Q5_K),
    describe<q6_K>(GGML_TYPE_Q6_K),
    describe<iq4_xs>(GGML_TYPE_IQ4_XS),
};

const format * find_format(ggml_type type) {
    for (const format & f : FORMATS) {
        if (f.type == type) return &f;
    }
    return nullptr;
}

constexpr size_t  FETCHED_AHEAD = 32 << 10;     // bytes of a vector of rows: shorter rows are over before the CPU fetches ahead by itself
constexpr int     TILE_DEPTH = 18432 / ROWS;    // columns of the weights in a tile: 18 KB of codes
constexpr size_t  TILE_BYTES = (size_t) ROWS * TILE_DEPTH + 2 * sizeof(float) * ROWS * TILE_DEPTH / 16;

bool switched_off() {
    static const bool off = [] {
        const char * kernels = getenv("TRUEWHEEL_KERNELS");
        return kernels != nullptr && strcmp(kernels, "upstream") == 0;
    }();
    return off;
}

size_t padded(size_t bytes) { return (bytes + 63) & ~(size_t) 63; }

// Columns that a matrix of so many takes up: its last panel may be wider than what is left for it.
int last_width(int64_t columns) {
    const int left = (int) (columns % WIDTH);
    int width = WIDTHS[0];
    for (int w : WIDTHS) {
        if (w >= left) width = w;
    }
    return width;
}
int64_t columns_with_padding(int64_t columns) {
    return columns % WIDTH ? columns / WIDTH * WIDTH + last_width(columns) : columns;
}

// ---- the work space: activations as panels, then a tile a thread

struct activations {
    int8_t * codes;
    float  * scales, * sums;
};

struct layout {
    size_t scales, sums, tiles;   // where they begin
};

layout lay_out(const format & f, int64_t columns, int64_t depth) {
    layout l;
    l.scales = padded((size_t) (columns * depth));
    l.sums = l.scales + padded((size_t) (columns * (depth / f.scaled)) * sizeof(float));
    l.tiles = l.sums + padded((size_t) (columns * (depth / f.group)) * sizeof(float));
    return l;
}

char * aligned(void * p) { return (char *) (((uintptr_t) p + 63) & ~(uintptr_t) 63); }

// ---- the product of some rows with all columns of a matrix

// Where a column of the result lies.
struct places {
    float         * first;
    size_t          stride;   // floats, where `scattered` is null
    float * const * scattered;
    float * at(int64_t column) const { return scattered ? scattered[column] : first + column * stride; }
};

struct product {
    const format  * f;
    const uint8_t * weights;
    size_t          row_bytes;
    int64_t         rows, depth, columns;
    activations     right;
    places          result;
};

const uint8_t * row_at(const product & p, int64_t row, int block) {
    return p.weights + (size_t) std::min(row, p.rows - 1) * p.row_bytes + (size_t) (block * 32 / p.f->block) * p.f->bytes;
}

// 32-column blocks of a tile: as many as fit, evenly, whole blocks of the format.
int tile_blocks(const product & p) {
    const int unit = p.f->block / 32, blocks = (int) (p.depth / 32), most = TILE_DEPTH / 32 / unit * unit;
    const int tiles = (blocks + most - 1) / most;
    return ((blocks + tiles - 1) / tiles + unit - 1) / unit * unit;
}

// Fetch the weights that are unpacked next, a part with each panel.
struct prefetch {
    const product & p;
    int64_t row;
    int     rows, block, share;
    size_t  bytes;
    void part(int64_t i) const {
        for (int64_t r = i * share; r < std::min<int64_t>((i + 1) * share, rows); r++) {
            const uint8_t * from = row_at(p, row + r, block);
            for (size_t o = 0; o < bytes; o += 64) _mm_prefetch((const char *) (from + o), _MM_HINT_T1);
        }
    }
};

void multiply_panel(const product & p, int64_t panel, int64_t row, int block, int blocks, const uint8_t * tile,
                    const float * scales, const float * minima) {
    const format & f = *p.f;
    const int64_t column = panel * WIDTH;
    const int columns = (int) std::min<int64_t>(WIDTH, p.columns - column);
    const int width = columns == WIDTH ? WIDTH : last_width(p.columns);
    const int rows = (int) std::min<int64_t>(ROWS, p.rows - row);
    const multiply_t kernel = f.multiply[width == WIDTHS[0] ? 0 : width == WIDTHS[1] ? 1 : 2];
    const int8_t * codes = p.right.codes + column * p.depth + (int64_t) block * 32 * width;
    const float * code_scales = p.right.scales + column * (p.depth / f.scaled) + (int64_t) block * 32 / f.scaled * width;
    const float * code_sums = p.right.sums + column * (p.depth / f.group) + (int64_t) block * 32 / f.group * width;
    if (rows == ROWS && columns == width && !p.result.scattered) {
        kernel(blocks, tile, scales, minima, codes, code_scales, code_sums, p.result.at(column) + row, p.result.stride, block == 0);
        return;
    }
    float beside[WIDTH * ROWS];   // rows or columns that there are not end here
    memset(beside, 0, sizeof(beside));
    if (block) {
        for (int c = 0; c < columns; c++) memcpy(beside + c * ROWS, p.result.at(column + c) + row, rows * sizeof(float));
    }
    kernel(blocks, tile, scales, minima, codes, code_scales, code_sums, beside, ROWS, block == 0);
    for (int c = 0; c < columns; c++) memcpy(p.result.at(column + c) + row, beside + c * ROWS, rows * sizeof(float));
}

// Rows row to row + ROWS, panels `begin` to `end`.
void multiply_rows(const product & p, int64_t row, int64_t begin, int64_t end, uint8_t * tile) {
    const format & f = *p.f;
    const int blocks = (int) (p.depth / 32), step = tile_blocks(p);
    for (int block = 0; block < blocks; block += step) {
        const int count = std::min(step, blocks - block);
        const uint8_t * rows[ROWS];
        for (int i = 0; i < ROWS; i++) rows[i] = row_at(p, row + i, block);
        float * scales = (float *) (tile + (size_t) ROWS * count * 32), * minima = scales + (size_t) ROWS * (count * 32 / f.group);
        f.unpack(rows, count, tile, scales, minima);
        const bool more = block + step < blocks;
        const int64_t next = more ? row : row + ROWS;
        const prefetch ahead = { p, next, (int) std::max<int64_t>(0, std::min<int64_t>(ROWS, p.rows - next)), more ? block + step : 0,
                                 (int) ((ROWS + end - begin - 1) / (end - begin)), (size_t) (count * 32 / f.block) * f.bytes };
        for (int64_t panel = begin; panel < end; panel++) {
            ahead.part(panel - begin);
            multiply_panel(p, panel, row, block, count, tile, scales, minima);
        }
    }
}

// Rows row to row + LANES, where there are up to FEW columns.
void multiply_vector(const product & p, int64_t row) {
    const int64_t count = std::min<int64_t>(LANES, p.rows - row);
    const bool fetch = LANES * p.row_bytes <= FETCHED_AHEAD;
    const uint8_t * rows[LANES];
    for (int i = 0; i < LANES; i++) rows[i] = row_at(p, row + i, 0);
    float beside[FEW * LANES];
    p.f->multiply_few[p.columns - 1](rows, (int) (p.depth / 32), p.right.codes, p.right.scales, p.right.sums,
                                     fetch ? (const char *) rows[0] + LANES * p.row_bytes : nullptr, beside);
    for (int c = 0; c < p.columns; c++) memcpy(p.result.at(c) + row, beside + c * LANES, count * sizeof(float));
}

int64_t panels_of(int64_t columns) { return (columns + WIDTH - 1) / WIDTH; }
int64_t row_panels_of(int64_t rows) { return (rows + ROWS - 1) / ROWS; }

// Quantize the columns of one panel; null is a column that there is not.
void quantize_panel(const format & f, const float * const * columns, int width, int64_t depth, const activations & to,
                    int64_t first) {
    int8_t * codes = to.codes + first * depth;
    float * scales = to.scales + first * (depth / f.scaled), * sums = to.sums + first * (depth / f.group);
    if (columns[width - 1] == nullptr) {
        memset(codes, 0, (size_t) (width * depth));
        memset(scales, 0, width * (depth / f.scaled) * sizeof(float));
        memset(sums, 0, width * (depth / f.group) * sizeof(float));
    }
    for (int c = 0; c < width && columns[c]; c++) f.quantize(columns[c], (int) depth, width, c, codes, scales, sums);
}

// ---- MUL_MAT

bool common_conditions(const ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    return !switched_off() && a->extra == nullptr && b->type == GGML_TYPE_F32 && dst->type == GGML_TYPE_F32 &&
        b->nb[0] == sizeof(float) && dst->nb[0] == sizeof(float) && a->ne[1] >= LANES && a->nb[0] == ggml_type_size(a->type);
}

bool takes_mul_mat(const ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0];
    return find_format(a->type) && common_conditions(dst) && a->ne[2] == 1 && a->ne[3] == 1 && ggml_is_contiguous(dst);
}

const float * column_of(const ggml_tensor * b, int64_t n) {
    const int64_t i1 = n % b->ne[1], i2 = n / b->ne[1] % b->ne[2], i3 = n / (b->ne[1] * b->ne[2]);
    return (const float *) ((const char *) b->data + i1 * b->nb[1] + i2 * b->nb[2] + i3 * b->nb[3]);
}

activations activations_at(void * work, const format & f, int64_t columns, int64_t depth) {
    const layout l = lay_out(f, columns_with_padding(columns), depth);
    char * base = aligned(work);
    return { (int8_t *) base, (float *) (base + l.scales), (float *) (base + l.sums) };
}

// Quantize every `step`th of up to FEW columns.
activations quantize_few(void * work, const ggml_tensor * dst, int first, int step) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    const format & f = *find_format(a->type);
    const int columns = (int) ggml_nrows(b);
    const activations right = activations_at(work, f, columns, a->ne[0]);
    for (int c = first; c < columns; c += step) {
        f.quantize(column_of(b, c), (int) a->ne[0], columns, c, right.codes, right.scales, right.sums);
    }
    return right;
}

// MUL_MATs of up to FEW columns, all of the same ones: their rows are shared out as if they were one matrix.
void mul_mat_few(const ggml_compute_params * params, ggml_tensor * const * dsts, int count) {
    const bool ready = params->step & GGML_STEP_READY;
    const int nth = params->nth, columns = (int) ggml_nrows(dsts[0]->src[1]);
    const activations right = quantize_few(params->wdata, dsts[0], ready ? columns : params->ith, nth);
    if (!ready) {
        if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, 0);
        ggml_barrier(params->threadpool);
    }
    int64_t before = 0, piece = ggml_threadpool_chunk_add(params->threadpool, 1);
    for (int i = 0; i < count; i++) {
        const ggml_tensor * a = dsts[i]->src[0];
        const int64_t rows = a->ne[1], vectors = (rows + LANES - 1) / LANES;
        const int64_t share = std::max<int64_t>(1, std::min<int64_t>(vectors / (nth * 8), 8)), pieces = (vectors + share - 1) / share;
        const product p = { find_format(a->type), (const uint8_t *) a->data, a->nb[1], rows, a->ne[0], columns, right,
                            { (float *) dsts[i]->data, (size_t) rows, nullptr } };
        for (; piece < before + pieces; piece = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            const int64_t begin = (piece - before) * share;
            for (int64_t v = begin; v < std::min(vectors, begin + share); v++) multiply_vector(p, v * LANES);
        }
        before += pieces;
    }
}

void mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    const format & f = *find_format(a->type);
    const int64_t depth = a->ne[0], rows = a->ne[1], columns = b->ne[1] * b->ne[2] * b->ne[3];
    if (columns <= FEW) {
        mul_mat_few(params, &dst, 1);
        return;
    }
    const activations right = activations_at(params->wdata, f, columns, depth);
    const size_t tiles = lay_out(f, columns_with_padding(columns), depth).tiles;
    uint8_t * tile = (uint8_t *) aligned(params->wdata) + tiles + (size_t) params->ith * padded(TILE_BYTES);
    const int64_t panels = panels_of(columns);
    const int nth = params->nth;

    for (int64_t panel = params->ith; panel < panels; panel += nth) {
        const float * x[WIDTH] = {};
        const int64_t first = panel * WIDTH;
        for (int c = 0; c < std::min<int64_t>(WIDTH, columns - first); c++) x[c] = column_of(b, first + c);
        quantize_panel(f, x, first + WIDTH <= columns ? WIDTH : last_width(columns), depth, right, first);
    }
    if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, nth);
    ggml_barrier(params->threadpool);

    const product p = { &f, (const uint8_t *) a->data, a->nb[1], rows, depth, columns, right, { (float *) dst->data, (size_t) rows, nullptr } };
    const int64_t row_panels = row_panels_of(rows);
    // Where rows alone make too few pieces for the threads, columns are divided too.
    int64_t parts = 1;
    while (row_panels * parts < 4 * nth && panels / (parts + 1) >= 4) parts++;
    const int64_t share = (panels + parts - 1) / parts;
    for (int64_t piece = params->ith; piece < row_panels * parts; piece = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t begin = piece % parts * share, end = std::min(begin + share, panels);
        if (begin < end) multiply_rows(p, piece / parts * ROWS, begin, end, tile);
    }
}

// ---- MUL_MAT_ID: every expert's product with the columns that chose it

struct choice { int32_t slot, token; };

struct expert_layout {
    size_t  starts, chosen, result, panels;   // where they begin in the work space
    int64_t columns;                          // at most, with padding
};

expert_layout lay_out_experts(const ggml_tensor * dst) {
    const int64_t experts = dst->src[0]->ne[2], chosen = dst->src[2]->ne[0] * dst->src[2]->ne[1];
    expert_layout l;
    l.starts = 0;
    l.chosen = padded((size_t) (2 * experts + 1) * sizeof(int64_t));
    l.result = l.chosen + padded((size_t) chosen * sizeof(choice));
    l.panels = l.result + padded((size_t) chosen * sizeof(float *));
    l.columns = chosen + experts * (WIDTH - 1);
    return l;
}

bool takes_mul_mat_id(const ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0];
    return find_format(a->type) && common_conditions(dst) && a->ne[3] == 1;
}

// Sort what was chosen by expert: counts[e] of them, the first at starts[e].
void sort_choices(const ggml_tensor * dst, int64_t * counts, int64_t * starts, choice * chosen, float ** result) {
    const ggml_tensor * ids = dst->src[2];
    const int64_t experts = dst->src[0]->ne[2];
    const auto expert = [&](int64_t slot, int64_t token) {
        return *(const int32_t *) ((const char *) ids->data + token * ids->nb[1] + slot * ids->nb[0]);
    };
    memset(counts, 0, experts * sizeof(int64_t));
    for (int64_t token = 0; token < ids->ne[1]; token++) {
        for (int64_t slot = 0; slot < ids->ne[0]; slot++) {
            GGML_ASSERT(expert(slot, token) >= 0 && expert(slot, token) < experts);
            counts[expert(slot, token)]++;
        }
    }
    starts[0] = 0;
    for (int64_t e = 0; e < experts; e++) starts[e + 1] = starts[e] + counts[e];
    memset(counts, 0, experts * sizeof(int64_t));
    for (int64_t token = 0; token < ids->ne[1]; token++) {
        for (int64_t slot = 0; slot < ids->ne[0]; slot++) {
            const int64_t e = expert(slot, token), place = starts[e] + counts[e]++;
            chosen[place] = { (int32_t) slot, (int32_t) token };
            result[place] = (float *) ((char *) dst->data + slot * dst->nb[1] + token * dst->nb[2]);
        }
    }
}

void mul_mat_id(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    const format & f = *find_format(a->type);
    const int64_t depth = a->ne[0], rows = a->ne[1], experts = a->ne[2];
    const expert_layout e = lay_out_experts(dst);
    const layout l = lay_out(f, e.columns, depth);
    char * base = aligned(params->wdata);
    int64_t * counts = (int64_t *) (base + e.starts), * starts = counts + experts;
    choice * chosen = (choice *) (base + e.chosen);
    float ** result = (float **) (base + e.result);
    char * panels = base + e.panels;
    uint8_t * tile = (uint8_t *) panels + l.tiles + (size_t) params->ith * padded(TILE_BYTES);

    if (params->ith == 0) {
        sort_choices(dst, counts, starts, chosen, result);
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);

    // An expert's panels begin where those before it end, at the latest: each takes at most WIDTH - 1 columns more.
    const auto panels_from = [&](int64_t expert) {
        const int64_t first = starts[expert] + expert * (WIDTH - 1);
        return activations{ (int8_t *) panels + first * depth, (float *) (panels + l.scales) + first * (depth / f.scaled),
                            (float *) (panels + l.sums) + first * (depth / f.group) };
    };
    int64_t turn = 0;
    for (int64_t expert = 0; expert < experts; expert++) {
        const bool few = counts[expert] <= FEW;
        const int most = few ? FEW : WIDTH;
        for (int64_t first = 0; first < counts[expert]; first += most) {
            if (turn++ % params->nth != params->ith) continue;
            const float * x[std::max(FEW, WIDTH)] = {};
            const int count = (int) std::min<int64_t>(most, counts[expert] - first);
            for (int c = 0; c < count; c++) {
                const choice & which = chosen[starts[expert] + first + c];
                x[c] = (const float *) ((const char *) b->data + which.slot % b->ne[1] * b->nb[1] + which.token * b->nb[2]);
            }
            const int width = few || count == WIDTH ? count : last_width(counts[expert]);
            quantize_panel(f, x, width, depth, panels_from(expert), first);
        }
    }
    ggml_barrier(params->threadpool);

    const int64_t row_panels = row_panels_of(rows);
    for (int64_t piece = params->ith; piece < row_panels * experts; piece = ggml_threadpool_chunk_add(params->threadpool, 1)) {
        const int64_t expert = piece / row_panels;
        if (counts[expert] == 0) continue;
        const product p = { &f, (const uint8_t *) a->data + expert * a->nb[2], a->nb[1], rows, depth, counts[expert],
                            panels_from(expert), { nullptr, 0, result + starts[expert] } };
        const int64_t row = piece % row_panels * ROWS;
        if (counts[expert] > FEW) {
            multiply_rows(p, row, 0, panels_of(counts[expert]), tile);
        } else {
            for (int64_t v = row; v < std::min(row + ROWS, rows); v += LANES) multiply_vector(p, v);
        }
    }
}

size_t work_size(int n_threads, const ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    const size_t tiles = (size_t) n_threads * padded(TILE_BYTES) + 64;
    if (dst->op == GGML_OP_MUL_MAT && takes_mul_mat(dst)) {
        return lay_out(*find_format(a->type), columns_with_padding(b->ne[1] * b->ne[2] * b->ne[3]), a->ne[0]).tiles + tiles;
    }
    if (dst->op == GGML_OP_MUL_MAT_ID && takes_mul_mat_id(dst)) {
        const expert_layout e = lay_out_experts(dst);
        return e.panels + lay_out(*find_format(a->type), e.columns, a->ne[0]).tiles + tiles;
    }
    return 0;
}

} // namespace
} // namespace panel

bool ggml_panel_takes(enum ggml_type type) { return !panel::switched_off() && panel::find_format(type) != nullptr; }

size_t ggml_panel_work_size(int n_threads, const ggml_tensor * dst) { return panel::work_size(n_threads, dst); }

bool ggml_panel_mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    if (params->use_ref || panel::switched_off()) return false;
    if (panel::takes_halves(dst)) panel::mul_mat_halves(params, dst);
    else if (panel::takes_mul_mat(dst)) panel::mul_mat(params, dst);
    else return false;
    return true;
}

bool ggml_panel_takes_few(const ggml_tensor * dst) {
    return dst->op == GGML_OP_MUL_MAT && panel::takes_mul_mat(dst) && ggml_nrows(dst->src[1]) <= panel::FEW;
}

bool ggml_panel_same_right(const ggml_tensor * one, const ggml_tensor * other) {
    return one->src[1] == other->src[1] && one->src[0]->type == other->src[0]->type;
}

void ggml_panel_prepare(const ggml_compute_params * params, const ggml_tensor * dst) {
    panel::quantize_few(params->wdata, dst, 0, 1);
    ggml_threadpool_chunk_set(params->threadpool, 0);
}

void ggml_panel_mul_mat_few(const ggml_compute_params * params, ggml_tensor * const * dsts, int count) {
    panel::mul_mat_few(params, dsts, count);
}

bool ggml_panel_mul_mat_id(const ggml_compute_params * params, ggml_tensor * dst) {
    if (params->use_ref || !panel::takes_mul_mat_id(dst)) return false;
    panel::mul_mat_id(params, dst);
    return true;
}

const char * ggml_panel_name(void) {
    if (panel::switched_off()) return "none";
    return panel::LANES == 16 ? (panel::VNNI ? "avx512-vnni" : "avx512") : (panel::VNNI ? "avx-vnni" : "avx2");
}

#else

bool ggml_panel_takes(enum ggml_type) { return false; }
size_t ggml_panel_work_size(int, const ggml_tensor *) { return 0; }
bool ggml_panel_mul_mat(const ggml_compute_params *, ggml_tensor *) { return false; }
bool ggml_panel_takes_few(const ggml_tensor *) { return false; }
bool ggml_panel_same_right(const ggml_tensor *, const ggml_tensor *) { return false; }
void ggml_panel_prepare(const ggml_compute_params *, const ggml_tensor *) {}
void ggml_panel_mul_mat_few(const ggml_compute_params *, ggml_tensor * const *, int) {}
bool ggml_panel_mul_mat_id(const ggml_compute_params *, ggml_tensor *) { return false; }
const char * ggml_panel_name(void) { return "none"; }

#endif
