/* control_flow: branches and loops whose course is known, and what a loop does not change.
 *
 *   %y = If(@true) {then() {...} else() {...}}       ->  the nodes of `then`
 *   %y = Loop(@one, _, %x) {body}                    ->  the nodes of the body, once
 *   %y = Loop(@zero, _, %x) {body}                   ->  %x
 *   body(%i, %c, %s) {... yield %c, %s}              ->  users of %s read the initial value; after dce %s is gone
 *   Loop(%n, @true, ...) {body(%i, %c) yield %c}     ->  Loop(%n, _, ...): a counted loop
 *   Recur(@one, %x, %xs) {body}, Recur(@zero, ...)   ->  likewise; a slice is all of %xs, without the axis
 *
 * Inner regions first. Linear, apart from copying what is inlined. */
#include "ir/limits.h"
#include "passes/loop_like.h"
#include "passes/util.h"

static bool is_true(const ir_value *v) {
    int64_t x;
    return ir_value_const_i64(v, &x) && x != 0;
}

/* ---- If ----------------------------------------------------------------------------------------------------- */

static void replace_results(pass_ctx *ctx, ir_node *n, ir_value *const *results) {
    for (uint32_t i = 0; i < n->n_out; i++)
        pass_replace(ctx, &n->out[i], results[i]);
    ir_node_remove(n);
}

static bool inline_branch(pass_ctx *ctx, ir_node *n) {
    int64_t condition;
    if (!ir_value_const_i64(ir_in(n, 0), &condition)) return false;
    const ir_region *r = ir_node_find_region(n, condition ? "then_branch" : "else_branch");
    if (!r || !ctx_take(ctx, "if_constant")) return false;
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out);
    ir_region_inline(ctx->m, r, NULL, n->parent, n, NULL, results);
    replace_results(ctx, n, results);
    return true;
}

/* ---- loops that run not at all or once ---------------------------------------------------------------------- */

static const ir_value *condition_of(const loop_like *l) {
    return l->node->op == OP_Loop ? l->node->in[1].value : NULL;
}

/* The loop ends before its first step. */
static bool runs_never(const loop_like *l) {
    int64_t trips, condition;
    if (ir_value_const_i64(l->node->in[0].value, &trips) && trips <= 0) return true;
    return ir_value_const_i64(condition_of(l), &condition) && !condition;
}

/* Where stacked output i, or slice i, has the axis that counts the steps: from 0, or below 0 from the end. */
static int64_t step_axis(const loop_like *l, const char *list, uint32_t i) {
    uint32_t count;
    const int64_t *axes = l->node->op == OP_Recur ? ir_attr_ints(l->node, list, &count) : NULL;
    return axes && i < count ? axes[i] : 0;
}

/* A tensor without elements: none along `axis`; NULL where its type is not static. */
static ir_value *empty_constant(pass_ctx *ctx, const ir_type *t, int64_t axis) {
    int64_t dims[IR_MAX_RANK];
    if (!ir_type_is_ranked(t)) return NULL;
    if (axis < 0) axis += t->rank;
    for (int32_t i = 0; i < t->rank; i++)
        if (i != axis && !ir_dim_is_const(t->dims[i], &dims[i])) return NULL;
    dims[axis] = 0;
    ir_tensor *empty = ir_tensor_alloc(ctx->m->arena,
                                       ir_type_tensor_static(ctx->c, t->dtype, t->rank, dims));
    ir_tensor_seal(empty);
    return ir_module_const(ctx->m, empty, NULL);
}

static bool drop_loop(pass_ctx *ctx, const loop_like *l) {
    ir_node *n = l->node;
    if (!runs_never(l)) return false;
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out);
    for (uint32_t i = 0; i < n->n_out; i++) {
        uint32_t k = i - l->n_carried;
        results[i] = i < l->n_carried
                         ? loop_initial(l, i)
                         : empty_constant(ctx, n->out[i].type, step_axis(l, "output_axes", k));
        if (!results[i]) return false;
    }
    if (!ctx_take(ctx, "loop_never")) return false;
    replace_results(ctx, n, results);
    return true;
}

static bool runs_once(const loop_like *l) {
    int64_t trips;
    const ir_value *condition = condition_of(l);
    return ir_value_const_i64(l->node->in[0].value, &trips) && trips == 1 &&
           (!condition || is_true(condition));
}

/* The body's parameters in the one step there is. */
static ir_value **first_step(pass_ctx *ctx, ir_builder *b, const loop_like *l) {
    ir_value **args = TL_NEW_ARRAY(ctx->scratch, ir_value *, l->body->n_params);
    args[0] = build_dim_scalar(b, ir_dim_const(ctx->c, 0));
    if (l->node->op == OP_Loop) args[1] = build_scalar(b, DT_bool, 1);
    for (uint32_t i = 0; i < l->n_carried; i++)
        args[l->first_param + i] = loop_initial(l, i);
    for (uint32_t i = 0; i < l->n_sliced; i++) {
        int64_t axis = step_axis(l, "input_axes", i);
        args[l->first_param + l->n_carried + i] = build_op2(b, OP_Squeeze, loop_sliced(l, i),
                                                            build_i64s(b, &axis, 1));
    }
    return args;
}

/* A Squeeze must see that the axis it drops is 1 long. */
static bool slices_are_ranked(const loop_like *l) {
    for (uint32_t i = 0; i < l->n_sliced; i++)
        if (!ir_type_is_ranked(loop_sliced(l, i)->type)) return false;
    return true;
}

static bool inline_loop(pass_ctx *ctx, const loop_like *l) {
    ir_node *n = l->node;
    if (!runs_once(l) || !slices_are_ranked(l) || !ctx_take(ctx, "loop_once")) return false;
    ir_builder b = ir_build_before(n);
    ir_value **args = first_step(ctx, &b, l);
    ir_value **inner = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out + 1);
    ir_region_inline(ctx->m, l->body, args, n->parent, n, NULL, inner);
    ir_value **results = inner + l->first_result;
    for (uint32_t i = l->n_carried; i < n->n_out; i++) {
        int64_t axis = step_axis(l, "output_axes", i - l->n_carried);
        results[i] = build_op2(&b, OP_Unsqueeze, results[i], build_i64s(&b, &axis, 1));
    }
    replace_results(ctx, n, results);
    return true;
}

/* ---- what a loop does not change ---------------------------------------------------------------------------- */

static bool replace_all(ir_value *old, ir_value *with) {
    if (!old->uses) return false;
    ir_value_replace_uses(old, with);
    return true;
}

/* Carried, but handed on as it came: inside and after the loop it is the initial value. */
static bool free_invariants(pass_ctx *ctx, const loop_like *l) {
    bool changed = false;
    for (uint32_t i = 0; i < l->n_carried; i++) {
        ir_value *param = loop_param(l, i), *out = &l->node->out[i], *initial = loop_initial(l, i);
        if (loop_update(l, i) != param && loop_update(l, i) != initial) continue;
        if ((!param->uses && !out->uses) || !ctx_take(ctx, "invariant")) continue;
        changed |= replace_all(param, initial);
        changed |= replace_all(out, initial);
    }
    return changed;
}

/* The condition is true at the start and stays so: it goes, and the trip count alone decides. */
static bool drop_condition(pass_ctx *ctx, const loop_like *l) {
    ir_node *n = l->node;
    ir_value *param = l->body->params[1], *next = ir_region_result(l->body, 0);
    bool given = n->in[1].value;
    if ((given && !is_true(n->in[1].value)) || (next != param && !is_true(next))) return false;
    if ((!given && !param->uses) || !ctx_take(ctx, "counted")) return false;
    ir_builder b = ir_build_before(n);
    ir_node_set_operand(n, 1, NULL);
    if (param->uses) ir_value_replace_uses(param, build_scalar(&b, DT_bool, 1));
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    if (n->op == OP_If) return inline_branch(ctx, n) ? PASS_CHANGED : PASS_SAME;
    if (!loop_like_get(n, &l)) return PASS_SAME;
    bool changed = free_invariants(ctx, &l);
    if (n->op == OP_Scan) return changed ? PASS_CHANGED : PASS_SAME;
    if (n->op == OP_Loop) changed |= drop_condition(ctx, &l);
    changed |= drop_loop(ctx, &l) || inline_loop(ctx, &l);
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_control_flow(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
