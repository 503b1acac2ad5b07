/* codegen/loop: building, folding of index arithmetic, printing, hashing and merging. */
#include "codegen/loop.h"
#include "tests/support/check.h"

#include <math.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    tl_arena arena;
    lp_module *m;
} fixture;

static void setup(fixture *x) {
    memset(x, 0, sizeof *x);
    ir_ctx_init(&x->ctx, &x->fail);
    tl_arena_init(&x->arena, &x->fail);
    x->m = lp_module_create(&x->ctx, &x->arena);
}

static void teardown(fixture *x) {
    tl_arena_release(&x->arena);
    ir_ctx_release(&x->ctx);
}

static const char *print(fixture *x, const lp_func *f) {
    tl_str s;
    tl_str_init(&s, &x->arena);
    lp_func_print(f, &s);
    return s.data;
}

/* y[i] = x[i] * factor, and the last vector's sum. */
static lp_func *build_scale(fixture *x, const char *name, double factor, bool const_inside) {
    lp_func *f = lp_func_create(x->m, name);
    lp_value *in = lp_func_add_param(f, lp_scalar(LP_PTR), "x", LP_NOALIAS | LP_READONLY);
    lp_value *out = lp_func_add_param(f, lp_scalar(LP_PTR), "y", LP_NOALIAS);
    lp_value *n = lp_func_add_param(f, LP_I64, "n", 0);
    f->noinline_ = true;
    lp_builder b = lp_build_in(f);
    lp_value *k = const_inside ? NULL : lp_const_f(&b, lp_vec(DT_f32, 8), factor);
    lp_value *sum = lp_const_f(&b, lp_scalar(DT_f32), 0);
    lp_loop l = lp_for_begin(&b, lp_index(&b, 0), n, lp_index(&b, 8), &sum, 1);
    l.counter->name = "i";
    if (const_inside) k = lp_const_f(&b, lp_vec(DT_f32, 8), factor);
    lp_value *v = lp_bin(&b, LP_mul, lp_load(&b, lp_vec(DT_f32, 8), in, l.counter), k);
    lp_store(&b, out, l.counter, v);
    lp_value *s = lp_bin(&b, LP_add, l.carried[0], lp_reduce(&b, LP_reduce_add, v));
    lp_for_end(&b, &l, &s);
    lp_store(&b, out, n, l.results[0]);
    return f;
}

static void test_print(void) {
    fixture x;
    setup(&x);
    CHECK_STR(print(&x, build_scale(&x, "scale", 0.1, false)),
              "func @scale(ptr noalias readonly %x, ptr noalias %y, i64 %n) noinline {\n"
              "  %0 = const f32x8 0.1\n"
              "  %1 = const f32 0\n"
              "  %2 = for %i = 0 to %n step 8 carry(%3 = %1) {\n"
              "    %4 = load f32x8 %x[%i]\n"
              "    %5 = mul f32x8 %4, %0\n"
              "    store f32x8 %y[%i], %5\n"
              "    %6 = reduce_add f32 %5\n"
              "    %7 = add f32 %3, %6\n"
              "    yield %7\n"
              "  }\n"
              "  store f32 %y[%n], %2\n"
              "}\n");
    teardown(&x);
}

static void test_print_control(void) {
    fixture x;
    setup(&x);
    lp_func *f = lp_func_create(x.m, "f");
    lp_value *n = lp_func_add_param(f, LP_I64, "n", 0);
    f->result = LP_I64;
    f->external = true;
    f->summary = "a \"b\"";
    lp_builder b = lp_build_in(f);
    lp_loop w = lp_while_begin(&b, &n, 1);
    lp_while_do(&b, &w, lp_bin(&b, LP_gt, w.carried[0], lp_index(&b, 9)));
    lp_value *next = lp_bin(&b, LP_shr, w.carried[0], lp_index(&b, 1));
    lp_while_end(&b, &w, &next);
    lp_type t = LP_I64;
    lp_loop i = lp_if_begin(&b, lp_bin(&b, LP_eq, w.results[0], n), &t, 1);
    lp_value *c = lp_call(&b, "g", LP_I64, &n, 1);
    lp_if_else(&b, &i, &c);
    lp_if_end(&b, &i, &n);
    lp_return(&b, i.results[0]);
    CHECK_STR(print(&x, f), "func @f(i64 %n) -> i64 external summary \"a \\\"b\\\"\" {\n"
                            "  %0 = while carry(%1 = %n) {\n"
                            "    %2 = gt i64 %1, 9\n"
                            "    yield %2\n"
                            "  } do(%3) {\n"
                            "    %4 = shr i64 %3, 1\n"
                            "    yield %4\n"
                            "  }\n"
                            "  %5 = eq i64 %0, %n\n"
                            "  %6 = if %5 {\n"
                            "    %7 = call i64 @g(%n)\n"
                            "    yield %7\n"
                            "  } else {\n"
                            "    yield %n\n"
                            "  }\n"
                            "  return %6\n"
                            "}\n");
    teardown(&x);
}

static void test_print_constants(void) {
    fixture x;
    setup(&x);
    lp_func *f = lp_func_create(x.m, "f");
    lp_builder b = lp_build_in(f);
    lp_const_f(&b, lp_scalar(DT_f32), 1.0 / 3)->name = "c";
    lp_const_f(&b, lp_scalar(DT_f64), 1.0 / 3)->name = "c";
    lp_const_f(&b, lp_scalar(DT_f32), -INFINITY);
    lp_const_f(&b, lp_scalar(DT_f32), -0.0);
    lp_const_i(&b, lp_vec(DT_u8, 4), -1);
    lp_const_i(&b, lp_scalar(DT_i8), 255);
    lp_const_i(&b, lp_scalar(DT_u64), -1);
    CHECK_STR(print(&x, f), "func @f() {\n"
                            "  %c = const f32 0.33333334\n"
                            "  %c.1 = const f64 0.3333333333333333\n"
                            "  %0 = const f32 -inf\n"
                            "  %1 = const f32 -0\n"
                            "  %2 = const u8x4 255\n"
                            "  %3 = const i8 -1\n"
                            "  %4 = const u64 18446744073709551615\n"
                            "}\n");
    teardown(&x);
}

static int64_t folded(lp_value *v) {
    int64_t x = INT64_MIN + 12345;
    CHECK(lp_value_is_const_i(v, &x));
    return x;
}

static void test_fold(void) {
    fixture x;
    setup(&x);
    lp_func *f = lp_func_create(x.m, "f");
    lp_value *n = lp_func_add_param(f, LP_I64, "n", 0);
    lp_builder b = lp_build_in(f);
    lp_value *zero = lp_index(&b, 0), *one = lp_index(&b, 1);
    lp_value *c7 = lp_index(&b, 7), *m3 = lp_index(&b, -3);
    CHECK_EQ(folded(lp_bin(&b, LP_add, c7, m3)), 4);
    CHECK_EQ(folded(lp_bin(&b, LP_sub, c7, m3)), 10);
    CHECK_EQ(folded(lp_bin(&b, LP_mul, c7, m3)), -21);
    CHECK_EQ(folded(lp_bin(&b, LP_div, c7, m3)), -2);
    CHECK_EQ(folded(lp_bin(&b, LP_rem, c7, m3)), 1);
    CHECK_EQ(folded(lp_bin(&b, LP_min, c7, m3)), -3);
    CHECK_EQ(folded(lp_bin(&b, LP_lt, c7, m3)), 0);
    CHECK_EQ(folded(lp_bin(&b, LP_mul, n, zero)), 0);
    CHECK_EQ(folded(lp_bin(&b, LP_rem, n, one)), 0);
    CHECK(lp_bin(&b, LP_add, n, zero) == n);
    CHECK(lp_bin(&b, LP_add, zero, n) == n);
    CHECK(lp_bin(&b, LP_sub, n, zero) == n);
    CHECK(lp_bin(&b, LP_mul, one, n) == n);
    CHECK(lp_bin(&b, LP_div, n, one) == n);
    int64_t c;
    CHECK(!lp_value_is_const_i(lp_bin(&b, LP_sub, zero, n), &c));
    CHECK(!lp_value_is_const_i(lp_bin(&b, LP_div, n, zero), &c));
    CHECK(!lp_value_is_const_i(lp_bin(&b, LP_div, c7, zero), &c));
    teardown(&x);
}

static void test_merge(void) {
    fixture x;
    setup(&x);
    lp_func *a = build_scale(&x, "a", 2, false);
    CHECK(lp_module_merge(x.m, a) == a);
    CHECK(lp_module_merge(x.m, build_scale(&x, "b", 2, true)) == a);
    lp_func *c = build_scale(&x, "c", 3, true);
    CHECK(lp_module_merge(x.m, c) == c);
    CHECK(lp_module_merge(x.m, build_scale(&x, "d", 3, false)) == c);
    CHECK_EQ(x.m->n_funcs, 2);
    CHECK(x.m->funcs == a && a->next == c && x.m->last == c && !c->next);
    CHECK(!lp_module_find(x.m, "b"));
    CHECK(lp_module_find(x.m, "c") == c);
    teardown(&x);
}

int main(void) {
    test_print();
    test_print_control();
    test_print_constants();
    test_fold();
    test_merge();
    return check_done();
}
