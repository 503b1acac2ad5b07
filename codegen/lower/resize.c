/* Resize: a table for each axis that changes, then
 *
 *   nearest          one nest that reads each element by its tables
 *   linear, cubic    a pass per axis, from the last to the first: sums of weighted elements, vectors along the last axis
 *
 *   f32[1,16,20,20] -> f32[1,16,40,40]    tables of 40 places and weights; a pass to [1,16,20,40], one to the result
 *
 * A table has for every tap the places (i64, brought inside; -1 in the first: extrapolated) and the weights of all elements along the
 * axis, so that neighbours lie side by side. Coordinates are f64. Channels that lie last (codegen/layout.h) are the last axis here. */
#include "codegen/dynamic.h"
#include "codegen/layout.h"
#include "codegen/lower/short.h"

#include "ir/resize.h"

enum { MAX_UNROLL = 8 };

typedef struct table {
    const ir_dim *taps;
    const cg_view *place, *weight; /* [taps, elements of the result]; weight NULL: nearest */
} table;

typedef struct resize {
    cg *g;
    ir_node *node;
    ir_resize r;
    const cg_view *x, *roi; /* roi: NULL = constant, or all of the axes */
    const cg_view *scales;  /* NULL = constant */
    const ir_dim *taps[IR_MAX_RANK];
    ir_dtype compute;
    const char *mode, *coordinates;
    bool antialias, exclude_outside;
    table tables[IR_MAX_RANK];
} resize;

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

/* ---- coordinates --------------------------------------------------------------------------------------------------- */

static lp_value *dim_f64(const resize *d, cg_kernel *k, const ir_dim *n) {
    (void)d;
    return to_f64(&k->b, cg_kernel_dim(k, n));
}

/* Element i of a short list. */
static lp_value *list_element(cg_kernel *k, const cg_view *v, int64_t i) {
    lp_builder *b = &k->b;
    lp_value *p = cg_kernel_in(k, v, false),
             *at = mul(b, lp_index(b, i), cg_kernel_dim(k, v->strides[0]));
    return to_f64(b, cg_load(b, v->dtype, 1, p, at, lp_index(b, 1)));
}

static lp_value *axis_scale(const resize *d, cg_kernel *k, int32_t axis) {
    if (d->scales) return list_element(k, d->scales, d->r.place[axis]);
    if (d->r.by_scales) return f64(&k->b, d->r.scale[axis]);
    return quotient(&k->b, dim_f64(d, k, d->r.wanted[axis]), dim_f64(d, k, d->r.in[axis]));
}

static lp_value *scale_of(const resize *d, cg_kernel *k, int32_t axis) {
    lp_value *best = NULL;
    if (d->r.fit == RESIZE_STRETCH) return axis_scale(d, k, axis);
    for (int32_t i = 0; i < d->r.rank; i++) {
        if (d->r.place[i] < 0) continue;
        lp_value *s = axis_scale(d, k, i);
        best = !best                           ? s
               : d->r.fit == RESIZE_NOT_LARGER ? least(&k->b, s, best)
                                               : largest(&k->b, s, best);
    }
    return best;
}

/* Start (end: 1) of the region along an axis. */
static lp_value *roi_edge(const resize *d, cg_kernel *k, int32_t axis, int end) {
    lp_builder *b = &k->b;
    int64_t at = d->r.place[axis] + end * d->r.n_axes;
    const ir_value *v = ir_in(d->node, 1);
    if (d->r.place[axis] < 0 || !v || ir_dim_is(v->type->dims[0], 0)) return f64(b, end);
    if (!d->roi) return f64(b, ir_tensor_get_f64(v->tensor, (size_t)at));
    return list_element(k, d->roi, at);
}

/* a where the scaled size is 1, else b (which divides by that size less 1). */
static lp_value *unless_single(lp_builder *b, lp_value *out, lp_value *single, lp_value *other) {
    return lp_select(b, lp_bin(b, LP_eq, out, f64(b, 1)), single, other);
}

static lp_value *cropped_point(const resize *d, cg_kernel *k, int32_t axis, lp_value *o,
                               lp_value *last, lp_value *out) {
    lp_builder *b = &k->b;
    lp_value *from = roi_edge(d, k, axis, 0),
             *length = mul(b, sub(b, roi_edge(d, k, axis, 1), from), last);
    lp_value *step = quotient(b, mul(b, o, length), sub(b, out, f64(b, 1)));
    step = unless_single(b, out, quotient(b, length, f64(b, 2)), step);
    return add(b, step, mul(b, from, last));
}

/* The point of the operand that element o of the result stands for. */
static lp_value *point(const resize *d, cg_kernel *k, int32_t axis, lp_value *o) {
    lp_builder *b = &k->b;
    lp_value *scale = scale_of(d, k, axis), *in = dim_f64(d, k, d->r.in[axis]),
             *out = mul(b, scale, in), *last = sub(b, in, f64(b, 1));
    o = to_f64(b, o);
    if (is(d->coordinates, "asymmetric")) return quotient(b, o, scale);
    if (is(d->coordinates, "align_corners")) {
        lp_value *p = quotient(b, mul(b, o, last), sub(b, out, f64(b, 1)));
        return unless_single(b, out, f64(b, 0), p);
    }
    if (is(d->coordinates, "tf_crop_and_resize")) return cropped_point(d, k, axis, o, last, out);
    lp_value *p = sub(b, quotient(b, add(b, o, f64(b, 0.5)), scale), f64(b, 0.5));
    if (is(d->coordinates, "pytorch_half_pixel")) return unless_single(b, out, f64(b, -0.5), p);
    if (!is(d->coordinates, "half_pixel_symmetric")) return p;
    lp_value *part = quotient(b, dim_f64(d, k, d->r.out[axis]), out);
    return add(b, p, mul(b, quotient(b, in, f64(b, 2)), sub(b, f64(b, 1), part)));
}

/* ---- tables -------------------------------------------------------------------------------------------------------- */

static lp_value *nearest(const resize *d, lp_builder *b, lp_value *p) {
    const char *how = ir_attr_string(d->node, "nearest_mode", "round_prefer_floor");
    if (is(how, "floor")) return lp_un(b, LP_floor, p);
    if (is(how, "ceil")) return lp_un(b, LP_ceil, p);
    if (is(how, "round_prefer_ceil")) return lp_un(b, LP_floor, add(b, p, f64(b, 0.5)));
    return lp_un(b, LP_ceil, sub(b, p, f64(b, 0.5)));
}

static lp_value *filter(const resize *d, lp_builder *b, lp_value *x) {
    lp_value *one = f64(b, 1), *zero = f64(b, 0);
    x = lp_un(b, LP_abs, x);
    if (is(d->mode, "linear")) return largest(b, sub(b, one, x), zero);
    double a = ir_attr_float(d->node, "cubic_coeff_a", -0.75f);
    lp_value *near = sub(b, mul(b, f64(b, a + 2), x), f64(b, a + 3));
    near = add(b, mul(b, mul(b, near, x), x), one);
    lp_value *far = sub(b, mul(b, f64(b, a), x), f64(b, 5 * a));
    far = add(b, mul(b, far, x), f64(b, 8 * a));
    far = sub(b, mul(b, far, x), f64(b, 4 * a));
    far = lp_select(b, lp_bin(b, LP_lt, x, f64(b, 2)), far, zero);
    return lp_select(b, lp_bin(b, LP_le, x, one), near, far);
}

/* What a table's kernel computes once per element. */
typedef struct element {
    lp_value *p, *first, *last,
        *shrink; /* point; first place (i64), last one there is; factor of distances */
    lp_value *o, *taps, *size;
} element;

static lp_value *raw_weight(const resize *d, lp_builder *b, const element *e, lp_value *t) {
    lp_value *at = add(b, e->first, t),
             *w = filter(d, b, mul(b, sub(b, to_f64(b, at), e->p), e->shrink));
    if (!d->exclude_outside) return w;
    lp_value *outside = lp_bin(b, LP_or, lp_bin(b, LP_lt, at, lp_index(b, 0)),
                               lp_bin(b, LP_gt, at, e->last));
    return lp_select(b, outside, f64(b, 0), w);
}

/* Sum of the weights, to divide by; 1 where nothing is to be divided. */
static lp_value *weight_sum(const resize *d, lp_builder *b, const element *e) {
    if (!d->antialias && !d->exclude_outside) return NULL;
    lp_value *zero = f64(b, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), e->taps, lp_index(b, 1), &zero, 1);
    lp_value *next = add(b, l.carried[0], raw_weight(d, b, e, l.counter));
    lp_for_end(b, &l, &next);
    return lp_select(b, lp_bin(b, LP_eq, l.results[0], zero), f64(b, 1), l.results[0]);
}

static lp_value *extrapolated(const resize *d, lp_builder *b, const element *e) {
    if (!is(d->coordinates, "tf_crop_and_resize")) return NULL;
    return lp_bin(b, LP_or, lp_bin(b, LP_lt, e->p, f64(b, 0)),
                  lp_bin(b, LP_gt, e->p, to_f64(b, e->last)));
}

/* Places (and weights) of one element of the result along the axis. */
static void emit_element(const resize *d, cg_kernel *k, const table *t, const element *e) {
    lp_builder *b = &k->b;
    lp_value *places = cg_kernel_out(k, t->place, false), *sum = NULL, *zero = lp_index(b, 0);
    lp_value *outside = extrapolated(d, b, e);
    if (t->weight) sum = weight_sum(d, b, e);
    lp_loop l = lp_for_begin(b, zero, e->taps, lp_index(b, 1), NULL, 0);
    lp_value *at = add(b, mul(b, l.counter, e->size), e->o);
    lp_value *place = clamp_between(b, add(b, e->first, l.counter), zero, e->last);
    if (outside) place = lp_select(b, outside, lp_index(b, -1), place);
    lp_store(b, places, at, place);
    if (t->weight) {
        lp_value *w = raw_weight(d, b, e, l.counter);
        if (sum) w = quotient(b, w, sum);
        lp_store(b, cg_kernel_out(k, t->weight, false), at, lp_cast(b, w, d->compute));
    }
    lp_for_end(b, &l, NULL);
}

static const cg_view *make_view(cg *g, ir_dtype t, int32_t rank, const ir_dim *const *dims) {
    const ir_dim *bytes = ir_dim_mul(g->c, cg_dims_product(g, dims, rank),
                                     cg_dc(g, ir_dtype_bits(t) / 8));
    return cg_view_dense(g, cg_buffer_create(g, bytes), ir_type_tensor(g->c, t, rank, dims));
}

static void make_table(resize *d, int32_t axis) {
    cg *g = d->g;
    table *t = &d->tables[axis];
    const ir_dim *out = d->r.out[axis], *dims[2] = {d->taps[axis], out};
    bool weighted = ir_resize_support(d->node) > 0;
    t->taps = dims[0];
    t->place = make_view(g, DT_i64, 2, dims);
    if (weighted) t->weight = make_view(g, d->compute, 2, dims);
    cg_kernel k = cg_kernel_begin(g, d->node, out);
    lp_builder *b = &k.b;
    lp_loop l = lp_for_begin(b, k.begin, k.end, lp_index(b, 1), NULL, 0);
    element e = {.o = l.counter, .p = point(d, &k, axis, l.counter)};
    e.taps = cg_kernel_dim(&k, t->taps);
    e.size = cg_kernel_dim(&k, out);
    e.last = sub(b, cg_kernel_dim(&k, d->r.in[axis]), lp_index(b, 1));
    e.shrink = d->antialias ? least(b, scale_of(d, &k, axis), f64(b, 1)) : f64(b, 1);
    lp_value *half = lp_bin(b, LP_div, e.taps, lp_index(b, 2));
    e.first = weighted ? sub(b, to_i64(b, lp_un(b, LP_ceil, e.p)), half)
                       : to_i64(b, nearest(d, b, e.p));
    emit_element(d, &k, t, &e);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&k, "Resize table");
}

/* ---- nearest ------------------------------------------------------------------------------------------------------- */

static lp_value *table_place(cg_nest *s, const table *t, unsigned lanes, lp_value *at) {
    return lp_load(&s->k->b, lp_vec(DT_i64, lanes), cg_kernel_in(s->k, t->place, false), at);
}

static lp_value *extrapolation(const resize *d, lp_builder *b, unsigned lanes) {
    double v = ir_attr_float(d->node, "extrapolation_value", 0);
    return ir_dtype_is_float(d->compute) ? lp_const_f(b, lp_vec(d->compute, lanes), v)
                                         : lp_const_i(b, lp_vec(d->compute, lanes), (int64_t)v);
}

/* What is outside of the region is a number. */
static void refuse_outside(cg_nest *s, lp_value *outside) {
    const resize *d = s->data;
    lp_builder *b = &s->k->b;
    lp_value *zero = lp_index(b, 0);
    int64_t failure = cg_failure(d->g, "strings cannot be extrapolated");
    lp_loop l = lp_if_begin(b, outside, NULL, 0);
    lp_call(b, "tlbc_rt_fail", lp_scalar(LP_VOID),
            (lp_value *[]){cg_kernel_frame(s->k), lp_index(b, failure), zero, zero}, 4);
    lp_if_end(b, &l, NULL);
}

static void pick_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const resize *d = s->data;
    lp_builder *b = &s->k->b;
    int32_t last = s->rank - 1;
    lp_value *at = lp_index(b, 0), *outside = NULL, *places = NULL, *zero = lp_index(b, 0);
    for (int32_t i = 0; i < s->rank; i++) {
        const table *t = &d->tables[i];
        bool lane = i == last && lanes > 1;
        lp_value *place = s->index[i];
        if (t->place) {
            place = table_place(s, t, lane ? lanes : 1, place);
            lp_value *none = lp_bin(b, LP_lt, place, lane ? lp_broadcast(b, zero, lanes) : zero);
            if (!lane) none = lp_broadcast(b, none, lanes);
            outside = outside ? lp_bin(b, LP_or, outside, none) : none;
            place = lp_bin(b, LP_max, place, lane ? lp_broadcast(b, zero, lanes) : zero);
            if (lane) places = place;
        }
        lp_value *step = cg_kernel_dim(s->k, d->x->strides[i]);
        if (places)
            places = mul(b, places, lp_broadcast(b, step, lanes));
        else
            at = add(b, at, mul(b, place, step));
    }
    lp_value *px = cg_kernel_in(s->k, d->x, false);
    if (places) {
        places = add(b, places, lp_broadcast(b, at, lanes));
        out[0] = lp_cast(b, lp_gather(b, lp_vec(d->x->dtype, lanes), px, places), d->compute);
    } else {
        lp_value *step = cg_kernel_dim(s->k, d->x->strides[last]);
        out[0] = cg_load(b, d->x->dtype, lanes, px, at, step);
    }
    if (!outside || !is(d->coordinates, "tf_crop_and_resize")) return;
    if (d->compute == DT_str)
        refuse_outside(s, outside);
    else
        out[0] = lp_select(b, outside, extrapolation(d, b, lanes), out[0]);
}

/* ---- linear and cubic ------------------------------------------------------------------------------------------------ */

typedef struct pass {
    const resize *d;
    const cg_view *x;
    int32_t axis;
    bool rounds; /* to whole numbers */
} pass;

/* sum + weight * element of tap t, for the axis that vectors run along or another one. */
static lp_value *add_tap(cg_nest *s, unsigned lanes, lp_value *base, lp_value *t, lp_value *sum) {
    const pass *p = s->data;
    const table *tab = &p->d->tables[p->axis];
    lp_builder *b = &s->k->b;
    int32_t last = s->rank - 1;
    lp_value *size = cg_kernel_dim(s->k, p->d->r.out[p->axis]),
             *at = add(b, mul(b, t, size), s->index[p->axis]), *zero = lp_index(b, 0),
             *px = cg_kernel_in(s->k, p->x, false), *pw = cg_kernel_in(s->k, tab->weight, false),
             *step = cg_kernel_dim(s->k, p->x->strides[p->axis]), *v, *w;
    if (p->axis == last && lanes > 1) {
        lp_value *places = lp_bin(b, LP_max, table_place(s, tab, lanes, at),
                                  lp_broadcast(b, zero, lanes));
        places = add(b, mul(b, places, lp_broadcast(b, step, lanes)), lp_broadcast(b, base, lanes));
        v = lp_cast(b, lp_gather(b, lp_vec(p->x->dtype, lanes), px, places), p->d->compute);
        w = lp_load(b, lp_vec(p->d->compute, lanes), pw, at);
    } else {
        lp_value *place = lp_bin(b, LP_max, table_place(s, tab, 1, at), zero);
        v = cg_load(b, p->x->dtype, lanes, px, add(b, base, mul(b, place, step)),
                    cg_kernel_dim(s->k, p->x->strides[last]));
        v = lp_cast(b, v, p->d->compute);
        w = lp_broadcast(b, lp_load(b, lp_scalar(p->d->compute), pw, at), lanes);
    }
    return lp_fma(b, v, w, sum);
}

static lp_value *sum_taps(cg_nest *s, unsigned lanes, lp_value *base) {
    const pass *p = s->data;
    lp_builder *b = &s->k->b;
    const ir_dim *taps = p->d->tables[p->axis].taps;
    lp_value *sum = lp_const_f(b, lp_vec(p->d->compute, lanes), 0);
    int64_t count;
    if (ir_dim_is_const(taps, &count) && count <= MAX_UNROLL) {
        for (int64_t t = 0; t < count; t++)
            sum = add_tap(s, lanes, base, lp_index(b, t), sum);
        return sum;
    }
    lp_loop l = lp_for_begin(b, lp_index(b, 0), cg_kernel_dim(s->k, taps), lp_index(b, 1), &sum, 1);
    lp_value *next = add_tap(s, lanes, base, l.counter, l.carried[0]);
    lp_for_end(b, &l, &next);
    return l.results[0];
}

static void pass_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    const pass *p = s->data;
    const table *t = &p->d->tables[p->axis];
    lp_builder *b = &s->k->b;
    lp_value *base = lp_index(b, 0);
    for (int32_t i = 0; i < s->rank; i++)
        if (i != p->axis)
            base = add(b, base, mul(b, s->index[i], cg_kernel_dim(s->k, p->x->strides[i])));
    lp_value *sum = sum_taps(s, lanes, base);
    if (is(p->d->coordinates, "tf_crop_and_resize")) {
        bool lane = p->axis == s->rank - 1 && lanes > 1;
        lp_value *place = table_place(s, t, lane ? lanes : 1, s->index[p->axis]),
                 *none = lp_bin(b, LP_lt, place, lp_broadcast(b, lp_index(b, 0), lane ? lanes : 1));
        if (!lane) none = lp_broadcast(b, none, lanes);
        sum = lp_select(b, none, extrapolation(p->d, b, lanes), sum);
    }
    out[0] = p->rounds ? lp_un(b, LP_rint, sum) : sum;
}

/* ---- the node ------------------------------------------------------------------------------------------------------- */

static void run_nest(const resize *d, const cg_view *y, cg_nest_fn *fn, void *data,
                     const char *summary) {
    cg *g = d->g;
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){.g = g,
                   .node = d->node,
                   .rank = y->rank,
                   .fn = fn,
                   .data = data,
                   .summary = summary,
                   .needs_index = true};
    memcpy(s->dims, y->dims, (size_t)y->rank * sizeof *y->dims);
    s->out[s->n_out++] = y;
    s->required = cg_dims_product(g, d->x->dims, d->x->rank);
    s->failure = cg_failure(g, "input 0: there is no element to take");
    cg_nest_run(s);
}

static void run_passes(resize *d, const cg_view *y) {
    const cg_view *from = d->x;
    const ir_dim *dims[IR_MAX_RANK];
    int32_t first = 0;
    while (!d->r.resized[first])
        first++;
    memcpy(dims, d->r.in, sizeof dims);
    for (int32_t axis = d->r.rank - 1; axis >= first; axis--) {
        if (!d->r.resized[axis]) continue;
        dims[axis] = d->r.out[axis];
        const cg_view *to = axis == first ? y : make_view(d->g, d->compute, d->r.rank, dims);
        pass *p = TL_NEW(d->g->arena, pass);
        *p = (pass){d, from, axis, axis == first && !ir_dtype_is_float(y->dtype)};
        run_nest(d, to, pass_point, p, "Resize pass");
        from = to;
    }
}

static double *read_list(cg *g, const ir_value *v, int32_t *count) {
    const ir_tensor *t = v ? v->tensor : NULL;
    *count = t ? (int32_t)ir_tensor_elements(t) : 0;
    double *list = t ? TL_NEW_ARRAY(g->arena, double, *count + 1) : NULL;
    for (int32_t i = 0; i < *count; i++)
        list[i] = ir_tensor_get_f64(t, (size_t)i);
    return list;
}

/* Contents of the operands; false where they are not known. */
static bool read_lists(resize *d, ir_resize_lists *lists, const ir_dim **sizes) {
    const ir_node *n = d->node;
    const ir_value *scales = ir_in(n, 2);
    int32_t n_roi;
    *lists = (ir_resize_lists){.roi = read_list(d->g, ir_in(n, 1), &n_roi), .sizes = sizes};
    lists->scales = read_list(d->g, scales, &lists->n_scales);
    if (n_roi != 2 * d->x->rank) lists->roi = NULL;
    if (d->scales) {
        uint32_t n_axes = (uint32_t)d->x->rank;
        ir_attr_ints(n, "axes", &n_axes);
        lists->n_scales = n_axes ? (int32_t)n_axes : d->x->rank;
        lists->scaled = n->out[0].type->dims;
        return true;
    }
    bool by_scales = scales && !ir_dim_is(scales->type->dims[0], 0);
    if (by_scales) return lists->scales;
    lists->n_sizes = ir_value_known_dims(d->g->c, ir_in(n, 3), sizes, IR_MAX_RANK);
    return lists->n_sizes >= 0;
}

static bool set_geometry(resize *d) {
    cg *g = d->g;
    ir_resize_lists lists;
    const ir_dim *sizes[IR_MAX_RANK];
    bool by_data = cg_shape_operands(d->node);
    if (by_data && !ir_in(d->node, 2)) /* the importer has put sizes into symbols */
        return cg_unsupported(g, d->node, "sizes that depend on data");
    if (by_data) d->scales = cg_read(g, ir_in(d->node, 2));
    if (!read_lists(d, &lists, sizes))
        return cg_unsupported(g, d->node, "scales that depend on data");
    const char *problem = ir_resize_init(&d->r, g->c, d->node, d->x->rank, d->x->dims, &lists);
    for (int32_t i = 0; !problem && i < d->r.rank; i++)
        d->taps[i] = d->scales && d->antialias ? cg_number(g, (uint32_t)(d->r.rank + i))
                                               : ir_resize_taps(&d->r, g->c, d->node, i);
    return !problem || cg_unsupported(g, d->node, "%s", problem);
}

/* From here on channels are the last axis, along which vectors run. */
static const cg_view *turn_axes(resize *d, const cg_view *y) {
    int32_t last = d->r.rank - 1;
    ir_resize r = d->r;
    table channels = d->tables[1];
    for (int32_t i = 1; i <= last; i++) {
        int32_t from = i == last ? 1 : i + 1;
        d->r.in[i] = r.in[from];
        d->r.out[i] = r.out[from];
        d->r.resized[i] = r.resized[from];
        d->tables[i] = i == last ? channels : d->tables[from];
    }
    d->x = cg_to_last(d->g, d->x);
    return cg_to_last(d->g, y);
}

bool lower_resize(cg *g, ir_node *n) {
    if (ir_dtype_get_class(n->out[0].type->dtype) == DTYPE_COMPLEX) return lower_decompose(g, n);
    resize *d = TL_NEW(g->arena, resize);
    *d = (resize){.g = g,
                  .node = n,
                  .x = cg_read(g, ir_in(n, 0)),
                  .mode = ir_attr_string(n, "mode", "nearest"),
                  .coordinates = ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                  .antialias = ir_attr_int(n, "antialias", 0),
                  .exclude_outside = ir_attr_int(n, "exclude_outside", 0)};
    if (!set_geometry(d)) return false;
    bool chosen = is(d->mode, "nearest"), any = false;
    d->compute = ir_dtype_compute(d->x->dtype);
    if (!chosen && !ir_dtype_is_float(d->compute))
        d->compute = DT_f64; /* halves are rounded to even */
    if (is(d->coordinates, "tf_crop_and_resize") && ir_in(n, 1) && !ir_in(n, 1)->tensor)
        d->roi = cg_read(g, ir_in(n, 1));
    const cg_view *y = cg_write_like(g, &n->out[0], d->x);
    for (int32_t i = 0; i < d->r.rank; i++) {
        if (d->r.resized[i]) make_table(d, i);
        any = any || d->r.resized[i];
    }
    if (cg_is_last(d->x) && cg_is_last(y)) y = turn_axes(d, y);
    if (!any)
        cg_copy(g, d->x, y);
    else if (chosen)
        run_nest(d, y, pick_point, d, "Resize");
    else
        run_passes(d, y);
    return true;
}
