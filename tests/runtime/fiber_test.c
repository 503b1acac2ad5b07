/* Fibers: entering, leaving, going on in another thread; also built with TLBC_RT_UCONTEXT, as for processors without a switch of their own. */
#include "runtime/fiber.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { STACK = 1 << 20, FIBERS = 3, ROUNDS = 50 };

typedef struct counter {
    tlbc_rt_fiber fiber;
    atomic_int turns; /* orders accesses on both sides of a switch, which itself orders none */
    int64_t rounds, sum;
    double product;
} counter;

static void enter(counter *c) {
    c->turns++;
    tlbc_rt_fiber_enter(&c->fiber);
    c->turns++;
}

static void leave(counter *c) {
    c->turns++;
    tlbc_rt_fiber_leave(&c->fiber);
    c->turns++;
}

/* What it knows lies in registers and on its stack while it is left. */
static void count(void *data) {
    counter *c = data;
    int64_t sum = 0, factor = c->rounds + 1;
    double product = 1;
    for (int64_t round = 1;; round++) {
        sum += round * factor;
        product *= 1 + 1.0 / (double)round; /* = round + 1 */
        c->rounds = round;
        c->sum = sum;
        c->product = product;
        leave(c);
    }
}

static void check_counter(const counter *c, int64_t rounds) {
    CHECK_EQ(c->rounds, rounds);
    CHECK_EQ(c->sum, rounds * (rounds + 1) / 2);
    CHECK(c->product > (double)rounds + 0.999 && c->product < (double)rounds + 1.001);
}

static void test_turns(void) {
    static counter counters[FIBERS];
    for (int i = 0; i < FIBERS; i++)
        CHECK(tlbc_rt_fiber_open(&counters[i].fiber, STACK, count, &counters[i]));
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i <= round % FIBERS; i++)
            enter(&counters[i]);
    check_counter(&counters[0], ROUNDS);
    check_counter(&counters[1], (ROUNDS * 2 - 1) / 3);
    check_counter(&counters[2], ROUNDS / 3);
    for (int i = 0; i < FIBERS; i++)
        tlbc_rt_fiber_close(&counters[i].fiber);
    tlbc_rt_fiber_close(&counters[0].fiber);
}

static void *enter_once(void *data) {
    enter(data);
    return NULL;
}

static void test_threads(void) {
    static counter c;
    pthread_t thread;
    CHECK(tlbc_rt_fiber_open(&c.fiber, STACK, count, &c));
    for (int round = 0; round < ROUNDS; round++) {
        enter(&c);
        if (!CHECK_EQ(pthread_create(&thread, NULL, enter_once, &c), 0)) return;
        pthread_join(thread, NULL);
    }
    check_counter(&c, 2 * ROUNDS);
    tlbc_rt_fiber_close(&c.fiber);
}

/* Nearly all of the stack can be used, and is aligned as calls want it. */
static void fill(void *data) {
    counter *c = data;
    volatile char room[STACK - STACK / 8];
    _Alignas(16) volatile char aligned[16];
    for (size_t i = 0; i < sizeof room; i += 512)
        room[i] = 1;
    c->rounds = (uintptr_t)aligned % 16 == 0;
    for (size_t i = 0; i < sizeof room; i += 512)
        c->sum += room[i];
    for (;;)
        leave(c);
}

static void test_stack(void) {
    static counter c;
    CHECK(tlbc_rt_fiber_open(&c.fiber, STACK, fill, &c));
    enter(&c);
    CHECK_EQ(c.rounds, 1);
    CHECK_EQ(c.sum, (STACK - STACK / 8) / 512);
    tlbc_rt_fiber_close(&c.fiber);
    CHECK(!tlbc_rt_fiber_open(&c.fiber, SIZE_MAX / 4, fill, &c));
}

int main(void) {
    test_turns();
    test_threads();
    test_stack();
    return check_done();
}
