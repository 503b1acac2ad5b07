/* A step function from C: streams that join, step, leave, are saved, loaded and cloned, against the same arithmetic by hand. All
 * numbers are small dyadic fractions, so that results must be equal to the last bit. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"
#include "tests/support/session.h"

#include <stdlib.h>

#ifdef COUNT_ALLOCATIONS
#include "tests/support/count_allocations.h"
#else
static int allocations;
#endif

/* ---- the model, and what it computes ------------------------------------------------------------------------- */

/* a: half of itself, plus the input, plus a row of the table that the input chooses; b: the two values of a before. */
static const char model_text[] =
    "const @start f32[1,3] {1, 2, 3}\n"
    "const @zero f32[] {0}\n"
    "const @half f32[] {0.5}\n"
    "const @table f32[2,3] {1, 0, -1, 4, 5, 6}\n"
    "const @0 i64[1] {0}\n"
    "const @1 i64[1] {1}\n"
    "const @2 i64[1] {2}\n"
    "graph g(f32[B,3] %x, i64[B] %i, state f32[B,3] %a = @start, state f32[2,B,3] %b = @zero)\n"
    "    => (f32[B,3] y, state a, state b) {\n"
    "  %h = Mul(%a, @half)\n"
    "  %hx = Add(%h, %x)\n"
    "  %row = Gather(@table, %i)\n"
    "  %a1 = Add(%hx, %row)\n"
    "  %last = Slice(%b, @1, @2, @0)\n"
    "  %flat = Squeeze(%last, @0)\n"
    "  %y = Add(%a1, %flat)\n"
    "  %before = Unsqueeze(%a, @0)\n"
    "  %first = Slice(%b, @0, @1, @0)\n"
    "  %b1 = Concat<axis=0>(%before, %first)\n"
    "  return %y, %a1, %b1\n"
    "}\n";

typedef struct stream {
    float a[3], b[2][3];
} stream;

static const stream fresh = {.a = {1, 2, 3}};

static void step_by_hand(stream *s, const float *x, int64_t i, float *y) {
    static const float table[2][3] = {{1, 0, -1}, {4, 5, 6}};
    stream old = *s;
    for (int k = 0; k < 3; k++) {
        s->a[k] = old.a[k] * 0.5f + x[k] + table[i][k];
        y[k] = s->a[k] + old.b[1][k];
        s->b[1][k] = old.b[0][k];
        s->b[0][k] = old.a[k];
    }
}

/* ---- calling it ----------------------------------------------------------------------------------------------- */

enum { MAX = 7 };

typedef struct batch {
    float x[MAX][3], y[MAX][3];
    int64_t i[MAX];
    tlbc_tensor in[2], out[1];
} batch;

static void fill(batch *b, uint32_t n, uint32_t *seed) {
    for (uint32_t r = 0; r < n; r++) {
        for (int k = 0; k < 3; k++) {
            *seed = *seed * 1664525u + 1013904223u;
            b->x[r][k] = (float)(*seed >> 29) - 4;
        }
        b->i[r] = *seed >> 31;
    }
    b->in[0] = tlbc_tensor_f32(b->x[0], 2, (int64_t[]){n, 3});
    b->in[1] = tlbc_tensor_of(b->i, TLBC_I64, 8, 1, (int64_t[]){n});
    b->out[0] = tlbc_tensor_f32(b->y[0], 2, (int64_t[]){n, 3});
}

/* One step of the chosen streams, here and by hand. */
static bool step_and_compare(tlbc_session *s, stream *all, const uint32_t *chosen, uint32_t n,
                             uint32_t *seed) {
    batch b;
    float y[MAX][3];
    fill(&b, n, seed);
    if (!CHECK_EQ(tlbc_step_many(s, n, chosen, b.in, b.out), TLBC_OK)) {
        fprintf(stderr, "%s\n", tlbc_session_message(s));
        return false;
    }
    for (uint32_t r = 0; r < n; r++)
        step_by_hand(&all[chosen[r]], b.x[r], b.i[r], y[r]);
    return CHECK(memcmp(y, b.y, n * sizeof y[0]) == 0);
}

/* n of the MAX streams in random order. */
static uint32_t choose(uint32_t *chosen, uint32_t *seed) {
    for (uint32_t i = 0; i < MAX; i++)
        chosen[i] = i;
    for (uint32_t i = MAX; i > 1; i--) {
        *seed = *seed * 1664525u + 1013904223u;
        uint32_t k = (*seed >> 8) % i, t = chosen[k];
        chosen[k] = chosen[i - 1];
        chosen[i - 1] = t;
    }
    return 1 + (*seed >> 4) % MAX;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void test_descriptor(const tlbc_model *m) {
    if (!CHECK_EQ(m->n_states, 2)) return;
    CHECK_EQ(m->n_inputs, 2);
    CHECK_EQ(m->n_outputs, 1);
    const tlbc_state_info *a = &m->states[0], *b = &m->states[1];
    CHECK_STR(a->tensor.name, "a");
    CHECK_EQ(a->tensor.dtype, TLBC_F32);
    CHECK_EQ(a->tensor.rank, 2);
    CHECK_EQ(a->tensor.dims[1].value, 3);
    CHECK_STR(a->tensor.dims[0].symbol, "B");
    CHECK_EQ(a->stream_axis, 0);
    CHECK_EQ(a->bytes, 12);
    if (CHECK(a->initial != NULL)) CHECK(memcmp(a->initial, fresh.a, sizeof fresh.a) == 0);
    CHECK_EQ(b->stream_axis, 1);
    CHECK_EQ(b->bytes, 24);
    CHECK(b->initial == NULL);
}

/* Streams come and go at random; what is not named stays as it is. */
static void test_streams(const tlbc_model *m, uint32_t threads) {
    uint32_t seed = 7, chosen[MAX];
    stream all[MAX];
    tlbc_session *s = session(m, MAX, threads);
    for (uint32_t i = 0; i < MAX; i++)
        all[i] = fresh;
    allocations = 0;
    for (int round = 0; round < 300; round++) {
        uint32_t n = choose(chosen, &seed);
        if (round % 5 == 0) { /* one joins anew */
            CHECK_EQ(tlbc_reset(s, chosen[0]), TLBC_OK);
            all[chosen[0]] = fresh;
        }
        if (!step_and_compare(s, all, chosen, n, &seed)) break;
    }
    static const uint32_t in_order[MAX] = {0, 1, 2, 3, 4, 5, 6};
    for (int round = 0; round < 3; round++) /* all of them: states change places */
        step_and_compare(s, all, in_order, MAX, &seed);
    for (int round = 0; round < 3; round++) /* neighbours */
        step_and_compare(s, all, in_order + 2, 3, &seed);
    step_and_compare(s, all, in_order + 4, 1, &seed);
    CHECK_EQ(allocations, 0);
    CHECK_EQ(tlbc_reset(s, TLBC_ALL_STREAMS), TLBC_OK);
    for (uint32_t i = 0; i < MAX; i++)
        all[i] = fresh;
    step_and_compare(s, all, in_order, MAX, &seed);
    tlbc_session_free(s);
}

/* tlbc_step takes the first streams; a session of one stream is the usual case. */
static void test_step(const tlbc_model *m) {
    uint32_t seed = 3;
    stream one = fresh;
    batch b;
    float y[3];
    tlbc_session *s = session(m, 0, 1);
    allocations = 0;
    for (int round = 0; round < 100000; round++) {
        fill(&b, 1, &seed);
        if (!CHECK_EQ(tlbc_step(s, b.in, b.out), TLBC_OK)) break;
        step_by_hand(&one, b.x[0], b.i[0], y);
        if (memcmp(y, b.y, sizeof y)) {
            CHECK(!"results are equal");
            break;
        }
    }
    CHECK_EQ(allocations, 0);
    tlbc_session_free(s);
}

static void expect(tlbc_session *s, tlbc_status found, tlbc_status status, const char *message) {
    CHECK_EQ(found, status);
    CHECK_STR(tlbc_session_message(s), message);
}

/* After each mistake the states are what they were: the next step goes on from there. */
static void test_mistakes(const tlbc_model *m, uint32_t threads) {
    uint32_t seed = 5, two[] = {1, 0}, twice[] = {1, 1}, high[] = {0, 3};
    stream all[MAX];
    batch b;
    tlbc_session *s = session(m, 3, threads);
    for (uint32_t i = 0; i < MAX; i++)
        all[i] = fresh;
    step_and_compare(s, all, two, 2, &seed);
    fill(&b, 2, &seed);
    expect(s, tlbc_run(s, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "the model is a step function with 2 states: tlbc_step, not tlbc_run");
    expect(s, tlbc_step_many(s, 2, twice, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "stream 1 is named twice");
    expect(s, tlbc_step_many(s, 2, high, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "stream 3: the session was made for 3 streams");
    expect(s, tlbc_step_many(s, 1, two, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "1 streams are named, the inputs hold 2");
    expect(s, tlbc_step_many(s, 2, NULL, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "2 streams, their numbers are NULL");
    b.in[0].dims[1] = 4;
    expect(s, tlbc_step(s, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "input 0 'x': dimension 1 is 4, expected 3 (given f32[2,4], expected f32[B,3])");
    fill(&b, 4, &seed);
    expect(s, tlbc_step(s, b.in, b.out), TLBC_ERROR_ARGUMENT,
           "the inputs hold 4 streams, the session was made for 3");
    fill(&b, 2, &seed);
    b.i[1] = 9; /* found out in the middle of the run */
    CHECK_EQ(tlbc_step_many(s, 2, two, b.in, b.out), TLBC_ERROR_DATA);
    fill(&b, 3, &seed);
    b.i[2] = 9;
    CHECK_EQ(tlbc_step(s, b.in, b.out), TLBC_ERROR_DATA);
    expect(s, tlbc_reset(s, 3), TLBC_ERROR_ARGUMENT,
           "stream 3: the session was made for 3 streams");
    step_and_compare(s, all, two, 2, &seed);
    tlbc_session_free(s);
}

static void test_save(const tlbc_model *m, const tlbc_model *other) {
    uint32_t seed = 9, zero[] = {0}, two[] = {2};
    char saved[200], before[200];
    size_t bytes = 0, room = sizeof before;
    stream all[MAX] = {fresh, fresh, fresh};
    tlbc_session *s = session(m, 3, 1), *t = session(m, 1, 2), *foreign = session(other, 1, 1);
    for (int i = 0; i < 4; i++)
        step_and_compare(s, all, two, 1, &seed);
    CHECK_EQ(tlbc_state_save(s, 2, NULL, &bytes), TLBC_OK);
    CHECK_EQ(bytes, 64 + 36);
    bytes = 99;
    expect(s, tlbc_state_save(s, 2, saved, &bytes), TLBC_ERROR_ARGUMENT,
           "room for 99 bytes, the states need 100");
    CHECK_EQ(bytes, 100);
    CHECK_EQ(tlbc_state_save(s, 2, saved, &bytes), TLBC_OK);
    CHECK_EQ(tlbc_state_load(t, 0, saved, bytes), TLBC_OK); /* into another session */
    stream moved[1] = {all[2]};
    step_and_compare(t, moved, zero, 1, &seed);
    step_and_compare(s, all, two, 1, &seed);
    CHECK_EQ(tlbc_state_load(s, 0, saved, bytes), TLBC_OK); /* into another stream */

    CHECK_EQ(tlbc_state_save(t, 0, before, &room), TLBC_OK);
    expect(t, tlbc_state_load(t, 0, saved, 99), TLBC_ERROR_ARGUMENT,
           "the saved state has 99 bytes, expected 100");
    expect(t, tlbc_state_load(t, 0, saved, 101), TLBC_ERROR_ARGUMENT,
           "the saved state has 101 bytes, expected 100");
    expect(t, tlbc_state_load(t, 0, saved, 63), TLBC_ERROR_ARGUMENT, "63 bytes are no saved state");
    expect(t, tlbc_state_load(t, 1, saved, bytes), TLBC_ERROR_ARGUMENT,
           "stream 1: the session was made for 1 streams");
    saved[80] ^= 1;
    expect(t, tlbc_state_load(t, 0, saved, bytes), TLBC_ERROR_ARGUMENT,
           "the saved state is damaged");
    saved[80] ^= 1;
    saved[7]++;
    expect(t, tlbc_state_load(t, 0, saved, bytes), TLBC_ERROR_VERSION,
           "not a saved state of the form that this model reads");
    saved[7]--;
    expect(foreign, tlbc_state_load(foreign, 0, saved, bytes), TLBC_ERROR_VERSION,
           "the saved state is another model's");
    char after[200];
    CHECK_EQ(tlbc_state_save(t, 0, after, &room), TLBC_OK);
    CHECK(memcmp(before, after, room) == 0);
    step_and_compare(t, moved, zero, 1, &seed);

    CHECK_EQ(tlbc_clone(t, 0, s, 2), TLBC_OK);
    moved[0] = all[2];
    step_and_compare(t, moved, zero, 1, &seed);
    CHECK_EQ(tlbc_clone(s, 0, s, 2), TLBC_OK); /* a stream forks */
    all[0] = all[2];
    step_and_compare(s, all, zero, 1, &seed);
    step_and_compare(s, all, two, 1, &seed);
    expect(t, tlbc_clone(t, 0, s, 3), TLBC_ERROR_ARGUMENT,
           "stream 3 of the other session: it was made for 3 streams");
    expect(foreign, tlbc_clone(foreign, 0, s, 0), TLBC_ERROR_ARGUMENT,
           "the states are another model's");
    tlbc_session_free(s);
    tlbc_session_free(t);
    tlbc_session_free(foreign);
}

/* A state that all streams share: they step together, all of them. */
static const char shared_text[] =
    "const @zero f32[] {0}\n"
    "const @one f32[] {1}\n"
    "graph g(f32[B] %x, state f32[B] %sum = @zero, state f32[] %n = @zero) => (f32[B] mean, state "
    "sum, state n) {\n"
    "  %s1 = Add(%sum, %x)\n"
    "  %n1 = Add(%n, @one)\n"
    "  %mean = Div(%s1, %n1)\n"
    "  return %mean, %s1, %n1\n"
    "}\n";

static void test_shared(const tlbc_model *m) {
    float x[4] = {4, 8, -2, 1}, y[4];
    uint32_t swapped[] = {1, 0};
    size_t bytes = 0;
    tlbc_session *s = session(m, 2, 1);
    tlbc_tensor in = tlbc_tensor_f32(x, 1, (int64_t[]){2}),
                out = tlbc_tensor_f32(y, 1, (int64_t[]){2});
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == 4 && y[1] == 8);
    x[0] = 0;
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == 2 && y[1] == 8);
    in.dims[0] = 1;
    expect(s, tlbc_step(s, &in, &out), TLBC_ERROR_ARGUMENT,
           "the inputs hold 1 streams; a state is one for all 2 of the session, which advance "
           "together");
    in.dims[0] = 2;
    expect(s, tlbc_step_many(s, 2, swapped, &in, &out), TLBC_ERROR_ARGUMENT,
           "streams must be named in order: a state is one for all of them");
    expect(s, tlbc_state_save(s, 0, NULL, &bytes), TLBC_ERROR_ARGUMENT,
           "stream 0 cannot be taken alone: a state is one for all 2 streams");
    CHECK_EQ(tlbc_reset(s, TLBC_ALL_STREAMS), TLBC_OK);
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == 0 && y[1] == 8);
    tlbc_session_free(s);
}

/* Without states a step is a run; without a batch there is one stream. */
static void test_others(test_module *t, const tlbc_model *m) {
    float x[2] = {1, 2}, y[2];
    const tlbc_model *plain = compiled_load(
        test_parse(t, "graph g(f32[2] %x) => (f32[2] y) { %y = Neg(%x) return %y }"), "default");
    tlbc_session_options o = {.struct_size = sizeof o, .streams = 2};
    tlbc_session *s;
    if (!CHECK(plain != NULL)) return;
    tlbc_tensor in = tlbc_tensor_f32(x, 1, (int64_t[]){2}),
                out = tlbc_tensor_f32(y, 1, (int64_t[]){2});
    CHECK_EQ(tlbc_session_create(plain, &o, &s), TLBC_ERROR_ARGUMENT);
    s = session(plain, 1, 1);
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == -1 && y[1] == -2);
    tlbc_session_free(s);
    o.streams = UINT32_MAX;
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_ERROR_MEMORY);
}

/* Two positions a step: the sum so far. */
static const char sums_text[] = "const @zero f32[] {0}\n"
                                "const @1 i64[1] {1}\n"
                                "const @2 i64[1] {2}\n"
                                "const @3 i64[1] {3}\n"
                                "const @axis i64[] {1}\n"
                                "graph g(f32[1,2] %x along 1, state f32[1,1] %sum = @zero)\n"
                                "    => (f32[1,2] y along 1, state sum) {\n"
                                "  %j = Concat<axis=1>(%sum, %x)\n"
                                "  %c = CumSum(%j, @axis)\n"
                                "  %y = Slice(%c, @1, @3, @1)\n"
                                "  %last = Slice(%c, @2, @3, @1)\n"
                                "  return %y, %last\n"
                                "}\n";

/* A last chunk that is shorter is refused, and one that is longer; the sum goes on behind it. */
static void test_chunk(const tlbc_model *m) {
    float x[3] = {1, 2, 4}, y[3] = {0};
    tlbc_session *s = session(m, 1, 1);
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, 2}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, 2});
    CHECK_EQ(m->chunk, 2);
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == 1 && y[1] == 3);
    tlbc_tensor shorter = tlbc_tensor_f32(x, 2, (int64_t[]){1, 1}),
                longer = tlbc_tensor_f32(x, 2, (int64_t[]){1, 3});
    expect(s, tlbc_step(s, &shorter, &out), TLBC_ERROR_ARGUMENT,
           "input 0 'x': a step takes 2 positions along axis 1, not 1; the last one of a sequence, "
           "too (given f32[1,1], expected f32[1,2])");
    expect(s, tlbc_step(s, &longer, &out), TLBC_ERROR_ARGUMENT,
           "input 0 'x': a step takes 2 positions along axis 1, not 3; the last one of a sequence, "
           "too (given f32[1,3], expected f32[1,2])");
    CHECK(y[0] == 1 && y[1] == 3);
    CHECK_EQ(tlbc_step(s, &in, &out), TLBC_OK);
    CHECK(y[0] == 4 && y[1] == 6);
    tlbc_session_free(s);
}

static void expect_refused(test_module *t, const char *text, const char *message) {
    CHECK(compiled_load(test_parse(t, text), NULL) == NULL);
    CHECK(strstr(test_messages(t), message) != NULL);
}

static void test_refused(test_module *t) {
    expect_refused(t,
                   "const @z f32[] {0} graph g(f32[B,T] %x, state f32[B,T] %s = @z) => (f32[B,T] "
                   "y, state s) { %y = Add(%x, %s) return %y, %y }",
                   "state 's': dimension 1 is 'T'; a state's shape may leave open one dimension");
    expect_refused(t,
                   "const @z f32[] {0} graph g(f32[2] %x, state f32[B] %s = @z) => (f32[2] y, "
                   "state s) { return %x, %s }",
                   "state 's': its shape depends on data ('B' is not a dimension of an input)");
}

static const tlbc_model *load(test_module *t, const char *text) {
    ir_module *m = test_parse(t, text);
    const tlbc_model *model = m ? compiled_load(m, "default") : NULL;
    if (!CHECK(model != NULL)) fputs(test_messages(t), stderr);
    return model;
}

int main(void) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *m = load(&t, model_text), *shared = load(&t, shared_text),
                     *sums = load(&t, sums_text);
    if (m && shared && sums) {
        test_descriptor(m);
        for (uint32_t threads = 1; threads <= 3; threads++) {
            test_streams(m, threads);
            test_mistakes(m, threads);
        }
        test_step(m);
        test_save(m, shared);
        test_shared(shared);
        test_chunk(sums);
        test_others(&t, m);
        test_refused(&t);
    }
    test_module_release(&t);
    return check_done();
}
