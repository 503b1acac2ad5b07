/* runtime/calls/fft.c against sums by the definition in higher precision: all short lengths, large primes, both types and directions.
 * Errors are relative to the largest result, in units of the type's epsilon; the largest found is 2.39 for f32 and 2.90 for f64. */
#include "runtime/calls/fft.h"
#include "tests/support/check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { MOST = 4200 };
static const long double two_pi = 6.283185307179586476925286766559L;

static void *take_memory(void *context, size_t bytes) {
    (void)context;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void free_memory(void *context, void *memory) {
    (void)context;
    free(memory);
}

static double random_number(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(int64_t)state * 0x1p-63;
}

static void put(const tlbc_rt_fft *f, int64_t i, double v) {
    if (f->wide)
        ((double *)f->line)[i] = v;
    else
        ((float *)f->line)[i] = (float)v;
}
static double get(const tlbc_rt_fft *f, int64_t i) {
    return f->wide ? ((double *)f->line)[i] : (double)((float *)f->line)[i];
}

/* The distance of element k of f's line from the sum over x. */
static double error_of(const tlbc_rt_fft *f, const double *x, int64_t k, double *largest) {
    long double re = 0, im = 0, angle = (f->inverse ? two_pi : -two_pi) / (long double)f->n;
    for (int64_t i = 0; i < f->n; i++) {
        long double a = angle * (long double)(i * k % f->n), c = cosl(a), s = sinl(a);
        re += x[2 * i] * c - x[2 * i + 1] * s;
        im += x[2 * i] * s + x[2 * i + 1] * c;
    }
    *largest = fmax(*largest, (double)fmaxl(fabsl(re), fabsl(im)));
    return (double)fmaxl(fabsl(get(f, 2 * k) - re), fabsl(get(f, 2 * k + 1) - im));
}

/* step: every so many of the results are looked at. */
static void check_length(tlbc_rt_call *c, int64_t n, bool inverse, bool wide, int64_t step) {
    static double x[2 * MOST];
    tlbc_rt_fft f;
    if (!CHECK(tlbc_rt_fft_init(c, &f, n, inverse, wide))) return;
    for (int64_t i = 0; i < 2 * n; i++) {
        put(&f, i, random_number());
        x[i] = get(&f, i);
    }
    tlbc_rt_fft_run(&f);
    double worst = 0, largest = 0;
    for (int64_t k = 0; k < n; k += step)
        worst = fmax(worst, error_of(&f, x, k, &largest));
    double found = worst / largest / (wide ? DBL_EPSILON : (double)FLT_EPSILON);
    if (!CHECK(found <= 3))
        fprintf(stderr, "  length %lld, f%d: %g\n", (long long)n, wide ? 64 : 32, found);
    tlbc_rt_heap_clear(c->heap);
}

static void check_both(tlbc_rt_call *c, int64_t n, int64_t step) {
    for (int wide = 0; wide < 2; wide++)
        for (int inverse = 0; inverse < 2; inverse++)
            check_length(c, n, inverse, wide, step);
}

static void check_roots(void) {
    static const int64_t lengths[] = {1, 3, 8, 12, 61, 1000, 4096};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int64_t k = 0; k < lengths[i]; k++) {
            tlbc_rt_root w = tlbc_rt_fft_root(k, lengths[i], false);
            long double a = two_pi * (long double)k / (long double)lengths[i];
            CHECK(fabsl(w.re - cosl(a)) <= 2e-16L && fabsl(w.im + sinl(a)) <= 2e-16L);
        }
    tlbc_rt_root right = tlbc_rt_fft_root(3, 4, false);
    CHECK(right.re == 0 && right.im == 1);
}

static void check_plans(void) {
    tlbc_rt_fft_plan p;
    static const int64_t stages[] = {2, 4, 3, 3, 5};
    CHECK(tlbc_rt_fft_plan_of(360, &p) && p.n_stages == 5);
    CHECK(memcmp(p.radix, stages, sizeof stages) == 0);
    CHECK(tlbc_rt_fft_plan_of(1, &p) && p.n_stages == 0);
    CHECK(tlbc_rt_fft_plan_of(61 * 61, &p) && p.n_stages == 2);
    CHECK(!tlbc_rt_fft_plan_of(2 * 67, &p));
}

int main(void) {
    tlbc_rt_heap heap = {.allocate = take_memory, .release = free_memory};
    tlbc_rt_call c = {.heap = &heap};
    check_roots();
    check_plans();
    for (int64_t n = 1; n <= 128; n++)
        check_both(&c, n, 1);
    static const int64_t lengths[] = {243,  512,     625,  1001,    1009,
                                      1024, 2 * 127, 4096, 61 * 67, 4093};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        check_both(&c, lengths[i], 1 + lengths[i] / 100);
    tlbc_rt_fft f;
    CHECK(!tlbc_rt_fft_init(&c, &f, INT64_MAX, false, true) && c.message[0]);
    tlbc_rt_heap_release(&heap);
    return check_done();
}
