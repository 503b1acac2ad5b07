/* LayerNormalization and RMSNormalization over trailing axes:
 *   y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias,      RMS: without mean and bias
 *
 *   for blocks of rows
 *     for rows       mean, variance = ...       chains of dependent operations: with nothing else in the loop, those of several rows overlap
 *     for vectors    1 / sqrt(variance)         of several rows at once
 *     for rows       y = ... */
#include "codegen/rows.h"

enum { ROWS = 16 }; /* of a block; a multiple of the lanes of every processor */

typedef struct norm {
    uint32_t x, y, scale, bias, mean_out, inverse_out;
    bool has_y, has_scale, has_bias, centred, has_mean_out, has_inverse_out;
    double epsilon;
    lp_value *mean, *inverse;   /* of the row at hand */
    lp_value *means, *inverses; /* of the block's rows */
} norm;

/* f64 where the operand or the result is: RMSNormalization of f32 may have a scale and a result of f64. */
static lp_type compute_type(const cg_rows *r, const norm *s) {
    ir_dtype x = ir_dtype_compute(r->views[s->x].view->dtype);
    bool wide = s->has_y && r->views[s->y].view->dtype == DT_f64;
    return lp_scalar(wide ? DT_f64 : x);
}

/* A vector in the type of the computation: operands may be of different types (RMSNormalization). */
static lp_value *load(cg_rows *r, const norm *s, uint32_t i, unsigned lanes, lp_value *j) {
    return lp_cast(&r->k.b, cg_row_load(r, i, lanes, j), compute_type(r, s).elem);
}

static void sum_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    norm *s = data;
    acc[0] = lp_bin(&r->k.b, LP_add, acc[0], load(r, s, s->x, lanes, j));
}

static lp_value *centred(cg_rows *r, norm *s, unsigned lanes, lp_value *j) {
    lp_value *x = load(r, s, s->x, lanes, j);
    return s->centred ? lp_bin(&r->k.b, LP_sub, x, lp_broadcast(&r->k.b, s->mean, lanes)) : x;
}

static void square_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    lp_value *d = centred(r, data, lanes, j);
    acc[0] = lp_fma(&r->k.b, d, d, acc[0]);
}

static void write_pass(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data) {
    (void)acc;
    norm *s = data;
    lp_builder *b = &r->k.b;
    lp_value *y = lp_bin(b, LP_mul, centred(r, s, lanes, j), lp_broadcast(b, s->inverse, lanes));
    if (s->has_scale && s->has_bias)
        y = lp_fma(b, y, load(r, s, s->scale, lanes, j), load(r, s, s->bias, lanes, j));
    else if (s->has_scale)
        y = lp_bin(b, LP_mul, y, load(r, s, s->scale, lanes, j));
    else if (s->has_bias)
        y = lp_bin(b, LP_add, y, load(r, s, s->bias, lanes, j));
    cg_row_store(r, s->y, lanes, j, lp_cast(b, y, ir_dtype_compute(r->views[s->y].view->dtype)));
}

/* Mean and variance + epsilon of a row. */
static lp_value *row_statistics(cg_rows *r, norm *s) {
    lp_builder *b = &r->k.b;
    unsigned lanes = cg_rows_lanes(r);
    lp_type t = compute_type(r, s);
    lp_value *n = lp_cast(b, r->length, t.elem);
    if (s->centred) {
        s->mean = lp_const_f(b, t, 0);
        cg_row_pass(r, lanes, LP_reduce_add, &s->mean, 1, sum_pass, s);
        s->mean = lp_bin(b, LP_div, s->mean, n);
    }
    lp_value *sum = lp_const_f(b, t, 0);
    cg_row_pass(r, lanes, LP_reduce_add, &sum, 1, square_pass, s);
    return lp_bin(b, LP_add, lp_bin(b, LP_div, sum, n), lp_const_f(b, t, s->epsilon));
}

/* The view with its axes from `axis` on joined into one; copied where they do not step evenly. */
static const cg_view *join_tail(cg *g, const cg_view *v, int32_t axis) {
    const ir_dim *dims[IR_MAX_RANK_NEST];
    for (int32_t i = 0; i < axis; i++)
        dims[i] = v->dims[i];
    dims[axis] = cg_dims_product(g, v->dims + axis, v->rank - axis);
    const cg_view *joined = cg_view_reshape(g, v, axis + 1, dims);
    if (joined) return joined;
    const cg_view *copy = cg_materialise(g, v);
    return cg_view_reshape(g, copy, axis + 1, dims);
}

static const cg_view *parameter(cg *g, ir_value *v, const ir_type *t, int32_t axis) {
    return join_tail(g, cg_view_broadcast(g, cg_read(g, v), t->rank, t->dims), axis);
}

/* One number per row: Mean and InvStdDev, which keep the reduced axes as 1. */
static void store_statistic(cg_rows *r, uint32_t view, lp_value *x) {
    cg_row_store(r, view, 1, lp_index(&r->k.b, 0), x);
}

/* Result i with its axes from `axis` on joined; NULL where nobody reads it. */
static const cg_view *result(cg *g, ir_node *n, uint32_t i, int32_t axis) {
    ir_value *v = ir_out(n, i);
    if (!v || !v->uses) return NULL;
    return join_tail(g, cg_write(g, v), axis);
}

static void statistics_loop(cg_rows *r, norm *s, lp_value *lo, lp_value *hi) {
    lp_builder *b = &r->k.b;
    cg_rows_between(r, lo, hi);
    lp_value *variance = row_statistics(r, s), *at = lp_bin(b, LP_sub, r->loop.counter, lo);
    if (s->centred) lp_store(b, s->means, at, s->mean);
    lp_store(b, s->inverses, at, variance);
    lp_for_end(b, &r->loop, NULL);
}

/* In place, all rows that a block may have; a few of them one by one. */
static void invert_variances(cg_rows *r, norm *s) {
    lp_builder *b = &r->k.b;
    int64_t rows, lanes = r->g->target->lanes_f32;
    if (!ir_dim_is_const(r->units, &rows) || rows >= lanes) rows = ROWS;
    if (rows < lanes) lanes = 1;
    lp_type t = lp_vec(compute_type(r, s).elem, (unsigned)lanes);
    for (int64_t i = 0; i < rows; i += lanes) {
        lp_value *x = lp_load(b, t, s->inverses, lp_index(b, i));
        x = lp_bin(b, LP_div, lp_const_f(b, t, 1), lp_un(b, LP_sqrt, x));
        lp_store(b, s->inverses, lp_index(b, i), x);
    }
}

static void write_loop(cg_rows *r, norm *s, lp_value *lo, lp_value *hi) {
    lp_builder *b = &r->k.b;
    cg_rows_between(r, lo, hi);
    lp_value *at = lp_bin(b, LP_sub, r->loop.counter, lo);
    if (s->centred) s->mean = lp_load(b, compute_type(r, s), s->means, at);
    s->inverse = lp_load(b, compute_type(r, s), s->inverses, at);
    if (s->has_mean_out) store_statistic(r, s->mean_out, s->mean);
    if (s->has_inverse_out) store_statistic(r, s->inverse_out, s->inverse);
    if (s->has_y) cg_row_pass(r, cg_rows_lanes(r), LP_reduce_add, NULL, 0, write_pass, s);
    lp_for_end(b, &r->loop, NULL);
}

static void norm_blocks(cg_rows *r, norm *s) {
    lp_builder *b = &r->k.b;
    lp_value *step = lp_index(b, ROWS);
    int64_t bytes = ROWS * cg_elem_bytes((ir_dtype)compute_type(r, s).elem);
    s->means = s->centred ? lp_alloca(b, bytes) : NULL;
    s->inverses = lp_alloca(b, bytes);
    lp_loop l = lp_for_begin(b, r->k.begin, r->k.end, step, NULL, 0);
    lp_value *end = lp_bin(b, LP_min, lp_bin(b, LP_add, l.counter, step), r->k.end);
    statistics_loop(r, s, l.counter, end);
    invert_variances(r, s);
    write_loop(r, s, l.counter, end);
    lp_for_end(b, &l, NULL);
}

static bool lower_norm(cg *g, ir_node *n, bool centred) {
    const ir_type *t = ir_in(n, 0)->type;
    int64_t axis = ir_attr_int(n, "axis", -1);
    if (axis < 0) axis += t->rank;
    int32_t a = (int32_t)axis;
    const cg_view *x = join_tail(g, cg_read(g, ir_in(n, 0)), a), *y = result(g, n, 0, a);
    bool scales = y && ir_in(n, 1) && !ir_value_is_splat(ir_in(n, 1), 1);
    const cg_view *scale = scales ? parameter(g, ir_in(n, 1), t, a) : NULL;
    const cg_view *bias = y && ir_in(n, 2) ? parameter(g, ir_in(n, 2), t, a) : NULL;
    const cg_view *mean = centred ? result(g, n, 1, a) : NULL,
                  *inverse = centred ? result(g, n, 2, a) : NULL;
    cg_rows r;
    norm s = {.centred = centred,
              .has_y = y,
              .has_scale = scale,
              .has_bias = bias,
              .has_mean_out = mean,
              .has_inverse_out = inverse,
              .epsilon = (double)ir_attr_float(n, "epsilon", 1e-5f)};
    cg_rows_begin(&r, g, n, a + 1, x->dims, a);
    s.x = cg_rows_add(&r, x, false);
    if (y) s.y = cg_rows_add(&r, y, true);
    if (scale) s.scale = cg_rows_add(&r, scale, false);
    if (bias) s.bias = cg_rows_add(&r, bias, false);
    if (mean) s.mean_out = cg_rows_add(&r, mean, true);
    if (inverse) s.inverse_out = cg_rows_add(&r, inverse, true);
    norm_blocks(&r, &s);
    cg_kernel_end(&r.k, "%s", op_get(n->op)->name);
    return true;
}

bool lower_layer_norm(cg *g, ir_node *n) {
    return lower_norm(g, n, true);
}
bool lower_rms_norm(cg *g, ir_node *n) {
    return lower_norm(g, n, false);
}
