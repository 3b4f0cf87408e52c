// Holds the kernels of recipes/llama-cpp-python/kernels against sums in double precision, over many shapes.
//
//   products SEED CASES
//
// Two bounds for each case of quantized weights, on the sum of squared differences over the sum of squares:
//   1e-9   against the product of the very codes: weights as the file says them, activations rounded as the kernel must;
//   5e-4   against the product with the activations as they are: the error of rounding them, upstream's own bound; 1e-3
//          where fewer than 200 results are compared.
// One for weights of f16, whose activations are not rounded: 1e-11. And the same bits whatever the number of threads. Prints a line for each fault, then how many cases passed.

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"

#include "panel/attention.h"
#include "panel/panel.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

// What the kernels ask of ggml's thread pool.
struct ggml_threadpool {
    pthread_barrier_t barrier;
    std::atomic<int>  chunk;
};
extern "C" {
void ggml_barrier(struct ggml_threadpool * pool) { pthread_barrier_wait(&pool->barrier); }
void ggml_threadpool_chunk_set(struct ggml_threadpool * pool, int value) { pool->chunk = value; }
int  ggml_threadpool_chunk_add(struct ggml_threadpool * pool, int value) { return pool->chunk.fetch_add(value); }
}

namespace {

std::mt19937 random_source;
int faults = 0;

int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_source); }
template <class T> T one_of(std::initializer_list<T> list) { return *(list.begin() + pick(0, (int) list.size() - 1)); }

void fault(const std::string & where, const char * what, ...) {
    faults++;
    va_list list;
    va_start(list, what);
    printf("FAULT %s: ", where.c_str());
    vprintf(what, list);
    printf("\n");
    va_end(list);
}

struct kind { ggml_type type; int scaled; };
const kind KINDS[] = {
    { GGML_TYPE_Q4_0, 32 },   { GGML_TYPE_Q4_1, 32 },   { GGML_TYPE_Q5_0, 32 },  { GGML_TYPE_Q5_1, 32 },
    { GGML_TYPE_Q8_0, 32 },   { GGML_TYPE_IQ4_NL, 32 }, { GGML_TYPE_Q2_K, 256 }, { GGML_TYPE_Q3_K, 256 },
    { GGML_TYPE_Q4_K, 256 },  { GGML_TYPE_Q5_K, 256 },  { GGML_TYPE_Q6_K, 256 }, { GGML_TYPE_IQ4_XS, 256 },
};

// Memory that ends where a page ends that nobody may read.
struct fenced {
    char * pages, * data;
    size_t total;
    explicit fenced(size_t bytes) {
        const size_t page = (size_t) sysconf(_SC_PAGESIZE);
        total = (bytes + page - 1) / page * page + page;
        pages = (char *) mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(pages + total - page, page, PROT_NONE);
        data = pages + total - page - bytes;
    }
    ~fenced() { munmap(pages, total); }
    fenced(const fenced &) = delete;
};

// The activations of one column as a kernel has to round them: one scale for `scaled` values.
std::vector<double> rounded(const float * x, int depth, int scaled) {
    std::vector<double> out(depth);
    for (int start = 0; start < depth; start += scaled) {
        float most = 0;
        for (int i = 0; i < scaled; i++) most = std::max(most, fabsf(x[start + i]));
        const float inverse = most > 0 ? 127.0f / most : 0.0f;
        for (int i = 0; i < scaled; i++) out[start + i] = nearbyintf(x[start + i] * inverse) * (double) (most / 127.0f);
    }
    return out;
}

struct difference {
    double squares = 0, all = 0;
    int count = 0;
    void add(double is, double should) { squares += (is - should) * (is - should); all += should * should; count++; }
    double value() const { return all > 0 ? squares / all : squares; }
};

void run(int threads, size_t work, const std::function<bool(const ggml_compute_params *)> & compute, const std::string & where) {
    std::vector<char> space(work, 0x5a);
    ggml_threadpool pool;
    pthread_barrier_init(&pool.barrier, nullptr, threads);
    pool.chunk = 0;
    std::atomic<int> refused{0};
    std::vector<std::thread> all;
    for (int i = 0; i < threads; i++) {
        all.emplace_back([&, i] {
            ggml_compute_params params = {};
            params.ith = i;
            params.nth = threads;
            params.wsize = work;
            params.wdata = space.data();
            params.threadpool = &pool;
            if (!compute(&params)) refused++;
        });
    }
    for (auto & thread : all) thread.join();
    pthread_barrier_destroy(&pool.barrier);
    if (refused) fault(where, "not computed here");
}

struct matrix {
    fenced memory;
    std::vector<float> values;   // as the file says them
    matrix(ggml_type type, int rows, int depth, float size) : memory(ggml_row_size(type, depth) * rows), values((size_t) rows * depth) {
        for (auto & v : values) v = size * std::normal_distribution<float>()(random_source);
        if (pick(0, 3) == 0) std::fill(values.begin(), values.begin() + depth, 0.0f);   // a row of zeros
        ggml_quantize_chunk(type, values.data(), memory.data, 0, rows, depth, nullptr);
        ggml_get_type_traits(type)->to_float(memory.data, values.data(), (int64_t) rows * depth);
    }
};

ggml_tensor tensor(ggml_type type, int64_t n0, int64_t n1, int64_t n2, void * data) {
    ggml_tensor t = {};
    t.type = type;
    t.data = data;
    t.ne[0] = n0, t.ne[1] = n1, t.ne[2] = n2, t.ne[3] = 1;
    t.nb[0] = ggml_type_size(type);
    t.nb[1] = ggml_row_size(type, n0);
    t.nb[2] = t.nb[1] * n1;
    t.nb[3] = t.nb[2] * n2;
    return t;
}

void check_bounds(const std::string & where, const difference & codes, const difference & values) {
    if (!(codes.value() < 1e-9)) fault(where, "differs from the product of the codes by %.2e", codes.value());
    // Of few results one large activation, which makes the steps of its group coarse, is a large part.
    if (!(values.value() < (values.count < 200 ? 1e-3 : 5e-4))) fault(where, "differs from the product of the values by %.2e", values.value());
}

// One MUL_MAT: activations may lie apart, in several batches.
void check_product(const kind & k, int rows, int depth, int columns, int batches, int gap) {
    const std::string where = std::string(ggml_type_name(k.type)) + " rows " + std::to_string(rows) + " depth " + std::to_string(depth) +
        " columns " + std::to_string(columns) + " x " + std::to_string(batches) + " gap " + std::to_string(gap);
    matrix w(k.type, rows, depth, 0.1f);
    const int all = columns * batches;
    std::vector<float> x((size_t) (depth + gap) * all);
    for (auto & v : x) v = std::normal_distribution<float>()(random_source) * (pick(0, 99) ? 1.0f : 2.0f);
    ggml_tensor a = tensor(k.type, depth, rows, 1, w.memory.data), b = tensor(GGML_TYPE_F32, depth, columns, batches, x.data());
    b.nb[1] = (depth + gap) * sizeof(float);
    b.nb[2] = b.nb[1] * columns;
    b.nb[3] = b.nb[2] * batches;
    std::vector<float> first;
    for (int threads : { 1, 2, 3, 16 }) {
        std::vector<float> y((size_t) rows * all, NAN);
        ggml_tensor d = tensor(GGML_TYPE_F32, rows, columns, batches, y.data());
        d.op = GGML_OP_MUL_MAT;
        d.src[0] = &a, d.src[1] = &b;
        run(threads, ggml_panel_work_size(threads, &d), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d); }, where);
        if (first.empty()) first = y;
        if (memcmp(first.data(), y.data(), y.size() * sizeof(float))) fault(where, "other bits with %d threads", threads);
    }
    difference codes, values;
    for (int c = 0; c < all; c++) {
        const float * column = x.data() + (size_t) c * (depth + gap);
        const std::vector<double> r = rounded(column, depth, k.scaled);
        for (int i = 0; i < std::min(rows, 40); i++) {
            const int row = i < 20 ? rows - 1 - i % rows : pick(0, rows - 1);
            const float * v = w.values.data() + (size_t) row * depth;
            double by_codes = 0, by_values = 0;
            for (int j = 0; j < depth; j++) by_codes += v[j] * r[j], by_values += (double) v[j] * column[j];
            codes.add(first[(size_t) c * rows + row], by_codes);
            values.add(first[(size_t) c * rows + row], by_values);
        }
    }
    check_bounds(where, codes, values);
}

// One MUL_MAT_ID: `used` of `experts` for each token.
void check_experts(const kind & k, int rows, int depth, int experts, int used, int tokens, bool shared) {
    const std::string where = std::string(ggml_type_name(k.type)) + " rows " + std::to_string(rows) + " depth " + std::to_string(depth) +
        " experts " + std::to_string(used) + " of " + std::to_string(experts) + " tokens " + std::to_string(tokens);
    matrix w(k.type, rows * experts, depth, 0.1f);
    const int slots = shared ? 1 : used;
    std::vector<float> x((size_t) depth * slots * tokens);
    for (auto & v : x) v = std::normal_distribution<float>()(random_source);
    std::vector<int32_t> ids((size_t) used * tokens);
    const int favourite = pick(0, experts - 1);
    for (auto & i : ids) i = pick(0, 2) ? pick(0, experts - 1) : favourite;
    ggml_tensor a = tensor(k.type, depth, rows, experts, w.memory.data), b = tensor(GGML_TYPE_F32, depth, slots, tokens, x.data());
    ggml_tensor chosen = tensor(GGML_TYPE_I32, used, tokens, 1, ids.data());
    std::vector<float> first;
    for (int threads : { 1, 2, 5 }) {
        std::vector<float> y((size_t) rows * used * tokens, NAN);
        ggml_tensor d = tensor(GGML_TYPE_F32, rows, used, tokens, y.data());
        d.op = GGML_OP_MUL_MAT_ID;
        d.src[0] = &a, d.src[1] = &b, d.src[2] = &chosen;
        run(threads, ggml_panel_work_size(threads, &d), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat_id(p, &d); }, where);
        if (first.empty()) first = y;
        if (memcmp(first.data(), y.data(), y.size() * sizeof(float))) fault(where, "other bits with %d threads", threads);
    }
    difference codes, values;
    for (int t = 0; t < tokens; t++) for (int s = 0; s < used; s++) {
        const float * column = x.data() + ((size_t) t * slots + s % slots) * depth;
        const std::vector<double> r = rounded(column, depth, k.scaled);
        for (int i = 0; i < 10; i++) {
            const int row = i < 3 ? rows - 1 - i : pick(0, rows - 1);
            const float * v = w.values.data() + ((size_t) ids[(size_t) t * used + s] * rows + row) * depth;
            double by_codes = 0, by_values = 0;
            for (int j = 0; j < depth; j++) by_codes += v[j] * r[j], by_values += (double) v[j] * column[j];
            codes.add(first[((size_t) t * used + s) * rows + row], by_codes);
            values.add(first[((size_t) t * used + s) * rows + row], by_values);
        }
    }
    check_bounds(where, codes, values);
}

// A column has the same bits alone and among others: who goes on from a kept prompt must get the same text.
void check_alone(const kind & k) {
    const int rows = 50, depth = k.scaled == 32 ? 32 * one_of({ 1, 18, 48, 61 }) : 256 * one_of({ 1, 3, 8 }), columns = 13;
    const std::string where = std::string(ggml_type_name(k.type)) + " alone";
    matrix w(k.type, rows, depth, 0.1f);
    std::vector<float> x((size_t) depth * columns), all((size_t) rows * columns), some((size_t) rows * columns);
    for (auto & v : x) v = std::normal_distribution<float>()(random_source);
    ggml_tensor a = tensor(k.type, depth, rows, 1, w.memory.data);
    for (int n : { columns, 1, 2, 3, 4, 5, 6 }) {
        std::vector<float> & y = n == columns ? all : some;
        ggml_tensor b = tensor(GGML_TYPE_F32, depth, n, 1, x.data()), d = tensor(GGML_TYPE_F32, rows, n, 1, y.data());
        d.op = GGML_OP_MUL_MAT;
        d.src[0] = &a, d.src[1] = &b;
        run(2, ggml_panel_work_size(2, &d), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d); }, where);
        if (memcmp(all.data(), y.data(), (size_t) rows * n * sizeof(float))) fault(where, "other bits with %d columns than with %d", n, columns);
    }
}

// Products of the same columns have the same bits one by one and together, and where one thread quantized ahead.
void check_together(const kind & k) {
    const int depth = k.scaled == 32 ? 32 * one_of({ 1, 18, 48, 61 }) : 256 * one_of({ 1, 3, 8 }), columns = pick(1, 4);
    const std::vector<int> rows = { pick(16, 400), pick(16, 40), 16, pick(16, 99) };
    const std::string where = std::string(ggml_type_name(k.type)) + " together";
    std::vector<std::unique_ptr<matrix>> weights;
    std::vector<float> x((size_t) depth * columns);
    for (auto & v : x) v = std::normal_distribution<float>()(random_source);
    std::vector<ggml_tensor> a, d;
    std::vector<std::vector<float>> apart, y;
    ggml_tensor b = tensor(GGML_TYPE_F32, depth, columns, 1, x.data());
    for (int n : rows) {
        weights.emplace_back(new matrix(k.type, n, depth, 0.1f));
        a.push_back(tensor(k.type, depth, n, 1, weights.back()->memory.data));
        y.emplace_back((size_t) n * columns, NAN);
    }
    std::vector<ggml_tensor *> all;
    for (size_t i = 0; i < rows.size(); i++) {
        d.push_back(tensor(GGML_TYPE_F32, rows[i], columns, 1, y[i].data()));
        d[i].op = GGML_OP_MUL_MAT;
        d[i].src[0] = &a[i], d[i].src[1] = &b;
    }
    for (auto & each : d) all.push_back(&each);
    const size_t work = ggml_panel_work_size(16, &d[0]);
    for (auto * each : all) {
        if (!ggml_panel_takes_few(each) || !ggml_panel_same_right(all[0], each)) fault(where, "not taken");
        run(2, work, [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, each); }, where);
    }
    apart = y;
    for (bool ahead : { false, true }) for (int threads : { 1, 2, 3, 16 }) for (int count : { 1, 2, 4 }) {
        for (auto & each : y) std::fill(each.begin(), each.end(), NAN);
        run(threads, work, [&](const ggml_compute_params * p) {
            ggml_compute_params mine = *p;
            if (ahead) {
                if (p->ith == 0) ggml_panel_prepare(p, all[0]);
                ggml_barrier(p->threadpool);   // the gate
                mine.step = GGML_STEP_READY;
            }
            ggml_panel_mul_mat_few(&mine, all.data(), count);
            return true;
        }, where);
        for (int i = 0; i < count; i++) {
            if (memcmp(apart[i].data(), y[i].data(), y[i].size() * sizeof(float))) fault(where, "other bits of %d of %d with %d threads", i, count, threads);
        }
        if (count < 4 && !std::isnan(y[3][0])) fault(where, "more than %d were computed", count);
    }
}

// All codes and activations as large as they get, where sums come closest to overflowing.
void check_extremes(const kind & k) {
    const int rows = 17, depth = 512, columns = 6;
    const std::string where = std::string(ggml_type_name(k.type)) + " extremes";
    std::vector<float> values((size_t) rows * depth), x((size_t) depth * columns), y((size_t) rows * columns);
    for (int i = 0; i < rows * depth; i++) values[i] = (i % 16 ? 1.0f : -1.0f) * (i / depth % 2 ? 1.0f : -1.0f);
    for (int i = 0; i < depth * columns; i++) x[i] = i / depth % 2 ? 1.0f : -1.0f;
    fenced memory(ggml_row_size(k.type, depth) * rows);
    ggml_quantize_chunk(k.type, values.data(), memory.data, 0, rows, depth, nullptr);
    ggml_get_type_traits(k.type)->to_float(memory.data, values.data(), (int64_t) rows * depth);
    ggml_tensor a = tensor(k.type, depth, rows, 1, memory.data);
    for (int n : { 1, 6 }) {
        ggml_tensor b = tensor(GGML_TYPE_F32, depth, n, 1, x.data()), d = tensor(GGML_TYPE_F32, rows, n, 1, y.data());
        d.op = GGML_OP_MUL_MAT;
        d.src[0] = &a, d.src[1] = &b;
        run(1, ggml_panel_work_size(1, &d), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d); }, where);
        for (int c = 0; c < n; c++) for (int row = 0; row < rows; row++) {
            double should = 0;
            for (int i = 0; i < depth; i++) should += (double) values[(size_t) row * depth + i] * x[(size_t) c * depth + i];
            if (fabs(y[(size_t) c * rows + row] - should) > 1e-4 * fabs(should)) fault(where, "%d columns: %g, not %g", n, y[(size_t) c * rows + row], should);
        }
    }
}

// What is no number, infinite or hardly there in one column stays in that column.
void check_odd_values(const kind & k) {
    const int rows = 33, depth = 512, columns = 7;
    const std::string where = std::string(ggml_type_name(k.type)) + " odd values";
    matrix w(k.type, rows, depth, 0.1f);
    std::vector<float> x((size_t) depth * columns, 0.5f), y((size_t) rows * columns);
    x[1 * depth + 77] = NAN;
    x[2 * depth + 78] = INFINITY;
    std::fill(x.begin() + 3 * depth, x.begin() + 4 * depth, 0.0f);
    std::fill(x.begin() + 4 * depth, x.begin() + 5 * depth, 1e-42f);
    std::fill(x.begin() + 5 * depth, x.begin() + 6 * depth, 3e38f);
    ggml_tensor a = tensor(k.type, depth, rows, 1, w.memory.data), b = tensor(GGML_TYPE_F32, depth, columns, 1, x.data());
    ggml_tensor d = tensor(GGML_TYPE_F32, rows, columns, 1, y.data());
    d.op = GGML_OP_MUL_MAT;
    d.src[0] = &a, d.src[1] = &b;
    run(2, ggml_panel_work_size(2, &d), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d); }, where);
    for (int row = 0; row < rows; row++) {
        if (!isfinite(y[row]) || y[row] != y[6 * rows + row]) fault(where, "row %d: a column beside odd ones is %g", row, y[row]);
        if (!isnan(y[1 * rows + row])) fault(where, "row %d: what is no number became %g", row, y[1 * rows + row]);
        if (isfinite(y[2 * rows + row])) fault(where, "row %d: infinity became %g", row, y[2 * rows + row]);
        if (y[3 * rows + row] != 0 || fabsf(y[4 * rows + row]) > 1e-36f) fault(where, "row %d: nothing became %g, %g", row, y[3 * rows + row], y[4 * rows + row]);
    }
}

// ---- weights of f16: keys and values of attention, which lie apart, and are broadcast to several heads

// A tensor of values that lie apart, in memory that ends where the last of them does; `gap` values more between rows,
// matrices and batches, and the rows of all matrices in turn if `turned`, as keys lie.
template <class T> struct spread {
    ggml_tensor t = {};
    fenced memory;
    static size_t bytes(int64_t n0, int64_t n1, int64_t n2, int64_t n3, int gap) { return (((n0 + gap) * n1 * n2 + gap) * n3 - gap - gap) * sizeof(T); }
    spread(ggml_type type, int64_t n0, int64_t n1, int64_t n2, int64_t n3, int gap, bool turned) : memory(bytes(n0, n1, n2, n3, gap)) {
        t = tensor(type, n0, n1, n2, memory.data);
        const size_t row = (n0 + gap) * sizeof(T);
        t.ne[3] = n3;
        t.nb[1] = turned ? row * n2 : row;
        t.nb[2] = turned ? row : row * n1;
        t.nb[3] = row * n1 * n2 + gap * sizeof(T);
    }
    T * at(int64_t i1, int64_t i2, int64_t i3) const { return (T *) ((char *) t.data + i1 * t.nb[1] + i2 * t.nb[2] + i3 * t.nb[3]); }
};

struct halves_shape { int rows, depth, columns, matrices, batches, r2, r3, gap; bool turned; };

// What attention's weights are like: of each column only the first so many are not zero.
int reach(const halves_shape & s, int64_t column) { return std::max<int>(1, s.depth - (s.columns - 1 - (int) column) % s.depth); }

void check_halves(const halves_shape & s, bool causal) {
    const std::string where = "f16 rows " + std::to_string(s.rows) + " depth " + std::to_string(s.depth) + " columns " + std::to_string(s.columns) +
        " matrices " + std::to_string(s.matrices) + " x " + std::to_string(s.batches) + " broadcast " + std::to_string(s.r2) + " x " + std::to_string(s.r3) +
        " gap " + std::to_string(s.gap) + (s.turned ? " turned" : "") + (causal ? " causal" : "");
    spread<ggml_fp16_t> a(GGML_TYPE_F16, s.depth, s.rows, s.matrices, s.batches, s.gap, s.turned);
    spread<float> b(GGML_TYPE_F32, s.depth, s.columns, s.matrices * s.r2, s.batches * s.r3, s.gap, s.turned);
    std::normal_distribution<float> normal;
    for (int i3 = 0; i3 < a.t.ne[3]; i3++) for (int i2 = 0; i2 < a.t.ne[2]; i2++) for (int i1 = 0; i1 < s.rows; i1++) {
        for (int i = 0; i < s.depth; i++) a.at(i1, i2, i3)[i] = ggml_fp32_to_fp16(normal(random_source));
    }
    for (int i3 = 0; i3 < b.t.ne[3]; i3++) for (int i2 = 0; i2 < b.t.ne[2]; i2++) for (int i1 = 0; i1 < s.columns; i1++) {
        for (int i = 0; i < s.depth; i++) b.at(i1, i2, i3)[i] = !causal || i < reach(s, i1) ? normal(random_source) : 0.0f;
    }
    const size_t size = spread<float>::bytes(s.rows, s.columns, b.t.ne[2], b.t.ne[3], s.gap);
    std::vector<char> first;
    spread<float> d(GGML_TYPE_F32, s.rows, s.columns, b.t.ne[2], b.t.ne[3], s.gap, false);
    d.t.op = GGML_OP_MUL_MAT;
    d.t.src[0] = &a.t, d.t.src[1] = &b.t;
    for (int threads : { 1, 2, 3, 16 }) {
        memset(d.memory.data, 0x5a, size);
        run(threads, ggml_panel_work_size(threads, &d.t), [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d.t); }, where);
        if (first.empty()) first.assign(d.memory.data, d.memory.data + size);
        if (memcmp(first.data(), d.memory.data, size)) fault(where, "other bits with %d threads", threads);
    }
    difference values;
    for (int n = 0; n < 20; n++) {
        const int i1 = n < 3 ? s.columns - 1 - n % s.columns : pick(0, s.columns - 1);
        const int i2 = pick(0, (int) b.t.ne[2] - 1), i3 = pick(0, (int) b.t.ne[3] - 1);
        const float * x = b.at(i1, i2, i3), * y = d.at(i1, i2, i3);
        // Alone: the same bits as among others.
        std::vector<float> lone(s.rows);
        ggml_tensor w = tensor(GGML_TYPE_F16, s.depth, s.rows, 1, a.at(0, i2 / s.r2, i3 / s.r3));
        ggml_tensor one = tensor(GGML_TYPE_F32, s.depth, 1, 1, (void *) x), to = tensor(GGML_TYPE_F32, s.rows, 1, 1, lone.data());
        w.nb[1] = a.t.nb[1];
        to.op = GGML_OP_MUL_MAT;
        to.src[0] = &w, to.src[1] = &one;
        run(1, 0, [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &to); }, where);
        if (memcmp(lone.data(), y, s.rows * sizeof(float))) fault(where, "column %d alone has other bits", i1);
        for (int row = 0; row < s.rows; row++) {
            const ggml_fp16_t * v = a.at(row, i2 / s.r2, i3 / s.r3);
            double should = 0;
            for (int i = 0; i < s.depth; i++) should += (double) ggml_fp16_to_fp32(v[i]) * x[i];
            values.add(y[row], should);
        }
    }
    if (!(values.value() < 1e-11)) fault(where, "differs by %.2e", values.value());
    // What lies between the columns is left alone.
    for (int i3 = 0; i3 < d.t.ne[3]; i3++) for (int i2 = 0; i2 < d.t.ne[2]; i2++) for (int i1 = 0; i1 < s.columns; i1++) {
        if (i1 == s.columns - 1 && i2 == d.t.ne[2] - 1) continue;
        for (int i = 0; i < s.gap * (int) sizeof(float); i++) if (((char *) (d.at(i1, i2, i3) + s.rows))[i] != 0x5a) fault(where, "written beyond a column"), i = 1 << 20;
    }
}

void check_random_halves() {
    halves_shape s;
    s.rows = pick(0, 2) ? pick(16, 100) : one_of({ 16, 64, 80, 256 });
    s.depth = pick(0, 2) ? pick(1, 200) : one_of({ 8, 64, 128, 256, 768 });
    s.columns = pick(0, 3) ? pick(1, 14) : one_of({ 1, 33, 100 });
    s.matrices = pick(1, 3), s.batches = pick(0, 4) ? 1 : 2;
    s.r2 = pick(1, 3), s.r3 = pick(0, 4) ? 1 : 2;
    s.gap = one_of({ 0, 0, 1, 8, 33, 256 }), s.turned = pick(0, 1);
    check_halves(s, pick(0, 1));
}

// What is no number or infinite in one column stays in it, in one row of the weights in that row; there is no overflow.
void check_odd_halves() {
    for (int columns : { 4, 9 }) {
        const halves_shape s = { 40, 67, columns, 1, 1, 1, 1, 0, false };
        spread<ggml_fp16_t> a(GGML_TYPE_F16, s.depth, s.rows, 1, 1, 0, false);
        spread<float> b(GGML_TYPE_F32, s.depth, columns, 1, 1, 0, false);
        std::fill(a.at(0, 0, 0), a.at(0, 0, 0) + s.rows * s.depth, ggml_fp32_to_fp16(0.5f));
        std::fill(b.at(0, 0, 0), b.at(0, 0, 0) + columns * s.depth, 2.0f);
        a.at(7, 0, 0)[65] = ggml_fp32_to_fp16(NAN), a.at(35, 0, 0)[3] = ggml_fp32_to_fp16(INFINITY), a.at(9, 0, 0)[0] = ggml_fp32_to_fp16(6e-8f);
        b.at(1, 0, 0)[66] = NAN, b.at(2, 0, 0)[5] = INFINITY, b.at(3, 0, 0)[5] = 1e30f;
        std::vector<float> y((size_t) s.rows * columns);
        ggml_tensor d = tensor(GGML_TYPE_F32, s.rows, columns, 1, y.data());
        d.op = GGML_OP_MUL_MAT;
        d.src[0] = &a.t, d.src[1] = &b.t;
        run(2, 0, [&](const ggml_compute_params * p) { return ggml_panel_mul_mat(p, &d); }, "f16 odd values");
        for (int c = 0; c < columns; c++) for (int row = 0; row < s.rows; row++) {
            const float is = y[(size_t) c * s.rows + row];
            const bool as_it_should = row == 7 || c == 1 ? isnan(is) : row == 35 || c == 2 ? isinf(is) : c == 3 ? is > 4e29f : fabsf(is - 67) < 1.1f;
            if (!as_it_should) fault("f16 odd values", "row %d, column %d of %d: %g", row, c, columns, is);
        }
    }
}

// Masks are added, and what is masked at the end is found, as one value at a time would.
void check_masks() {
    for (int i = 0; i < 200; i++) {
        const int count = pick(1, 90), masked = pick(0, count);
        const float slope = one_of({ 1.0f, 0.25f });
        std::vector<float> x(count), should(count);
        std::vector<ggml_fp16_t> mask(count);
        for (int j = 0; j < count; j++) {
            x[j] = std::normal_distribution<float>()(random_source);
            mask[j] = ggml_fp32_to_fp16(j >= count - masked || pick(0, 4) == 0 ? -INFINITY : (float) pick(-3, 0));
            should[j] = fmaf(slope, ggml_fp16_to_fp32(mask[j]), x[j]);
        }
        const int done = panel::add_mask(count, x.data(), mask.data(), slope);
        if (done != count / panel::LANES * panel::LANES) fault("masks", "%d of %d added", done, count);
        if (memcmp(x.data(), should.data(), done * sizeof(float))) fault("masks", "not the sum with a mask of %d", count);
        const int left = panel::unmasked(count, should.data());
        const bool rest = std::all_of(should.begin() + left, should.end(), [](float v) { return v == -INFINITY; });
        const bool last = left < panel::LANES || std::any_of(should.begin() + left - panel::LANES, should.begin() + left, [](float v) { return v != -INFINITY; });
        if (!rest || !last || (count - left) % panel::LANES) fault("masks", "%d of %d are not masked", left, count);
        should[count - 1] = NAN;
        if (panel::unmasked(count, should.data()) != count) fault("masks", "what is no number is masked");
    }
}

// The tiles of keys that attention turns round, and the largest of a row.
void check_attention() {
    for (int i = 0; i < 50; i++) {
        const int rows = pick(1, 70), values = one_of({ 16, 24, 64, 80, 128 }), gap = pick(0, 40), out_stride = 80;
        std::vector<ggml_fp16_t> from((size_t) rows * (values + gap));
        for (auto & v : from) v = ggml_fp32_to_fp16(std::normal_distribution<float>()(random_source));
        std::vector<float> to((size_t) values * out_stride, -7.0f);
        const int done = panel::transpose_halves((const char *) from.data(), (values + gap) * sizeof(ggml_fp16_t), rows, values, to.data(), out_stride);
        if (values % 8 == 0 && done != rows / panel::LANES * panel::LANES) fault("attention", "%d of %d rows turned round", done, rows);
        for (int value = 0; value < values; value++) for (int row = 0; row < out_stride; row++) {
            const float should = row < done ? ggml_fp16_to_fp32(from[(size_t) row * (values + gap) + value]) : -7.0f;
            if (to[(size_t) value * out_stride + row] != should) fault("attention", "value %d of row %d is %g", value, row, to[(size_t) value * out_stride + row]);
        }
        std::vector<float> row(to.begin(), to.begin() + pick(1, 80));
        row[pick(0, (int) row.size() - 1)] = 50.0f;
        if (panel::largest((int) row.size(), row.data()) != 50.0f) fault("attention", "not the largest of %d", (int) row.size());
        std::fill(row.begin(), row.end(), -INFINITY);
        if (panel::largest((int) row.size(), row.data()) != -INFINITY) fault("attention", "not minus infinity of %d", (int) row.size());
    }
}

} // namespace

int main(int argc, char ** argv) {
    const int seed = argc > 1 ? atoi(argv[1]) : 1, cases = argc > 2 ? atoi(argv[2]) : 100;
    random_source.seed((unsigned) seed);
    printf("kernels %s, seed %d\n", ggml_panel_name(), seed);
    if (!strcmp(ggml_panel_name(), "none")) return 2;
    check_attention();
    check_masks();
    check_odd_halves();
    int done = 3;
    for (const kind & k : KINDS) {
        check_odd_values(k);
        check_extremes(k);
        check_alone(k);
        check_together(k);
        const int unit = k.scaled;
        for (int columns : { 1, 2, 3, 4, 5, 6, 7, 13, 33 }) check_product(k, one_of({ 16, 17, 31, 47 }), one_of({ 2, 3, 7 }) * unit, columns, 1, 0), done++;
        done++;
    }
    for (int i = 0; i < cases; i++) {
        check_random_halves();
        done++;
        const kind & k = KINDS[pick(0, (int) (sizeof(KINDS) / sizeof(*KINDS)) - 1)];
        const int unit = k.scaled, depth = unit == 32 ? 32 * one_of({ 1, 2, 5, 18, 27, 35, 48 }) : 256 * one_of({ 1, 2, 3, 5, 8 });
        if (pick(0, 3)) {
            const int columns = pick(0, 3) ? pick(1, 40) : one_of({ 64, 128, 513, 600 }), batches = pick(0, 4) ? 1 : pick(2, 3);
            check_product(k, pick(16, columns > 100 ? 70 : 200), depth, columns, batches, one_of({ 0, 0, 1, 32 }));
        } else {
            const int experts = pick(1, 5), used = pick(1, experts);
            check_experts(k, pick(16, 80), depth, experts, used, pick(0, 2) ? pick(1, 40) : 1, pick(0, 1));
        }
        done++;
    }
    for (const kind & k : KINDS) {   // depths of real models
        check_product(k, 33, k.scaled == 32 ? 864 : 1536, 9, 1, 0);
        check_product(k, 20, 8960, 8, 1, 0);
        done += 2;
    }
    printf("%d cases, %d faults\n", done, faults);
    return faults ? 1 : 0;
}
