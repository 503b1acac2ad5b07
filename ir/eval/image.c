/* CenterCropPad, Col2Im, LRN, DeformConv, ConvTranspose by their definitions, sums in double. */
#include "ir/eval/window.h"
#include "ir/window.h"

#include <math.h>

/* ---- CenterCropPad -------------------------------------------------------------------------------------------------- */

bool eval_center_crop_pad(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *size = ev_need(e, n, in, 1);
    if (!x || !size) return false;
    size_t count;
    uint32_t n_axes;
    const int64_t *dims = ev_i64s(e, size, &count), *axes = ir_attr_ints(n, "axes", &n_axes);
    ev_shape from = ev_shape_of(x), to = from, common = from;
    int64_t skip[IR_MAX_RANK] = {0}, pad[IR_MAX_RANK] = {0};
    if (count != (axes ? n_axes : (uint32_t)from.rank))
        return ev_error(e, n, "%zu sizes do not fit the axes", count);
    for (size_t i = 0; i < count; i++) {
        int32_t axis = (int32_t)i;
        if (axes && !ev_axis(e, n, axes[i], from.rank, &axis)) return false;
        if (dims[i] < 0) return ev_error(e, n, "a size is %lld", (long long)dims[i]);
        to.dims[axis] = dims[i];
        int64_t more = dims[i] - from.dims[axis];
        common.dims[axis] = more < 0 ? dims[i] : from.dims[axis];
        skip[axis] = more < 0 ? -more / 2 : 0;
        pad[axis] = more > 0 ? more / 2 : 0;
    }
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &to);
    if (!y) return false;
    int64_t xs[IR_MAX_RANK], ys[IR_MAX_RANK];
    ev_strides(&from, xs);
    ev_strides(&to, ys);
    ev_copy_nd(x->type->dtype, &common, ir_tensor_data(y), ev_dot(pad, ys, to.rank), ys, x->data,
               ev_dot(skip, xs, from.rank), xs);
    out[0].tensor = y;
    return true;
}

/* ---- Col2Im ---------------------------------------------------------------------------------------------------------- */

static bool read_sizes(ir_eval *e, const ir_node *n, const ir_tensor *t, ev_shape *s) {
    size_t count;
    const int64_t *dims = ev_i64s(e, t, &count);
    if (count < 1 || count + 2 > IR_MAX_RANK) return ev_error(e, n, "%zu sizes", count);
    s->rank = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (dims[i] < 0) return ev_error(e, n, "a size is %lld", (long long)dims[i]);
        s->dims[i] = dims[i];
    }
    return true;
}

/* Adds tap `tap` of all blocks of one channel to its image. */
static void add_blocks(const ev_window *w, const ir_tensor *x, int64_t x_at, const int64_t *tap,
                       double *image, int64_t *whole) {
    int64_t at[IR_MAX_RANK] = {0}, blocks = ev_count(&w->out);
    for (int64_t b = 0; b < blocks; b++, ev_next(&w->out, at)) {
        int64_t p = ev_window_source(w, at, tap);
        if (p < 0) continue;
        if (image)
            image[p] += ir_tensor_get_f64(x, (size_t)(x_at + b));
        else
            whole[p] = (int64_t)((uint64_t)whole[p] +
                                 (uint64_t)ir_tensor_get_i64(x, (size_t)(x_at + b)));
    }
}

/* Where blocks overlap their sum; of bools whether one is true. */
static void fold_channel(ir_eval *e, const ev_window *w, const ir_tensor *x, int64_t x_at,
                         ir_tensor *y, int64_t y_at) {
    int64_t tap[IR_MAX_RANK] = {0}, taps = ev_count(&w->kernel), size = ev_count(&w->in);
    bool is_float = ir_dtype_is_float(y->type->dtype);
    double *image = is_float ? TL_NEW_ARRAY(e->arena, double, size + 1) : NULL;
    int64_t *whole = is_float ? NULL : TL_NEW_ARRAY(e->arena, int64_t, size + 1);
    for (int64_t t = 0; t < taps; t++, ev_next(&w->kernel, tap))
        add_blocks(w, x, x_at + t * ev_count(&w->out), tap, image, whole);
    for (int64_t i = 0; i < size; i++) {
        if (image)
            ir_tensor_set_f64(y, (size_t)(y_at + i), image[i]);
        else
            ir_tensor_set_i64(y, (size_t)(y_at + i),
                              y->type->dtype == DT_bool ? whole[i] != 0 : whole[i]);
    }
}

bool eval_col2im(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *sizes = ev_need(e, n, in, 1),
                    *block = ev_need(e, n, in, 2);
    ev_shape image, kernel;
    ev_window w;
    if (!x || !sizes || !block || !read_sizes(e, n, sizes, &image) ||
        !read_sizes(e, n, block, &kernel))
        return false;
    if (ev_is_complex(x)) return ev_by_parts(e, n, in, out, eval_col2im);
    ev_shape sx = ev_shape_of(x), padded = {image.rank + 2, {0}};
    memcpy(padded.dims + 2, image.dims, (size_t)image.rank * sizeof *image.dims);
    int64_t taps = ev_count(&kernel);
    ir_dtype t = x->type->dtype;
    bool numeric = ir_dtype_is_float(t) || ir_dtype_is_int(t) || t == DT_bool;
    if (sx.rank != 3 || kernel.rank != image.rank || taps < 1 || sx.dims[1] % taps || !numeric)
        return ev_error(e, n, "%s in blocks %s", ev_shape_text(e, &sx), ev_shape_text(e, &kernel));
    if (!ev_window_init(e, n, &w, &padded, &kernel)) return false;
    if (ev_count(&w.out) != sx.dims[2])
        return ev_error(e, n, "%lld blocks, expected %lld", (long long)sx.dims[2],
                        (long long)ev_count(&w.out));
    padded.dims[0] = sx.dims[0], padded.dims[1] = sx.dims[1] / taps;
    ir_tensor *y = ev_alloc(e, n, t, &padded);
    if (!y) return false;
    for (int64_t i = 0; i < padded.dims[0] * padded.dims[1]; i++)
        fold_channel(e, &w, x, i * taps * sx.dims[2], y, i * ev_count(&image));
    out[0].tensor = y;
    return true;
}

/* ---- LRN ------------------------------------------------------------------------------------------------------------- */

bool eval_lrn(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    int64_t size = ir_attr_int(n, "size", 0), below = (size - 1) / 2, above = size / 2;
    double alpha = ir_attr_float(n, "alpha", 1e-4f), beta = ir_attr_float(n, "beta", 0.75f),
           bias = ir_attr_float(n, "bias", 1);
    if (s.rank < 2 || size < 1)
        return ev_error(e, n, "%lld channels of %s", (long long)size, ev_shape_text(e, &s));
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    const double *values = ev_f64s(e, x);
    ev_lanes k = ev_lanes_of(&s, 1);
    int64_t count = ev_count(&s);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / k.inner % k.n, base = i - c * k.inner;
        double sum = 0;
        for (int64_t j = c < below ? 0 : c - below; j < k.n && j <= c + above; j++)
            sum += values[base + j * k.inner] * values[base + j * k.inner];
        ir_tensor_set_f64(y, (size_t)i, values[i] / pow(bias + alpha / (double)size * sum, beta));
    }
    out[0].tensor = y;
    return true;
}

/* ---- DeformConv ------------------------------------------------------------------------------------------------------ */

typedef struct deform {
    ev_window w;
    int64_t channels, groups, features, offset_groups; /* channels: of the kernel */
    const double *x, *kernel, *bias, *offset, *mask;
} deform;

/* Linear interpolation between the elements around a point; zero outside. */
static double between(const ev_window *w, const double *plane, const double *point) {
    double sum = 0;
    for (int32_t corner = 0; corner < 1 << w->axes; corner++) {
        double weight = 1;
        int64_t at = 0;
        for (int32_t i = 0; i < w->axes && at >= 0; i++) {
            double low = floor(point[i]), place = low + (corner >> i & 1), part = point[i] - low;
            weight *= corner >> i & 1 ? part : 1 - part;
            bool in = place >= 0 && place < (double)w->in.dims[i];
            at = in ? at + (int64_t)place * w->in_strides[i] : -1;
        }
        if (at >= 0) sum += weight * plane[at];
    }
    return sum;
}

/* Channel c of a sample under tap number t of the window at this place, moved by its offset, times its mask. */
static double deformed(const deform *k, int64_t sample, int64_t c, int64_t t, const int64_t *tap,
                       const int64_t *at, int64_t place) {
    const ev_window *w = &k->w;
    int64_t taps = ev_count(&w->kernel), places = ev_count(&w->out), all = k->channels * k->groups,
            group = c / (all / k->offset_groups),
            first = (sample * k->offset_groups + group) * taps + t;
    double point[IR_MAX_RANK];
    for (int32_t i = 0; i < w->axes; i++)
        point[i] = (double)(at[i] * w->stride[i] + tap[i] * w->dilation[i] - w->before[i]) +
                   k->offset[(first * w->axes + i) * places + place];
    double v = between(w, k->x + (sample * all + c) * ev_count(&w->in), point);
    return k->mask ? v * k->mask[first * places + place] : v;
}

static double deform_element(const deform *k, int64_t sample, int64_t feature, const int64_t *at,
                             int64_t place) {
    int64_t taps = ev_count(&k->w.kernel),
            first = feature / (k->features / k->groups) * k->channels;
    double sum = k->bias ? k->bias[feature] : 0;
    for (int64_t c = 0; c < k->channels; c++) {
        int64_t tap[IR_MAX_RANK] = {0};
        for (int64_t t = 0; t < taps; t++, ev_next(&k->w.kernel, tap))
            sum += k->kernel[(feature * k->channels + c) * taps + t] *
                   deformed(k, sample, first + c, t, tap, at, place);
    }
    return sum;
}

static bool deform_fits(ir_eval *e, const ir_node *n, deform *k, const ev_shape *x,
                        const ev_shape *w, const ev_shape *offset, const ir_tensor *mask,
                        const ir_tensor *bias) {
    ev_shape taps = {w->rank - 2, {0}};
    k->groups = ir_attr_int(n, "group", 1), k->offset_groups = ir_attr_int(n, "offset_group", 1);
    k->features = w->rank > 0 ? w->dims[0] : 0, k->channels = w->rank > 1 ? w->dims[1] : 0;
    bool fits = x->rank >= 3 && w->rank == x->rank && offset->rank == x->rank && k->groups > 0 &&
                k->offset_groups > 0 && k->features % k->groups == 0 &&
                x->dims[1] == k->channels * k->groups && x->dims[1] % k->offset_groups == 0 &&
                (!bias || ir_tensor_elements(bias) == (size_t)k->features);
    if (fits) {
        memcpy(taps.dims, w->dims + 2, (size_t)taps.rank * sizeof *taps.dims);
        if (!ev_window_init(e, n, &k->w, x, &taps)) return false;
        ev_shape wanted = ev_window_result(&k->w, x,
                                           k->offset_groups * ev_count(&taps) * k->w.axes);
        fits = ev_shape_equal(&wanted, offset);
        wanted.dims[1] = k->offset_groups * ev_count(&taps);
        ev_shape given = mask ? ev_shape_of(mask) : wanted;
        fits = fits && ev_shape_equal(&wanted, &given);
    }
    return fits || ev_error(e, n, "%s by %s, offsets %s", ev_shape_text(e, x), ev_shape_text(e, w),
                            ev_shape_text(e, offset));
}

bool eval_deform_conv(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1),
                    *offset = ev_need(e, n, in, 2), *bias = ev_tensor(n, in, 3),
                    *mask = ev_tensor(n, in, 4);
    deform k = {0};
    if (!x || !w || !offset) return false;
    ev_shape sx = ev_shape_of(x), sw = ev_shape_of(w), so = ev_shape_of(offset);
    if (!deform_fits(e, n, &k, &sx, &sw, &so, mask, bias)) return false;
    ev_shape s = ev_window_result(&k.w, &sx, k.features);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    k.x = ev_f64s(e, x), k.kernel = ev_f64s(e, w), k.offset = ev_f64s(e, offset);
    k.bias = bias ? ev_f64s(e, bias) : NULL, k.mask = mask ? ev_f64s(e, mask) : NULL;
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s), places = ev_count(&k.w.out);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_f64(y, (size_t)i, deform_element(&k, at[0], at[1], at + 2, i % places));
    out[0].tensor = y;
    return true;
}

/* ---- ConvTranspose --------------------------------------------------------------------------------------------------- */

typedef struct transposed {
    int32_t axes;
    int64_t stride[IR_MAX_RANK], dilation[IR_MAX_RANK], before[IR_MAX_RANK];
    ev_shape in, kernel, out;
    int64_t in_strides[IR_MAX_RANK];
    int64_t channels, groups, features; /* x's; features: per group */
    const double *x, *w, *bias;
} transposed;

/* Position in x's plane of the element that tap `tap` spreads to `at`; -1 where there is none. */
static int64_t spread_from(const transposed *k, const int64_t *at, const int64_t *tap) {
    int64_t sum = 0;
    for (int32_t i = 0; i < k->axes; i++) {
        int64_t p = at[i] + k->before[i] - tap[i] * k->dilation[i];
        if (p < 0 || p % k->stride[i] || p / k->stride[i] >= k->in.dims[i]) return -1;
        sum += p / k->stride[i] * k->in_strides[i];
    }
    return sum;
}

static double transposed_element(const transposed *k, int64_t sample, int64_t feature,
                                 const int64_t *at) {
    int64_t per_group = k->channels / k->groups, group = feature / k->features,
            plane = ev_count(&k->in), taps = ev_count(&k->kernel), tap[IR_MAX_RANK] = {0};
    double sum = k->bias ? k->bias[feature] : 0;
    for (int64_t t = 0; t < taps; t++, ev_next(&k->kernel, tap)) {
        int64_t p = spread_from(k, at, tap);
        for (int64_t c = 0; p >= 0 && c < per_group; c++) {
            int64_t channel = group * per_group + c,
                    w_at = (channel * k->features + feature % k->features) * taps + t;
            sum += k->x[(sample * k->channels + channel) * plane + p] * k->w[w_at];
        }
    }
    return sum;
}

static bool set_transposed(ir_eval *e, const ir_node *n, transposed *k, const ev_shape *x,
                           const ev_shape *w) {
    const ir_dim *size[IR_MAX_RANK], *kernel[IR_MAX_RANK];
    ir_window window;
    k->axes = k->in.rank = k->kernel.rank = k->out.rank = x->rank - 2;
    for (int32_t i = 0; i < k->axes; i++) {
        size[i] = ir_dim_const(e->ctx, k->in.dims[i] = x->dims[2 + i]);
        kernel[i] = ir_dim_const(e->ctx, k->kernel.dims[i] = w->dims[2 + i]);
    }
    const char *problem = ir_window_init_transposed(&window, e->ctx, n, k->axes, size, kernel);
    if (problem) return ev_error(e, n, "%s", problem);
    for (int32_t i = 0; i < k->axes; i++) {
        k->stride[i] = window.stride[i], k->dilation[i] = window.dilation[i];
        if (!ir_dim_is_const(window.before[i], &k->before[i]) ||
            !ir_dim_is_const(window.out[i], &k->out.dims[i]))
            return ev_error(e, n, "sizes overflow");
    }
    ev_strides(&k->in, k->in_strides);
    return true;
}

bool eval_conv_transpose(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1), *b = ev_tensor(n, in, 2);
    if (!x || !w) return false;
    ev_shape sx = ev_shape_of(x), sw = ev_shape_of(w);
    transposed k = {.groups = ir_attr_int(n, "group", 1)};
    bool fits = sx.rank >= 3 && sw.rank == sx.rank && k.groups > 0 && sx.dims[1] == sw.dims[0] &&
                sx.dims[1] % k.groups == 0;
    if (fits) {
        k.channels = sx.dims[1], k.features = sw.dims[1];
        fits = !b || ir_tensor_elements(b) == (size_t)(k.features * k.groups);
    }
    if (!fits)
        return ev_error(e, n, "%s by %s in %lld groups", ev_shape_text(e, &sx),
                        ev_shape_text(e, &sw), (long long)k.groups);
    if (!set_transposed(e, n, &k, &sx, &sw)) return false;
    ev_shape s = {sx.rank, {sx.dims[0], k.features * k.groups}};
    memcpy(s.dims + 2, k.out.dims, (size_t)k.axes * sizeof *s.dims);
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    k.x = ev_f64s(e, x), k.w = ev_f64s(e, w), k.bias = b ? ev_f64s(e, b) : NULL;
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at))
        ir_tensor_set_f64(y, (size_t)i, transposed_element(&k, at[0], at[1], at + 2));
    out[0].tensor = y;
    return true;
}
