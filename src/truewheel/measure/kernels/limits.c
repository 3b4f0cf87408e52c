/* What this machine can do at most: bytes read from memory, 8-bit integer and 32-bit floating-point operations.
 *
 *   limits KERNELS THREADS CPUS SECONDS WINDOWS BYTES          e.g. limits read-sse2,f32-sse2 2 0,1 0.25 5 536870912
 *
 * Each thread is bound to one of the CPUs, and maps and fills its own part of BYTES. Then, WINDOWS times, each kernel
 * in turn: all threads warm up, wait for each other, and work from one moment on for SECONDS. What counts is the
 * batches of all threads that were complete when the window closed. It prints JSON lines:
 *   {"kernel": "int8-amx", "failed": "why it cannot be measured"}
 *   {"kernel": "int8-avx2", "work": 72000000000, "seconds": 0.25, "ran": 0.98}    for each window: bytes or operations
 *   {"bytes": 881123456, "bound": 2}                                what was read; threads bound to their CPU
 * `ran` is the part of the window in which the system let the threads run.
 *
 * Each kernel is compiled for CPU features of its own and the rest for plain x86-64; the caller knows which may be run.
 * Every batch ends in a sum that comes out right only if each of its operations was carried out, and it is compared. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, FRONTS = 8, STRIP_LINES = 2081, CHUNK = FRONTS * STRIP_LINES * LINE, HUGE_PAGE = 2 << 20 };
enum { ROWS = 16, TILE = ROWS * LINE, TILE_SUMS = 6 };
enum { BATCH_NS = 50000, WARM_NS = 5000000, MEET_NS = 500000, MOST_ROUNDS = 1 << 19 };

#define FEATURES(names) __attribute__((noinline, target(names)))
/* From here on the compiler takes the value for another one, though there is no instruction: nothing that is made of it
   can be moved out of the loop, and two chains of the same operations stay two. */
#define OPAQUE(value) __asm__ volatile("" : "+x"(value))
#define EACH8(DO, WITH) DO(0, WITH) DO(1, WITH) DO(2, WITH) DO(3, WITH) DO(4, WITH) DO(5, WITH) DO(6, WITH) DO(7, WITH)
#define EACH12(DO, WITH) EACH8(DO, WITH) DO(8, WITH) DO(9, WITH) DO(10, WITH) DO(11, WITH)
#define BEGIN(i, SAME) vector sum##i = SAME(i);
#define ITEM(i, WITH) sum##i,

/* 8-bit integers, in registers alone: COUNT sums that do not wait for each other. `left` is 0 to 127 and `right` -64 to
   63, so that no 16-bit sum of two products saturates. */
static uint8_t left_bytes[TILE];
static int8_t right_bytes[TILE];

#define INT8(NAME, NEEDS, VECTOR, LOAD, SAME, SAME16, COUNT, MULTIPLY)    \
    static FEATURES(NEEDS) uint64_t NAME(uint64_t rounds) {               \
        typedef VECTOR vector;                                            \
        vector left = LOAD((const void *) left_bytes);                    \
        vector right = LOAD((const void *) right_bytes);                  \
        const vector ones = SAME16(1);                                    \
        (void) ones;                                                      \
        EACH##COUNT(BEGIN, SAME)                                          \
        for (; rounds > 0; rounds--) { EACH##COUNT(MULTIPLY_ADD, MULTIPLY) } \
        vector sums[COUNT] = {EACH##COUNT(ITEM, )};                       \
        uint32_t lanes[sizeof sums / 4], total = 0;                       \
        memcpy(lanes, sums, sizeof sums);                                 \
        for (size_t i = 0; i < sizeof sums / 4; i++) total += lanes[i];   \
        return total;                                                     \
    }
#define MULTIPLY_ADD(i, MULTIPLY) OPAQUE(left); sum##i = MULTIPLY(sum##i);

#define SSSE3(sum) _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(left, right), ones))
INT8(int8_ssse3, "ssse3", __m128i, _mm_loadu_si128, _mm_set1_epi32, _mm_set1_epi16, 8, SSSE3)

#define AVX2(sum) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(left, right), ones))
INT8(int8_avx2, "avx2", __m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_set1_epi16, 8, AVX2)

#ifndef WITHOUT_AVX_VNNI
#define AVX_VNNI(sum) _mm256_dpbusd_avx_epi32(sum, left, right)
INT8(int8_avx_vnni, "avx2,avxvnni", __m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_set1_epi16, 12, AVX_VNNI)
#endif

#define AVX512_VNNI(sum) _mm512_dpbusd_epi32(sum, left, right)
INT8(int8_avx512_vnni, "avx512f,avx512vnni", __m512i, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_set1_epi16, 12,
     AVX512_VNNI)

#ifndef WITHOUT_AMX
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t columns[16];
    uint8_t rows[16];
};

/* Six sums and one tile each of left and right: all eight tiles. */
static FEATURES("amx-tile,amx-int8") uint64_t int8_amx(uint64_t rounds) {
    struct tile_config config = {.palette = 1};
    for (int i = 0; i < TILE_SUMS + 2; i++) config.columns[i] = LINE, config.rows[i] = ROWS;
    /* gcc 12.2 believes that only 8 bytes of it are read, and would drop the rest. */
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); _tile_zero(4); _tile_zero(5);
    _tile_loadd(6, left_bytes, LINE);
    _tile_loadd(7, right_bytes, LINE);
    for (; rounds > 0; rounds--) {
        _tile_dpbusd(0, 6, 7); _tile_dpbusd(1, 6, 7); _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7); _tile_dpbusd(4, 6, 7); _tile_dpbusd(5, 6, 7);
    }
    uint32_t sums[TILE_SUMS][TILE / 4], total = 0;
    _tile_stored(0, sums[0], LINE); _tile_stored(1, sums[1], LINE); _tile_stored(2, sums[2], LINE);
    _tile_stored(3, sums[3], LINE); _tile_stored(4, sums[4], LINE); _tile_stored(5, sums[5], LINE);
    _tile_release();
    for (int i = 0; i < TILE_SUMS; i++) for (int j = 0; j < TILE / 4; j++) total += sums[i][j];
    return total;
}
#endif

/* 32-bit floating point, in registers alone: sums of whole numbers, which stay exact up to 2^24, hence MOST_ROUNDS. The
   factor is 1, which takes a multiplier as long as any other number. */
static const float terms[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

#define F32(NAME, NEEDS, VECTOR, LOAD, SAME, MULTIPLY)                 \
    static FEATURES(NEEDS) uint64_t NAME(uint64_t rounds) {            \
        typedef VECTOR vector;                                         \
        vector factor = SAME(1), term = LOAD(terms);                   \
        OPAQUE(factor);                                                \
        OPAQUE(term);                                                  \
        EACH12(BEGIN, SAME)                                            \
        for (; rounds > 0; rounds--) { EACH12(F32_STEP, MULTIPLY) }    \
        vector sums[12] = {EACH12(ITEM, )};                            \
        float lanes[sizeof sums / 4];                                  \
        uint32_t total = 0;                                            \
        memcpy(lanes, sums, sizeof sums);                              \
        for (size_t i = 0; i < sizeof sums / 4; i++) total += (uint32_t) (int32_t) lanes[i]; \
        return total;                                                  \
    }
#define F32_STEP(i, MULTIPLY) sum##i = MULTIPLY(sum##i);

#define SSE2(sum) _mm_add_ps(_mm_mul_ps(sum, factor), term)
F32(f32_sse2, "sse2", __m128, _mm_loadu_ps, _mm_set1_ps, SSE2)
#define FMA(sum) _mm256_fmadd_ps(sum, factor, term)
F32(f32_fma, "avx,fma", __m256, _mm256_loadu_ps, _mm256_set1_ps, FMA)
#define AVX512(sum) _mm512_fmadd_ps(sum, factor, term)
F32(f32_avx512, "avx512f", __m512, _mm512_loadu_ps, _mm512_set1_ps, AVX512)

/* Reads a chunk as eight fronts that lie `apart` bytes from each other, `steps` times a cache line of each. */
#define READ(NAME, NEEDS, VECTOR, ZERO, LINE_OF)                                                        \
    static FEATURES(NEEDS) uint64_t NAME(const char *from, size_t apart, size_t stride, size_t steps) { \
        typedef VECTOR vector;                                                                          \
        EACH8(BEGIN, ZERO)                                                                              \
        for (; steps > 0; steps--, from += stride) { EACH8(READ_STEP, LINE_OF) }                        \
        vector sums[FRONTS] = {EACH8(ITEM, )};                                                          \
        uint64_t lanes[sizeof sums / 8], total = 0;                                                     \
        memcpy(lanes, sums, sizeof sums);                                                               \
        for (size_t i = 0; i < sizeof sums / 8; i++) total += lanes[i];                                 \
        return total;                                                                                   \
    }
#define READ_STEP(i, LINE_OF) sum##i = LINE_OF(sum##i, from + i * apart);

#define ZERO128(i) _mm_setzero_si128()
#define ADD128(a, b) _mm_add_epi64(a, b)
#define AT128(at, i) _mm_load_si128((const __m128i *) (const void *) (at) + i)
#define LINE128(sum, at) \
    ADD128(ADD128(sum, ADD128(AT128(at, 0), AT128(at, 1))), ADD128(AT128(at, 2), AT128(at, 3)))
READ(read_sse2, "sse2", __m128i, ZERO128, LINE128)

#define ZERO256(i) _mm256_setzero_si256()
#define ADD256(a, b) _mm256_add_epi64(a, b)
#define AT256(at, i) _mm256_load_si256((const __m256i *) (const void *) (at) + i)
#define LINE256(sum, at) ADD256(sum, ADD256(AT256(at, 0), AT256(at, 1)))
READ(read_avx2, "avx2", __m256i, ZERO256, LINE256)

#define ZERO512(i) _mm512_setzero_si512()
#define LINE512(sum, at) _mm512_add_epi64(sum, _mm512_load_si512((const void *) (at)))
READ(read_avx512, "avx512f", __m512i, ZERO512, LINE512)

/* One way to measure. A kernel that reads has `read` and goes through each chunk in the order of its addresses, or with
   eight fronts, an odd number of cache lines apart, so that they share no cache set; the others have `compute`.
   `compute` returns `start` plus `gain` for each round, as far as 32 bits show it. */
struct kernel {
    const char *name;
    uint64_t (*read)(const char *from, size_t apart, size_t stride, size_t steps);
    size_t apart, stride;
    uint64_t (*compute)(uint64_t rounds);
    unsigned sums, width; /* how many sums, and bytes of each; 0 for tiles */
    uint64_t start, gain, work;
};

#define READS(NAME, FUNCTION)                                                  \
    {.name = NAME, .read = FUNCTION, .apart = LINE, .stride = FRONTS * LINE},   \
    {.name = NAME "-fronts", .read = FUNCTION, .apart = STRIP_LINES * LINE, .stride = LINE}

static struct kernel kernels[] = {
    READS("read-sse2", read_sse2),
    READS("read-avx2", read_avx2),
    READS("read-avx512", read_avx512),
    {.name = "int8-ssse3", .compute = int8_ssse3, .sums = 8, .width = 16},
    {.name = "int8-avx2", .compute = int8_avx2, .sums = 8, .width = 32},
#ifndef WITHOUT_AVX_VNNI
    {.name = "int8-avx_vnni", .compute = int8_avx_vnni, .sums = 12, .width = 32},
#endif
    {.name = "int8-avx512_vnni", .compute = int8_avx512_vnni, .sums = 12, .width = 64},
#ifndef WITHOUT_AMX
    {.name = "int8-amx", .compute = int8_amx, .sums = TILE_SUMS},
#endif
    {.name = "f32-sse2", .compute = f32_sse2, .sums = 12, .width = 16},
    {.name = "f32-fma", .compute = f32_fma, .sums = 12, .width = 32},
    {.name = "f32-avx512", .compute = f32_avx512, .sums = 12, .width = 64},
};
enum { KERNELS = sizeof kernels / sizeof kernels[0] };

static void expect_int8(struct kernel *kernel) {
    uint64_t dot = 0, products = kernel->width;
    for (unsigned i = 0; i < kernel->width; i++) dot += (uint64_t) ((int64_t) left_bytes[i] * right_bytes[i]);
    if (kernel->width == 0) {
        products = ROWS * ROWS * LINE;
        for (int m = 0; m < ROWS; m++)
            for (int n = 0; n < ROWS; n++)
                for (int k = 0; k < LINE; k++)
                    dot += (uint64_t) ((int64_t) left_bytes[m * LINE + k] * right_bytes[k / 4 * LINE + n * 4 + k % 4]);
    }
    kernel->gain = kernel->sums * dot;
    kernel->work = kernel->sums * products * 2;
}

static void expect_f32(struct kernel *kernel) {
    uint64_t lanes = kernel->width / 4;
    kernel->gain = kernel->sums * lanes * (lanes + 1) / 2;
    kernel->work = kernel->sums * lanes * 2;
}

static void set_expectations(void) {
    uint32_t state = 1;
    for (int i = 0; i < TILE; i++) {
        state = state * 1664525 + 1013904223;
        left_bytes[i] = (uint8_t) (state >> 25);
        right_bytes[i] = (int8_t) ((int) (state >> 16 & 127) - 64);
    }
    for (int i = 0; i < KERNELS; i++) {
        struct kernel *kernel = &kernels[i];
        if (kernel->read) continue;
        kernel->start = kernel->width / 4 * kernel->sums * (kernel->sums - 1) / 2;
        if (kernel->name[0] == 'i') expect_int8(kernel);
        else expect_f32(kernel);
    }
}

static void die(const char *what, const char *reason) {
    fflush(stdout);
    fprintf(stderr, "%s%s\n", what, reason);
    exit(1);
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t) time.tv_sec * 1000000000 + (uint64_t) time.tv_nsec;
}

static uint64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

/* Threads that measure together. */
struct team {
    pthread_barrier_t barrier;
    unsigned threads, windows, count;
    struct kernel *chosen[KERNELS];
    size_t part;            /* bytes of each thread, whole chunks; 0 where nothing is read */
    uint64_t length, begin; /* of a window, nanoseconds */
    struct worker *workers;
};

struct worker {
    struct team *team;
    pthread_t thread;
    int cpu, bound;
    char *buffer;
    size_t at;
    uint64_t rounds[KERNELS]; /* of a batch */
    uint64_t work, ran; /* in this window: bytes or operations, nanoseconds of the CPU */
};

static int bind_to(int cpu) {
    size_t size = CPU_ALLOC_SIZE((size_t) cpu + 1);
    cpu_set_t *set = CPU_ALLOC((size_t) cpu + 1);
    if (!set) return 0;
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t) cpu, size, set);
    int bound = sched_setaffinity(0, size, set) == 0;
    CPU_FREE(set);
    return bound;
}

/* Written by the thread that reads it, so that it lies in memory near that thread; each word is its own number. */
static char *fill_part(char *mapping, size_t bytes) {
    char *aligned = mapping + (HUGE_PAGE - (uintptr_t) mapping % HUGE_PAGE) % HUGE_PAGE;
    madvise(aligned, bytes, MADV_HUGEPAGE);
    uint64_t *words = (uint64_t *) (void *) aligned;
    for (size_t i = 0; i < bytes / 8; i++) words[i] = i;
    return aligned;
}

static uint64_t run_batch(struct worker *me, unsigned index) {
    const struct kernel *kernel = me->team->chosen[index];
    if (kernel->read) {
        uint64_t words = CHUNK / 8, first = me->at / 8;
        uint64_t sum = kernel->read(me->buffer + me->at, kernel->apart, kernel->stride, STRIP_LINES);
        if (sum != words * first + words * (words - 1) / 2) die(kernel->name, " reads wrongly");
        me->at = (me->at + CHUNK) % me->team->part;
        return CHUNK;
    }
    uint64_t rounds = me->rounds[index];
    uint64_t wrong = kernel->compute(rounds) - kernel->start - kernel->gain * rounds;
    if ((uint32_t) wrong != 0) die(kernel->name, " computes wrongly");
    return kernel->work * rounds;
}

/* Makes batches so long that looking at the clock between them costs nothing; the shortest of some times counts. */
static void choose_rounds(struct worker *me, unsigned index) {
    if (me->team->chosen[index]->read) return;
    for (me->rounds[index] = 64; me->rounds[index] < MOST_ROUNDS; me->rounds[index] *= 2) {
        uint64_t shortest = UINT64_MAX;
        for (int i = 0; i < 5; i++) {
            uint64_t before = now();
            run_batch(me, index);
            uint64_t took = now() - before;
            if (took < shortest) shortest = took;
        }
        if (shortest >= BATCH_NS) return;
    }
}

static void run_window(struct worker *me, unsigned index) {
    struct team *team = me->team;
    pthread_barrier_wait(&team->barrier);
    for (uint64_t until = now() + WARM_NS; now() < until;) run_batch(me, index);
    if (pthread_barrier_wait(&team->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) team->begin = now() + MEET_NS;
    pthread_barrier_wait(&team->barrier);
    me->work = 0;
    while (now() < team->begin) _mm_pause();
    me->ran = read_clock(CLOCK_THREAD_CPUTIME_ID);
    for (;;) {
        uint64_t done = run_batch(me, index);
        if (now() > team->begin + team->length) break;
        me->work += done;
    }
    me->ran = read_clock(CLOCK_THREAD_CPUTIME_ID) - me->ran;
    if (pthread_barrier_wait(&team->barrier) != PTHREAD_BARRIER_SERIAL_THREAD) return;
    uint64_t work = 0, ran = 0;
    for (unsigned i = 0; i < team->threads; i++) work += team->workers[i].work, ran += team->workers[i].ran;
    printf("{\"kernel\": \"%s\", \"work\": %" PRIu64 ", \"seconds\": %.9f, \"ran\": %.4f}\n", team->chosen[index]->name,
           work, (double) team->length * 1e-9, (double) ran / (double) team->length / team->threads);
    fflush(stdout);
}

static void *serve(void *argument) {
    struct worker *me = argument;
    struct team *team = me->team;
    char *mapping = NULL;
    me->bound = bind_to(me->cpu);
    if (team->part) {
        mapping = mmap(NULL, team->part + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping == MAP_FAILED) die("there is too little memory", " to read from");
        me->buffer = fill_part(mapping, team->part);
    }
    for (unsigned i = 0; i < team->count; i++) choose_rounds(me, i);
    for (unsigned window = 0; window < team->windows; window++)
        for (unsigned i = 0; i < team->count; i++) run_window(me, i);
    if (mapping) munmap(mapping, team->part + HUGE_PAGE);
    return NULL;
}

static void measure(struct team *team, const int *cpus, unsigned cpu_count, size_t bytes) {
    team->part = 0;
    for (unsigned i = 0; i < team->count; i++)
        if (team->chosen[i]->read) team->part = (bytes / team->threads + CHUNK - 1) / CHUNK * CHUNK;
    team->workers = calloc(team->threads, sizeof *team->workers);
    if (!team->workers || pthread_barrier_init(&team->barrier, NULL, team->threads) != 0)
        die("there is too little memory", " for threads");
    for (unsigned i = 0; i < team->threads; i++) {
        struct worker *worker = &team->workers[i];
        worker->team = team;
        worker->cpu = cpus[i % cpu_count];
        if (pthread_create(&worker->thread, NULL, serve, worker) != 0) die("a thread", " cannot be started");
    }
    unsigned bound = 0;
    for (unsigned i = 0; i < team->threads; i++) {
        pthread_join(team->workers[i].thread, NULL);
        bound += (unsigned) team->workers[i].bound;
    }
    printf("{\"bytes\": %zu, \"bound\": %u}\n", team->part * team->threads, bound);
}

/* ARCH_REQ_XCOMP_PERM for XTILEDATA: Linux lets no program use tiles that did not ask. */
static const char *refusal(const char *name) {
    if (strcmp(name, "int8-amx") == 0 && syscall(SYS_arch_prctl, 0x1023, 18) != 0)
        return "the system gives no permission to use tiles";
    for (int i = 0; i < KERNELS; i++)
        if (strcmp(name, kernels[i].name) == 0) return NULL;
    return "the compiler is too old for it";
}

static void choose(struct team *team, char *names) {
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        const char *reason = refusal(name);
        if (reason) printf("{\"kernel\": \"%s\", \"failed\": \"%s\"}\n", name, reason);
        for (int i = 0; i < KERNELS && !reason && team->count < KERNELS; i++)
            if (strcmp(name, kernels[i].name) == 0) team->chosen[team->count++] = &kernels[i];
    }
}

int main(int argc, char **argv) {
    static int cpus[8192];
    static struct team team;
    unsigned cpu_count = 0;
    if (argc != 7) die("limits", " KERNELS THREADS CPUS SECONDS WINDOWS BYTES");
    choose(&team, argv[1]);
    team.threads = (unsigned) strtoul(argv[2], NULL, 10);
    for (char *word = strtok(argv[3], ","); word && cpu_count < 8192; word = strtok(NULL, ","))
        cpus[cpu_count++] = (int) strtol(word, NULL, 10);
    team.length = (uint64_t) (strtod(argv[4], NULL) * 1e9);
    team.windows = (unsigned) strtoul(argv[5], NULL, 10);
    if (team.threads == 0 || cpu_count == 0) die("no thread or no CPU", " is asked for");
    set_expectations();
    if (team.count > 0) measure(&team, cpus, cpu_count, (size_t) strtoull(argv[6], NULL, 10));
    return 0;
}
