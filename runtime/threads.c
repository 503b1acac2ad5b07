/* See threads.h. A share of a run is the program as one thread id runs it, in a fiber of its own (fiber.h). Threads carry shares: a share
 * is carried by one thread at a time, and goes on where it was whoever carries it next.
 *
 *   thread 0   share 0: work, barrier ....... work, barrier . share 1: work, barrier; share 0: work, ...
 *   thread 1   share 1: ... work, barrier | has lost its processor, for milliseconds
 *
 * A share that comes to a barrier before the others keeps its thread for a moment (PATIENCE), then is put down. Its thread looks for
 * another one that may go on: at once for those that it has carried before, after the same moment for those that another thread has put
 * down, which most likely is about to go on with them. So on a quiet machine shares stay where they are, and a thread that is late or
 * never comes is not waited for, unless it lost its processor in the middle of a share's work. Whoever waits for a thread looks whether that
 * gets processor time: if not, or if it has not come at all, it rests, and runs have one share less until it has rested.
 *
 * The phase is the word to wait on during a run: each barrier moves it by two, the end of the run by one, the start of the next by one,
 * so it is odd while there is no run. A share that is put down notes the phase; when that is over it may go on. */
#define _GNU_SOURCE
#include "runtime/threads.h"

#include "runtime/cpu.h"
#include "runtime/fiber.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    CACHE_LINE = 64,
    PATIENCE = 160,       /* looks at the phase: some 2 microseconds */
    SPINS = 4000,         /* before a thread sleeps: 50 microseconds */
    WATCH = 300000,       /* nanoseconds that a thread is watched for, whether it gets on */
    SHORT_REST = 5000000, /* nanoseconds */
    LONG_REST = 160000000,
    SHARE_STACK = 8 << 20, /* address space, touched only where used */
    WORKER_STACK = 256 << 10,
};

/* What rt_share.state says; of a share that waits: WAITING + the phase. */
enum { IDLE, CARRIED, WAITING };
#define FOR_EVER UINT64_MAX
/* How the phase moves. */
enum { BY_BARRIER = 2, BY_START = 1, BY_END = 1, NO_RUN = 1 };

/* A word to wait for, which only ever moves forward, and the last value that somebody may sleep on; alone on its cache line. */
typedef struct rt_event {
    alignas(CACHE_LINE) atomic_uint word;
    atomic_uint slept;
} rt_event;

typedef struct rt_thread {
    alignas(CACHE_LINE) tlbc_rt_team *team;
    pthread_t thread;
    atomic_int clock; /* of its processor time */
    uint32_t tid;
    atomic_bool several; /* it has lately carried more than one share */
    atomic_bool took;    /* it has carried one in this run */
    atomic_bool resting; /* it carries none until rest_end */
    _Atomic uint64_t rest, rest_end;
} rt_thread;

typedef struct rt_share {
    alignas(CACHE_LINE) _Atomic uint64_t state;
    _Atomic uint64_t left;        /* `state` once its thread has left the fiber */
    _Atomic(rt_thread *) carrier; /* the last one; at first the thread of the same number */
    tlbc_rt_fiber fiber;
    tlbc_rt_team *team;
    uint32_t tid;
} rt_share;

struct tlbc_rt_team {
    rt_event start; /* number of the run; workers sleep on it between runs */
    rt_event stop;  /* 1: the workers end */
    rt_event phase;
    alignas(CACHE_LINE) atomic_uint arrived; /* shares that wait in this phase */
    /* Written between runs. */
    alignas(CACHE_LINE) atomic_uint active; /* shares of the run */
    atomic_uint wanted;                     /* threads that may carry them: the first ones */
    uint32_t n, patience, spins;
    bool exact; /* no thread rests */
    tlbc_main_fn *fn;
    const tlbc_frame *frame;
    pid_t process; /* that has the workers */
    rt_thread *threads;
    rt_share shares[]; /* n */
};

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static uint64_t rt_time(clockid_t clock) {
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline void rt_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Whether e->word came to differ from `seen` while it was looked at so many times. */
static inline bool rt_event_comes(rt_event *e, unsigned seen, uint32_t looks) {
    for (uint32_t i = 0; i < looks; i++) {
        if (atomic_load_explicit(&e->word, memory_order_acquire) != seen) return true;
        rt_pause();
    }
    return false;
}

/* Sleeps until e->word differs from `seen`, or for so many nanoseconds; whether it differs. Who moves the word looks at `slept`
 * afterwards, who sleeps looks at the word after it has written `slept`: one of them sees the other. A thread that is late must not take
 * back what another has written. */
static bool rt_event_sleep(rt_event *e, unsigned seen, uint64_t nanoseconds) {
    struct timespec limit = {.tv_sec = (time_t)(nanoseconds / 1000000000),
                             .tv_nsec = (long)(nanoseconds % 1000000000)};
    unsigned slept = atomic_load(&e->slept);
    while ((int)(seen - slept) > 0 && !atomic_compare_exchange_weak(&e->slept, &slept, seen))
        ;
    if (atomic_load(&e->word) == seen)
        syscall(SYS_futex, &e->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seen,
                nanoseconds == FOR_EVER ? NULL : &limit, NULL, 0);
    return atomic_load(&e->word) != seen;
}

static void rt_event_set(rt_event *e, unsigned old, unsigned new) {
    atomic_store(&e->word, new);
    if (atomic_load(&e->slept) != old) return;
    syscall(SYS_futex, &e->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, TLBC_RT_MAX_THREADS, NULL, NULL,
            0);
}

/* ---- shares ------------------------------------------------------------------------------------------------------ */

/* True for the last of the run's shares, which moves the phase. */
static bool rt_arrive(tlbc_rt_team *t, unsigned phase, unsigned by) {
    uint32_t active = atomic_load_explicit(&t->active, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) + 1 < active) return false;
    atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
    rt_event_set(&t->phase, phase, phase + by);
    return true;
}

/* What the others have done before the phase moved, this share sees from here on. */
static inline unsigned rt_phase(const tlbc_rt_team *t) {
    return atomic_load_explicit(&t->phase.word, memory_order_acquire);
}

/* Back to the thread that carries the share; returns when one takes it up again. */
static void rt_put_down(rt_share *s, uint64_t state) {
    atomic_store_explicit(&s->left, state, memory_order_release);
    tlbc_rt_fiber_leave(&s->fiber);
    rt_phase(s->team);
}

void tlbc_rt_barrier(const tlbc_frame *frame, int64_t tid) {
    tlbc_rt_team *t = frame->team;
    if (atomic_load_explicit(&t->active, memory_order_relaxed) == 1) return;
    /* Nobody can move the phase before this share has arrived. */
    unsigned phase = atomic_load_explicit(&t->phase.word, memory_order_relaxed);
    if (rt_arrive(t, phase, BY_BARRIER)) return;
    rt_share *s = &t->shares[tid];
    rt_thread *thread = atomic_load_explicit(&s->carrier, memory_order_relaxed);
    bool several = atomic_load_explicit(&thread->several, memory_order_relaxed);
    if (several || !rt_event_comes(&t->phase, phase, t->patience))
        rt_put_down(s, WAITING + (uint64_t)phase);
}

/* In the share's fiber. */
static void rt_share_loop(void *data) {
    rt_share *s = data;
    tlbc_rt_team *t = s->team;
    for (rt_phase(t);;) {
        t->fn(t->frame, s->tid, atomic_load_explicit(&t->active, memory_order_relaxed));
        rt_arrive(t, rt_phase(t), BY_END);
        rt_put_down(s, IDLE);
    }
}

/* ---- threads that carry them --------------------------------------------------------------------------------------- */

/* The phase is read behind the state: it cannot be older than what the share has noted. */
static bool rt_may_go_on(const tlbc_rt_team *t, uint64_t state) {
    return state >= WAITING && (unsigned)(state - WAITING) !=
                                   atomic_load_explicit(&t->phase.word, memory_order_acquire);
}

/* A share that may go on, of those that this thread was the last to carry (own) or of all; NULL where there is none. */
static rt_share *rt_take(rt_thread *me, bool own) {
    tlbc_rt_team *t = me->team;
    uint32_t carried = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        rt_share *s = &t->shares[(me->tid + i) % t->n];
        bool mine = atomic_load_explicit(&s->carrier, memory_order_relaxed) == me;
        uint64_t state = atomic_load_explicit(&s->state, memory_order_acquire);
        carried += mine && state != IDLE;
        if ((own && !mine) || !rt_may_go_on(t, state)) continue;
        if (!atomic_compare_exchange_strong(&s->state, &state, CARRIED)) continue;
        atomic_store_explicit(&s->carrier, me, memory_order_relaxed);
        atomic_store_explicit(&me->took, true, memory_order_relaxed);
        if (!mine) atomic_store_explicit(&me->several, true, memory_order_relaxed);
        return s;
    }
    if (carried <= 1) atomic_store_explicit(&me->several, false, memory_order_relaxed);
    return NULL;
}

/* Another thread in the middle of a share's work; NULL where there is none. */
static rt_thread *rt_who_works(const rt_thread *me) {
    const tlbc_rt_team *t = me->team;
    for (uint32_t i = 0; i < t->n; i++) {
        rt_thread *carrier = atomic_load_explicit(&t->shares[i].carrier, memory_order_relaxed);
        uint64_t state = atomic_load_explicit(&t->shares[i].state, memory_order_relaxed);
        if (carrier != me && state == CARRIED) return carrier;
    }
    return NULL;
}

/* Processor time. */
static uint64_t rt_work_time(const rt_thread *thread) {
    return rt_time(atomic_load_explicit(&thread->clock, memory_order_relaxed));
}

static void rt_find_clock(rt_thread *me) {
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock)) clock = CLOCK_MONOTONIC;
    atomic_store_explicit(&me->clock, clock, memory_order_relaxed);
}

/* Longer each time it comes soon after the last one. */
static void rt_rest(rt_thread *thread) {
    if (thread->team->exact || atomic_load_explicit(&thread->resting, memory_order_relaxed)) return;
    uint64_t now = rt_time(CLOCK_MONOTONIC);
    uint64_t rest = atomic_load_explicit(&thread->rest, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&thread->rest_end, memory_order_relaxed);
    rest = now > end + LONG_REST || !rest ? SHORT_REST : rest < LONG_REST ? 2 * rest : rest;
    atomic_store_explicit(&thread->rest, rest, memory_order_relaxed);
    atomic_store_explicit(&thread->rest_end, now + rest, memory_order_relaxed);
    atomic_store_explicit(&thread->resting, true, memory_order_relaxed);
}

/* The phase will move when others have done their work. One that has had no processor for it meanwhile is in the way of somebody else:
 * it rests, or where that is the caller's thread, this one makes room for it. */
static void rt_wait_for_others(rt_thread *me, unsigned phase) {
    tlbc_rt_team *t = me->team;
    for (;;) {
        rt_thread *other = rt_who_works(me);
        uint64_t before = other ? rt_work_time(other) : 0;
        if (rt_event_sleep(&t->phase, phase, WATCH)) return;
        if (!other || other != rt_who_works(me)) continue;
        if (rt_work_time(other) - before > WATCH / 2) continue;
        rt_rest(other->tid ? other : me);
        return;
    }
}

/* The share to carry next; NULL when the run is over, or this thread rests. */
static rt_share *rt_next(rt_thread *me) {
    tlbc_rt_team *t = me->team;
    for (;;) {
        unsigned phase = rt_phase(t);
        if (phase & NO_RUN) return NULL;
        if (atomic_load_explicit(&me->resting, memory_order_relaxed)) return NULL;
        rt_share *s = rt_take(me, true);
        if (s) return s;
        if (rt_event_comes(&t->phase, phase, t->patience)) continue;
        s = rt_take(me, false);
        if (s) return s;
        if (!rt_event_comes(&t->phase, phase, t->spins)) rt_wait_for_others(me, phase);
    }
}

static void rt_carry_shares(rt_thread *me) {
    for (rt_share *s; (s = rt_next(me));) {
        tlbc_rt_fiber_enter(&s->fiber);
        uint64_t left = atomic_load_explicit(&s->left, memory_order_acquire);
        atomic_store_explicit(&s->state, left, memory_order_release);
    }
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

static void rt_sleep_off(rt_thread *me) {
    uint64_t now = rt_time(CLOCK_MONOTONIC);
    uint64_t end = atomic_load_explicit(&me->rest_end, memory_order_relaxed);
    if (now < end && rt_event_sleep(&me->team->stop, 0, end - now)) return;
    atomic_store_explicit(&me->resting, false, memory_order_relaxed);
}

static void *rt_worker_loop(void *data) {
    rt_thread *me = data;
    tlbc_rt_team *t = me->team;
    unsigned run = 0;
    rt_fp_default();
    rt_find_clock(me);
    while (!atomic_load_explicit(&t->stop.word, memory_order_acquire)) {
        if (atomic_load_explicit(&me->resting, memory_order_relaxed))
            rt_sleep_off(me);
        else
            rt_event_sleep(&t->start, run, FOR_EVER);
        run = atomic_load_explicit(&t->start.word, memory_order_acquire);
        if (me->tid < atomic_load_explicit(&t->wanted, memory_order_relaxed)) rt_carry_shares(me);
    }
    return NULL;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------- */

static void rt_wake_workers(tlbc_rt_team *t) {
    unsigned run = atomic_load_explicit(&t->start.word, memory_order_relaxed);
    rt_event_set(&t->start, run, run + 1);
}

/* As many shares as there are threads that do not rest. */
static uint32_t rt_count_shares(tlbc_rt_team *t, uint32_t wanted) {
    uint32_t resting = 0;
    for (uint32_t i = 1; i < wanted; i++) {
        resting += atomic_load_explicit(&t->threads[i].resting, memory_order_relaxed);
        atomic_store_explicit(&t->threads[i].took, false, memory_order_relaxed);
    }
    return wanted - resting;
}

static void rt_hand_out(tlbc_rt_team *t, uint32_t active, unsigned phase) {
    for (uint32_t i = 0; i < active; i++) {
        rt_share *s = &t->shares[i];
        atomic_store_explicit(&s->carrier, &t->threads[i], memory_order_relaxed);
        atomic_store_explicit(&s->state, WAITING + (uint64_t)phase, memory_order_release);
    }
}

/* A thread may not have left the fiber yet in which the run has ended. */
static void rt_take_back(const tlbc_rt_team *t, uint32_t active) {
    for (uint32_t i = 0; i < active; i++)
        while (atomic_load_explicit(&t->shares[i].state, memory_order_acquire) != IDLE)
            sched_yield();
}

/* A worker that had not even begun when all was done need not be called for the next runs. */
static void rt_let_rest(tlbc_rt_team *t, uint32_t wanted) {
    for (uint32_t i = 1; i < wanted; i++)
        if (!atomic_load_explicit(&t->threads[i].took, memory_order_relaxed))
            rt_rest(&t->threads[i]);
}

static void rt_run_shares(tlbc_rt_team *t, uint32_t wanted, uint32_t active) {
    unsigned phase = atomic_load_explicit(&t->phase.word, memory_order_relaxed);
    atomic_store_explicit(&t->wanted, wanted, memory_order_relaxed);
    rt_find_clock(&t->threads[0]);
    rt_hand_out(t, active, phase);
    rt_event_set(&t->phase, phase, phase + BY_START);
    rt_wake_workers(t);
    rt_carry_shares(&t->threads[0]);
    rt_take_back(t, active);
    rt_let_rest(t, wanted);
}

void tlbc_rt_team_run(tlbc_rt_team *t, tlbc_main_fn *fn, const tlbc_frame *frame, uint32_t wanted) {
    uint32_t control = rt_fp_default();
    uint32_t active = wanted == 1 ? 1 : rt_count_shares(t, wanted);
    atomic_store_explicit(&t->active, active, memory_order_relaxed);
    t->fn = fn;
    t->frame = frame;
    if (active == 1)
        fn(frame, 0, 1);
    else
        rt_run_shares(t, wanted, active);
    rt_fp_restore(control);
}

uint32_t tlbc_rt_team_size(const tlbc_rt_team *t) {
    return t->n;
}

/* ---- from beginning to end --------------------------------------------------------------------------------------- */

/* Starts the workers with all signals blocked: handlers of the host program run on its own threads. */
static uint32_t rt_start_workers(tlbc_rt_team *t) {
    sigset_t all, old;
    pthread_attr_t attr;
    uint32_t started = 1;
    if (pthread_attr_init(&attr)) return 0;
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (started < t->n && !pthread_create(&t->threads[started].thread, &attr, rt_worker_loop,
                                             &t->threads[started]))
        started++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

/* In a child of the process that has started them there are no workers. */
static void rt_stop_workers(tlbc_rt_team *t, uint32_t started) {
    if (getpid() != t->process) return;
    rt_event_set(&t->stop, 0, 1);
    rt_wake_workers(t);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(t->threads[i].thread, NULL);
}

static bool rt_open_shares(tlbc_rt_team *t) {
    for (uint32_t i = 0; i < t->n; i++) {
        rt_share *s = &t->shares[i];
        s->team = t;
        s->tid = i;
        if (!tlbc_rt_fiber_open(&s->fiber, SHARE_STACK, rt_share_loop, s)) return false;
    }
    return true;
}

static void rt_team_release(tlbc_rt_team *t) {
    for (uint32_t i = 0; i < t->n; i++)
        tlbc_rt_fiber_close(&t->shares[i].fiber);
    free(t);
}

static tlbc_rt_team *rt_team_alloc(uint32_t threads, bool exact) {
    /* Spinning for a thread that has no processor to run on only delays it. */
    bool spin = threads == 1 || threads <= tlbc_rt_processors();
    size_t shares = sizeof(tlbc_rt_team) + threads * sizeof(rt_share);
    size_t bytes = shares + threads * sizeof(rt_thread);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    tlbc_rt_team *t = aligned_alloc(CACHE_LINE, bytes);
    if (!t) return NULL;
    memset(t, 0, bytes);
    t->n = threads;
    t->exact = exact;
    t->patience = spin ? PATIENCE : 0;
    t->spins = spin ? SPINS : 0;
    t->threads = (rt_thread *)((char *)t + shares);
    t->process = getpid();
    atomic_init(&t->phase.word, NO_RUN);
    atomic_init(&t->start.slept, -1u);
    atomic_init(&t->stop.slept, -1u);
    for (uint32_t i = 0; i < threads; i++) {
        t->threads[i].team = t;
        t->threads[i].tid = i;
    }
    return t;
}

tlbc_rt_team *tlbc_rt_team_create(uint32_t threads, bool exact) {
    tlbc_rt_team *t = rt_team_alloc(threads, exact);
    if (!t || threads == 1) return t;
    if (rt_open_shares(t)) {
        uint32_t started = rt_start_workers(t);
        if (started == threads) return t;
        rt_stop_workers(t, started);
    }
    rt_team_release(t);
    return NULL;
}

void tlbc_rt_team_free(tlbc_rt_team *t) {
    if (!t) return;
    if (t->n > 1) rt_stop_workers(t, t->n);
    rt_team_release(t);
}
