/* A cache that each step appends to: how long it is only the session knows. All numbers are small integers: results must be equal to
 * the last bit. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

/* y: each row of x, plus the sum of all rows so far, these too, plus the sum of the mask, which is as long as the cache becomes. */
static const char model_text[] = "const @zero f32[] {0}\n"
                                 "const @1 i64[1] {1}\n"
                                 "graph g(f32[2,N,3] %x, f32[2,past + N] %mask,\n"
                                 "        state f32[2,past,3] %k = @zero grows past to 8)\n"
                                 "    => (f32[2,N,3] y, state f32[2,past + N,3] k) {\n"
                                 "  %k1 = Concat<axis=1>(%k, %x)\n"
                                 "  %sum = ReduceSum(%k1, @1)\n"
                                 "  %m = ReduceSum(%mask, @1)\n"
                                 "  %mx = Unsqueeze(%m, @1)\n"
                                 "  %a = Add(%x, %sum)\n"
                                 "  %y = Add(%a, %mx)\n"
                                 "  return %y, %k1\n"
                                 "}\n";

enum { B = 2, W = 3, MOST = 8 };

typedef struct cache {
    float rows[B][MOST][W];
    int64_t length;
} cache;

static void step_by_hand(cache *c, int64_t n, const float *x, const float *mask, float *y) {
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < n; i++)
            memcpy(c->rows[b][c->length + i], x + (b * n + i) * W, W * sizeof *x);
    c->length += n;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < n * W; i++) {
            float sum = x[b * n * W + i];
            for (int64_t k = 0; k < c->length; k++)
                sum += c->rows[b][k][i % W] + mask[b * c->length + k];
            y[b * n * W + i] = sum;
        }
}

static tlbc_status step(tlbc_session *s, int64_t n, int64_t mask_length, const float *x,
                        const float *mask, float *y) {
    tlbc_tensor in[2] = {tlbc_tensor_f32((float *)(uintptr_t)x, 3, (int64_t[]){B, n, W}),
                         tlbc_tensor_f32((float *)(uintptr_t)mask, 2, (int64_t[]){B, mask_length})};
    tlbc_tensor out = tlbc_tensor_f32(y, 3, (int64_t[]){B, n, W});
    return tlbc_step(s, in, &out);
}

/* A step of n rows, here and by hand. */
static void step_and_compare(tlbc_session *s, cache *c, int64_t n, uint32_t *seed) {
    float x[B * MOST * W], mask[B * MOST], y[B * MOST * W] = {0}, want[B * MOST * W];
    for (uint32_t i = 0; i < B * MOST * W; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        x[i] = (float)(*seed >> 28);
        mask[i % (B * MOST)] = (float)(*seed >> 27 & 7);
    }
    if (!CHECK_EQ(step(s, n, c->length + n, x, mask, y), TLBC_OK))
        fprintf(stderr, "%s\n", tlbc_session_message(s));
    step_by_hand(c, n, x, mask, want);
    CHECK(memcmp(y, want, (size_t)(B * n * W) * sizeof *y) == 0);
}

static tlbc_session *session(const tlbc_model *m, uint32_t threads) {
    tlbc_session *s = NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .threads = threads, .exact_threads = 1};
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK);
    return s;
}

static void test_steps(const tlbc_model *m, uint32_t threads) {
    uint32_t seed = 3;
    tlbc_session *s = session(m, threads);
    for (int round = 0; round < 2; round++) {
        cache c = {.length = 0};
        step_and_compare(s, &c, 3, &seed);
        step_and_compare(s, &c, 1, &seed);
        step_and_compare(s, &c, 4, &seed); /* full */
        CHECK_EQ(tlbc_reset(s, TLBC_ALL_STREAMS), TLBC_OK);
    }
    tlbc_session_free(s);
}

/* What is refused leaves the cache as it is. */
static void test_refused(const tlbc_model *m) {
    uint32_t seed = 5;
    float x[B * MOST * W] = {0}, y[B * MOST * W];
    cache c = {.length = 0};
    tlbc_session *s = session(m, 1);
    step_and_compare(s, &c, 5, &seed);
    CHECK_EQ(step(s, 4, 9, x, x, y), TLBC_ERROR_DATA);
    CHECK(strstr(tlbc_session_message(s), "'past' would be 9, the states have room for 8") != NULL);
    CHECK_EQ(step(s, 1, 5, x, x, y), TLBC_ERROR_ARGUMENT); /* a mask of the wrong length */
    step_and_compare(s, &c, 2, &seed);
    tlbc_session_free(s);
}

static void test_saved(const tlbc_model *m) {
    uint32_t seed = 9;
    char saved[1024];
    size_t bytes = sizeof saved;
    cache c = {.length = 0}, at_save;
    tlbc_session *s = session(m, 1), *other = session(m, 2);
    step_and_compare(s, &c, 3, &seed);
    CHECK_EQ(tlbc_state_save(s, 0, saved, &bytes), TLBC_OK);
    at_save = c;
    step_and_compare(s, &c, 2, &seed);
    CHECK_EQ(tlbc_clone(other, 0, s, 0), TLBC_OK);
    step_and_compare(other, &c, 2, &seed);
    CHECK_EQ(tlbc_state_load(s, 0, saved, bytes), TLBC_OK);
    step_and_compare(s, &at_save, 5, &seed);
    tlbc_session_free(other);
    tlbc_session_free(s);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    ir_module *parsed = test_parse(&t, model_text);
    const tlbc_model *m = parsed ? compiled_load(parsed, "default") : NULL;
    if (CHECK(m != NULL)) {
        CHECK_EQ(m->states[0].bytes, B * MOST * W * 4);
        for (uint32_t threads = 1; threads <= 3; threads++)
            test_steps(m, threads);
        test_refused(m);
        test_saved(m);
    } else {
        fputs(test_messages(&t), stderr);
    }
    test_module_release(&t);
    return check_done();
}
