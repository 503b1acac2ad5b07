/* Normalisations whose statistics are results too. The others are like their first operand: infer_same. */
#include "ir/infer/infer.h"

/* Results: the normalised tensor; mean and inverse deviation with 1 from `axis` on, in the type they were computed in. */
bool infer_layer_norm(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    int64_t stash = ir_attr_int(n, "stash_type", DT_f32);
    ir_dtype dtype = stash > 0 && stash < DT_COUNT ? (ir_dtype)stash : DT_f32;
    if (!infer_set(c, n, 0, t)) return false;
    if (!ir_type_is_ranked(t))
        return infer_set_unranked(c, n, 1, dtype) && infer_set_unranked(c, n, 2, dtype);
    int32_t axis;
    ir_shape s = infer_in_shape(n, 0);
    if (!infer_axis(c, n, ir_attr_int(n, "axis", -1), t->rank, &axis)) return false;
    for (uint32_t i = 1; i < n->n_in; i++) {
        if (!infer_is_ranked(n, i)) continue;
        ir_shape full = s, scale = infer_in_shape(n, i);
        if (!infer_broadcast_with(c, n, i, &full, &scale)) return false;
    }
    for (int32_t i = axis; i < s.rank; i++)
        s.dims[i] = ir_dim_const(c, 1);
    return infer_set_shape(c, n, 1, dtype, &s) && infer_set_shape(c, n, 2, dtype, &s);
}

/* Scale, bias, mean and variance have one element per channel (dimension 1). */
bool infer_batch_norm(ir_ctx *c, ir_node *n) {
    for (uint32_t i = 1; i < 5; i++) {
        if (!infer_expect_rank(c, n, i, 1)) return false;
        bool comparable = infer_is_ranked(n, 0) && infer_in(n, 0)->rank > 1 &&
                          infer_is_ranked(n, i);
        if (comparable && !infer_expect_dim(c, n, i, 0, infer_in(n, 0)->dims[1])) return false;
    }
    return infer_set(c, n, 0, infer_in(n, 0)) && infer_set(c, n, 1, infer_in(n, 3)) &&
           infer_set(c, n, 2, infer_in(n, 4));
}
