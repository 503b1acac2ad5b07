/* The last step of a sequence, which has fewer positions, from C: what it gives, and what may follow. Three positions a step; outputs are
 * the sum so far and the largest of all. Numbers are small integers: results must be equal to the last bit. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"
#include "tests/support/session.h"

#ifdef COUNT_ALLOCATIONS
#include "tests/support/count_allocations.h"
#else
static int allocations;
#endif

#define BODY                                     \
    "  %j = Concat<axis=1>(%sum, %x)\n"          \
    "  %c = CumSum(%j, @axis)\n"                 \
    "  %y = Slice(%c, @1, @end, @1)\n"           \
    "  %kept = Concat<axis=1>(%top, %x)\n"       \
    "  %most = ReduceMax<keepdims=1>(%kept, @1)" \
    "\n"

static const char model_text[] =
    "const @zero f32[] {0}\n"
    "const @low f32[] {-100}\n"
    "const @1 i64[1] {1}\n"
    "const @3 i64[1] {3}\n"
    "const @4 i64[1] {4}\n"
    "const @end i64[1] {9223372036854775807}\n"
    "const @axis i64[] {1}\n"
    "graph g(f32[B,3] %x along 1, state f32[B,1] %sum = @zero, state f32[B,1] %top = @low)\n"
    "    => (f32[B,3] y along 1, f32[B,1] most, state sum, state top) {\n" BODY
    "  %last = Slice(%c, @3, @4, @1)\n"
    "  return %y, %most, %last, %most\n"
    "}\n"
    "tail graph ends(f32[B,n] %x along 1, state f32[B,1] %top = @low, state f32[B,1] %sum = "
    "@zero)\n"
    "    => (f32[B,n] y along 1, f32[B,1] most, state top, state sum) {\n" BODY
    "  return %y, %most, %top, %sum\n"
    "}\n";

enum { STREAMS = 3 };

/* One step of one stream on n ones times `value`. */
static tlbc_status step(tlbc_session *s, uint32_t stream, int64_t n, float value, float *y,
                        float *most) {
    float x[8];
    for (int i = 0; i < 8; i++)
        x[i] = value;
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, n});
    tlbc_tensor out[2] = {tlbc_tensor_f32(y, 2, (int64_t[]){1, n}),
                          tlbc_tensor_f32(most, 2, (int64_t[]){1, 1})};
    tlbc_status status = tlbc_step_many(s, 1, &stream, &in, out);
    if (!status) CHECK_EQ(out[0].dims[1], n);
    return status;
}

static void expect_step(tlbc_session *s, uint32_t stream, int64_t n, float value, float before,
                        float largest) {
    float y[8], most;
    if (!CHECK_EQ(step(s, stream, n, value, y, &most), TLBC_OK))
        fprintf(stderr, "%s\n", tlbc_session_message(s));
    for (int64_t i = 0; i < n; i++)
        CHECK(y[i] == before + value * (float)(i + 1));
    CHECK(most == largest);
}

static void expect_error(tlbc_session *s, uint32_t stream, int64_t n, const char *message) {
    float y[8] = {7}, most = 7;
    CHECK_EQ(step(s, stream, n, 1, y, &most), TLBC_ERROR_ARGUMENT);
    CHECK_STR(tlbc_session_message(s), message);
    CHECK(y[0] == 7 && most == 7);
}

static const char ended[] =
    "stream 1 has ended with a step of fewer positions: tlbc_reset begins anew";

/* A stream ends while others go on; what is wrong leaves all of them as they are. */
static void test_end(const tlbc_model *m, uint32_t threads) {
    tlbc_session *s = session(m, STREAMS, threads);
    allocations = 0;
    expect_step(s, 0, 3, 1, 0, 1);
    expect_step(s, 1, 3, 2, 0, 2);
    expect_step(s, 1, 2, -1, 6, 2);
    expect_error(s, 1, 3, ended);
    expect_error(s, 1, 1, ended);
    expect_error(s, 2, 4,
                 "input 0 'x': a step takes at most 3 positions along axis 1, not 4 (given "
                 "f32[1,4], expected f32[B,3])");
    expect_error(s, 2, 0,
                 "input 0 'x': a step takes 3 positions along axis 1, not 0; the last one of a "
                 "sequence has at least one (given f32[1,0], expected f32[B,3])");
    expect_step(s, 0, 3, 1, 3, 1);
    expect_step(s, 2, 1, 5, 0, 5); /* nothing but the end */
    CHECK_EQ(tlbc_reset(s, 1), TLBC_OK);
    expect_step(s, 1, 3, 1, 0, 1);
    expect_step(s, 0, 2, 1, 6, 1);
    CHECK_EQ(allocations, 0);
    tlbc_session_free(s);
}

/* Streams that end together, in one batch; one that has ended already is no part of it. */
static void test_batch(const tlbc_model *m) {
    float x[STREAMS][2] = {{1, 2}, {3, 4}, {5, 6}}, y[STREAMS][2] = {{0}}, most[STREAMS];
    uint32_t all[STREAMS] = {2, 0, 1};
    tlbc_session *s = session(m, STREAMS, 2);
    tlbc_tensor in = tlbc_tensor_f32(x[0], 2, (int64_t[]){STREAMS, 2});
    tlbc_tensor out[2] = {tlbc_tensor_f32(y[0], 2, (int64_t[]){STREAMS, 2}),
                          tlbc_tensor_f32(most, 2, (int64_t[]){STREAMS, 1})};
    expect_step(s, 0, 3, 10, 0, 10);
    CHECK_EQ(tlbc_step_many(s, STREAMS, all, &in, out), TLBC_OK);
    CHECK(y[0][0] == 1 && y[0][1] == 3 && y[1][0] == 33 && y[1][1] == 37 && y[2][1] == 11);
    CHECK(most[0] == 2 && most[1] == 10 && most[2] == 6);
    CHECK_EQ(tlbc_reset(s, 0), TLBC_OK);
    CHECK_EQ(tlbc_step_many(s, STREAMS, all, &in, out), TLBC_ERROR_ARGUMENT);
    expect_step(s, 0, 3, 1, 0, 1); /* has not taken part in it */
    CHECK_EQ(tlbc_reset(s, TLBC_ALL_STREAMS), TLBC_OK);
    expect_step(s, 2, 3, 1, 0, 1);
    tlbc_session_free(s);
}

/* That a stream has ended goes with its states. */
static void test_states(const tlbc_model *m) {
    char before[100], after[100];
    size_t bytes = sizeof before;
    tlbc_session *s = session(m, STREAMS, 1), *t = session(m, 2, 1);
    expect_step(s, 1, 3, 1, 0, 1);
    CHECK_EQ(tlbc_state_save(s, 1, before, &bytes), TLBC_OK);
    expect_step(s, 1, 1, 1, 3, 1);
    CHECK_EQ(tlbc_state_save(s, 1, after, &bytes), TLBC_OK);
    CHECK_EQ(tlbc_state_load(t, 1, after, bytes), TLBC_OK);
    expect_error(t, 1, 3, ended);
    CHECK_EQ(tlbc_state_load(t, 1, before, bytes), TLBC_OK);
    expect_step(t, 1, 3, 1, 3, 1);
    CHECK_EQ(tlbc_clone(t, 1, s, 1), TLBC_OK);
    expect_error(t, 1, 3, ended);
    CHECK_EQ(tlbc_clone(t, 1, t, 0), TLBC_OK);
    expect_step(t, 1, 3, 1, 0, 1);
    tlbc_session_free(s);
    tlbc_session_free(t);
}

/* Shapes are told before the step; whose workspace is too small hears of it and can go on. */
static void test_shapes(const tlbc_model *m) {
    tlbc_session *s = session(m, 1, 1);
    tlbc_tensor in = tlbc_tensor_f32(NULL, 2, (int64_t[]){1, 2}), out[2];
    size_t needed = 0;
    out[0].dtype = out[1].dtype = TLBC_F32;
    CHECK_EQ(tlbc_shapes(s, &in, out, &needed), TLBC_OK);
    CHECK(out[0].dims[1] == 2 && out[0].bytes == 8 && out[1].bytes == 4);
    in.dims[1] = 5;
    CHECK_EQ(tlbc_shapes(s, &in, out, NULL), TLBC_ERROR_ARGUMENT);
    expect_step(s, 0, 1, 1, 0, 1);
    tlbc_session_free(s);
}

/* The step needs a state, its end does not; a step without states, of which the end may come again and again. */
static const char bare_text[] = "const @zero f32[] {0}\n"
                                "const @two f32[] {2}\n"
                                "graph g(f32[1,2] %x along 1, state f32[1,2] %before = @zero)\n"
                                "    => (f32[1,2] y along 1, state before) {\n"
                                "  %y = Add(%x, %before)\n"
                                "  return %y, %x\n"
                                "}\n"
                                "tail graph ends(f32[1,n] %x along 1) => (f32[1,n] y along 1) {\n"
                                "  %y = Mul(%x, @two)\n"
                                "  return %y\n"
                                "}\n";
static const char stateless_text[] =
    "const @two f32[] {2}\n"
    "graph g(f32[1,2] %x along 1) => (f32[1,2] y along 1) { %y = Mul(%x, @two) return %y }\n"
    "tail graph ends(f32[1,n] %x along 1) => (f32[1,n] y along 1) { %y = Mul(%x, @two) return %y "
    "}\n";

static tlbc_status one_output(tlbc_session *s, int64_t n, float *y) {
    float x[2] = {3, 4};
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, n}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, n});
    return tlbc_step(s, &in, &out);
}

static void test_bare(const tlbc_model *m, const tlbc_model *stateless) {
    float y[2];
    tlbc_session *s = session(m, 1, 1), *t = session(stateless, 1, 1);
    CHECK_EQ(one_output(s, 2, y), TLBC_OK);
    CHECK_EQ(one_output(s, 1, y), TLBC_OK);
    CHECK(y[0] == 6);
    CHECK_EQ(one_output(s, 1, y), TLBC_ERROR_ARGUMENT);
    CHECK_EQ(tlbc_reset(s, 0), TLBC_OK);
    CHECK_EQ(one_output(s, 2, y), TLBC_OK);
    CHECK(y[0] == 3 && y[1] == 4);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(one_output(t, 1 + i % 2, y), TLBC_OK);
    CHECK(y[0] == 6);
    tlbc_session_free(s);
    tlbc_session_free(t);
}

static void test_descriptor(const tlbc_model *m) {
    if (!CHECK(m->tail != NULL)) return;
    CHECK_EQ(m->chunk, 3);
    CHECK_EQ(m->n_entries, 0);
    CHECK(m->no_tail == NULL && m->tail->tail == NULL);
    CHECK_EQ(m->tail->n_states, 2);
    CHECK_EQ(m->tail->states[0].kept, 1);
    CHECK_STR(m->tail->inputs[0].dims[1].symbol, "n");
}

int main(void) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *m = compiled_load(test_parse(&t, model_text), "default"),
                     *bare = compiled_load(test_parse(&t, bare_text), "default"),
                     *stateless = compiled_load(test_parse(&t, stateless_text), "default");
    if (CHECK(m && bare && stateless)) {
        test_descriptor(m);
        for (uint32_t threads = 1; threads <= 2; threads++)
            test_end(m, threads);
        test_batch(m);
        test_states(m);
        test_shapes(m);
        test_bare(bare, stateless);
    } else {
        fputs(test_messages(&t), stderr);
    }
    test_module_release(&t);
    return check_done();
}
