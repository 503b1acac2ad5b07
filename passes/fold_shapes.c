/* fold_shapes: values whose contents inference knows become constants, or Dims nodes where they depend on the dimensions of the graph's
 * inputs.
 *
 *   before:  %s = Shape(%x)  // x: f32[batch,4]          after:  %s2 = Dims<dims=[2*batch]>()
 *            %b = Gather(%s, @zero)
 *            %s2 = Mul(%b, @two)
 *
 * Only the end of a chain of shape arithmetic gets a Dims node; the rest of the chain then has no users and goes with dce. It is a part of
 * fold_constants, and a pass of its own for reroll: steps look alike when sizes do not come from their own values any more, and before
 * what is computed from a constant initial state is folded away in the first one. Linear. */
#include "passes/util.h"

static bool has_known_constants(const ir_value *v) {
    if (!v->known) return false;
    for (uint32_t i = 0; i < v->known->n; i++)
        if (!ir_dim_is_const(v->known->dims[i], NULL)) return false;
    return true;
}

/* The static type of a value with n known elements, or NULL where its shape is not clear. */
static const ir_type *known_type(ir_ctx *c, const ir_value *v) {
    size_t n;
    if (ir_type_static_elements(v->type, &n)) return n == v->known->n ? v->type : NULL;
    if (v->type->rank != 1) return NULL;
    return ir_type_tensor_static(c, v->type->dtype, 1, (int64_t[]){v->known->n});
}

static bool replace_by_constant(pass_ctx *ctx, ir_value *v) {
    const ir_type *type = known_type(ctx->c, v);
    if (!type || !ctx_take(ctx, "known")) return false;
    ir_tensor *t = ir_tensor_alloc(ctx->m->arena, type);
    for (uint32_t i = 0; i < v->known->n; i++) {
        int64_t x = 0;
        ir_dim_is_const(v->known->dims[i], &x);
        ir_tensor_set_i64(t, i, x);
    }
    ir_tensor_seal(t);
    pass_replace(ctx, v, ir_module_const(ctx->m, t, v->name));
    return true;
}

static bool can_be_dims(const ir_graph *g, const ir_value *v) {
    if (!v->known || !ir_type_is_ranked(v->type) || v->type->rank > 1) return false;
    if (v->type->dtype != DT_i64 && v->type->dtype != DT_i32) return false;
    return dims_are_computable(g, v->known->dims, v->known->n);
}

/* A user that is not itself about to be replaced. */
static bool has_final_user(const ir_graph *g, const ir_value *v) {
    ir_for_each_use (u, v) {
        const ir_node *user = u->user;
        if (user->op == OP_Yield || user->n_regions) return true;
        for (uint32_t i = 0; i < user->n_out; i++)
            if (!has_known_constants(&user->out[i]) && !can_be_dims(g, &user->out[i])) return true;
    }
    return false;
}

static bool replace_by_dims(pass_ctx *ctx, ir_value *v) {
    ir_node *n = v->def;
    const ir_graph *g = n->parent->graph;
    if (n->op == OP_Dims || !can_be_dims(g, v) || !has_final_user(g, v)) return false;
    if (!ctx_take(ctx, "dims")) return false;
    ir_attr attrs[] = {
        {.name = "dims", .kind = ATTR_DIMS, .n = v->known->n, .v.dims = v->known->dims},
        {.name = "rank", .kind = ATTR_INT, .v.i = v->type->rank},
        {.name = "dtype", .kind = ATTR_INT, .v.i = v->type->dtype},
    };
    ir_builder b = ir_build_before(n);
    uint32_t n_attrs = v->type->dtype == DT_i64 ? 2 : 3; /* i64 is the default */
    pass_replace(ctx, v, build_node(&b, OP_Dims, NULL, 0, 1, attrs, n_attrs)->out);
    return true;
}

bool fold_known(pass_ctx *ctx, ir_node *n) {
    bool changed = false;
    if (!op_is(n->op, OP_PURE)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        ir_value *v = &n->out[i];
        if (!v->uses || !v->known || !ir_type_is_tensor(v->type)) continue;
        changed |= has_known_constants(v) ? replace_by_constant(ctx, v) : replace_by_dims(ctx, v);
    }
    return changed;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    return fold_known(ctx, n) ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_fold_shapes(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
