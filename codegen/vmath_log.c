/* Vector mathematics: logarithms and what is made of them. Largest errors in units in the last place, f32 and f64:
 *
 *   log     1.25  1
 *   log1p   2     2
 *   asinh   3     3
 *   acosh   3     3
 *   atanh   3     3   */
#include "codegen/vmath_internal.h"

#include <math.h>

static int64_t root_half_bits(const vm *v) {
    return v->wide ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
}

/* Moving the bits such that the exponent field changes at sqrt(1/2) and not at 1. k becomes a float by being put into the bits of a
 * large one. */
vm_split vm_split_float(const vm *v, lp_value *x) {
    int64_t one = v->bias << v->mantissa, root = root_half_bits(v);
    lp_value *moved = vm_int(v, LP_add, vm_bits(v, x), one - root);
    lp_value *m = vm_int(v, LP_and, moved, ((int64_t)1 << v->mantissa) - 1);
    lp_value *field = vm_shr(v, moved, v->mantissa);
    int64_t large = (v->bias + v->mantissa) << v->mantissa;
    vm_split s = {.offset = ldexp(1, (int)v->mantissa) + (double)v->bias,
                  .k = vm_float(v, vm_int(v, LP_or, field, large))};
    s.f = vm_sub(v, vm_float(v, vm_int(v, LP_add, m, root)), vm_c(v, 1));
    s.shift = vm_int(v, LP_sub, vm_sub(v, moved, m), one);
    return s;
}

/* k ln 2 + log1p(f) */
static lp_value *combine(const vm *v, lp_value *k, lp_value *f) {
    const double *ln2 = vm_ln2[v->wide];
    lp_value *q = vm_poly(v, f, vm_log_table), *square = vm_mul(v, f, f);
    lp_value *y = vm_fma(v, square, q, v->wide ? vm_mul(v, k, vm_c(v, ln2[1])) : f);
    if (v->wide) y = vm_add(v, f, y);
    return vm_fma(v, k, vm_c(v, ln2[0]), y);
}

/* The logarithm's values where x is not a positive finite number; y elsewhere. */
static lp_value *fix_specials(const vm *v, lp_value *x, lp_value *y) {
    lp_value *low = vm_select(v, vm_cmp(v, LP_eq, x, 0), vm_c(v, -INFINITY), vm_c(v, NAN));
    y = vm_select(v, vm_cmp(v, LP_lt, x, INFINITY), y, x);
    return vm_select(v, vm_cmp(v, LP_gt, x, 0), y, low);
}

lp_value *vm_log(const vm *v, lp_value *x) {
    double scale = ldexp(1, (int)v->mantissa);
    lp_value *is_small = vm_cmp(v, LP_lt, x, ldexp(1, 1 - (int)v->bias));
    vm_split s = vm_split_float(v, vm_select(v, is_small, vm_mul(v, x, vm_c(v, scale)), x));
    lp_value *k = vm_sub(
        v, s.k, vm_select(v, is_small, vm_c(v, s.offset + (double)v->mantissa), vm_c(v, s.offset)));
    return fix_specials(v, x, combine(v, k, s.f));
}

/* With 1 + x = 2^k (1 + f) up to rounding, f = 2^-k x + (2^-k - 1) is computed from x itself, with one rounding. 2^-k x by subtracting
 * from the exponent: where k is not 0, x is far from the ends of the range. */
lp_value *vm_log1p(const vm *v, lp_value *x) {
    lp_value *u = vm_add(v, x, vm_c(v, 1));
    vm_split s = vm_split_float(v, u);
    lp_value *k = vm_sub(v, s.k, vm_c(v, s.offset));
    lp_value *scaled = vm_float(v, vm_sub(v, vm_bits(v, x), s.shift));
    /* 2^-k, not below 2^-100, which makes no difference any more */
    int64_t one = v->bias << v->mantissa;
    lp_value *limit = vm_i(v, s.shift, (int64_t)100 << v->mantissa);
    lp_value *shift = vm_select(v, lp_bin(v->b, LP_lt, s.shift, limit), s.shift, limit);
    lp_value *power = vm_float(v, lp_bin(v->b, LP_sub, vm_i(v, shift, one), shift));
    lp_value *f = vm_add(v, scaled, vm_sub(v, power, vm_c(v, 1)));
    return vm_with_sign(v, fix_specials(v, u, combine(v, k, f)), x);
}

/* log1p(t) + log 2 where is_big, else log1p(t). */
static lp_value *log1p_doubled(const vm *v, lp_value *t, lp_value *is_big) {
    lp_value *ln2 = vm_select(v, is_big, vm_c(v, vm_ln2[v->wide][0]), vm_c(v, 0));
    return vm_add(v, vm_log1p(v, t), ln2);
}

/* From here on x^2 + 1 = x^2, log(1 + x) = log x, and x^2 is still far from overflow. */
static double big_argument(const vm *v) {
    return v->wide ? 0x1p60 : 0x1p30;
}

/* log(a + sqrt(a^2 + 1)), a = |x|, as log1p(a + a^2 / (1 + sqrt(a^2 + 1))); log(2 a) for large a. */
lp_value *vm_asinh(const vm *v, lp_value *x) {
    lp_value *a = vm_abs(v, x), *one = vm_c(v, 1), *square = vm_mul(v, a, a);
    lp_value *root = lp_un(v->b, LP_sqrt, vm_fma(v, a, a, one));
    lp_value *t = vm_add(v, a, vm_div(v, square, vm_add(v, root, one)));
    lp_value *is_big = vm_cmp(v, LP_gt, a, big_argument(v));
    return vm_with_sign(v, log1p_doubled(v, vm_select(v, is_big, a, t), is_big), x);
}

/* log(x + sqrt(x^2 - 1)) with t = x - 1, which is exact close to 1, as log1p(t + sqrt(t^2 + 2 t)); log(2 x) for large x. */
lp_value *vm_acosh(const vm *v, lp_value *x) {
    lp_value *t = vm_sub(v, x, vm_c(v, 1));
    lp_value *root = lp_un(v->b, LP_sqrt, vm_fma(v, t, t, vm_add(v, t, t)));
    lp_value *is_big = vm_cmp(v, LP_gt, x, big_argument(v));
    lp_value *y = log1p_doubled(v, vm_select(v, is_big, x, vm_add(v, t, root)), is_big);
    return vm_select(v, vm_cmp(v, LP_lt, x, 1), vm_c(v, NAN), y);
}

/* log((1 + a) / (1 - a)) / 2, a = |x|, as log1p(2 a / (1 - a)) / 2. */
lp_value *vm_atanh(const vm *v, lp_value *x) {
    lp_value *a = vm_abs(v, x);
    lp_value *t = vm_div(v, vm_add(v, a, a), vm_sub(v, vm_c(v, 1), a));
    return vm_with_sign(v, vm_mul(v, vm_log1p(v, t), vm_c(v, 0.5)), x);
}
