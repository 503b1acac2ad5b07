/* Support vector machines of ai.onnx.ml.
 *
 *   regressor    sum over the vectors of coefficient * kernel(x, vector), plus rho
 *   classifier   one such decision for each pair of classes; the class with most votes wins, or, with prob_a and prob_b, the pairs'
 *                probabilities are joined to one per class (Wu, Lin and Weng's second method, as libsvm does it) */
#include "runtime/calls/ml_scores.h"

#include <math.h>
#include <string.h>

typedef enum rt_kernel { RT_LINEAR, RT_POLY, RT_RBF, RT_SIGMOID } rt_kernel;

typedef struct rt_svm {
    rt_kernel kernel;
    double gamma, coef0, degree;
    const float *vectors, *coefficients, *rho, *prob_a, *prob_b;
    const int64_t *per_class;
    uint32_t n_vectors, n_coefficients, n_rho, n_prob, n_prob_b, n_classes;
    int64_t columns;
} rt_svm;

static void rt_read_svm(const tlbc_rt_call *c, rt_svm *s) {
    uint32_t n;
    const float *params = tlbc_rt_floats(c, "kernel_params", &n);
    *s = (rt_svm){.kernel = RT_LINEAR, .columns = tlbc_rt_columns(c->in[0])};
    if (tlbc_rt_string_is(c, "kernel_type", "POLY")) s->kernel = RT_POLY;
    if (tlbc_rt_string_is(c, "kernel_type", "RBF")) s->kernel = RT_RBF;
    if (tlbc_rt_string_is(c, "kernel_type", "SIGMOID")) s->kernel = RT_SIGMOID;
    if (n == 3)
        s->gamma = (double)params[0], s->coef0 = (double)params[1], s->degree = (double)params[2];
    s->vectors = tlbc_rt_floats(c, "support_vectors", &s->n_vectors);
    s->coefficients = tlbc_rt_floats(c, "coefficients", &s->n_coefficients);
    s->rho = tlbc_rt_floats(c, "rho", &s->n_rho);
    s->prob_a = tlbc_rt_floats(c, "prob_a", &s->n_prob);
    s->prob_b = tlbc_rt_floats(c, "prob_b", &s->n_prob_b);
    s->per_class = tlbc_rt_ints(c, "vectors_per_class", &s->n_classes);
}

static double rt_kernel_of(const rt_svm *s, const tlbc_tensor *x, int64_t row, const float *v,
                           rt_kernel kernel) {
    double sum = 0;
    for (int64_t i = 0; i < s->columns; i++) {
        double a = tlbc_rt_get_f64(x, row * s->columns + i), b = (double)v[i];
        sum += kernel == RT_RBF ? (a - b) * (a - b) : a * b;
    }
    switch (kernel) {
    case RT_POLY:
        return pow(s->gamma * sum + s->coef0, s->degree);
    case RT_RBF:
        return exp(-s->gamma * sum);
    case RT_SIGMOID:
        return tanh(s->gamma * sum + s->coef0);
    case RT_LINEAR:
        break;
    }
    return sum;
}

bool tlbc_rt_op_SVMRegressor(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_svm s;
    rt_read_svm(c, &s);
    int64_t rows = tlbc_rt_rows(x), n = tlbc_rt_int(c, "n_supports", 0);
    bool fits = s.n_rho >= 1 && n >= 0 &&
                (n ? s.n_coefficients >= n && s.n_vectors == n * s.columns
                   : s.n_coefficients == s.columns);
    if (!fits)
        return tlbc_rt_call_fail(c, "vectors or coefficients do not fit %lld columns",
                                 (long long)s.columns);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, 2, (int64_t[]){rows, 1});
    for (int64_t r = 0; y && r < rows; r++) {
        double sum = (double)s.rho[0];
        if (!n) sum += rt_kernel_of(&s, x, r, s.coefficients, RT_LINEAR);
        for (int64_t k = 0; k < n; k++)
            sum += (double)s.coefficients[k] *
                   rt_kernel_of(&s, x, r, s.vectors + k * s.columns, s.kernel);
        if (tlbc_rt_int(c, "one_class", 0))
            sum = sum > 0 ? 1 : -1;
        else
            tlbc_rt_apply(tlbc_rt_post_transform(c), &sum, 1);
        ((float *)y->data)[r] = (float)sum;
    }
    return y != NULL;
}

/* ---- classifier --------------------------------------------------------------------------------------------------------- */

/* Decisions of all pairs of classes, in order, and how many each class wins. */
static void rt_decide(const rt_svm *s, const double *kernels, int64_t total, double *pairs,
                      double *votes) {
    int64_t pair = 0, start_i = 0;
    for (uint32_t i = 0; i < s->n_classes; i++) {
        int64_t start_j = start_i + s->per_class[i];
        for (uint32_t j = i + 1; j < s->n_classes; j++, pair++) {
            double sum = (double)s->rho[pair];
            for (int64_t k = 0; k < s->per_class[i]; k++)
                sum += (double)s->coefficients[(j - 1) * total + start_i + k] *
                       kernels[start_i + k];
            for (int64_t k = 0; k < s->per_class[j]; k++)
                sum += (double)s->coefficients[i * total + start_j + k] * kernels[start_j + k];
            pairs[pair] = sum;
            votes[sum > 0 ? i : j] += 1;
            start_j += s->per_class[j];
        }
        start_i += s->per_class[i];
    }
}

/* Probabilities p of n classes from r[i][j] = P(i | i or j): minimises the sum of (r[j][i] p[i] - r[i][j] p[j])^2 by coordinates. */
static void rt_join_pairs(const double *r, int64_t n, double *q, double *qp, double *p) {
    int64_t rounds = n > 100 ? n : 100;
    for (int64_t t = 0; t < n; t++) {
        p[t] = 1.0 / (double)n;
        q[t * n + t] = 0;
        for (int64_t j = 0; j < n; j++) {
            if (j == t) continue;
            q[t * n + t] += r[j * n + t] * r[j * n + t];
            q[t * n + j] = -r[j * n + t] * r[t * n + j];
        }
    }
    for (int64_t round = 0; round < rounds; round++) {
        double pqp = 0, worst = 0;
        for (int64_t t = 0; t < n; t++) {
            qp[t] = 0;
            for (int64_t j = 0; j < n; j++)
                qp[t] += q[t * n + j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (int64_t t = 0; t < n; t++)
            if (fabs(qp[t] - pqp) > worst) worst = fabs(qp[t] - pqp);
        if (worst < 0.005 / (double)n) return;
        for (int64_t t = 0; t < n; t++) {
            double d = (pqp - qp[t]) / q[t * n + t];
            p[t] += d;
            pqp = (pqp + d * (d * q[t * n + t] + 2 * qp[t])) / (1 + d) / (1 + d);
            for (int64_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + d * q[t * n + j]) / (1 + d);
                p[j] /= 1 + d;
            }
        }
    }
}

static bool rt_probabilities(tlbc_rt_call *c, const rt_svm *s, const double *pairs, double *p) {
    int64_t n = s->n_classes, pair = 0;
    double *r = tlbc_rt_alloc(c, (size_t)(n * n), 8), *q = tlbc_rt_alloc(c, (size_t)(n * n), 8),
           *qp = tlbc_rt_alloc(c, (size_t)n, 8);
    if (!r || !q || !qp) return false;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, pair++) {
            double v = 1 - (double)tlbc_rt_logistic(pairs[pair] * (double)s->prob_a[pair] +
                                                    (double)s->prob_b[pair]);
            v = v < 1e-7 ? 1e-7 : v > 1 - 1e-7 ? 1 - 1e-7 : v;
            r[i * n + j] = v;
            r[j * n + i] = 1 - v;
        }
    rt_join_pairs(r, n, q, qp, p);
    return true;
}

/* Sizes of the attributes; the number of vectors in *total. */
static bool rt_check_svm(tlbc_rt_call *c, const rt_svm *s, int64_t *total) {
    int64_t n = s->n_classes, pairs = n * (n - 1) / 2;
    *total = 0;
    for (uint32_t i = 0; i < s->n_classes; i++) {
        if (s->per_class[i] < 0 || s->per_class[i] > (int64_t)1 << 40)
            return tlbc_rt_call_fail(c, "a class has %lld vectors", (long long)s->per_class[i]);
        *total += s->per_class[i];
    }
    bool fits = n >= 2 && s->n_vectors == *total * s->columns &&
                s->n_coefficients == (n - 1) * *total && s->n_rho >= pairs &&
                s->n_prob == s->n_prob_b && (!s->n_prob || s->n_prob >= pairs);
    return fits || tlbc_rt_call_fail(c, "vectors, coefficients or rho do not fit %lld classes",
                                     (long long)n);
}

static bool rt_classify_pairs(tlbc_rt_call *c, const rt_svm *s, const tlbc_rt_labels *labels) {
    const tlbc_tensor *x = c->in[0];
    int64_t total, rows = tlbc_rt_rows(x), n = s->n_classes, pairs = n * (n - 1) / 2;
    if (!rt_check_svm(c, s, &total)) return false;
    bool prob = s->n_prob > 0;
    int64_t width = prob ? n : n == 2 ? 2 : pairs;
    tlbc_tensor *y = tlbc_rt_label_result(c, labels, rows),
                *z = tlbc_rt_result(c, 1, TLBC_F32, 2, (int64_t[]){rows, width});
    double *kernels = tlbc_rt_alloc(c, (size_t)total, 8),
           *decisions = tlbc_rt_alloc(c, (size_t)pairs + 1, 8),
           *votes = tlbc_rt_alloc(c, (size_t)n, 8), *p = tlbc_rt_alloc(c, (size_t)n, 8);
    if (!y || !z || !kernels || !decisions || !votes || !p) return false;
    for (int64_t r = 0; r < rows; r++) {
        memset(votes, 0, (size_t)n * sizeof *votes);
        for (int64_t k = 0; k < total; k++)
            kernels[k] = rt_kernel_of(s, x, r, s->vectors + k * s->columns, s->kernel);
        rt_decide(s, kernels, total, decisions, votes);
        if (prob && !rt_probabilities(c, s, decisions, p)) return false;
        tlbc_rt_put_label(y, labels, r, tlbc_rt_largest(votes, n));
        double *scores = prob ? p : decisions;
        if (!prob && n == 2) decisions[1] = decisions[0], decisions[0] = -decisions[1];
        tlbc_rt_apply(tlbc_rt_post_transform(c), scores, width);
        for (int64_t k = 0; k < width; k++)
            ((float *)z->data)[r * width + k] = (float)scores[k];
    }
    return true;
}

/* Without support vectors: a row of coefficients for each class. */
static bool rt_classify_rows(tlbc_rt_call *c, const rt_svm *s, const tlbc_rt_labels *labels) {
    const tlbc_tensor *x = c->in[0];
    int64_t rows = tlbc_rt_rows(x), n = labels->n;
    if (!n || s->n_coefficients != n * s->columns || !s->n_rho)
        return tlbc_rt_call_fail(c, "%u coefficients for %lld classes", s->n_coefficients,
                                 (long long)n);
    tlbc_tensor *y = tlbc_rt_label_result(c, labels, rows),
                *z = tlbc_rt_result(c, 1, TLBC_F32, 2, (int64_t[]){rows, n});
    double *scores = tlbc_rt_alloc(c, (size_t)n, 8);
    for (int64_t r = 0; y && z && scores && r < rows; r++) {
        for (int64_t k = 0; k < n; k++)
            scores[k] = (double)s->rho[0] +
                        rt_kernel_of(s, x, r, s->coefficients + k * s->columns, RT_LINEAR);
        tlbc_rt_put_label(y, labels, r, tlbc_rt_largest(scores, n));
        tlbc_rt_apply(tlbc_rt_post_transform(c), scores, n);
        for (int64_t k = 0; k < n; k++)
            ((float *)z->data)[r * n + k] = (float)scores[k];
    }
    return y && z && scores;
}

bool tlbc_rt_op_SVMClassifier(tlbc_rt_call *c) {
    rt_svm s;
    tlbc_rt_labels labels = tlbc_rt_read_labels(c, "classlabels_ints", "classlabels_strings");
    rt_read_svm(c, &s);
    return s.n_classes ? rt_classify_pairs(c, &s, &labels) : rt_classify_rows(c, &s, &labels);
}
