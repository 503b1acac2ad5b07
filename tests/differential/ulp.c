/* Units in the last place; see ulp.h. */
#include "tests/differential/ulp.h"

#include <math.h>

static double unit_in_last_place(ir_dtype t, double x) {
    int bits = t == DT_f64 ? 52 : t == DT_f16 ? 10 : t == DT_bf16 ? 7 : 23, e;
    double smallest = t == DT_f16    ? 0x1p-24
                      : t == DT_bf16 ? 0x1p-133
                      : t == DT_f64  ? 0x1p-1074
                                     : 0x1p-149;
    frexp(x, &e);
    double u = ldexp(1, e - 1 - bits);
    return u < smallest ? smallest : u;
}

bool ulp_equal(const ir_tensor *want, const ir_tensor *got, size_t i, ulp_bound bound) {
    ir_dtype t = want->type->dtype;
    if (!ir_dtype_is_float(t)) return ir_tensor_get_i64(want, i) == ir_tensor_get_i64(got, i);
    double w = ir_tensor_get_f64(want, i), g = ir_tensor_get_f64(got, i);
    if (isnan(w) || isnan(g)) return isnan(w) && isnan(g);
    if (w == g) return bound.ulp > 0 || signbit(w) == signbit(g);
    if (isinf(w) || isinf(g)) return false;
    return fabs(w - g) <= bound.ulp * unit_in_last_place(t, fmax(fabs(w), bound.size));
}

double ulp_mean_size(const ir_tensor *x) {
    double sum = 0;
    size_t n = ir_tensor_elements(x), finite = 0;
    for (size_t i = 0; i < n; i++) {
        double v = ir_tensor_get_f64(x, i);
        if (!isfinite(v)) continue;
        sum += v * v;
        finite++;
    }
    return finite ? sqrt(sum / (double)finite) : 0;
}
