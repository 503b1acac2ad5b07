/* GridSample: neighbours along the grid's last axis are the lanes of a vector. Their coordinates are computed once, as places and weights
 * of all taps along each axis; then a loop over the channels gathers the taps and adds them up.
 *
 *   f32[N,C,H,W] at f32[N,h,w,2], linear    per vector of w: 2 x 2 places and weights, per channel 4 gathers */
#include "codegen/lower/short.h"

#include "ir/limits.h"

enum { MAX_TAPS = 4, MAX_AXES = 8 };

typedef struct sampler {
    cg *g;
    const cg_view *x, *grid, *y;
    int32_t axes;
    int taps;
    bool align, zeros, reflects, cubic;
    ir_dtype compute;
} sampler;

/* Vectors over the points: offset of each tap along an axis, its weight, whether it is inside (zeros). */
typedef struct axis_taps {
    lp_value *at[MAX_TAPS], *weight[MAX_TAPS], *inside[MAX_TAPS];
} axis_taps;

/* ---- one axis ------------------------------------------------------------------------------------------------------- */

/* Of the elements there are: first and last border, f64. */
static void borders(const sampler *d, lp_builder *b, lp_value *size, lp_value **low,
                    lp_value **high) {
    unsigned lanes = size->type.lanes;
    *low = f64_of(b, lanes, d->align ? 0 : -0.5);
    *high = sub(b, size, f64_of(b, lanes, d->align ? 1 : 0.5));
}

/* Back and forth between the borders until it is inside. */
static lp_value *reflect(const sampler *d, lp_builder *b, lp_value *size, lp_value *v) {
    unsigned lanes = v->type.lanes;
    lp_value *low, *high, *two = f64_of(b, lanes, 2);
    borders(d, b, size, &low, &high);
    lp_value *range = sub(b, high, low), *below = lp_bin(b, LP_lt, v, low),
             *far = lp_select(b, below, sub(b, low, v), sub(b, v, high)),
             *times = lp_un(b, LP_floor, quotient(b, far, range)),
             *rest = sub(b, far, mul(b, times, range));
    lp_value *even = lp_bin(b, LP_eq, mul(b, two, lp_un(b, LP_floor, quotient(b, times, two))),
                            times);
    lp_value *from_low = lp_bin(b, LP_eq, below, even);
    lp_value *moved = lp_select(b, from_low, add(b, low, rest), sub(b, high, rest));
    lp_value *outside = lp_bin(b, LP_or, below, lp_bin(b, LP_gt, v, high));
    lp_value *flat = lp_bin(b, LP_le, range, f64_of(b, lanes, 0));
    moved = lp_select(b, flat, f64_of(b, lanes, 0), moved);
    return lp_select(b, outside, moved, v);
}

static lp_value *cubic(lp_builder *b, lp_value *x, bool near) {
    const double a = -0.75;
    unsigned lanes = x->type.lanes;
    x = lp_un(b, LP_abs, x);
    if (near) {
        lp_value *v = sub(b, mul(b, f64_of(b, lanes, a + 2), x), f64_of(b, lanes, a + 3));
        return add(b, mul(b, mul(b, v, x), x), f64_of(b, lanes, 1));
    }
    lp_value *v = sub(b, mul(b, f64_of(b, lanes, a), x), f64_of(b, lanes, 5 * a));
    v = add(b, mul(b, v, x), f64_of(b, lanes, 8 * a));
    return sub(b, mul(b, v, x), f64_of(b, lanes, 4 * a));
}

/* The coordinate in elements, brought inside where the padding mode does that before taps are chosen. */
static lp_value *place_point(const sampler *d, lp_builder *b, lp_value *size, lp_value *v) {
    unsigned lanes = v->type.lanes;
    lp_value *one = f64_of(b, lanes, 1), *half = f64_of(b, lanes, 0.5), *zero = f64_of(b, lanes, 0),
             *low, *high;
    v = add(b, v, one);
    v = d->align ? mul(b, mul(b, v, half), sub(b, size, one))
                 : mul(b, sub(b, mul(b, v, size), one), half);
    if (d->taps == 1) v = lp_un(b, LP_rint, v);
    if (d->reflects) return reflect(d, b, size, v);
    if (d->zeros) return v;
    borders(d, b, size, &low, &high);
    lp_value *inside = lp_bin(b, LP_and, lp_bin(b, LP_ge, v, low), lp_bin(b, LP_le, v, high));
    return lp_select(b, inside, v, largest(b, least(b, v, sub(b, size, one)), zero));
}

static axis_taps taps_along(const sampler *d, cg_kernel *k, int32_t axis, lp_value *v) {
    lp_builder *b = &k->b;
    unsigned lanes = v->type.lanes;
    lp_value *count = cg_kernel_dim(k, d->x->dims[2 + axis]),
             *size = lp_broadcast(b, to_f64(b, count), lanes), *zero = f64_of(b, lanes, 0),
             *last = sub(b, size, f64_of(b, lanes, 1)),
             *step = lp_broadcast(b, cg_kernel_dim(k, d->x->strides[2 + axis]), lanes);
    v = place_point(d, b, size, v);
    lp_value *first = d->taps == 1 ? v : lp_un(b, LP_floor, v);
    axis_taps a;
    for (int t = 0; t < d->taps; t++) {
        lp_value *at = add(b, first, f64_of(b, lanes, t - d->cubic)), *far = sub(b, v, at);
        lp_value *w = d->cubic ? cubic(b, far, t == 1 || t == 2)
                               : sub(b, f64_of(b, lanes, 1), lp_un(b, LP_abs, far));
        a.weight[t] = d->taps == 1 ? NULL : lp_cast(b, w, d->compute);
        a.inside[t] = lp_bin(b, LP_and, lp_bin(b, LP_ge, at, zero), lp_bin(b, LP_le, at, last));
        if (d->reflects) at = lp_un(b, LP_trunc, reflect(d, b, size, at));
        at = largest(b, least(b, at, last), zero);
        a.at[t] = mul(b, to_i64(b, at), step);
    }
    return a;
}

/* ---- channels ---------------------------------------------------------------------------------------------------------- */

/* sum + all taps of the axes from `axis` on. */
static lp_value *add_taps(const sampler *d, cg_kernel *k, const axis_taps *a, int32_t axis,
                          lp_value *at, lp_value *weight, lp_value *inside, lp_value *sum) {
    lp_builder *b = &k->b;
    unsigned lanes = at->type.lanes;
    if (axis == d->axes) {
        lp_value *px = cg_kernel_in(k, d->x, false), *v;
        if (lanes > 1)
            v = lp_gather(b, lp_vec(d->x->dtype, lanes), px, at);
        else
            v = lp_load(b, lp_scalar(d->x->dtype), px, at);
        v = lp_cast(b, v, d->compute);
        lp_value *zero = ir_dtype_is_float(d->compute) ? lp_const_f(b, v->type, 0)
                                                       : lp_const_i(b, v->type, 0);
        if (d->zeros) v = lp_select(b, inside, v, zero);
        return weight ? lp_fma(b, v, weight, sum) : v;
    }
    for (int t = 0; t < d->taps; t++) {
        lp_value *w = a[axis].weight[t], *in = a[axis].inside[t];
        if (weight) w = mul(b, weight, w);
        if (inside) in = lp_bin(b, LP_and, inside, in);
        sum = add_taps(d, k, a, axis + 1, add(b, at, a[axis].at[t]), w, in, sum);
    }
    return sum;
}

/* Index of an output point: sample, then places along the axes. */
static void sample_points(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in, (void)out;
    const sampler *d = s->data;
    cg_kernel *k = s->k;
    lp_builder *b = &k->b;
    axis_taps taps[MAX_AXES];
    lp_value *pg = cg_kernel_in(k, d->grid, false), *py = cg_kernel_out(k, d->y, false);
    lp_value *g_at = cg_offset(k, d->grid, s->index, s->rank), *y_at = lp_index(b, 0),
             *g_step = cg_kernel_dim(k, d->grid->strides[s->rank - 1]);
    for (int32_t i = 0; i < d->axes; i++) { /* the last axis comes first */
        lp_value *at = mul(b, lp_index(b, d->axes - 1 - i),
                           cg_kernel_dim(k, d->grid->strides[s->rank]));
        lp_value *v = cg_load(b, d->grid->dtype, lanes, pg, add(b, g_at, at), g_step);
        taps[i] = taps_along(d, k, i, to_f64(b, v));
    }
    for (int32_t i = 0; i < s->rank; i++)
        y_at = add(b, y_at, mul(b, s->index[i], cg_kernel_dim(k, d->y->strides[i ? i + 1 : 0])));
    lp_value *x_at = mul(b, s->index[0], cg_kernel_dim(k, d->x->strides[0]));
    lp_loop c = lp_for_begin(b, lp_index(b, 0), cg_kernel_dim(k, d->x->dims[1]), lp_index(b, 1),
                             NULL, 0);
    lp_value *plane = add(b, x_at, mul(b, c.counter, cg_kernel_dim(k, d->x->strides[1])));
    lp_value *zero = ir_dtype_is_float(d->compute) ? lp_const_f(b, lp_vec(d->compute, lanes), 0)
                                                   : NULL;
    lp_value *v = add_taps(d, k, taps, 0, lp_broadcast(b, plane, lanes), NULL, NULL, zero);
    lp_value *at = add(b, y_at, mul(b, c.counter, cg_kernel_dim(k, d->y->strides[1])));
    cg_store(b, d->y->dtype, lanes, py, at, cg_kernel_dim(k, d->y->strides[s->rank]), v);
    lp_for_end(b, &c, NULL);
}

/* ---- the node ---------------------------------------------------------------------------------------------------------- */

bool lower_grid_sample(cg *g, ir_node *n) {
    if (ir_dtype_get_class(n->out[0].type->dtype) == DTYPE_COMPLEX) return lower_decompose(g, n);
    const char *mode = ir_attr_string(n, "mode", "linear"),
               *padding = ir_attr_string(n, "padding_mode", "zeros");
    sampler *d = TL_NEW(g->arena, sampler);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *d = (sampler){.g = g,
                   .x = cg_read(g, ir_in(n, 0)),
                   .grid = cg_read(g, ir_in(n, 1)),
                   .align = ir_attr_int(n, "align_corners", 0),
                   .zeros = strcmp(padding, "zeros") == 0,
                   .reflects = strcmp(padding, "reflection") == 0,
                   .cubic = strcmp(mode, "cubic") == 0};
    d->axes = d->x->rank - 2;
    d->taps = strcmp(mode, "nearest") == 0 ? 1 : d->cubic ? 4 : 2;
    if (d->axes > (d->cubic ? 3 : MAX_AXES))
        return cg_unsupported(g, n, "grids of %d axes", d->axes);
    d->compute = ir_dtype_compute(d->x->dtype);
    if (d->taps > 1 && !ir_dtype_is_float(d->compute))
        d->compute = ir_dtype_bits(d->x->dtype) <= 16 ? DT_f32 : DT_f64;
    cg_check_equal(g, d->grid->dims[0], d->x->dims[0]);
    cg_check_equal(g, d->grid->dims[d->x->rank - 1], cg_dc(g, d->axes));
    d->y = cg_write(g, &n->out[0]);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = d->axes + 1,
                   .fn = sample_points,
                   .data = d,
                   .summary = "GridSample",
                   .scalar = ir_dtype_bits(d->x->dtype) > 64,
                   .needs_index = true};
    memcpy(s->dims, d->grid->dims, (size_t)s->rank * sizeof *s->dims);
    s->required = cg_dims_product(g, d->x->dims + 2, d->axes);
    s->failure = cg_failure(g, "input 0: there is no element to take");
    cg_nest_run(s);
    return true;
}
