/* Signals: DFT, STFT, MelWeightMatrix, by the transforms of runtime/calls/fft.h. Numbers are computed with in their own type, halves in
 * f32. Of real numbers half the spectrum is taken from the transform and the other half is its mirror image, exactly. */
#include "runtime/calls/fft.h"

#include <math.h>

/* ---- one line --------------------------------------------------------------------------------------------------------- */

typedef struct rt_dft {
    tlbc_rt_call *c;
    bool inverse, half;
    int64_t length, n_in, n_out; /* of the transform; elements that there are; that are wanted */
    tlbc_rt_fft fft;
} rt_dft;

/* Part p of number i of the line. */
static void rt_put(const rt_dft *d, int64_t i, int64_t p, double v) {
    if (d->fft.wide)
        ((double *)d->fft.line)[2 * i + p] = v;
    else
        ((float *)d->fft.line)[2 * i + p] = (float)v;
}
static double rt_part(const rt_dft *d, int64_t i, int64_t p) {
    return d->fft.wide ? ((const double *)d->fft.line)[2 * i + p]
                       : (double)((const float *)d->fft.line)[2 * i + p];
}

/* The second half of a spectrum is the mirror image of the first, with the opposite sign of the imaginary part; what is its own mirror
 * image is real. */
static void rt_mirror(const rt_dft *d) {
    rt_put(d, 0, 1, 0);
    if (d->length % 2 == 0) rt_put(d, d->length / 2, 1, 0);
    for (int64_t i = d->length / 2 + 1; i < d->length; i++) {
        rt_put(d, i, 0, rt_part(d, d->length - i, 0));
        rt_put(d, i, 1, -rt_part(d, d->length - i, 1));
    }
}

/* ---- along an axis ------------------------------------------------------------------------------------------------------ */

/* The lines of a tensor along an axis; the last dimension, the parts of numbers, is not counted. */
typedef struct rt_lines {
    int64_t n, inner;
} rt_lines;

static int64_t rt_line_start(const rt_lines *l, int64_t line) {
    return line / l->inner * l->n * l->inner + line % l->inner;
}

static void rt_read_line(const rt_dft *d, const tlbc_tensor *x, const rt_lines *l, int64_t line) {
    int64_t parts = x->dims[x->rank - 1], start = rt_line_start(l, line);
    for (int64_t i = 0; i < d->length; i++) {
        int64_t at = (start + i * l->inner) * parts;
        bool there = i < d->n_in;
        rt_put(d, i, 0, there ? tlbc_rt_get_f64(x, at) : 0);
        rt_put(d, i, 1, there && parts == 2 ? tlbc_rt_get_f64(x, at + 1) : 0);
    }
}

/* The scale is rounded to the type before it multiplies, as in other libraries; a product of two f32 numbers is exact in f64. */
static void rt_write_line(const rt_dft *d, tlbc_tensor *y, const rt_lines *l, int64_t line) {
    int64_t parts = y->dims[y->rank - 1], start = rt_line_start(l, line);
    double scale = d->inverse ? 1 / (double)d->length : 1;
    if (!d->fft.wide) scale = (float)scale;
    for (int64_t k = 0; k < d->n_out; k++)
        for (int64_t p = 0; p < parts; p++) {
            double v = rt_part(d, k, p) * scale;
            tlbc_rt_set_f64(y, (start + k * l->inner) * parts + p, d->fft.wide ? v : (float)v);
        }
}

/* Result 0; d->length may be 0: that of the axis. */
static bool rt_transform_axis(rt_dft *d, const tlbc_tensor *x, uint32_t axis, unsigned dtype) {
    int64_t dims[TLBC_MAX_RANK], parts = x->dims[x->rank - 1];
    bool real = d->inverse && d->half;
    if (parts != 1 && parts != 2)
        return tlbc_rt_call_fail(d->c, "numbers of %lld parts", (long long)parts);
    d->n_in = x->dims[axis];
    if (!d->length) d->length = real ? 2 * (d->n_in - 1) : d->n_in;
    if (d->length < 1) return tlbc_rt_call_fail(d->c, "length is %lld", (long long)d->length);
    d->n_out = d->half && !d->inverse ? d->length / 2 + 1 : d->length;
    for (uint32_t i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    dims[axis] = d->n_out;
    dims[x->rank - 1] = real ? 1 : 2;
    tlbc_tensor *y = tlbc_rt_result(d->c, 0, dtype, x->rank, dims);
    if (!y || !tlbc_rt_fft_init(d->c, &d->fft, d->length, d->inverse, dtype == TLBC_F64))
        return false;
    int64_t inner = tlbc_rt_product(x, axis + 1, x->rank - 1),
            lines = tlbc_rt_product(x, 0, axis) * inner;
    for (int64_t line = 0; line < lines; line++) {
        rt_read_line(d, x, &(rt_lines){d->n_in, inner}, line);
        if (real) rt_mirror(d);
        tlbc_rt_fft_run(&d->fft);
        if (parts == 1) rt_mirror(d);
        rt_write_line(d, y, &(rt_lines){d->n_out, inner}, line);
    }
    return true;
}

/* A scalar operand, or the fallback where it is omitted; false after reporting. */
static bool rt_scalar(tlbc_rt_call *c, uint32_t i, int64_t *out) {
    const tlbc_tensor *t = tlbc_rt_in(c, i);
    if (!t) return true;
    if (tlbc_rt_elements(t) != 1) return tlbc_rt_call_fail(c, "operand %u is no scalar", i);
    *out = tlbc_rt_get_i64(t, 0);
    return true;
}

bool tlbc_rt_op_DFT(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_dft d = {.c = c,
                .inverse = tlbc_rt_int(c, "inverse", 0) != 0,
                .half = tlbc_rt_int(c, "onesided", 0) != 0};
    int64_t at = -2;
    uint32_t axis;
    if (x->rank < 2) return tlbc_rt_call_fail(c, "rank is %u, expected 2 or more", x->rank);
    if (!rt_scalar(c, 1, &d.length) || !rt_scalar(c, 2, &at)) return false;
    if (tlbc_rt_in(c, 1) && d.length < 1)
        return tlbc_rt_call_fail(c, "length is %lld", (long long)d.length);
    if (!tlbc_rt_axis(c, at, x->rank, &axis)) return false;
    if (axis == x->rank - 1)
        return tlbc_rt_call_fail(c, "the last axis holds the parts of numbers");
    return rt_transform_axis(&d, x, axis, x->dtype);
}

/* ---- STFT -------------------------------------------------------------------------------------------------------------------- */

/* The frames as lines of f64, each times the window. */
static bool rt_frames(tlbc_rt_call *c, const tlbc_tensor *window, int64_t step, const int64_t *dims,
                      tlbc_tensor *f) {
    const tlbc_tensor *x = c->in[0];
    if (!tlbc_rt_new_tensor(c, f, TLBC_F64, 4, dims)) return false;
    int64_t parts = f->dims[3], at = 0;
    double *out = f->data;
    for (int64_t b = 0; b < f->dims[0]; b++)
        for (int64_t k = 0; k < f->dims[1]; k++)
            for (int64_t i = 0; i < f->dims[2]; i++) {
                double factor = window ? tlbc_rt_get_f64(window, i) : 1;
                int64_t from = (b * x->dims[1] + k * step + i) * parts;
                for (int64_t p = 0; p < parts; p++)
                    out[at++] = factor * tlbc_rt_get_f64(x, from + p);
            }
    return true;
}

bool tlbc_rt_op_STFT(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0], *window = tlbc_rt_in(c, 2);
    if (x->rank != 3) return tlbc_rt_call_fail(c, "rank is %u, expected 3", x->rank);
    int64_t step = 0, length = window ? tlbc_rt_elements(window) : x->dims[1];
    if (!rt_scalar(c, 1, &step) || !rt_scalar(c, 3, &length)) return false;
    if (step < 1 || length < 1 || length > x->dims[1])
        return tlbc_rt_call_fail(c, "frames of %lld every %lld of %lld", (long long)length,
                                 (long long)step, (long long)x->dims[1]);
    if (window && tlbc_rt_elements(window) != length)
        return tlbc_rt_call_fail(c, "a window of %lld for frames of %lld",
                                 (long long)tlbc_rt_elements(window), (long long)length);
    tlbc_tensor f;
    int64_t frames[] = {x->dims[0], (x->dims[1] - length) / step + 1, length, x->dims[2]};
    rt_dft d = {.c = c, .half = tlbc_rt_int(c, "onesided", 1) != 0};
    return rt_frames(c, window, step, frames, &f) && rt_transform_axis(&d, &f, 2, x->dtype);
}

/* ---- MelWeightMatrix ---------------------------------------------------------------------------------------------------- */

static double rt_to_mel(double hertz) {
    return 2595 * log10(1 + hertz / 700);
}
static double rt_to_hertz(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

/* Triangles between neighbours but one of bands + 2 frequencies, which are equally far apart on the mel scale. */
static double rt_triangle(int64_t i, const int64_t *f) {
    if (i == f[1] && f[0] == f[1]) return 1;
    if (i >= f[1] && i < f[2]) return (double)(f[2] - i) / (double)(f[2] - f[1]);
    if (i >= f[0] && i <= f[1] && f[1] > f[0]) return (double)(i - f[0]) / (double)(f[1] - f[0]);
    return 0;
}

static void rt_mel_edges(int64_t *f, int64_t n, const double *edge, int64_t length, int64_t rate) {
    double step = (rt_to_mel(edge[1]) - rt_to_mel(edge[0])) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double hertz = rt_to_hertz(rt_to_mel(edge[0]) + (double)i * step);
        f[i] = (int64_t)fmin(floor((double)(length + 1) * hertz / (double)rate), 0x1p62);
    }
}

/* Operands: bands, length of the transform, samples a second, lowest and highest frequency. */
bool tlbc_rt_op_MelWeightMatrix(tlbc_rt_call *c) {
    int64_t k[3] = {0};
    double edge[2];
    for (uint32_t i = 0; i < 5; i++) {
        if (tlbc_rt_elements(c->in[i]) != 1)
            return tlbc_rt_call_fail(c, "operand %u is no scalar", i);
        if (i < 3) k[i] = tlbc_rt_get_i64(c->in[i], 0);
        if (i >= 3) edge[i - 3] = tlbc_rt_get_f64(c->in[i], 0);
    }
    int64_t bands = k[0], length = k[1], rows = length / 2 + 1;
    bool sane = bands >= 0 && bands <= INT32_MAX && length >= 1 && length <= INT64_MAX - 2;
    if (!sane || k[2] < 1 || !(edge[0] >= 0 && edge[1] >= edge[0]))
        return tlbc_rt_call_fail(c, "numbers that make no filters");
    unsigned dtype = (unsigned)tlbc_rt_int(c, "output_datatype", TLBC_F32);
    tlbc_tensor *y = tlbc_rt_result(c, 0, dtype, 2, (int64_t[]){rows, bands});
    int64_t *f = y ? tlbc_rt_alloc(c, (size_t)bands + 2, sizeof *f) : NULL;
    if (!f) return false;
    rt_mel_edges(f, bands + 2, edge, length, k[2]);
    for (int64_t i = 0; i < rows * bands; i++)
        tlbc_rt_set_f64(y, i, rt_triangle(i / bands, f + i % bands));
    return true;
}
