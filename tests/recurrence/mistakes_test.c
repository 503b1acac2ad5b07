/* What a caller can do wrong with a step function, a row of a table each: an error that says what was expected, and the states of all
 * streams afterwards byte for byte what they were. What --stream itself refuses is in tests/golden/stream/refused.tl and models.txt. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"
#include "tests/support/session.h"

enum { STREAMS = 2, CHUNK = 2, ROOM = 256, HEAD = 64 };

/* The running sum of two positions a step; a state of another name makes it another model. */
#define SUMS(name)                                                      \
    "const @begin f32[] {0}\n"                                          \
    "const @1 i64[1] {1}\n"                                             \
    "const @2 i64[1] {2}\n"                                             \
    "const @3 i64[1] {3}\n"                                             \
    "const @axis i64[] {1}\n"                                           \
    "graph g(f32[B,2] %x along 1, state f32[B,1] %" name " = @begin)\n" \
    "    => (f32[B,2] y along 1, state " name ") {\n"                   \
    "  %j = Concat<axis=1>(%" name ", %x)\n"                            \
    "  %c = CumSum(%j, @axis)\n"                                        \
    "  %y = Slice(%c, @1, @3, @1)\n"                                    \
    "  %last = Slice(%c, @2, @3, @1)\n"                                 \
    "  return %y, %last\n"                                              \
    "}\n"

typedef struct saved {
    char bytes[ROOM];
    size_t n;
} saved;

typedef struct fixture {
    tlbc_session *s;      /* two streams that have come some way */
    saved state, foreign; /* of stream 0; of another model */
} fixture;

static saved save(tlbc_session *s, uint32_t stream) {
    saved v = {.n = ROOM};
    CHECK_EQ(tlbc_state_save(s, stream, v.bytes, &v.n), TLBC_OK);
    return v;
}

static bool same(const saved *a, const saved *b) {
    return a->n == b->n && !memcmp(a->bytes, b->bytes, a->n);
}

/* A step of `rows` streams on n positions each. */
static tlbc_status step(tlbc_session *s, const uint32_t *streams, uint32_t count, int64_t rows,
                        int64_t n) {
    float x[16], y[16];
    for (int i = 0; i < 16; i++)
        x[i] = (float)(i + 1);
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){rows, n}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){rows, n});
    return tlbc_step_many(s, count, streams, &in, &out);
}

/* ---- the mistakes ------------------------------------------------------------------------------------------------- */

static const uint32_t both[] = {0, 1}, twice[] = {1, 1}, third[] = {2}, three[] = {0, 1, 2};

static tlbc_status short_chunk(fixture *f) {
    return step(f->s, both, 1, 1, CHUNK - 1);
}

static tlbc_status long_chunk(fixture *f) {
    return step(f->s, both, 2, 2, CHUNK + 1);
}

static tlbc_status no_positions(fixture *f) {
    return step(f->s, both, 1, 1, 0);
}

static tlbc_status named_twice(fixture *f) {
    return step(f->s, twice, 2, 2, CHUNK);
}

static tlbc_status unknown_stream(fixture *f) {
    return step(f->s, third, 1, 1, CHUNK);
}

static tlbc_status too_many(fixture *f) {
    return step(f->s, three, 3, 3, CHUNK);
}

static tlbc_status fewer_rows(fixture *f) {
    return step(f->s, both, 2, 1, CHUNK);
}

static tlbc_status run(fixture *f) {
    float x[CHUNK] = {1, 2}, y[CHUNK];
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, CHUNK}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, CHUNK});
    return tlbc_run(f->s, &in, &out);
}

static tlbc_status other_type(fixture *f) {
    float x[CHUNK] = {1, 2}, y[CHUNK];
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, CHUNK}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, CHUNK});
    in.dtype = TLBC_I32;
    return tlbc_step(f->s, &in, &out);
}

static tlbc_status reset_unknown(fixture *f) {
    return tlbc_reset(f->s, STREAMS);
}

static tlbc_status load_unknown(fixture *f) {
    return tlbc_state_load(f->s, STREAMS, f->state.bytes, f->state.n);
}

static tlbc_status load_foreign(fixture *f) {
    return tlbc_state_load(f->s, 0, f->foreign.bytes, f->foreign.n);
}

static tlbc_status load_nothing(fixture *f) {
    return tlbc_state_load(f->s, 0, f->state.bytes, 0);
}

static tlbc_status load_more(fixture *f) {
    return tlbc_state_load(f->s, 0, f->state.bytes, f->state.n + 1);
}

static tlbc_status clone_unknown(fixture *f) {
    return tlbc_clone(f->s, 0, f->s, STREAMS);
}

static const struct {
    tlbc_status (*make)(fixture *f);
    tlbc_status status;
    const char *message;
} mistakes[] = {
    {short_chunk, TLBC_ERROR_ARGUMENT, "input 0 'x': a step takes 2 positions along axis 1, not 1"},
    {long_chunk, TLBC_ERROR_ARGUMENT, "input 0 'x': a step takes 2 positions along axis 1, not 3"},
    {no_positions, TLBC_ERROR_ARGUMENT,
     "input 0 'x': a step takes 2 positions along axis 1, not 0"},
    {named_twice, TLBC_ERROR_ARGUMENT, "stream 1 is named twice"},
    {unknown_stream, TLBC_ERROR_ARGUMENT, "stream 2: the session was made for 2 streams"},
    {too_many, TLBC_ERROR_ARGUMENT, "the inputs hold 3 streams, the session was made for 2"},
    {fewer_rows, TLBC_ERROR_ARGUMENT, "2 streams are named, the inputs hold 1"},
    {run, TLBC_ERROR_ARGUMENT,
     "the model is a step function with 1 states: tlbc_step, not tlbc_run"},
    {other_type, TLBC_ERROR_ARGUMENT, "input 0 'x'"},
    {reset_unknown, TLBC_ERROR_ARGUMENT, "stream 2: the session was made for 2 streams"},
    {load_unknown, TLBC_ERROR_ARGUMENT, "stream 2: the session was made for 2 streams"},
    {load_foreign, TLBC_ERROR_VERSION, "the saved state is another model's"},
    {load_nothing, TLBC_ERROR_ARGUMENT, "0 bytes are no saved state"},
    {load_more, TLBC_ERROR_ARGUMENT, "the saved state has 69 bytes, expected 68"},
    {clone_unknown, TLBC_ERROR_ARGUMENT, "stream 2 of the other session"},
};

/* ---- the states behind them --------------------------------------------------------------------------------------- */

static fixture prepare(const tlbc_model *m, const tlbc_model *other, uint32_t threads) {
    fixture f = {.s = session(m, STREAMS, threads)};
    tlbc_session *s = session(other, 1, 1);
    CHECK_EQ(step(f.s, both, 2, 2, CHUNK), TLBC_OK);
    CHECK_EQ(step(f.s, both, 1, 1, CHUNK), TLBC_OK);
    f.state = save(f.s, 0);
    f.foreign = save(s, 0);
    tlbc_session_free(s);
    return f;
}

static void test_mistakes(const tlbc_model *m, const tlbc_model *other, uint32_t threads) {
    fixture f = prepare(m, other, threads);
    const saved second = save(f.s, 1);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        tlbc_status status = mistakes[i].make(&f);
        char message[200];
        snprintf(message, sizeof message, "%s", tlbc_session_message(f.s));
        saved a = save(f.s, 0), b = save(f.s, 1);
        bool good = status == mistakes[i].status && strstr(message, mistakes[i].message);
        if (!CHECK(good && same(&a, &f.state) && same(&b, &second)))
            fprintf(stderr, "mistake %zu: status %d, '%s', expected '%s'\n", i, (int)status,
                    message, mistakes[i].message);
    }
    CHECK_EQ(step(f.s, both, 2, 2, CHUNK), TLBC_OK); /* and all goes on */
    tlbc_session_free(f.s);
}

/* A file that is cut anywhere, and each of its bits turned. */
static void test_damage(const tlbc_model *m, const tlbc_model *other) {
    fixture f = prepare(m, other, 1);
    CHECK_EQ(f.state.n, HEAD + sizeof(float));
    for (size_t n = 0; n < f.state.n; n++)
        CHECK(tlbc_state_load(f.s, 1, f.state.bytes, n) != TLBC_OK);
    const saved before = save(f.s, 1);
    for (size_t bit = 0; bit < 8 * f.state.n; bit++) {
        saved v = f.state;
        v.bytes[bit / 8] ^= (char)(1 << bit % 8);
        if (!CHECK(tlbc_state_load(f.s, 1, v.bytes, v.n) != TLBC_OK))
            fprintf(stderr, "byte %zu, bit %zu\n", bit / 8, bit % 8);
        CHECK(*tlbc_session_message(f.s));
    }
    saved after = save(f.s, 1);
    CHECK(same(&before, &after));
    CHECK_EQ(tlbc_state_load(f.s, 1, f.state.bytes, f.state.n), TLBC_OK);
    after = save(f.s, 1);
    CHECK(same(&f.state, &after));
    tlbc_session_free(f.s);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    ir_module *sums = test_parse(&t, SUMS("sum")), *others = test_parse(&t, SUMS("total"));
    const tlbc_model *m = sums ? compiled_load(sums, "default") : NULL,
                     *other = others ? compiled_load(others, "default") : NULL;
    if (CHECK(m && other)) {
        for (uint32_t threads = 1; threads <= 3; threads++)
            test_mistakes(m, other, threads);
        test_damage(m, other);
    } else {
        fputs(test_messages(&t), stderr);
    }
    test_module_release(&t);
    return check_done();
}
