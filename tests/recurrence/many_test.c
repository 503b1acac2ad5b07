/* Steps of several streams where the program takes one: rows of inputs and outputs, streams that join and leave, against sessions of one
 * stream each. All numbers are small integers: results must be equal to the last bit, and are checked by hand in one place. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

/* x and y have a 1 in front, z has not, and n is a scalar; s has its streams nowhere. */
static const char fixed_text[] =
    "const @start f32[2,3] {1, 2, 3, 4, 5, 6}\n"
    "const @zero i64[] {0}\n"
    "const @one i64[] {1}\n"
    "const @table f32[4,3] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}\n"
    "const @0 i64[1] {0}\n"
    "const @1 i64[1] {1}\n"
    "graph g(f32[1,3] %x, f32[2] %z, state f32[2,3] %s = @start, state i64[] %at = @zero)\n"
    "    => (f32[1,3] y, i64[] n, state s, state at) {\n"
    "  %row = Gather(@table, %at)\n"
    "  %z1 = Unsqueeze(%z, @1)\n"
    "  %a = Add(%s, %x)\n"
    "  %s1 = Add(%a, %z1)\n"
    "  %sum = ReduceSum(%s1, @0)\n"
    "  %y = Add(%sum, %row)\n"
    "  %at1 = Add(%at, @one)\n"
    "  return %y, %at, %s1, %at1\n"
    "}\n";

enum { STREAMS = 5, ROOM = 4 };

typedef struct rows {
    float x[STREAMS][3], z[STREAMS][2], y[STREAMS][3];
    int64_t n[STREAMS];
    tlbc_tensor in[2], out[2];
} rows;

static uint32_t next(uint32_t *seed) {
    return *seed = *seed * 1664525u + 1013904223u;
}

static void shape(rows *r, uint32_t n) {
    r->in[0] = tlbc_tensor_f32(r->x[0], 2, (int64_t[]){n, 3});
    r->in[1] = tlbc_tensor_f32(r->z[0], 2, (int64_t[]){n, 2});
    r->out[0] = (tlbc_tensor){.data = r->y, .bytes = sizeof r->y};
    r->out[1] = (tlbc_tensor){.data = r->n, .bytes = sizeof r->n};
}

static void fill(rows *r, uint32_t n, uint32_t *seed) {
    for (uint32_t i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            r->x[i][k] = (float)(next(seed) >> 28);
        for (int k = 0; k < 2; k++)
            r->z[i][k] = (float)(next(seed) >> 28);
    }
    shape(r, n);
}

static tlbc_session *session(const tlbc_model *m, uint32_t streams) {
    tlbc_session *s = NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .streams = streams};
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK);
    return s;
}

/* Row i of r in a session of its own. */
static tlbc_status step_alone(tlbc_session *s, const rows *r, uint32_t i, float *y, int64_t *n) {
    tlbc_tensor in[] = {tlbc_tensor_f32((float *)(uintptr_t)r->x[i], 2, (int64_t[]){1, 3}),
                        tlbc_tensor_f32((float *)(uintptr_t)r->z[i], 1, (int64_t[]){2})};
    tlbc_tensor out[] = {tlbc_tensor_f32(y, 2, (int64_t[]){1, 3}),
                         tlbc_tensor_of(n, TLBC_I64, 8, 0, NULL)};
    return tlbc_step(s, in, out);
}

static void expect(tlbc_session *s, tlbc_status found, tlbc_status status, const char *message) {
    CHECK_EQ(found, status);
    CHECK_STR(tlbc_session_message(s), message);
}

/* Some streams, in random order. */
static uint32_t choose(uint32_t *chosen, uint32_t *seed) {
    for (uint32_t i = 0; i < STREAMS; i++)
        chosen[i] = i;
    for (uint32_t i = STREAMS; i > 1; i--) {
        uint32_t k = (next(seed) >> 8) % i, t = chosen[k];
        chosen[k] = chosen[i - 1];
        chosen[i - 1] = t;
    }
    return 1 + (next(seed) >> 8) % STREAMS;
}

/* Streams come and go; one that has come to the end of the table fails the whole step, and begins anew. */
static void test_streams(const tlbc_model *m) {
    uint32_t seed = 11, chosen[STREAMS], steps[STREAMS] = {0}, failed = 0;
    tlbc_session *many = session(m, STREAMS), *one[STREAMS];
    for (uint32_t i = 0; i < STREAMS; i++)
        one[i] = session(m, 1);
    for (int round = 0; round < 200; round++) {
        rows r;
        uint32_t n = choose(chosen, &seed), full = STREAMS;
        fill(&r, n, &seed);
        for (uint32_t i = 0; i < n; i++)
            if (steps[chosen[i]] == ROOM) full = chosen[i];
        tlbc_status status = tlbc_step_many(many, n, chosen, r.in, r.out);
        CHECK_EQ(status, full < STREAMS ? TLBC_ERROR_DATA : TLBC_OK);
        if (full < STREAMS) {
            failed++;
            CHECK_EQ(tlbc_reset(many, full), TLBC_OK);
            CHECK_EQ(tlbc_reset(one[full], 0), TLBC_OK);
            steps[full] = 0;
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            float y[3];
            int64_t at;
            CHECK_EQ(step_alone(one[chosen[i]], &r, i, y, &at), TLBC_OK);
            CHECK(!memcmp(y, r.y[i], sizeof y) && at == r.n[i] && at == steps[chosen[i]]);
            steps[chosen[i]]++;
        }
        CHECK_EQ(r.out[0].dims[0], n);
        CHECK_EQ(r.out[1].rank, 1);
    }
    CHECK(failed > 10);
    for (uint32_t i = 0; i < STREAMS; i++)
        tlbc_session_free(one[i]);
    tlbc_session_free(many);
}

/* Two steps of streams 1 and 0, by hand. */
static void test_by_hand(const tlbc_model *m) {
    uint32_t chosen[] = {1, 0};
    tlbc_session *s = session(m, 2);
    rows r = {.x = {{1, 0, 0}, {0, 0, 2}}, .z = {{1, 1}, {0, 3}}};
    shape(&r, 2);
    CHECK_EQ(tlbc_step_many(s, 2, chosen, r.in, r.out), TLBC_OK);
    CHECK(r.y[0][0] == 9 && r.y[0][1] == 10 && r.y[0][2] == 13); /* 1+4 + 2*1 + 1+1 + 0 */
    CHECK(r.y[1][0] == 8 && r.y[1][1] == 11 && r.y[1][2] == 18); /* 3+6 + 2*2 + 3 + 2 */
    CHECK_EQ(tlbc_step_many(s, 1, chosen, r.in, r.out), TLBC_ERROR_ARGUMENT);
    shape(&r, 1);
    CHECK_EQ(tlbc_step_many(s, 1, chosen, r.in, r.out), TLBC_OK);
    CHECK(r.y[0][0] == 16 && r.n[0] == 1); /* 9 - 0 + 2*1 + 2 + 3 */
    tlbc_session_free(s);
}

/* What is refused leaves all streams as they are. */
static void test_mistakes(const tlbc_model *m) {
    uint32_t seed = 5, two[] = {1, 0}, twice[] = {1, 1};
    tlbc_session *s = session(m, 3);
    rows r;
    char before[200], after[200];
    size_t room = sizeof before;
    fill(&r, 2, &seed);
    CHECK_EQ(tlbc_step_many(s, 2, two, r.in, r.out), TLBC_OK);
    CHECK_EQ(tlbc_state_save(s, 1, before, &room), TLBC_OK);
    expect(s, tlbc_step_many(s, 2, twice, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "stream 1 is named twice");
    expect(s, tlbc_step_many(s, 1, two, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "1 streams are named, the inputs hold 2");
    r.in[1].dims[0] = 3;
    expect(s, tlbc_step_many(s, 2, two, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "input 1 'z': it does not hold 2 streams, each with a row (given f32[3,2], expected "
           "f32[2])");
    shape(&r, 2);
    r.out[0].bytes = 20;
    expect(s, tlbc_step_many(s, 2, two, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "output 0 'y': room for 20 bytes, 2 streams need 24");
    shape(&r, 4);
    expect(s, tlbc_step(s, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "the inputs hold 4 streams, the session was made for 3");
    shape(&r, 2);
    r.in[0].bytes = 20;
    expect(s, tlbc_step(s, r.in, r.out), TLBC_ERROR_ARGUMENT,
           "input 0 'x': 20 bytes of data, 24 are needed (given f32[2,3], expected f32[1,3])");
    CHECK_EQ(tlbc_state_save(s, 1, after, &room), TLBC_OK);
    CHECK(!memcmp(before, after, room));
    tlbc_session_free(s);
}

static void test_shapes(const tlbc_model *m) {
    tlbc_session *s = session(m, 3);
    rows r;
    shape(&r, 3);
    CHECK_EQ(tlbc_shapes(s, r.in, r.out, NULL), TLBC_OK);
    CHECK(r.out[0].rank == 2 && r.out[0].dims[0] == 3 && r.out[0].bytes == 36);
    CHECK(r.out[1].rank == 1 && r.out[1].dims[0] == 3 && r.out[1].bytes == 24);
    tlbc_session_free(s);
}

/* Each stream's cache has its own length. */
static const char growing_text[] =
    "const @zero f32[] {0}\n"
    "const @1 i64[1] {1}\n"
    "graph g(f32[1,1,2] %x, state f32[1,past,2] %k = @zero grows past to 6)\n"
    "    => (f32[1,2] y, state f32[1,past + 1,2] k) {\n"
    "  %k1 = Concat<axis=1>(%k, %x)\n"
    "  %y = ReduceSum<keepdims=0>(%k1, @1)\n"
    "  return %y, %k1\n"
    "}\n";

static void test_growing(const tlbc_model *m) {
    uint32_t seed = 3, chosen[STREAMS], length[STREAMS] = {0};
    float sum[STREAMS][2] = {{0}}, x[STREAMS][2], y[STREAMS][2];
    tlbc_session *s = session(m, STREAMS);
    for (int round = 0; round < 100; round++) {
        uint32_t n = choose(chosen, &seed);
        bool fits = true;
        for (uint32_t i = 0; i < n; i++) {
            x[i][0] = (float)(next(&seed) >> 28), x[i][1] = (float)(next(&seed) >> 28);
            fits &= length[chosen[i]] < 6;
        }
        tlbc_tensor in = tlbc_tensor_f32(x[0], 3, (int64_t[]){n, 1, 2}),
                    out = tlbc_tensor_f32(y[0], 2, (int64_t[]){n, 2});
        CHECK_EQ(tlbc_step_many(s, n, chosen, &in, &out), fits ? TLBC_OK : TLBC_ERROR_DATA);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t c = chosen[i];
            if (!fits && length[c] == 6) {
                CHECK_EQ(tlbc_reset(s, c), TLBC_OK);
                length[c] = 0, sum[c][0] = sum[c][1] = 0;
            }
            if (!fits) continue;
            length[c]++;
            sum[c][0] += x[i][0], sum[c][1] += x[i][1];
            CHECK(sum[c][0] == y[i][0] && sum[c][1] == y[i][1]);
        }
    }
    CHECK_EQ(tlbc_clone(s, 0, s, 1), TLBC_OK);
    tlbc_session_free(s);
}

/* The last three rows: a window that moves on where it lies, for each stream by itself. */
static const char window_text[] =
    "const @zero f32[] {0}\n"
    "const @1 i64[1] {1}\n"
    "const @4 i64[1] {4}\n"
    "graph g(f32[1,1,2] %x, state f32[1,3,2] %k = @zero) => (f32[1,2] y, state f32[1,3,2] k) {\n"
    "  %all = Concat<axis=1>(%k, %x)\n"
    "  %k1 = Slice(%all, @1, @4, @1)\n"
    "  %y = ReduceSum<keepdims=0>(%k1, @1)\n"
    "  return %y, %k1\n"
    "}\n";

static void test_window(const tlbc_model *m) {
    uint32_t seed = 3, chosen[STREAMS];
    float last[STREAMS][3][2] = {{{0}}}, x[STREAMS][2], y[STREAMS][2];
    tlbc_session *s = session(m, STREAMS);
    for (int round = 0; round < 200; round++) {
        uint32_t n = choose(chosen, &seed);
        for (uint32_t i = 0; i < n; i++)
            x[i][0] = (float)(next(&seed) >> 28), x[i][1] = (float)(next(&seed) >> 28);
        if (round % 7 == 0) {
            CHECK_EQ(tlbc_reset(s, chosen[0]), TLBC_OK);
            memset(last[chosen[0]], 0, sizeof last[0]);
        }
        tlbc_tensor in = tlbc_tensor_f32(x[0], 3, (int64_t[]){n, 1, 2}),
                    out = tlbc_tensor_f32(y[0], 2, (int64_t[]){n, 2});
        CHECK_EQ(tlbc_step_many(s, n, chosen, &in, &out), TLBC_OK);
        for (uint32_t i = 0; i < n; i++) {
            float(*w)[2] = last[chosen[i]];
            memmove(w[0], w[1], 2 * sizeof w[0]);
            memcpy(w[2], x[i], sizeof w[2]);
            for (int k = 0; k < 2; k++)
                CHECK(y[i][k] == w[0][k] + w[1][k] + w[2][k]);
        }
    }
    tlbc_session_free(s);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *fixed = compiled_load(test_parse(&t, fixed_text), "default"),
                     *growing = compiled_load(test_parse(&t, growing_text), "default"),
                     *window = compiled_load(test_parse(&t, window_text), "default");
    if (!CHECK(fixed && growing && window)) fputs(test_messages(&t), stderr);
    if (fixed) {
        test_by_hand(fixed);
        test_streams(fixed);
        test_mistakes(fixed);
        test_shapes(fixed);
    }
    if (growing) test_growing(growing);
    if (window) test_window(window);
    test_module_release(&t);
    return check_done();
}
