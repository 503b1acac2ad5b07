/* For tests of code generation: loop IR text is collected, compiled in memory, and its functions are called.
 *
 *   static void test_x(const cg_target *target) {
 *       fixture x;
 *       setup(&x, target);
 *       tl_str_puts(&x.text, "func @f(...) external { ... }");
 *       if (compile_checked(&x)) find(&x, "f")(a, b, c, r, n);
 *       teardown(&x);
 *   }
 *   int main(void) { return run_on_each_cpu((cpu_test *const[]){test_x, NULL}); } */
#ifndef TLBC_TESTS_JIT_FIXTURE_H
#define TLBC_TESTS_JIT_FIXTURE_H

#include "codegen/object.h"
#include "runtime/cpu.h"
#include "tests/support/check.h"

#include <math.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    tl_str text;
    const cg_target *target;
    cg_jit *jit;
} fixture;

static inline void setup(fixture *x, const cg_target *t) {
    memset(x, 0, sizeof *x);
    ir_ctx_init(&x->ctx, &x->fail);
    tl_str_init(&x->text, &x->ctx.arena);
    x->target = t;
}

static inline void teardown(fixture *x) {
    ir_ctx_release(&x->ctx);
}

static inline void show_messages(fixture *x) {
    tl_str s;
    tl_str_init(&s, &x->ctx.arena);
    diag_render(&x->ctx.diag, &s);
    fputs(s.data, stderr);
}

static inline double libm_fma(double x, double y, double z) {
    return fma(x, y, z);
}

/* What the text has grown to, as code; fma and fmod are the only functions it may need. */
static inline bool compile(fixture *x) {
    static const cg_symbol symbols[] = {
        {"fmaf", (const void *)fmaf},     {"fma", (const void *)libm_fma},
        {"fmodf", (const void *)fmodf},   {"fmod", (const void *)fmod},
        {"memset", (const void *)memset}, {"memcpy", (const void *)memcpy}};
    lp_module *m = lp_module_parse(&x->ctx, &x->ctx.arena, "test", x->text.data, x->text.len);
    if (!m || !lp_module_verify(m, &x->ctx.diag)) return false;
    cg_unit *u = cg_unit_create(&x->ctx, m, &(cg_unit_options){.target = x->target});
    cg_unit_compile(u, CG_OBJECT);
    x->jit = cg_jit_create(&x->ctx, symbols, sizeof symbols / sizeof *symbols);
    return x->jit && cg_jit_add(x->jit, u);
}

static inline bool compile_checked(fixture *x) {
    bool ok = compile(x);
    if (!CHECK(ok)) show_messages(x);
    return ok;
}

/* All operations are tried in functions of this type: arrays in, array out, n elements. */
typedef void array_fn(const void *x, const void *y, const void *z, void *r, int64_t n);

static inline array_fn *find(fixture *x, const char *name) {
    array_fn *f = (array_fn *)cg_jit_find(x->jit, name);
    if (!CHECK(f != NULL)) show_messages(x);
    return f;
}

typedef void cpu_test(const cg_target *target);

/* Each test for each CPU level that this machine has; the machine itself where it has more than those. */
static inline int run_on_each_cpu(cpu_test *const *tests) {
    static const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "native"};
    tl_fail fail = {0};
    ir_ctx ctx;
    uint64_t done = 0;
    ir_ctx_init(&ctx, &fail);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cg_target t;
        CHECK(cg_target_find(&ctx, names[i], &t));
        bool runs = (t.required & tlbc_rt_cpu_features()) == t.required;
        if (runs && t.required == done) continue;
        done = runs ? t.required : done;
        if (!runs) printf("# %s: not on this machine\n", names[i]);
        for (int k = 0; runs && tests[k]; k++)
            tests[k](&t);
    }
    ir_ctx_release(&ctx);
    return check_done();
}

#endif
