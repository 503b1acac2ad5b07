/* Fuzz target: the default pipeline on random graphs (tests/support/random_graph.c). After every pass the IR must verify, survive
 * the round trip through text, and compute what it computed before; only rewrites that keep every bit are on, so that comparisons
 * and casts in the graph do not turn a rounding into a difference. Texts of odd length go through the e-graph as well.
 *
 * A random graph may contradict itself (N is 1 here and 3 there), which passes may find out: one that runs on no inputs may end
 * in a message. */
#include "passes/oracle.h"
#include "passes/pass.h"
#include "tests/support/random_graph.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail_with(ir_ctx *c, tl_arena *a) {
    tl_str text;
    tl_str_init(&text, a);
    diag_render(&c->diag, &text);
    fputs(text.data, stderr);
    abort();
}

static void run(ir_ctx *c, tl_arena *a, const uint8_t *data, size_t size) {
    ir_module *m = random_module(c, a, data, size);
    if (!ir_module_verify(m)) fail_with(c, a);
    pass_options o = {.verify = true,
                      .roundtrip = true,
                      .eval = true,
                      .math_plus_one = PASS_MATH_STRICT + 1,
                      .simplify = size & 1 ? PASS_SIMPLIFY_EGRAPH : PASS_SIMPLIFY_CLASSIC,
                      .reproducer = "fuzz_passes.tl",
                      .command_line = "fuzz_passes"};
    pass_oracle oracle;
    bool valid = oracle_init(&oracle, m, a, 1);
    o.log = valid ? NULL : fopen("/dev/null", "w");
    if (!pass_run(m, "default", &o) && valid) fail_with(c, a);
    if (o.log) fclose(o.log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    if (setjmp(fail.jump) == 0) run(&c, &a, data, size);
    ir_ctx_release(&c);
    tl_arena_release(&a);
    return 0;
}
