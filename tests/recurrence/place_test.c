/* States that lie where they are (codegen/place.h), against the same graph whose caller hands the states in and out: all bits, over random
 * sequences of steps of random streams, of steps that fail in the middle, of clones, saved and loaded states and resets. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"
#include "tests/support/session.h"

#include <stdlib.h>

/* w: a window of 7 rows, 2 new ones in each step. s: two windows of 5 rows taken apart and put together, one new row. r: 4 rows, the oldest
 * dropped before the new one is added. c, e: rows, elements are written over by number. i: a row of a table; a step with one that is not there
 * fails, as does one that writes beyond the end. */
#define CONSTANTS                        \
    "const @zero f32[] {0}\n"            \
    "const @start f32[2,1,5,3] rand 3\n" \
    "const @table f32[2,3] rand 4\n"     \
    "const @0 i64[1] {0}\n"              \
    "const @1 i64[1] {1}\n"              \
    "const @2 i64[1] {2}\n"              \
    "const @4 i64[1] {4}\n"              \
    "const @6 i64[1] {6}\n"              \
    "const @9 i64[1] {9}\n"              \
    "const @12 i64[2] {1, 2}\n"
#define BODY                                          \
    "  %w1 = Concat<axis=1>(%w, %x)\n"                \
    "  %w2 = Slice(%w1, @2, @9, @1)\n"                \
    "  %x1 = Slice(%x, @1, @2, @1)\n"                 \
    "  %sa, %sb = Split<axis=0, num_outputs=2>(%s)\n" \
    "  %a = Squeeze(%sa, @0)\n"                       \
    "  %b = Squeeze(%sb, @0)\n"                       \
    "  %a1 = Concat<axis=1>(%a, %x1)\n"               \
    "  %n = Neg(%x1)\n"                               \
    "  %b1 = Concat<axis=1>(%b, %n)\n"                \
    "  %ua = Unsqueeze(%a1, @0)\n"                    \
    "  %ub = Unsqueeze(%b1, @0)\n"                    \
    "  %s1 = Concat<axis=0>(%ua, %ub)\n"              \
    "  %s2 = Slice(%s1, @1, @6, @2)\n"                \
    "  %late = Slice(%r, @1, @4, @2)\n"               \
    "  %xr = Unsqueeze(%x, @2)\n"                     \
    "  %r2 = Concat<axis=2>(%late, %xr)\n"            \
    "  %c1 = TensorScatter<axis=1>(%c, %x, %at)\n"    \
    "  %u = ReduceSum<keepdims=0>(%x, @2)\n"          \
    "  %j1 = Unsqueeze(%at, @1)\n"                    \
    "  %j2 = Unsqueeze(%i, @1)\n"                     \
    "  %j = Concat<axis=1>(%j1, %j2)\n"               \
    "  %esum = ReduceSum(%e, @1)\n"                   \
    "  %e1 = ScatterElements<axis=1>(%e, %j, %u)\n"   \
    "  %csum = ReduceSum<keepdims=0>(%c1, @1)\n"      \
    "  %emax = ReduceMax(%e1, @1)\n"                  \
    "  %row = Gather(@table, %i)\n"                   \
    "  %wsum = ReduceSum<keepdims=0>(%w1, @1)\n"      \
    "  %asum = ReduceSum<keepdims=0>(%a1, @1)\n"      \
    "  %bmax = ReduceMax<keepdims=0>(%b1, @1)\n"      \
    "  %rsum = ReduceSum<keepdims=0>(%r2, @12)\n"     \
    "  %rold = ReduceMax<keepdims=0>(%r, @12)\n"      \
    "  %y1 = Add(%wsum, %row)\n"                      \
    "  %y2 = Mul(%y1, %asum)\n"                       \
    "  %y3 = Sub(%y2, %bmax)\n"                       \
    "  %y4 = Add(%y3, %rsum)\n"                       \
    "  %y5 = Sub(%y4, %rold)\n"                       \
    "  %y6 = Mul(%y5, %csum)\n"                       \
    "  %y7 = Add(%y6, %esum)\n"                       \
    "  %y = Sub(%y7, %emax)\n"                        \
    "  return %y, %w2, %s2, %r2, %c1, %e1\n"          \
    "}\n"
static const char state_text[] = CONSTANTS
    "graph g(f32[B,2,3] %x, i64[B] %i, i64[B] %at, state f32[B,7,3] %w = @zero,\n"
    "        state f32[2,B,5,3] %s = @start, state f32[B,2,4,3] %r = @zero,\n"
    "        state f32[B,6,3] %c = @zero, state f32[B,5] %e = @zero)\n"
    "    => (f32[B,3] y, state w, state s, state r, state c, state e) {\n" BODY;
static const char plain_text[] = CONSTANTS
    "graph g(f32[B,2,3] %x, i64[B] %i, i64[B] %at, f32[B,7,3] %w, f32[2,B,5,3] %s,\n"
    "        f32[B,2,4,3] %r, f32[B,6,3] %c, f32[B,5] %e)\n"
    "    => (f32[B,3] y, f32[B,7,3] w2, f32[2,B,5,3] s2, f32[B,2,4,3] r2, f32[B,6,3] c2,\n"
    "        f32[B,5] e2) {\n" BODY;

enum {
    STREAMS = 4,
    X = 2 * 3,
    W = 7 * 3,
    S = 2 * 5 * 3,
    R = 2 * 4 * 3,
    C = 6 * 3,
    E = 5,
    HEADER = 64
};

/* A stream's states, as they are saved behind the header. */
typedef struct stream {
    float w[W], s[S], r[R], c[C], e[E];
} stream;

static uint32_t next_random(uint32_t *seed, uint32_t n) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 10) % n;
}

static tlbc_tensor tensor(float *data, int32_t rank, int64_t a, int64_t b, int64_t c, int64_t d) {
    return tlbc_tensor_f32(data, (uint32_t)rank, (int64_t[]){a, b, c, d});
}

static tlbc_tensor numbers(int64_t *data, int64_t n) {
    return tlbc_tensor_of(data, TLBC_I64, sizeof *data, 1, (int64_t[]){n});
}

/* One stream by the plain model. */
static void step_by_hand(tlbc_session *plain, stream *st, float *x, int64_t row, int64_t at,
                         float *y) {
    stream after;
    tlbc_tensor in[8] = {tensor(x, 3, 1, 2, 3, 0),
                         numbers(&row, 1),
                         numbers(&at, 1),
                         tensor(st->w, 3, 1, 7, 3, 0),
                         tensor(st->s, 4, 2, 1, 5, 3),
                         tensor(st->r, 4, 1, 2, 4, 3),
                         tensor(st->c, 3, 1, 6, 3, 0),
                         tensor(st->e, 2, 1, 5, 0, 0)};
    tlbc_tensor out[6] = {tensor(y, 2, 1, 3, 0, 0),       tensor(after.w, 3, 1, 7, 3, 0),
                          tensor(after.s, 4, 2, 1, 5, 3), tensor(after.r, 4, 1, 2, 4, 3),
                          tensor(after.c, 3, 1, 6, 3, 0), tensor(after.e, 2, 1, 5, 0, 0)};
    CHECK_EQ(tlbc_run(plain, in, out), TLBC_OK);
    *st = after;
}

typedef struct world {
    tlbc_session *plain, *session;
    stream all[STREAMS], fresh;
    uint32_t seed;
} world;

static bool is_state(world *w, uint32_t stream_number) {
    char saved[HEADER + sizeof(stream)];
    size_t bytes = sizeof saved;
    CHECK_EQ(tlbc_state_save(w->session, stream_number, saved, &bytes), TLBC_OK);
    return CHECK(memcmp(saved + HEADER, &w->all[stream_number], sizeof(stream)) == 0);
}

/* Any of the streams, or neighbours of them, in random order. */
static uint32_t choose(world *w, uint32_t *chosen) {
    uint32_t n = 1 + next_random(&w->seed, STREAMS);
    bool neighbours = next_random(&w->seed, 2);
    uint32_t first = next_random(&w->seed, STREAMS - n + 1);
    for (uint32_t i = 0; i < STREAMS; i++)
        chosen[i] = neighbours ? (first + i) % STREAMS : i;
    for (uint32_t i = STREAMS; i > 1 && !neighbours; i--) {
        uint32_t k = next_random(&w->seed, i), t = chosen[k];
        chosen[k] = chosen[i - 1];
        chosen[i - 1] = t;
    }
    return n;
}

static void step(world *w) {
    uint32_t chosen[STREAMS], n = choose(w, chosen);
    bool bad = next_random(&w->seed, 4) == 0;
    float x[STREAMS * X], y[STREAMS * 3], want[3];
    int64_t rows[STREAMS], at[STREAMS];
    for (uint32_t i = 0; i < n * X; i++)
        x[i] = (float)next_random(&w->seed, 1000) / 64 - 7;
    for (uint32_t i = 0; i < n; i++)
        rows[i] = next_random(&w->seed, 2), at[i] = next_random(&w->seed, 5);
    if (bad && next_random(&w->seed, 2))
        rows[next_random(&w->seed, n)] = 5;
    else if (bad)
        at[next_random(&w->seed, n)] = 5;
    tlbc_tensor in[3] = {tensor(x, 3, n, 2, 3, 0), numbers(rows, n), numbers(at, n)},
                out = tensor(y, 2, n, 3, 0, 0);
    tlbc_status status = tlbc_step_many(w->session, n, chosen, in, &out);
    if (!CHECK_EQ(status, bad ? TLBC_ERROR_DATA : TLBC_OK))
        fprintf(stderr, "%s\n", tlbc_session_message(w->session));
    for (uint32_t i = 0; i < n && !bad; i++) {
        step_by_hand(w->plain, &w->all[chosen[i]], x + i * X, rows[i], at[i], want);
        CHECK(memcmp(want, y + i * 3, sizeof want) == 0);
    }
}

static void copy_stream(world *w) {
    uint32_t from = next_random(&w->seed, STREAMS), to = next_random(&w->seed, STREAMS);
    char saved[HEADER + sizeof(stream)];
    size_t bytes = sizeof saved;
    if (next_random(&w->seed, 2)) {
        CHECK_EQ(tlbc_clone(w->session, to, w->session, from), TLBC_OK);
    } else {
        CHECK_EQ(tlbc_state_save(w->session, from, saved, &bytes), TLBC_OK);
        CHECK_EQ(tlbc_state_load(w->session, to, saved, bytes), TLBC_OK);
    }
    w->all[to] = w->all[from];
}

static void reset(world *w) {
    uint32_t k = next_random(&w->seed, STREAMS);
    CHECK_EQ(tlbc_reset(w->session, k), TLBC_OK);
    w->all[k] = w->fresh;
}

static void test_streams(const tlbc_model *plain, const tlbc_model *placed, uint32_t threads) {
    world w = {.plain = session(plain, 1, 1), .session = session(placed, STREAMS, threads)};
    w.seed = threads;
    memcpy(w.fresh.s, placed->states[1].initial, sizeof w.fresh.s);
    for (uint32_t k = 0; k < STREAMS; k++)
        w.all[k] = w.fresh;
    for (int round = 0; round < 600 && !check_failed; round++) {
        uint32_t what = next_random(&w.seed, 16);
        if (what == 0)
            reset(&w);
        else if (what == 1)
            copy_stream(&w);
        else
            step(&w);
        for (uint32_t k = 0; k < STREAMS; k++)
            is_state(&w, k);
    }
    tlbc_session_free(w.session);
    tlbc_session_free(w.plain);
}

/* A single stream: windows go back to the beginning of their blocks many times. */
static void test_step(const tlbc_model *plain, const tlbc_model *placed) {
    tlbc_session *p = session(plain, 1, 1), *s = session(placed, 1, 1);
    stream st = {0};
    uint32_t seed = 1;
    memcpy(st.s, placed->states[1].initial, sizeof st.s);
    for (int round = 0; round < 2000 && !check_failed; round++) {
        float x[X], y[3], want[3];
        int64_t row = next_random(&seed, 2), at = next_random(&seed, 5);
        for (int i = 0; i < X; i++)
            x[i] = (float)next_random(&seed, 1000) / 64;
        tlbc_tensor in[3] = {tensor(x, 3, 1, 2, 3, 0), numbers(&row, 1), numbers(&at, 1)},
                    out = tensor(y, 2, 1, 3, 0, 0);
        CHECK_EQ(tlbc_step(s, in, &out), TLBC_OK);
        step_by_hand(p, &st, x, row, at, want);
        CHECK(memcmp(y, want, sizeof y) == 0);
    }
    tlbc_session_free(s);
    tlbc_session_free(p);
}

static const tlbc_model *load(test_module *t, const char *text) {
    ir_module *m = test_parse(t, text);
    const tlbc_model *model = m ? compiled_load(m, "default") : NULL;
    if (!CHECK(model != NULL)) fputs(test_messages(t), stderr);
    return model;
}

/* A model that takes one stream: rows are steps one by one, and one that fails leaves those before it unchanged, too. */
static const char single_text[] =
    "const @zero f32[] {0}\n"
    "const @1 i64[1] {1}\n"
    "graph g(f32[1,2,3] %x, i64[1] %at, state f32[1,6,3] %c = @zero) => (f32[1,3] y, state c) {\n"
    "  %c1 = TensorScatter<axis=1>(%c, %x, %at)\n"
    "  %y = ReduceSum<keepdims=0>(%c1, @1)\n"
    "  return %y, %c1\n"
    "}\n";

static void test_rows(const tlbc_model *m) {
    float x[2 * X], y[2 * 3], before[C], saved[HEADER / 4 + C];
    int64_t at[2] = {1, 3};
    uint32_t both[] = {1, 0};
    size_t bytes = sizeof saved;
    tlbc_session *s = session(m, 2, 1);
    for (int i = 0; i < 2 * X; i++)
        x[i] = (float)i;
    tlbc_tensor in[2] = {tensor(x, 3, 2, 2, 3, 0), numbers(at, 2)}, out = tensor(y, 2, 2, 3, 0, 0);
    CHECK_EQ(m->states[0].in_place, 1);
    CHECK_EQ(tlbc_step_many(s, 2, both, in, &out), TLBC_OK);
    CHECK(y[0] == 0 + 3 && y[1] == 1 + 4 && y[3] == 6 + 9 && y[5] == 8 + 11);
    CHECK_EQ(tlbc_state_save(s, 1, saved, &bytes), TLBC_OK);
    memcpy(before, saved + HEADER / 4, sizeof before);
    CHECK(before[3] == 0 && before[4] == 1 && before[6] == 3 && before[0] == 0);
    x[0] = 7, at[1] = 5;
    CHECK_EQ(tlbc_step_many(s, 2, both, in, &out), TLBC_ERROR_DATA);
    CHECK_EQ(tlbc_state_save(s, 1, saved, &bytes), TLBC_OK);
    CHECK(memcmp(before, saved + HEADER / 4, sizeof before) == 0);
    tlbc_session_free(s);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *plain = load(&t, plain_text), *placed = load(&t, state_text),
                     *single = load(&t, single_text);
    if (single) test_rows(single);
    if (plain && placed) {
        for (uint32_t i = 0; i < placed->n_states; i++)
            CHECK_EQ(placed->states[i].in_place, 1);
        test_step(plain, placed);
        for (uint32_t threads = 1; threads <= 3; threads++)
            test_streams(plain, placed, threads);
    }
    test_module_release(&t);
    return check_done();
}
