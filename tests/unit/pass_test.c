/* The pass manager: skipping, bisection, fix-point groups, what it finds out about passes that lie or break things, reproducer,
 * debug flags; and that every allocation of the default pipeline may fail. */
#include "passes/pass.h"

#include "tests/support/check.h"

#include <stdlib.h>
#include <unistd.h>

static const char small_model[] = "const @one f32[] {1}\n"
                                  "graph g(f32[2,3] %x) => (f32[3,2] y) {\n"
                                  "  f32[2,3] %a = Mul(%x, @one)\n"
                                  "  f32[2,3] %b = Identity(%a)\n"
                                  "  f32[2,3] %unused = Relu(%x)\n"
                                  "  f32[3,2] %y = Transpose<perm=[1,0]>(%b)\n"
                                  "  return %y\n"
                                  "}\n";

typedef struct fixture {
    tl_fail fail;
    ir_ctx c;
    tl_arena arena;
    ir_module *m;
    FILE *log;
    char text[8192]; /* what was logged */
} fixture;

static void fixture_init(fixture *f) {
    memset(f, 0, sizeof *f);
    ir_ctx_init(&f->c, &f->fail);
    tl_arena_init(&f->arena, &f->fail);
    f->log = tmpfile();
    f->m = ir_module_parse(&f->c, &f->arena, "test", small_model, strlen(small_model));
    CHECK(f->m);
}

static void fixture_release(fixture *f) {
    fclose(f->log);
    ir_ctx_release(&f->c);
    tl_arena_release(&f->arena);
}

static const char *logged(fixture *f) {
    rewind(f->log);
    f->text[fread(f->text, 1, sizeof f->text - 1, f->log)] = 0;
    return f->text;
}

static const char *first_error(const fixture *f) {
    return f->c.diag.n ? f->c.diag.entries[0].text : "";
}

static uint32_t count_op(const fixture *f, op_id op) {
    uint32_t count = 0;
    ir_for_each_node (n, f->m->graphs->body)
        count += n->op == op;
    return count;
}

/* ---- passes that misbehave ---------------------------------------------------------------------------------- */

static pass_result drop_identity(ir_graph *g, pass_result claim) {
    ir_for_each_node_safe (n, g->body) {
        if (n->op != OP_Identity) continue;
        ir_value_replace_uses(&n->out[0], n->in[0].value);
        ir_node_remove(n);
    }
    return claim;
}

static pass_result pass_liar(pass_ctx *ctx, ir_graph *g) {
    (void)ctx;
    return drop_identity(g, PASS_SAME);
}

static pass_result pass_wrong_type(pass_ctx *ctx, ir_graph *g) {
    g->body->last->out[0].type = ir_type_scalar(ctx->c, DT_i64);
    return PASS_CHANGED;
}

/* Keeps every type, changes what is computed. */
static pass_result pass_miscompile(pass_ctx *ctx, ir_graph *g) {
    ir_builder b = ir_build_before(g->body->last);
    ir_value *v = build_op1(&b, OP_Neg, g->body->last->in[0].value);
    (void)ctx;
    ir_node_set_operand(g->body->last, 0, v);
    return PASS_CHANGED;
}

static pass_result pass_mute(pass_ctx *ctx, ir_graph *g) {
    (void)ctx, (void)g;
    return PASS_FAILED;
}

static pass_result pass_restless(pass_ctx *ctx, ir_graph *g) {
    (void)ctx, (void)g;
    return PASS_CHANGED;
}

static const pass_info extra[] = {
    {"liar", "", pass_liar},
    {"wrong_type", "", pass_wrong_type},
    {"miscompile", "", pass_miscompile},
    {"mute", "", pass_mute},
    {"restless", "", pass_restless},
};
static char repro[64]; /* of this process: test runs of several builds may go on at once */

static bool run(fixture *f, const char *passes, pass_options o) {
    o.extra = extra;
    o.n_extra = sizeof extra / sizeof *extra;
    o.log = f->log;
    o.verify = true;
    o.reproducer = repro;
    o.command_line = "tlbc compile test.onnx";
    return pass_run(f->m, passes, &o);
}

static void test_finds_liar(void) {
    fixture f;
    fixture_init(&f);
    CHECK(!run(&f, "liar", (pass_options){0}));
    CHECK(strstr(first_error(&f), "pass 'liar' changed the IR and said it did not"));
    fixture_release(&f);
}

static void test_finds_broken_ir(void) {
    fixture f;
    fixture_init(&f);
    CHECK(!run(&f, "dce,wrong_type", (pass_options){0}));
    const diag *d = &f.c.diag;
    CHECK(d->n >= 2 && strstr(d->entries[d->n - 1].text, "pass 'wrong_type' broke the IR"));
    fixture_release(&f);
}

static void test_finds_miscompilation(void) {
    fixture f;
    fixture_init(&f);
    CHECK(run(&f, "default", (pass_options){.eval = true, .roundtrip = true}));
    CHECK(!run(&f, "miscompile", (pass_options){.eval = true}));
    CHECK(strstr(first_error(&f), "pass 'miscompile' changed what the graph computes: output 'y'"));
    fixture_release(&f);
}

static void test_mute_failure_and_unknown_pass(void) {
    fixture f;
    fixture_init(&f);
    CHECK(!run(&f, "mute", (pass_options){0}));
    CHECK_STR(first_error(&f), "bug: pass 'mute' failed without saying why");
    diag_clear(&f.c.diag);
    CHECK(!run(&f, "dce,nonsense", (pass_options){0}));
    CHECK_STR(first_error(&f), "pass 'nonsense' does not exist");
    diag_clear(&f.c.diag);
    CHECK(!run(&f, "fix(dce,restless)", (pass_options){0}));
    CHECK(strstr(first_error(&f), "do not settle"));
    fixture_release(&f);
}

/* ---- reproducer --------------------------------------------------------------------------------------------- */

static void test_reproducer(void) {
    static char text[8192];
    fixture f;
    unlink(repro);
    fixture_init(&f);
    CHECK(!run(&f, "dce,liar", (pass_options){0}));
    CHECK(strstr(logged(&f), repro));
    FILE *file = fopen(repro, "r");
    CHECK(file);
    if (!file) return;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    unlink(repro);
    CHECK(strncmp(text, "// tlbc compile test.onnx\n// RUN: liar\n", 39) == 0);
    CHECK(strstr(text, "Identity")); /* as it was before the liar */
    CHECK(!strstr(text, "%unused")); /* but after dce */
    CHECK(ir_module_parse(&f.c, &f.arena, "repro", text, strlen(text)));
    fixture_release(&f);
}

/* ---- skip, bisect, print ------------------------------------------------------------------------------------ */

static void test_skip(void) {
    fixture f;
    fixture_init(&f);
    CHECK(run(&f, "cse,dce,simplify", (pass_options){.skip = "dce,simplify.mul_one"}));
    CHECK_EQ(count_op(&f, OP_Relu), 1);
    CHECK_EQ(count_op(&f, OP_Mul), 1);
    CHECK_EQ(count_op(&f, OP_Identity), 0);
    CHECK(run(&f, "dce,simplify", (pass_options){0}));
    CHECK_EQ(count_op(&f, OP_Relu) + count_op(&f, OP_Mul), 0);
    fixture_release(&f);
}

static void test_bisect(void) {
    fixture f;
    fixture_init(&f);
    CHECK(run(&f, "cse,dce,simplify", (pass_options){.bisect = -1}));
    CHECK_EQ(count_op(&f, OP_Identity), 1);
    CHECK(run(&f, "cse,dce,simplify", (pass_options){.bisect = 2}));
    CHECK_EQ(count_op(&f, OP_Identity), 0);
    CHECK_EQ(count_op(&f, OP_Relu), 0);
    CHECK_EQ(count_op(&f, OP_Mul), 1);
    CHECK(strstr(logged(&f), "bisect: change 2 is dce.removed"));
    fixture_release(&f);
}

static bool has_negation(void *data, const ir_module *m) {
    ++*(int *)data;
    ir_for_each_node (n, m->graphs->body)
        if (n->op == OP_Neg) return true;
    return false;
}

static void test_bisect_finds_the_change(void) {
    pass_options o = {.extra = extra, .n_extra = sizeof extra / sizeof *extra};
    pass_trace t = {0};
    int asked = 0;
    fixture f;
    fixture_init(&f);
    CHECK(pass_bisect(f.m, "cse,dce,miscompile,simplify,dce", &o, has_negation, &asked, &t));
    CHECK_STR(t.last, "miscompile");
    CHECK_EQ(t.changes, 3); /* cse and dce made one each before it */
    CHECK(asked > 2);
    CHECK_EQ(count_op(&f, OP_Mul), 1); /* the module itself is as before */
    CHECK(!pass_bisect(f.m, "cse,dce", &o, has_negation, &asked, &t));
    CHECK(!pass_bisect(f.m, "cse,nosuch", &o, has_negation, &asked, &t));
    fixture_release(&f);
}

static void test_printing(void) {
    fixture f;
    fixture_init(&f);
    CHECK(run(&f, "simplify,simplify,dce",
              (pass_options){.print_only = "dce", .stats = true, .time = true}));
    const char *text = logged(&f);
    CHECK(strstr(text, "after dce") && !strstr(text, "after simplify"));
    CHECK(strstr(text, "1  simplify.mul_one"));
    CHECK(strstr(text, "simplify             2 runs, 1 changed"));
    fixture_release(&f);
}

static void test_debug_flags(void) {
    tl_fail fail = {0};
    tl_arena a;
    debug_flags d;
    const char *error = NULL;
    tl_arena_init(&a, &fail);
    CHECK(debug_parse(&d, &a, "print-changed,skip:cse,skip:dce,bisect=12,print:simplify", &error));
    CHECK(d.print_changed && !d.print && d.bisect == 12);
    CHECK_STR(d.skip, "cse,dce");
    CHECK_STR(d.print_only, "simplify");
    CHECK(debug_parse(&d, &a, NULL, &error) && d.bisect == -1 && !d.verify);
    CHECK(!debug_parse(&d, &a, "verify,nonsense", &error));
    CHECK(error && strstr(error, "'nonsense' is not known"));
    CHECK(!debug_parse(&d, &a, "bisect=x", &error));
    tl_str help;
    tl_str_init(&help, &a);
    debug_print_help(&help);
    CHECK(strstr(help.data, "  bisect=N ") && strstr(help.data, "  skip:PASS "));
    tl_arena_release(&a);
}

/* docs/DEBUGGING.md shows the flags as `tlbc --help-debug` prints them. */
static void test_debug_page(void) {
    tl_fail fail = {0};
    tl_arena a;
    tl_str help;
    tl_arena_init(&a, &fail);
    tl_str_init(&help, &a);
    debug_print_help(&help);
    FILE *file = fopen("docs/DEBUGGING.md", "r");
    if (!CHECK(file)) return;
    char *page = tl_arena_alloc(&a, 1 << 16, 1);
    page[fread(page, 1, (1 << 16) - 1, file)] = 0;
    fclose(file);
    CHECK(strstr(page, help.data));
    tl_arena_release(&a);
}

/* ---- out of memory ------------------------------------------------------------------------------------------ */

/* Parses and runs everything with the n-th allocation failing. */
static bool run_with_failure(uint64_t n, volatile bool *good) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena arena;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&arena, &fail);
    volatile bool done = false;
    if (setjmp(fail.jump) == 0) {
        fail.countdown = n;
        ir_module *m = ir_module_parse(&c, &arena, "test", small_model, strlen(small_model));
        pass_options o = {.verify = true, .roundtrip = true, .eval = true};
        *good = m && pass_run(m, "default", &o);
        done = true;
    }
    ir_ctx_release(&c);
    tl_arena_release(&arena);
    return done;
}

static void test_allocation_failures(void) {
    uint64_t n = 0;
    volatile bool good = false;
    while (!run_with_failure(++n, &good))
        ;
    CHECK(good);
    CHECK(n > 100);
}

int main(void) {
    snprintf(repro, sizeof repro, "/tmp/tlbc-pass-test-%ld.tl", (long)getpid());
    test_finds_liar();
    test_finds_broken_ir();
    test_finds_miscompilation();
    test_mute_failure_and_unknown_pass();
    test_reproducer();
    test_skip();
    test_bisect();
    test_bisect_finds_the_change();
    test_printing();
    test_debug_flags();
    test_debug_page();
    test_allocation_failures();
    unlink(repro);
    return check_done();
}
