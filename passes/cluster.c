/* Moving nodes into the region of the operator that executes them as one; see cluster.h. */
#include "passes/cluster.h"

#include "ir/base/assert.h"

cluster cluster_begin(pass_ctx *ctx, op_id op, ir_node *before, const char *region_name) {
    cluster k = {.ctx = ctx, .node = ir_node_create(ctx->m, op, NULL, 0, 1)};
    k.node->loc = before->loc;
    ir_node_insert_before(before, k.node);
    k.region = ir_node_add_region(ctx->m, k.node, region_name);
    return k;
}

void cluster_add_operand(cluster *k, ir_value *v) {
    ir_node_add_operand(k->ctx->m, k->node, v);
}

ir_value *cluster_add_param(cluster *k, const ir_type *t) {
    return ir_region_add_param(k->region, t, NULL);
}

bool cluster_is_scalar_const(const ir_value *v) {
    return ir_value_is_const(v) && v->type->dtype != DT_str && ir_tensor_elements(v->tensor) == 1;
}

static bool is_inside(const cluster *k, const ir_value *v) {
    return v->region == k->region || (v->def && v->def->parent == k->region);
}

/* The parameter for an operand from outside. */
static ir_value *param_for(cluster *k, ir_value *v) {
    for (uint32_t i = 1; i <= k->n_taken; i++)
        if (ir_in(k->node, k->node->n_in - i) == v)
            return k->region->params[k->region->n_params - i];
    k->n_taken++;
    cluster_add_operand(k, v);
    return cluster_add_param(k, v->type);
}

void cluster_take(cluster *k, ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_value *v = ir_in(n, i);
        if (v && !is_inside(k, v) && !cluster_is_scalar_const(v))
            ir_node_set_operand(n, i, param_for(k, v));
    }
    ir_node_move_before(k->region->yield, n);
}

ir_node *cluster_end(cluster *k, ir_value *result, ir_value *replaced) {
    ir_value *out = &k->node->out[0];
    out->name = replaced->name;
    replaced->name = result == replaced ? ir_name_derive(k->ctx->m, result, "inner") : NULL;
    ir_value_replace_uses(replaced, out);
    ir_region_add_result(k->region, result);
    bool inferred = ir_infer_node(k->ctx->c, k->node);
    TL_ASSERT(inferred);
    return k->node;
}
