/* control_flow: branches and loops whose course is known, and what a loop does not change.
 *
 *   %y = If(@true) {then() {...} else() {...}}       ->  the nodes of `then`
 *   %y = Loop(@one, _, %x) {body}                    ->  the nodes of the body, once
 *   %y = Loop(@zero, _, %x) {body}                   ->  %x
 *   body(%i, %c, %s) {... yield %c, %s}              ->  users of %s read the initial value; after dce %s is gone
 *   Loop(%n, @true, ...) {body(%i, %c) yield %c}     ->  Loop(%n, _, ...): a counted loop
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

/* The loop ends before its first step. */
static bool runs_never(const loop_like *l) {
    int64_t trips, condition;
    if (ir_value_const_i64(l->node->in[0].value, &trips) && trips <= 0) return true;
    return ir_value_const_i64(l->node->in[1].value, &condition) && !condition;
}

/* A tensor without elements; NULL where its type is not static. */
static ir_value *empty_constant(pass_ctx *ctx, const ir_type *t) {
    int64_t dims[IR_MAX_RANK];
    if (!ir_type_is_ranked(t)) return NULL;
    for (int32_t i = 0; i < t->rank; i++)
        if (i > 0 && !ir_dim_is_const(t->dims[i], &dims[i])) return NULL;
    dims[0] = 0;
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
        results[i] = i < l->n_carried ? loop_initial(l, i) : empty_constant(ctx, n->out[i].type);
        if (!results[i]) return false;
    }
    if (!ctx_take(ctx, "loop_never")) return false;
    replace_results(ctx, n, results);
    return true;
}

static bool runs_once(const loop_like *l) {
    int64_t trips;
    const ir_value *condition = l->node->in[1].value;
    return ir_value_const_i64(l->node->in[0].value, &trips) && trips == 1 &&
           (!condition || is_true(condition));
}

/* A stacked output of one step: the step's value under one more dimension. */
static ir_value *stack_of_one(ir_builder *b, ir_value *v) {
    return build_op2(b, OP_Unsqueeze, v, build_i64s(b, (int64_t[]){0}, 1));
}

static bool inline_loop(pass_ctx *ctx, const loop_like *l) {
    ir_node *n = l->node;
    if (!runs_once(l) || !ctx_take(ctx, "loop_once")) return false;
    ir_builder b = ir_build_before(n);
    ir_value **args = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in);
    args[0] = build_dim_scalar(&b, ir_dim_const(ctx->c, 0));
    args[1] = build_scalar(&b, DT_bool, 1);
    for (uint32_t i = 0; i < l->n_carried; i++)
        args[2 + i] = loop_initial(l, i);
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_out + 1);
    ir_region_inline(ctx->m, l->body, args, n->parent, n, NULL, results);
    for (uint32_t i = l->n_carried; i < n->n_out; i++)
        results[1 + i] = stack_of_one(&b, results[1 + i]);
    replace_results(ctx, n, results + 1);
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
    if (n->op == OP_Loop) {
        changed |= drop_condition(ctx, &l);
        changed |= drop_loop(ctx, &l) || inline_loop(ctx, &l);
    }
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_control_flow(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
