/* Normalisations: the first result has the shape of the first operand, statistics may be results too. */
#include "ir/infer/infer.h"

/* Scale and bias can be broadcast to the input, which they do not make larger. */
static bool expect_affine(ir_ctx *c, const ir_node *n) {
    ir_shape x = infer_in_shape(n, 0);
    for (uint32_t i = 1; i < n->n_in; i++) {
        if (!infer_is_ranked(n, i)) continue;
        ir_shape full = x, scale = infer_in_shape(n, i);
        if (scale.rank > x.rank)
            return infer_error(c, n, i, "rank is %d, expected %d at most", scale.rank, x.rank);
        if (!infer_broadcast_with(c, n, i, &full, &scale)) return false;
        for (int32_t d = 0; d < scale.rank; d++)
            if (ir_dim_is(x.dims[x.rank - 1 - d], 1) &&
                !infer_expect_dim(c, n, i, scale.rank - 1 - d, x.dims[x.rank - 1 - d]))
                return false;
    }
    return true;
}

/* The result has the scale's element type. */
bool infer_rms_norm(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    ir_dtype dtype = infer_in(n, 1)->dtype;
    int32_t axis;
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    return infer_axis(c, n, ir_attr_int(n, "axis", -1), t->rank, &axis) && expect_affine(c, n) &&
           infer_set_shape(c, n, 0, dtype, &s);
}

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
    if (!expect_affine(c, n)) return false;
    for (int32_t i = axis; i < s.rank; i++)
        s.dims[i] = ir_dim_const(c, 1);
    return infer_set_shape(c, n, 1, dtype, &s) && infer_set_shape(c, n, 2, dtype, &s);
}

/* Operands 1 to last have one element per channel (dimension 1). */
static bool expect_per_channel(ir_ctx *c, const ir_node *n, uint32_t last) {
    for (uint32_t i = 1; i <= last; i++) {
        if (!infer_expect_rank(c, n, i, 1)) return false;
        bool comparable = infer_is_ranked(n, 0) && infer_in(n, 0)->rank > 1 &&
                          infer_is_ranked(n, i);
        if (comparable && !infer_expect_dim(c, n, i, 0, infer_in(n, 0)->dims[1])) return false;
    }
    return true;
}

bool infer_batch_norm(ir_ctx *c, ir_node *n) {
    return expect_per_channel(c, n, 4) && infer_set(c, n, 0, infer_in(n, 0)) &&
           infer_set(c, n, 1, infer_in(n, 3)) && infer_set(c, n, 2, infer_in(n, 4));
}

bool infer_instance_norm(ir_ctx *c, ir_node *n) {
    return expect_per_channel(c, n, 2) && infer_set(c, n, 0, infer_in(n, 0));
}

bool infer_group_norm(ir_ctx *c, ir_node *n) {
    int64_t groups = ir_attr_int(n, "num_groups", 0), channels;
    const ir_type *t = infer_in(n, 0);
    bool known = ir_type_is_ranked(t) && t->rank > 1 && ir_dim_is_const(t->dims[1], &channels);
    if (groups < 1 || (known && channels % groups))
        return diag_error(&c->diag, n->loc,
                          "attribute 'num_groups' is %lld, expected a divisor of the channels",
                          (long long)groups);
    return infer_instance_norm(c, n);
}

/* Axes, by default those of an image but its channels; each once. */
bool infer_mean_variance_norm(ir_ctx *c, ir_node *n) {
    static const int64_t of_images[] = {0, 2, 3};
    const ir_type *t = infer_in(n, 0);
    bool seen[IR_MAX_RANK] = {false};
    uint32_t n_axes;
    const int64_t *axes = ir_attr_ints(n, "axes", &n_axes);
    if (!axes) axes = of_images, n_axes = 3;
    for (uint32_t i = 0; ir_type_is_ranked(t) && i < n_axes; i++) {
        int32_t axis;
        if (!infer_axis(c, n, axes[i], t->rank, &axis)) return false;
        if (seen[axis])
            return diag_error(&c->diag, n->loc, "attribute 'axes' names %d twice", axis);
        seen[axis] = true;
    }
    return infer_set(c, n, 0, t);
}
