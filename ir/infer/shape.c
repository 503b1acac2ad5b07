/* Shapes as data, and operators that keep the elements and change the dimensions. */
#include "ir/infer/infer.h"

/* Bounds of the slice of dims that Shape returns: negative ones count from the end, all are clamped. */
static int64_t clamp_axis(int64_t axis, int32_t rank) {
    if (axis < 0) axis += rank;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

bool infer_shape(ir_ctx *c, ir_node *n) {
    if (!infer_is_ranked(n, 0)) return infer_set_rank(c, n, 0, DT_i64, 1);
    int32_t rank = infer_in(n, 0)->rank;
    int64_t start = clamp_axis(ir_attr_int(n, "start", 0), rank),
            end = clamp_axis(ir_attr_int(n, "end", rank), rank);
    int64_t length = end > start ? end - start : 0;
    return infer_set(c, n, 0, ir_type_tensor_static(c, DT_i64, 1, &length));
}

bool infer_size(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_scalar(c, DT_i64));
}

/* ---- Reshape -------------------------------------------------------------------------------------------------- */

/* What is asked for: the new dims, one of which may have to be computed from the number of elements. */
typedef struct reshape {
    ir_shape to;
    int32_t hole;    /* axis to be computed; -1 = none */
    bool wildcard;   /* the hole is a -1; else it is the only dimension that is not known */
    uint32_t copies; /* bit i: axis i is a 0 that copies the operand's dimension */
} reshape;

static bool read_target(ir_ctx *c, const ir_node *n, const ir_dim *const *target, int32_t count,
                        reshape *r) {
    bool allow_zero = ir_attr_int(n, "allowzero", 0) != 0;
    int32_t unknown = 0, unknown_axis = -1;
    *r = (reshape){.to.rank = count, .hole = -1};
    for (int32_t i = 0; i < count; i++) {
        int64_t value;
        bool constant = ir_dim_is_const(target[i], &value);
        r->to.dims[i] = target[i];
        if (ir_dim_is_unknown(target[i])) unknown++, unknown_axis = i;
        if (!constant || value > 0 || (value == 0 && allow_zero)) continue;
        if (value < -1)
            return infer_error(c, n, 1, "dimension %d is %lld, expected -1 or more", i,
                               (long long)value);
        if (value == -1 && r->wildcard) return infer_error(c, n, 1, "-1 is given twice");
        if (value == -1)
            r->wildcard = true, r->hole = i;
        else
            r->copies |= 1u << i;
    }
    if (!r->wildcard && unknown == 1) r->hole = unknown_axis;
    return true;
}

/* Zeros become the operand's dims. */
static bool copy_dims(ir_ctx *c, const ir_node *n, reshape *r) {
    for (int32_t i = 0; i < r->to.rank; i++) {
        if (!(r->copies >> i & 1)) continue;
        if (!infer_is_ranked(n, 0)) {
            r->to.dims[i] = ir_dim_unknown(c);
            continue;
        }
        if (i >= infer_in(n, 0)->rank)
            return infer_error(c, n, 1, "dimension %d is 0 (a copy), but the tensor has rank %d", i,
                               infer_in(n, 0)->rank);
        r->to.dims[i] = infer_in(n, 0)->dims[i];
    }
    return true;
}

/* Products of the operand's dims and of the target's, without the copied ones (they are on both sides) and the hole. */
static void products(ir_ctx *c, const ir_node *n, const reshape *r, const ir_dim **from,
                     const ir_dim **to) {
    const ir_type *t = infer_in(n, 0);
    *from = *to = ir_dim_const(c, 1);
    if (!ir_type_is_ranked(t)) *from = ir_dim_unknown(c);
    for (int32_t i = 0; i < t->rank; i++)
        if (!(r->copies >> i & 1)) *from = ir_dim_mul(c, *from, t->dims[i]);
    for (int32_t i = 0; i < r->to.rank; i++)
        if (!(r->copies >> i & 1) && i != r->hole) *to = ir_dim_mul(c, *to, r->to.dims[i]);
}

static bool fill_hole(ir_ctx *c, const ir_node *n, reshape *r, const ir_dim *from,
                      const ir_dim *to) {
    const ir_dim *exact = ir_dim_div_exact(c, from, to);
    bool constant = ir_dim_is_const(from, NULL) && ir_dim_is_const(to, NULL);
    if (!exact && constant && r->wildcard)
        return infer_error(c, n, 0, "%s elements do not divide by %s for the dimension of -1",
                           infer_dim_text(c, from), infer_dim_text(c, to));
    r->to.dims[r->hole] = exact         ? exact
                          : r->wildcard ? ir_dim_floordiv(c, from, to)
                                        : ir_dim_unknown(c);
    return true;
}

bool infer_reshape(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *target[IR_MAX_KNOWN], *from, *to;
    int64_t length = infer_in_length(n, 1), x, y;
    if (!infer_expect_rank(c, n, 1, 1)) return false;
    if (length > IR_MAX_RANK)
        return infer_error(c, n, 1, "%lld dimensions, at most %d", (long long)length, IR_MAX_RANK);
    int32_t count = infer_in_dims(c, n, 1, target);
    if (count < 0)
        return length < 0 ? infer_set_unranked(c, n, 0, dtype)
                          : infer_set_rank(c, n, 0, dtype, length);
    reshape r;
    if (!read_target(c, n, target, count, &r) || !copy_dims(c, n, &r)) return false;
    products(c, n, &r, &from, &to);
    if (r.hole >= 0 && !fill_hole(c, n, &r, from, to)) return false;
    if (r.hole < 0 && ir_dim_is_const(from, &x) && ir_dim_is_const(to, &y) && x != y)
        return infer_error(c, n, 0, "%lld elements, expected %lld for the new shape", (long long)x,
                           (long long)y);
    return infer_set_shape(c, n, 0, dtype, &r.to);
}

/* [product of the dims before axis, product of those from axis on] */
bool infer_flatten(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    ir_shape s = {2, {ir_dim_const(c, 1), ir_dim_const(c, 1)}};
    if (!ir_type_is_ranked(t)) return infer_set_rank(c, n, 0, t->dtype, 2);
    int64_t axis = ir_attr_int(n, "axis", 1);
    if (axis < -t->rank || axis > t->rank)
        return diag_error(&c->diag, n->loc, "axis is %lld, expected -%d to %d", (long long)axis,
                          t->rank, t->rank);
    if (axis < 0) axis += t->rank;
    for (int32_t i = 0; i < t->rank; i++)
        s.dims[i >= axis] = ir_dim_mul(c, s.dims[i >= axis], t->dims[i]);
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

/* ---- Squeeze, Unsqueeze, Transpose, Expand ------------------------------------------------------------------- */

static bool squeeze_ones(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    ir_shape s = {.rank = 0};
    for (int32_t i = 0; i < t->rank; i++) {
        if (ir_dim_is(t->dims[i], 1)) continue;
        /* whether this one disappears only the data tells */
        if (!ir_dim_is_const(t->dims[i], NULL) && ir_dim_lower_bound(t->dims[i]) < 2)
            return infer_set_unranked(c, n, 0, t->dtype);
        s.dims[s.rank++] = t->dims[i];
    }
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

bool infer_squeeze(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    int32_t axes[IR_MAX_RANK], count;
    bool drop[IR_MAX_RANK] = {false};
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, n, 0, t->dtype);
    if (!ir_in(n, 1)) return squeeze_ones(c, n);
    infer_answer known = infer_in_axes(c, n, 1, t->rank, axes, &count);
    if (known == INFER_ERROR) return false;
    if (known == INFER_UNKNOWN)
        return count < 0 ? infer_set_unranked(c, n, 0, t->dtype)
                         : infer_set_rank(c, n, 0, t->dtype, t->rank - count);
    ir_shape s = {.rank = 0};
    for (int32_t i = 0; i < count; i++) {
        if (!infer_expect_dim(c, n, 0, axes[i], ir_dim_const(c, 1))) return false;
        drop[axes[i]] = true;
    }
    for (int32_t i = 0; i < t->rank; i++)
        if (!drop[i]) s.dims[s.rank++] = t->dims[i];
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

bool infer_unsqueeze(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    int64_t length = infer_in_length(n, 1);
    int32_t axes[IR_MAX_RANK], count, from = 0;
    bool added[IR_MAX_RANK] = {false};
    if (!ir_type_is_ranked(t) || length < 0) return infer_set_unranked(c, n, 0, t->dtype);
    if (t->rank + length > IR_MAX_RANK)
        return infer_set_rank(c, n, 0, t->dtype, t->rank + length); /* reports */
    infer_answer known = infer_in_axes(c, n, 1, t->rank + (int32_t)length, axes, &count);
    if (known != INFER_KNOWN)
        return known == INFER_UNKNOWN && infer_set_rank(c, n, 0, t->dtype, t->rank + length);
    ir_shape s = {.rank = t->rank + count};
    for (int32_t i = 0; i < count; i++)
        added[axes[i]] = true;
    for (int32_t i = 0; i < s.rank; i++)
        s.dims[i] = added[i] ? ir_dim_const(c, 1) : t->dims[from++];
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

static bool read_perm(ir_ctx *c, const ir_node *n, int32_t rank, int64_t perm[IR_MAX_RANK]) {
    uint32_t count;
    bool seen[IR_MAX_RANK] = {false};
    const int64_t *given = ir_attr_ints(n, "perm", &count);
    for (int32_t i = 0; !given && i < rank; i++)
        perm[i] = rank - 1 - i;
    if (!given) return true;
    if ((int32_t)count != rank)
        return infer_error(c, n, 0, "rank is %d, expected %u as in attribute 'perm'", rank, count);
    for (int32_t i = 0; i < rank; i++) {
        perm[i] = given[i];
        if (given[i] < 0 || given[i] >= rank || seen[given[i]])
            return diag_error(&c->diag, n->loc, "attribute 'perm' is no permutation of 0 to %d",
                              rank - 1);
        seen[given[i]] = true;
    }
    return true;
}

bool infer_transpose(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    int64_t perm[IR_MAX_RANK];
    uint32_t count;
    if (!ir_type_is_ranked(t))
        return ir_attr_ints(n, "perm", &count) ? infer_set_rank(c, n, 0, t->dtype, count)
                                               : infer_set_unranked(c, n, 0, t->dtype);
    if (!read_perm(c, n, t->rank, perm)) return false;
    ir_shape s = {.rank = t->rank};
    for (int32_t i = 0; i < t->rank; i++)
        s.dims[i] = t->dims[perm[i]];
    return infer_set_shape(c, n, 0, t->dtype, &s);
}

bool infer_expand(ir_ctx *c, ir_node *n) {
    const ir_type *t = infer_in(n, 0);
    const ir_dim *dims[IR_MAX_KNOWN];
    int64_t length = infer_in_length(n, 1);
    if (length > IR_MAX_RANK)
        return infer_error(c, n, 1, "%lld dimensions, at most %d", (long long)length, IR_MAX_RANK);
    if (!ir_type_is_ranked(t) || length < 0) return infer_set_unranked(c, n, 0, t->dtype);
    int32_t rank = infer_in_dims(c, n, 1, dims);
    if (rank < 0) return infer_set_rank(c, n, 0, t->dtype, t->rank > length ? t->rank : length);
    ir_shape s = infer_in_shape(n, 0), to = {.rank = rank};
    memcpy(to.dims, dims, (size_t)rank * sizeof *dims);
    return infer_broadcast_with(c, n, 1, &s, &to) && infer_set_shape(c, n, 0, t->dtype, &s);
}

/* ---- DepthToSpace, SpaceToDepth -------------------------------------------------------------------------------- */

/* Divides dims[axis] by `divisor`; an error where a constant does not divide. */
static bool divide_dim(ir_ctx *c, const ir_node *n, ir_shape *s, int32_t axis, int64_t divisor) {
    int64_t size;
    if (ir_dim_is_const(s->dims[axis], &size) && size % divisor)
        return infer_error(c, n, 0, "dimension %d is %lld, expected a multiple of %lld", axis,
                           (long long)size, (long long)divisor);
    s->dims[axis] = ir_dim_floordiv(c, s->dims[axis], ir_dim_const(c, divisor));
    return true;
}

static bool block_size(ir_ctx *c, const ir_node *n, int64_t *block) {
    *block = ir_attr_int(n, "blocksize", 0);
    if (*block > 0 && *block < 1 << 20) return infer_expect_rank(c, n, 0, 4);
    return diag_error(&c->diag, n->loc, "attribute 'blocksize' is %lld, expected 1 or more",
                      (long long)*block);
}

bool infer_depth_to_space(ir_ctx *c, ir_node *n) {
    int64_t block;
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!block_size(c, n, &block)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_rank(c, n, 0, dtype, 4);
    ir_shape s = infer_in_shape(n, 0);
    if (!divide_dim(c, n, &s, 1, block * block)) return false;
    for (int32_t i = 2; i < 4; i++)
        s.dims[i] = ir_dim_mul(c, s.dims[i], ir_dim_const(c, block));
    return infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_space_to_depth(ir_ctx *c, ir_node *n) {
    int64_t block;
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!block_size(c, n, &block)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_rank(c, n, 0, dtype, 4);
    ir_shape s = infer_in_shape(n, 0);
    if (!divide_dim(c, n, &s, 2, block) || !divide_dim(c, n, &s, 3, block)) return false;
    s.dims[1] = ir_dim_mul(c, s.dims[1], ir_dim_const(c, block * block));
    return infer_set_shape(c, n, 0, dtype, &s);
}
