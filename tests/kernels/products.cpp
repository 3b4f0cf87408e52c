// Holds the kernels of recipes/llama-cpp-python/kernels against sums in double precision, over many shapes.
//
//   products SEED CASES
//
// Two bounds for each case, on the sum of squared differences over the sum of squares:
//   1e-9   against the product of the very codes: weights as the file says them, activations rounded as the kernel must;
//   5e-4   against the product with the activations as they are: the error of rounding them, upstream's own bound.
// And the same bits whatever the number of threads. Prints a line for each fault, then how many cases passed.

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
#include <functional>
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
    void add(double is, double should) { squares += (is - should) * (is - should); all += should * should; }
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
    if (!(values.value() < 5e-4)) fault(where, "differs from the product of the values by %.2e", values.value());
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

// The tiles of keys that attention turns round, and the largest of a row.
void check_attention() {
    for (int i = 0; i < 50; i++) {
        const int rows = pick(1, 70), values = one_of({ 16, 24, 64, 80, 128 }), gap = pick(0, 40), out_stride = 80;
        std::vector<ggml_fp16_t> from((size_t) rows * (values + gap));
        for (auto & v : from) v = ggml_fp32_to_fp16(std::normal_distribution<float>()(random_source));
        std::vector<float> to((size_t) values * out_stride, -7.0f);
        const int done = panel::transpose_halves((const char *) from.data(), (values + gap) * sizeof(ggml_fp16_t), rows, values, to.data(), out_stride);
        if (values % panel::LANES == 0 && done != rows / panel::LANES * panel::LANES) fault("attention", "%d of %d rows turned round", done, rows);
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
    int done = 1;
    for (const kind & k : KINDS) {
        check_odd_values(k);
        check_extremes(k);
        check_alone(k);
        const int unit = k.scaled;
        for (int columns : { 1, 2, 3, 4, 5, 6, 7, 13, 33 }) check_product(k, one_of({ 16, 17, 31, 47 }), one_of({ 2, 3, 7 }) * unit, columns, 1, 0), done++;
        done++;
    }
    for (int i = 0; i < cases; i++) {
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
