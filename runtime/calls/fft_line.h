/* The stages of runtime/calls/fft.c for one type of numbers, which includes this with REAL, NUMBER and FFT(name) defined.
 *
 * Stage s of radix r, with l = the product of the radices before it and m = n / (l r): element i + m (j + r k) of the data, j < r, is
 * operand j of butterfly (k, i); its result j, times exp(-+ 2 pi i  j l i / n), goes to i + m (k + l j). */

typedef struct NUMBER {
    REAL re, im;
} NUMBER;

static inline NUMBER FFT(add)(NUMBER x, NUMBER y) {
    return (NUMBER){x.re + y.re, x.im + y.im};
}
static inline NUMBER FFT(sub)(NUMBER x, NUMBER y) {
    return (NUMBER){x.re - y.re, x.im - y.im};
}
static inline NUMBER FFT(mul)(NUMBER x, NUMBER y) {
    return (NUMBER){x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re};
}

static inline void FFT(butterfly4)(const NUMBER *x, NUMBER *y, bool inverse) {
    NUMBER even = FFT(add)(x[0], x[2]), even_less = FFT(sub)(x[0], x[2]);
    NUMBER odd = FFT(add)(x[1], x[3]), d = FFT(sub)(x[1], x[3]);
    NUMBER turned = inverse ? (NUMBER){-d.im, d.re} : (NUMBER){d.im, -d.re};
    y[0] = FFT(add)(even, odd), y[2] = FFT(sub)(even, odd);
    y[1] = FFT(add)(even_less, turned), y[3] = FFT(sub)(even_less, turned);
}

/* Of an odd number r of operands: results u and r - u share all products, with sums and differences of operands j and r - j. */
static inline void FFT(butterfly_odd)(const NUMBER *x, NUMBER *y, int64_t r, const NUMBER *roots) {
    NUMBER sum[TLBC_RT_FFT_LARGEST / 2 + 1], difference[TLBC_RT_FFT_LARGEST / 2 + 1];
    y[0] = x[0];
    for (int64_t j = 1; j <= r / 2; j++) {
        sum[j] = FFT(add)(x[j], x[r - j]), difference[j] = FFT(sub)(x[j], x[r - j]);
        y[0] = FFT(add)(y[0], sum[j]);
    }
    for (int64_t u = 1; u <= r / 2; u++) {
        NUMBER even = x[0], odd = {0, 0};
        for (int64_t j = 1, turn = u; j <= r / 2; j++, turn = (turn + u) % r) {
            even.re += roots[turn].re * sum[j].re, even.im += roots[turn].re * sum[j].im;
            odd.re += roots[turn].im * difference[j].im,
                odd.im += roots[turn].im * difference[j].re;
        }
        odd.re = -odd.re;
        y[u] = FFT(add)(even, odd), y[r - u] = FFT(sub)(even, odd);
    }
}

static inline void FFT(butterfly)(const NUMBER *x, NUMBER *y, int64_t r, const NUMBER *roots,
                                  bool inverse) {
    if (r == 2)
        y[0] = FFT(add)(x[0], x[1]), y[1] = FFT(sub)(x[0], x[1]);
    else if (r == 4)
        FFT(butterfly4)(x, y, inverse);
    else
        FFT(butterfly_odd)(x, y, r, roots);
}

/* twiddles: m - 1 times r - 1, nothing is multiplied where i is 0. */
static void FFT(stage)(const NUMBER *from, NUMBER *to, int64_t r, int64_t l, int64_t m,
                       const NUMBER *twiddles, const NUMBER *roots, bool inverse) {
    NUMBER x[TLBC_RT_FFT_LARGEST], y[TLBC_RT_FFT_LARGEST];
    for (int64_t k = 0; k < l; k++)
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < r; j++)
                x[j] = from[i + m * (j + r * k)];
            FFT(butterfly)(x, y, r, roots, inverse);
            to[i + m * k] = y[0];
            for (int64_t j = 1; j < r; j++)
                to[i + m * (k + l * j)] = i ? FFT(mul)(y[j], twiddles[(i - 1) * (r - 1) + j - 1])
                                            : y[j];
        }
}

/* All stages on `line`, with `other` as scratch; returns whichever holds the result. */
static NUMBER *FFT(stages)(const tlbc_rt_fft *f, NUMBER *line, NUMBER *other) {
    const NUMBER *twiddles = f->twiddles, *roots = f->roots;
    int64_t l = 1;
    for (uint32_t s = 0; s < f->plan.n_stages; s++) {
        int64_t r = f->plan.radix[s], m = f->plan.n / (l * r);
        FFT(stage)(line, other, r, l, m, twiddles, roots, f->inverse);
        NUMBER *swap = line;
        line = other, other = swap;
        twiddles += (m - 1) * (r - 1), roots += r, l *= r;
    }
    return line;
}

/* x[k] w[k] convolved with 1 / w, times w: k j = (k k + j j - (k - j)^2) / 2. The way back is a transform of conjugates. */
static void FFT(run_chirped)(const tlbc_rt_fft *f) {
    NUMBER *line = f->line, *other = f->other, *x;
    const NUMBER *chirp = f->chirp, *spectrum = f->spectrum;
    for (int64_t k = 0; k < f->plan.n; k++)
        line[k] = k < f->n ? FFT(mul)(line[k], chirp[k]) : (NUMBER){0, 0};
    x = FFT(stages)(f, line, other);
    for (int64_t k = 0; k < f->plan.n; k++) {
        x[k] = FFT(mul)(x[k], spectrum[k]);
        x[k].im = -x[k].im;
    }
    x = FFT(stages)(f, x, x == line ? other : line);
    for (int64_t k = 0; k < f->n; k++)
        line[k] = FFT(mul)((NUMBER){x[k].re, -x[k].im}, chirp[k]);
}

static void FFT(run)(const tlbc_rt_fft *f) {
    if (f->chirped) {
        FFT(run_chirped)(f);
        return;
    }
    const NUMBER *result = FFT(stages)(f, f->line, f->other);
    if (result != f->line) memcpy(f->line, result, (size_t)f->n * sizeof *result);
}

static NUMBER FFT(root)(int64_t k, int64_t n, bool inverse) {
    tlbc_rt_root w = tlbc_rt_fft_root(k, n, inverse);
    return (NUMBER){(REAL)w.re, (REAL)w.im};
}

static void FFT(fill_stages)(tlbc_rt_fft *f) {
    NUMBER *twiddle = f->twiddles, *root = f->roots;
    int64_t l = 1;
    for (uint32_t s = 0; s < f->plan.n_stages; s++) {
        int64_t r = f->plan.radix[s], m = f->plan.n / (l * r);
        for (int64_t i = 1; i < m; i++)
            for (int64_t j = 1; j < r; j++)
                *twiddle++ = FFT(root)(j * l * i, f->plan.n, f->inverse);
        for (int64_t k = 0; k < r; k++)
            *root++ = FFT(root)(k, r, f->inverse);
        l *= r;
    }
}

/* k k modulo 2 n without overflow: it grows by 2 k + 1. The spectrum is divided by its length already. */
static void FFT(fill_chirp)(tlbc_rt_fft *f) {
    NUMBER *chirp = f->chirp, *line = f->line;
    REAL scale = (REAL)(1 / (double)f->plan.n);
    memset(line, 0, (size_t)f->plan.n * sizeof *line);
    for (int64_t k = 0, square = 0; k < f->n; k++) {
        chirp[k] = FFT(root)(square, 2 * f->n, f->inverse);
        square = (square + 2 * k + 1) % (2 * f->n);
        line[k] = (NUMBER){chirp[k].re * scale, -chirp[k].im * scale};
        if (k > 0) line[f->plan.n - k] = line[k];
    }
    memcpy(f->spectrum, FFT(stages)(f, line, f->other), (size_t)f->plan.n * sizeof *line);
}
