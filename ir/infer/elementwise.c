/* Elementwise operators, and all others whose result looks like their first operand. */
#include "ir/infer/infer.h"

/* Softmax and its kin, LpNormalization: an axis attribute; CumSum: an axis operand. */
static bool check_axis(ir_ctx *c, const ir_node *n, int32_t rank) {
    int32_t axis;
    int64_t value;
    if (rank > 0 && ir_schema_attr_find(op_schema(n->op), "axis") &&
        !infer_axis(c, n, ir_attr_int(n, "axis", -1), rank, &axis))
        return false;
    bool operand = n->op == OP_CumSum || n->op == OP_CumProd;
    if (!operand || rank == 0 || !ir_value_const_i64(ir_in(n, 1), &value)) return true;
    return infer_axis(c, n, value, rank, &axis);
}

bool infer_same(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    if (!ir_type_is_tensor(t)) return infer_set(c, n, 0, t); /* Identity of a sequence */
    if (ir_type_is_ranked(t) && !check_axis(c, n, t->rank)) return false;
    return infer_set(c, n, 0, ir_type_with_dtype(c, t, infer_result_dtype(n, 0)));
}

bool infer_predicate(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), DT_bool));
}

bool infer_cast(ir_ctx *c, ir_node *n) {
    int64_t to = ir_attr_int(n, "to", 0);
    if (!ir_schema_output_allows(op_schema(n->op), 0, (int)(to > 0 && to < DT_COUNT ? to : 0)))
        return diag_error(&c->diag, n->loc, "attribute 'to' is %lld, which is no element type",
                          (long long)to);
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), (ir_dtype)to));
}

/* All operands broadcast together. */
static bool broadcast_all(ir_ctx *c, ir_node *n, ir_dtype dtype) {
    ir_shape s = {.rank = 0};
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!ir_in(n, i)) continue;
        if (!infer_is_ranked(n, i)) return infer_set_unranked(c, n, 0, dtype);
        ir_shape t = infer_in_shape(n, i);
        if (!infer_broadcast_with(c, n, i, &s, &t)) return false;
    }
    return infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_broadcast(ir_ctx *c, ir_node *n) {
    return broadcast_all(c, n, infer_in(n, 0)->dtype);
}
bool infer_pow(ir_ctx *c, ir_node *n) {
    return broadcast_all(c, n, infer_in(n, 0)->dtype);
}
bool infer_compare(ir_ctx *c, ir_node *n) {
    return broadcast_all(c, n, DT_bool);
}
bool infer_where(ir_ctx *c, ir_node *n) {
    return broadcast_all(c, n, infer_in(n, 1)->dtype);
}

bool infer_clip(ir_ctx *c, ir_node *n) {
    for (uint32_t i = 1; i < n->n_in; i++)
        if (infer_is_ranked(n, i) && infer_in_length(n, i) != 1 && infer_in(n, i)->rank != 0 &&
            ir_type_is_static(infer_in(n, i)))
            return infer_error(c, n, i, "expected one element");
    return infer_set(c, n, 0, infer_in(n, 0));
}

/* CumSum and CumProd: the axis is one number. */
bool infer_cumulative(ir_ctx *c, ir_node *n) {
    int64_t length = infer_in_length(n, 1);
    if (length >= 0 && length != 1)
        return infer_error(c, n, 1, "%lld numbers, expected one axis", (long long)length);
    return infer_same(c, n);
}

bool infer_trilu(ir_ctx *c, ir_node *n) {
    if (infer_is_ranked(n, 0) && infer_in(n, 0)->rank < 2)
        return infer_error(c, n, 0, "rank is %d, expected 2 or more", infer_in(n, 0)->rank);
    return infer_same(c, n);
}
