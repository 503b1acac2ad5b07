/* The e-graph by itself: nodes are there once, merges spread, constants are computed, limits hold, what is chosen is never worse than the
 * graph; and every allocation may fail. Each test is a pass that looks and changes nothing. */
#include "passes/egraph.h"

#include "tests/support/check.h"

#include <stdlib.h>

typedef struct fixture {
    tl_fail fail;
    ir_ctx c;
    tl_arena arena;
} fixture;

/* Runs one pass on the graph in `text`; false where that reports an error. */
static bool probe(const char *text, pass_fn *fn, pass_math math) {
    fixture f = {0};
    const pass_info extra = {"probe", "", fn};
    pass_options o = {.extra = &extra, .n_extra = 1, .math_plus_one = math + 1, .verify = true};
    ir_ctx_init(&f.c, &f.fail);
    tl_arena_init(&f.arena, &f.fail);
    ir_module *m = ir_module_parse(&f.c, &f.arena, "test", text, strlen(text));
    bool good = CHECK(m) && CHECK(pass_run(m, "probe", &o));
    tl_arena_release(&f.arena);
    ir_ctx_release(&f.c);
    return good;
}

static void read_graph(egraph *g, pass_ctx *ctx, ir_graph *graph) {
    egraph_init(g, ctx, graph->body);
    egraph_read(g);
}

/* The class of the value of this name, a parameter or a result. */
static eclass *class_named(egraph *g, const char *name) {
    name = ir_name(g->ctx->c, name);
    for (uint32_t i = 0; i < g->region->n_params; i++)
        if (g->region->params[i]->name == name) return eclass_of_outer(g, g->region->params[i], 0);
    ir_for_each_node (n, g->region)
        if (n->out[0].name == name) return eclass_of_outer(g, &n->out[0], 0);
    abort();
}

static bool are_one(egraph *g, const char *a, const char *b) {
    return class_named(g, a) == class_named(g, b);
}

/* ---- nodes and classes ------------------------------------------------------------------------------------------ */

static const char pairs[] = "graph g(f32[2] %x, f32[2] %y, f32[3] %z) => (f32[2] o, f32[3] w) {\n"
                            "  f32[2] %a = Add(%x, %y)\n"
                            "  f32[2] %b = Add(%y, %x)\n"
                            "  f32[2] %c = Relu(%a)\n"
                            "  f32[2] %d = Relu(%b)\n"
                            "  f32[2] %p = Neg(%x)\n"
                            "  f32[2] %q = Neg(%y)\n"
                            "  f32[2] %r = Relu(%p)\n"
                            "  f32[2] %s = Relu(%q)\n"
                            "  f32[2] %o = Sum(%a, %b, %c, %d, %r, %s)\n"
                            "  f32[3] %w = Neg(%z)\n"
                            "  return %o, %w\n"
                            "}\n";

static pass_result look_at_nodes(pass_ctx *ctx, ir_graph *graph) {
    egraph g;
    read_graph(&g, ctx, graph);
    CHECK(are_one(&g, "a", "b")); /* the operands of Add in either order */
    CHECK(are_one(&g, "c", "d"));
    CHECK(!are_one(&g, "p", "q"));
    CHECK(!are_one(&g, "a", "c"));
    CHECK_EQ(g.n_live, 8);
    return PASS_SAME;
}

static pass_result look_at_merges(pass_ctx *ctx, ir_graph *graph) {
    egraph g;
    read_graph(&g, ctx, graph);
    CHECK(egraph_merge(&g, class_named(&g, "x"), class_named(&g, "y")));
    CHECK(!egraph_merge(&g, class_named(&g, "x"), class_named(&g, "y")));
    CHECK(!are_one(&g, "p", "q")); /* not before the rebuilding */
    egraph_rebuild(&g);
    CHECK(are_one(&g, "p", "q"));
    CHECK(are_one(&g, "r", "s")); /* and on from there */
    CHECK_EQ(g.n_live, 6);
    CHECK(!egraph_merge(&g, class_named(&g, "x"), class_named(&g, "z"))); /* other types */
    return PASS_SAME;
}

static pass_result look_at_new_nodes(pass_ctx *ctx, ir_graph *graph) {
    egraph g;
    read_graph(&g, ctx, graph);
    ir_builder b = ir_build_at_end(g.nowhere, NULL);
    uint32_t nodes = g.n_live;
    ir_value *x = class_named(&g, "x")->value, *y = class_named(&g, "y")->value;
    const enode *known = egraph_add(&g, build_op2(&b, OP_Add, y, x)->def);
    CHECK(eclass_of(&g, known) == class_named(&g, "a"));
    CHECK_EQ(g.n_live, nodes);
    const enode *fresh = egraph_add(&g, build_op2(&b, OP_Mul, y, x)->def);
    CHECK(eclass_of(&g, fresh)->first == fresh);
    CHECK_EQ(g.n_live, nodes + 1);
    return PASS_SAME;
}

/* ---- facts ------------------------------------------------------------------------------------------------------ */

static const char constants[] = "const @two f32[] {2}\n"
                                "const @three f32[] {3}\n"
                                "graph g(f32[] %x) => (f32[] o) {\n"
                                "  f32[] %p = Add(@two, @three)\n"
                                "  f32[] %q = Mul(%p, @two)\n"
                                "  f32[] %r = Add(%x, @two)\n"
                                "  f32[] %o = Mul(%r, %q)\n"
                                "  return %o\n"
                                "}\n";

static double content(const eclass *k) {
    double v = -1;
    return ir_value_const_f64(k->value, &v) ? v : -1;
}

static pass_result look_at_constants(pass_ctx *ctx, ir_graph *graph) {
    egraph g;
    read_graph(&g, ctx, graph);
    egraph_rebuild(&g);
    CHECK(content(class_named(&g, "p")) == 5);
    CHECK(content(class_named(&g, "q")) == 10);
    CHECK(!class_named(&g, "r")->constant);
    /* x turns out to be what p is: all that hangs on it is known then. */
    CHECK(egraph_merge(&g, class_named(&g, "x"), class_named(&g, "p")));
    egraph_rebuild(&g);
    CHECK(content(class_named(&g, "r")) == 7);
    CHECK(content(class_named(&g, "o")) == 70);
    return PASS_SAME;
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* A sum of ten: hundreds of millions of ways to write it. */
static const char sum_of_ten[] = "graph g(f32[8] %a, f32[8] %b, f32[8] %c, f32[8] %d, f32[8] %e, "
                                 "f32[8] %f, f32[8] %g, f32[8] %h, f32[8] %i, f32[8] %j)"
                                 " => (f32[8] y) {\n"
                                 "  f32[8] %1 = Add(%a, %b)\n"
                                 "  f32[8] %2 = Add(%1, %c)\n"
                                 "  f32[8] %3 = Add(%2, %d)\n"
                                 "  f32[8] %4 = Add(%3, %e)\n"
                                 "  f32[8] %5 = Add(%4, %f)\n"
                                 "  f32[8] %6 = Add(%5, %g)\n"
                                 "  f32[8] %7 = Add(%6, %h)\n"
                                 "  f32[8] %8 = Add(%7, %i)\n"
                                 "  f32[8] %y = Add(%8, %j)\n"
                                 "  return %y\n"
                                 "}\n";

static egraph_report saturate(pass_ctx *ctx, ir_graph *graph, egraph_limits limits) {
    egraph g;
    uint32_t n;
    read_graph(&g, ctx, graph);
    double before = egraph_region_cycles(&g);
    egraph_report r = egraph_saturate(&g, &limits);
    eclass **roots = egraph_roots(&g, &n);
    CHECK_EQ(n, 1);
    egraph_choice c = egraph_extract(&g, roots, n);
    CHECK(c.possible);
    CHECK(c.cycles <= before * (1 + 1e-9)); /* the best so far, wherever it stopped */
    return r;
}

static pass_result look_at_limits(pass_ctx *ctx, ir_graph *graph) {
    egraph_report r = saturate(ctx, graph, (egraph_limits){.iterations = 1, .seconds = 60});
    CHECK_EQ(r.stop, EGRAPH_ITERATIONS);
    CHECK_EQ(r.iterations, 1);
    r = saturate(ctx, graph, (egraph_limits){.nodes = 100, .seconds = 60});
    CHECK_EQ(r.stop, EGRAPH_NODES);
    CHECK(r.nodes < 9 + 100 + RULE_VALUES); /* what one rule makes may go beyond it */
    r = saturate(ctx, graph, (egraph_limits){.seconds = 1e-9});
    CHECK_EQ(r.stop, EGRAPH_TIME);
    return PASS_SAME;
}

static pass_result look_at_waiting(pass_ctx *ctx, ir_graph *graph) {
    egraph_limits patient = {.matches = 20, .iterations = 8, .seconds = 60};
    egraph_report r = saturate(ctx, graph, patient);
    CHECK(r.banned >= 2);                /* it came back, and found too many again */
    CHECK_EQ(r.stop, EGRAPH_ITERATIONS); /* not saturated: somebody still waits */
    CHECK(r.nodes < 100);
    egraph_report again = saturate(ctx, graph, patient);
    CHECK(memcmp(&r, &again, sizeof r) == 0);
    return PASS_SAME;
}

static pass_result look_at_saturation(pass_ctx *ctx, ir_graph *graph) {
    egraph_report r = saturate(ctx, graph, (egraph_limits){0});
    CHECK_EQ(r.stop, EGRAPH_SATURATED);
    CHECK_EQ(r.banned, 0);
    return PASS_SAME;
}

/* ---- cost ------------------------------------------------------------------------------------------------------- */

static const char costs[] = "const @w f32[64,64] rand 1\n"
                            "graph g(f32[8,64] %x, f32[n,64] %s) => (f32[8,64] y, f32[n,64] t) {\n"
                            "  f32[8,64] %p = MatMul(%x, @w)\n"
                            "  f32[8,64] %q = Exp(%p)\n"
                            "  f32[8,64] %y = Neg(%q)\n"
                            "  f32[n,64] %t = Neg(%s)\n"
                            "  return %y, %t\n"
                            "}\n";

static pass_result look_at_costs(pass_ctx *ctx, ir_graph *graph) {
    double cycles[4];
    uint32_t i = 0;
    ir_for_each_node (n, graph->body)
        cycles[i++] = egraph_node_cycles(ctx->c, n);
    CHECK(cycles[0] > cycles[1]); /* a product more than exp, exp more than a sign */
    CHECK(cycles[1] > cycles[2]);
    CHECK(cycles[3] > cycles[2]); /* n counts as 64 */
    CHECK(egraph_constant_cycles(graph->body->first->in[1].value->type) > 0);
    return PASS_SAME;
}

/* ---- out of memory ---------------------------------------------------------------------------------------------- */

static const char ista[] = "const @D f32[4,4] rand 1\n"
                           "const @E f32[4,4] rand 2\n"
                           "graph g(f32[6,4] %z) => (f32[6,4] y) {\n"
                           "  f32[6,4] %p = MatMul(%z, @D)\n"
                           "  f32[6,4] %q = MatMul(%z, @E)\n"
                           "  f32[6,4] %r = MatMul(%q, @D)\n"
                           "  f32[6,4] %y = Sub(%p, %r)\n"
                           "  return %y\n"
                           "}\n";

/* False where memory ran out, which it does at the n-th allocation. */
static bool run_with_failure(uint64_t n, volatile bool *good) {
    fixture f = {0};
    volatile bool done = false;
    ir_ctx_init(&f.c, &f.fail);
    tl_arena_init(&f.arena, &f.fail);
    if (setjmp(f.fail.jump) == 0) {
        f.fail.countdown = n;
        ir_module *m = ir_module_parse(&f.c, &f.arena, "test", ista, strlen(ista));
        *good = m && pass_run(m, "egraph,fold_constants,dce", NULL) &&
                ir_region_count_nodes(m->graphs->body) == 1;
        done = true;
    }
    tl_arena_release(&f.arena);
    ir_ctx_release(&f.c);
    return done;
}

static void test_allocation_failures(void) {
    uint64_t n = 0;
    volatile bool good = false;
    while (!run_with_failure(++n, &good))
        ;
    CHECK(good);
    CHECK(n > 20); /* chunks of arenas */
}

int main(void) {
    probe(pairs, look_at_nodes, PASS_MATH_STRICT);
    probe(pairs, look_at_merges, PASS_MATH_STRICT);
    probe(pairs, look_at_new_nodes, PASS_MATH_STRICT);
    probe(constants, look_at_constants, PASS_MATH_STRICT);
    probe(sum_of_ten, look_at_limits, PASS_MATH_FAST);
    probe(sum_of_ten, look_at_waiting, PASS_MATH_FAST);
    probe(sum_of_ten, look_at_saturation, PASS_MATH_STRICT);
    probe(costs, look_at_costs, PASS_MATH_STRICT);
    test_allocation_failures();
    return check_done();
}
