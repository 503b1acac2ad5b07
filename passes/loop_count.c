/* loop_count: a loop that a condition on its counter ends gets a trip count.
 *
 *   before:  %more = Less(@zero, %time)                                        // time: of the graph's inputs
 *            %h = Loop(_, %more, %h0, @zero) {
 *              body(%i, %c, %h1, %at) {... %next = Add(%at, @four)
 *                %c2 = Less(%next, %time)   yield %c2, %h2, %next}
 *            }
 *
 *   after:   %n = Dims<dims=dims<ceil(time/4)>, rank=0>()
 *            %h = Loop(%n, _, %h0, @zero) {body(%i, %c, %h1, %at) {...   yield %c, %h2, %next}}
 *
 * Inference knows the operands of the comparison as functions of the counter i. Their distance, "what is left", must shrink by
 * a constant s > 0 each step: left(i) = left(0) - s*i, and the loop goes on while it is above 0. Where the first condition is
 * the same comparison one step earlier, there are ceil(left(-1)/s) steps; where it is true, one and ceil(left(0)/s); a trip count that
 * is given limits both. All of it must be computable from the graph's inputs. Linear. */
#include "passes/loop_like.h"
#include "passes/util.h"

/* What must be above 0 for the comparison to hold, as a dimension expression; NULL where v is none. */
static const ir_dim *what_is_left(ir_ctx *c, const ir_value *v) {
    const ir_node *n = v ? v->def : NULL;
    const ir_dim *a, *b;
    if (!n || (n->op != OP_Less && n->op != OP_LessOrEqual && n->op != OP_Greater &&
               n->op != OP_GreaterOrEqual))
        return NULL;
    if (ir_value_known_dims(c, ir_in(n, 0), &a, 1) != 1 ||
        ir_value_known_dims(c, ir_in(n, 1), &b, 1) != 1)
        return NULL;
    bool less = n->op == OP_Less || n->op == OP_LessOrEqual;
    const ir_dim *left = less ? ir_dim_sub(c, b, a) : ir_dim_sub(c, a, b);
    bool strict = n->op == OP_Less || n->op == OP_Greater;
    return strict ? left : ir_dim_add(c, left, ir_dim_const(c, 1));
}

/* s, where left(i) = left(0) - s*i with a constant s > 0; else 0. */
static int64_t find_step(ir_ctx *c, const ir_dim *left, const ir_dim *counter) {
    const ir_dim *first = dim_replace(c, left, counter, ir_dim_const(c, 0)),
                 *second = dim_replace(c, left, counter, ir_dim_const(c, 1)),
                 *step = ir_dim_sub(c, first, second);
    int64_t s;
    if (!ir_dim_is_const(step, &s) || s <= 0) return 0;
    return ir_dim_equal(left, ir_dim_sub(c, first, ir_dim_mul(c, step, counter))) ? s : 0;
}

static const ir_dim *steps_for(ir_ctx *c, const ir_dim *left, int64_t step) {
    return ir_dim_max(c, ir_dim_ceildiv(c, left, ir_dim_const(c, step)), ir_dim_const(c, 0));
}

static bool is_true(const ir_value *v) {
    int64_t x;
    return !v || (ir_value_const_i64(v, &x) && x != 0);
}

/* The number of steps that the conditions allow, or NULL. */
static const ir_dim *count_steps(ir_ctx *c, const loop_like *l) {
    const ir_value *start = ir_in(l->node, 1);
    const ir_dim *counter = loop_counter(l),
                 *left = counter ? what_is_left(c, ir_region_result(l->body, 0)) : NULL;
    int64_t step = left ? find_step(c, left, counter) : 0;
    if (!step) return NULL;
    if (is_true(start)) {
        const ir_dim *more = steps_for(c, dim_replace(c, left, counter, ir_dim_const(c, 0)), step);
        return ir_dim_add(c, more, ir_dim_const(c, 1));
    }
    const ir_dim *at_start = what_is_left(c, start),
                 *before = dim_replace(c, left, counter, ir_dim_const(c, -1));
    return at_start && ir_dim_equal(at_start, before) ? steps_for(c, before, step) : NULL;
}

/* "Without a limit" is spelled as the largest number as well. */
static bool find_trips(pass_ctx *ctx, const loop_like *l, const ir_dim **trips) {
    const ir_value *m = ir_in(l->node, 0);
    const ir_dim *given;
    int64_t limit;
    if (!(*trips = count_steps(ctx->c, l))) return false;
    bool limited = m && !(ir_value_const_i64(m, &limit) && limit == INT64_MAX);
    if (limited && ir_value_known_dims(ctx->c, m, &given, 1) != 1) return false;
    if (limited) *trips = ir_dim_min(ctx->c, *trips, given);
    return dims_are_computable(l->body->graph, trips, 1);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    const ir_dim *trips;
    if (n->op != OP_Loop || !loop_like_get(n, &l) || loop_is_counted(&l)) return PASS_SAME;
    if (!find_trips(ctx, &l, &trips) || !ctx_take(ctx, "loops")) return PASS_SAME;
    ir_builder b = ir_build_before(n);
    ir_node_set_operand(n, 0, build_dim_scalar(&b, trips));
    ir_node_set_operand(n, 1, NULL);
    ir_node_set_operand(l.body->yield, 0, l.body->params[1]);
    return ir_infer_node(ctx->c, n) ? PASS_CHANGED : PASS_FAILED;
}

pass_result pass_loop_count(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
