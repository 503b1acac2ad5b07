/* Sequences: a sequence type says what every element is; lengths are not part of types. */
#include "ir/infer/infer.h"

bool infer_sequence_empty(ir_ctx *c, ir_node *n) {
    int64_t dtype = ir_attr_int(n, "dtype", DT_f32);
    if (dtype <= 0 || dtype >= DT_COUNT)
        return diag_error(&c->diag, n->loc, "attribute 'dtype' is %lld, which is no element type",
                          (long long)dtype);
    return infer_set(c, n, 0, ir_type_sequence(c, ir_type_unranked(c, (ir_dtype)dtype)));
}

bool infer_sequence_construct(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    for (uint32_t i = 1; i < n->n_in; i++)
        t = ir_type_join(c, t, infer_in(n, i));
    return infer_set(c, n, 0, ir_type_sequence(c, t));
}

/* Nothing is known of the elements of an empty sequence, so the first element alone says what they are. */
static bool is_empty_sequence(const ir_value *v) {
    return v->def && v->def->op == OP_SequenceEmpty;
}

bool infer_sequence_insert(ir_ctx *c, ir_node *n) {
    const ir_type *sequence = infer_in(n, 0), *t = infer_in(n, 1);
    if (sequence->element->dtype != t->dtype)
        return infer_error(c, n, 1, "element type is %s, expected %s", ir_dtype_name(t->dtype),
                           ir_dtype_name(sequence->element->dtype));
    if (is_empty_sequence(ir_in(n, 0))) return infer_set(c, n, 0, ir_type_sequence(c, t));
    return infer_set(c, n, 0, ir_type_sequence(c, ir_type_join(c, sequence->element, t)));
}

bool infer_sequence_erase(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, infer_in(n, 0));
}
bool infer_sequence_at(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, infer_in(n, 0)->element);
}

bool infer_sequence_length(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_scalar(c, DT_i64));
}

static const ir_type *sequence_of(ir_ctx *c, ir_dtype dtype, const ir_shape *s) {
    return ir_type_sequence(c, ir_type_tensor(c, dtype, s->rank, s->dims));
}

/* Parts of equal size (a scalar `split`; the last part may be smaller), of given sizes, or of size 1, without the axis then
 * unless keepdims. */
bool infer_split_to_sequence(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0))
        return infer_set(c, n, 0, ir_type_sequence(c, ir_type_unranked(c, dtype)));
    int32_t axis;
    ir_shape s = infer_in_shape(n, 0);
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), s.rank, &axis)) return false;
    const ir_dim *size = s.dims[axis];
    s.dims[axis] = ir_dim_const(c, 1);
    if (!ir_in(n, 1) && !ir_attr_int(n, "keepdims", 1)) {
        s.rank--;
        memmove(&s.dims[axis], &s.dims[axis + 1], (size_t)(s.rank - axis) * sizeof *s.dims);
    } else if (ir_in(n, 1)) {
        const ir_dim *parts[IR_MAX_KNOWN];
        int32_t count = infer_in_dims(c, n, 1, parts);
        bool divides = count > 0 && infer_is_ranked(n, 1) && infer_in(n, 1)->rank == 0 &&
                       ir_dim_div_exact(c, size, parts[0]);
        bool equal = count > 0 && infer_is_ranked(n, 1) && infer_in(n, 1)->rank == 1;
        for (int32_t i = 1; i < count; i++)
            equal = equal && ir_dim_equal(parts[i], parts[0]);
        s.dims[axis] = divides || equal ? parts[0] : ir_dim_unknown(c);
    }
    return infer_set(c, n, 0, sequence_of(c, dtype, &s));
}

bool infer_concat_from_sequence(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0)->element;
    bool new_axis = ir_attr_int(n, "new_axis", 0) != 0;
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, t->dtype);
    int32_t axis, rank = t->rank + new_axis;
    if (rank > IR_MAX_RANK) return infer_set_rank(c, n, 0, t->dtype, rank); /* reports */
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), rank, &axis)) return false;
    ir_shape s = {.rank = rank};
    for (int32_t i = 0; i < rank; i++)
        s.dims[i] = i == axis ? ir_dim_unknown(c) : t->dims[new_axis && i > axis ? i - 1 : i];
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

/* ---- optionals ------------------------------------------------------------------------------------------------------- */

/* Without an operand the attribute says what it could hold. */
bool infer_optional(ir_ctx *c, ir_node *n) {
    const ir_attr *type = ir_attr_find(n, "type");
    const ir_type *content = infer_in(n, 0);
    if (!content && (!type || type->kind != ATTR_TYPE))
        return diag_error(&c->diag, n->loc, "neither an operand nor attribute 'type'");
    return infer_set(c, n, 0, ir_type_optional(c, content ? content : type->v.type));
}

bool infer_optional_get(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    return infer_set(c, n, 0, t->kind == IR_TYPE_OPTIONAL ? t->element : t);
}

bool infer_optional_has(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_scalar(c, DT_bool));
}
