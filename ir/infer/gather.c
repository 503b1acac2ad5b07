/* Indexing, and tensors made from a few numbers. */
#include "ir/infer/infer.h"
#include "ir/infer/known.h"

#include <math.h>

bool infer_gather(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    int32_t axis;
    ir_shape data = infer_in_shape(n, 0), s = {.rank = 0};
    if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), data.rank, &axis)) return false;
    if (!infer_is_ranked(n, 1)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape indices = infer_in_shape(n, 1);
    for (int32_t i = 0; i < axis; i++)
        s.dims[s.rank++] = data.dims[i];
    for (int32_t i = 0; i < indices.rank; i++)
        if (!infer_push(c, n, &s, indices.dims[i])) return false;
    for (int32_t i = axis + 1; i < data.rank; i++)
        if (!infer_push(c, n, &s, data.dims[i])) return false;
    return infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_gather_elements(ir_ctx *c, ir_node *n) {
    int32_t axis;
    if (infer_is_ranked(n, 0)) {
        int32_t rank = infer_in(n, 0)->rank;
        if (!infer_axis(c, n, ir_attr_int(n, "axis", 0), rank, &axis) ||
            !infer_expect_rank(c, n, 1, rank))
            return false;
    }
    return infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 1), infer_in(n, 0)->dtype));
}

/* How long the index tuples are, where only the run knows, but the result's rank is declared. */
static bool width_from_rank(const ir_node *n, int32_t indices, int32_t data, int64_t batch,
                            int64_t *width) {
    const ir_type *declared = n->out[0].type;
    if (!ir_type_is_ranked(declared)) return false;
    *width = (int64_t)indices - 1 + data - batch - declared->rank;
    return true;
}

/* The last dimension of the indices says how many dimensions of the data one index tuple takes. */
/* What lies there already is replaced, or a number that the update is joined with. */
bool infer_scatter(ir_ctx *c, ir_node *n) {
    const char *how = ir_attr_string(n, "reduction", "none");
    ir_dtype_class k = ir_dtype_get_class(infer_in(n, 0)->dtype);
    if ((k == DTYPE_STRING || k == DTYPE_COMPLEX) && strcmp(how, "none") != 0)
        return infer_error(c, n, 0, "reduction '%s' of %s", how,
                           ir_dtype_name(infer_in(n, 0)->dtype));
    return infer_same(c, n);
}

bool infer_gather_nd(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    int64_t batch = ir_attr_int(n, "batch_dims", 0), width;
    if (!infer_is_ranked(n, 0) || !infer_is_ranked(n, 1)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape data = infer_in_shape(n, 0), s = infer_in_shape(n, 1);
    if (s.rank == 0) return infer_error(c, n, 1, "rank is 0, expected 1 at least");
    if (batch < 0 || batch >= s.rank || batch > data.rank)
        return diag_error(&c->diag, n->loc, "attribute 'batch_dims' is %lld, expected 0 to %d",
                          (long long)batch, s.rank - 1);
    for (int32_t i = 0; i < batch; i++)
        if (!infer_expect_dim(c, n, 1, i, data.dims[i])) return false;
    s.rank--;
    if (!ir_dim_is_const(s.dims[s.rank], &width) &&
        !width_from_rank(n, s.rank + 1, data.rank, batch, &width))
        return infer_set_unranked(c, n, 0, dtype);
    if (width < 0 || batch + width > data.rank)
        return infer_error(c, n, 1, "last dimension is %lld, expected %lld at most",
                           (long long)width, (long long)(data.rank - batch));
    for (int32_t i = (int32_t)(batch + width); i < data.rank; i++)
        if (!infer_push(c, n, &s, data.dims[i])) return false;
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* A scalar or one-element operand's value; "?" where not known. */
static const ir_dim *scalar_dim(ir_ctx *c, const ir_node *n, uint32_t i) {
    known_tensor k;
    return known_in(c, n, i, &k) && k.n == 1 ? k.d[0] : ir_dim_unknown(c);
}

/* Every index has its update. */
bool infer_scatter_elements(ir_ctx *c, ir_node *n) {
    if (infer_is_ranked(n, 1) &&
        !infer_expect_dims(c, n, 2, infer_in(n, 1)->dims, infer_in(n, 1)->rank))
        return false;
    return infer_scatter(c, n);
}

bool infer_one_hot(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 2)->dtype;
    double depth;
    const ir_dim *d = scalar_dim(c, n, 1);
    if (ir_dim_is_unknown(d) && ir_value_const_f64(ir_in(n, 1), &depth) && fabs(depth) < 0x1p53)
        d = ir_dim_const(c, (int64_t)depth);
    if (!infer_expect_dims(c, n, 2, (const ir_dim *[]){ir_dim_const(c, 2)}, 1)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    int32_t axis, rank = infer_in(n, 0)->rank;
    ir_shape s = infer_in_shape(n, 0);
    if (!infer_axis(c, n, ir_attr_int(n, "axis", -1), rank + 1, &axis) || !infer_push(c, n, &s, d))
        return false;
    for (int32_t i = rank; i > axis; i--)
        s.dims[i] = s.dims[i - 1];
    s.dims[axis] = d;
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* Integers, as far as inference knows what they hold, have an exact length; sizes that exporters cast to floats are such. */
static const ir_dim *int_range_length(ir_ctx *c, const ir_node *n) {
    const ir_dim *distance = ir_dim_sub(c, scalar_dim(c, n, 1), scalar_dim(c, n, 0)),
                 *step = scalar_dim(c, n, 2);
    /* a symbolic step may be negative or 0 */
    bool divisible = ir_dim_is_const(step, NULL) || ir_dim_lower_bound(step) > 0;
    return divisible ? ir_dim_max(c, ir_dim_ceildiv(c, distance, step), ir_dim_const(c, 0))
                     : ir_dim_unknown(c);
}

static const ir_dim *float_range_length(ir_ctx *c, const ir_node *n) {
    double start, limit, delta;
    if (!ir_value_const_f64(ir_in(n, 0), &start) || !ir_value_const_f64(ir_in(n, 1), &limit) ||
        !ir_value_const_f64(ir_in(n, 2), &delta))
        return int_range_length(c, n);
    double distance = infer_in(n, 0)->dtype == DT_f32 ? (float)((float)limit - (float)start)
                                                      : limit - start;
    double length = ceil(distance / delta);
    return length < 0x1p53 ? ir_dim_const(c, length > 0 ? (int64_t)length : 0) : ir_dim_unknown(c);
}

/* max(ceil((limit - start) / delta), 0) */
bool infer_range(ir_ctx *c, ir_node *n) {
    double delta;
    for (uint32_t i = 0; i < 3; i++)
        if (ir_type_is_static(infer_in(n, i)) && infer_in_length(n, i) != 1)
            return infer_error(c, n, i, "expected one element");
    if (ir_value_const_f64(ir_in(n, 2), &delta) && delta == 0)
        return infer_error(c, n, 2, "is 0, expected another step");
    ir_dtype dtype = infer_in(n, 0)->dtype;
    const ir_dim *length = ir_dtype_is_float(dtype) ? float_range_length(c, n)
                                                    : int_range_length(c, n);
    return infer_set_shape(c, n, 0, dtype, &(ir_shape){1, {length}});
}

/* A tensor whose shape operand 0 says. */
static bool shaped(ir_ctx *c, ir_node *n, ir_dtype dtype) {
    const ir_dim *dims[IR_MAX_KNOWN];
    int32_t rank = infer_in_dims(c, n, 0, dims);
    int64_t length = infer_in_length(n, 0);
    if (length > IR_MAX_RANK)
        return infer_error(c, n, 0, "%lld dimensions, at most %d", (long long)length, IR_MAX_RANK);
    if (length < 0) return infer_set_unranked(c, n, 0, dtype);
    return rank < 0 ? infer_set_rank(c, n, 0, dtype, length)
                    : infer_set(c, n, 0, ir_type_tensor(c, dtype, rank, dims));
}

bool infer_constant_of_shape(ir_ctx *c, ir_node *n) {
    const ir_attr *value = ir_attr_find(n, "value");
    bool given = value && value->kind == ATTR_TENSOR;
    return shaped(c, n, given ? value->v.t->type->dtype : DT_f32);
}

bool infer_mt19937(ir_ctx *c, ir_node *n) {
    return shaped(c, n, DT_f64);
}

bool infer_seed(ir_ctx *c, ir_node *n) {
    return infer_set(c, n, 0, ir_type_scalar(c, DT_u64));
}

bool infer_eye_like(ir_ctx *c, ir_node *n) {
    int64_t dtype = ir_attr_int(n, "dtype", infer_in(n, 0)->dtype);
    if (dtype <= 0 || dtype >= DT_COUNT)
        return diag_error(&c->diag, n->loc, "attribute 'dtype' is %lld, which is no element type",
                          (long long)dtype);
    return infer_expect_rank(c, n, 0, 2) &&
           infer_set(c, n, 0, ir_type_with_dtype(c, infer_in(n, 0), (ir_dtype)dtype));
}

/* Time and batch are the first two axes, in either order. */
bool infer_reverse_sequence(ir_ctx *c, ir_node *n) {
    int64_t batch = ir_attr_int(n, "batch_axis", 1), time = ir_attr_int(n, "time_axis", 0);
    if (batch < 0 || batch > 1 || time != 1 - batch)
        return diag_error(
            &c->diag, n->loc,
            "attributes 'batch_axis' and 'time_axis' are %lld and %lld, expected 0 and "
            "1 or 1 and 0",
            (long long)batch, (long long)time);
    if (infer_is_ranked(n, 0)) {
        if (infer_in(n, 0)->rank < 2)
            return infer_error(c, n, 0, "rank is %d, expected 2 at least", infer_in(n, 0)->rank);
        if (!infer_expect_rank(c, n, 1, 1)) return false;
        if (infer_is_ranked(n, 1) && !infer_expect_dim(c, n, 1, 0, infer_in(n, 0)->dims[batch]))
            return false;
    }
    return infer_set(c, n, 0, infer_in(n, 0));
}

/* The second operand says how many elements are left along the axis. */
bool infer_top_k(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    int32_t axis;
    int64_t most, k;
    if (ir_type_is_static(infer_in(n, 1)) && infer_in_length(n, 1) != 1)
        return infer_error(c, n, 1, "expected one element");
    if (!infer_is_ranked(n, 0))
        return infer_set_unranked(c, n, 0, dtype) && infer_set_unranked(c, n, 1, DT_i64);
    ir_shape s = infer_in_shape(n, 0);
    if (!infer_axis(c, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    const ir_dim *count = scalar_dim(c, n, 1);
    if (ir_dim_is_const(count, &k) && (k < 0 || (ir_dim_is_const(s.dims[axis], &most) && k > most)))
        return infer_error(c, n, 1, "is %lld, expected 0 to %s", (long long)k,
                           infer_dim_text(c, s.dims[axis]));
    s.dims[axis] = count;
    return infer_set_shape(c, n, 0, dtype, &s) && infer_set_shape(c, n, 1, DT_i64, &s);
}
