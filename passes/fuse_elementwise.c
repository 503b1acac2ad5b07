/* fuse_elementwise: connected elementwise operators become one loop nest.
 *
 *   before:  %a = Mul(%x, %y)          after:  %z = Fused(%x, %y) {
 *            %b = Add(%a, @one)                  body(%0, %1) { %a = Mul(%0, %1)  %b = Add(%a, @one)  %z.inner = Tanh(%b)  yield %z.inner }
 *            %z = Tanh(%b)                     }
 *
 * Each cluster grows backwards from its last node: an operand's node joins where all its readers are inside and its result has the
 * cluster's dims. So nothing is computed twice or in a larger shape than it was, no value leaves the inside, and no cycle can arise. The
 * cluster takes the place of its last node. One node alone stays as it is; so do scalars of rank 0 (counters
 * of loops, conditions) and integer arithmetic whose result is known at compile time as an expression over the model's dimensions. */
#include "passes/cluster.h"
#include "passes/match.h"
#include "passes/util.h"

enum { MAX_NODES = 32, MAX_OPERANDS = 24 };

typedef struct group {
    uint32_t mark; /* of its nodes */
    ir_node *nodes[MAX_NODES];
    uint32_t n;
} group;

static bool can_join(const ir_node *n) {
    if (!op_is(n->op, OP_SCALAR) || n->n_out != 1 || n->n_regions || !n->out[0].uses) return false;
    const ir_type *t = n->out[0].type;
    if (!t || !ir_type_is_known(t) || !t->rank || t->dtype == DT_str || n->out[0].known)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && (!ir_in(n, i)->type || !ir_type_is_known(ir_in(n, i)->type) ||
                            ir_in(n, i)->type->dtype == DT_str))
            return false;
    return true;
}

static bool all_readers_inside(const group *g, const ir_value *v) {
    ir_for_each_use (u, v)
        if (u->user->op == OP_Yield || u->user->mark != g->mark) return false;
    return true;
}

static uint32_t count_operands(const group *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n; i++)
        for (uint32_t j = 0; j < g->nodes[i]->n_in; j++) {
            const ir_value *v = ir_in(g->nodes[i], j);
            if (v && !cluster_is_scalar_const(v) && !(v->def && v->def->mark == g->mark)) n++;
        }
    return n;
}

static void push(group *g, ir_node *n) {
    n->mark = g->mark;
    g->nodes[g->n++] = n;
}

/* Breadth first: an operand whose other reader joins only later is met again there. */
static void grow(group *g, ir_node *root) {
    push(g, root);
    for (uint32_t i = 0; i < g->n; i++)
        for (uint32_t j = 0; j < g->nodes[i]->n_in; j++) {
            ir_value *v = ir_in(g->nodes[i], j);
            ir_node *def = v ? v->def : NULL;
            if (g->n == MAX_NODES || !def || def->mark == g->mark || def->parent != root->parent ||
                !can_join(def))
                continue;
            if (!same_dims(v->type, root->out[0].type) || !all_readers_inside(g, v)) continue;
            if (count_operands(g) + def->n_in <= MAX_OPERANDS) push(g, def);
        }
}

/* By their place in the region, which fuse_region put into scratch. */
static void sort(group *g) {
    for (uint32_t i = 1; i < g->n; i++) {
        ir_node *n = g->nodes[i];
        uint32_t at = i;
        for (; at > 0 && g->nodes[at - 1]->scratch > n->scratch; at--)
            g->nodes[at] = g->nodes[at - 1];
        g->nodes[at] = n;
    }
}

static ir_node *build(pass_ctx *ctx, group *g) {
    ir_value *result = &g->nodes[0]->out[0];
    cluster k = cluster_begin(ctx, OP_Fused, g->nodes[0], "body");
    sort(g);
    for (uint32_t i = 0; i < g->n; i++)
        cluster_take(&k, g->nodes[i]);
    return cluster_end(&k, result, result);
}

static bool fuse_region(pass_ctx *ctx, ir_region *r) {
    bool changed = false;
    uint64_t place = 0;
    ir_for_each_node (n, r)
        n->scratch = place++;
    for (ir_node *n = r->last, *prev; n; n = prev) {
        prev = n->prev;
        for (uint32_t i = 0; i < n->n_regions && !cluster_is_node(n); i++)
            changed = fuse_region(ctx, n->regions[i]) || changed;
        if (!can_join(n)) continue;
        group g = {.mark = ir_new_mark(ctx->c)};
        grow(&g, n);
        if (g.n < 2 || !ctx_take(ctx, "clusters")) continue;
        prev = build(ctx, &g)->prev;
        changed = true;
    }
    return changed;
}

pass_result pass_fuse_elementwise(pass_ctx *ctx, ir_graph *g) {
    return fuse_region(ctx, g->body) ? PASS_CHANGED : PASS_SAME;
}
