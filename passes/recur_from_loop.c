/* recur_from_loop: a Loop whose number of rounds is known before it starts becomes a Recur.
 *
 *   before:  %h, %ys = Loop(%n, _, %h0) {
 *              body(i64[] %i, bool[] %c, f32[2,4] %p) {... yield %c, %h1, %y}
 *            }
 *
 *   after:   %h, %ys = Recur<carries=1>(%n, %h0) {
 *              body(i64[] %i, f32[2,4] %p) {... yield %h1, %y}
 *            }
 *
 * loop_count has given a trip count to loops that a counted condition ends, loop_lists has made stacked outputs of lists. What
 * remains a Loop: an exit that depends on data, no trip count at all, carried values that change their shape or are sequences. Parts
 * of outer values that the body cuts out become slices in recur_slices. Linear. */
#include "passes/recur.h"
#include "passes/util.h"

static const char *why_not(const loop_like *l) {
    if (!ir_in(l->node, 0)) return "it has no trip count";
    if (!loop_is_counted(l)) return "its end depends on data";
    for (uint32_t i = 0; i < l->n_carried; i++)
        if (!ir_type_is_tensor(loop_param(l, i)->type)) return "it carries a sequence";
    return loop_types_are_fixed(l) ? NULL : "a carried value changes its shape";
}

/* The condition is always true, and not there afterwards. */
static void drop_condition(pass_ctx *ctx, const loop_like *l) {
    ir_value *c = l->body->params[1];
    ir_builder b = ir_build_before(l->node);
    uint32_t n = ir_region_n_results(l->body);
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n);
    for (uint32_t i = 1; i < n; i++)
        results[i - 1] = ir_region_result(l->body, i);
    ir_region_set_results(l->body, results, n - 1);
    if (c->uses) ir_value_replace_uses(c, build_scalar(&b, DT_bool, 1));
    ir_region_remove_param(l->body, 1);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    if (n->op != OP_Loop || !loop_like_get(n, &l)) return PASS_SAME;
    const char *reason = why_not(&l);
    if (reason) ctx_remark(ctx, "%s stays a Loop: %s", node_name(n), reason);
    if (reason || !ctx_take(ctx, "loops")) return PASS_SAME;
    drop_condition(ctx, &l);
    ir_value **in = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in);
    in[0] = n->in[0].value;
    for (uint32_t i = 0; i < l.n_carried; i++)
        in[1 + i] = loop_initial(&l, i);
    ir_node *recur = node_become(ctx, n, OP_Recur, in, 1 + l.n_carried);
    recur_set_carries(ctx, recur, l.n_carried);
    return ir_infer_node(ctx->c, recur) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_recur_from_loop(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
