/* Operators whose results are as long as the data says. */
#include "ir/infer/infer.h"

/* [rank, n] */
bool infer_non_zero(ir_ctx *c, ir_node *n) {
    ir_shape s = {2, {ir_dim_unknown(c), ir_dim_unknown(c)}};
    if (infer_is_ranked(n, 0)) s.dims[0] = ir_dim_const(c, infer_in(n, 0)->rank);
    return infer_set_shape(c, n, 0, DT_i64, &s);
}

/* Attribute axis where there is one: *given. */
static bool read_axis(ir_ctx *c, const ir_node *n, int32_t rank, bool *given, int32_t *axis) {
    *given = ir_attr_has(n, "axis");
    *axis = 0;
    return !*given || rank < 0 || infer_axis(c, n, ir_attr_int(n, "axis", 0), rank, axis);
}

/* The operand with another length along the axis, or flat. */
static bool set_shortened(ir_ctx *c, ir_node *n, uint32_t operand) {
    const ir_type *x = infer_in(n, operand);
    int32_t axis;
    bool given;
    if (!read_axis(c, n, x->rank, &given, &axis)) return false;
    if (!given) return infer_set_rank(c, n, 0, x->dtype, 1);
    if (!infer_is_ranked(n, operand)) return infer_set_unranked(c, n, 0, x->dtype);
    ir_shape s = infer_in_shape(n, operand);
    s.dims[axis] = ir_dim_unknown(c);
    return infer_set_shape(c, n, 0, x->dtype, &s);
}

bool infer_compress(ir_ctx *c, ir_node *n) {
    return infer_expect_rank(c, n, 1, 1) && set_shortened(c, n, 0);
}

/* The inverse has one entry for each slice. */
static const ir_dim *slice_count(ir_ctx *c, const ir_node *n) {
    const ir_type *x = infer_in(n, 0);
    int32_t axis;
    bool given;
    if (!ir_type_is_ranked(x) || !read_axis(c, n, x->rank, &given, &axis)) return ir_dim_unknown(c);
    return given ? x->dims[axis] : ir_type_elements(c, x);
}

bool infer_unique(ir_ctx *c, ir_node *n) {
    ir_shape inverse = {1, {slice_count(c, n)}};
    return set_shortened(c, n, 0) && infer_set_rank(c, n, 1, DT_i64, 1) &&
           infer_set_shape(c, n, 2, DT_i64, &inverse) && infer_set_rank(c, n, 3, DT_i64, 1);
}

/* Current tokens, and as many of the predicted ones (operand 3) as the data says. */
bool infer_bifurcation(ir_ctx *c, ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (infer_in(n, i)->dtype != DT_i64)
            return infer_error(c, n, i, "element type is %s, expected i64",
                               ir_dtype_name(infer_in(n, i)->dtype));
        if (i != 2 && !infer_expect_rank(c, n, i, 1)) return false;
    }
    ir_shape tokens = {1, {ir_dim_unknown(c)}};
    if (n->n_in < 4 && infer_is_ranked(n, 1)) tokens = infer_in_shape(n, 1);
    if (!infer_set_shape(c, n, 0, DT_i64, &tokens)) return false;
    if (!infer_is_ranked(n, 2)) return infer_set_unranked(c, n, 1, DT_i64);
    ir_shape match = infer_in_shape(n, 2);
    return infer_set_shape(c, n, 1, DT_i64, &match);
}

bool infer_boxes(ir_ctx *c, ir_node *n) {
    bool fits = infer_expect_rank(c, n, 0, 3) && infer_expect_rank(c, n, 1, 3);
    fits = fits && (!infer_is_ranked(n, 0) || infer_expect_dim(c, n, 0, 2, ir_dim_const(c, 4)));
    for (uint32_t i = 2; fits && i < 5; i++)
        if (ir_in(n, i) && infer_is_ranked(n, i) && infer_in(n, i)->rank > 0)
            fits = infer_expect_rank(c, n, i, 1);
    return fits && infer_set_shape(c, n, 0, DT_i64,
                                   &(ir_shape){2, {ir_dim_unknown(c), ir_dim_const(c, 3)}});
}
