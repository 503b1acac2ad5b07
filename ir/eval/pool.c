/* Pooling by its definition, in double: MaxPool, AveragePool, LpPool, their global forms, MaxUnpool.
 *
 *   y[n,c,o] = max, mean or p-norm over the taps t of x[n, c, o*stride + t*dilation - before] that lie inside x */
#include "ir/eval/window.h"

#include <math.h>

typedef struct pool {
    ev_window w;
    op_id op; /* OP_MaxPool, OP_AveragePool, OP_LpPool */
    bool count_padding;
    double p;
} pool;

typedef struct window_result {
    double value;
    int64_t at; /* of the maximum, in the plane; -1 = none */
} window_result;

/* Taps before the end of the padding behind x: those beyond it, which only rounding up makes, never count. */
static bool counts(const pool *k, const int64_t *at, const int64_t *tap) {
    for (int32_t i = 0; i < k->w.axes; i++) {
        int64_t p = at[i] * k->w.stride[i] + tap[i] * k->w.dilation[i] - k->w.before[i];
        if (p >= k->w.in.dims[i] + k->w.after[i]) return false;
    }
    return true;
}

static void add_tap(const pool *k, window_result *r, double v, int64_t p) {
    switch (k->op) {
    case OP_MaxPool:
        if (r->at >= 0 && !(v > r->value) && !(isnan(v) && !isnan(r->value))) return;
        r->value = v;
        r->at = p;
        return;
    case OP_LpPool:
        r->value += k->p == 1 ? fabs(v) : k->p == 2 ? v * v : pow(fabs(v), k->p);
        return;
    default:
        r->value += v;
    }
}

static window_result pool_window(const pool *k, const double *plane, const int64_t *at) {
    int64_t tap[IR_MAX_RANK] = {0}, taps = ev_count(&k->w.kernel), count = 0;
    window_result r = {k->op == OP_MaxPool ? -INFINITY : 0, -1};
    for (int64_t t = 0; t < taps; t++, ev_next(&k->w.kernel, tap)) {
        int64_t p = ev_window_source(&k->w, at, tap);
        if (k->count_padding ? counts(k, at, tap) : p >= 0) count++;
        if (p >= 0) add_tap(k, &r, plane[p], p);
    }
    /* only a global window has no taps at all: the mean of nothing is NaN, as in ReduceMean */
    if (k->op == OP_AveragePool) r.value = count || !taps ? r.value / (double)count : 0;
    if (k->op == OP_LpPool) r.value = k->p == 2 ? sqrt(r.value) : pow(r.value, 1 / k->p);
    return r;
}

/* A place in a plane with the first spatial axis running fastest instead of the last. */
static int64_t column_major(const ev_window *w, int64_t p) {
    int64_t sum = 0, step = 1;
    for (int32_t i = 0; i < w->axes; i++) {
        sum += p / w->in_strides[i] % w->in.dims[i] * step;
        step *= w->in.dims[i];
    }
    return sum;
}

static int64_t max_index(const ir_node *n, const ev_window *w, int64_t plane, int64_t at) {
    if (at < 0) return -1;
    if (ir_attr_int(n, "storage_order", 0)) at = column_major(w, at);
    return plane * ev_count(&w->in) + at;
}

static bool run_pool(ir_eval *e, const ir_node *n, const ir_tensor *x, const ev_shape *sx,
                     const pool *k, ir_datum *out) {
    ev_shape s = ev_window_result(&k->w, sx, sx->dims[1]);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s),
              *indices = y && n->n_out > 1 ? ev_alloc(e, n, DT_i64, &s) : NULL;
    if (!y || (n->n_out > 1 && !indices)) return false;
    const double *values = ev_f64s(e, x);
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s), size = ev_count(&k->w.in);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at)) {
        int64_t plane = at[0] * s.dims[1] + at[1];
        window_result r = pool_window(k, values + plane * size, at + 2);
        ir_tensor_set_f64(y, (size_t)i, r.value);
        if (indices) ir_tensor_set_i64(indices, (size_t)i, max_index(n, &k->w, plane, r.at));
    }
    out[0].tensor = y;
    if (indices) out[1].tensor = indices;
    return true;
}

bool eval_pool(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    pool k = {.op = n->op,
              .count_padding = ir_attr_int(n, "count_include_pad", 0),
              .p = (double)ir_attr_int(n, "p", 2)};
    if (s.rank < 3) return ev_error(e, n, "rank is %d, expected 3 or more", s.rank);
    return ev_window_init(e, n, &k.w, &s, NULL) && run_pool(e, n, x, &s, &k, out);
}

/* One window over all of each plane. */
bool eval_global_pool(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 2) return ev_error(e, n, "rank is %d, expected 2 or more", s.rank);
    pool k = {.p = (double)ir_attr_int(n, "p", 2)};
    k.op = n->op == OP_GlobalMaxPool       ? OP_MaxPool
           : n->op == OP_GlobalAveragePool ? OP_AveragePool
                                           : OP_LpPool;
    k.w.axes = k.w.in.rank = k.w.out.rank = s.rank - 2;
    for (int32_t i = 0; i < k.w.axes; i++) {
        k.w.stride[i] = k.w.dilation[i] = k.w.out.dims[i] = 1;
        k.w.in.dims[i] = s.dims[2 + i];
    }
    k.w.kernel = k.w.in;
    ev_strides(&k.w.in, k.w.in_strides);
    return run_pool(e, n, x, &s, &k, out);
}

/* ---- MaxUnpool -------------------------------------------------------------------------------------------------------- */

/* The shape the pooled tensor had: what indices count in. */
static bool pooled_from(ir_eval *e, const ir_node *n, const ev_shape *x, ev_shape *s) {
    uint32_t n_kernel, n_strides, n_pads, axes = (uint32_t)x->rank - 2;
    const int64_t *kernel = ir_attr_ints(n, "kernel_shape", &n_kernel),
                  *strides = ir_attr_ints(n, "strides", &n_strides),
                  *pads = ir_attr_ints(n, "pads", &n_pads);
    if (!kernel || n_kernel != axes || (strides && n_strides != axes) ||
        (pads && n_pads != 2 * axes))
        return ev_error(e, n, "kernel_shape, strides and pads must fit %u axes", axes);
    *s = *x;
    for (uint32_t i = 0; i < axes; i++) {
        int64_t padding = pads ? pads[i] + pads[axes + i] : 0,
                size = (x->dims[2 + i] - 1) * (strides ? strides[i] : 1) + kernel[i] - padding;
        s->dims[2 + i] = size > 0 ? size : 0;
    }
    return true;
}

/* The result may be larger than what was pooled: what was lies at its start. */
static bool unpooled_shape(ir_eval *e, const ir_node *n, const ir_tensor *given,
                           const ev_shape *least, ev_shape *s) {
    *s = *least;
    if (!given) return true;
    size_t count;
    const int64_t *dims = ev_i64s(e, given, &count);
    if (count != (size_t)least->rank)
        return ev_error(e, n, "output_shape has %zu elements, expected %d", count, least->rank);
    for (int32_t i = 0; i < least->rank; i++) {
        if (dims[i] < least->dims[i])
            return ev_error(e, n, "output_shape holds %lld, expected %lld or more",
                            (long long)dims[i], (long long)least->dims[i]);
        s->dims[i] = dims[i];
    }
    return true;
}

bool eval_max_unpool(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *indices = ev_need(e, n, in, 1);
    if (!x || !indices) return false;
    ev_shape sx = ev_shape_of(x), si = ev_shape_of(indices), least, s;
    if (sx.rank < 3 || !ev_shape_equal(&sx, &si))
        return ev_error(e, n, "%s by indices %s", ev_shape_text(e, &sx), ev_shape_text(e, &si));
    if (!pooled_from(e, n, &sx, &least) || !unpooled_shape(e, n, ev_tensor(n, in, 2), &least, &s))
        return false;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    int64_t steps[IR_MAX_RANK], old[IR_MAX_RANK], total = ev_count(&least), count = ev_count(&sx);
    ev_strides(&s, steps);
    ev_strides(&least, old);
    for (int64_t i = 0; i < count; i++) {
        int64_t p = ir_tensor_get_i64(indices, (size_t)i), to = 0;
        if (p < 0 || p >= total)
            return ev_error(e, n, "index %lld is outside %lld elements", (long long)p,
                            (long long)total);
        for (int32_t a = 0; a < s.rank; a++)
            to += p / old[a] % least.dims[a] * steps[a];
        ev_copy_run(x->type->dtype, ir_tensor_data(y), to, x->data, i, 1);
    }
    out[0].tensor = y;
    return true;
}
