/* Reductions: some axes become 1 (keepdims) or disappear. */
#include "ir/infer/infer.h"

static bool reduced_shape(ir_ctx *c, ir_node *n, ir_dtype dtype, const bool *reduced,
                          bool keepdims) {
    const ir_type *t = infer_in(n, 0);
    ir_shape s = {.rank = 0};
    for (int32_t i = 0; i < t->rank; i++) {
        if (!reduced[i])
            s.dims[s.rank++] = t->dims[i];
        else if (keepdims)
            s.dims[s.rank++] = ir_dim_const(c, 1);
    }
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* Axes whose values are not known: at most their number is. */
static bool reduce_unknown(ir_ctx *c, ir_node *n, ir_dtype dtype, int32_t n_axes, bool keepdims) {
    int32_t rank = infer_in(n, 0)->rank;
    if (keepdims) return infer_set_rank(c, n, 0, dtype, rank);
    return n_axes < 0 ? infer_set_unranked(c, n, 0, dtype)
                      : infer_set_rank(c, n, 0, dtype, rank - n_axes);
}

bool infer_reduce(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    bool keepdims = ir_attr_int(n, "keepdims", 1) != 0, reduced[IR_MAX_RANK] = {false};
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, t->dtype);
    int32_t axes[IR_MAX_RANK], n_axes = 0;
    infer_answer known = ir_in(n, 1) ? infer_in_axes(c, n, 1, t->rank, axes, &n_axes) : INFER_KNOWN;
    if (known == INFER_ERROR) return false;
    bool none = n_axes == 0; /* no axes: all of them, or none with noop_with_empty_axes */
    if (none && ir_attr_int(n, "noop_with_empty_axes", 0)) return infer_set(c, n, 0, t);
    if (known == INFER_UNKNOWN && !none) return reduce_unknown(c, n, t->dtype, n_axes, keepdims);
    for (int32_t i = 0; i < t->rank; i++)
        reduced[i] = none;
    for (int32_t i = 0; i < n_axes; i++)
        reduced[axes[i]] = true;
    return reduced_shape(c, n, t->dtype, reduced, keepdims);
}

bool infer_arg_reduce(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    bool reduced[IR_MAX_RANK] = {false};
    int32_t axis;
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, DT_i64);
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), t->rank, &axis)) return false;
    reduced[axis] = true;
    return reduced_shape(c, n, DT_i64, reduced, ir_attr_int(n, "keepdims", 1) != 0);
}
