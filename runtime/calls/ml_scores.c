/* Post transforms and labels; see ml_scores.h. */
#include "runtime/calls/ml_scores.h"

#include <math.h>
#include <string.h>

tlbc_rt_transform tlbc_rt_post_transform(const tlbc_rt_call *c) {
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    for (unsigned i = 1; i < 5; i++)
        if (tlbc_rt_string_is(c, "post_transform", names[i])) return (tlbc_rt_transform)i;
    return TLBC_RT_NONE;
}

float tlbc_rt_logistic(double x) {
    float v = 1 / (1 + expf(-fabsf((float)x)));
    return x < 0 ? 1 - v : v;
}

/* zeros: scores that are 0 stay 0. */
static void rt_softmax(double *v, int64_t n, bool zeros) {
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (v[i] > max) max = v[i];
    for (int64_t i = 0; i < n; i++) {
        bool zero = zeros && v[i] < 1e-7 && v[i] > -1e-7;
        v[i] = zero ? v[i] * exp(-max) : exp(v[i] - max);
        sum += v[i];
    }
    for (int64_t i = 0; i < n; i++)
        v[i] = sum != 0 ? v[i] / sum : 0.5;
}

/* Winitzki's approximation of the inverse error function, which ONNX's implementations share. */
static double rt_probit(double p) {
    double x = 2 * p - 1, sign = x < 0 ? -1 : 1, rest = (1 - x) * (1 + x);
    if (rest == 0) return 0;
    double l = log(rest), v = 2 / (3.14159265358979323846 * 0.147) + 0.5 * l;
    return 1.41421356 * sign * sqrt(sqrt(v * v - l / 0.147) - v);
}

void tlbc_rt_apply(tlbc_rt_transform t, double *v, int64_t n) {
    if (t == TLBC_RT_SOFTMAX || t == TLBC_RT_SOFTMAX_ZERO)
        rt_softmax(v, n, t == TLBC_RT_SOFTMAX_ZERO);
    for (int64_t i = 0; i < n; i++) {
        if (t == TLBC_RT_LOGISTIC) v[i] = (double)tlbc_rt_logistic(v[i]);
        if (t == TLBC_RT_PROBIT) v[i] = rt_probit(v[i]);
    }
}

tlbc_rt_labels tlbc_rt_read_labels(const tlbc_rt_call *c, const char *ints, const char *strings) {
    tlbc_rt_labels l = {0};
    uint32_t n;
    l.ints = tlbc_rt_ints(c, ints, &l.n);
    l.strings = tlbc_rt_strings(c, strings, &n);
    if (n) l.n = n, l.ints = NULL;
    return l;
}

tlbc_tensor *tlbc_rt_label_result(tlbc_rt_call *c, const tlbc_rt_labels *l, int64_t rows) {
    return tlbc_rt_result(c, 0, l->strings ? TLBC_STRING : TLBC_I64, 1, &rows);
}

void tlbc_rt_put_label(tlbc_tensor *y, const tlbc_rt_labels *l, int64_t row, int64_t which) {
    if (l->strings)
        tlbc_rt_text(y)[row] = which < l->n ? l->strings[which] : (tlbc_string){NULL, 0};
    else
        ((int64_t *)y->data)[row] = l->ints && which < l->n ? l->ints[which] : which;
}

int64_t tlbc_rt_largest(const double *v, int64_t n) {
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++)
        if (v[i] > v[at]) at = i;
    return at;
}

int64_t tlbc_rt_rows(const tlbc_tensor *x) {
    return x->rank > 1 ? x->dims[0] : 1;
}

int64_t tlbc_rt_columns(const tlbc_tensor *x) {
    return tlbc_rt_product(x, x->rank > 1, x->rank);
}
