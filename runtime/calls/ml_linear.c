/* Linear models of ai.onnx.ml. */
#include "runtime/calls/ml_scores.h"

/* scores[k] = x[row] . coefficients[k] + intercepts[k] */
static void rt_linear(const tlbc_tensor *x, int64_t row, int64_t columns, const float *coefficients,
                      const float *intercepts, uint32_t n_intercepts, double *scores, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        double sum = k < n_intercepts ? (double)intercepts[k] : 0;
        for (int64_t i = 0; i < columns; i++)
            sum += tlbc_rt_get_f64(x, row * columns + i) * (double)coefficients[k * columns + i];
        scores[k] = sum;
    }
}

bool tlbc_rt_op_LinearRegressor(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t n_coefficients, n_intercepts;
    const float *coefficients = tlbc_rt_floats(c, "coefficients", &n_coefficients),
                *intercepts = tlbc_rt_floats(c, "intercepts", &n_intercepts);
    int64_t targets = tlbc_rt_int(c, "targets", 1), rows = tlbc_rt_rows(x),
            columns = tlbc_rt_columns(x), wanted;
    if (targets < 1 || __builtin_mul_overflow(targets, columns, &wanted) ||
        wanted != n_coefficients)
        return tlbc_rt_call_fail(c, "%u coefficients for %lld targets of %lld columns",
                                 n_coefficients, (long long)targets, (long long)columns);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, 2, (int64_t[]){rows, targets});
    double *scores = tlbc_rt_alloc(c, (size_t)targets, sizeof *scores);
    for (int64_t r = 0; y && scores && r < rows; r++) {
        rt_linear(x, r, columns, coefficients, intercepts, n_intercepts, scores, targets);
        tlbc_rt_apply(tlbc_rt_post_transform(c), scores, targets);
        for (int64_t k = 0; k < targets; k++)
            ((float *)y->data)[r * targets + k] = (float)scores[k];
    }
    return y && scores;
}

/* One row of coefficients for two classes: the second class has the score, the first the opposite. */
bool tlbc_rt_op_LinearClassifier(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    uint32_t n_coefficients, n_intercepts;
    const float *coefficients = tlbc_rt_floats(c, "coefficients", &n_coefficients),
                *intercepts = tlbc_rt_floats(c, "intercepts", &n_intercepts);
    tlbc_rt_labels labels = tlbc_rt_read_labels(c, "classlabels_ints", "classlabels_strings");
    int64_t rows = tlbc_rt_rows(x), columns = tlbc_rt_columns(x);
    int64_t n = columns ? n_coefficients / columns : 0;
    if (!n || n * columns != n_coefficients)
        return tlbc_rt_call_fail(c, "%u coefficients for %lld columns", n_coefficients,
                                 (long long)columns);
    bool binary = n == 1 && labels.n == 2;
    int64_t width = binary ? 2 : n;
    tlbc_rt_transform transform = tlbc_rt_post_transform(c);
    tlbc_tensor *y = tlbc_rt_label_result(c, &labels, rows),
                *z = tlbc_rt_result(c, 1, TLBC_F32, 2, (int64_t[]){rows, width});
    double *scores = tlbc_rt_alloc(c, (size_t)width, sizeof *scores);
    for (int64_t r = 0; y && z && scores && r < rows; r++) {
        rt_linear(x, r, columns, coefficients, intercepts, n_intercepts, scores, n);
        if (binary) scores[1] = scores[0], scores[0] = -scores[1];
        tlbc_rt_apply(transform, scores, width);
        double limit = transform == TLBC_RT_NONE ? 0 : 0.5;
        int64_t which = width > 1            ? tlbc_rt_largest(scores, width)
                        : scores[0] >= limit ? 0
                                             : labels.n;
        tlbc_rt_put_label(y, &labels, r, which);
        if (width == 1 && which && !labels.strings) ((int64_t *)y->data)[r] = 0;
        for (int64_t k = 0; k < width; k++)
            ((float *)z->data)[r * width + k] = (float)scores[k];
    }
    return y && z && scores;
}
