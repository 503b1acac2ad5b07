/* Signals: windows, Fourier transforms, mel filters. */
#include "ir/infer/infer.h"

/* A scalar operand's value; "?" where not known. */
static const ir_dim *scalar_dim(ir_ctx *c, const ir_node *n, uint32_t i) {
    const ir_dim *d[IR_MAX_KNOWN];
    return ir_in(n, i) && infer_in_dims(c, n, i, d) == 1 ? d[0] : ir_dim_unknown(c);
}

static bool expect_positive(ir_ctx *c, const ir_node *n, uint32_t i, const ir_dim *d) {
    int64_t v;
    if (!ir_dim_is_const(d, &v) || v > 0) return true;
    return infer_error(c, n, i, "is %lld, expected 1 or more", (long long)v);
}

/* Attribute output_datatype; false after reporting where it is no type of numbers. */
static bool output_type(ir_ctx *c, const ir_node *n, ir_dtype *out) {
    int64_t t = ir_attr_int(n, "output_datatype", DT_f32);
    *out = t > 0 && t < DT_COUNT ? (ir_dtype)t : DT_undefined;
    if (*out && (ir_dtype_is_float(*out) || ir_dtype_is_int(*out))) return true;
    return diag_error(&c->diag, n->loc,
                      "attribute 'output_datatype' is %lld, which is no type of numbers",
                      (long long)t);
}

bool infer_window(ir_ctx *c, ir_node *n) {
    ir_dtype dtype;
    const ir_dim *size = scalar_dim(c, n, 0);
    int64_t v;
    if (!output_type(c, n, &dtype)) return false;
    if (ir_dim_is_const(size, &v) && v < 0)
        return infer_error(c, n, 0, "is %lld, expected 0 or more", (long long)v);
    return infer_set_shape(c, n, 0, dtype, &(ir_shape){1, {size}});
}

bool infer_mel_weight_matrix(ir_ctx *c, ir_node *n) {
    ir_dtype dtype;
    const ir_dim *bins = scalar_dim(c, n, 0), *length = scalar_dim(c, n, 1);
    if (!output_type(c, n, &dtype) || !expect_positive(c, n, 1, length)) return false;
    const ir_dim *two = ir_dim_const(c, 2), *one = ir_dim_const(c, 1);
    const ir_dim *rows = ir_dim_add(c, ir_dim_floordiv(c, length, two), one);
    return infer_set_shape(c, n, 0, dtype, &(ir_shape){2, {rows, bins}});
}

static const ir_dim *onesided(ir_ctx *c, const ir_dim *length) {
    return ir_dim_add(c, ir_dim_floordiv(c, length, ir_dim_const(c, 2)), ir_dim_const(c, 1));
}

/* The last dimension: 1 (real) or 2 (complex). */
static bool check_parts(ir_ctx *c, const ir_node *n, const ir_shape *s) {
    int64_t parts;
    if (s->rank < 2) return infer_error(c, n, 0, "rank is %d, expected 2 or more", s->rank);
    if (!ir_dim_is_const(s->dims[s->rank - 1], &parts) || parts == 1 || parts == 2) return true;
    return infer_error(c, n, 0, "last dimension is %lld, expected 1 or 2", (long long)parts);
}

/* What is transformed along the axis: as given, or as many as there are; of half a spectrum, as many as it stands for. */
static const ir_dim *dft_length(ir_ctx *c, const ir_node *n, const ir_dim *size, bool half) {
    if (ir_in(n, 1)) return scalar_dim(c, n, 1);
    if (!half) return size;
    return ir_dim_mul(c, ir_dim_sub(c, size, ir_dim_const(c, 1)), ir_dim_const(c, 2));
}

bool infer_dft(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    bool half = ir_attr_int(n, "onesided", 0) != 0, inverse = ir_attr_int(n, "inverse", 0) != 0;
    int64_t axis = -2;
    int32_t at;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    if (!check_parts(c, n, &s)) return false;
    if (ir_in(n, 2) && !ir_value_const_i64(ir_in(n, 2), &axis))
        return infer_set_rank(c, n, 0, dtype, s.rank);
    if (!infer_axis(c, n, axis, s.rank, &at)) return false;
    if (at == s.rank - 1) return infer_error(c, n, 2, "the last axis holds the parts of numbers");
    const ir_dim *length = dft_length(c, n, s.dims[at], half && inverse);
    if (!expect_positive(c, n, 1, length)) return false;
    s.dims[at] = half && !inverse ? onesided(c, length) : length;
    s.dims[s.rank - 1] = ir_dim_const(c, half && inverse ? 1 : 2);
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* Operands: signal [batch, length, parts], step, window, length of a frame. */
bool infer_stft(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_expect_rank(c, n, 0, 3) || !infer_expect_rank(c, n, 2, 1)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_rank(c, n, 0, dtype, 4);
    ir_shape s = infer_in_shape(n, 0);
    if (!check_parts(c, n, &s)) return false;
    const ir_dim *step = scalar_dim(c, n, 1), *length = scalar_dim(c, n, 3),
                 *one = ir_dim_const(c, 1);
    if (!ir_in(n, 3)) length = infer_is_ranked(n, 2) ? infer_in(n, 2)->dims[0] : s.dims[1];
    if (!expect_positive(c, n, 1, step) || !expect_positive(c, n, 3, length)) return false;
    if (infer_is_ranked(n, 2) && !infer_expect_dim(c, n, 2, 0, length)) return false;
    const ir_dim *room = ir_dim_sub(c, s.dims[1], length);
    const ir_dim *frames = ir_dim_lower_bound(step) > 0
                               ? ir_dim_add(c, ir_dim_floordiv(c, room, step), one)
                               : ir_dim_unknown(c);
    int64_t v;
    if (ir_dim_is_const(room, &v) && v < 0) return infer_error(c, n, 0, "is shorter than a frame");
    bool half = ir_attr_int(n, "onesided", 1) != 0;
    ir_shape out = {4,
                    {s.dims[0], frames, half ? onesided(c, length) : length, ir_dim_const(c, 2)}};
    return infer_set_shape(c, n, 0, dtype, &out);
}
