/* Reading by index: Gather, GatherElements, GatherND, ReverseSequence, Lookup. Negative indices count from the end; one outside is an error. */
#include "ir/eval/eval_internal.h"

/* An index brought into [0, d); reports one outside. */
static bool resolve(ir_eval *e, const ir_node *n, int64_t index, int64_t d, int64_t *at) {
    if (index < -d || index >= d)
        return ev_error(e, n, "index %lld is outside of dimension %lld", (long long)index,
                        (long long)d);
    *at = index < 0 ? index + d : index;
    return true;
}

bool eval_gather(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *indices = ev_need(e, n, in, 1);
    int32_t axis;
    if (!x || !indices) return false;
    ev_shape sx = ev_shape_of(x), si = ev_shape_of(indices), s = {0};
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), sx.rank, &axis)) return false;
    if (sx.rank + si.rank - 1 > IR_MAX_RANK) return ev_error(e, n, "too many dimensions");
    for (int32_t i = 0; i < axis; i++)
        s.dims[s.rank++] = sx.dims[i];
    for (int32_t i = 0; i < si.rank; i++)
        s.dims[s.rank++] = si.dims[i];
    for (int32_t i = axis + 1; i < sx.rank; i++)
        s.dims[s.rank++] = sx.dims[i];
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    ev_lanes l = ev_lanes_of(&sx, axis);
    int64_t n_indices = ev_count(&si);
    out[0].tensor = y;
    for (int64_t i = 0; i < n_indices; i++) {
        int64_t row;
        if (!resolve(e, n, ir_tensor_get_i64(indices, (size_t)i), l.n, &row)) return false;
        if (ev_count(&s) == 0) continue;
        for (int64_t o = 0; o < l.outer; o++)
            ev_copy_run(x->type->dtype, ir_tensor_data(y), (o * n_indices + i) * l.inner, x->data,
                        (o * l.n + row) * l.inner, l.inner);
    }
    return true;
}

/* The byte, whatever its sign, is a position. */
bool eval_lookup(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *table = ev_need(e, n, in, 1);
    if (!x || !table) return false;
    ev_shape s = ev_shape_of(x);
    ir_tensor *y = ev_alloc(e, n, table->type->dtype, &s);
    if (!y) return false;
    const uint8_t *at = x->data;
    for (int64_t i = 0; i < ev_count(&s); i++)
        ev_copy_run(table->type->dtype, ir_tensor_data(y), i, table->data, at[i], 1);
    out[0].tensor = y;
    return true;
}

bool eval_gather_elements(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *indices = ev_need(e, n, in, 1);
    int32_t axis;
    if (!x || !indices) return false;
    ev_shape sx = ev_shape_of(x), s = ev_shape_of(indices);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", 0), sx.rank, &axis)) return false;
    bool fits = s.rank == sx.rank;
    for (int32_t i = 0; fits && i < s.rank; i++)
        fits = i == axis || s.dims[i] <= sx.dims[i];
    if (!fits)
        return ev_error(e, n, "indices %s do not fit %s", ev_shape_text(e, &s),
                        ev_shape_text(e, &sx));
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t strides[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, count = ev_count(&s), at;
    ev_strides(&sx, strides);
    for (int64_t i = 0; i < count; i++, ev_next(&s, index)) {
        if (!resolve(e, n, ir_tensor_get_i64(indices, (size_t)i), sx.dims[axis], &at)) return false;
        int64_t from = ev_dot(index, strides, s.rank) + (at - index[axis]) * strides[axis];
        ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, from, 1);
    }
    out[0].tensor = y;
    return true;
}

/* The last dimension of the indices holds tuples that pick along the dims after the first batch_dims. */
bool eval_gather_nd(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *indices = ev_need(e, n, in, 1);
    if (!x || !indices) return false;
    ev_shape sx = ev_shape_of(x), si = ev_shape_of(indices), s = {0};
    int64_t b = ir_attr_int(n, "batch_dims", 0), width = si.rank ? si.dims[si.rank - 1] : 0;
    bool fits = si.rank > 0 && b >= 0 && b < si.rank && b <= sx.rank && width <= sx.rank - b;
    for (int32_t i = 0; fits && i < b; i++)
        fits = sx.dims[i] == si.dims[i];
    int32_t first = (int32_t)(b + width);
    if (!fits || si.rank - 1 + sx.rank - first > IR_MAX_RANK)
        return ev_error(e, n, "indices %s do not fit %s", ev_shape_text(e, &si),
                        ev_shape_text(e, &sx));
    for (int32_t i = 0; i < si.rank - 1; i++)
        s.dims[s.rank++] = si.dims[i];
    for (int32_t i = first; i < sx.rank; i++)
        s.dims[s.rank++] = sx.dims[i];
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t strides[IR_MAX_RANK], tuples = ev_product(&si, 0, si.rank - 1),
                                  slice = ev_product(&sx, first, sx.rank);
    int64_t batches = ev_product(&sx, 0, (int32_t)b),
            batch_size = ev_product(&sx, (int32_t)b, sx.rank);
    ev_strides(&sx, strides);
    for (int64_t i = 0; i < tuples; i++) {
        int64_t from = i / (tuples / batches) * batch_size, at;
        for (int64_t k = 0; k < width; k++) {
            if (!resolve(e, n, ir_tensor_get_i64(indices, (size_t)(i * width + k)), sx.dims[b + k],
                         &at))
                return false;
            from += at * strides[b + k];
        }
        ev_copy_run(x->type->dtype, ir_tensor_data(y), i * slice, x->data, from, slice);
    }
    out[0].tensor = y;
    return true;
}

bool eval_reverse_sequence(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *lengths = ev_need(e, n, in, 1);
    int64_t batch = ir_attr_int(n, "batch_axis", 1), time = ir_attr_int(n, "time_axis", 0);
    if (!x || !lengths) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 2 || batch < 0 || batch > 1 || time != 1 - batch ||
        ir_tensor_elements(lengths) != (size_t)s.dims[batch])
        return ev_error(e, n, "lengths do not fit %s", ev_shape_text(e, &s));
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    int64_t inner = ev_product(&s, 2, s.rank), at[2];
    for (at[0] = 0; y && inner && at[0] < s.dims[0]; at[0]++)
        for (at[1] = 0; at[1] < s.dims[1]; at[1]++) {
            int64_t length = ir_tensor_get_i64(lengths, (size_t)at[batch]),
                    from[2] = {at[0], at[1]};
            if (length < 0 || length > s.dims[time])
                return ev_error(e, n, "length %lld of %lld", (long long)length,
                                (long long)s.dims[time]);
            if (at[time] < length) from[time] = length - 1 - at[time];
            ev_copy_run(x->type->dtype, ir_tensor_data(y), (at[0] * s.dims[1] + at[1]) * inner,
                        x->data, (from[0] * s.dims[1] + from[1]) * inner, inner);
        }
    return (out[0].tensor = y) != NULL;
}
