/* How late outputs of a step are: what the compiler says against numbers by hand, and against what happens: one position of the input is
 * changed after the other, and which elements of the outputs change with it. */
#include "tests/support/check.h"
#include "tests/support/compiled.h"
#include "tests/support/module.h"

#include "passes/pass.h"

#include <stdlib.h>

typedef struct delay_case {
    const char *name, *stream, *text;
    int64_t delays[3]; /* of the outputs */
} delay_case;

#define CONSTS                              \
    "const @w f32[8,8] rand 1\n"            \
    "const @chunks i64[4] {1, -1, 4, 8}\n"  \
    "const @tokens i64[3] {1, -1, 24}\n"    \
    "const @flat i64[3] {1, -1, 8}\n"       \
    "const @a1 i64[1] {1}\n"                \
    "const @one i64[] {1}\n"                \
    "const @h0 f32[1,8] rand 2\n"           \
    "const @kernel f32[8,8,3] rand 3\n"     \
    "const @pads i64[6] {0, 0, 2, 0, 0, 0}" \
    "\n"

static const delay_case cases[] = {
    {"each position for itself",
     "x:1:8",
     CONSTS "graph g(f32[1,T,8] %x) => (f32[1,T,8] y, f32[1,T,8] s, f32[1,T,8] n) {\n"
            "  %y = MatMul(%x, @w)\n"
            "  %s = CumSum(%y, @one)\n"
            "  %n = Softmax<axis=2>(%s)\n"
            "  return %y, %s, %n }",
     {0, 0, 0}},
    {"attention in chunks of 4, to one in front, and causal in them",
     "x:1:8",
     CONSTS
     "graph g(f32[1,T,8] %x) => (f32[1,T,8] a, f32[1,T,8] b, f32[1,T,8] c) {\n"
     "  %a = LocalAttention<chunk=4, q_num_heads=2, kv_num_heads=2>(%x, %x, %x)\n"
     "  %b = LocalAttention<chunk=4, chunks_before=1, q_num_heads=2, kv_num_heads=2>(%x, %x, "
     "%x)\n"
     "  %c = LocalAttention<chunk=4, is_causal=1, q_num_heads=2, kv_num_heads=2>(%x, %x, %x)\n"
     "  return %a, %b, %c }",
     {3, 3, 0}},
    {"a batch of chunks",
     "x:1:8",
     CONSTS "graph g(f32[1,16,8] %x) => (f32[1,16,8] y, f32[1,16,8] z) {\n"
            "  %c = Reshape(%x, @chunks)\n"
            "  %q = Squeeze(%c)\n"
            "  %a = Attention<q_num_heads=2, kv_num_heads=2>(%q, %q, %q)\n"
            "  %y = Reshape(%a, @flat)\n"
            "  %b = Attention<is_causal=1, q_num_heads=2, kv_num_heads=2>(%q, %q, %q)\n"
            "  %z = Reshape(%b, @flat)\n"
            "  return %y, %z }",
     {3, 0}},
    {"a window",
     "x:1:8",
     CONSTS
     "graph g(f32[1,T,8] %x) => (f32[1,T,8] y) {\n"
     "  %y = LocalAttention<before=5, is_causal=1, q_num_heads=2, kv_num_heads=2>(%x, %x, %x)\n"
     "  return %y }",
     {0}},
    {"all earlier positions",
     "x:1:8",
     CONSTS "graph g(f32[1,16,8] %x) => (f32[1,16,8] y) {\n"
            "  %y = Attention<is_causal=1, q_num_heads=2, kv_num_heads=2>(%x, %x, %x)\n"
            "  return %y }",
     {0}},
    {"convolutions, one of every second position",
     "x:2:8",
     CONSTS "graph g(f32[1,8,T] %x) => (f32[1,8,T] y, f32[1,8,ceil(T/2)] z) {\n"
            "  %p = Pad(%x, @pads)\n"
            "  %y = Conv(%p, @kernel)\n"
            "  %z = Conv<strides=[2]>(%p, @kernel)\n"
            "  return %y, %z }",
     {0, 0}},
    {"tokens of three positions",
     "x:1:12",
     CONSTS "graph g(f32[1,24,8] %x) => (f32[1,8,24] y, f32[1,24,8] z) {\n"
            "  %t = Reshape(%x, @tokens)\n"
            "  %y = Relu(%t)\n"
            "  %s = Softmax<axis=2>(%t)\n"
            "  %z = Reshape(%s, @flat)\n"
            "  return %y, %z }",
     {2, 2}},
    {"rounds of a position each, and of a chunk each",
     "x:1:8",
     CONSTS
     "const @sixteen i64[] {16}\n"
     "const @four i64[] {4}\n"
     "graph g(f32[1,16,8] %x) => (f32[1,16,8] y, f32[1,16,8] z, f32[1,16,8] v) {\n"
     "  %h, %y = Recur<carries=1, input_axes=[1], output_axes=[1]>(@sixteen, @h0, %x) {\n"
     "    body(i64[] %i, f32[1,8] %m, f32[1,8] %xi) {\n"
     "      %s = Add(%m, %xi) %t = Tanh(%s) yield %t, %s\n"
     "    }\n"
     "  }\n"
     "  f32[1,4,4,8] %c = Reshape(%x, @chunks)\n"
     "  %k, %zs, %vs = Recur<carries=1, input_axes=[1], output_axes=[1,1]>(@four, @h0, %c) {\n"
     "    body(i64[] %i2, f32[1,8] %m2, f32[1,4,8] %ci) {\n"
     "      %u = Unsqueeze(%m2, @a1)\n"
     "      %own = Add(%ci, %u)\n"
     "      %sum = ReduceSum(%own, @a1)\n"
     "      %all = Add(%own, %sum)\n"
     "      %m3 = ReduceMax<keepdims=0>(%all, @a1)\n"
     "      %m4 = Tanh(%m3)\n"
     "      yield %m4, %own, %all\n"
     "    }\n"
     "  }\n"
     "  %z = Reshape(%zs, @flat)\n"
     "  %v = Reshape(%vs, @flat)\n"
     "  return %y, %z, %v }",
     {0, 0, 3}},
};

/* ---- what happens ----------------------------------------------------------------------------------------------------- */

static void run(const tlbc_model *m, const tlbc_tensor *in, tlbc_tensor *out) {
    tlbc_session *s = NULL;
    CHECK_EQ(tlbc_session_create(m, NULL, &s), TLBC_OK);
    CHECK_EQ(tlbc_shapes(s, in, out, NULL), TLBC_OK);
    for (uint32_t i = 0; i < m->n_outputs; i++)
        out[i].data = calloc(1, out[i].bytes);
    tlbc_status status = tlbc_step(s, in, out);
    if (!CHECK_EQ(status, TLBC_OK)) fprintf(stderr, "%s\n", tlbc_session_message(s));
    tlbc_session_free(s);
}

static size_t inner_of(const tlbc_tensor *t, uint32_t axis) {
    size_t n = 1;
    for (uint32_t d = axis + 1; d < t->rank; d++)
        n *= (size_t)t->dims[d];
    return n;
}

/* The first element along the axis that differs; -1: none. */
static int64_t first_changed(const tlbc_tensor *a, const tlbc_tensor *b, uint32_t axis) {
    size_t inner = inner_of(a, axis), n = (size_t)a->dims[axis], all = a->bytes / sizeof(float);
    int64_t first = -1;
    for (size_t i = 0; i < all; i++) {
        int64_t at = (int64_t)(i / inner % n);
        if (((float *)a->data)[i] != ((float *)b->data)[i] && (first < 0 || at < first)) first = at;
    }
    return first;
}

static void measure(const tlbc_model *m, int64_t *delays) {
    float x[8 * 16] = {0}, original[8 * 16];
    uint32_t axis = m->inputs[0].sequence - 1, seed = 1;
    int64_t dims[3], chunk = m->chunk;
    for (int d = 0; d < 3; d++)
        dims[d] = m->inputs[0].dims[d].value;
    tlbc_tensor in = tlbc_tensor_f32(x, 3, dims), plain[3] = {0}, changed[3] = {0};
    size_t inner = inner_of(&in, axis), n = in.bytes / sizeof(float);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(int32_t)(seed = seed * 1664525u + 1013904223u) * 0x1p-31f;
    memcpy(original, x, sizeof x);
    run(m, &in, plain);
    for (int64_t p = 0; p < chunk; p++) {
        for (size_t i = 0; i < n; i++)
            if ((int64_t)(i / inner) % chunk == p) x[i] += 1 + (float)(i % 3);
        run(m, &in, changed);
        memcpy(x, original, sizeof x);
        for (uint32_t o = 0; o < m->n_outputs; o++) {
            uint32_t out_axis = m->outputs[o].sequence - 1;
            int64_t at = first_changed(&plain[o], &changed[o], out_axis);
            int64_t late = p - at * chunk / plain[o].dims[out_axis];
            if (at >= 0 && late > delays[o]) delays[o] = late;
            free(changed[o].data);
        }
    }
    for (uint32_t o = 0; o < m->n_outputs; o++)
        free(plain[o].data);
}

static void test_case(test_module *t, const delay_case *k) {
    ir_module *m = test_parse(t, k->text);
    pass_options o = {.streams = &k->stream, .n_streams = 1};
    const tlbc_model *model = m && pass_run(m, "default", &o) ? compiled_load(m, NULL) : NULL;
    int64_t seen[3] = {0}, most = 0;
    if (!CHECK(model != NULL)) {
        fprintf(stderr, "%s: %s\n", k->name, test_messages(t));
        return;
    }
    measure(model, seen);
    for (uint32_t i = 0; i < model->n_outputs; i++) {
        bool same = CHECK_EQ(model->outputs[i].delay, k->delays[i]);
        same &= CHECK_EQ(seen[i], k->delays[i]);
        if (!same) fprintf(stderr, "%s: output %u\n", k->name, i);
        most = k->delays[i] > most ? k->delays[i] : most;
    }
    CHECK_EQ(model->delay, most);
}

int main(void) {
    test_module t;
    test_module_init(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        test_case(&t, &cases[i]);
    test_module_release(&t);
    return check_done();
}
