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
    CHECK_STR(print(&x, f), "func @f(i64 %n) => i64 external summary \"a \\\"b\\\"\" {\n"
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

/* ---- text ----------------------------------------------------------------------------------------------------- */

static const char every_form[] =
    "func @helper(f32 %x, bool %c) => f32 noinline line 12 summary \"a \\\"b\\\"\" {\n"
    "  return %x\n"
    "}\n"
    "\n"
    "func @all(ptr noalias readonly align64 %p, ptr %q, i64 %n, f32 %\"a b\") external {\n"
    "  %0 = const f32x8 0.1\n"
    "  %1 = const f16 -inf\n"
    "  %2 = const u8x4 255\n"
    "  %yes = const bool true\n"
    "  %3 = load f32x8 %p[%n]\n"
    "  %4 = load f32x8 %p[8] align 32\n"
    "  %5 = fma f32x8 %3, %4, %0\n"
    "  %6 = lt f32x8 %5, %0\n"
    "  %7 = select f32x8 %6, %3, %5\n"
    "  %8 = cast i32x8 %7\n"
    "  %9 = bitcast u32x8 %7\n"
    "  %10 = broadcast f32x8 %\"a b\"\n"
    "  %11 = iota i64x8\n"
    "  %12 = extract f32 %10, 3\n"
    "  %13 = insert f32x8 %10, %12, 0\n"
    "  %14 = shuffle f32x4 %13, %3, [0, 8, -1, 15]\n"
    "  %15 = reduce_max f32 %14\n"
    "  store f32x8 %q[%n], %13 align 32\n"
    "  %16 = sub i64 %n, 8\n"
    "  %17 = load_masked f32x8 %p[%n], %16\n"
    "  store_masked f32x8 %q[0], %17, %n\n"
    "  %18 = gather f32x8 %p[%11]\n"
    "  scatter f32x8 %q[%11], %18\n"
    "  %19 = ptr_add ptr %q, -64\n"
    "  %20 = alloca ptr 256\n"
    "  prefetch %19, 64\n"
    "  %21 = buffer ptr 7\n"
    "  %22 = call f32 @helper(%15, %yes)\n"
    "  call void @tlbc_rt_barrier()\n"
    "  %23, %24 = for %i = 0 to %n step 8 carry(%25 = %0, %k = %n) {\n"
    "    for %j = %i to 9 step %n {\n"
    "      store f32 %20[%j], %22\n"
    "    }\n"
    "    yield %25, %i\n"
    "  }\n"
    "  %26 = while carry(%w = %24) {\n"
    "    %27 = gt i64 %w, 9\n"
    "    yield %27\n"
    "  } do(%v) {\n"
    "    %28 = shr i64 %v, 1\n"
    "    yield %28\n"
    "  }\n"
    "  if %yes {\n"
    "    store i64 %21[0], %26\n"
    "  }\n"
    "  %29, %30 = if %yes {\n"
    "    yield %22, %15\n"
    "  } else {\n"
    "    yield %15, %22\n"
    "  }\n"
    "}\n";

static lp_module *parse(fixture *x, const char *text) {
    return lp_module_parse(&x->ctx, &x->arena, "test.tl", text, strlen(text));
}

static const char *messages(fixture *x) {
    tl_str s;
    tl_str_init(&s, &x->arena);
    diag_render(&x->ctx.diag, &s);
    return s.data;
}

static const char *print_module(fixture *x, const lp_module *m) {
    tl_str s;
    tl_str_init(&s, &x->arena);
    lp_module_print(m, &s);
    return s.data;
}

static void test_round_trip(void) {
    fixture x;
    setup(&x);
    lp_module *m = parse(&x, every_form), *again;
    if (!CHECK(m != NULL)) fputs(messages(&x), stderr);
    if (!m) return;
    if (!CHECK(lp_module_verify(m, &x.ctx.diag))) fputs(messages(&x), stderr);
    CHECK_STR(print_module(&x, m), every_form);
    again = parse(&x, every_form);
    CHECK(lp_func_hash(m->funcs) == lp_func_hash(again->funcs));
    CHECK(lp_func_hash(m->last) == lp_func_hash(again->last));
    CHECK(lp_func_equal(m->last, again->last) && !lp_func_equal(m->last, again->funcs));
    teardown(&x);
}

/* What was built prints to a text that parses to something equal. */
static void test_built_round_trip(void) {
    fixture x;
    setup(&x);
    lp_func *f = build_scale(&x, "scale", 0.1, true);
    lp_module *m = parse(&x, print(&x, f));
    CHECK(m && lp_func_equal(m->funcs, f) && lp_func_hash(m->funcs) == lp_func_hash(f));
    teardown(&x);
}

/* One change of one thing must show in hash and equality. */
static void test_hash_sees(void) {
    static const char *const bodies[] = {
        "",
        "%a = add i64 %n, 8",
        "%a = add i64 %n, 9",
        "%a = add i64 8, %n",
        "%a = sub i64 %n, 8",
        "%a = add i64 %n, 8 %b = add i64 %n, 8",
        "%a = load f32 %p[8]",
        "%a = load f32 %p[8] align 64",
        "%a = load i32 %p[8]",
        "%a = load f32x4 %p[8]",
        "%a = load f32x4 %p[8] %b = shuffle f32x2 %a, %a, [0, 1]",
        "%a = load f32x4 %p[8] %b = shuffle f32x2 %a, %a, [0, 5]",
        "call void @g(%n)",
        "call void @h(%n)",
        "for %i = 0 to %n step 8 { }",
        "for %i = 0 to %n step 8 { store i64 %p[0], %i }",
        "for %i = 0 to %n step 8 { store i64 %p[0], %n }",
        "%c = const f32 0 store f32 %p[0], %c",
        "%c = const f32 -0.0 store f32 %p[0], %c",
        "%c = const f32 nan store f32 %p[0], %c",
    };
    enum { N = sizeof bodies / sizeof *bodies };
    fixture x;
    setup(&x);
    lp_func *f[N];
    for (int i = 0; i < N; i++) {
        lp_module *m = parse(
            &x, tl_arena_printf(&x.arena, "func @f(ptr %%p, i64 %%n) { %s }", bodies[i]));
        if (!CHECK(m != NULL)) fputs(messages(&x), stderr);
        f[i] = m->funcs;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            CHECK((lp_func_hash(f[i]) == lp_func_hash(f[j])) == (i == j));
            CHECK(lp_func_equal(f[i], f[j]) == (i == j));
        }
    teardown(&x);
}

/* Text that does not parse, or does not verify, with a part of the message. */
static const struct {
    const char *body, *message;
} mistakes[] = {
    {"%a = frobnicate f32 %n", "expected an operation, found 'frobnicate'"},
    {"%a = add i64 %n", "'add' takes 2 operands, not 1"},
    {"%a = add i64 %n, %m", "'%m' is not defined before"},
    {"%n = add i64 %n, %n", "'%n' is defined twice"},
    {"%a = add i64x999 %n, %n", "1 to 256 lanes"},
    {"%a = add i65 %n, %n", "expected a type"},
    {"%a, %b = add i64 %n, %n", "2 names for 1 values"},
    {"%a = store i64 %p[0], %n", "1 names for 0 values"},
    {"%a = const u8 256", "expected a value of type u8"},
    {"for %i = 0 to %n step 1 { store i64 %p[0], %i", "end of text"},
    {"yield %n", "nothing to yield to"},
    {"return %n return %n", "'return' stands behind a 'return'"},
    {"return %n", "returns a value it has no type for"},
    {"%a = add f32 %n, %n", "operand 1 has type i64, expected f32"},
    {"%c = const f16 1 %a = add f16 %c, %c", "not for f16"},
    {"%c = const f32 1 %a = shl f32 %c, %c", "not for f32"},
    {"%a = add ptr %p, %p", "not for ptr"},
    {"%a = neg bool %b", "not for bool"},
    {"%a = sqrt i64 %n", "not for i64"},
    {"%a = select i64 %n, %n, %n", "operand 1 has type i64, expected bool"},
    {"%a = cast ptr %n", "no conversion from i64 to ptr"},
    {"%a = bitcast f32 %n", "different sizes"},
    {"%a = broadcast i32x8 %n", "operand 1 has type i64, expected i32"},
    {"%a = broadcast i64x8 %n %c = extract i64 %a, 8", "there is no lane 8"},
    {"%a = broadcast i64x8 %n %c = insert i64x8 %a, %n, -1", "there is no lane -1"},
    {"%a = broadcast i64x8 %n %c = shuffle i64x1 %a, %a, [16]", "there is no lane 16"},
    {"%a = broadcast i64x6 %n %c = reduce_add i64 %a", "6 lanes cannot be halved"},
    {"%a = load i64 %n[0]", "operand 1 has type i64, expected ptr"},
    {"%a = load i64 %p[0] align 3", "not a power of two"},
    {"%a = load c64 %p[0]\n  %c = add c64 %a, %a", "not for c64"},
    {"%a = load c64 %p[0]\n  %c = cast f32 %a", "no conversion from c64 to f32"},
    {"%a = load i4 %p[0]\n%c = add i4 %a, %a", "not for i4"},
    {"%a = load str %p[0]\n  %c = eq str %a, %a", "not for str"},
    {"%a = load str %p[0]\n  %c = bitcast c128 %a\n  %d = cast f32 %c", "no conversion from c128"},
    {"store i32 %p[0], %n", "operand 3 has type i64, expected i32"},
    {"%a = gather i64x8 %p[%n]", "operand 2 has type i64, expected i64x8"},
    {"%a = load_masked i64x8 %p[%n], %b", "operand 3 has type bool, expected i64"},
    {"%a = alloca ptr 0", "no such size"},
    {"%a = ptr_add i64 %p, %n", "has no type but ptr"},
    {"call void @f(%n)", "'@f' takes 3 arguments, not 1"},
    {"call void @g(%n) call void @g(%p)", "operand 1 has type ptr, expected i64"},
    {"call void @g(%n) %a = call i64 @g(%n)", "called in another way"},
    {"for %i = 0 to %n step 0 { }", "the step is not positive"},
    {"for %i = %p to %n step 1 { }", "operand 1 has type ptr, expected i64"},
    {"%a = for %i = 0 to 1 step 1 carry(%c = %n) { }", "yields 0 values, expected 1"},
    {"%a = for %i = 0 to 1 step 1 carry(%c = %n) { yield %p }", "type ptr, expected i64"},
    {"for %i = 0 to 1 step 1 { %x = add i64 %i, 1 } store i64 %p[0], %x", "not defined here"},
    {"for %i = 0 to 1 step 1 { } store i64 %p[0], %i", "operand 3 is not defined here"},
    {"for %i = 0 to 1 step 1 { return %n }", "stands inside a block"},
    {"%a = while carry(%c = %n) { } do(%d) { yield %d }", "yield of one value"},
    {"%a = while carry(%c = %n) { yield %c } do(%d) { yield %d }", "i64, expected bool"},
    {"if %n { }", "operand 1 has type i64, expected bool"},
    {"%a = if %b { yield %n }", "a block is missing"},
    {"%a = if %b { yield %n } else { yield %p }", "type ptr, expected i64"},
    {"%a = if %b { } else { }", "yields other than 1 values"},
};

static void test_mistakes(void) {
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        fixture x;
        setup(&x);
        lp_module *m = parse(&x,
                             tl_arena_printf(&x.arena, "func @f(ptr %%p, i64 %%n, bool %%b) { %s }",
                                             mistakes[i].body));
        bool ok = m && lp_module_verify(m, &x.ctx.diag);
        if (!CHECK(!ok && strstr(messages(&x), mistakes[i].message)))
            fprintf(stderr, "  %s\n  wanted: %s\n  got: %s", mistakes[i].body, mistakes[i].message,
                    messages(&x));
        teardown(&x);
    }
}

/* All errors of a module in one run, each with its line. */
static void test_reports_all(void) {
    fixture x;
    setup(&x);
    lp_module *m = parse(&x, "func @f(i64 %n) { %a = sqrt i64 %n }\n"
                             "func @g(i64 %n) => i64 { %b = neg ptr %n }\n");
    CHECK(m && !lp_module_verify(m, &x.ctx.diag));
    CHECK_EQ(x.ctx.diag.n_errors, 4);
    CHECK(strstr(messages(&x), "test.tl:1") && strstr(messages(&x), "%a = sqrt i64 %n"));
    teardown(&x);
}

/* docs/LOOP_IR.md has a row for each operation, with its summary. */
static void test_documented(void) {
    static char text[1 << 16];
    static const char *const summaries[] = {
#define LP_OP(name, args, summary) "| `" #name "` |", summary,
#include "codegen/loop_ops.def"
#undef LP_OP
    };
    FILE *f = fopen("docs/LOOP_IR.md", "r");
    if (!CHECK(f != NULL)) return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    CHECK(n > 0);
    for (size_t i = 0; i < sizeof summaries / sizeof *summaries; i++)
        if (!CHECK(strstr(text, summaries[i]))) fprintf(stderr, "  %s\n", summaries[i]);
}

int main(void) {
    test_print();
    test_print_control();
    test_print_constants();
    test_fold();
    test_merge();
    test_round_trip();
    test_built_round_trip();
    test_hash_sees();
    test_mistakes();
    test_reports_all();
    test_documented();
    return check_done();
}
