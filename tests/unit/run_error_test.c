/* What goes wrong in a run is wrong in that run alone: the session says what it was, and the next run is right. And the memory of values
 * that only the data sizes comes from the caller's functions where there are some. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

#include <stdlib.h>

enum { MAX_INPUTS = 3 };

/* A model, what it is given, and what it says to the bad contents of input `which`. */
typedef struct error_case {
    const char *text;
    tlbc_tensor in[MAX_INPUTS];
    uint32_t which;
    const void *bad;
    const char *message;
} error_case;

static const float xs[6] = {1, 2, 3, 4, 5, 6};
static const int64_t places[3] = {0, 4, -1}, bad_places[3] = {0, 5, 1};
static const int64_t shape[2] = {3, -1}, bad_shape[2] = {4, -1};
static const int64_t sizes[1] = {8}, bad_sizes[1] = {-3};
static const int64_t parts[2] = {2, 4}, bad_parts[2] = {3, 4};
#define F32(n)                                                                                   \
    {                                                                                            \
        .data = (void *)(uintptr_t)xs, .bytes = (n) * 4, .dtype = TLBC_F32, .rank = 1, .dims = { \
            n                                                                                    \
        }                                                                                        \
    }
#define I64(v, n)                                                                                 \
    {                                                                                             \
        .data = (void *)(uintptr_t)(v), .bytes = (n) * 8, .dtype = TLBC_I64, .rank = 1, .dims = { \
            n                                                                                     \
        }                                                                                         \
    }

static const error_case cases[] = {
    {"graph g(f32[5] %x, i64[N] %i) => (f32[N] y) { %y = Gather(%x, %i) return %y }",
     {F32(5), I64(places, 3)},
     1,
     bad_places,
     "outside the axis of 5"},
    {"graph g(f32[N] %x, i64[2] %s) => (y) { %y = Reshape(%x, %s) return %y }",
     {F32(6), I64(shape, 2)},
     1,
     bad_shape,
     "6 elements do not divide among 4"},
    {"const @v f32[] {2}\n"
     "graph g(i64[1] %s) => (y) { %y = Expand(@v, %s) return %y }",
     {I64(sizes, 1)},
     0,
     bad_sizes,
     "does not expand to -3"},
    {"graph g(f32[6] %x, i64[2] %s) => (a, b) { %a, %b = Split(%x, %s) return %a, %b }",
     {F32(6), I64(parts, 2)},
     1,
     bad_parts,
     "part 1 is 4, 3 are left"},
};

static tlbc_session *session_for(test_module *t, const char *text, const tlbc_session_options *o) {
    tlbc_session *s = NULL;
    ir_module *m = test_parse(t, text);
    const tlbc_model *model = m ? compiled_load(m, NULL) : NULL;
    if (!CHECK(model != NULL)) fputs(test_messages(t), stderr);
    if (model) CHECK_EQ(tlbc_session_create(model, o, &s), TLBC_OK);
    return s;
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
    for (uint32_t i = 0; i < model->n_outputs && !status; i++) {
        int64_t n = 1;
        for (uint32_t d = 0; d < out[i].rank; d++)
            n *= out[i].dims[d];
        for (int64_t e = 0; e < n; e++)
            *sum += ((const float *)out[i].data)[e] * (double)(e + 1);
    }
    return status;
}

static void try_case(const error_case *k, uint32_t threads) {
    test_module t;
    double first, again;
    tlbc_tensor bad[MAX_INPUTS];
    test_module_init(&t);
    tlbc_session *s = session_for(&t, k->text,
                                  &(tlbc_session_options){.threads = threads, .exact_threads = 1});
    memcpy(bad, k->in, sizeof bad);
    bad[k->which].data = (void *)(uintptr_t)k->bad;
    if (s) CHECK_EQ(run_once(s, k->in, &first), TLBC_OK);
    for (int i = 0; s && i < 3; i++) {
        CHECK_EQ(run_once(s, bad, &again), TLBC_ERROR_DATA);
        if (!CHECK(strstr(tlbc_session_message(s), k->message) != NULL))
            fprintf(stderr, "  said: %s\n", tlbc_session_message(s));
        CHECK_EQ(run_once(s, k->in, &again), TLBC_OK);
        CHECK(first == again);
    }
    tlbc_session_free(s);
    test_module_release(&t);
}

/* ---- memory by the caller's functions ------------------------------------------------------------------------------- */

typedef struct memory {
    int pieces, asked, left; /* that are out; requests so far; how many more are granted */
} memory;

static void *allocate(void *context, size_t bytes) {
    memory *m = context;
    m->asked++;
    if (m->left-- <= 0) return NULL;
    m->pieces++;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static void release(void *context, void *piece) {
    ((memory *)context)->pieces--;
    free(piece);
}

static void try_allocator(uint32_t threads) {
    static const char text[] = "graph g(f32[N] %x) => (y) {\n"
                               "  %i = NonZero(%x)  %f = Cast<to=1>(%i)  %y = Exp(%f)\n"
                               "  return %y }";
    test_module t;
    memory m = {.left = 100};
    double first, again;
    const tlbc_tensor in = F32(6);
    tlbc_session_options o = {.threads = threads,
                              .exact_threads = 1,
                              .allocate = allocate,
                              .release = release,
                              .allocator_context = &m};
    test_module_init(&t);
    tlbc_session *s = session_for(&t, text, &o);
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
    s = session_for(&t, text, &o);
    if (s) CHECK_EQ(run_once(s, &in, &again), TLBC_ERROR_MEMORY);
    m.left = 100; /* there is some again */
    if (s) CHECK_EQ(run_once(s, &in, &again), TLBC_OK);
    CHECK(first == again);
    tlbc_session_free(s);
    CHECK_EQ(m.pieces, 0);
    test_module_release(&t);
}

int main(void) {
    for (uint32_t threads = 1; threads <= 2; threads++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            try_case(&cases[i], threads);
        try_allocator(threads);
    }
    return check_done();
}
