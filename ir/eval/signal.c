/* Signals: windows, Fourier transforms by their definition, mel filters. */
#include "ir/eval/eval_internal.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* Stores a number; whole-number types drop the fraction. */
static void store(ir_tensor *y, int64_t i, double v) {
    if (ir_dtype_is_float(y->type->dtype))
        ir_tensor_set_f64(y, (size_t)i, v);
    else
        ir_tensor_set_i64(y, (size_t)i, fabs(v) < 0x1p62 ? (int64_t)v : 0);
}

/* a - b cos(x) + c cos(2x) over one period, whose end is left out (periodic) or in (symmetric). */
bool eval_window(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *t = ev_need(e, n, in, 0);
    int64_t size;
    double a = 0.5, b = 0.5, c = 0;
    if (!t || !ev_scalar_i64(e, n, t, &size)) return false;
    if (size < 0) return ev_error(e, n, "size is %lld", (long long)size);
    if (n->op == OP_HammingWindow) a = 25.0 / 46, b = 21.0 / 46;
    if (n->op == OP_BlackmanWindow) a = 0.42, b = 0.5, c = 0.08;
    int64_t period = ir_attr_int(n, "periodic", 1) ? size : size - 1;
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)ir_attr_int(n, "output_datatype", DT_f32),
                            &(ev_shape){1, {size}});
    for (int64_t i = 0; y && i < size; i++) {
        double x = 2 * pi * (double)i / (double)period;
        store(y, i, a - b * cos(x) + c * cos(2 * x));
    }
    return (out[0].tensor = y) != NULL;
}

/* ---- DFT -------------------------------------------------------------------------------------------------------- */

typedef struct dft {
    bool inverse, half;
    int64_t length, n_in,
        n_out;       /* of the transform; elements along the axis that are there; that are wanted */
    double *re, *im; /* one line of the operand, filled up with zeros */
    double *cosine, *sine; /* of 2 pi i / length */
} dft;

/* Half a spectrum is completed: the other half is its mirror image with the opposite sign of the imaginary part. */
static void complete_spectrum(dft *d) {
    d->im[0] = 0;
    if (d->length % 2 == 0) d->im[d->length / 2] = 0;
    for (int64_t i = d->length / 2 + 1; i < d->length; i++) {
        d->re[i] = d->re[d->length - i];
        d->im[i] = -d->im[d->length - i];
    }
}

static void transform(const dft *d, int64_t k, double *re, double *im) {
    *re = *im = 0;
    for (int64_t i = 0; i < d->length; i++) {
        size_t at = (size_t)((uint64_t)i * (uint64_t)k % (uint64_t)d->length);
        double c = d->cosine[at], s = d->inverse ? d->sine[at] : -d->sine[at];
        *re += d->re[i] * c - d->im[i] * s;
        *im += d->re[i] * s + d->im[i] * c;
    }
    if (d->inverse) *re /= (double)d->length, *im /= (double)d->length;
}

/* Line r of x (axis seen as in ev_lanes, parts beside each other) to the same line of y. */
static void transform_line(dft *d, const double *x, const ev_lanes *from, int64_t parts, int64_t r,
                           const ev_lanes *to, ir_tensor *y) {
    int64_t base = r / from->inner * from->n * from->inner + r % from->inner;
    int64_t out_base = r / to->inner * to->n * to->inner + r % to->inner;
    for (int64_t i = 0; i < d->length; i++) {
        const double *p = x + (base + i * from->inner) * parts;
        d->re[i] = i < d->n_in ? p[0] : 0;
        d->im[i] = i < d->n_in && parts == 2 ? p[1] : 0;
    }
    bool real = d->inverse && d->half;
    if (real) complete_spectrum(d);
    for (int64_t k = 0; k < d->n_out; k++) {
        double re, im;
        int64_t at = out_base + k * to->inner;
        transform(d, k, &re, &im);
        ir_tensor_set_f64(y, (size_t)(real ? at : 2 * at), re);
        if (!real) ir_tensor_set_f64(y, (size_t)(2 * at + 1), im);
    }
}

static void dft_prepare(ir_eval *e, dft *d) {
    size_t n = (size_t)d->length;
    d->re = TL_NEW_ARRAY(e->arena, double, n);
    d->im = TL_NEW_ARRAY(e->arena, double, n);
    d->cosine = TL_NEW_ARRAY(e->arena, double, n);
    d->sine = TL_NEW_ARRAY(e->arena, double, n);
    for (size_t i = 0; i < n; i++) {
        d->cosine[i] = cos(2 * pi * (double)i / (double)n);
        d->sine[i] = sin(2 * pi * (double)i / (double)n);
    }
}

/* d->length may be 0: that of the axis. The last axis of x holds the parts of its numbers. */
static bool run_dft(ir_eval *e, const ir_node *n, dft *d, const double *x, ev_shape s, int32_t axis,
                    ir_dtype t, ir_datum *out) {
    int64_t parts = s.dims[s.rank - 1];
    bool real = d->inverse && d->half;
    if (parts != 1 && parts != 2) return ev_error(e, n, "numbers of %lld parts", (long long)parts);
    d->n_in = s.dims[axis];
    if (!d->length) d->length = real ? 2 * (d->n_in - 1) : d->n_in;
    if (d->length < 1) return ev_error(e, n, "length is %lld", (long long)d->length);
    d->n_out = d->half && !d->inverse ? d->length / 2 + 1 : d->length;
    ev_shape y_shape = s;
    y_shape.dims[axis] = d->n_out;
    y_shape.dims[s.rank - 1] = real ? 1 : 2;
    ir_tensor *y = ev_alloc(e, n, t, &y_shape);
    if (!y) return false;
    out->tensor = y;
    s.rank--, y_shape.rank--;
    ev_lanes from = ev_lanes_of(&s, axis), to = ev_lanes_of(&y_shape, axis);
    dft_prepare(e, d);
    for (int64_t r = 0; r < from.outer * from.inner; r++)
        transform_line(d, x, &from, parts, r, &to, y);
    return true;
}

bool eval_dft(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *length = ev_tensor(n, in, 1),
                    *at = ev_tensor(n, in, 2);
    dft d = {.inverse = ir_attr_int(n, "inverse", 0) != 0,
             .half = ir_attr_int(n, "onesided", 0) != 0};
    int64_t axis = -2;
    int32_t i;
    if (!x || (length && !ev_scalar_i64(e, n, length, &d.length))) return false;
    if (length && d.length < 1) return ev_error(e, n, "length is %lld", (long long)d.length);
    if (at && !ev_scalar_i64(e, n, at, &axis)) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, axis, s.rank, &i)) return false;
    if (i == s.rank - 1) return ev_error(e, n, "the last axis holds the parts of numbers");
    return run_dft(e, n, &d, ev_f64s(e, x), s, i, x->type->dtype, out);
}

/* ---- STFT -------------------------------------------------------------------------------------------------------- */

bool eval_stft(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *step_of = ev_need(e, n, in, 1);
    const ir_tensor *window = ev_tensor(n, in, 2), *length_of = ev_tensor(n, in, 3);
    int64_t step, length;
    if (!x || !step_of || !ev_scalar_i64(e, n, step_of, &step)) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank != 3) return ev_error(e, n, "rank is %d, expected 3", (int)s.rank);
    length = window ? (int64_t)ir_tensor_elements(window) : s.dims[1];
    if (length_of && !ev_scalar_i64(e, n, length_of, &length)) return false;
    if (step < 1 || length < 1 || length > s.dims[1])
        return ev_error(e, n, "frames of %lld every %lld of %lld", (long long)length,
                        (long long)step, (long long)s.dims[1]);
    if (window && ir_tensor_elements(window) != (size_t)length)
        return ev_error(e, n, "a window of %zu for frames of %lld", ir_tensor_elements(window),
                        (long long)length);
    ev_shape frames = {4, {s.dims[0], (s.dims[1] - length) / step + 1, length, s.dims[2]}};
    const double *v = ev_f64s(e, x), *w = window ? ev_f64s(e, window) : NULL;
    double *f = TL_NEW_ARRAY(e->arena, double, (size_t)ev_count(&frames) + 1);
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(&frames);
    for (int64_t i = 0; i < count; i++, ev_next(&frames, index)) {
        int64_t from = index[0] * s.dims[1] + index[1] * step + index[2];
        f[i] = v[from * s.dims[2] + index[3]] * (w ? w[index[2]] : 1);
    }
    dft d = {.half = ir_attr_int(n, "onesided", 1) != 0};
    return run_dft(e, n, &d, f, frames, 2, x->type->dtype, out);
}

/* ---- MelWeightMatrix ------------------------------------------------------------------------------------------------ */

static double to_mel(double hertz) {
    return 2595 * log10(1 + hertz / 700);
}
static double to_hertz(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

/* Triangles between neighbours but one of bands + 2 frequencies, which are equally far apart on the mel scale. */
static double triangle(int64_t i, const int64_t *f) {
    if (i == f[1] && f[0] == f[1]) return 1;
    if (i >= f[1] && i < f[2]) return (double)(f[2] - i) / (double)(f[2] - f[1]);
    if (i >= f[0] && i <= f[1] && f[1] > f[0]) return (double)(i - f[0]) / (double)(f[1] - f[0]);
    return 0;
}

bool eval_mel_weight_matrix(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                            ir_datum *out) {
    int64_t k[3];
    double edge[2];
    for (uint32_t i = 0; i < 5; i++) {
        const ir_tensor *t = ev_need(e, n, in, i);
        if (!t || ir_tensor_elements(t) != 1)
            return t && ev_error(e, n, "operand %u is no scalar", i);
        if (i < 3 && !ev_scalar_i64(e, n, t, &k[i])) return false;
        if (i >= 3) edge[i - 3] = ir_tensor_get_f64(t, 0);
    }
    int64_t bands = k[0], length = k[1], rows = length / 2 + 1;
    if (bands < 0 || bands > INT32_MAX || length < 1 || k[2] < 1 ||
        !(edge[0] >= 0 && edge[1] >= edge[0]))
        return ev_error(e, n, "numbers that make no filters");
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)ir_attr_int(n, "output_datatype", DT_f32),
                            &(ev_shape){2, {rows, bands}});
    if (!y) return false;
    int64_t *f = TL_NEW_ARRAY(e->arena, int64_t, (size_t)bands + 2);
    double step = (to_mel(edge[1]) - to_mel(edge[0])) / (double)(bands + 2);
    for (int64_t i = 0; i < bands + 2; i++)
        f[i] = (int64_t)fmin(floor((double)(length + 1) *
                                   to_hertz(to_mel(edge[0]) + (double)i * step) / (double)k[2]),
                             0x1p62);
    for (int64_t i = 0; i < rows * bands; i++)
        store(y, i, triangle(i / bands, f + i % bands));
    out[0].tensor = y;
    return true;
}
