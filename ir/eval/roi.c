/* Pooling over regions of interest, in double: MaxRoiPool takes whole elements, RoiAlign samples between them. */
#include "ir/eval/eval_internal.h"

#include <math.h>

static double clamp(double v, double low, double high) {
    return v > low ? (v < high ? v : high) : low; /* NaN: low */
}

/* The plane of a channel of the sample the region names; NULL after reporting. */
static const double *region_plane(ir_eval *e, const ir_node *n, const double *x, const ev_shape *s,
                                  double sample, int64_t channel) {
    if (!(sample >= 0 && sample < (double)s->dims[0])) {
        ev_error(e, n, "a region names sample %g of %lld", sample, (long long)s->dims[0]);
        return NULL;
    }
    return x + ((int64_t)sample * s->dims[1] + channel) * s->dims[2] * s->dims[3];
}

/* ---- MaxRoiPool -------------------------------------------------------------------------------------------------------- */

/* Elements [from, to) of an axis that belong to bin i of `bins` in a region that goes from element first to last. */
static void bin_range(double first, double last, int64_t i, int64_t bins, int64_t size,
                      int64_t *from, int64_t *to) {
    double length = fmax(last - first + 1, 1), bin = length / (double)bins;
    *from = (int64_t)clamp(floor((double)i * bin) + first, 0, (double)size);
    *to = (int64_t)clamp(ceil((double)(i + 1) * bin) + first, 0, (double)size);
}

static double max_in_bin(const double *plane, const ev_shape *s, const double *corners,
                         const int64_t *bins, const int64_t *at) {
    int64_t top, bottom, left, right;
    bin_range(corners[1], corners[3], at[2], bins[0], s->dims[2], &top, &bottom);
    bin_range(corners[0], corners[2], at[3], bins[1], s->dims[3], &left, &right);
    if (top >= bottom || left >= right) return 0;
    double max = -INFINITY;
    for (int64_t h = top; h < bottom; h++)
        for (int64_t w = left; w < right; w++) {
            double v = plane[h * s->dims[3] + w];
            if (v > max || isnan(v)) max = v;
        }
    return max;
}

bool eval_max_roi_pool(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *rois = ev_need(e, n, in, 1);
    uint32_t n_bins;
    const int64_t *bins = ir_attr_ints(n, "pooled_shape", &n_bins);
    if (!x || !rois) return false;
    ev_shape sx = ev_shape_of(x), sr = ev_shape_of(rois);
    if (sx.rank != 4 || sr.rank != 2 || sr.dims[1] != 5 || !bins || n_bins != 2)
        return ev_error(e, n, "%s by regions %s", ev_shape_text(e, &sx), ev_shape_text(e, &sr));
    double scale = ir_attr_float(n, "spatial_scale", 1);
    ev_shape s = {4, {sr.dims[0], sx.dims[1], bins[0], bins[1]}};
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    const double *values = ev_f64s(e, x), *regions = ev_f64s(e, rois);
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    for (int64_t i = 0; i < count; i++, ev_next(&s, at)) {
        const double *region = regions + at[0] * 5,
                     *plane = region_plane(e, n, values, &sx, region[0], at[1]);
        double corners[4];
        if (!plane) return false;
        for (int k = 0; k < 4; k++)
            corners[k] = round(region[k + 1] * scale);
        ir_tensor_set_f64(y, (size_t)i, max_in_bin(plane, &sx, corners, bins, at));
    }
    out[0].tensor = y;
    return true;
}

/* ---- RoiAlign ---------------------------------------------------------------------------------------------------------- */

/* One axis of a region: where sample points lie. */
typedef struct roi_axis {
    double start, bin; /* of the region, of one output element */
    int64_t samples;   /* points per output element */
} roi_axis;

static roi_axis roi_axis_of(const ir_node *n, double first, double last, int64_t bins) {
    double scale = ir_attr_float(n, "spatial_scale", 1);
    bool half = strcmp(ir_attr_string(n, "coordinate_transformation_mode", "half_pixel"),
                       "half_pixel") == 0;
    double shift = half ? 0.5 : 0, start = first * scale - shift,
           length = last * scale - shift - start;
    if (!half) length = fmax(length, 1);
    int64_t ratio = ir_attr_int(n, "sampling_ratio", 0);
    double bin = length / (double)bins, adaptive = clamp(ceil(bin), 0, 1e6);
    return (roi_axis){start, bin, ratio > 0 ? ratio : isnan(adaptive) ? 0 : (int64_t)adaptive};
}

static double roi_point(const roi_axis *a, int64_t bin, int64_t i) {
    return a->start + (double)bin * a->bin + ((double)i + 0.5) * a->bin / (double)a->samples;
}

/* The two elements around a point and the weight of the second. */
static void neighbours(double v, int64_t size, int64_t *low, int64_t *high, double *weight) {
    v = fmax(v, 0);
    *low = (int64_t)v;
    if (*low >= size - 1)
        *low = *high = size - 1, *weight = 0;
    else
        *high = *low + 1, *weight = v - (double)*low;
}

/* Sum (or, for maxima, the largest) of the four weighted elements around a point; nothing far outside. */
static double sample(const double *plane, const ev_shape *s, double y, double x, bool max) {
    int64_t height = s->dims[2], width = s->dims[3], y0, y1, x0, x1;
    double ly, lx;
    if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width)) return 0;
    neighbours(y, height, &y0, &y1, &ly);
    neighbours(x, width, &x0, &x1, &lx);
    double a = (1 - ly) * (1 - lx) * plane[y0 * width + x0],
           b = (1 - ly) * lx * plane[y0 * width + x1], c = ly * (1 - lx) * plane[y1 * width + x0],
           d = ly * lx * plane[y1 * width + x1];
    return max ? fmax(fmax(a, b), fmax(c, d)) : a + b + c + d;
}

static double align_bin(const double *plane, const ev_shape *s, const roi_axis *v,
                        const roi_axis *h, const int64_t *at, bool max) {
    double result = 0;
    int64_t count = v->samples * h->samples;
    for (int64_t i = 0; i < count; i++) {
        double y = roi_point(v, at[2], i / h->samples), x = roi_point(h, at[3], i % h->samples),
               value = sample(plane, s, y, x, max);
        result = !max ? result + value : i ? fmax(result, value) : value;
    }
    return max || count < 1 ? result : result / (double)count;
}

bool eval_roi_align(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *rois = ev_need(e, n, in, 1),
                    *samples = ev_need(e, n, in, 2);
    if (!x || !rois || !samples) return false;
    ev_shape sx = ev_shape_of(x), sr = ev_shape_of(rois), sb = ev_shape_of(samples);
    if (sx.rank != 4 || sr.rank != 2 || sr.dims[1] != 4 || sb.rank != 1 || sb.dims[0] != sr.dims[0])
        return ev_error(e, n, "%s by regions %s", ev_shape_text(e, &sx), ev_shape_text(e, &sr));
    ev_shape s = {4,
                  {sr.dims[0], sx.dims[1], ir_attr_int(n, "output_height", 1),
                   ir_attr_int(n, "output_width", 1)}};
    bool max = strcmp(ir_attr_string(n, "mode", "avg"), "max") == 0;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    const double *values = ev_f64s(e, x), *regions = ev_f64s(e, rois);
    int64_t at[IR_MAX_RANK] = {0}, count = ev_count(&s);
    if (count && (!sx.dims[2] || !sx.dims[3])) return ev_error(e, n, "the planes are empty");
    for (int64_t i = 0; i < count; i++, ev_next(&s, at)) {
        const double *r = regions + at[0] * 4;
        double which = (double)ir_tensor_get_i64(samples, (size_t)at[0]);
        const double *plane = region_plane(e, n, values, &sx, which, at[1]);
        if (!plane) return false;
        roi_axis v = roi_axis_of(n, r[1], r[3], s.dims[2]),
                 h = roi_axis_of(n, r[0], r[2], s.dims[3]);
        ir_tensor_set_f64(y, (size_t)i, align_bin(plane, &sx, &v, &h, at, max));
    }
    out[0].tensor = y;
    return true;
}
