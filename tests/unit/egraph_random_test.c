/* Both engines on random graphs of linear algebra with constants and variables, with all maths allowed: what they make of one must compute
 * what it computed. tests/unit/pass_random_test.c has all operators, but only rewrites that keep every bit. An argument: the number of one
 * case, which is printed.
 *
 * Values are f64[4,4], so that everything fits everything: products, sums, scales, transposes, views. Double precision, so that rounding is no question. */
#include "ir/base/hash.h"
#include "passes/pass.h"
#include "tests/support/check.h"

#include <stdlib.h>

enum { CASES = 400, NODES = 14, CONSTANTS = 5, INPUTS = 2, MAX_DEGREE = 6 };

typedef struct maker {
    tl_str text;
    uint64_t seed;
    uint32_t drawn, values;
    uint32_t degree[INPUTS +
                    NODES]; /* of the polynomial that a value is: numbers must not grow too much */
} maker;

static uint32_t draw(maker *k, uint32_t below) {
    return (uint32_t)(tl_hash_mix(k->seed, k->drawn++) >> 20) % below;
}

/* Numbers from `values` on are constants. */
static void print_operand(maker *k, uint32_t i) {
    if (i < k->values)
        tl_str_printf(&k->text, "%%v%u", i);
    else
        tl_str_printf(&k->text, "@c%u", i - k->values);
}

static uint32_t degree_of(const maker *k, uint32_t i) {
    return i < k->values ? k->degree[i] : 1;
}

static void print_node(maker *k, const char *op, uint32_t x, const char *rest) {
    tl_str_printf(&k->text, "%s(", op);
    print_operand(k, x);
    tl_str_printf(&k->text, "%s)\n", rest);
    k->degree[k->values] = degree_of(k, x);
}

static void print_product(maker *k, const char *op, uint32_t x, uint32_t y) {
    uint32_t degree = degree_of(k, x) + degree_of(k, y);
    bool sums = degree > MAX_DEGREE;
    tl_str_printf(&k->text, "%s(", sums ? "Add" : op);
    print_operand(k, x);
    tl_str_puts(&k->text, ", ");
    print_operand(k, y);
    tl_str_puts(&k->text, ")\n");
    k->degree[k->values] = sums ? MAX_DEGREE : degree;
}

static void print_any(maker *k) {
    static const char *const two[] = {"MatMul", "MatMul", "MatMul", "Add", "Add", "Sub", "Mul"};
    static const char *const one[] = {"Relu", "Neg", "Transpose<perm=[1,0]>",
                                      "Transpose<perm=[1,0]>"};
    static const char *const scaled[] = {"Mul", "Add", "Sub", "Div"};
    static const char *const by[] = {", @two", ", @row", ", @tenth"};
    uint32_t x = draw(k, k->values + CONSTANTS), kind = draw(k, 20);
    if (kind < 11)
        print_product(k, two[draw(k, 7)], x, draw(k, k->values + CONSTANTS));
    else if (kind < 14)
        print_node(k, scaled[draw(k, 4)], x, by[draw(k, 3)]);
    else if (kind < 18)
        print_node(k, one[draw(k, 4)], x, "");
    else if (kind == 18)
        print_node(k, "Reshape", x, ", @shape");
    else
        print_node(k, "LayerNormalization", draw(k, INPUTS), ", @row, @row");
}

static const char *make(maker *k, tl_arena *a, uint64_t seed) {
    *k = (maker){.seed = seed, .values = INPUTS, .degree = {1, 1}};
    tl_str_init(&k->text, a);
    for (uint32_t i = 0; i < CONSTANTS; i++)
        tl_str_printf(&k->text, "const @c%u f64[4,4] rand %u\n", i, i + 1);
    tl_str_puts(&k->text, "const @two f64[] {2}\nconst @tenth f64[] {0.1}\n"
                          "const @row f64[4] {1, 2, 0.5, 4}\nconst @shape i64[2] {4, 4}\n"
                          "graph g(f64[4,4] %v0, f64[4,4] %v1) => (f64[4,4] y, f64[4,4] z) {\n");
    for (uint32_t i = 0; i < NODES; i++, k->values++) {
        tl_str_printf(&k->text, "  f64[4,4] %%v%u = ", k->values);
        print_any(k);
    }
    /* Much of it is read in the end. A constant is added, so that what is 0 but for rounding is compared with something. */
    uint32_t last = k->values - 1;
    tl_str_printf(&k->text, "  f64[4,4] %%p = Add(%%v%u, %%v%u)\n", last, last - 3);
    tl_str_printf(&k->text, "  f64[4,4] %%q = Mul(%%v%u, %%v%u)\n", last - 1, last - 2);
    tl_str_puts(&k->text, "  f64[4,4] %y = Add(%p, @c0)\n  f64[4,4] %z = Sub(%q, @c0)\n");
    tl_str_puts(&k->text, "  return %y, %z\n}\n");
    return k->text.data;
}

static bool agrees(const char *text, const char *passes, pass_math math) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena arena;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&arena, &fail);
    pass_options o = {.verify = true, .roundtrip = true, .eval = true, .math_plus_one = math + 1};
    ir_module *m = ir_module_parse(&c, &arena, "random", text, strlen(text));
    bool good = m && pass_run(m, passes, &o);
    for (uint32_t i = 0; i < c.diag.n && !good; i++)
        fprintf(stderr, "%s\n", c.diag.entries[i].text);
    tl_arena_release(&arena);
    ir_ctx_release(&c);
    return good;
}

static void run_case(uint64_t seed, bool show) {
    static const char classic[] = "fix(infer_shapes, fold_constants, simplify, cse, dce)";
    static const char both[] = "fix(infer_shapes, fold_constants, simplify, cse, dce), egraph,"
                               "fix(infer_shapes, fold_constants, simplify, cse, dce)";
    tl_fail fail = {0};
    tl_arena arena;
    maker k;
    tl_arena_init(&arena, &fail);
    const char *text = make(&k, &arena, seed);
    if (show) puts(text);
    bool good = CHECK(agrees(text, classic, PASS_MATH_DEFAULT)) &&
                CHECK(agrees(text, "egraph", PASS_MATH_STRICT)) &&
                CHECK(agrees(text, both, seed & 1 ? PASS_MATH_DEFAULT : PASS_MATH_FAST));
    if (!good) fprintf(stderr, "case %llu\n", (unsigned long long)seed);
    tl_arena_release(&arena);
}

int main(int argc, char **argv) {
    if (argc > 1) run_case(strtoull(argv[1], NULL, 10), true);
    for (uint64_t seed = 1; seed <= CASES && argc == 1; seed++)
        run_case(seed, false);
    return check_done();
}
