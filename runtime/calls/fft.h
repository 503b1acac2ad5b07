/* Fast Fourier transforms of lines of complex numbers, f32 or f64: DFT and STFT of runtime/calls/signal.c.
 *
 *   tlbc_rt_fft f;
 *   if (!tlbc_rt_fft_init(c, &f, 360, inverse, wide)) return false;
 *   ... fill f.line with 360 pairs of real and imaginary part ...
 *   tlbc_rt_fft_run(&f);                                    f.line is the transform, not divided by the length
 *
 * A length is taken apart into its prime factors, fours in place of pairs of twos (360 = 4 2 3 3 5), with a *stage* for each: n times the
 * sum of the factors. Where one is above TLBC_RT_FFT_LARGEST the transform is a convolution with a chirp (Bluestein), which three
 * transforms of a smooth length compute. All arithmetic is in the type of the data, the roots of unity are rounded from exact ones.
 *
 * The order of factors and of additions is the one that pocketfft documents, which numpy uses: results agree with its transforms in the
 * same type to the last bit, noise where the exact result is 0 included, for lengths that 8 does not divide and that have no prime factor
 * above 11. */
#ifndef TLBC_RUNTIME_FFT_H
#define TLBC_RUNTIME_FFT_H

#include "runtime/calls/call.h"

enum { TLBC_RT_FFT_STAGES = 64, TLBC_RT_FFT_LARGEST = 61 };

typedef struct tlbc_rt_fft_plan {
    int64_t n, radix[TLBC_RT_FFT_STAGES];
    uint32_t n_stages;
} tlbc_rt_fft_plan;

typedef struct tlbc_rt_root {
    double re, im;
} tlbc_rt_root;

/* The stages of a transform of length n >= 1; false where n has a prime factor above TLBC_RT_FFT_LARGEST. */
bool tlbc_rt_fft_plan_of(int64_t n, tlbc_rt_fft_plan *p);
/* exp(-2 pi i k / n), or its conjugate, for 0 <= k < n < 2^58: both parts within two units in the last place. */
tlbc_rt_root tlbc_rt_fft_root(int64_t k, int64_t n, bool inverse);

typedef struct tlbc_rt_fft {
    int64_t n;
    bool inverse, wide, chirped;
    tlbc_rt_fft_plan plan; /* of n, or of the length that the chirp needs */
    void *line;            /* n pairs of float or double: data, then result */
    void *other;           /* as many again */
    void *twiddles;        /* for each stage, the factors behind it */
    void *roots;           /* for each stage, all powers of its own root of unity */
    void *chirp;           /* n; chirped only: exp(-+ pi i k k / n) */
    void *spectrum;        /* plan.n; chirped only: transform of the conjugate chirp */
} tlbc_rt_fft;

/* false after reporting that there is no memory. */
bool tlbc_rt_fft_init(tlbc_rt_call *c, tlbc_rt_fft *f, int64_t n, bool inverse, bool wide);
void tlbc_rt_fft_run(const tlbc_rt_fft *f);

#endif
