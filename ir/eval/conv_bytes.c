/* ConvBytes by its definition: the exact sum over taps and channels of bytes times small integers; in the padding x is attribute `pad`.
 *
 *   y[n,o,m] = sum over t, c of x[n, o*stride + t*dilation - before, c] * w[t,c,m]               group 1
 *   y[n,o,c] = sum over t of    x[n, o*stride + t*dilation - before, c] * w[t,c]                 one channel per group */
#include "ir/eval/window.h"

typedef struct conv {
    ev_window w;
    int64_t channels, features, taps;
    const uint8_t *x;
    const ir_tensor *weight;
    bool depthwise;
    int64_t pad;
} conv;

static bool is_packed(const conv *k) {
    return k->weight->type->dtype == DT_i32 || k->weight->type->dtype == DT_i64;
}

/* The weight of a tap and channel for a feature: the matrix [taps*C,M] or [taps,C], or what pack_weights makes of it: panels of quads of
 * bytes (of i16 in i64), quads beginning anew at each tap, or pairs of i16, two taps of a channel. */
static int64_t weight_of(const conv *k, int64_t tap, int64_t c, int64_t m) {
    const ir_type *t = k->weight->type;
    int64_t rows = (k->channels + 3) / 4, panel = 0;
    if (!is_packed(k)) {
        int64_t row = k->depthwise ? tap : tap * k->channels + c;
        return ir_tensor_get_i64(k->weight, (size_t)(row * k->features + m));
    }
    if (k->depthwise) {
        const int16_t *w = k->weight->data;
        return w[(tap / 2 * k->features + m) * 2 + tap % 2];
    }
    ir_dim_is_const(t->dims[2], &panel);
    int64_t quad = (m / panel * k->taps + tap) * rows + c / 4;
    int64_t at = (quad * panel + m % panel) * 4 + c % 4;
    return t->dtype == DT_i64 ? ((const int16_t *)k->weight->data)[at]
                              : ((const int8_t *)k->weight->data)[at];
}

static int64_t element(const conv *k, int64_t sample, int64_t feature, const int64_t *at) {
    int64_t sum = 0, plane = ev_count(&k->w.in), tap[IR_MAX_RANK] = {0};
    int64_t first = k->depthwise ? feature : 0, last = k->depthwise ? feature + 1 : k->channels;
    for (int64_t t = 0; t < k->taps; t++, ev_next(&k->w.kernel, tap)) {
        int64_t p = ev_window_source(&k->w, at, tap);
        for (int64_t c = first; c < last; c++) {
            int64_t x = p < 0 ? k->pad : k->x[(sample * plane + p) * k->channels + c];
            sum += x * weight_of(k, t, c, feature);
        }
    }
    return sum;
}

static bool weight_fits(const conv *k) {
    ev_shape s = ev_shape_of(k->weight);
    bool packed = is_packed(k);
    if (k->features < 1 || k->channels < 1 || k->taps < 1) return false;
    if (k->depthwise)
        return s.rank == 2 && k->features == k->channels && s.dims[1] == k->channels &&
               s.dims[0] == (packed ? (k->taps + 1) / 2 : k->taps);
    if (!packed)
        return s.rank == 2 && s.dims[0] == k->taps * k->channels && s.dims[1] == k->features;
    return s.rank == 3 && s.dims[1] == k->taps * ((k->channels + 3) / 4) &&
           s.dims[0] * s.dims[2] >= k->features;
}

bool eval_conv_bytes(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1);
    if (!x || !w) return false;
    ev_shape sx = ev_shape_of(x), first = sx;
    if (sx.rank < 3) return ev_error(e, n, "rank is %d, expected 3 or more", sx.rank);
    conv k = {.features = ir_attr_int(n, "features", 0),
              .depthwise = ir_attr_int(n, "group", 1) > 1,
              .channels = sx.dims[sx.rank - 1],
              .pad = ir_attr_int(n, "pad", 0),
              .x = x->data,
              .weight = w};
    first.dims[1] = k.channels;
    memcpy(first.dims + 2, sx.dims + 1, (size_t)(sx.rank - 2) * sizeof *first.dims);
    if (!ev_window_init(e, n, &k.w, &first, NULL)) return false;
    k.taps = ev_count(&k.w.kernel);
    if (!weight_fits(&k)) return ev_error(e, n, "weight does not fit");
    ev_shape s = {sx.rank, {sx.dims[0]}};
    memcpy(s.dims + 1, k.w.out.dims, (size_t)k.w.axes * sizeof *s.dims);
    s.dims[s.rank - 1] = k.features;
    ir_tensor *y = ev_alloc(e, n, DT_i32, &s);
    if (!y) return false;
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_i64(y, (size_t)i, element(&k, at[0], at[s.rank - 1], at + 1));
    return ev_epilogue(e, n, in, y, out);
}
