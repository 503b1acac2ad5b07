/* Vector mathematics: exp and what is made of it. Largest errors in units in the last place, f32 and f64:
 *
 *   exp     1.75  1.5
 *   expm1   2     2
 *   sinh    2.5   2.5
 *   cosh    2     2
 *   tanh    2.75  2.75  */
#include "codegen/vmath_internal.h"

/* exp(x) = 2^h 2^h exp(r), h = round(x / (2 ln 2)), |r| <= ln 2. Splitting off an even power costs one more step of the polynomial, but
 * makes both scale factors the same and always normal: the smallest subnormal and infinity come out right with two products. Arguments
 * are clamped to just outside of where results are neither 0 nor infinite. */
lp_value *vm_exp(const vm *v, lp_value *x) {
    x = vm_at_least(v, vm_at_most(v, x, v->wide ? 710 : 89), v->wide ? -746 : -104);
    vm_reduced k = vm_reduce(v, x, vm_ln2[v->wide], 2, 2, v->bias);
    lp_value *scale = vm_power(v, &k), *p = vm_poly(v, k.r, vm_exp_table);
    return vm_mul(v, vm_mul(v, p, scale), scale);
}

/* 2^-j (exp(x) - one), x clamped such that 2^(n - j) is normal: 2^n (exp(r) - 1) + (2^n - one), where the second term is exact as long
 * as it matters. */
static lp_value *scaled_exp(const vm *v, lp_value *x, int j, bool minus_one) {
    vm_reduced k = vm_reduce(v, x, vm_ln2[v->wide], 2, 1, v->bias - j);
    lp_value *scale = vm_power(v, &k);
    lp_value *p = vm_fma(v, vm_mul(v, k.r, k.r), vm_poly(v, k.r, vm_expm1_table), k.r);
    lp_value *rest = minus_one ? vm_sub(v, scale, vm_c(v, j == 2 ? 0.25 : 0.5)) : scale;
    return vm_fma(v, scale, p, rest);
}

lp_value *vm_expm1(const vm *v, lp_value *x) {
    lp_value *c = vm_at_least(v, vm_at_most(v, x, v->wide ? 710 : 89), v->wide ? -40 : -20);
    lp_value *half = scaled_exp(v, c, 1, true);
    return vm_with_sign(v, vm_add(v, half, half), x);
}

/* With d = (exp|x| - 1) / 2: sinh|x| = d + d / (2 d + 1). The quotient's numerator never overflows. */
lp_value *vm_sinh(const vm *v, lp_value *x) {
    lp_value *c = vm_at_most(v, vm_abs(v, x), v->wide ? 710.5 : 89.5);
    lp_value *half = scaled_exp(v, c, 2, true), *d = vm_add(v, half, half);
    lp_value *e = vm_fma(v, half, vm_c(v, 4), vm_c(v, 1));
    return vm_with_sign(v, vm_fma(v, vm_div(v, half, e), vm_c(v, 2), d), x);
}

/* With e = exp|x| / 2: cosh x = e + 1/4 / e. */
lp_value *vm_cosh(const vm *v, lp_value *x) {
    lp_value *c = vm_at_most(v, vm_abs(v, x), v->wide ? 710.5 : 89.5);
    lp_value *half = scaled_exp(v, c, 2, false), *e = vm_add(v, half, half);
    return vm_add(v, e, vm_div(v, vm_c(v, 0.25), e));
}

/* tanh(r + n ln 2 / 2) with t = tanh r, |r| <= ln 2 / 4, by the addition theorem: tanh(n ln 2 / 2) = (2^n - 1) / (2^n + 1), so
 *   (t (2^n + 1) + (2^n - 1)) / (t (2^n - 1) + (2^n + 1)).
 * No cancellation, and for n = 0 just t. Beyond the clamp the quotient rounds to 1. */
lp_value *vm_tanh(const vm *v, lp_value *x) {
    lp_value *c = vm_at_most(v, vm_abs(v, x), v->wide ? 19.1 : 9.1);
    vm_reduced k = vm_reduce(v, c, vm_ln2[v->wide], v->wide ? 2 : 1, 0.5, v->bias);
    lp_value *scale = vm_power(v, &k), *u = vm_mul(v, k.r, k.r);
    lp_value *t = vm_fma(v, vm_mul(v, k.r, u), vm_poly(v, u, vm_tanh_table), k.r);
    lp_value *plus = vm_add(v, scale, vm_c(v, 1)), *minus = vm_sub(v, scale, vm_c(v, 1));
    lp_value *y = vm_div(v, vm_fma(v, t, plus, minus), vm_fma(v, t, minus, plus));
    return vm_with_sign(v, y, x);
}
