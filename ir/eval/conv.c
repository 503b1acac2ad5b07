/* Convolution by its definition: for every output element the sum over channels and taps, in double.
 *
 *   y[n,m,o] = bias[m] + sum over c, t of x[n, group(m)*C/group + c, o*stride + t*dilation - before] * w[m,c,t] */
#include "ir/eval/window.h"

typedef struct conv {
    ev_window w;
    int64_t channels, groups, features; /* of the kernel (per group), and M */
    const double *x, *kernel, *bias;
} conv;

static double element(const conv *k, int64_t sample, int64_t feature, const int64_t *at) {
    int64_t plane = ev_count(&k->w.in), taps = ev_count(&k->w.kernel),
            first = feature / (k->features / k->groups) * k->channels;
    double sum = 0;
    for (int64_t c = 0; c < k->channels; c++) {
        int64_t tap[IR_MAX_RANK] = {0},
                from = (sample * k->channels * k->groups + first + c) * plane;
        const double *w = k->kernel + (feature * k->channels + c) * taps;
        for (int64_t t = 0; t < taps; t++, ev_next(&k->w.kernel, tap)) {
            int64_t p = ev_window_source(&k->w, at, tap);
            if (p >= 0) sum += k->x[from + p] * w[t];
        }
    }
    return sum + (k->bias ? k->bias[feature] : 0);
}

static bool check_shapes(ir_eval *e, const ir_node *n, conv *k, const ev_shape *x,
                         const ev_shape *w, const ir_tensor *bias) {
    k->groups = ir_attr_int(n, "group", 1);
    bool fits = x->rank >= 3 && w->rank == x->rank && k->groups > 0;
    if (fits) {
        k->features = w->dims[0], k->channels = w->dims[1];
        fits = k->features % k->groups == 0 && x->dims[1] / k->groups == k->channels &&
               x->dims[1] % k->groups == 0;
    }
    ev_shape b = bias ? ev_shape_of(bias) : (ev_shape){1, {k->features}};
    if (fits && b.rank == 1 && b.dims[0] == k->features) return true;
    return ev_error(e, n, "%s by %s in %lld groups, bias %s", ev_shape_text(e, x),
                    ev_shape_text(e, w), (long long)k->groups, ev_shape_text(e, &b));
}

bool eval_conv(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1), *b = ev_tensor(n, in, 2);
    if (!x || !w) return false;
    ev_shape sx = ev_shape_of(x), sw = ev_shape_of(w);
    conv k = {0};
    if (!check_shapes(e, n, &k, &sx, &sw, b)) return false;
    ev_shape taps = {sw.rank - 2, {0}};
    memcpy(taps.dims, sw.dims + 2, (size_t)taps.rank * sizeof *taps.dims);
    if (!ev_window_init(e, n, &k.w, &sx, &taps)) return false;
    ev_shape s = ev_window_result(&k.w, &sx, k.features);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    k.x = ev_f64s(e, x), k.kernel = ev_f64s(e, w), k.bias = b ? ev_f64s(e, b) : NULL;
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_f64(y, (size_t)i, element(&k, at[0], at[1], at + 2));
    out[0].tensor = y;
    return true;
}

/* ---- ConvPacked ------------------------------------------------------------------------------------------------------ */

/* Rows of a few features of a group side by side, [rows of all groups, taps, channels, features of a row], as w[m,c,t]. */
static const double *unpack_rows(ir_eval *e, const conv *k, const ir_tensor *packed) {
    ev_shape s = ev_shape_of(packed);
    int64_t taps = ev_count(&k->w.kernel), rows = s.dims[0] / k->groups,
            width = s.dims[1] / (taps * k->channels), per_group = k->features / k->groups;
    double *w = TL_NEW_ARRAY(e->arena, double, k->features * k->channels * taps + 1);
    for (int64_t m = 0; m < k->features; m++) {
        int64_t at = m % per_group, row = m / per_group * rows + at / width;
        for (int64_t i = 0; i < k->channels * taps; i++) {
            int64_t c = i / taps, t = i % taps;
            size_t from = (size_t)(((row * taps + t) * k->channels + c) * width + at % width);
            w[m * k->channels * taps + i] = ir_tensor_get_f64(packed, from);
        }
    }
    return w;
}

/* One channel per group: all features side by side, [1, taps, M], as w[m,0,t]. */
static bool is_side_by_side(const conv *k, const ev_shape *packed) {
    return packed->dims[0] == 1 && k->groups > 1;
}

static const double *unpack(ir_eval *e, const conv *k, const ir_tensor *packed) {
    ev_shape s = ev_shape_of(packed);
    if (!is_side_by_side(k, &s)) return unpack_rows(e, k, packed);
    int64_t taps = ev_count(&k->w.kernel);
    double *w = TL_NEW_ARRAY(e->arena, double, k->features *taps + 1);
    for (int64_t m = 0; m < k->features; m++)
        for (int64_t t = 0; t < taps; t++)
            w[m * taps + t] = ir_tensor_get_f64(packed, (size_t)(t * k->features + m));
    return w;
}

static bool packed_fits(const conv *k, const ev_shape *x, const ev_shape *w) {
    if (k->groups < 1 || k->features < 1 || k->features % k->groups || x->dims[1] % k->groups)
        return false;
    int64_t depth = k->channels * ev_count(&k->w.kernel), per_group = k->features / k->groups;
    if (depth < 1) return false;
    if (w->rank != 2 || (is_side_by_side(k, w) && k->channels == 1))
        return ev_count(w) == k->features * depth;
    return w->dims[1] > 0 && w->dims[1] % depth == 0 && w->dims[0] % k->groups == 0 &&
           w->dims[0] / k->groups * (w->dims[1] / depth) >= per_group;
}

bool eval_conv_packed(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1);
    if (!x || !w) return false;
    ev_shape sx = ev_shape_of(x), sw = ev_shape_of(w);
    conv k = {.groups = ir_attr_int(n, "group", 1), .features = ir_attr_int(n, "features", 0)};
    if (sx.rank < 3) return ev_error(e, n, "rank is %d, expected 3 or more", sx.rank);
    if (!ev_window_init(e, n, &k.w, &sx, NULL)) return false;
    k.channels = k.groups > 0 ? sx.dims[1] / k.groups : 0;
    if (!packed_fits(&k, &sx, &sw))
        return ev_error(e, n, "%s by %s", ev_shape_text(e, &sx), ev_shape_text(e, &sw));
    ev_shape s = ev_window_result(&k.w, &sx, k.features);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    k.x = ev_f64s(e, x), k.kernel = sw.rank == 2 ? unpack(e, &k, w) : ev_f64s(e, w);
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_f64(y, (size_t)i, element(&k, at[0], at[1], at + 2));
    return ev_epilogue(e, n, in, y, out);
}
