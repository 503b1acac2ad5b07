/* Regions of interest: MaxRoiPool and RoiAlign, element by element: what a bin covers is known only when its region is read.
 * Coordinates are f64, so that a point falls on the side of an edge that its exact value says. */
#include "codegen/lower/short.h"

#include <math.h>

typedef struct roi {
    const cg_view *x, *regions, *samples; /* samples: RoiAlign's; else the regions' first column */
    int64_t failure;
    ir_dtype compute;
} roi;

static lp_value *size_of(cg_nest *s, int32_t axis) {
    const roi *d = s->data;
    return cg_kernel_dim(s->k, d->x->dims[axis]);
}

/* Number `column` of the region this element belongs to. */
static lp_value *region_value(cg_nest *s, int64_t column) {
    const roi *d = s->data;
    lp_value *at[2] = {s->index[0], lp_index(&s->k->b, column)};
    lp_value *p = cg_kernel_in(s->k, d->regions, false);
    return cg_load(&s->k->b, d->regions->dtype, 1, p, cg_offset(s->k, d->regions, at, 2),
                   lp_index(&s->k->b, 1));
}

/* Place in x of the first element of the channel that is read. */
static lp_value *plane_of(cg_nest *s) {
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *sample, *n = size_of(s, 0), *zero = lp_index(b, 0);
    if (d->samples) {
        lp_value *at = cg_offset(s->k, d->samples, s->index, 1);
        sample = to_i64(b, cg_load(b, d->samples->dtype, 1, cg_kernel_in(s->k, d->samples, false),
                                   at, lp_index(b, 1)));
    } else {
        sample = to_i64(b, region_value(s, 0));
    }
    sample = lp_select(b, lp_bin(b, LP_lt, sample, zero), n, sample); /* counts from no end */
    lp_value *at[2] = {cg_checked_index(s->k, sample, n, d->failure), s->index[1]};
    return cg_offset(s->k, d->x, at, 2);
}

static lp_value *load_at(cg_nest *s, lp_value *plane, lp_value *h, lp_value *w) {
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *at = add(b, plane, mul(b, h, cg_kernel_dim(s->k, d->x->strides[2])));
    at = add(b, at, mul(b, w, cg_kernel_dim(s->k, d->x->strides[3])));
    return cg_load(b, d->x->dtype, 1, cg_kernel_in(s->k, d->x, false), at, lp_index(b, 1));
}

/* ---- MaxRoiPool ------------------------------------------------------------------------------------------------------ */

/* Half away from zero. */
static lp_value *round_away(lp_builder *b, lp_value *x) {
    lp_value *up = lp_un(b, LP_floor, add(b, lp_un(b, LP_abs, x), f64(b, 0.5)));
    return lp_select(b, lp_bin(b, LP_lt, x, f64(b, 0)), lp_un(b, LP_neg, up), up);
}

/* Elements [range[0], range[1]) of x's axis that belong to this element's bin; columns: of the region's corners. */
static void bin_range(cg_nest *s, int32_t axis, int64_t first_column, lp_value *range[2]) {
    lp_builder *b = &s->k->b;
    lp_value *scale = f64(b, ir_attr_float(s->node, "spatial_scale", 1)), *corner[2];
    for (int i = 0; i < 2; i++)
        corner[i] = round_away(b, mul(b, to_f64(b, region_value(s, first_column + 2 * i)), scale));
    lp_value *length = add(b, sub(b, corner[1], corner[0]), f64(b, 1));
    lp_value *bins = to_f64(b, cg_kernel_dim(s->k, s->dims[axis]));
    lp_value *bin = lp_bin(b, LP_div, largest(b, length, f64(b, 1)), bins),
             *i = to_f64(b, s->index[axis]), *size = to_f64(b, size_of(s, axis));
    lp_value *from = lp_un(b, LP_floor, mul(b, i, bin)),
             *to = lp_un(b, LP_ceil, mul(b, add(b, i, f64(b, 1)), bin));
    range[0] = to_i64(b, least(b, largest(b, add(b, from, corner[0]), f64(b, 0)), size));
    range[1] = to_i64(b, least(b, largest(b, add(b, to, corner[0]), f64(b, 0)), size));
}

static void max_roi_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in, (void)lanes;
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *rows[2], *columns[2], *plane = plane_of(s), *one = lp_index(b, 1);
    bin_range(s, 2, 2, rows);
    bin_range(s, 3, 1, columns);
    lp_value *zero = lp_const_f(b, lp_scalar(d->compute), 0),
             *first = lp_const_f(b, lp_scalar(d->compute), -INFINITY);
    lp_loop h = lp_for_begin(b, rows[0], rows[1], one, &first, 1);
    lp_loop w = lp_for_begin(b, columns[0], columns[1], one, h.carried, 1);
    lp_value *max = lp_bin(b, LP_max, w.carried[0], load_at(s, plane, h.counter, w.counter));
    lp_for_end(b, &w, &max);
    lp_for_end(b, &h, w.results);
    lp_value *empty = lp_bin(b, LP_or, lp_bin(b, LP_ge, rows[0], rows[1]),
                             lp_bin(b, LP_ge, columns[0], columns[1]));
    out[0] = lp_select(b, empty, zero, h.results[0]);
}

/* ---- RoiAlign -------------------------------------------------------------------------------------------------------- */

typedef struct roi_axis {
    lp_value *start, *bin; /* f64: of this element, of one element */
    lp_value *samples;     /* i64: points per element */
} roi_axis;

static roi_axis roi_axis_of(cg_nest *s, int32_t axis, int64_t first_column) {
    lp_builder *b = &s->k->b;
    bool half = strcmp(ir_attr_string(s->node, "coordinate_transformation_mode", "half_pixel"),
                       "half_pixel") == 0;
    int64_t ratio = ir_attr_int(s->node, "sampling_ratio", 0);
    lp_value *scale = f64(b, ir_attr_float(s->node, "spatial_scale", 1)), *corner[2];
    for (int i = 0; i < 2; i++) {
        corner[i] = mul(b, to_f64(b, region_value(s, first_column + 2 * i)), scale);
        corner[i] = sub(b, corner[i], f64(b, half ? 0.5 : 0));
    }
    lp_value *length = sub(b, corner[1], corner[0]);
    if (!half) length = largest(b, length, f64(b, 1));
    roi_axis a;
    a.bin = lp_bin(b, LP_div, length, to_f64(b, cg_kernel_dim(s->k, s->dims[axis])));
    a.start = add(b, corner[0], mul(b, to_f64(b, s->index[axis]), a.bin));
    lp_value *most = least(b, lp_un(b, LP_ceil, a.bin), f64(b, 1e6));
    a.samples = ratio > 0 ? lp_index(b, ratio) : to_i64(b, largest(b, most, f64(b, 0)));
    return a;
}

/* Coordinate of sample point i. */
static lp_value *roi_point(lp_builder *b, const roi_axis *a, lp_value *i) {
    lp_value *middle = add(b, to_f64(b, i), f64(b, 0.5)),
             *step = lp_bin(b, LP_div, mul(b, middle, a->bin), to_f64(b, a->samples));
    return add(b, a->start, step);
}

/* The elements around a coordinate, their weights; `outside` where it is too far from all of them. */
typedef struct around {
    lp_value *at[2], *weight[2], *outside;
} around;

static around around_point(cg_nest *s, int32_t axis, lp_value *v) {
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *size = size_of(s, axis), *last = sub(b, size, lp_index(b, 1));
    around r;
    lp_value *inside = lp_bin(b, LP_and, lp_bin(b, LP_ge, v, f64(b, -1)),
                              lp_bin(b, LP_le, v, to_f64(b, size)));
    r.outside = lp_un(b, LP_not, inside);
    v = lp_select(b, inside, largest(b, v, f64(b, 0)), f64(b, 0));
    lp_value *low = to_i64(b, v), *end = lp_bin(b, LP_ge, low, last);
    r.at[0] = lp_select(b, end, last, low);
    r.at[1] = lp_select(b, end, last, add(b, low, lp_index(b, 1)));
    lp_value *part = lp_select(b, end, f64(b, 0), sub(b, v, to_f64(b, low)));
    r.weight[0] = lp_cast(b, sub(b, f64(b, 1), part), d->compute);
    r.weight[1] = lp_cast(b, part, d->compute);
    return r;
}

static lp_value *sample(cg_nest *s, lp_value *plane, const around *v, const around *h, bool max) {
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *sum = NULL;
    for (int i = 0; i < 4; i++) {
        lp_value *weight = mul(b, v->weight[i / 2], h->weight[i % 2]),
                 *x = mul(b, weight, load_at(s, plane, v->at[i / 2], h->at[i % 2]));
        sum = !sum ? x : max ? largest(b, sum, x) : add(b, sum, x);
    }
    lp_value *outside = lp_bin(b, LP_or, v->outside, h->outside);
    return lp_select(b, outside, lp_const_f(b, lp_scalar(d->compute), 0), sum);
}

static void roi_align_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in, (void)lanes;
    const roi *d = s->data;
    lp_builder *b = &s->k->b;
    bool max = strcmp(ir_attr_string(s->node, "mode", "avg"), "max") == 0;
    lp_value *plane = plane_of(s), *zero = lp_const_f(b, lp_scalar(d->compute), 0);
    roi_axis v = roi_axis_of(s, 2, 1), h = roi_axis_of(s, 3, 0);
    lp_value *first = max ? lp_const_f(b, lp_scalar(d->compute), -INFINITY) : zero;
    lp_loop rows = lp_for_begin(b, lp_index(b, 0), v.samples, lp_index(b, 1), &first, 1);
    around y = around_point(s, 2, roi_point(b, &v, rows.counter));
    lp_loop columns = lp_for_begin(b, lp_index(b, 0), h.samples, lp_index(b, 1), rows.carried, 1);
    around x = around_point(s, 3, roi_point(b, &h, columns.counter));
    lp_value *one = sample(s, plane, &y, &x, max);
    lp_value *next = max ? largest(b, columns.carried[0], one) : add(b, columns.carried[0], one);
    lp_for_end(b, &columns, &next);
    lp_for_end(b, &rows, columns.results);
    lp_value *count = mul(b, v.samples, h.samples), *none = lp_bin(b, LP_lt, count, lp_index(b, 1));
    lp_value *n = lp_cast(b, lp_bin(b, LP_max, count, lp_index(b, 1)), d->compute);
    lp_value *y_out = max ? rows.results[0] : lp_bin(b, LP_div, rows.results[0], n);
    out[0] = lp_select(b, none, zero, y_out);
}

/* ---- the nodes ------------------------------------------------------------------------------------------------------- */

static bool lower_regions(cg *g, ir_node *n, cg_nest_fn *fn, bool has_samples) {
    roi *d = TL_NEW(g->arena, roi);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    const ir_type *t = n->out[0].type;
    *d = (roi){.x = cg_read(g, ir_in(n, 0)), .regions = cg_read(g, ir_in(n, 1))};
    if (has_samples) d->samples = cg_read(g, ir_in(n, 2));
    if (has_samples) cg_check_equal(g, d->samples->dims[0], d->regions->dims[0]);
    d->compute = ir_dtype_compute(d->x->dtype);
    d->failure = cg_failure(g, "input %d: a region names sample %%lld of %%lld",
                            has_samples ? 2 : 1);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = 4,
                   .fn = fn,
                   .data = d,
                   .summary = op_get(n->op)->name,
                   .needs_index = true,
                   .scalar = true};
    memcpy(s->dims, t->dims, 4 * sizeof *s->dims);
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    s->required = cg_dims_product(
        g, (const ir_dim *[]){d->x->dims[0], d->x->dims[2], d->x->dims[3]}, 3);
    s->failure = cg_failure(g, "input 0: there is no element to take");
    cg_nest_run(s);
    return true;
}

bool lower_max_roi_pool(cg *g, ir_node *n) {
    return lower_regions(g, n, max_roi_point, false);
}

bool lower_roi_align(cg *g, ir_node *n) {
    return lower_regions(g, n, roi_align_point, true);
}
