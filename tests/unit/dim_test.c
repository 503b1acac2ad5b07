/* Dimension algebra: identities, text, and random expressions whose value must survive simplification. */
#include "ir/ctx.h"
#include "ir/dim.h"
#include "tests/support/check.h"

#include <stdlib.h>

static const ir_dim *parse(ir_ctx *c, const char *text) {
    const ir_dim *d = ir_dim_parse(c, text, strlen(text));
    if (!d) fprintf(stderr, "does not parse: %s\n", text);
    CHECK(d != NULL);
    return d ? d : ir_dim_unknown(c);
}

static const char *print(ir_ctx *c, const ir_dim *d) {
    tl_str s;
    tl_str_init(&s, &c->arena);
    ir_dim_print(d, &s);
    return s.data;
}

static void check_same(ir_ctx *c, const char *a, const char *b) {
    const ir_dim *x = parse(c, a), *y = parse(c, b);
    if (!CHECK(ir_dim_equal(x, y)))
        fprintf(stderr, "  %s = %s\n  %s = %s\n", a, print(c, x), b, print(c, y));
}

static void test_identities(ir_ctx *c) {
    static const char *const same[][2] = {
        {"2*s1 + s1", "3*s1"},
        {"(a + b)*c", "a*c + b*c"},
        {"(a + 1)*(a - 1)", "a*a - 1"},
        {"a - a", "0"},
        {"s*0 + 7", "7"},
        {"(4*s)/4", "s"},
        {"(4*s + 3)/4", "s"},
        {"(4*s + 7)/4", "s + 1"},
        {"(4*s + 2)/6", "(2*s + 1)/3"},
        {"(2*s)/4", "s/2"},
        {"s/1", "s"},
        {"s%1", "0"},
        {"(s + 3)//4", "ceil(s/4)"},
        {"(s - 1)//4 + 1", "ceil(s/4)"},
        {"(s - 1)//2 + 1", "(s + 1)//2"},
        {"ceil((4*s)/4)", "s"},
        {"(s/2)/3", "s/6"},
        {"(s/2 + 1)/3", "(s + 2)/6"},
        {"ceil(ceil(s/2)/2)", "ceil(s/4)"},
        {"(a*b)/a", "b"},
        {"(a*b)/(4*a)", "b/4"},
        {"(a*b + a)/(b + 1)", "a"},
        {"(n*t + 0)/n", "t"},
        {"(7*n - 1)/n", "6"},
        {"ceil(1/n)", "1"},
        {"ceil((2*n + 1)/n)", "3"},
        {"max((time - 1)/ceil(time/6), -1)", "(time - 1)/ceil(time/6)"},
        {"(4*s + 5)%4", "1"},
        {"(6*s + 2)%4", "2*((s + 1)%2)"},
        {"(4 - t%4)%4 + t", "4*ceil(t/4)"},
        {"(-t)%4 + t", "4*ceil(t/4)"},
        {"(-t)%k + t", "k*ceil(t/k)"},
        {"(1 - s)/4", "-((s + 2)/4)"},
        {"t - t%4", "4*(t/4)"},
        {"(t - t%4)/4", "t/4"},
        {"(t%4)%4", "t%4"},
        {"(t - t%k)/k", "t/k"},
        {"max(t%k, 0)", "t%k"},
        {"min(t%k, k - 1)", "t%k"},
        {"(4*a*b)%(2*a)", "0"},
        {"7%-4", "-1"},
        {"-7//2", "-4"},
        {"7//-2", "-4"},
        {"-7%3", "2"},
        {"max(s, s)", "s"},
        {"max(s, 0)", "s"},
        {"max(s + 1, 1)", "s + 1"},
        {"max(3, 5)", "5"},
        {"max(a, max(b, a))", "max(b, a)"},
        {"max(max(a, 3), 5)", "max(a, 5)"},
        {"min(s, s + 2)", "s"},
        {"min(0, s)", "0"},
        {"min(max(s, 4), s)", "s"},
        {"max(4*(s/4), s)", "s"},
        {"min(4*ceil(s/4), s)", "s"},
        {"max(s - 4*(s/4), 0)", "s - 4*(s/4)"},
        {"max(s - s%4, 0)", "s - s%4"},
        {"min(s/2, s)", "s/2"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        check_same(c, same[i][0], same[i][1]);
    CHECK(parse(c, "a + b") == parse(c, "b + a"));
    CHECK(parse(c, "a") != parse(c, "b"));
    CHECK(!ir_dim_equal(ir_dim_unknown(c), ir_dim_unknown(c)));
}

static void test_text(ir_ctx *c) {
    static const char *const cases[][2] = {
        {"2*s1", "2*s1"},
        {"s1 + s11", "s1 + s11"},
        {"s0//4", "s0/4"},
        {"Max(1, s0)", "max(s0, 1)"},
        {"Min(8, s0, b)", "min(min(b, s0), 8)"},
        {"floor(s0/4)", "s0/4"},
        {"floor(s0/2 + 1/2)", "ceil(s0/2)"},
        {"floor(s0/4 - 1/2) + 1", "(s0 + 2)/4"},
        {"ceiling(s0/4)", "ceil(s0/4)"},
        {"4*(time/4)", "4*(time/4)"},
        {"(time/4)*4 + 1", "4*(time/4) + 1"},
        {"Mod(s0, 4)", "s0 - 4*(s0/4)"},
        {"s0**2 - 1", "s0*s0 - 1"},
        {"-3", "-3"},
        {"-s0 + 5", "-s0 + 5"},
        {"s0 - 1", "s0 - 1"},
        {"past_sequence_length + 1", "past_sequence_length + 1"},
        {"batch-size", "\"batch-size\""},
        {"s0-1", "s0 - 1"},
        {"x.d0*2", "2*x.d0"},
        {"\"odd name\" + 1", "\"odd name\" + 1"},
        {"\"q\\\"\\\\\\x01\"", "\"q\\\"\\\\\\x01\""},
        {"max", "max"},
        {"?", "?"},
        {"? + 1", "?"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775807 + 1", "?"},
        {"9223372036854775807*s*2", "?"},
        {"99999999999999999999", "?"},
        {"s/0", "?"},
        {"s%0", "?"},
        {"a/(b*b + 1)", "a/(b*b + 1)"},
        {"ceil((a//b + c)/3)", "ceil((c + a//b)/3)"},
        {"(a%3)*b", "a*b - 3*b*(a/3)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(print(c, parse(c, cases[i][0])), cases[i][1]);
    static const char *const bad[] = {"",     " ",        "a +",   "a b",         "(a",
                                      "a)",   "max()",    "max(a", "floor(a, b)", "Mod(a)",
                                      "\"a",  "\"a\\q\"", "3x",    "1.5",         "/layer/x",
                                      "a**b", "\"\"",     "*a",    "a,b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!CHECK(ir_dim_parse(c, bad[i], strlen(bad[i])) == NULL))
            fprintf(stderr, "  parsed: '%s'\n", bad[i]);
    char deep[1000];
    memset(deep, '(', sizeof deep);
    CHECK(ir_dim_parse(c, deep, sizeof deep) == NULL);
}

static void test_bounds(ir_ctx *c) {
    static const struct {
        const char *text;
        int64_t lower;
    } cases[] = {
        {"7", 7},
        {"-3", -3},
        {"s", 0},
        {"2*s + 1", 1},
        {"s - 1", -1},
        {"1 - s", INT64_MIN},
        {"max(s - 4, 0)", 0},
        {"s%4", 0},
        {"4 - s%4", 1},
        {"s - 4*(s/4)", 0},
        {"4*ceil(s/4) - s", 0},
        {"s - s/2", 0},
        {"max(s, 4) - s", 0},
        {"s - min(s, 4)", 0},
        {"min(s, 4)", 0},
        {"a*b", 0},
        {"(s + 8)/4", 2},
        {"?", INT64_MIN},
        {"s - t", INT64_MIN},
        {"max(s, t) - t", 0},
        {"a/b", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(ir_dim_lower_bound(parse(c, cases[i].text)), cases[i].lower);
}

static void test_exact_division(ir_ctx *c) {
    CHECK(ir_dim_div_exact(c, parse(c, "4*s"), parse(c, "s")) == parse(c, "4"));
    CHECK(ir_dim_div_exact(c, parse(c, "2*s + 4"), parse(c, "2")) == parse(c, "s + 2"));
    CHECK(ir_dim_div_exact(c, parse(c, "a*a - b*b"), parse(c, "a + b")) == parse(c, "a - b"));
    CHECK(ir_dim_div_exact(c, parse(c, "4*(t/4)*b"), parse(c, "4*b")) == parse(c, "t/4"));
    CHECK(ir_dim_div_exact(c, parse(c, "2*s + 1"), parse(c, "2")) == NULL);
    CHECK(ir_dim_div_exact(c, parse(c, "s"), parse(c, "t")) == NULL);
    CHECK(ir_dim_div_exact(c, parse(c, "s"), parse(c, "0")) == NULL);
    CHECK(ir_dim_div_exact(c, parse(c, "0"), parse(c, "s")) == parse(c, "0"));
}

static const ir_dim *replace_s(void *data, const char *symbol) {
    return strcmp(symbol, "s") == 0 ? data : NULL;
}

static void test_substitute(ir_ctx *c) {
    const ir_dim *d = parse(c, "ceil(s/4)*b + max(s, 3)");
    CHECK(ir_dim_substitute(c, d, replace_s, (void *)parse(c, "8")) == parse(c, "2*b + 8"));
    CHECK(ir_dim_substitute(c, d, replace_s, (void *)parse(c, "4*t + 4")) ==
          parse(c, "(t + 1)*b + 4*t + 4"));
    CHECK(ir_dim_is_unknown(ir_dim_substitute(c, d, replace_s, (void *)ir_dim_unknown(c))));
}

/* The counter of a loop over time/4 chunks. */
static void test_counter(ir_ctx *c) {
    const ir_dim *i = ir_dim_counter(c, "k.i", parse(c, "time/4 - 1")), *zero = ir_dim_const(c, 0);
    CHECK(ir_dim_counter(c, "k.i", parse(c, "time/4 - 1")) == i);
    CHECK(ir_dim_counter(c, "k.i", parse(c, "time - 1")) != i);
    CHECK(ir_dim_has_counter(parse(c, "4*k.i + 1")));
    CHECK(!ir_dim_has_counter(parse(c, "4*time")));
    CHECK(ir_dim_min(c, parse(c, "4*k.i + 4"), parse(c, "time")) == parse(c, "4*k.i + 4"));
    CHECK(ir_dim_min(c, parse(c, "4*k.i + 5"), parse(c, "time")) != parse(c, "4*k.i + 5"));
    CHECK(ir_dim_max(c, parse(c, "4*k.i - 1"), zero) != parse(c, "4*k.i - 1"));
    const ir_dim *d = ir_dim_bounded(c, "x.d0.max4", 4);
    CHECK(ir_dim_min(c, d, ir_dim_const(c, 4)) == d && ir_dim_min(c, d, ir_dim_const(c, 3)) != d);
    CHECK_EQ(ir_dim_upper_bound(parse(c, "2*x.d0.max4 + 1")), 9);
    CHECK(!ir_dim_has_counter(d));
    CHECK_EQ(ir_dim_upper_bound(parse(c, "min(4*k.i + 4, time) - 4*k.i")), 4);
    CHECK_EQ(ir_dim_upper_bound(parse(c, "time")), INT64_MAX);
    const ir_dim *five = ir_dim_counter(c, "five", ir_dim_const(c, 4));
    CHECK(ir_dim_max(c, five, ir_dim_const(c, 4)) == ir_dim_const(c, 4));
    CHECK(ir_dim_floordiv(c, five, ir_dim_const(c, 5)) == zero);
}

/* Expressions that double in size with every step must end in "?", not in exponential text. */
static void test_size_limit(ir_ctx *c) {
    const ir_dim *d = parse(c, "s");
    for (int i = 0; i < 200; i++)
        d = ir_dim_max(c, ir_dim_floordiv(c, d, parse(c, "t")), ir_dim_mod(c, d, parse(c, "u")));
    CHECK(ir_dim_is_unknown(d));
    const ir_dim *sum = parse(c, "0");
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        sum = ir_dim_add(c, sum, ir_dim_symbol(c, name));
    }
    CHECK(ir_dim_is_unknown(sum));
}

/* ---- random expressions -------------------------------------------------------------------------------------------- */

enum { N_POINTS = 12, N_SYMBOLS = 3 };

/* An expression and its value at each point, computed without the algebra; ok: defined there (divisors positive). */
typedef struct sample {
    const ir_dim *d;
    int64_t value[N_POINTS];
    bool ok[N_POINTS];
} sample;

static const char *const names[N_SYMBOLS] = {"a", "b", "c"};
static int64_t points[N_POINTS][N_SYMBOLS];
static uint64_t seed = 1;

static uint32_t rnd(uint32_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static bool lookup(void *data, const char *symbol, int64_t *value) {
    const int64_t *point = data;
    for (int i = 0; i < N_SYMBOLS; i++)
        if (strcmp(symbol, names[i]) == 0) return *value = point[i], true;
    return false;
}

static int64_t floordiv(int64_t a, int64_t b) {
    int64_t q = a / b;
    return q * b > a ? q - 1 : q;
}

static sample random_leaf(ir_ctx *c) {
    sample s = {0};
    uint32_t symbol = rnd(N_SYMBOLS);
    bool constant = rnd(3) == 0;
    int64_t k = (int64_t)rnd(14) - 4;
    s.d = constant ? ir_dim_const(c, k) : ir_dim_symbol(c, names[symbol]);
    for (int i = 0; i < N_POINTS; i++)
        s.value[i] = constant ? k : points[i][symbol], s.ok[i] = true;
    return s;
}

static int64_t reference(uint32_t op, int64_t x, int64_t y, bool *ok) {
    if (op >= 3 && op <= 5 && y <= 0) return *ok = false, 0;
    switch (op) {
    case 0:
        return x + y;
    case 1:
        return x - y;
    case 2:
        return x * y;
    case 3:
        return floordiv(x, y);
    case 4:
        return -floordiv(-x, y);
    case 5:
        return x - floordiv(x, y) * y;
    case 6:
        return x > y ? x : y;
    default:
        return x < y ? x : y;
    }
}

static sample random_expr(ir_ctx *c, int depth) {
    static const ir_dim *(*const ops[])(ir_ctx *, const ir_dim *, const ir_dim *) = {
        ir_dim_add,     ir_dim_sub, ir_dim_mul, ir_dim_floordiv,
        ir_dim_ceildiv, ir_dim_mod, ir_dim_max, ir_dim_min,
    };
    if (depth == 0 || rnd(6) == 0) return random_leaf(c);
    sample x = random_expr(c, depth - 1), y = random_expr(c, depth - 1), r = {0};
    uint32_t op = rnd(8);
    r.d = ops[op](c, x.d, y.d);
    for (int i = 0; i < N_POINTS; i++) {
        r.ok[i] = x.ok[i] && y.ok[i];
        if (r.ok[i]) r.value[i] = reference(op, x.value[i], y.value[i], &r.ok[i]);
    }
    return r;
}

static void check_sample(ir_ctx *c, const sample *s) {
    const char *text = print(c, s->d);
    if (!CHECK(parse(c, text) == s->d))
        fprintf(stderr, "  %s\n  read back as %s\n", text, print(c, parse(c, text)));
    int64_t lower = ir_dim_lower_bound(s->d);
    for (int i = 0; i < N_POINTS; i++) {
        int64_t v;
        if (!s->ok[i] || ir_dim_is_unknown(s->d)) continue;
        bool good = ir_dim_eval(s->d, lookup, points[i], &v) && v == s->value[i] && lower <= v;
        if (!CHECK(good))
            fprintf(stderr, "  %s (lower bound %lld) expected %lld\n", text, (long long)lower,
                    (long long)s->value[i]);
    }
}

/* The points are positive: a divisor that is a symbol is taken to be so. */
static void test_random(ir_ctx *c) {
    int unknown = 0;
    for (int i = 0; i < N_POINTS; i++)
        for (int j = 0; j < N_SYMBOLS; j++)
            points[i][j] = 1 + (int64_t)rnd(i < 6 ? 6 : 40);
    for (int i = 0; i < 30000; i++) {
        sample s = random_expr(c, 1 + (int)rnd(4));
        unknown += ir_dim_is_unknown(s.d);
        check_sample(c, &s);
    }
    CHECK(unknown < 15000); /* division by zero makes some */
}

int main(void) {
    tl_fail fail = {0};
    ir_ctx c;
    if (setjmp(fail.jump)) return 1;
    ir_ctx_init(&c, &fail);
    test_identities(&c);
    test_text(&c);
    test_bounds(&c);
    test_exact_division(&c);
    test_substitute(&c);
    test_counter(&c);
    test_size_limit(&c);
    test_random(&c);
    ir_ctx_release(&c);
    return check_done();
}
