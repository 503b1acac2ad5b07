/* What goes wrong in a run is wrong in that run alone: the session says what it was, and the next run is right. And the memory of values
 * that only the data sizes comes from the caller's functions where there are some. */
#include "runtime/calls/call.h"
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_INPUTS = 3 };

/* A model, what it is given, and what it says where the contents of input `which` are `bad`. */
typedef struct error_case {
    const char *text;
    tlbc_tensor in[MAX_INPUTS];
    uint32_t which;
    void *bad;
    const char *message; /* NULL: the run goes well, whatever comes out */
    bool memory;         /* it is TLBC_ERROR_MEMORY */
} error_case;

#define LIST(T, type, ...)                                                                         \
    {                                                                                              \
        .data = (T[]){__VA_ARGS__}, .bytes = sizeof((T[]){__VA_ARGS__}), .dtype = type, .rank = 1, \
        .dims = {                                                                                  \
            sizeof((T[]){__VA_ARGS__}) / sizeof(T)                                                 \
        }                                                                                          \
    }
#define ONE(T, type, ...) {.data = (T[]){__VA_ARGS__}, .bytes = sizeof(T), .dtype = type}
#define F32S(...)         LIST(float, TLBC_F32, __VA_ARGS__)
#define I64S(...)         LIST(int64_t, TLBC_I64, __VA_ARGS__)
#define I32S(...)         LIST(int32_t, TLBC_I32, __VA_ARGS__)
#define I64(v)            ONE(int64_t, TLBC_I64, v)
#define TEXT(s)           ONE(tlbc_string, TLBC_STRING, {s, sizeof s - 1})
#define BAD64(...)  \
    (int64_t[]) {   \
        __VA_ARGS__ \
    }
#define BAD32(...)  \
    (int32_t[]) {   \
        __VA_ARGS__ \
    }
#define WORDS LIST(tlbc_string, TLBC_STRING, {"one", 3}, {NULL, 0}, {"three", 5})
#define SIX   F32S(1, 2, 3, 4, 5, 6)
#define XS(n, ...)                                                                                \
    {                                                                                             \
        .data = (float[]){1, 2, 3, 4, 5, 6}, .bytes = 24, .dtype = TLBC_F32, .rank = n, .dims = { \
            __VA_ARGS__                                                                           \
        }                                                                                         \
    }
/* constants that the models share */
#define CONSTANTS               \
    "const @one i64[1] {1}\n"   \
    "const @zero i64[1] {0}\n"  \
    "const @end i64[1] {100}\n" \
    "const @two f32[] {2}\n"
#define LARGE ((int64_t)1 << 60)

static const error_case cases[] = {
#include "tests/unit/run_errors.inc"
};

static const tlbc_model *load(test_module *t, const char *text) {
    ir_module *m = test_parse(t, text);
    const tlbc_model *model = m ? compiled_load(m, "default") : NULL;
    if (!CHECK(model != NULL)) fprintf(stderr, "  %s\n%s", text, test_messages(t));
    return model;
}

/* Of a string its length and first byte. */
static double number_of(const tlbc_tensor *t, int64_t i) {
    if (t->dtype != TLBC_STRING) return tlbc_rt_get_f64(t, i);
    tlbc_string s = tlbc_rt_text(t)[i];
    return (double)s.len + (s.len ? (double)s.data[0] : 0);
}

/* One run; what came out is added up. */
static tlbc_status run_once(tlbc_session *s, const tlbc_tensor *in, double *sum) {
    static char memory[2][4096];
    const tlbc_model *model = tlbc_session_model(s);
    tlbc_tensor out[2] = {0};
    tlbc_status status = tlbc_shapes(s, in, out, NULL);
    if (status) return status;
    for (uint32_t i = 0; i < model->n_outputs; i++)
        out[i].data = memory[i], out[i].bytes = sizeof memory[i];
    status = tlbc_run(s, in, out);
    *sum = 0;
    for (uint32_t i = 0; i < model->n_outputs && !status; i++)
        for (int64_t e = 0; e < tlbc_rt_elements(&out[i]); e++)
            *sum += number_of(&out[i], e) * (double)(e + 1);
    return status;
}

/* Memory for values sized by data: so much, and no more. */
typedef struct memory {
    int pieces, asked, left; /* that are out; requests so far; how many more are granted */
} memory;

enum { MAX_PIECE = 1 << 16 };

static void *allocate(void *context, size_t bytes) {
    memory *m = context;
    m->asked++;
    if (m->left-- <= 0 || bytes > MAX_PIECE) return NULL;
    m->pieces++;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static void release(void *context, void *piece) {
    ((memory *)context)->pieces--;
    free(piece);
}

static void try_session(const error_case *k, const tlbc_model *model, uint32_t threads) {
    double first, again;
    tlbc_session *s;
    tlbc_tensor bad[MAX_INPUTS];
    tlbc_status expected = !k->message ? TLBC_OK : k->memory ? TLBC_ERROR_MEMORY : TLBC_ERROR_DATA;
    memory m = {.left = INT_MAX};
    tlbc_session_options o = {.threads = threads,
                              .exact_threads = 1,
                              .allocate = allocate,
                              .release = release,
                              .allocator_context = &m};
    memcpy(bad, k->in, sizeof bad);
    bad[k->which].data = k->bad;
    if (!CHECK_EQ(tlbc_session_create(model, &o, &s), TLBC_OK)) return;
    CHECK_EQ(run_once(s, k->in, &first), TLBC_OK);
    for (int i = 0; i < 2; i++) {
        if (!CHECK_EQ(run_once(s, bad, &again), expected) ||
            !CHECK(!k->message || strstr(tlbc_session_message(s), k->message)))
            fprintf(stderr, "  %s\n  said: %s\n", k->text, tlbc_session_message(s));
        CHECK_EQ(run_once(s, k->in, &again), TLBC_OK);
        CHECK(first == again);
    }
    tlbc_session_free(s);
    CHECK_EQ(m.pieces, 0);
}

static void try_case(const error_case *k) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *model = load(&t, k->text);
    for (uint32_t threads = 1; model && threads <= 2; threads++)
        try_session(k, model, threads);
    test_module_release(&t);
}

/* ---- memory by the caller's functions ------------------------------------------------------------------------------- */

static void try_allocator(const char *text, tlbc_tensor in, uint32_t threads) {
    test_module t;
    memory m = {.left = 100};
    double first, again;
    tlbc_session_options o = {.threads = threads,
                              .exact_threads = 1,
                              .allocate = allocate,
                              .release = release,
                              .allocator_context = &m};
    test_module_init(&t);
    tlbc_session *s = NULL;
    const tlbc_model *model = load(&t, text);
    if (model) CHECK_EQ(tlbc_session_create(model, &o, &s), TLBC_OK);
    CHECK_EQ(m.asked, 0); /* not before a run */
    if (s) CHECK_EQ(run_once(s, &in, &first), TLBC_OK);
    CHECK(m.asked > 0);
    for (int i = 0; s && i < 3;
         i++) /* a heap of several pieces becomes one, then nothing is asked for */
        CHECK_EQ(run_once(s, &in, &again), TLBC_OK);
    int settled = m.asked;
    if (s) CHECK_EQ(run_once(s, &in, &again), TLBC_OK);
    CHECK_EQ(m.asked, settled);
    CHECK(first == again);
    tlbc_session_free(s);
    CHECK_EQ(m.pieces, 0);
    m = (memory){.left = 0};
    if (model) CHECK_EQ(tlbc_session_create(model, &o, &s), TLBC_OK);
    if (s) CHECK_EQ(run_once(s, &in, &again), TLBC_ERROR_MEMORY);
    m.left = 100; /* there is some again */
    if (s) CHECK_EQ(run_once(s, &in, &again), TLBC_OK);
    CHECK(first == again);
    tlbc_session_free(s);
    CHECK_EQ(m.pieces, 0);
    test_module_release(&t);
}

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        try_case(&cases[i]);
    for (uint32_t threads = 1; threads <= 2; threads++) {
        try_allocator("graph g(f32[N] %x) => (y) {\n"
                      "  %i = NonZero(%x)  %f = Cast<to=1>(%i)  %y = Exp(%f)\n"
                      "  return %y }",
                      (tlbc_tensor)SIX, threads);
        try_allocator("const @zero i64[1] {0}\n"
                      "graph g(str[N] %x) => (y) {\n"
                      "  %i = NonZero(%x)  %j = Squeeze(%i, @zero)  %s = Gather(%x, %j)\n"
                      "  %t = StringConcat(%s, %s)  %y = Concat<axis=0>(%t, %x)\n"
                      "  return %y }",
                      (tlbc_tensor)WORDS, threads);
    }
    return check_done();
}
