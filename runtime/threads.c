/* See threads.h. The barrier is a counter of arrivals and a phase number: the last to arrive clears the counter and moves the
 * phase, the others wait for the phase to differ from the one they came in. (The phase number is what a "reversing sense" is
 * with one bit; with 32 it doubles as the word to sleep on.)
 *
 * Sleeping is a futex on a word that only ever moves forward: who sleeps gives the value it saw, so a change in between
 * makes it return at once. Who changes the word asks afterwards whether anyone sleeps; both sides use sequentially consistent
 * operations, so one of them sees the other and no wake-up is lost. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "runtime/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CACHE_LINE = 64,
    SPINS = 4000,          /* looks at the flag before the first yield: some 50 microseconds */
    YIELDS = 50,           /* before going to sleep */
    STACK_BYTES = 8 << 20, /* of a worker; address space, touched only where used */
};

/* A word to wait for, and how many threads sleep on it; alone on its cache line. */
typedef struct rt_event {
    alignas(CACHE_LINE) atomic_uint word;
    atomic_uint sleepers;
} rt_event;

typedef struct rt_worker {
    tlbc_rt_team *team;
    pthread_t thread;
    uint32_t tid;
} rt_worker;

struct tlbc_rt_team {
    rt_event start; /* number of the run; the workers sleep on it between runs */
    rt_event phase; /* of the barrier */
    rt_event done;  /* number of the last run all workers have left; the caller waits for it */
    alignas(CACHE_LINE) atomic_uint arrived;
    alignas(CACHE_LINE) atomic_uint running; /* workers still in this run */
    uint32_t n, spins;
    uint32_t
        active; /* threads of the run: the others wake up and sleep again. Written before `start` moves, as the next two */
    tlbc_main_fn *fn;
    const tlbc_frame *frame;
    bool stop;
    rt_worker workers[]; /* n - 1 */
};

static void rt_futex(atomic_uint *word, int op, unsigned value) {
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static inline void rt_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Returns when e->word differs from `seen`. */
static void rt_event_wait(rt_event *e, unsigned seen, uint32_t spins, uint32_t yields) {
    for (uint32_t i = 0; i < spins; i++) {
        if (atomic_load_explicit(&e->word, memory_order_acquire) != seen) return;
        rt_pause();
    }
    for (uint32_t i = 0; i < yields; i++) {
        if (atomic_load_explicit(&e->word, memory_order_acquire) != seen) return;
        sched_yield();
    }
    atomic_fetch_add(&e->sleepers, 1);
    while (atomic_load(&e->word) == seen)
        rt_futex(&e->word, FUTEX_WAIT, seen);
    atomic_fetch_sub_explicit(&e->sleepers, 1, memory_order_relaxed);
}

static void rt_event_set(rt_event *e, unsigned value) {
    atomic_store(&e->word, value);
    if (atomic_load(&e->sleepers)) rt_futex(&e->word, FUTEX_WAKE, TLBC_RT_MAX_THREADS);
}

void tlbc_rt_barrier(const tlbc_frame *frame) {
    tlbc_rt_team *t = frame->team;
    if (t->active == 1) return;
    /* Nobody can move the phase before this thread has arrived. */
    unsigned phase = atomic_load_explicit(&t->phase.word, memory_order_relaxed);
    unsigned before = atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel);
    if (before + 1 < t->active) {
        rt_event_wait(&t->phase, phase, t->spins, YIELDS);
        return;
    }
    atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
    rt_event_set(&t->phase, phase + 1);
}

/* Floating-point control: default rounding, no flushing of denormals, exceptions masked. The old setting is returned. */
static inline uint32_t rt_fp_default(void) {
#if defined(__x86_64__)
    uint32_t old = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80);
    return old;
#else
    return 0;
#endif
}

static inline void rt_fp_restore(uint32_t old) {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(old);
#else
    (void)old;
#endif
}

static void *rt_worker_loop(void *data) {
    rt_worker *w = data;
    tlbc_rt_team *t = w->team;
    for (unsigned run = 0;; run++) {
        rt_event_wait(&t->start, run, 0, 0);
        if (t->stop) return NULL;
        rt_fp_default();
        if (w->tid < t->active) t->fn(t->frame, w->tid, t->active);
        if (atomic_fetch_sub_explicit(&t->running, 1, memory_order_acq_rel) == 1)
            rt_event_set(&t->done, run + 1);
    }
}

void tlbc_rt_team_run(tlbc_rt_team *t, tlbc_main_fn *fn, const tlbc_frame *frame, uint32_t active) {
    uint32_t control = rt_fp_default();
    t->active = active;
    if (active == 1) {
        fn(frame, 0, 1);
        rt_fp_restore(control);
        return;
    }
    unsigned run = atomic_load_explicit(&t->start.word, memory_order_relaxed);
    t->fn = fn;
    t->frame = frame;
    atomic_store_explicit(&t->running, t->n - 1, memory_order_relaxed);
    rt_event_set(&t->start, run + 1);
    fn(frame, 0, active);
    rt_event_wait(&t->done, run, t->spins, YIELDS);
    rt_fp_restore(control);
}

uint32_t tlbc_rt_team_size(const tlbc_rt_team *t) {
    return t->n;
}

/* Spinning for a thread that has no processor to run on only delays it. */
static uint32_t rt_choose_spins(uint32_t threads) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return SPINS;
    return (uint32_t)CPU_COUNT(&set) >= threads ? SPINS : 0;
}

/* Starts the workers with all signals blocked: handlers of the host program run on its own threads. */
static uint32_t rt_start_workers(tlbc_rt_team *t) {
    sigset_t all, old;
    pthread_attr_t attr;
    uint32_t started = 0;
    if (pthread_attr_init(&attr)) return 0;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; started < t->n - 1; started++) {
        rt_worker *w = &t->workers[started];
        w->team = t;
        w->tid = started + 1;
        if (pthread_create(&w->thread, &attr, rt_worker_loop, w)) break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

static void rt_stop_workers(tlbc_rt_team *t, uint32_t started) {
    t->stop = true;
    rt_event_set(&t->start, atomic_load_explicit(&t->start.word, memory_order_relaxed) + 1);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(t->workers[i].thread, NULL);
}

tlbc_rt_team *tlbc_rt_team_create(uint32_t threads) {
    size_t bytes = sizeof(tlbc_rt_team) + (threads - 1) * sizeof(rt_worker);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    tlbc_rt_team *t = aligned_alloc(CACHE_LINE, bytes);
    if (!t) return NULL;
    *t = (tlbc_rt_team){.n = threads, .spins = rt_choose_spins(threads)};
    if (threads == 1) return t;
    uint32_t started = rt_start_workers(t);
    if (started == threads - 1) return t;
    rt_stop_workers(t, started);
    free(t);
    return NULL;
}

void tlbc_rt_team_free(tlbc_rt_team *t) {
    if (!t) return;
    if (t->n > 1) rt_stop_workers(t, t->n - 1);
    free(t);
}
