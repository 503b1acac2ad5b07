/* Fast Fourier transforms: plans, roots of unity, and the stages of fft_line.h for both types (see fft.h). */
#include "runtime/calls/fft.h"

#include <math.h>
#include <string.h>

#define REAL      float
#define NUMBER    rt_complex32
#define FFT(name) rt_fft32_##name
#include "runtime/calls/fft_line.h"
#undef REAL
#undef NUMBER
#undef FFT
#define REAL      double
#define NUMBER    rt_complex64
#define FFT(name) rt_fft64_##name
#include "runtime/calls/fft_line.h"

/* ---- plans ------------------------------------------------------------------------------------------------------------ */

static void rt_add_stage(tlbc_rt_fft_plan *p, int64_t radix) {
    p->radix[p->n_stages++] = radix;
}

/* A single two comes first, in exchange for the first four. */
bool tlbc_rt_fft_plan_of(int64_t n, tlbc_rt_fft_plan *p) {
    *p = (tlbc_rt_fft_plan){.n = n};
    for (; n % 4 == 0; n /= 4)
        rt_add_stage(p, 4);
    if (n % 2 == 0) {
        n /= 2;
        rt_add_stage(p, 2);
        int64_t last = p->radix[p->n_stages - 1];
        p->radix[p->n_stages - 1] = p->radix[0], p->radix[0] = last;
    }
    for (int64_t r = 3; r <= TLBC_RT_FFT_LARGEST; r += 2)
        for (; n % r == 0; n /= r)
            rt_add_stage(p, r);
    return n == 1;
}

/* The angle is brought into an eighth of a turn in integers, so that no digits are lost and mirrored roots have the same ones. */
tlbc_rt_root tlbc_rt_fft_root(int64_t k, int64_t n, bool inverse) {
    int64_t eighths = 8 * k / n, rest = 8 * k - eighths * n; /* k / n = (eighths + rest / n) / 8 */
    if (eighths % 2) rest = n - rest;
    double angle = 0.78539816339744830962 * (double)rest / (double)n;
    double c = cos(angle), s = sin(angle);
    bool crossed = (eighths + 1) / 2 % 2; /* nearer to the imaginary axis */
    tlbc_rt_root w = {crossed ? s : c, crossed ? c : s};
    if (eighths >= 2 && eighths < 6) w.re = -w.re;
    if (eighths >= 4) w.im = -w.im;
    if (!inverse) w.im = -w.im;
    return w;
}

/* The smallest length of at least n with no prime factors but 2, 3 and 5. */
static int64_t rt_smooth_length(int64_t n) {
    int64_t best = 1;
    while (best < n)
        best *= 2;
    for (int64_t fives = 1; fives < best; fives *= 5)
        for (int64_t length = fives; length < best; length *= 3) {
            int64_t doubled = length;
            while (doubled < n)
                doubled *= 2;
            if (doubled < best) best = doubled;
        }
    return best;
}

/* ---- one transform -------------------------------------------------------------------------------------------------- */

/* The sum of all radices is at most n, and so is the number of twiddles: (m - 1) (r - 1) = m r - m - (r - 1). */
bool tlbc_rt_fft_init(tlbc_rt_call *c, tlbc_rt_fft *f, int64_t n, bool inverse, bool wide) {
    *f = (tlbc_rt_fft){.n = n, .inverse = inverse, .wide = wide};
    if (n > INT64_MAX / 1024) return tlbc_rt_call_fail(c, "length is %lld", (long long)n);
    f->chirped = !tlbc_rt_fft_plan_of(n, &f->plan);
    if (f->chirped) tlbc_rt_fft_plan_of(rt_smooth_length(2 * n - 1), &f->plan);
    size_t size = wide ? sizeof(rt_complex64) : sizeof(rt_complex32), m = (size_t)f->plan.n;
    char *memory = tlbc_rt_alloc(c, 4 * m + (f->chirped ? m + (size_t)n : 0), size);
    if (!memory) return false;
    f->line = memory, f->other = memory + m * size;
    f->twiddles = memory + 2 * m * size, f->roots = memory + 3 * m * size;
    f->spectrum = memory + 4 * m * size, f->chirp = memory + 5 * m * size;
    (wide ? rt_fft64_fill_stages : rt_fft32_fill_stages)(f);
    if (f->chirped) (wide ? rt_fft64_fill_chirp : rt_fft32_fill_chirp)(f);
    return true;
}

void tlbc_rt_fft_run(const tlbc_rt_fft *f) {
    (f->wide ? rt_fft64_run : rt_fft32_run)(f);
}
