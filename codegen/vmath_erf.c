/* Vector mathematics: the error function, f32. Largest error: 1.5 units in the last place. */
#include "codegen/vmath_internal.h"

/* Two polynomials: x + x p(x^2) below 1.2, 1 + q(x - 2.56) above. From 3.92 on the result rounds to 1, and does so exactly: Gelu relies on
 * 1 + erf(x) being 0 for large negative x. */
lp_value *vm_erf(const vm *v, lp_value *x) {
    lp_value *a = vm_at_most(v, vm_abs(v, x), 3.92), *u = vm_mul(v, a, a);
    lp_value *small = vm_fma(v, a, vm_poly(v, u, vm_erf_small_table), a);
    lp_value *z = vm_sub(v, a, vm_c(v, 2.56));
    lp_value *large = vm_add(v, vm_poly(v, z, vm_erf_large_table), vm_c(v, 1));
    lp_value *y = vm_select(v, vm_cmp(v, LP_gt, a, 1.2), large, small);
    return vm_with_sign(v, y, x);
}
