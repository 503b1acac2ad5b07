/* Inverse (com.microsoft): each matrix of the last two axes, by elimination with the largest element of a column as its pivot, in f64. Of a
 * matrix without an inverse infinities and no numbers come out, as in ONNX Runtime. */
#include "runtime/calls/call.h"

#include <math.h>

/* Row i of the matrix with the unit matrix beside it: 2 n numbers. */
static double *rt_row(double *work, int64_t n, int64_t i) {
    return work + i * 2 * n;
}

static void rt_swap_rows(double *a, double *b, int64_t n) {
    for (int64_t j = 0; j < n && a != b; j++) {
        double v = a[j];
        a[j] = b[j], b[j] = v;
    }
}

static int64_t rt_pivot(double *work, int64_t n, int64_t column) {
    int64_t best = column;
    for (int64_t i = column + 1; i < n; i++)
        if (fabs(rt_row(work, n, i)[column]) > fabs(rt_row(work, n, best)[column])) best = i;
    return best;
}

/* Behind it the left half is the unit matrix, and the right half the inverse. */
static void rt_eliminate(double *work, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        double *row = rt_row(work, n, k);
        rt_swap_rows(row, rt_row(work, n, rt_pivot(work, n, k)), 2 * n);
        double pivot = row[k];
        for (int64_t j = 0; j < 2 * n; j++)
            row[j] /= pivot;
        for (int64_t i = 0; i < n; i++) {
            double *other = rt_row(work, n, i), factor = other[k];
            for (int64_t j = 0; i != k && j < 2 * n; j++)
                other[j] -= factor * row[j];
        }
    }
}

static void rt_invert(const tlbc_tensor *x, tlbc_tensor *y, int64_t at, int64_t n, double *work) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            rt_row(work, n, i)[j] = tlbc_rt_get_f64(x, at + i * n + j);
            rt_row(work, n, i)[n + j] = i == j;
        }
    rt_eliminate(work, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            tlbc_rt_set_f64(y, at + i * n + j, rt_row(work, n, i)[n + j]);
}

bool tlbc_rt_op_Inverse(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    if (x->rank < 2) return tlbc_rt_call_fail(c, "rank is %u, expected 2 or more", x->rank);
    int64_t n = x->dims[x->rank - 1], rows = x->dims[x->rank - 2];
    if (n != rows)
        return tlbc_rt_call_fail(c, "matrices of %lld x %lld", (long long)rows, (long long)n);
    tlbc_tensor *y = tlbc_rt_result(c, 0, x->dtype, x->rank, x->dims);
    if (!y || n == 0) return y != NULL;
    double *work = tlbc_rt_alloc(c, (size_t)n, 2 * (size_t)n * sizeof *work);
    int64_t count = tlbc_rt_product(x, 0, x->rank - 2);
    for (int64_t i = 0; work && i < count; i++)
        rt_invert(x, y, i * n * n, n, work);
    return work != NULL;
}
