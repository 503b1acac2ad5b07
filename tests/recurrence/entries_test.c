/* Two entry points of one library whose sessions have states in common: `gather` appends to them, `report` reads one, moves another on
 * and gives it to outputs. Numbers are small integers: results must be equal to the last bit. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

static const char model_text[] = "const @zero f32[] {0}\n"
                                 "const @one f32[] {1}\n"
                                 "const @w f32[2,2] {1, 2, 3, 4}\n"
                                 "graph main(f32[B,2] %x, state f32[B,2] %sum = @zero,\n"
                                 "           state f32[B,1] %steps = @zero)\n"
                                 "    => (f32[B,2] y, state sum, state steps) {\n"
                                 "  %y = MatMul(%x, @w)\n"
                                 "  %sum1 = Add(%sum, %x)\n"
                                 "  %steps1 = Add(%steps, @one)\n"
                                 "  return %y, %sum1, %steps1\n"
                                 "}\n"
                                 "graph report(f32[B,1] %scale, state f32[B,1] %steps = @zero,\n"
                                 "             state f32[B,2] %sum = @zero)\n"
                                 "    => (f32[B,2] y, state steps, state sum) {\n"
                                 "  %m = MatMul(%sum, @w)\n"
                                 "  %y1 = Mul(%m, %scale)\n"
                                 "  %y = Add(%y1, %steps)\n"
                                 "  %back = Sub(%steps, @one)\n"
                                 "  return %y, %back, %sum\n"
                                 "}\n";

static tlbc_session *session(const tlbc_model *m, uint32_t streams, tlbc_session *of) {
    tlbc_session *s = NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .streams = streams, .states_of = of};
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK);
    return s;
}

static void gather(tlbc_session *s, uint32_t stream, float a, float b) {
    float x[2] = {a, b}, y[2];
    tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, 2}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, 2});
    CHECK_EQ(tlbc_step_many(s, 1, &stream, &in, &out), TLBC_OK);
    CHECK(y[0] == a + 3 * b && y[1] == 2 * a + 4 * b);
}

static void report(tlbc_session *s, uint32_t stream, float a, float b, float steps) {
    float scale = 2, y[2];
    tlbc_tensor in = tlbc_tensor_f32(&scale, 2, (int64_t[]){1, 1}),
                out = tlbc_tensor_f32(y, 2, (int64_t[]){1, 2});
    CHECK_EQ(tlbc_step_many(s, 1, &stream, &in, &out), TLBC_OK);
    CHECK(y[0] == 2 * (a + 3 * b) + steps && y[1] == 2 * (2 * a + 4 * b) + steps);
}

static void test_descriptors(const tlbc_model *m) {
    const tlbc_model *other = tlbc_entry(m, "report");
    if (!CHECK(other != NULL)) return;
    CHECK_EQ(m->n_entries, 2);
    CHECK(tlbc_entry(m, "main") == m && tlbc_entry(other, "main") == m);
    CHECK(tlbc_entry(m, "nothing") == NULL);
    CHECK_STR(other->name, "model_report");
    CHECK_EQ(other->n_states, 2);
    CHECK_EQ(other->states[0].kept, 0);
    CHECK_EQ(other->states[1].kept, 1);
    CHECK_EQ(m->weight_bytes, other->weight_bytes);
}

/* Steps of both in turns; with one stream and with several, of which states are gathered and scattered. */
static void test_shared(const tlbc_model *m, uint32_t streams) {
    tlbc_session *a = session(m, streams, NULL), *b = session(tlbc_entry(m, "report"), 0, a);
    uint32_t k = streams - 1;
    report(b, k, 0, 0, 0);
    gather(a, k, 1, 2);
    gather(a, k, 3, 4);
    report(b, k, 4, 6, 1); /* two steps forward, one back */
    report(b, k, 4, 6, 0);
    gather(a, k, -4, 0);
    CHECK_EQ(tlbc_reset(b, k), TLBC_OK); /* the states are one */
    gather(a, k, 5, 0);
    report(b, k, 5, 0, 1);
    tlbc_session_free(b);
    gather(a, k, 1, 1);
    tlbc_session_free(a);
}

static void test_refused(const tlbc_model *m, const tlbc_model *stranger) {
    const tlbc_model *other = tlbc_entry(m, "report");
    tlbc_session *a = session(m, 2, NULL), *s = NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .streams = 3, .states_of = a};
    CHECK_EQ(tlbc_session_create(other, &o, &s), TLBC_ERROR_ARGUMENT); /* other streams */
    o.streams = 0;
    CHECK_EQ(tlbc_session_create(stranger, &o, &s), TLBC_ERROR_ARGUMENT); /* another library */
    tlbc_session_free(a);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    const tlbc_model *m = compiled_load(test_parse(&t, model_text), "default"),
                     *n = compiled_load(test_parse(&t, model_text), "default");
    if (CHECK(m && n)) {
        test_descriptors(m);
        test_shared(m, 1);
        test_shared(m, 3);
        test_refused(m, tlbc_entry(n, "report"));
    }
    test_module_release(&t);
    return check_done();
}
