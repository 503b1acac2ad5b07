/* The language of rewrite rules: what a text becomes, what is refused and why; and that every rule of simplify_rules.def is one. */
#include "passes/simplify.h"

#include "tests/support/check.h"

typedef struct fixture {
    tl_fail fail;
    ir_ctx c;
    tl_arena arena;
} fixture;

static void fixture_init(fixture *f) {
    memset(f, 0, sizeof *f);
    ir_ctx_init(&f->c, &f->fail);
    tl_arena_init(&f->arena, &f->fail);
}

static void fixture_release(fixture *f) {
    tl_arena_release(&f->arena);
    ir_ctx_release(&f->c);
}

/* ---- programs ------------------------------------------------------------------------------------------------- */

static void expect_program(const char *text, uint32_t which, const char *program) {
    fixture f;
    fixture_init(&f);
    const rule_program *p[2] = {NULL};
    tl_str s;
    tl_str_init(&s, &f.arena);
    uint32_t n = rule_compile(&f.c, &f.arena, "test", text, p);
    if (CHECK(n > which)) rule_program_print(p[which], &s);
    CHECK_STR(s.data, program);
    fixture_release(&f);
}

static void test_programs(void) {
    expect_program("Sub(x, Neg(y)) => Add(x, y)", 0,
                   "bind r0 as n0 Sub -> r1 r2\n"
                   "bind r2 as n1 Neg -> r3\n"
                   "build Add r1 r3 -> r4\n"
                   "result r4\n");
    /* Numbers and repeated names are looked at before nodes; conditions as soon as they can be asked. */
    expect_program("Where(Not(c), 1, x) => x if alike(x), not constant(c)", 0,
                   "bind r0 as n0 Where -> r1 r2 r3\n"
                   "number r2 1\n"
                   "alike r3\n"
                   "bind r1 as n1 Not -> r4\n"
                   "not constant r4\n"
                   "result r3\n");
    expect_program("Max(x, x) => x", 0, "bind r0 as n0 Max -> r1 r2\nsame r2 r1\nresult r1\n");
    expect_program("Relu(y: Relu(_)) => y", 0,
                   "bind r0 as n0 Relu -> r1\nbind r1 as n1 Relu -> r2\nresult r1\n");
}

static void test_attributes(void) {
    expect_program("Concat<axis=-1>(Transpose<perm=p>(x), Transpose<perm=p>(y)) => "
                   "Transpose<perm=p>(Concat<axis=0>(x, y))",
                   0,
                   "bind r0 as n0 Concat -> r1 r2\n"
                   "attribute n0 axis=-1\n"
                   "bind r1 as n1 Transpose -> r3\n"
                   "attribute n1 perm=a0\n"
                   "bind r2 as n2 Transpose -> r4\n"
                   "attribute again n2 perm=a0\n"
                   "build Concat axis=0 r3 r4 -> r5\n"
                   "build Transpose perm=a0 r5 -> r6\n"
                   "result r6\n");
    expect_program("Cast(y: Cast(x)) => Cast<*>(x) if widened(x, y)", 0,
                   "bind r0 as n0 Cast -> r1\n"
                   "bind r1 as n1 Cast -> r2\n"
                   "widened r2 r1\n"
                   "build Cast like n0 r2 -> r3\n"
                   "result r3\n");
}

static void test_two_ways(void) {
    static const char text[] = "f:unary(Transpose<perm=p>(x)) <=> Transpose<perm=p>(f:unary(x))";
    expect_program(text, 0,
                   "bind r0 as n0 class -> r1\n"
                   "bind r1 as n1 Transpose -> r2\n"
                   "attribute n1 perm=a0\n"
                   "build like n0 r2 -> r3\n"
                   "build Transpose perm=a0 r3 -> r4\n"
                   "result r4\n");
    expect_program(text, 1,
                   "bind r0 as n0 Transpose -> r1\n"
                   "attribute n0 perm=a0\n"
                   "bind r1 as n1 class -> r2\n"
                   "build Transpose perm=a0 r2 -> r3\n"
                   "build like n1 r3 -> r4\n"
                   "result r4\n");
    expect_program("Div(x, c) => Mul(x, inverse(c)) if exact_inverse(c)", 0,
                   "bind r0 as n0 Div -> r1 r2\n"
                   "exact_inverse r2\n"
                   "call inverse r2 -> r3\n"
                   "build Mul r1 r3 -> r4\n"
                   "result r4\n");
    expect_program("Squeeze(x, ...) => Mul(x, 2)", 0,
                   "bind r0 as n0 Squeeze... -> r1\n"
                   "scalar 2 -> r2\n"
                   "build Mul r1 r2 -> r3\n"
                   "result r3\n");
}

/* ---- mistakes ------------------------------------------------------------------------------------------------- */

static void expect_error(const char *text, const char *message) {
    fixture f;
    fixture_init(&f);
    const rule_program *p[2];
    CHECK_EQ(rule_compile(&f.c, &f.arena, "test", text, p), 0);
    if (CHECK(f.c.diag.n > 0)) CHECK_STR(f.c.diag.entries[0].text, message);
    fixture_release(&f);
}

static void test_mistakes(void) {
    expect_error("x => x", "rule 'test': a pattern is a node 'x'");
    expect_error("Neg(x) = x", "expected => or <=>, found '='");
    expect_error("Neg(x) => y", "rule 'test': value is not in the pattern: 'y'");
    expect_error("Neg(x) => x if strange(x)", "rule 'test': no such condition: 'strange'");
    expect_error("Neg(x) => x if alike(y)", "rule 'test': a value is not in the pattern: 'alike'");
    expect_error("Neg(x) => x if widened(x)", "rule 'test': wrong number of values for 'widened'");
    expect_error("Neg(f(x)) => x", "rule 'test': no such operator: 'f'");
    expect_error("Neg(f:silly(x)) => x", "'silly' is neither an operator nor a class of them");
    expect_error("Neg(x) => f(x)", "rule 'test': the pattern has no node for 'f'");
    expect_error("Neg(inverse(x)) => x", "rule 'test': a function cannot be matched: 'inverse'");
    expect_error("Neg(x) => inverse(x, x)", "rule 'test': wrong number of values for 'inverse'");
    expect_error("Neg(x) => _", "rule 'test': cannot be built: '_'");
    expect_error("Neg(x, ...) => Neg(x, ...)", "rule 'test': '...' cannot be built ''");
    expect_error("Neg(x) => Cast<to=t>(x)", "rule 'test': attribute is not in the pattern: 't'");
    expect_error("Neg(x) => x, y", "expected the end, found ','");
    expect_error("Sum(a, b, c, d, e, f, g) => a", "too many operands");
    expect_error("Neg(Neg(Neg(Neg(Neg(Neg(Neg(Neg(Neg(x))))))))) => x",
                 "the term is nested too deeply");
}

/* ---- the rules there are -------------------------------------------------------------------------------------- */

static void test_all_rules(void) {
    fixture f;
    fixture_init(&f);
    const rule_set *s = rule_set_create(&f.c, &f.arena);
    for (uint32_t i = 0; i < f.c.diag.n; i++)
        fprintf(stderr, "%s\n", f.c.diag.entries[i].text);
    if (CHECK(s)) CHECK(s->n > 70);
    /* The rules for an operator are those that name it or any, in order. */
    for (const uint32_t *i = s ? s->of_op[OP_Mul] : NULL; i && *i < s->n; i++)
        CHECK(s->rules[*i].op == OP_Mul || s->rules[*i].op == OP_None);
    fixture_release(&f);
}

int main(void) {
    test_programs();
    test_attributes();
    test_two_ways();
    test_mistakes();
    test_all_rules();
    return check_done();
}
