/* Vector mathematics: inverse trigonometric functions, f32. Largest errors in units in the last place:
 *
 *   asin    3
 *   acos    1.5
 *   atan    2
 *   atan2   2
 *
 * All end as  start + times * p  with p >= 0 and start one of 0, pi/2, pi, which has two parts. */
#include "codegen/vmath_internal.h"

#include <math.h>

/* times p + quarters pi/2, where `quarters` are small integers: exact factors. */
static lp_value *combine(const vm *v, lp_value *p, lp_value *times, lp_value *quarters) {
    const double *half_pi = vm_half_pi[v->wide];
    lp_value *low = vm_fma(v, times, p, vm_mul(v, quarters, vm_c(v, half_pi[1])));
    return vm_fma(v, quarters, vm_c(v, half_pi[0]), low);
}

static lp_value *choose(const vm *v, lp_value *c, double yes, double no) {
    return vm_select(v, c, vm_c(v, yes), vm_c(v, no));
}

/* asin of a = |x| <= 1/2; of a larger one asin(sqrt((1 - a) / 2)), from which asin a = pi/2 - 2 p. NaN for a > 1. */
static lp_value *half_asin(const vm *v, lp_value *a, lp_value *is_big) {
    lp_value *z = vm_fma(v, a, vm_c(v, -0.5), vm_c(v, 0.5));
    lp_value *u = vm_select(v, is_big, z, vm_mul(v, a, a));
    lp_value *w = vm_select(v, is_big, lp_un(v->b, LP_sqrt, z), a);
    return vm_fma(v, vm_mul(v, w, u), vm_poly(v, u, vm_asin_table), w);
}

lp_value *vm_asin(const vm *v, lp_value *x) {
    lp_value *a = vm_abs(v, x), *is_big = vm_cmp(v, LP_gt, a, 0.5);
    lp_value *p = half_asin(v, a, is_big);
    lp_value *y = combine(v, p, choose(v, is_big, -2, 1), choose(v, is_big, 1, 0));
    return vm_with_sign(v, y, x);
}

/* pi/2 - p or pi/2 + p; 2 p above 1/2; pi - 2 p below -1/2. */
lp_value *vm_acos(const vm *v, lp_value *x) {
    lp_value *a = vm_abs(v, x), *is_big = vm_cmp(v, LP_gt, a, 0.5);
    lp_value *is_negative = vm_cmp(v, LP_lt, x, 0);
    lp_value *p = half_asin(v, a, is_big);
    lp_value *times = vm_select(v, is_big, choose(v, is_negative, -2, 2),
                                choose(v, is_negative, 1, -1));
    lp_value *quarters = vm_select(v, is_big, choose(v, is_negative, 2, 0), vm_c(v, 1));
    return combine(v, p, times, quarters);
}

/* atan z, 0 <= z <= 1 */
static lp_value *small_atan(const vm *v, lp_value *z) {
    lp_value *u = vm_mul(v, z, z);
    return vm_fma(v, vm_mul(v, z, u), vm_poly(v, u, vm_atan_table), z);
}

lp_value *vm_atan(const vm *v, lp_value *x) {
    lp_value *a = vm_abs(v, x), *is_big = vm_cmp(v, LP_gt, a, 1);
    lp_value *p = small_atan(v, vm_select(v, is_big, vm_div(v, vm_c(v, 1), a), a));
    lp_value *y = combine(v, p, choose(v, is_big, -1, 1), choose(v, is_big, 1, 0));
    return vm_with_sign(v, y, x);
}

/* The smaller of |y|, |x| by the larger one: 0 where both are 0, 1 where both are infinite. */
static lp_value *ratio(const vm *v, lp_value *a, lp_value *b, lp_value *swap) {
    lp_value *num = vm_select(v, swap, b, a), *den = vm_select(v, swap, a, b);
    lp_value *z = vm_div(v, num, den);
    z = vm_select(v, lp_bin(v->b, LP_eq, num, den), vm_c(v, 1), z);
    return vm_select(v, vm_cmp(v, LP_eq, vm_add(v, a, b), 0), vm_c(v, 0), z);
}

/* The angle of the point (x, y): of the first octant, mirrored at the diagonal (swap), at the y axis and at the x axis. */
lp_value *vm_atan2(const vm *v, lp_value *y, lp_value *x) {
    lp_value *a = vm_abs(v, y), *b = vm_abs(v, x), *swap = lp_bin(v->b, LP_gt, a, b);
    lp_value *p = small_atan(v, ratio(v, a, b, swap));
    lp_value *left = vm_int(v, LP_lt, vm_bits(v, x), 0);
    lp_value *times = vm_select(v, swap, choose(v, left, 1, -1), choose(v, left, -1, 1));
    lp_value *quarters = vm_select(v, swap, vm_c(v, 1), choose(v, left, 2, 0));
    return vm_with_sign(v, combine(v, p, times, quarters), y);
}
