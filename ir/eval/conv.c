/* Convolution by its definition: for every output element the sum over channels and taps, in double.
 *
 *   y[n,m,o] = bias[m] + sum over c, t of x[n, group(m)*C/group + c, o*stride + t*dilation - before] * w[m,c,t] */
#include "ir/eval/eval_internal.h"
#include "ir/window.h"

typedef struct conv {
    int32_t axes;
    int64_t stride[IR_MAX_RANK], dilation[IR_MAX_RANK], before[IR_MAX_RANK];
    ev_shape in, kernel, out;           /* spatial sizes */
    int64_t in_strides[IR_MAX_RANK];    /* of the spatial axes of x */
    int64_t channels, groups, features; /* of w (per group), and M */
    const double *x, *w, *bias;
} conv;

/* Position in x's plane that a tap reads, or -1 in the padding. */
static int64_t source(const conv *k, const int64_t *at, const int64_t *tap) {
    int64_t sum = 0;
    for (int32_t i = 0; i < k->axes; i++) {
        int64_t p = at[i] * k->stride[i] + tap[i] * k->dilation[i] - k->before[i];
        if (p < 0 || p >= k->in.dims[i]) return -1;
        sum += p * k->in_strides[i];
    }
    return sum;
}

static double element(const conv *k, int64_t sample, int64_t feature, const int64_t *at) {
    int64_t plane = ev_count(&k->in), taps = ev_count(&k->kernel),
            first = feature / (k->features / k->groups) * k->channels;
    double sum = 0;
    for (int64_t c = 0; c < k->channels; c++) {
        int64_t tap[IR_MAX_RANK] = {0},
                from = (sample * k->channels * k->groups + first + c) * plane;
        const double *w = k->w + (feature * k->channels + c) * taps;
        for (int64_t t = 0; t < taps; t++, ev_next(&k->kernel, tap)) {
            int64_t p = source(k, at, tap);
            if (p >= 0) sum += k->x[from + p] * w[t];
        }
    }
    return sum + (k->bias ? k->bias[feature] : 0);
}

static void spatial_dims(ir_ctx *c, const ev_shape *s, ev_shape *out, const ir_dim **dims) {
    out->rank = s->rank - 2;
    for (int32_t i = 0; i < out->rank; i++) {
        out->dims[i] = s->dims[2 + i];
        dims[i] = ir_dim_const(c, s->dims[2 + i]);
    }
}

static bool set_window(ir_eval *e, const ir_node *n, conv *k, const ev_shape *x,
                       const ev_shape *w) {
    const ir_dim *size[IR_MAX_RANK], *kernel[IR_MAX_RANK];
    ir_window window;
    spatial_dims(e->ctx, x, &k->in, size);
    spatial_dims(e->ctx, w, &k->kernel, kernel);
    const char *problem = ir_window_init(&window, e->ctx, n, k->in.rank, size, kernel);
    if (problem) return ev_error(e, n, "%s", problem);
    k->axes = k->out.rank = k->in.rank;
    for (int32_t i = 0; i < k->axes; i++) {
        k->stride[i] = window.stride[i], k->dilation[i] = window.dilation[i];
        if (!ir_dim_is_const(window.before[i], &k->before[i]) ||
            !ir_dim_is_const(window.out[i], &k->out.dims[i]))
            return ev_error(e, n, "sizes overflow");
    }
    ev_strides(&k->in, k->in_strides);
    return true;
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
    if (!check_shapes(e, n, &k, &sx, &sw, b) || !set_window(e, n, &k, &sx, &sw)) return false;
    ev_shape s = {k.axes + 2, {sx.dims[0], k.features}};
    for (int32_t i = 0; i < k.axes; i++)
        s.dims[2 + i] = k.out.dims[i];
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    k.x = ev_f64s(e, x), k.w = ev_f64s(e, w), k.bias = b ? ev_f64s(e, b) : NULL;
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_f64(y, (size_t)i, element(&k, at[0], at[1], at + 2));
    out[0].tensor = y;
    return true;
}
