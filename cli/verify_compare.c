/* Distance of two tensors in units in the last place. */
#include "cli/verify.h"

#include <math.h>

/* Mantissa bits with the hidden one, and the smallest exponent. */
static void float_format(ir_dtype t, int *bits, int *min_exponent) {
    switch (t) {
    case DT_f64:
        *bits = 53, *min_exponent = -1022;
        break;
    case DT_f16:
        *bits = 11, *min_exponent = -14;
        break;
    case DT_bf16:
        *bits = 8, *min_exponent = -126;
        break;
    default:
        *bits = 24, *min_exponent = -126;
    }
}

static double ulp_of(ir_dtype t, double want) {
    int bits, min_exponent, e;
    float_format(t, &bits, &min_exponent);
    frexp(want, &e);
    e = e - 1 < min_exponent ? min_exponent : e - 1;
    return ldexp(1, e - bits + 1);
}

/* Of integers: their difference, at least 1 where they differ. */
static double distance(ir_dtype t, const ir_tensor *a, const ir_tensor *b, size_t i, double *got,
                       double *want) {
    *got = ir_tensor_get_f64(a, i);
    *want = ir_tensor_get_f64(b, i);
    if (!ir_dtype_is_float(t)) {
        bool wide = t == DT_i64 || t == DT_u64; /* do not fit into a double */
        bool equal = wide ? ir_element_get_i64(t, a->data, i) == ir_element_get_i64(t, b->data, i)
                          : *got == *want;
        return equal ? 0 : fmax(fabs(*got - *want), 1);
    }
    if (isnan(*got) || isnan(*want)) return isnan(*got) && isnan(*want) ? 0 : INFINITY;
    if (*got == *want) return 0;
    if (isinf(*got) || isinf(*want)) return INFINITY;
    return fabs(*got - *want) / ulp_of(t, *want);
}

static bool is_fine(const verify_tolerance *tol, ir_dtype t, double got, double want, double ulp) {
    if (ulp == 0) return true;
    if (!ir_dtype_is_float(t)) return false;
    return ulp <= tol->ulp || fabs(got - want) <= tol->atol + tol->rtol * fabs(want);
}

static void compare_elements(tl_arena *a, const verify_tolerance *tol, const ir_tensor *got,
                             const ir_tensor *want, verify_result *r) {
    ir_dtype t = want->type->dtype;
    double first_got = 0, first_want = 0, first_ulp = 0;
    size_t first = 0;
    for (size_t i = 0; i < r->elements; i++) {
        double x, y, ulp = distance(t, got, want, i, &x, &y);
        if (ulp > r->ulp) r->ulp = ulp;
        if (is_fine(tol, t, x, y, ulp) || r->wrong++) continue;
        first = i, first_got = x, first_want = y, first_ulp = ulp;
    }
    if (!r->wrong) return;
    const tlbc_tensor shape = data_from_ir(want);
    r->text = tl_arena_printf(
        a, "element %s is %.9g, expected %.9g (%.3g ULP); %zu of %zu differ, by at most %.3g ULP",
        data_index_text(a, &shape, first), first_got, first_want, first_ulp, r->wrong, r->elements,
        r->ulp);
}

verify_result verify_compare(tl_arena *a, const verify_tolerance *tol, const ir_tensor *got,
                             const ir_tensor *want) {
    verify_result r = {.elements = ir_tensor_elements(want)};
    bool plain = want->type->dtype != DT_str &&
                 ir_dtype_get_class(want->type->dtype) != DTYPE_COMPLEX;
    if (plain && got->type == want->type) {
        compare_elements(a, tol, got, want, &r);
        return r;
    }
    const tlbc_tensor x = data_from_ir(got), y = data_from_ir(want);
    if (!data_compare(a, &x, &y, (data_tolerance){tol->rtol, tol->atol}, &r.text)) r.wrong = 1;
    return r;
}
