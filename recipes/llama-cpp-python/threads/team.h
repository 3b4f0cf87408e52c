#pragma once

// The threads that compute one graph, and how they wait for each other.
//
// Nodes of a graph are computed one after the other, each by the team: threads that share its work. After a node lies a
// gate, which opens once all members have arrived. A member that has waited there for longer than a wait usually takes
// leaves the team and sleeps in the kernel: somebody has lost its core, and will not have it back soon. Who then comes
// to the gate goes on with those who are there, if need be alone, and does not wait for the sleeper to get a core. The
// sleeper is woken when the gate opens, and asks to join; it is taken in when the next gate opens. So a graph goes on
// whenever one of its threads has a core and none has lost its core in the midst of a node.
//
// All of it is one word, which every step changes as a whole: graph, position in it, and how many are members, have
// arrived, and wait to join.

#include "ggml.h"

#include <stdbool.h>
#include <stdint.h>

#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__) && __MAC_OS_X_VERSION_MIN_REQUIRED >= 140400
#include <os/os_sync_wait_on_address.h>
#elif defined(_WIN32) && defined(__clang__) && defined(_MSC_VER)
#pragma comment(lib, "synchronization.lib")
#endif

// Waits on a quiet machine are much shorter, and one for a thread without a core takes milliseconds.
#define GGML_TEAM_PATIENCE_US 50
// At the start of a graph its threads are awake and come within a microsecond, or they will join later.
#define GGML_TEAM_GATHER_US 20

static inline void ggml_thread_cpu_relax(void);

// Sleep in the kernel while the value is what was seen.
static void ggml_team_kernel_wait(atomic_int * value, int seen) {
#if defined(__linux__)
    syscall(SYS_futex, (int *) value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
#elif defined(__APPLE__) && __MAC_OS_X_VERSION_MIN_REQUIRED >= 140400
    os_sync_wait_on_address((void *) value, (uint64_t) (uint32_t) seen, sizeof(int), OS_SYNC_WAIT_ON_ADDRESS_NONE);
#elif defined(_WIN32) && defined(__clang__) && defined(_MSC_VER)
    WaitOnAddress((volatile void *) value, &seen, sizeof(int), INFINITE);
#else
    (void) value;
    (void) seen;
    ggml_thread_cpu_relax();
#endif
}

static void ggml_team_kernel_wake(atomic_int * value) {
#if defined(__linux__)
    syscall(SYS_futex, (int *) value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#elif defined(__APPLE__) && __MAC_OS_X_VERSION_MIN_REQUIRED >= 140400
    os_sync_wake_by_address_all((void *) value, sizeof(int), OS_SYNC_WAKE_BY_ADDRESS_NONE);
#elif defined(_WIN32) && defined(__clang__) && defined(_MSC_VER)
    WakeByAddressAll((void *) value);
#else
    (void) value;
#endif
}

// Spins are bounded in time: a pause takes from one to 140 cycles, depending on the CPU.
struct ggml_team_clock {
    int     pauses;
    int64_t start;
};

// Pause once; false when the time is over.
static bool ggml_team_pause(struct ggml_team_clock * clock, int64_t patience_us) {
    ggml_thread_cpu_relax();
    if (++clock->pauses % 32 != 0) {
        return true;  // reading the time is dear
    }
    const int64_t now = ggml_time_us();
    if (clock->start == 0) {
        clock->start = now;
    }
    return now - clock->start < patience_us;
}

// A counter that threads wait for, and how many of them sleep in the kernel.
struct ggml_team_bell {
    atomic_int count;
    atomic_int n_asleep;
};

// Wait for the bell without the kernel; false when it has not rung in that time.
static bool ggml_team_spin(struct ggml_team_bell * bell, int seen, int64_t patience_us) {
    struct ggml_team_clock clock = { 0, 0 };
    while (atomic_load_explicit(&bell->count, memory_order_acquire) == seen) {
        if (!ggml_team_pause(&clock, patience_us)) {
            return false;
        }
    }
    return true;
}

// The count of sleepers goes up before the kernel compares, and ringing looks at it after it has counted: one of both
// sees the other.
static void ggml_team_sleep(struct ggml_team_bell * bell, int seen) {
    atomic_fetch_add_explicit(&bell->n_asleep, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&bell->count, memory_order_seq_cst) == seen) {
        ggml_team_kernel_wait(&bell->count, seen);
    }
    atomic_fetch_sub_explicit(&bell->n_asleep, 1, memory_order_seq_cst);
}

static void ggml_team_wait(struct ggml_team_bell * bell, int seen) {
    if (!ggml_team_spin(bell, seen, GGML_TEAM_PATIENCE_US)) {
        ggml_team_sleep(bell, seen);
    }
}

static void ggml_team_ring(struct ggml_team_bell * bell) {
    atomic_fetch_add_explicit(&bell->count, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&bell->n_asleep, memory_order_seq_cst) > 0) {
        ggml_team_kernel_wake(&bell->count);
    }
}

// The word, from its lowest bit on
#define GGML_TEAM_JOINER   (UINT64_C(1))        // 10 bits: who waits to be taken in
#define GGML_TEAM_ARRIVED  (UINT64_C(1) << 10)  // 10 bits: members that have arrived at the gate
#define GGML_TEAM_MEMBER   (UINT64_C(1) << 20)  // 10 bits
#define GGML_TEAM_POSITION (UINT64_C(1) << 30)  // 22 bits: the node that is computed, and one
#define GGML_TEAM_GRAPH    (UINT64_C(1) << 52)  // 12 bits: rises from graph to graph

#define GGML_TEAM_COUNT(word, unit) ((int) ((word) / (unit) & 0x3ff))
#define GGML_TEAM_AT(word)          ((int) ((word) / GGML_TEAM_POSITION & 0x3fffff))
#define GGML_TEAM_PLACE(word)       ((word) / GGML_TEAM_POSITION)  // graph and position
#define GGML_TEAM_SAME_GRAPH(a, b)  ((a) / GGML_TEAM_GRAPH == (b) / GGML_TEAM_GRAPH)

#define GGML_TEAM_OVER 0x3ffffe  // in place of a node: the graph is over

struct ggml_team {
    _Atomic uint64_t GGML_CACHE_ALIGN word;
    struct ggml_team_bell GGML_CACHE_ALIGN gate;  // rings after each change of the position
    atomic_int n_members;                         // of the node that is computed, also when some have left since
    atomic_int roll;                              // changes with the members
    atomic_int GGML_CACHE_ALIGN n_ranked;         // members that have taken their rank
    int n_all;                                    // threads of the graph, there or not
    atomic_int * pieces;                          // counts pieces of work: from 0 after each gate
};

// One thread in its team
struct ggml_team_member {
    int ith;   // among the threads of the pool
    int rank;  // among the members
    int roll;  // for which the rank is
};

static uint64_t ggml_team_load(struct ggml_team * team) {
    return atomic_load_explicit(&team->word, memory_order_seq_cst);
}

static bool ggml_team_change(struct ggml_team * team, uint64_t * seen, uint64_t word) {
    return atomic_compare_exchange_strong_explicit(&team->word, seen, word, memory_order_seq_cst, memory_order_seq_cst);
}

// Go over to another node with those who are there and those who wait to join. Whoever calls this has seen all arrive.
static void ggml_team_open(struct ggml_team * team, int node) {
    const int before = atomic_load_explicit(&team->n_members, memory_order_relaxed);
    const int roll   = atomic_load_explicit(&team->roll, memory_order_relaxed);
    atomic_store_explicit(team->pieces, 0, memory_order_relaxed);

    uint64_t seen = ggml_team_load(team);
    uint64_t word;
    do {
        const int joiners = GGML_TEAM_COUNT(seen, GGML_TEAM_JOINER);
        const int members = GGML_TEAM_COUNT(seen, GGML_TEAM_MEMBER) + joiners;
        if (joiners > 0 || members != before) {
            atomic_store_explicit(&team->roll, roll + 1, memory_order_relaxed);
            atomic_store_explicit(&team->n_ranked, 0, memory_order_relaxed);
        }
        atomic_store_explicit(&team->n_members, members, memory_order_relaxed);
        word = seen / GGML_TEAM_GRAPH * GGML_TEAM_GRAPH + (node + 1) * GGML_TEAM_POSITION + members * GGML_TEAM_MEMBER;
    } while (!ggml_team_change(team, &seen, word));

    ggml_team_ring(&team->gate);
}

// Take the place that the members of this node have for this thread; returns the node.
static int ggml_team_take_place(struct ggml_team * team, struct ggml_team_member * me) {
    const int roll = atomic_load_explicit(&team->roll, memory_order_relaxed);
    if (atomic_load_explicit(&team->n_members, memory_order_relaxed) == team->n_all) {
        me->rank = me->ith;  // the same shares for the same threads when all are there
    } else if (me->roll != roll) {
        me->rank = atomic_fetch_add_explicit(&team->n_ranked, 1, memory_order_relaxed);
    }
    me->roll = roll;
    return GGML_TEAM_AT(ggml_team_load(team)) - 1;
}

// Wait, as one that is counted, until the word has another place than in `seen`.
static uint64_t ggml_team_await(struct ggml_team * team, uint64_t seen) {
    for (;;) {
        const int      rung = atomic_load_explicit(&team->gate.count, memory_order_seq_cst);
        const uint64_t word = ggml_team_load(team);
        if (GGML_TEAM_PLACE(word) != GGML_TEAM_PLACE(seen)) {
            return word;
        }
        ggml_team_wait(&team->gate, rung);
    }
}

// Ask to join the graph of `mine`, and wait for it; returns the node to go on with, or GGML_TEAM_OVER.
static int ggml_team_join(struct ggml_team * team, struct ggml_team_member * me, uint64_t mine) {
    uint64_t seen = ggml_team_load(team);
    do {
        if (!GGML_TEAM_SAME_GRAPH(seen, mine) || GGML_TEAM_AT(seen) == GGML_TEAM_OVER + 1) {
            return GGML_TEAM_OVER;
        }
    } while (!ggml_team_change(team, &seen, seen + GGML_TEAM_JOINER));

    const uint64_t word = ggml_team_await(team, seen);
    if (!GGML_TEAM_SAME_GRAPH(word, mine) || GGML_TEAM_AT(word) == GGML_TEAM_OVER + 1) {
        return GGML_TEAM_OVER;
    }
    return ggml_team_take_place(team, me);
}

// Leave the team, having arrived at the gate; false when the gate opens just now.
static bool ggml_team_leave(struct ggml_team * team, uint64_t seen) {
    const uint64_t place = GGML_TEAM_PLACE(seen);
    seen = ggml_team_load(team);
    do {
        const bool full = GGML_TEAM_COUNT(seen, GGML_TEAM_ARRIVED) == GGML_TEAM_COUNT(seen, GGML_TEAM_MEMBER);
        if (GGML_TEAM_PLACE(seen) != place || full) {
            return false;
        }
    } while (!ggml_team_change(team, &seen, seen - GGML_TEAM_MEMBER - GGML_TEAM_ARRIVED));
    return true;
}

// Make the word that of a new graph, of which the calling thread is the only member.
static void ggml_team_begin(struct ggml_team * team, int graph, int n_all, atomic_int * pieces) {
    team->n_all  = n_all;
    team->pieces = pieces;
    atomic_store_explicit(&team->n_members, n_all > 1 ? 0 : 1, memory_order_relaxed);
    atomic_store_explicit(&team->word, (graph & 0xfff) * GGML_TEAM_GRAPH + GGML_TEAM_MEMBER, memory_order_seq_cst);
}

// Begin the graph's first node with those who come quickly.
static int ggml_team_gather(struct ggml_team * team, struct ggml_team_member * me) {
    struct ggml_team_clock clock = { 0, 0 };
    while (GGML_TEAM_COUNT(ggml_team_load(team), GGML_TEAM_JOINER) < team->n_all - 1) {
        if (!ggml_team_pause(&clock, GGML_TEAM_GATHER_US)) {
            break;
        }
    }
    ggml_team_open(team, 0);
    return ggml_team_take_place(team, me);
}

// Come to the gate after a node; returns the node to go on with, or GGML_TEAM_OVER.
static int ggml_team_next(struct ggml_team * team, struct ggml_team_member * me, int node) {
    const int      rung = atomic_load_explicit(&team->gate.count, memory_order_seq_cst);
    const uint64_t seen = atomic_fetch_add_explicit(&team->word, GGML_TEAM_ARRIVED, memory_order_seq_cst) + GGML_TEAM_ARRIVED;

    if (GGML_TEAM_COUNT(seen, GGML_TEAM_ARRIVED) == GGML_TEAM_COUNT(seen, GGML_TEAM_MEMBER)) {
        ggml_team_open(team, node);
        return node == GGML_TEAM_OVER ? node : ggml_team_take_place(team, me);
    }
    if (node == GGML_TEAM_OVER) {
        if (me->ith == 0) {
            ggml_team_await(team, seen);  // the caller gets a finished graph; the others are free
        }
        return GGML_TEAM_OVER;
    }
    if (!ggml_team_spin(&team->gate, rung, GGML_TEAM_PATIENCE_US) && ggml_team_leave(team, seen)) {
        ggml_team_sleep(&team->gate, rung);
        return ggml_team_join(team, me, seen);
    }
    ggml_team_await(team, seen);
    return ggml_team_take_place(team, me);
}
