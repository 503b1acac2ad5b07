/* Resize by its definition: one axis after the other, in double.
 *
 *   y[.., o, ..] = sum over taps t of weight(o, t) * x[.., first(o) + t, ..]
 *
 * Elements beyond the ends are those at the ends. Integers are rounded half to even and saturate. */
#include "ir/resize.h"
#include "ir/eval/eval_internal.h"

#include <math.h>

typedef struct resize {
    const ir_node *node;
    ir_resize r;
    int64_t in[IR_MAX_RANK], out[IR_MAX_RANK];
    double scale[IR_MAX_RANK];
    const double *roi; /* NULL: all of every axis */
    const char *mode, *coordinates;
    bool antialias, exclude_outside;
} resize;

/* ---- one axis --------------------------------------------------------------------------------------------------- */

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

/* The point of the operand that output element o stands for. */
static double source(const resize *k, int32_t axis, int64_t o) {
    double scale = k->scale[axis], in = (double)k->in[axis], out = scale * in, at = (double)o;
    if (is(k->coordinates, "asymmetric")) return at / scale;
    if (is(k->coordinates, "align_corners")) return out == 1 ? 0 : at * (in - 1) / (out - 1);
    if (is(k->coordinates, "pytorch_half_pixel") && out == 1) return -0.5;
    if (is(k->coordinates, "tf_crop_and_resize")) {
        int32_t place = k->r.place[axis];
        double from = k->roi && place >= 0 ? k->roi[place] : 0,
               to = k->roi && place >= 0 ? k->roi[k->r.n_axes + place] : 1;
        double step = out == 1 ? (to - from) * (in - 1) / 2
                               : at * (to - from) * (in - 1) / (out - 1);
        return step + from * (in - 1);
    }
    double shift = 0;
    if (is(k->coordinates, "half_pixel_symmetric"))
        shift = in / 2 * (1 - (double)k->out[axis] / out);
    return shift + (at + 0.5) / scale - 0.5;
}

/* Convolution kernels of reach 1 and 2. */
static double filter(const resize *k, double x) {
    x = fabs(x);
    if (is(k->mode, "linear")) return x < 1 ? 1 - x : 0;
    double a = ir_attr_float(k->node, "cubic_coeff_a", -0.75f);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double nearest(const resize *k, double x) {
    const char *how = ir_attr_string(k->node, "nearest_mode", "round_prefer_floor");
    if (is(how, "floor")) return floor(x);
    if (is(how, "ceil")) return ceil(x);
    return is(how, "round_prefer_ceil") ? floor(x + 0.5) : ceil(x - 0.5);
}

static int64_t inside(double i, int64_t size) {
    return i<0 ? 0 : i>(double)(size - 1) ? size - 1 : (int64_t)i;
}

static bool is_extrapolated(const resize *k, int32_t axis, double x) {
    return is(k->coordinates, "tf_crop_and_resize") && !(x >= 0 && x <= (double)(k->in[axis] - 1));
}

/* Weights of the elements from *first on, for the point x between the first half of them and the second. */
static void set_weights(const resize *k, int32_t axis, double x, int64_t taps, double *weights,
                        double *first) {
    double scale = k->antialias ? fmin(k->scale[axis], 1) : 1, sum = 0;
    *first = ceil(x) - (double)(taps / 2);
    for (int64_t t = 0; t < taps; t++) {
        double at = *first + (double)t;
        bool outside = at < 0 || at >= (double)k->in[axis];
        weights[t] = k->exclude_outside && outside ? 0 : filter(k, (at - x) * scale);
        sum += weights[t];
    }
    for (int64_t t = 0; (k->antialias || k->exclude_outside) && sum != 0 && t < taps; t++)
        weights[t] /= sum;
}

static bool resize_axis(ir_eval *e, const resize *k, int32_t axis, const ev_shape *from,
                        const double *x, const ev_shape *to, double *y) {
    ev_lanes a = ev_lanes_of(from, axis), b = ev_lanes_of(to, axis);
    int64_t taps;
    if (!ir_dim_is_const(ir_resize_taps(&k->r, e->ctx, k->node, axis), &taps) || taps > 1 << 24)
        return ev_error(e, k->node, "the filter is too wide");
    double *weights = TL_NEW_ARRAY(e->arena, double, taps), first,
           outside = ir_attr_float(k->node, "extrapolation_value", 0);
    for (int64_t o = 0; o < b.n; o++) {
        double p = source(k, axis, o);
        set_weights(k, axis, p, taps, weights, &first);
        for (int64_t i = 0; i < b.outer * b.inner; i++) {
            int64_t line = i / b.inner, column = i % b.inner;
            double sum = 0;
            for (int64_t t = 0; t < taps; t++) {
                int64_t at = inside(first + (double)t, a.n);
                sum += weights[t] * x[(line * a.n + at) * a.inner + column];
            }
            y[(line * b.n + o) * b.inner + column] = is_extrapolated(k, axis, p) ? outside : sum;
        }
    }
    return true;
}

static bool interpolate(ir_eval *e, const resize *k, const ir_tensor *x, ir_tensor *y) {
    ev_shape from = ev_shape_of(x), to = from;
    const double *values = ev_f64s(e, x);
    bool is_float = ir_dtype_is_float(y->type->dtype);
    for (int32_t axis = 0; axis < k->r.rank; axis++) {
        if (!k->r.resized[axis]) continue;
        to.dims[axis] = k->out[axis];
        double *next = TL_NEW_ARRAY(e->arena, double, ev_count(&to) + 1);
        if (!resize_axis(e, k, axis, &from, values, &to, next)) return false;
        values = next;
        from = to;
    }
    for (size_t i = 0; i < ir_tensor_elements(y); i++) {
        if (is_float)
            ir_tensor_set_f64(y, i, values[i]);
        else
            ir_tensor_set_f64(y, i, nearbyint(values[i]));
    }
    return true;
}

/* ---- nearest ----------------------------------------------------------------------------------------------------------- */

/* Each element is one of x: any type. */
static bool pick(ir_eval *e, const resize *k, const ir_tensor *x, ir_tensor *y) {
    ev_shape from = ev_shape_of(x), to = ev_shape_of(y);
    int64_t at[IR_MAX_RANK] = {0}, steps[IR_MAX_RANK], count = ev_count(&to);
    ev_strides(&from, steps);
    for (int64_t i = 0; i < count; i++, ev_next(&to, at)) {
        int64_t p = 0;
        bool outside = false;
        for (int32_t axis = 0; axis < to.rank; axis++) {
            int64_t place = at[axis];
            if (k->r.resized[axis]) {
                double point = source(k, axis, place);
                place = inside(nearest(k, point), k->in[axis]);
                outside |= is_extrapolated(k, axis, point);
            }
            p += place * steps[axis];
        }
        if (outside && x->type->dtype == DT_str)
            return ev_error(e, k->node, "strings cannot be extrapolated");
        if (outside)
            ir_tensor_set_f64(y, (size_t)i, ir_attr_float(k->node, "extrapolation_value", 0));
        else
            ev_copy_run(x->type->dtype, ir_tensor_data(y), i, x->data, p, 1);
    }
    return true;
}

/* ---- the node ------------------------------------------------------------------------------------------------------------ */

static const ir_tensor *list_operand(const ir_node *n, const ir_datum *const *in, uint32_t i) {
    const ir_tensor *t = ev_tensor(n, in, i);
    return t && ir_tensor_elements(t) ? t : NULL;
}

static bool set_scale(ir_eval *e, resize *k, const ev_shape *s) {
    double fit = 0;
    for (int32_t i = 0; i < k->r.rank; i++) {
        int64_t wanted = 0;
        k->in[i] = s->dims[i];
        if (!ir_dim_is_const(k->r.out[i], &k->out[i]) ||
            (!k->r.by_scales && !ir_dim_is_const(k->r.wanted[i], &wanted)))
            return ev_error(e, k->node, "sizes overflow");
        k->scale[i] = k->r.by_scales ? k->r.scale[i] : (double)wanted / (double)k->in[i];
        if (k->r.place[i] < 0) continue;
        bool better = k->r.fit == RESIZE_NOT_LARGER ? k->scale[i] < fit : k->scale[i] > fit;
        if (!fit || better) fit = k->scale[i];
    }
    for (int32_t i = 0; k->r.fit != RESIZE_STRETCH && i < k->r.rank; i++)
        if (k->r.place[i] >= 0) k->scale[i] = fit;
    return true;
}

static bool set_geometry(ir_eval *e, resize *k, const ir_datum *const *in, const ev_shape *s) {
    const ir_node *n = k->node;
    const ir_tensor *roi = list_operand(n, in, 1), *scales = list_operand(n, in, 2),
                    *sizes = list_operand(n, in, 3);
    const ir_dim *dims[IR_MAX_RANK], *wanted[IR_MAX_RANK];
    ir_resize_lists lists = {.sizes = wanted};
    for (int32_t i = 0; i < s->rank; i++)
        dims[i] = ir_dim_const(e->ctx, s->dims[i]);
    if (scales) {
        lists.scales = ev_f64s(e, scales);
        lists.n_scales = (int32_t)ir_tensor_elements(scales);
    }
    if (sizes && ir_tensor_elements(sizes) <= IR_MAX_RANK) {
        lists.n_sizes = (int32_t)ir_tensor_elements(sizes);
        for (int32_t i = 0; i < lists.n_sizes; i++)
            wanted[i] = ir_dim_const(e->ctx, ir_tensor_get_i64(sizes, (size_t)i));
    }
    uint32_t n_axes;
    if (!ir_attr_ints(n, "axes", &n_axes)) n_axes = (uint32_t)s->rank;
    if (roi && ir_tensor_elements(roi) == 2 * (size_t)n_axes) lists.roi = k->roi = ev_f64s(e, roi);
    const char *problem = ir_resize_init(&k->r, e->ctx, n, s->rank, dims, &lists);
    if (problem) return ev_error(e, n, "%s", problem);
    return set_scale(e, k, s);
}

bool eval_resize(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    if (ev_is_complex(x)) return ev_by_parts(e, n, in, out, eval_resize);
    ev_shape from = ev_shape_of(x), to = {from.rank, {0}};
    resize k = {.node = n,
                .mode = ir_attr_string(n, "mode", "nearest"),
                .coordinates = ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                .antialias = ir_attr_int(n, "antialias", 0),
                .exclude_outside = ir_attr_int(n, "exclude_outside", 0)};
    if (!set_geometry(e, &k, in, &from)) return false;
    memcpy(to.dims, k.out, sizeof to.dims);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &to);
    if (!y) return false;
    if (ev_count(&to) && !ev_count(&from)) return ev_error(e, n, "there is no element to take");
    bool chosen = is(k.mode, "nearest");
    if (!chosen && x->type->dtype == DT_str) return ev_error(e, n, "strings have no mean");
    if (ev_count(&to) && !(chosen ? pick(e, &k, x, y) : interpolate(e, &k, x, y))) return false;
    out[0].tensor = y;
    return true;
}
