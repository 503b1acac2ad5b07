/* codegen/llvm_*: loop IR compiled in memory and run against plain C. */
#include "codegen/object.h"
#include "tests/support/check.h"

#include <math.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    lp_module *m;
    cg_target target;
    cg_jit *jit;
} fixture;

static void setup(fixture *x) {
    memset(x, 0, sizeof *x);
    ir_ctx_init(&x->ctx, &x->fail);
    x->m = lp_module_create(&x->ctx, &x->ctx.arena);
    CHECK(cg_target_find(&x->ctx, "native", &x->target));
}

static void print_diag(fixture *x) {
    tl_str s;
    tl_str_init(&s, &x->ctx.arena);
    diag_render(&x->ctx.diag, &s);
    fputs(s.data, stderr);
}

static void *compile(fixture *x, const char *name) {
    cg_unit *u = cg_unit_create(&x->ctx, x->m, &(cg_unit_options){.target = &x->target});
    cg_unit_compile(u, CG_OBJECT);
    x->jit = cg_jit_create(&x->ctx, NULL, 0);
    void *f = x->jit && cg_jit_add(x->jit, u) ? cg_jit_find(x->jit, name) : NULL;
    if (!CHECK(f != NULL)) print_diag(x);
    return f;
}

static void teardown(fixture *x) {
    ir_ctx_release(&x->ctx);
}

/* y[i] = x[i] * 2.5; returns the sum of all. */
static void test_loop(void) {
    fixture x;
    setup(&x);
    lp_func *f = lp_func_create(x.m, "scale");
    f->external = true;
    f->result = lp_scalar(DT_f32);
    lp_value *in = lp_func_add_param(f, lp_scalar(LP_PTR), "x", LP_NOALIAS | LP_READONLY);
    lp_value *out = lp_func_add_param(f, lp_scalar(LP_PTR), "y", LP_NOALIAS);
    lp_value *n = lp_func_add_param(f, LP_I64, "n", 0);
    lp_builder b = lp_build_in(f);
    lp_value *k = lp_const_f(&b, lp_vec(DT_f32, 8), 2.5);
    lp_value *sum = lp_const_f(&b, lp_scalar(DT_f32), 0);
    lp_loop l = lp_for_begin(&b, lp_index(&b, 0), n, lp_index(&b, 8), &sum, 1);
    lp_value *v = lp_bin(&b, LP_mul, lp_load(&b, lp_vec(DT_f32, 8), in, l.counter), k);
    lp_store(&b, out, l.counter, v);
    lp_value *s = lp_bin(&b, LP_add, l.carried[0], lp_reduce(&b, LP_reduce_add, v));
    lp_for_end(&b, &l, &s);
    lp_return(&b, l.results[0]);
    float (*run)(const float *, float *,
                 int64_t) = (float (*)(const float *, float *, int64_t))compile(&x, "scale");
    float a[24], r[24] = {0};
    for (int i = 0; i < 24; i++)
        a[i] = (float)i;
    CHECK(run(a, r, 24) == 2.5f * 23 * 12);
    CHECK(r[0] == 0 && r[23] == 57.5f);
    CHECK(run(a, r, 0) == 0);
    teardown(&x);
}

int main(void) {
    test_loop();
    return check_done();
}
