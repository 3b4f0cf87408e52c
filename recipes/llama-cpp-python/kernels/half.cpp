// Products of weights of F16: attention's keys and values above all.

#include "half.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"

#include "vector.h"

#if PANEL_LANES

#include <algorithm>

namespace panel {
namespace {

constexpr int VECTORS = 2;                  // vectors of rows at once
constexpr int ROWS = VECTORS * LANES;
constexpr int WIDTH = 6;                    // columns at once: 12 sums in registers
constexpr int FEW = 4;                      // up to so many columns the weights are used as they are turned round
constexpr int TILE_DEPTH = 2048 / ROWS;     // 8 KB of floats
constexpr int PART = 128;                   // values of long rows that are read at once
constexpr int AHEAD = 512;                  // values of a row that are fetched ahead

// A column of the activations and where its results go; both from the first column and row of the weights on.
struct column { const float * values; float * result; };

// Each sum below is built in the order of the weights' columns, by itself: neither threads nor other columns change it.

// ---- few columns

// A part of rows as one piece.
void copy_rows(const char * rows, size_t stride, int64_t count, uint16_t part[ROWS][PART]) {
    for (int row = 0; row < ROWS; row++) {
        const char * from = rows + row * stride;
        int64_t i = 0;
        for (; i + 32 <= count; i += 32) memcpy(&part[row][i], from + i * sizeof(uint16_t), 64);
        for (; i < count; i += 8) memcpy(&part[row][i], from + i * sizeof(uint16_t), 16);
    }
}

// ROWS rows, `stride` bytes apart; `depth` is a multiple of 8. The rows from `next` on are fetched when these end.
template <int W> void multiply_few(const char * weights, size_t stride, int64_t depth, const char * next, const column * columns) {
    const int64_t ahead = std::min<int64_t>(AHEAD, depth);
    floats sums[W][VECTORS];
    PANEL_UNROLL for (int w = 0; w < W; w++) {
        PANEL_UNROLL for (int v = 0; v < VECTORS; v++) sums[w][v] = no_floats();
    }
    // Values of many tokens lie at distances of which the first-level cache holds only a few lines at once.
    const bool collide = depth > PART && stride % 1024 == 0;
    alignas(64) uint16_t part[ROWS][PART];
    for (int64_t start = 0; start < depth; start += PART) {
        const int64_t count = std::min<int64_t>(PART, depth - start);
        const char * from = weights + start * sizeof(uint16_t);
        if (collide) copy_rows(from, stride, count, part);
        const char * rows = collide ? (const char *) part : from;
        const size_t apart = collide ? sizeof(part[0]) : stride;
        for (int64_t d = 0; d < count; d += 8) {
            // A line holds 32 values, so a quarter of the rows each time.
            const int64_t then = start + d + ahead;
            const char * fetched = then < depth ? weights + then * sizeof(uint16_t) : next + (then - depth) * sizeof(uint16_t);
            for (int i = 0; i < ROWS / 4; i++) _mm_prefetch(fetched + (d / 8 % 4 * (ROWS / 4) + i) * stride, _MM_HINT_T1);
            PANEL_UNROLL for (int v = 0; v < VECTORS; v++) {
                shorts turned[8];
                turn_halves(rows + v * LANES * apart + d * sizeof(uint16_t), apart, turned);
                PANEL_UNROLL for (int i = 0; i < 8; i++) {
                    const floats value = halves(turned[i]);
                    PANEL_UNROLL for (int w = 0; w < W; w++) {
                        sums[w][v] = times_add(value, all_floats(columns[w].values[start + d + i]), sums[w][v]);
                    }
                }
            }
        }
    }
    PANEL_UNROLL for (int w = 0; w < W; w++) {
        PANEL_UNROLL for (int v = 0; v < VECTORS; v++) store(columns[w].result + v * LANES, sums[w][v]);
    }
}

typedef void (*multiply_few_t)(const char *, size_t, int64_t, const char *, const column *);

const multiply_few_t FEW_KERNELS[FEW] = { multiply_few<1>, multiply_few<2>, multiply_few<3>, multiply_few<4> };

// ---- many columns: a tile of ROWS rows and up to TILE_DEPTH columns of the weights, turned round and as floats

// Where rows or values end, what there is of them, and zeros.
void transpose_edge(const char * rows, size_t stride, int64_t count, int64_t values, float * out) {
    uint16_t beside[LANES][8] = {};
    for (int64_t i = 0; i < std::min<int64_t>(count, LANES); i++) {
        memcpy(beside[i], rows + i * stride, std::min<int64_t>(values, 8) * sizeof(uint16_t));
    }
    transpose_halves((const char *) beside, sizeof(beside[0]), out, ROWS);
}

// `rows` rows, `stride` bytes apart, `depth` values of each, to tile[value][row].
void fill_tile(const char * weights, size_t stride, int64_t rows, int64_t depth, float * tile) {
    for (int64_t row = 0; row < std::min<int64_t>(rows, ROWS); row += LANES) {
        for (int64_t value = 0; value < depth; value += 8) {
            const char * from = weights + row * stride + value * sizeof(uint16_t);
            float * to = tile + value * ROWS + row;
            if (rows - row >= LANES && depth - value >= 8) {
                transpose_halves(from, stride, to, ROWS);
            } else {
                transpose_edge(from, stride, rows - row, depth - value, to);
            }
        }
    }
}

template <int V, int W> void multiply(int64_t depth, const float * tile, const column * columns, bool first) {
    floats sums[W][V];
    PANEL_UNROLL for (int w = 0; w < W; w++) {
        PANEL_UNROLL for (int v = 0; v < V; v++) sums[w][v] = first ? no_floats() : load(columns[w].result + v * LANES);
    }
    const float * x[W];
    PANEL_UNROLL for (int w = 0; w < W; w++) x[w] = columns[w].values;
    for (int64_t d = 0; d < depth; d++) {
        floats weights[V];
        PANEL_UNROLL for (int v = 0; v < V; v++) weights[v] = load(tile + d * ROWS + v * LANES);
        PANEL_UNROLL for (int w = 0; w < W; w++) {
            const floats value = all_floats(x[w][d]);
            PANEL_UNROLL for (int v = 0; v < V; v++) sums[w][v] = times_add(weights[v], value, sums[w][v]);
        }
    }
    PANEL_UNROLL for (int w = 0; w < W; w++) {
        PANEL_UNROLL for (int v = 0; v < V; v++) store(columns[w].result + v * LANES, sums[w][v]);
    }
}

typedef void (*multiply_t)(int64_t, const float *, const column *, bool);

const multiply_t KERNELS[VECTORS][WIDTH] = {
    { multiply<1, 1>, multiply<1, 2>, multiply<1, 3>, multiply<1, 4>, multiply<1, 5>, multiply<1, 6> },
    { multiply<2, 1>, multiply<2, 2>, multiply<2, 3>, multiply<2, 4>, multiply<2, 5>, multiply<2, 6> },
};

// Multiply a tile with up to WIDTH columns; rows may end in it.
void multiply_columns(int64_t rows, int64_t depth, const float * tile, const column * columns, int count, bool first) {
    const multiply_t kernel = KERNELS[rows > LANES][count - 1];
    if (rows >= ROWS || rows == LANES) {
        kernel(depth, tile, columns, first);
        return;
    }
    float beside[WIDTH][ROWS];
    column moved[WIDTH];
    for (int c = 0; c < count; c++) {
        moved[c] = { columns[c].values, beside[c] };
        if (!first) memcpy(beside[c], columns[c].result, rows * sizeof(float));
    }
    kernel(depth, tile, moved, first);
    for (int c = 0; c < count; c++) memcpy(columns[c].result, beside[c], rows * sizeof(float));
}

// ---- MUL_MAT

// The columns that one matrix of the weights is multiplied with, one after another: of all that it is broadcast to.
struct cursor {
    const ggml_tensor * b, * dst;
    int64_t r2, r3, matrix2, matrix3;   // how often the weights are broadcast, and which of their matrices this is
    int64_t i1, h2, h3;

    cursor(const ggml_tensor * dst, int64_t matrix, int64_t n) : b(dst->src[1]), dst(dst) {
        const ggml_tensor * a = dst->src[0];
        r2 = b->ne[2] / a->ne[2], r3 = b->ne[3] / a->ne[3];
        matrix2 = matrix % a->ne[2], matrix3 = matrix / a->ne[2];
        i1 = n % b->ne[1], h2 = n / b->ne[1] % r2, h3 = n / b->ne[1] / r2;
    }
    void next(int64_t row, int64_t depth, int count, column * columns) {
        for (int c = 0; c < count; c++) {
            const int64_t i2 = matrix2 * r2 + h2, i3 = matrix3 * r3 + h3;
            columns[c] = { (const float *) ((const char *) b->data + i1 * b->nb[1] + i2 * b->nb[2] + i3 * b->nb[3]) + depth,
                           (float *) ((char *) dst->data + i1 * dst->nb[1] + i2 * dst->nb[2] + i3 * dst->nb[3]) + row };
            if (++i1 < b->ne[1]) continue;
            i1 = 0;
            if (++h2 == r2) h2 = 0, h3++;
        }
    }
};

// Whether some columns are zeros from one place to another: attention's weights of what a token may not look at. There the
// weights are neither multiplied nor read.
bool all_zero(const column * columns, int count, int64_t from, int64_t to) {
    for (int c = 0; c < count; c++) {
        const float * x = columns[c].values;
        int64_t d = from;
        for (; d + LANES <= to; d += LANES) {
            if (!all_are(load(x + d), 0.0f)) return false;
        }
        for (; d < to; d++) {
            if (x[d] != 0) return false;
        }
    }
    return true;
}

// One matrix of the weights, and the columns that it is multiplied with here.
struct product {
    ggml_tensor * dst;
    const char  * weights;
    size_t        stride;
    int64_t       rows, depth, matrix, begin, end;
    product(ggml_tensor * dst, int64_t matrix, int64_t begin, int64_t end) : dst(dst), matrix(matrix), begin(begin), end(end) {
        const ggml_tensor * a = dst->src[0];
        weights = (const char *) a->data + matrix % a->ne[2] * a->nb[2] + matrix / a->ne[2] * a->nb[3];
        stride = a->nb[1], rows = a->ne[1], depth = a->ne[0];
    }
};

// ROWS rows from one on, or as many as there are, from a column of the weights on.
void multiply_tiles(const product & p, int64_t row, int64_t start) {
    alignas(64) float tile[ROWS * TILE_DEPTH];
    column columns[WIDTH];
    for (bool first = start == 0; first || start < p.depth; first = false, start += TILE_DEPTH) {
        const int64_t depth = std::min<int64_t>(TILE_DEPTH, p.depth - start);
        bool filled = false;
        cursor at(p.dst, p.matrix, p.begin);
        for (int64_t n = p.begin; n < p.end; n += WIDTH) {
            const int count = (int) std::min<int64_t>(WIDTH, p.end - n);
            at.next(row, start, count, columns);
            if (!first && all_zero(columns, count, 0, depth)) continue;
            if (!filled) fill_tile(p.weights + row * p.stride + start * sizeof(uint16_t), p.stride, p.rows - row, depth, tile);
            filled = true;
            multiply_columns(p.rows - row, depth, tile, columns, count, first);
        }
    }
}

// `next` is where the rows begin that come after these.
void multiply_rows(const product & p, int64_t row, const char * next) {
    const int64_t whole = p.depth & ~(int64_t) 7;
    if (p.end - p.begin > FEW || p.rows - row < ROWS || whole == 0) {
        multiply_tiles(p, row, 0);
        return;
    }
    const int count = (int) (p.end - p.begin);
    column columns[FEW];
    cursor(p.dst, p.matrix, p.begin).next(row, 0, count, columns);
    int64_t used = whole;
    while (used > 8 && all_zero(columns, count, used - 8, used)) used -= 8;
    const char * weights = p.weights + row * p.stride;
    FEW_KERNELS[count - 1](weights, p.stride, used, next, columns);
    if (whole < p.depth) multiply_tiles(p, row, whole);
}

void mul_mat(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    const int64_t matrices = a->ne[2] * a->ne[3], row_panels = (a->ne[1] + ROWS - 1) / ROWS;
    const int64_t columns = b->ne[1] * (b->ne[2] / a->ne[2]) * (b->ne[3] / a->ne[3]), panels = (columns + WIDTH - 1) / WIDTH;
    const int nth = params->nth;
    if (!(params->step & GGML_STEP_COUNTED)) {
        if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, 0);
        ggml_barrier(params->threadpool);
    }

    // A unit is ROWS rows of a matrix, a piece some of them with all columns; where that makes too few for the threads, with
    // a part of them. The rows of one matrix come one after another, as the columns stay the same; but where there are few,
    // and the rows of all matrices lie in turn, as keys do, they come as they lie.
    const bool in_turn = a->nb[2] < a->nb[1] && columns <= FEW;
    const int64_t units = matrices * row_panels, share = std::max<int64_t>(1, std::min<int64_t>(units / (nth * 8), 8));
    const int64_t unit_parts = (units + share - 1) / share;
    int64_t parts = 1;
    while (unit_parts * parts < 4 * nth && panels / (parts + 1) >= 4) parts++;
    const int64_t width = (panels + parts - 1) / parts * WIDTH;
    int64_t piece;
    while ((piece = ggml_threadpool_chunk_add(params->threadpool, 1)) < unit_parts * parts) {
        const int64_t begin = piece % parts * width, end = std::min(begin + width, columns), first = piece / parts * share;
        if (begin >= end) continue;
        const auto product_of = [&](int64_t unit) { return product(dst, in_turn ? unit % matrices : unit / row_panels, begin, end); };
        const auto row_of = [&](int64_t unit) { return (in_turn ? unit / matrices : unit % row_panels) * ROWS; };
        for (int64_t unit = first; unit < std::min(first + share, units); unit++) {
            const int64_t after = std::min(unit + 1, units - 1);
            multiply_rows(product_of(unit), row_of(unit), product_of(after).weights + row_of(after) * a->nb[1]);
        }
    }
}

} // namespace

bool takes_halves(const ggml_tensor * dst) {
    const ggml_tensor * a = dst->src[0], * b = dst->src[1];
    return a->type == GGML_TYPE_F16 && a->extra == nullptr && b->type == GGML_TYPE_F32 && dst->type == GGML_TYPE_F32 &&
        a->nb[0] == sizeof(uint16_t) && b->nb[0] == sizeof(float) && dst->nb[0] == sizeof(float) && a->ne[1] >= LANES;
}

void mul_mat_halves(const ggml_compute_params * params, ggml_tensor * dst) { mul_mat(params, dst); }

} // namespace panel

#endif
