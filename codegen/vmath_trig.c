/* Vector mathematics: sin, cos, tan. Largest errors in units in the last place, f32 and f64:
 *
 *   sin   1.5   1.5
 *   cos   1.5   1.5
 *   tan   3     3
 *
 * x = n pi/2 + r with pi/2 in three parts, |r| <= pi/4 or a little more; n mod 4 says which of sin r, cos r it is and with which sign.
 * That holds for |x| up to a limit. A vector in which a number is beyond takes a slow path, where the C library computes those lanes. */
#include "codegen/vmath_internal.h"

typedef struct quadrant {
    lp_value *sin, *cos; /* of r */
    lp_value *is_odd;    /* n */
    lp_value *bits;      /* n in its lowest two */
} quadrant;

static double limit(const vm *v) {
    return v->wide ? 0x1p30 : 0x1p17;
}

/* r^3 S(r^2) + r would make +0 of r = -0: the sign is put back. */
static lp_value *sin_of(const vm *v, lp_value *r, lp_value *u) {
    lp_value *y = vm_fma(v, vm_mul(v, r, u), vm_poly(v, u, vm_sin_table), r);
    return lp_bin(v->b, LP_or, y, lp_bin(v->b, LP_and, r, vm_c(v, -0.0)));
}

/* turns: quarter turns added to n. */
static quadrant find_quadrant(const vm *v, lp_value *x, int turns) {
    vm_reduced k = vm_reduce(v, x, vm_half_pi[v->wide], 3, 1, turns);
    lp_value *u = vm_mul(v, k.r, k.r), *odd = vm_int(v, LP_and, k.bits, 1);
    return (quadrant){.sin = sin_of(v, k.r, u),
                      .cos = vm_poly(v, u, vm_cos_table),
                      .is_odd = vm_int(v, LP_ne, odd, 0),
                      .bits = k.bits};
}

/* y, negated where `bit` of q->bits is set. */
static lp_value *negate_if(const vm *v, lp_value *y, const quadrant *q, int bit) {
    lp_value *flag = vm_int(v, LP_and, q->bits, 1 << bit);
    lp_value *sign = vm_int(v, LP_shl, flag, (v->wide ? 63 : 31) - bit);
    return lp_bin(v->b, LP_xor, y, vm_float(v, sign));
}

/* y, but what the library says where x is beyond the limit. */
static lp_value *with_huge(const vm *v, sc_op op, lp_value *x, lp_value *y) {
    lp_value *is_huge = vm_cmp(v, LP_gt, vm_abs(v, x), limit(v));
    lp_value *any = v->lanes > 1 ? lp_reduce(v->b, LP_reduce_max, is_huge) : is_huge;
    lp_loop l = lp_if_begin(v->b, any, &y->type, 1);
    lp_value *slow = vm_select(v, is_huge, vm_call_library(v->b, op, &x), y);
    lp_if_else(v->b, &l, &slow);
    lp_if_end(v->b, &l, &y);
    return l.results[0];
}

lp_value *vm_sin(const vm *v, lp_value *x) {
    quadrant q = find_quadrant(v, x, 0);
    lp_value *y = negate_if(v, vm_select(v, q.is_odd, q.cos, q.sin), &q, 1);
    return with_huge(v, SC_SIN, x, y);
}

lp_value *vm_cos(const vm *v, lp_value *x) {
    quadrant q = find_quadrant(v, x, 1);
    lp_value *y = negate_if(v, vm_select(v, q.is_odd, q.cos, q.sin), &q, 1);
    return with_huge(v, SC_COS, x, y);
}

lp_value *vm_tan(const vm *v, lp_value *x) {
    quadrant q = find_quadrant(v, x, 0);
    lp_value *above = vm_select(v, q.is_odd, q.cos, q.sin);
    lp_value *below = vm_select(v, q.is_odd, q.sin, q.cos);
    return with_huge(v, SC_TAN, x, negate_if(v, vm_div(v, above, below), &q, 0));
}
