/* Softmax, LogSoftmax, Hardmax along one axis (the form since opset 13). Sums in double, one rounding at the end. */
#include "ir/eval/eval_internal.h"

#include <math.h>

static double max_of(const double *x, int64_t n) {
    double max = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > max || isnan(x[i])) max = x[i];
    return max;
}

static void softmax(double *x, int64_t n, bool logarithm) {
    double max = max_of(x, n), sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    for (int64_t i = 0; i < n; i++)
        x[i] = logarithm ? x[i] - max - log(sum) : exp(x[i] - max) / sum;
}

/* 1 at the first maximum. */
static void hardmax(double *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    for (int64_t i = 0; i < n; i++)
        x[i] = i == best;
}

bool eval_softmax(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0);
    int32_t axis;
    if (!x) return false;
    ev_shape s = ev_shape_of(x);
    if (!ev_axis(e, n, ir_attr_int(n, "axis", -1), s.rank, &axis)) return false;
    ir_tensor *y = ev_alloc(e, n, x->type->dtype, &s);
    if (!y) return false;
    out[0].tensor = y;
    if (ev_count(&s) == 0) return true;
    ev_lanes l = ev_lanes_of(&s, axis);
    double *row = TL_NEW_ARRAY(e->arena, double, (size_t)l.n);
    for (int64_t r = 0; r < l.outer * l.inner; r++) {
        size_t base = (size_t)(r / l.inner * l.n * l.inner + r % l.inner);
        for (int64_t i = 0; i < l.n; i++)
            row[i] = ir_tensor_get_f64(x, base + (size_t)(i * l.inner));
        if (n->op == OP_Hardmax)
            hardmax(row, l.n);
        else
            softmax(row, l.n, n->op == OP_LogSoftmax);
        for (int64_t i = 0; i < l.n; i++)
            ir_tensor_set_f64(y, base + (size_t)(i * l.inner), row[i]);
    }
    return true;
}
