/* Windows. Fourier transforms and mel filters are calls: runtime/calls/signal.c. */
#include "ir/eval/eval_internal.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* Stores a number; whole-number types drop the fraction. */
static void store(ir_tensor *y, int64_t i, double v) {
    if (ir_dtype_is_float(y->type->dtype))
        ir_tensor_set_f64(y, (size_t)i, v);
    else
        ir_tensor_set_i64(y, (size_t)i, fabs(v) < 0x1p62 ? (int64_t)v : 0);
}

/* a - b cos(x) + c cos(2x) over one period, whose end is left out (periodic) or in (symmetric). */
bool eval_window(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *t = ev_need(e, n, in, 0);
    int64_t size;
    double a = 0.5, b = 0.5, c = 0;
    if (!t || !ev_scalar_i64(e, n, t, &size)) return false;
    if (size < 0) return ev_error(e, n, "size is %lld", (long long)size);
    if (n->op == OP_HammingWindow) a = 25.0 / 46, b = 21.0 / 46;
    if (n->op == OP_BlackmanWindow) a = 0.42, b = 0.5, c = 0.08;
    int64_t period = ir_attr_int(n, "periodic", 1) ? size : size - 1;
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)ir_attr_int(n, "output_datatype", DT_f32),
                            &(ev_shape){1, {size}});
    for (int64_t i = 0; y && i < size; i++) {
        double x = 2 * pi * (double)i / (double)period;
        store(y, i, a - b * cos(x) + c * cos(2 * x));
    }
    return (out[0].tensor = y) != NULL;
}
