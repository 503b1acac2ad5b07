/* Rules about numbers that text cannot say; listed in simplify_rules.def, conventions in rule.h. */
#include "passes/simplify.h"

#define RULE_FN(name) ir_value *rule_##name(ir_builder *b, ir_node *n)

/* The node that makes operand i, if it is an `op`. */
static ir_node *operand_node(const ir_node *n, uint32_t i, op_id op) {
    ir_node *def = n->in[i].value ? n->in[i].value->def : NULL;
    return def && def->op == op ? def : NULL;
}

RULE_FN(softmax_one) {
    const ir_type *t = n->out[0].type;
    size_t elements;
    if (!ir_type_static_elements(t, &elements) || elements > 4096) return NULL;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", -1), t->rank);
    if (axis < 0 || !ir_dim_is(t->dims[axis], 1)) return NULL;
    ir_tensor *ones = ir_tensor_alloc(b->m->arena, t);
    for (size_t i = 0; i < elements; i++)
        ir_tensor_set_f64(ones, i, 1);
    ir_tensor_seal(ones);
    return ir_module_const(b->m, ones, NULL);
}

/* ---- broadcasting that happens anyway ----------------------------------------------------------------------- */

/* Dimension i of t counted from the last, or NULL beyond its rank. */
static const ir_dim *dim_from_end(const ir_type *t, int32_t i) {
    return i < t->rank ? t->dims[t->rank - 1 - i] : NULL;
}

/* The operands other than `without` have some dimension equal to d at that place. */
static bool others_have_dim(const ir_node *n, uint32_t without, int32_t i, const ir_dim *d) {
    for (uint32_t k = 0; k < n->n_in; k++) {
        if (k == without || !n->in[k].value) continue;
        const ir_dim *e = dim_from_end(n->in[k].value->type, i);
        if (e && ir_dim_equal(e, d)) return true;
    }
    return false;
}

/* The result keeps its shape when operand k has the type t instead. */
static bool shape_survives(const ir_node *n, uint32_t k, const ir_type *t) {
    const ir_type *out = n->out[0].type;
    for (int32_t i = 0; i < out->rank; i++) {
        const ir_dim *d = dim_from_end(out, i), *e = dim_from_end(t, i);
        if (e && ir_dim_equal(e, d)) continue;
        if (e && !ir_dim_is(e, 1)) return false;
        if (!others_have_dim(n, k, i, d)) return false;
    }
    return true;
}

static bool operands_are_ranked(const ir_node *n) {
    for (uint32_t k = 0; k < n->n_in; k++)
        if (n->in[k].value && !ir_type_is_known(n->in[k].value->type)) return false;
    return ir_type_is_known(n->out[0].type);
}

RULE_FN(expand_operand) {
    (void)b;
    if (!op_is(n->op, OP_SCALAR) || n->n_in < 2 || n->op == OP_Clip || !operands_are_ranked(n))
        return NULL;
    for (uint32_t k = 0; k < n->n_in; k++) {
        ir_node *expand = n->in[k].value ? operand_node(n, k, OP_Expand) : NULL;
        if (!expand || !ir_type_is_known(expand->in[0].value->type)) continue;
        if (!shape_survives(n, k, expand->in[0].value->type)) continue;
        ir_node_set_operand(n, k, expand->in[0].value);
        return n->out;
    }
    return NULL;
}
