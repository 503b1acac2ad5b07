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

/* ---- what does not change which element is the largest --------------------------------------------------------- */

/* t is the same for all positions of the axis that is the `from_end`th from the last. */
static bool is_same_along(const ir_value *t, int32_t from_end) {
    const ir_dim *d = dim_from_end(t->type, from_end);
    return !d || ir_dim_is(d, 1);
}

/* v without a term that is the same along the axis: x of x + t, and where only n reads v, also within a sum of it; NULL without one. */
static ir_value *without_offset(ir_builder *b, const ir_value *v, int32_t from_end) {
    ir_node *n = v->def;
    if (!n || (n->op != OP_Add && n->op != OP_Sub) || !operands_are_ranked(n)) return NULL;
    for (uint32_t k = 0; k < 2; k++)
        if ((n->op == OP_Add || k == 1) && is_same_along(n->in[k].value, from_end))
            return n->in[1 - k].value;
    for (uint32_t k = 0; k < 2 && ir_value_count_uses(v) == 1; k++) {
        ir_value *x = without_offset(b, n->in[k].value, from_end);
        if (!x || !shape_survives(n, k, x->type)) continue;
        return build_op2(b, n->op, k ? n->in[0].value : x, k ? x : n->in[1].value);
    }
    return NULL;
}

RULE_FN(arg_offset) {
    const ir_value *v = n->in[0].value;
    if (!ir_type_is_known(v->type) || !ir_dtype_is_float(v->type->dtype)) return NULL;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), v->type->rank);
    ir_value *x = axis < 0 ? NULL : without_offset(b, v, v->type->rank - 1 - axis);
    if (!x || x->type != v->type) return NULL;
    ir_node_set_operand(n, 0, x);
    return n->out;
}
