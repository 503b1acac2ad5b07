/* Sessions on hand-written models: results, messages, workspaces, threads. */
#include "runtime/cpu.h"
#include "tests/runtime/fake_model.h"
#include "tests/support/check.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static tlbc_session *session(const tlbc_model *m, uint32_t threads) {
    tlbc_session_options o = {.threads = threads, .exact_threads = 1};
    tlbc_session *s;
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK);
    return s;
}

static void test_run(uint32_t threads) {
    static fake_mix_data d;
    tlbc_session *s = session(&fake_mix, threads);
    const int64_t batches[] = {1, 2, 3, 64, 5, 0, 5, 64, 1};
    for (unsigned i = 0; i < sizeof batches / sizeof *batches; i++) {
        fake_mix_fill(&d, batches[i]);
        CHECK_EQ(tlbc_run(s, d.in, d.result), TLBC_OK);
        CHECK_STR(tlbc_session_message(s), "");
        CHECK_EQ(fake_mix_wrong(&d, batches[i]), 0);
        CHECK_EQ(d.result[0].rank, 2);
        CHECK_EQ(d.result[0].dims[0], batches[i]);
        CHECK_EQ(d.result[0].dims[1], 4);
        CHECK_EQ(d.result[1].dims[0], 2 * batches[i]);
        CHECK_EQ(d.result[1].dtype, TLBC_F32);
    }
    tlbc_session_free(s);
}

static void expect(tlbc_session *s, fake_mix_data *d, tlbc_status status, const char *message) {
    CHECK_EQ(tlbc_run(s, d->in, d->result), status);
    CHECK_STR(tlbc_session_message(s), message);
    fake_mix_fill(d, 3);
}

static void test_input_messages(void) {
    static fake_mix_data d;
    tlbc_session *s = session(&fake_mix, 1);
    fake_mix_fill(&d, 3);
    d.in[0].dims[1] = 5;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 0 'x': dimension 1 is 5, expected 4 (given f32[3,5], expected f32[batch,4])");
    d.in[0].rank = 3;
    d.in[0].dims[2] = 7;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 0 'x': rank is 3, expected 2 (given f32[3,4,7], expected f32[batch,4])");
    d.in[1].dtype = TLBC_I64;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 1 'k': element type is i64, expected f32 (given i64[1], expected f32[1])");
    d.in[2].dims[0] = 2;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 2 'y': dimension 0 is 2, expected batch = 3 (given f32[2,4], expected "
           "f32[batch,4])");
    d.in[0].dims[0] = -3;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 0 'x': dimension 0 is negative (given f32[-3,4], expected f32[batch,4])");
    d.in[0].dims[0] = INT64_MAX;
    expect(s, &d, TLBC_ERROR_ARGUMENT,
           "input 0 'x': its size overflows (given f32[9223372036854775807,4], expected "
           "f32[batch,4])");
    d.in[2].data = NULL;
    expect(s, &d, TLBC_ERROR_ARGUMENT, "input 2 'y': data is NULL");
    d.in[2].bytes = 40;
    expect(s, &d, TLBC_ERROR_ARGUMENT, "input 2 'y': 40 bytes of data, f32[3,4] needs 48");
    d.in[0].dtype = (tlbc_dtype)99;
    d.in[0].rank = 99;
    expect(
        s, &d, TLBC_ERROR_ARGUMENT,
        "input 0 'x': element type is ?, expected f32 (given ?[3,4,0,0,0,0,0,0,0,0,0,0,0,0,0,0], "
        "expected f32[batch,4])");
    CHECK_EQ(tlbc_run(s, NULL, d.result), TLBC_ERROR_ARGUMENT);
    CHECK_STR(tlbc_session_message(s), "3 inputs and 2 outputs expected, given NULL");
    tlbc_session_free(s);
}

static void test_output_messages(void) {
    static fake_mix_data d;
    tlbc_session *s = session(&fake_mix, 1);
    fake_mix_fill(&d, 3);
    d.result[0].bytes = 47;
    expect(s, &d, TLBC_ERROR_ARGUMENT, "output 0 'out': room for 47 bytes, f32[3,4] needs 48");
    d.result[1].data = NULL;
    expect(s, &d, TLBC_ERROR_ARGUMENT, "output 1 'twice': data is NULL");
    d.result[1].dtype = TLBC_F64;
    expect(s, &d, TLBC_ERROR_ARGUMENT, "output 1 'twice': element type is f64, expected f32");
    expect(s, &d, TLBC_OK, "");
    tlbc_session_free(s);
}

static void test_failure(void) {
    static fake_mix_data d;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        tlbc_session *s = session(&fake_mix, threads);
        fake_mix_fill(&d, 3);
        d.k[0] = NAN;
        expect(s, &d, TLBC_ERROR_DATA, "node 'm' (Mul), input 1: element 7 of 3 is not a number");
        CHECK_EQ(tlbc_run(s, d.in, d.result), TLBC_OK);
        CHECK_EQ(fake_mix_wrong(&d, 3), 0);
        tlbc_session_free(s);
    }
}

static void test_shapes(void) {
    tlbc_session *s = session(&fake_mix, 2);
    const int64_t dims[] = {6, 4}, n = 1;
    tlbc_tensor in[3] = {tlbc_tensor_f32(NULL, 2, dims), tlbc_tensor_f32(NULL, 1, &n),
                         tlbc_tensor_f32(NULL, 2, dims)};
    tlbc_tensor out[2] = {{0}};
    size_t bytes = 0;
    CHECK_EQ(tlbc_shapes(s, in, out, &bytes), TLBC_OK);
    CHECK_EQ(bytes, 2 * 64 + 6 * 16);
    CHECK_EQ(out[0].bytes, 96);
    CHECK_EQ(out[1].bytes, 48);
    CHECK_EQ(out[1].dims[0], 12);
    CHECK_EQ(tlbc_shapes(s, in, out, NULL), TLBC_OK);
    in[2].dims[0] = 5;
    CHECK_EQ(tlbc_shapes(s, in, out, NULL), TLBC_ERROR_ARGUMENT);
    tlbc_session_free(s);
}

static void test_caller_workspace(void) {
    static fake_mix_data d;
    static _Alignas(64) char memory[64 + 16 * 8];
    tlbc_session *s;
    tlbc_session_options o = {
        .struct_size = sizeof o, .workspace = memory, .workspace_bytes = sizeof memory};
    CHECK_EQ(tlbc_session_create(&fake_mix, &o, &s), TLBC_OK);
    fake_mix_fill(&d, 8);
    CHECK_EQ(tlbc_run(s, d.in, d.result), TLBC_OK);
    CHECK_EQ(fake_mix_wrong(&d, 8), 0);
    fake_mix_fill(&d, 9);
    CHECK_EQ(tlbc_run(s, d.in, d.result), TLBC_ERROR_MEMORY);
    CHECK_STR(tlbc_session_message(s), "workspace: 192 bytes given, 208 needed");
    tlbc_session_free(s);
    o.workspace = memory + 8;
    CHECK_EQ(tlbc_session_create(&fake_mix, &o, &s), TLBC_ERROR_ARGUMENT);
    CHECK(s == NULL);
}

static void test_refusals(void) {
    tlbc_session *s;
    tlbc_session_options o = {.threads = 1025};
    CHECK_EQ(tlbc_session_create(&fake_nothing, NULL, &s), TLBC_ERROR_CPU);
    CHECK(s == NULL);
    CHECK_EQ(tlbc_session_create(&fake_mix, &o, &s), TLBC_ERROR_ARGUMENT);
    CHECK(s == NULL);
    tlbc_model old = fake_mix;
    old.abi_version = TLBC_ABI_VERSION + 1;
    CHECK_EQ(tlbc_session_create(&old, NULL, &s), TLBC_ERROR_VERSION);
    static uint8_t x[2000], y[2000];
    const int64_t n = 2000;
    tlbc_tensor in = tlbc_tensor_of(x, TLBC_U8, 1, 1, &n),
                out = tlbc_tensor_of(y, TLBC_U8, 1, 1, &n);
    s = session(&fake_huge, 1);
    CHECK_EQ(tlbc_run(s, &in, &out), TLBC_ERROR_MEMORY);
    CHECK_STR(tlbc_session_message(s),
              "the workspace for these shapes is larger than the address space");
    tlbc_session_free(s);
    tlbc_session_free(NULL);
}

/* The caller's rounding mode is its own affair: runs use the default, and give it back. */
static void test_rounding_mode(void) {
    static fake_mix_data d;
    tlbc_session *s = session(&fake_mix, 1);
    fake_mix_fill(&d, 1);
    d.x[0] = 1.0f / 3;
    d.y[0] = 0.1f;
    volatile float product = 3 * d.x[0], expected = product + d.y[0];
    fesetround(FE_UPWARD);
    CHECK_EQ(tlbc_run(s, d.in, d.result), TLBC_OK);
    CHECK_EQ(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
    CHECK(d.out[0] == expected);
    tlbc_session_free(s);
}

static void run_stress(tlbc_session *s) {
    int64_t wrong = -1, n = 1;
    tlbc_tensor out = tlbc_tensor_of(&wrong, TLBC_I64, 8, 1, &n);
    CHECK_EQ(tlbc_run(s, NULL, &out), TLBC_OK);
    CHECK_EQ(wrong, 0);
}

static void test_barriers(void) {
    for (uint32_t threads = 1; threads <= 5; threads++) {
        tlbc_session *s = session(&fake_stress, threads);
        for (int i = 0; i < 3; i++)
            run_stress(s);
        tlbc_session_free(s);
    }
}

static void *many_runs(void *data) {
    static _Thread_local fake_mix_data d;
    int *wrong = data;
    tlbc_session *s;
    tlbc_session_options o = {.threads = 2, .exact_threads = 1};
    if (tlbc_session_create(&fake_mix, &o, &s)) return NULL;
    for (int i = 0; i < 300; i++) {
        fake_mix_fill(&d, i % 64);
        if (tlbc_run(s, d.in, d.result)) ++*wrong;
        *wrong += fake_mix_wrong(&d, i % 64);
    }
    tlbc_session_free(s);
    --*wrong; /* started at 1: 0 means it ran to the end without an error */
    return NULL;
}

static int64_t threads_of_a_run(tlbc_session *s, int64_t n) {
    uint8_t x[64] = {0};
    int64_t count = 0;
    tlbc_tensor in = tlbc_tensor_of(x, TLBC_U8, 1, 1, &n),
                out = tlbc_tensor_of(&count, TLBC_I64, 8, 1, (int64_t[]){1});
    CHECK_EQ(tlbc_run(s, &in, &out), TLBC_OK);
    return count;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* In the first run of a session, that of no worker is known to have been late. */
static void expect_threads(int64_t n, uint32_t exact, int64_t expected) {
    tlbc_session *s;
    tlbc_session_options o = {.threads = 4, .exact_threads = exact};
    if (!CHECK_EQ(tlbc_session_create(&fake_team, &o, &s), TLBC_OK)) return;
    CHECK_EQ(threads_of_a_run(s, n), expected);
    for (int i = 0; i < 20; i++) {
        int64_t later = threads_of_a_run(s, n);
        CHECK(later >= 1 && later <= expected && (!exact || later == expected));
    }
    tlbc_session_free(s);
}

/* As many threads as there is work for, and as have a processor; all of them where that is asked for. */
static void test_useful_threads(void) {
    static const int64_t useful[][2] = {{1, 1}, {64, 4}, {5, 2}, {0, 1}, {7, 3}};
    for (unsigned i = 0; i < sizeof useful / sizeof *useful; i++) {
        expect_threads(useful[i][0], 0, least(useful[i][1], tlbc_rt_processors()));
        expect_threads(useful[i][0], 1, 4);
    }
}

static void *stress_once(void *session) {
    run_stress(session);
    return NULL;
}

/* A session belongs to one thread at a time, but not always to the same. */
static void test_moving_session(void) {
    pthread_t thread;
    tlbc_session *s = session(&fake_stress, 3);
    for (int i = 0; i < 3; i++) {
        run_stress(s);
        int error = pthread_create(&thread, NULL, stress_once, s);
        if (!error) pthread_join(thread, NULL);
        CHECK_EQ(error, 0);
    }
    tlbc_session_free(s);
}

/* A child has no workers: the thread that has called fork carries all shares. The thread sanitizer does not watch that thread in the
 * child, and misses how it orders the others. */
static void test_fork(void) {
#ifndef __SANITIZE_THREAD__
    tlbc_session *s = session(&fake_stress, 3);
    run_stress(s);
    pid_t child = fork();
    if (child == 0) {
        run_stress(s);
        run_stress(s);
        tlbc_session_free(s);
        _exit(check_failed != 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    run_stress(s);
    tlbc_session_free(s);
#endif
}

/* Different sessions of one model at the same time. */
static void test_sessions_in_parallel(void) {
    pthread_t threads[3];
    int wrong[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, many_runs, &wrong[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(wrong[i], 0);
    }
}

int main(void) {
    for (uint32_t threads = 1; threads <= 4; threads++)
        test_run(threads);
    test_input_messages();
    test_output_messages();
    test_failure();
    test_shapes();
    test_caller_workspace();
    test_refusals();
    test_rounding_mode();
    test_barriers();
    test_useful_threads();
    test_moving_session();
    test_fork();
    test_sessions_in_parallel();
    return check_done();
}
