/* Tensors made from little: Shape, Size, Dims, ConstantOfShape, Range, EyeLike, OneHot, Trilu. */
#include "ir/eval/eval_internal.h"

#include <math.h>

/* ---- dimensions as data ------------------------------------------------------------------------------------------------ */

static int64_t clamp(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

bool eval_shape(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    int64_t start = ir_attr_int(n, "start", 0), end = ir_attr_int(n, "end", s.rank);
    start = clamp(start < 0 ? start + s.rank : start, 0, s.rank);
    end = clamp(end < 0 ? end + s.rank : end, 0, s.rank);
    ev_shape one = {1, {end > start ? end - start : 0}};
    ir_tensor *y = ev_alloc(e, n, DT_i64, &one);
    if (!y) return false;
    for (int64_t i = start; i < end; i++)
        ir_tensor_set_i64(y, (size_t)(i - start), s.dims[i]);
    out[0].tensor = y;
    return true;
}

bool eval_size(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    ir_tensor *y = x ? ev_alloc(e, n, DT_i64, &(ev_shape){0}) : NULL;
    if (!y) return false;
    ir_tensor_set_i64(y, 0, (int64_t)ir_tensor_elements(x));
    out[0].tensor = y;
    return true;
}

/* Attributes: dims, the expressions; rank, 1 or 0 (then there is one expression); dtype, i64 unless given. */
bool eval_dims(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    (void)in;
    const ir_attr *dims = ir_attr_find(n, "dims");
    if (!dims || dims->kind != ATTR_DIMS) return ev_error(e, n, "attribute dims is missing");
    ev_shape s = {(int32_t)(ir_attr_int(n, "rank", 1) != 0), {dims->n}};
    int64_t t = ir_attr_int(n, "dtype", DT_i64);
    if (t <= 0 || t >= DT_COUNT || !ir_dtype_is_int((ir_dtype)t))
        return ev_error(e, n, "dtype is not an integer type");
    if (s.rank == 0 && dims->n != 1) return ev_error(e, n, "%u expressions for a scalar", dims->n);
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)t, &s);
    for (uint32_t i = 0; y && i < dims->n; i++) {
        int64_t value;
        if (!ev_dim(e, dims->v.dims[i], &value))
            return ev_error(e, n, "expression %u has no value", i);
        ir_tensor_set_i64(y, i, value);
    }
    out[0].tensor = y;
    return y != NULL;
}

/* ---- filled tensors ---------------------------------------------------------------------------------------------------- */

bool eval_constant_of_shape(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                            ir_datum *out) {
    const ir_tensor *shape = ev_need(e, n, in, 0);
    const ir_attr *value = ir_attr_find(n, "value");
    if (!shape) return false;
    size_t count;
    const int64_t *dims = ev_i64s(e, shape, &count);
    if (count > IR_MAX_RANK) return ev_error(e, n, "%zu dimensions are too many", count);
    ir_tensor *y = ir_eval_tensor(e, n, value ? value->v.t->type->dtype : DT_f32, (int32_t)count,
                                  dims);
    if (!y) return false;
    if (value && ir_tensor_elements(value->v.t) != 1)
        return ev_error(e, n, "value is not one element");
    if (value)
        ev_fill(y->type->dtype, ir_tensor_data(y), 0, value->v.t->data,
                (int64_t)ir_tensor_elements(y));
    out[0].tensor = y;
    return true;
}

/* max(ceil((limit - start) / delta), 0), exact for integers; -1 for a delta of 0. */
static int64_t range_count(const ir_tensor *start, const ir_tensor *limit, const ir_tensor *delta) {
    if (ir_dtype_is_float(start->type->dtype)) {
        double d = ir_tensor_get_f64(delta, 0),
               count = ceil((ir_tensor_get_f64(limit, 0) - ir_tensor_get_f64(start, 0)) / d);
        if (d == 0 || isnan(count) || count > (double)IR_MAX_TENSOR_BYTES) return -1;
        return count > 0 ? (int64_t)count : 0;
    }
    __int128 d = ir_tensor_get_i64(delta, 0),
             span = (__int128)ir_tensor_get_i64(limit, 0) - ir_tensor_get_i64(start, 0);
    if (d == 0) return -1;
    if ((span > 0) != (d > 0) || span == 0) return 0;
    __int128 count = (span + d + (d > 0 ? -1 : 1)) / d;
    return count > INT64_MAX ? -1 : (int64_t)count;
}

bool eval_range(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *t[3];
    for (uint32_t i = 0; i < 3; i++) {
        if (!(t[i] = ev_need(e, n, in, i))) return false;
        if (ir_tensor_elements(t[i]) != 1 || t[i]->type->dtype != t[0]->type->dtype)
            return ev_error(e, n, "operand %u is not one element of one type", i);
    }
    ev_shape s = {1, {range_count(t[0], t[1], t[2])}};
    ir_tensor *y = ev_alloc(e, n, t[0]->type->dtype, &s);
    if (!y) return false;
    bool is_float = ir_dtype_is_float(y->type->dtype);
    for (int64_t i = 0; i < s.dims[0]; i++) {
        if (is_float)
            ir_tensor_set_f64(y, (size_t)i,
                              ir_tensor_get_f64(t[0], 0) + (double)i * ir_tensor_get_f64(t[2], 0));
        else
            ir_tensor_set_i64(y, (size_t)i,
                              (int64_t)((uint64_t)ir_tensor_get_i64(t[0], 0) +
                                        (uint64_t)i * (uint64_t)ir_tensor_get_i64(t[2], 0)));
    }
    out[0].tensor = y;
    return true;
}

bool eval_eye_like(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    int64_t k = ir_attr_int(n, "k", 0), t = ir_attr_int(n, "dtype", x->type->dtype);
    if (s.rank != 2) return ev_error(e, n, "rank is %d, expected 2", (int)s.rank);
    if (t <= 0 || t >= DT_COUNT || t == DT_str) return ev_error(e, n, "dtype is not valid");
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)t, &s);
    if (!y) return false;
    for (int64_t i = 0; i < s.dims[0]; i++)
        for (int64_t j = 0; j < s.dims[1]; j++)
            if (j - k == i) ir_tensor_set_f64(y, (size_t)(i * s.dims[1] + j), 1);
    out[0].tensor = y;
    return true;
}

/* ---- OneHot, Trilu ------------------------------------------------------------------------------------------------------- */

bool eval_one_hot(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *indices = ev_need(e, n, in, 0), *values = ev_need(e, n, in, 2);
    int64_t depth;
    int32_t axis;
    if (!indices || !values || !ev_scalar_i64(e, n, ev_need(e, n, in, 1), &depth)) return false;
    if (ir_tensor_elements(values) != 2) return ev_error(e, n, "values must hold two elements");
    ev_shape si = ev_shape_of(indices), s = {.rank = si.rank + 1};
    if (s.rank > IR_MAX_RANK) return ev_error(e, n, "too many dimensions");
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    for (int32_t i = 0; i < s.rank; i++)
        s.dims[i] = i == axis ? depth : si.dims[i - (i > axis)];
    ir_dtype t = values->type->dtype;
    ir_tensor *y = ev_alloc(e, n, t, &s);
    if (!y) return false;
    ev_fill(t, ir_tensor_data(y), 0, values->data, ev_count(&s)); /* values = {off, on} */
    int64_t inner = ev_product(&s, axis + 1, s.rank), count = ev_count(&s) ? ev_count(&si) : 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t index = ir_tensor_get_i64(indices, (size_t)i);
        if (index < -depth || index >= depth) continue;
        int64_t at = (i / inner * depth + (index < 0 ? index + depth : index)) * inner + i % inner;
        ev_copy_run(t, ir_tensor_data(y), at, values->data, 1, 1);
    }
    out[0].tensor = y;
    return true;
}

bool eval_trilu(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *diagonal = ev_tensor(n, in, 1);
    int64_t k = 0;
    if (!x || (diagonal && !ev_scalar_i64(e, n, diagonal, &k))) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 2) return ev_error(e, n, "rank is %d, expected 2 or more", (int)s.rank);
    bool upper = ir_attr_int(n, "upper", 1) != 0;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t rows = s.dims[s.rank - 2], columns = s.dims[s.rank - 1], count = ev_count(&s);
    k = clamp(k, -rows, columns);
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = i % columns - i / columns % rows;
        if (upper ? offset >= k : offset <= k)
            ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, i, 1);
    }
    out[0].tensor = y;
    return true;
}
