/* recur_invariant: what the body of a Recur computes from outer values alone is computed once, before it.
 *
 *   before:  Recur<carries=1>(%n, %h0, %xs) {
 *              body(%i, %p, %x) uses(%w) {%t = Transpose(%w)   %m = MatMul(%p, %t)   ...}}
 *
 *   after:   %t = Transpose(%w)
 *            Recur<carries=1>(%n, %h0, %xs) {
 *              body(%i, %p, %x) uses(%t) {%m = MatMul(%p, %t)   ...}}
 *
 * Only operators whose results depend on their operands alone; ones that can fail on bad data (an index out of range) only where
 * there is a round for certain. Inner bodies first, so that a value leaves as many of them as it can. Linear. */
#include "passes/recur.h"
#include "passes/util.h"

static bool is_outer(const loop_like *l, const ir_value *v) {
    return !v || v->tensor || !ir_region_is_inside(ir_value_region(v), l->body);
}

static bool can_leave(pass_ctx *ctx, const loop_like *l, const ir_node *n) {
    if (!op_is(n->op, OP_PURE) || n->n_regions) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!is_outer(l, ir_in(n, i))) return false;
    const ir_dim *trips = recur_trips(ctx->c, l->node);
    return !node_can_fail(ctx->c, n) || (trips && ir_dim_lower_bound(trips) >= 1);
}

static pass_result visit(pass_ctx *ctx, ir_node *recur) {
    loop_like l;
    uint32_t moved = 0;
    if (recur->op != OP_Recur || !loop_like_get(recur, &l)) return PASS_SAME;
    ir_for_each_node_safe (n, l.body) {
        if (!can_leave(ctx, &l, n) || !ctx_take(ctx, "moved")) continue;
        ir_node_move_before(recur, n);
        moved++;
    }
    if (moved) ctx_remark(ctx, "%s: %u nodes are the same in all rounds", node_name(recur), moved);
    return moved ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_recur_invariant(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
