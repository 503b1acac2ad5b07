/* egraph: the cheapest of all forms that the rules can reach. Between two runs of the classical engine, unless --simplify=classic or none.
 *
 *   before:  %p = MatMul(%z, @D)                     after:  %a = MatMul(@Dt, @D)            // constants: folded later
 *            %q = MatMul(%z, @Dt)                            %b = Sub(@D, %a)
 *            %r = MatMul(%q, @D)                             %y = MatMul(%z, %b)
 *            %y = Sub(%p, %r)
 *
 * A rewrite that helps only together with others is never made by simplify, which takes each for itself and keeps no second form. Here
 * all rules add forms beside those there are (egraph_search.c), and then the cheapest is chosen (egraph_extract.c). It is the graph's own
 * where no other is cheaper by the cost model of egraph_cost.c: the pass changes nothing then.
 *
 * Each region is for itself. Left alone: bodies of fused operators, which have their form already, and regions of more nodes than
 * MAX_NODES. Limits: egraph_search.c. */
#include "passes/egraph.h"

enum { MAX_NODES = 20000 };
/* The part of the cycles that must be saved: more than rounding in their sum. A limit that is noticed would choose for a model as a whole, and
 * not for its step function, where the same change is a larger part: their bits would differ. */
static const double LEAST_GAIN = 1e-6;

static const char *const stops[] = {[EGRAPH_SATURATED] = "saturated",
                                    [EGRAPH_ITERATIONS] = "iteration limit",
                                    [EGRAPH_NODES] = "node limit",
                                    [EGRAPH_TIME] = "time limit"};

static void report(egraph *g, const egraph_report *r, double before, double after) {
    const char *graph = g->region->graph->name, *body = g->region->name ? g->region->name : "body";
    ctx_remark(g->ctx,
               "%s: %s: %s after %u iterations, %u classes, %u nodes; %.0f cycles, were %.0f",
               graph, body, stops[r->stop], r->iterations, r->classes, r->nodes, after, before);
    if (r->banned)
        ctx_remark(g->ctx, "%s: %s: rules with too many matches waited %u times", graph, body,
                   r->banned);
    if (r->stop == EGRAPH_TIME)
        ctx_remark(g->ctx, "%s: %s: the time limit makes the result depend on the machine", graph,
                   body);
}

static bool improve_region(pass_ctx *ctx, ir_region *r) {
    egraph g;
    uint32_t n_roots;
    egraph_init(&g, ctx, r);
    egraph_read(&g);
    double before = egraph_region_cycles(&g);
    egraph_report said = egraph_saturate(&g, NULL);
    eclass **roots = egraph_roots(&g, &n_roots);
    egraph_choice choice = egraph_extract(&g, roots, n_roots);
    report(&g, &said, before, choice.cycles);
    bool cheaper = choice.possible && choice.cycles < before * (1 - LEAST_GAIN);
    if (!cheaper || !ctx_take(ctx, "cheaper")) return false;
    egraph_write(&g);
    return true;
}

/* Bodies of control flow, not of fused operators. */
static bool is_code(const ir_node *owner) {
    return owner->op == OP_If || owner->op == OP_Loop || owner->op == OP_Scan ||
           owner->op == OP_Recur;
}

static uint32_t count_nodes(const ir_region *r) {
    uint32_t count = 0;
    ir_for_each_node (n, r)
        count++;
    return count;
}

static bool visit(pass_ctx *ctx, ir_region *r) {
    bool changed = false;
    ir_for_each_node (n, r)
        for (uint32_t i = 0; i < n->n_regions && is_code(n); i++)
            changed = visit(ctx, n->regions[i]) || changed;
    if (count_nodes(r) <= MAX_NODES) return improve_region(ctx, r) || changed;
    ctx_remark(ctx, "%s: left alone, it has more than %d nodes", r->graph->name, MAX_NODES);
    return changed;
}

pass_result pass_egraph(pass_ctx *ctx, ir_graph *g) {
    return visit(ctx, g->body) ? PASS_CHANGED : PASS_SAME;
}
