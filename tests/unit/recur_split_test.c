/* How much of a TLB's arithmetic needs no state and leaves the serial path: the published sizes, one after the other, each as a Recur
 * whose body is a cell of S (tokens among themselves), C (tokens look at the state) and G (the state looks at the tokens) blocks.
 * Expected shares are worked out by hand from the blocks' multiply-adds: queries n, keys k: q n*d*w, k and v 2*k*d*w, scores and
 * mixing 2*n*k*w, out n*w*d, feed-forward 2*n*d*f. */
#include "ir/cost.h"
#include "passes/pass.h"
#include "tests/support/check.h"

typedef struct cell {
    const char *name;
    const char *blocks; /* the fast stream; one G follows */
    int tokens, states, width, attention, hidden, heads;
    double all;        /* MFLOP of a round */
    double free_share; /* per cent of it that need no state */
    double serial;     /* MFLOP of it that do; 0: not worked out */
} cell;

static const cell cells[] = {
    {"LRA ListOps", "SSC", 100, 100, 512, 512, 1024, 8, 1759.6, 53, 827},
    {"LRA Text", "SSC", 10, 10, 256, 256, 1024, 4, 63.3, 52, 30.3},
    {"LRA Retrieval", "SSC", 10, 10, 128, 128, 512, 4, 15.9, 52, 7.6},
    {"LRA Image", "SC", 32, 5, 128, 64, 128, 8, 9.39, 53, 4.4},
    {"LRA Pathfinder", "SSC", 64, 5, 128, 64, 128, 8, 28.1, 71, 8.2},
    {"Keras CIFAR as executed", "SCSSCSSCS", 8, 8, 64, 64, 256, 1, 8.03, 11, 7.2},
    {"Keras CIFAR as listed", "SCSSCS", 8, 8, 64, 64, 256, 1, 5.62, 16, 0},
    {"TF CIFAR", "SCSSCSSCSSCSSC", 8, 8, 128, 128, 512, 1, 47.7, 7, 0},
    {"TF Imagenette", "SCSSCSSCSSCSSC", 14, 14, 128, 128, 512, 1, 84.1, 7, 0},
    {"ViT-S-like", "SSCSSCSSCSSC", 20, 5, 384, 384, 1536, 6, 846, 18, 0},
    {"test", "SSC", 4, 2, 16, 16, 32, 2, 0.06, 61, 0},
};

enum { ROUNDS = 3 };

typedef struct writer {
    tl_str text, params, uses;
    const cell *c;
} writer;

/* A weight: a parameter of the graph, so that no data is needed. */
static void weight(writer *w, int block, const char *name, int rows, int columns) {
    tl_str_printf(&w->params, ", f32[%d,%d] %%w%d.%s", rows, columns, block, name);
}

/* %out = block of queries %x (n of them) and keys %y (k of them) */
static void block(writer *w, int id, const char *x, const char *y, const char *out, int n, int k) {
    const cell *c = w->c;
    int d = c->width, a = c->attention;
    weight(w, id, "q", d, a), weight(w, id, "k", d, a), weight(w, id, "v", d, a);
    weight(w, id, "o", a, d), weight(w, id, "up", d, c->hidden),
        weight(w, id, "down", c->hidden, d);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%n%d = LayerNormalization(%%%s, %%scale, %%shift)\n", n,
                  d, id, x);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%m%d = LayerNormalization(%%%s, %%scale, %%shift)\n", k,
                  d, id, y);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%q%d = MatMul(%%n%d, %%w%d.q)\n", n, a, id, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%k%d = MatMul(%%m%d, %%w%d.k)\n", k, a, id, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%v%d = MatMul(%%m%d, %%w%d.v)\n", k, a, id, id, id);
    tl_str_printf(
        &w->text,
        "f32[1,%d,%d] %%a%d = Attention<q_num_heads=%d, kv_num_heads=%d>(%%q%d, %%k%d, %%v%d)\n", n,
        a, id, c->heads, c->heads, id, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%o%d = MatMul(%%a%d, %%w%d.o)\n", n, d, id, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%r%d = Add(%%%s, %%o%d)\n", n, d, id, x, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%h%d = LayerNormalization(%%r%d, %%scale, %%shift)\n", n,
                  d, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%u%d = MatMul(%%h%d, %%w%d.up)\n", n, c->hidden, id, id,
                  id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%g%d = Gelu(%%u%d)\n", n, c->hidden, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%d%d = MatMul(%%g%d, %%w%d.down)\n", n, d, id, id, id);
    tl_str_printf(&w->text, "f32[1,%d,%d] %%%s = Add(%%r%d, %%d%d)\n", n, d, out, id, id);
}

static const char *model_text(tl_arena *a, const cell *c) {
    writer w = {.c = c};
    char x[16] = "x", next[16];
    int id = 0;
    tl_str_init(&w.text, a), tl_str_init(&w.params, a);
    for (const char *b = c->blocks; *b; b++, id++) {
        snprintf(next, sizeof next, "x%d", id);
        bool self = *b == 'S';
        block(&w, id, x, self ? x : "state", next, c->tokens, self ? c->tokens : c->states);
        memcpy(x, next, sizeof x);
    }
    block(&w, id, "state", x, "new", c->states, c->tokens);
    int d = c->width;
    return tl_arena_printf(a,
                           "const @n i64[] {%d}\n"
                           "graph g(f32[%d,1,%d,%d] %%xs, f32[1,%d,%d] %%s0, f32[%d] %%scale, "
                           "f32[%d] %%shift%s) => (f32[1,%d,%d] s) {\n"
                           "f32[1,%d,%d] %%s = Recur<carries=1>(@n, %%s0, %%xs) {\n"
                           "body(i64[] %%i, f32[1,%d,%d] %%state, f32[1,%d,%d] %%x) {\n%syield "
                           "%%new\n}\n}\nreturn %%s\n}\n",
                           ROUNDS, ROUNDS, c->tokens, d, c->states, d, d, d, w.params.data,
                           c->states, d, c->states, d, c->states, d, c->tokens, d, w.text.data);
}

static double number(const ir_dim *d) {
    int64_t v;
    return CHECK(ir_dim_is_const(d, &v)) ? (double)v : 0;
}

static void test_cell(const cell *k, tl_fail *fail) {
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, fail);
    tl_arena_init(&a, fail);
    const char *text = model_text(&a, k);
    ir_module *m = ir_module_parse(&c, &a, k->name, text, strlen(text));
    if (CHECK(m)) {
        double all = number(ir_graph_flops(&c, m->graphs));
        CHECK(number(ir_graph_serial_flops(&c, m->graphs)) == all);
        bool ran = pass_run(m, "infer_shapes,recur_split,dce", NULL);
        CHECK(ran);
        double left = number(ir_graph_serial_flops(&c, m->graphs)), share = 100 * (1 - left / all);
        printf("%-24s %5.1f %% of %8.2f MFLOP per round are free of the state\n", k->name, share,
               all / ROUNDS * 1e-6);
        CHECK(number(ir_graph_flops(&c, m->graphs)) == all);
        CHECK(all / ROUNDS * 1e-6 > k->all * 0.97 && all / ROUNDS * 1e-6 < k->all * 1.03);
        CHECK(share > k->free_share - 0.6 && share < k->free_share + 0.6);
        double serial = left / ROUNDS * 1e-6;
        if (k->serial > 0) CHECK(serial > k->serial * 0.985 && serial < k->serial * 1.015);
    } else if (c.diag.n) {
        fprintf(stderr, "%s: %s\n", k->name, c.diag.entries[0].text);
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
}

int main(void) {
    tl_fail fail = {0};
    if (setjmp(fail.jump)) return 1;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        test_cell(&cells[i], &fail);
    return check_done();
}
