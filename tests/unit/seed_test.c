/* Random operators without a seed of their own: the session's seed decides. The same numbers in every run and with any number of threads,
 * other numbers for another seed, and numbers that are distributed as they should be.
 *
 * Bounds follow from the number of samples: a mean of n is within 5 standard deviations sigma / sqrt(n) of its expectation, a sum of
 * squares over k degrees of freedom below k + 6 sqrt(2 k) + 12. Chance alone would break one of them in about a million. */
#include "frontend/frontend.h"
#include "tests/support/check.h"
#include "tests/support/compiled.h"

#include <math.h>
#include <stdlib.h>

enum { N = 40000, SEEDS = 6 };
enum { UNIFORM, NORMAL, COIN, DIE, DROPPED, FIXED, OUTPUTS };

typedef struct numbers {
    float data[OUTPUTS][N]; /* the die's are int32_t in the run, floats here */
} numbers;

static numbers of_seed[SEEDS];

static void run(const tlbc_model *m, uint64_t seed, uint32_t threads, numbers *out) {
    static int32_t die[N];
    tlbc_session *s;
    tlbc_tensor y[OUTPUTS] = {0};
    tlbc_session_options o = {.threads = threads, .exact_threads = 1, .seed = seed};
    if (!CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK)) return;
    for (int i = 0; i < OUTPUTS; i++) {
        y[i].data = i == DIE ? (void *)die : out->data[i];
        y[i].bytes = N * 4;
    }
    for (int again = 0; again < 2; again++) /* the second run of a session is as the first */
        CHECK_EQ(tlbc_run(s, NULL, y), TLBC_OK);
    for (int i = 0; i < N; i++)
        out->data[DIE][i] = (float)die[i];
    tlbc_session_free(s);
}

/* ---- distributions --------------------------------------------------------------------------------------------------- */

/* The mean of f over n samples, whose expectation and variance are these. */
static void check_mean(const float *x, double (*f)(double), double expected, double variance) {
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += f(x[i]);
    if (!CHECK(fabs(sum / N - expected) < 5 * sqrt(variance / N)))
        fprintf(stderr, "  mean is %g, expected %g\n", sum / N, expected);
}

/* counts of k bins, of the probabilities p. */
static void check_bins(const int *counts, const double *p, int k) {
    double sum = 0;
    for (int i = 0; i < k; i++)
        sum += (counts[i] - N * p[i]) * (counts[i] - N * p[i]) / (N * p[i]);
    if (!CHECK(sum < k - 1 + 6 * sqrt(2 * (k - 1)) + 12))
        fprintf(stderr, "  chi square is %g with %d bins\n", sum, k);
}

/* x as a number in [0, 1) of its distribution, in 50 bins of equal probability. */
static void check_even(const float *x, double (*cumulated)(double)) {
    enum { BINS = 50 };
    int counts[BINS] = {0};
    double p[BINS];
    for (int i = 0; i < BINS; i++)
        p[i] = 1.0 / BINS;
    for (int i = 0; i < N; i++) {
        double u = cumulated(x[i]);
        if (CHECK(u >= 0 && u <= 1)) counts[u < 1 ? (int)(u * BINS) : BINS - 1]++;
    }
    check_bins(counts, p, BINS);
}

/* Neither neighbours nor two lists of numbers have to do with each other. */
static void check_unrelated(const float *x, const float *y, int n, double mean, double variance) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - mean) * (y[i] - mean);
    if (!CHECK(fabs(sum / n / variance) < 5 / sqrt(n)))
        fprintf(stderr, "  correlation is %g\n", sum / n / variance);
}

static double itself(double x) {
    return x;
}
static double uniform_square(double x) {
    return (x - 1) * (x - 1);
}
static double uniform_cumulated(double x) {
    return (x + 1) / 4;
}
static double normal_square(double x) {
    return (x - 2) * (x - 2);
}
static double normal_cumulated(double x) {
    return 0.5 * erfc((2 - x) / (3 * sqrt(2)));
}

static void check_die(const float *x) {
    static const double p[] = {0.1, 0.2, 0.3, 0.4};
    int counts[4] = {0};
    for (int i = 0; i < N; i++)
        if (CHECK(x[i] >= 0 && x[i] < 4)) counts[(int)x[i]]++;
    check_bins(counts, p, 4);
}

/* A quarter is dropped, the rest is larger by as much. */
static void check_dropped(const float *x) {
    int kept = 0;
    for (int i = 0; i < N; i++) {
        CHECK(x[i] == 0 || fabsf(x[i] - 4.0f / 3) < 1e-6f);
        kept += x[i] != 0;
    }
    CHECK(abs(kept - N * 3 / 4) < 5 * sqrt(N * 3.0 / 16));
}

static void check_distributions(const numbers *x) {
    check_mean(x->data[UNIFORM], itself, 1, 16.0 / 12);
    check_mean(x->data[UNIFORM], uniform_square, 16.0 / 12, 256.0 / 80 - 256.0 / 144);
    check_even(x->data[UNIFORM], uniform_cumulated);
    check_unrelated(x->data[UNIFORM], x->data[UNIFORM] + 1, N - 1, 1, 16.0 / 12);
    check_mean(x->data[NORMAL], itself, 2, 9);
    check_mean(x->data[NORMAL], normal_square, 9, 2 * 81);
    check_even(x->data[NORMAL], normal_cumulated);
    check_unrelated(x->data[NORMAL], x->data[NORMAL] + 1, N - 1, 2, 9);
    check_mean(x->data[COIN], itself, (double)0.3f, 0.3 * 0.7);
    check_die(x->data[DIE]);
    check_dropped(x->data[DROPPED]);
}

/* ---- seeds ------------------------------------------------------------------------------------------------------------- */

static void check_seeds(const tlbc_model *m) {
    static numbers again;
    for (uint32_t i = 0; i < SEEDS; i++) {
        uint64_t seed = i < SEEDS - 1 ? i : UINT64_MAX;
        run(m, seed, 1, &of_seed[i]);
        check_distributions(&of_seed[i]);
        run(m, seed, 1 + i % 4, &again);
        CHECK(memcmp(&again, &of_seed[i], sizeof again) == 0);
        CHECK(memcmp(of_seed[i].data[FIXED], of_seed[0].data[FIXED],
                     sizeof of_seed[0].data[FIXED]) == 0);
        for (uint32_t j = 0; j < i; j++) {
            check_unrelated(of_seed[i].data[UNIFORM], of_seed[j].data[UNIFORM], N, 1, 16.0 / 12);
            check_unrelated(of_seed[i].data[NORMAL], of_seed[j].data[NORMAL], N, 2, 9);
        }
    }
}

/* The evaluator has a seed too. */
static void check_evaluator(ir_ctx *c, tl_arena *a, const ir_module *m) {
    ir_eval e;
    ir_datum out[OUTPUTS] = {0};
    ir_eval_init(&e, c, a);
    e.seed = 3;
    if (!CHECK(ir_eval_graph(&e, m->graphs, NULL, out))) return;
    for (int k = 0; k < OUTPUTS; k++)
        for (size_t i = 0; i < N; i++) {
            double want = ir_tensor_get_f64(out[k].tensor, i);
            CHECK(fabs(want - of_seed[3].data[k][i]) <= 1e-5 * fmax(1, fabs(want)));
        }
}

int main(void) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena a;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    ir_module *m = fe_import_file(&c, &a, "tests/data/random.onnx", NULL);
    if (CHECK(m)) {
        const ir_module *reference = ir_module_clone(m, &a);
        const tlbc_model *model = compiled_load(m, "default");
        if (CHECK(model)) check_seeds(model);
        if (model) check_evaluator(&c, &a, reference);
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
    return check_done();
}
