/* codegen/llvm_*: memory, lanes, control flow, calls, compiled in memory and compared with plain C. */
#include "tests/support/jit_fixture.h"

#define HEAD "(ptr %x, ptr %y, ptr %z, ptr %r, i64 %n) external {\n"

static array_fn *compile_one(fixture *x, const cg_target *target, const char *body) {
    setup(x, target);
    tl_str_puts(&x->text, "func @f" HEAD);
    tl_str_puts(&x->text, body);
    tl_str_puts(&x->text, "\n}\n");
    return compile_checked(x) ? find(x, "f") : NULL;
}

/* Runs one function; the test says what r must hold. */
static bool run(const cg_target *target, const char *body, const void *a, void *b, void *r,
                int64_t n) {
    fixture x;
    array_fn *f = compile_one(&x, target, body);
    if (f) f(a, b, NULL, r, n);
    teardown(&x);
    return f != NULL;
}

static void count_up(float *x, int n) {
    for (int i = 0; i < n; i++)
        x[i] = (float)i + 1;
}

/* ---- masked --------------------------------------------------------------------------------------------------- */

/* Every count, also negative and above the lanes; the memory behind the last lane is not touched. */
static void check_masked(const cg_target *target, const char *elem, int lanes, size_t size) {
    fixture x;
    char body[256];
    snprintf(body, sizeof body,
             "%%v = load_masked %sx%d %%x[1], %%n\nstore %sx%d %%r[0], %%v\n"
             "store_masked %sx%d %%y[1], %%v, %%n",
             elem, lanes, elem, lanes, elem, lanes);
    array_fn *f = compile_one(&x, target, body);
    for (int n = -3; f && n <= lanes + 2; n++) {
        unsigned char in[8 * 20], out[8 * 20], r[8 * 20], whole = (unsigned char)size;
        int valid = n < 0 ? 0 : n > lanes ? lanes : n;
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = (unsigned char)(i * 37 + 1);
        memset(out, 0xee, sizeof out);
        f(in, out, NULL, r, n);
        bool same = memcmp(r, in + whole, (size_t)valid * size) == 0;
        for (size_t i = (size_t)valid * size; i < (size_t)lanes * size; i++)
            same = same && r[i] == 0;
        CHECK(same);
        CHECK(memcmp(out + whole, in + whole, (size_t)valid * size) == 0);
        bool untouched = true;
        for (size_t i = 0; i < sizeof out; i++)
            if (i < size || i >= size * (size_t)(valid + 1))
                untouched = untouched && out[i] == 0xee;
        CHECK(untouched);
    }
    teardown(&x);
}

static void test_masked(const cg_target *target) {
    static const struct {
        const char *elem;
        size_t size;
    } types[] = {{"f32", 4}, {"i32", 4}, {"f64", 8}, {"i64", 8}, {"i16", 2}, {"f16", 2}, {"u8", 1}};
    static const int lanes[] = {4, 8, 16};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t k = 0; k < 3; k++)
            check_masked(target, types[i].elem, lanes[k], types[i].size);
}

static void test_masked_scalar(const cg_target *target) {
    float a[2] = {5, 6}, r[2];
    static const char body[] = "%v = load_masked f32 %x[0], %n\nstore f32 %r[0], %v\n"
                               "%one = const f32 1\nstore_masked f32 %r[1], %one, %n";
    for (int n = -1; n < 3; n++) {
        r[1] = 9;
        CHECK(run(target, body, a, NULL, r, n));
        CHECK(r[0] == (n > 0 ? 5.0f : 0.0f) && r[1] == (n > 0 ? 1.0f : 9.0f));
    }
}

/* A mask known at compile time. */
static void test_masked_constant(const cg_target *target) {
    float a[8], r[8];
    count_up(a, 8);
    CHECK(run(target, "%v = load_masked f32x8 %x[0], 3\nstore f32x8 %r[0], %v", a, NULL, r, 0));
    CHECK(r[0] == 1 && r[2] == 3 && r[3] == 0 && r[7] == 0);
}

/* ---- bool, gather, scatter ------------------------------------------------------------------------------------ */

static void test_bool_memory(const cg_target *target) {
    uint8_t in[16] = {0, 1, 2, 255, 0, 128, 1, 0, 1, 1, 1, 1, 0, 0, 0, 9}, r[16], n[16];
    CHECK(run(target,
              "%v = load boolx16 %x[0]\nstore boolx16 %r[0], %v\n"
              "%w = not boolx16 %v\nstore boolx16 %y[0], %w",
              in, n, r, 0));
    for (int i = 0; i < 16; i++)
        CHECK(r[i] == (in[i] != 0) && n[i] == (in[i] == 0));
}

static void test_gather_scatter(const cg_target *target) {
    int64_t index[8] = {3, 0, 7, 7, 1, 3, 2, 3};
    float a[8], r[8] = {0};
    count_up(a, 8);
    CHECK(run(target, "%i = load i64x8 %y[0]\n%v = gather f32x8 %x[%i]\nstore f32x8 %r[0], %v", a,
              index, r, 0));
    for (int i = 0; i < 8; i++)
        CHECK(r[i] == a[index[i]]);
    memset(r, 0, sizeof r);
    CHECK(run(target, "%i = load i64x8 %y[0]\n%v = load f32x8 %x[0]\nscatter f32x8 %r[%i], %v", a,
              index, r, 0));
    float expected[8] = {2, 5, 7, 8, 0, 0, 0, 4}; /* the last of equal indices wins */
    CHECK(memcmp(r, expected, sizeof r) == 0);
    uint8_t flags[8] = {1, 0, 1, 1, 0, 0, 1, 1}, taken[8];
    CHECK(run(target, "%i = load i64x8 %y[0]\n%v = gather boolx8 %x[%i]\nstore boolx8 %r[0], %v",
              flags, index, taken, 0));
    for (int i = 0; i < 8; i++)
        CHECK(taken[i] == flags[index[i]]);
}

/* ---- lanes ---------------------------------------------------------------------------------------------------- */

static void test_lanes(const cg_target *target) {
    float a[16], b[8], r[16];
    count_up(a, 16);
    for (int i = 0; i < 8; i++)
        b[i] = -a[i];
    CHECK(run(target,
              "%v = load f32x8 %x[0]\n%w = load f32x8 %y[0]\n"
              "%s = shuffle f32x8 %v, %w, [7, 8, 0, 15, 3, 3, 12, 1]\nstore f32x8 %r[0], %s\n"
              "%e = extract f32 %v, 5\n%i = insert f32x8 %w, %e, 2\n"
              "%h = shuffle f32x4 %i, %i, [1, 2, 3, 4]\nstore f32x4 %r[8], %h\n"
              "%b = broadcast f32x4 %e\nstore f32x4 %r[12], %b",
              a, b, r, 0));
    float expected[16] = {8, -1, 1, -8, 4, 4, -5, 2, -2, 6, -4, -5, 6, 6, 6, 6};
    CHECK(memcmp(r, expected, sizeof r) == 0);
    CHECK(run(target,
              "%i = iota i32x8\n%f = iota f32x8\n%c = cast f32x8 %i\n%e = eq f32x8 %c, %f\n"
              "%a = load f32x8 %x[0]\n%b = load f32x8 %y[0]\n%two = const f32x8 2\n"
              "%odd = lt f32x8 %two, %f\n%s = select f32x8 %odd, %a, %b\nstore f32x8 %r[0], %s\n"
              "%u = load f32 %x[3]\n%s1 = shuffle f32x2 %u, %u, [0, 1]\nstore f32x2 %r[8], %s1\n"
              "%all = reduce_min bool %e\n%one = cast f32 %all\nstore f32 %r[10], %one",
              a, b, r, 0));
    float chosen[11] = {-1, -2, -3, 4, 5, 6, 7, 8, 4, 4, 1};
    CHECK(memcmp(r, chosen, sizeof chosen) == 0);
}

static void test_bitcast(const cg_target *target) {
    float a[8] = {1, -2, 0.5f, NAN, INFINITY, -0.0f, 3e-39f, 7}, back[8];
    uint32_t bits[8];
    CHECK(run(target,
              "%v = load f32x8 %x[0]\n%b = bitcast u32x8 %v\nstore u32x8 %r[0], %b\n"
              "%f = bitcast f32x8 %b\nstore f32x8 %y[0], %f",
              a, back, bits, 0));
    CHECK(memcmp(bits, a, sizeof a) == 0 && memcmp(back, a, sizeof a) == 0);
    uint8_t bytes[4] = {0, 1, 1, 0}, r[4];
    CHECK(run(target, "%v = load boolx4 %x[0]\n%b = bitcast u8x4 %v\nstore u8x4 %r[0], %b", bytes,
              NULL, r, 0));
    CHECK(memcmp(bytes, r, 4) == 0);
}

/* ---- reductions ----------------------------------------------------------------------------------------------- */

static float halves(float *x, int n, int op) {
    for (n /= 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            x[i] = op == 0   ? x[i] + x[i + n]
                   : op == 1 ? x[i] * x[i + n]
                   : op == 2 ? fminf(x[i], x[i + n])
                             : fmaxf(x[i], x[i + n]);
    return x[0];
}

/* Rounding shows the order: halves are added to halves. */
static void test_reductions(const cg_target *target) {
    static const char *const ops[] = {"reduce_add", "reduce_mul", "reduce_min", "reduce_max"};
    for (int lanes = 1; lanes <= 32; lanes *= 2)
        for (int op = 0; op < 4; op++) {
            float a[32], copy[32], r;
            char body[160];
            for (int i = 0; i < 32; i++)
                a[i] = copy[i] = sinf((float)i * 3 + 1) * (op == 0 && i % 3 ? 1e5f : 1.7f);
            snprintf(body, sizeof body,
                     "%%v = load f32x%d %%x[0]\n%%s = %s f32 %%v\nstore f32 %%r[0], %%s", lanes,
                     ops[op]);
            CHECK(run(target, body, a, NULL, &r, 0));
            CHECK(r == halves(copy, lanes, op));
            if (op < 2) continue;
            a[lanes / 2] = NAN;
            CHECK(run(target, body, a, NULL, &r, 0) && isnan(r));
        }
    int32_t k[8] = {5, -3, 9, 2, -8, 1, 0, 4}, sum, low;
    CHECK(run(target, "%v = load i32x8 %x[0]\n%s = reduce_add i32 %v\nstore i32 %r[0], %s", k, 0,
              &sum, 0));
    CHECK(run(target, "%v = load i32x8 %x[0]\n%s = reduce_min i32 %v\nstore i32 %r[0], %s", k, 0,
              &low, 0));
    CHECK(sum == 10 && low == -8);
}

/* ---- control flow --------------------------------------------------------------------------------------------- */

/* Sums over i < n, j from i to 10 by 3; counts turns. All kinds of trip counts: unknown, none, one. */
static void test_nested_loops(const cg_target *target) {
    static const char body[] =
        "%t, %c = for %i = 0 to %n step 1 carry(%a = 0, %k = 0) {\n"
        "  %t1, %c1 = for %j = %i to 10 step 3 carry(%b = %a, %m = %k) {\n"
        "    %p = mul i64 %i, %j\n    %s = add i64 %b, %p\n    %m1 = add i64 %m, 1\n"
        "    yield %s, %m1\n  }\n  yield %t1, %c1\n}\n"
        "%one = for %i2 = 5 to 8 step 3 carry(%o = %t) {\n  %o1 = add i64 %o, %i2\n  yield %o1\n}\n"
        "%none = for %i3 = 5 to 5 step 1 carry(%q = %one) {\n  yield %i3\n}\n"
        "store i64 %r[0], %none\nstore i64 %r[1], %c";
    for (int64_t n = -1; n < 13; n++) {
        int64_t sum = 5, count = 0, r[2];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < 10; j += 3)
                sum += i * j, count++;
        CHECK(run(target, body, NULL, NULL, r, n));
        CHECK_EQ(r[0], sum);
        CHECK_EQ(r[1], count);
    }
}

/* Collatz steps of n, with an if that gives two results inside a while. */
static void test_while_if(const cg_target *target) {
    static const char body[] =
        "%s, %v = while carry(%steps = 0, %x0 = %n) {\n  %go = gt i64 %x0, 1\n  yield %go\n"
        "} do(%k, %y0) {\n  %odd = and i64 %y0, 1\n  %is = ne i64 %odd, 0\n"
        "  %next, %w = if %is {\n    %t = mul i64 %y0, 3\n    %u = add i64 %t, 1\n    yield %u, 1\n"
        "  } else {\n    %h = shr i64 %y0, 1\n    yield %h, 0\n  }\n"
        "  if %is {\n    %ups = load i64 %r[1]\n    %ups1 = add i64 %ups, %w\n"
        "    store i64 %r[1], %ups1\n  }\n  %k1 = add i64 %k, 1\n  yield %k1, %next\n}\n"
        "store i64 %r[0], %s";
    for (int64_t n = 0; n < 30; n++) {
        int64_t r[2] = {0}, steps = 0, ups = 0;
        for (int64_t v = n; v > 1; v = v & 1 ? 3 * v + 1 : v / 2, steps++)
            ups += v & 1;
        CHECK(run(target, body, NULL, NULL, r, n));
        CHECK(r[0] == steps && r[1] == ups);
    }
}

/* A place on the stack per function, not per turn; 64-byte aligned. */
static void test_alloca(const cg_target *target) {
    int64_t r[2] = {0};
    CHECK(run(target,
              "for %i = 0 to %n step 1 {\n  %p = alloca ptr 4096\n  store i64 %p[%i], %i\n"
              "  %q = ptr_add ptr %p, 8\n  prefetch %q, 64\n"
              "  %v = load i64 %q[0]\n  store i64 %r[0], %v\n}\n",
              NULL, NULL, r, 500));
    CHECK_EQ(r[0], 1);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static void test_calls(const cg_target *target) {
    fixture x;
    setup(&x, target);
    tl_str_puts(&x.text,
                "func @f" HEAD "  %a = load f32x8 %x[0]\n  %c = lt i64 %n, 3\n"
                "  %u = const u8 200\n  %i = const i8 -5\n"
                "  %b = call f32x8 @kernel(%a, %c, %u, %i)\n  store f32x8 %r[0], %b\n"
                "  %z0 = const f32 2\n  %d = call f32 @outside(%z0, %c)\n  store f32 %r[0], %d\n}\n"
                "func @kernel(f32x8 %v, bool %c, u8 %u, i8 %i) => f32x8 noinline {\n"
                "  %w = neg f32x8 %v\n  %r = if %c { yield %w } else { yield %v }\n"
                "  %uf = cast f32 %u\n  %if = cast f32 %i\n  %s = add f32 %uf, %if\n"
                "  %sv = broadcast f32x8 %s\n  %t = add f32x8 %r, %sv\n  return %t\n}\n"
                "func @outside(f32 %x, bool %c) => f32 noinline external {\n"
                "  %y = cast f32 %c\n  %z = add f32 %x, %y\n  return %z\n}\n");
    float a[8], r[8];
    count_up(a, 8);
    if (compile_checked(&x)) {
        find(&x, "f")(a, NULL, NULL, r, 2);
        CHECK(r[0] == 3 && r[1] == 195 - 2);
        find(&x, "f")(a, NULL, NULL, r, 4);
        CHECK(r[0] == 2 && r[1] == 195 + 2);
        float (*outside)(float, bool) = (float (*)(float, bool))(void *)find(&x, "outside");
        CHECK(outside(1.5f, true) == 2.5f && outside(1.5f, false) == 1.5f);
    }
    teardown(&x);
}

/* A symbol nobody gave: a report, not a crash. */
static void test_unknown_symbol(const cg_target *target) {
    fixture x;
    setup(&x, target);
    tl_str_puts(&x.text, "func @f() external {\n  call void @nobody()\n}\n");
    CHECK(compile(&x));
    CHECK(!cg_jit_find(x.jit, "f"));
    CHECK(x.ctx.diag.n_errors == 1 && strstr(x.ctx.diag.entries[0].text, "nobody"));
    teardown(&x);
}

/* A program of very many calls is compiled without optimisation, and still right. */
static void test_many_calls(const cg_target *target) {
    fixture x;
    setup(&x, target);
    tl_str_puts(&x.text, "func @add(ptr %p, i64 %i) noinline {\n%a = load i64 %p[0]\n"
                         "%b = add i64 %a, %i\nstore i64 %p[0], %b\n}\nfunc @f" HEAD);
    for (int i = 0; i < 5000; i++)
        tl_str_printf(&x.text, "call void @add(%%r, %d)\n", i % 10);
    tl_str_puts(&x.text, "}\n");
    int64_t r = 0;
    if (compile_checked(&x)) find(&x, "f")(NULL, NULL, NULL, &r, 0);
    CHECK_EQ(r, 22500);
    teardown(&x);
}

/* Units of one context on several threads; a function of one calls a function of another. */
static void test_units(const cg_target *target) {
    enum { N = 5 };
    fixture x;
    cg_unit *units[N];
    setup(&x, target);
    for (int i = 0; i < N; i++) {
        const char *text = tl_arena_printf(
            &x.ctx.arena,
            "func @f%d(i64 %%n) => i64 external { %%a = add i64 %%n, %d %s return %%r }", i, i,
            i + 1 < N ? tl_arena_printf(&x.ctx.arena, "%%r = call i64 @f%d(%%a)", i + 1)
                      : "%r = add i64 %a, 0");
        lp_module *m = lp_module_parse(&x.ctx, &x.ctx.arena, "t", text, strlen(text));
        units[i] = cg_unit_create(&x.ctx, m, &(cg_unit_options){.target = target});
    }
    cg_units_compile(units, N, CG_OBJECT);
    x.jit = cg_jit_create(&x.ctx, NULL, 0);
    for (int i = 0; i < N; i++)
        CHECK(cg_jit_add(x.jit, units[i]));
    int64_t (*f)(int64_t) = (int64_t (*)(int64_t))cg_jit_find(x.jit, "f0");
    CHECK(f && f(100) == 110);
    teardown(&x);
}

/* ---- debug information ---------------------------------------------------------------------------------------- */

/* Lines and names must survive the passes and reach the assembly; the code is the same with and without them. */
static void test_debug_information(const cg_target *target) {
    fixture x;
    setup(&x, target);
    ir_loc loc = {.node = ir_name(&x.ctx, "layer1/fc"), .op = "Gemm"};
    lp_module *m = lp_module_create(&x.ctx, &x.ctx.arena);
    lp_func *f = lp_func_create(m, "kernel_3");
    f->summary = "Gemm 8x256";
    f->line = 17;
    f->external = true;
    lp_value *p = lp_func_add_param(f, lp_scalar(LP_PTR), "p", 0);
    lp_builder b = lp_build_in(f);
    b.loc = &loc;
    b.line = 23;
    lp_value *v = lp_load(&b, LP_I64, p, lp_index(&b, 0));
    lp_store(&b, p, lp_index(&b, 1), v);
    cg_unit *u = cg_unit_create(
        &x.ctx, m, &(cg_unit_options){.target = target, .graph_path = "some/model.tl"});
    tl_sv text = {NULL, 0};
    cg_unit_compile(u, CG_ASSEMBLY);
    if (!CHECK(cg_unit_get_result(u, &text))) show_messages(&x);
    const char *s = tl_arena_strndup(&x.ctx.arena, text.data, text.len);
    CHECK(strstr(s, "\"Gemm 8x256\"") && strstr(s, "\"layer1/fc\"") && strstr(s, "model.tl"));
    CHECK(strstr(s, ".loc\t1 23 0") != NULL);
    teardown(&x);
}

int main(void) {
    return run_on_each_cpu((cpu_test *const[]){
        test_masked, test_masked_scalar, test_masked_constant, test_bool_memory,
        test_gather_scatter, test_lanes, test_bitcast, test_reductions, test_nested_loops,
        test_while_if, test_alloca, test_calls, test_many_calls, test_unknown_symbol, test_units,
        test_debug_information, NULL});
}
