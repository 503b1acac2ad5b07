/* Det: by elimination with the largest element of each column as pivot, in double. */
#include "ir/eval/eval_internal.h"

#include <math.h>

/* a: n x n, overwritten. */
static double determinant(double *a, int64_t n) {
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[best * n + k])) best = i;
        for (int64_t j = k; j < n && best != k; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[best * n + j], a[best * n + j] = t;
        }
        double pivot = a[k * n + k];
        det *= best == k ? pivot : -pivot;
        for (int64_t i = k + 1; i < n && pivot != 0; i++) {
            double factor = a[i * n + k] / pivot;
            for (int64_t j = k + 1; j < n; j++)
                a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return det;
}

bool eval_det(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (s.rank < 2 || s.dims[s.rank - 1] != s.dims[s.rank - 2])
        return ev_error(e, n, "%s holds no square matrices", ev_shape_text(e, &s));
    int64_t size = s.dims[s.rank - 1];
    s.rank -= 2;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    double *a = y ? ev_f64s(e, x) : NULL;
    for (int64_t i = 0; y && i < ev_count(&s); i++)
        ir_tensor_set_f64(y, (size_t)i, determinant(a + i * size * size, size));
    return (out[0].tensor = y) != NULL;
}
