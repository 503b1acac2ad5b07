/* What a run must not do: allocate, and keep a processor busy after it has returned. The linker sends the allocation functions
 * that the runtime calls through the counters below (--wrap). */
#include "tests/runtime/fake_model.h"
#include "tests/support/check.h"
#include "tests/support/count_allocations.h"

#include <stdlib.h>
#include <time.h>

static int count_run(tlbc_session *s, fake_mix_data *d, int64_t batch) {
    fake_mix_fill(d, batch);
    allocations = 0;
    CHECK_EQ(tlbc_run(s, d->in, d->result), TLBC_OK);
    return allocations;
}

static void test_dynamic_model(uint32_t threads) {
    static fake_mix_data d;
    tlbc_session *s;
    tlbc_session_options o = {.threads = threads, .exact_threads = 1};
    allocations = 0;
    CHECK_EQ(tlbc_session_create(&fake_mix, &o, &s), TLBC_OK);
    CHECK(allocations > 0); /* the counters count */
    CHECK_EQ(count_run(s, &d, 8), 1);
    CHECK_EQ(count_run(s, &d, 8), 0);
    CHECK_EQ(count_run(s, &d, 3), 0);
    CHECK_EQ(count_run(s, &d, 64), 1); /* larger than any before */
    CHECK_EQ(count_run(s, &d, 8), 0);
    CHECK_EQ(count_run(s, &d, 64), 0);
    tlbc_session_free(s);
}

static void test_static_model(void) {
    tlbc_session *s;
    int64_t wrong, n = 1;
    tlbc_tensor out = tlbc_tensor_of(&wrong, TLBC_I64, 8, 1, &n);
    CHECK_EQ(tlbc_session_create(&fake_stress, NULL, &s), TLBC_OK);
    allocations = 0;
    CHECK_EQ(tlbc_run(s, NULL, &out), TLBC_OK);
    CHECK_EQ(allocations, 0);
    tlbc_session_free(s);
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_idle(void) {
    static fake_mix_data d;
    tlbc_session *s;
    tlbc_session_options o = {.threads = 4, .exact_threads = 1};
    const struct timespec tenth = {.tv_nsec = 100 * 1000 * 1000};
    CHECK_EQ(tlbc_session_create(&fake_mix, &o, &s), TLBC_OK);
    for (int i = 0; i < 20; i++)
        count_run(s, &d, 64);
    double before = cpu_seconds();
    nanosleep(&tenth, NULL);
    CHECK(cpu_seconds() - before < 0.01);
    tlbc_session_free(s);
}

int main(void) {
    test_dynamic_model(1);
    test_dynamic_model(3);
    test_static_model();
    test_idle();
    return check_done();
}
