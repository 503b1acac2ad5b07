/* Vector mathematics: pow, f32 and i64. Largest error of f32: 0.75 units in the last place.
 *
 * |x|^y = 2^(y log2 |x|), computed in f64: the exponent is up to 150 in size and needs 8 bits more than the result, and in f64 all numbers
 * are normal, so that neither subnormal operands nor results are special. The polynomials have the 36 bits that this takes. */
#include "codegen/vmath_internal.h"

#include <math.h>

/* log2 x, x >= 0, a f32 number in f64 */
static lp_value *log2_of(const vm *w, lp_value *x) {
    vm_split s = vm_split_float(w, x);
    lp_value *y = vm_fma(w, s.f, vm_horner(w, s.f, vm_pow_log2_table),
                         vm_sub(w, s.k, vm_c(w, s.offset)));
    y = vm_select(w, vm_cmp(w, LP_lt, x, INFINITY), y, x);
    return vm_select(w, vm_cmp(w, LP_eq, x, 0), vm_c(w, -INFINITY), y);
}

/* 2^x; beyond +-200 it makes no difference in f32. */
static lp_value *exp2_of(const vm *w, lp_value *x) {
    static const double one[] = {1};
    x = vm_at_least(w, vm_at_most(w, x, 200), -200);
    vm_reduced k = vm_reduce(w, x, one, 1, 1, w->bias);
    return vm_mul(w, vm_horner(w, k.r, vm_pow_exp2_table), vm_power(w, &k));
}

static lp_value *both(const vm *w, lp_value *x, lp_value *y) {
    return lp_bin(w->b, LP_and, x, y);
}
static lp_value *either(const vm *w, lp_value *x, lp_value *y) {
    return lp_bin(w->b, LP_or, x, y);
}

/* C's rules: x^0 = 1^y = (-1)^+-inf = 1, NaN or not. */
static lp_value *is_one(const vm *w, lp_value *x, lp_value *y) {
    lp_value *endless = vm_cmp(w, LP_eq, vm_abs(w, y), INFINITY);
    lp_value *unit = both(w, vm_cmp(w, LP_eq, vm_abs(w, x), 1), endless);
    return either(w, vm_cmp(w, LP_eq, y, 0), either(w, vm_cmp(w, LP_eq, x, 1), unit));
}

lp_value *vm_pow(const vm *v, lp_value *x, lp_value *y) {
    vm w = vm_of_type(v->b, DT_f64, v->lanes);
    lp_value *wx = lp_cast(v->b, x, DT_f64), *wy = lp_cast(v->b, y, DT_f64);
    lp_value *power = exp2_of(&w, vm_mul(&w, wy, log2_of(&w, vm_abs(&w, wx))));
    lp_value *half = vm_mul(&w, wy, vm_c(&w, 0.5));
    lp_value *is_whole = lp_bin(v->b, LP_eq, lp_un(v->b, LP_trunc, wy), wy);
    lp_value *is_odd = both(&w, is_whole, lp_bin(v->b, LP_ne, lp_un(v->b, LP_trunc, half), half));
    /* a negative number to a fraction */
    lp_value *finite = both(&w, vm_cmp(&w, LP_lt, wx, 0), vm_cmp(&w, LP_gt, wx, -INFINITY));
    lp_value *undefined = both(&w, finite, lp_bin(v->b, LP_ne, lp_un(v->b, LP_trunc, wy), wy));
    power = vm_select(&w, undefined, vm_c(&w, NAN), power);
    power = vm_select(&w, is_odd, vm_with_sign(&w, power, wx), power);
    return lp_cast(v->b, vm_select(&w, is_one(&w, wx, wy), vm_c(&w, 1), power), DT_f32);
}

/* ---- integers ---------------------------------------------------------------------------------------------------------- */

static lp_value *int_const(lp_builder *b, const lp_value *like, int64_t c) {
    return lp_const_i(b, like->type, c);
}
static lp_value *is_int(lp_builder *b, lp_value *x, int64_t c) {
    return lp_bin(b, LP_eq, x, int_const(b, x, c));
}

/* x^y, y >= 0, by squaring, as many steps as the longest exponent of the lanes takes; modulo 2^64. */
static lp_value *power_by_squaring(lp_builder *b, lp_value *x, lp_value *y) {
    unsigned lanes = x->type.lanes;
    lp_value *init[] = {int_const(b, x, 1), x, y};
    lp_loop l = lp_while_begin(b, init, 3);
    lp_value *left = lp_bin(b, LP_ne, l.carried[2], int_const(b, x, 0));
    lp_while_do(b, &l, lanes > 1 ? lp_reduce(b, LP_reduce_max, left) : left);
    lp_value *product = l.carried[0], *base = l.carried[1], *rest = l.carried[2];
    lp_value *odd = is_int(b, lp_bin(b, LP_and, rest, int_const(b, x, 1)), 1);
    lp_value *one = int_const(b, x, 1);
    lp_value *next[] = {lp_select(b, odd, lp_bin(b, LP_mul, product, base), product),
                        lp_bin(b, LP_mul, base, base), lp_bin(b, LP_shr, rest, one)};
    lp_while_end(b, &l, next);
    return l.results[0];
}

/* A negative exponent gives the whole part of the fraction: 0 but for bases 1 and -1, whose power is that of the positive exponent. */
lp_value *vm_pow_i64(lp_builder *b, lp_value *x, lp_value *y) {
    lp_value *zero = int_const(b, x, 0), *is_negative = lp_bin(b, LP_lt, y, zero);
    lp_value *is_unit = lp_bin(b, LP_or, is_int(b, x, 1), is_int(b, x, -1));
    lp_value *parity = lp_bin(b, LP_and, y, int_const(b, y, 1));
    lp_value *result = power_by_squaring(b, x, lp_select(b, is_negative, parity, y));
    lp_value *vanishes = lp_bin(b, LP_and, is_negative, lp_un(b, LP_not, is_unit));
    return lp_select(b, vanishes, zero, result);
}
