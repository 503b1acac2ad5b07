/* Vector mathematics: the error function, f32. Largest error: 1.25 units in the last place. */
#include "codegen/vmath_internal.h"

/* Two polynomials: x + x p(x^2) below 1.08, 1 + q(x - 2.5) above. From 3.895 on the result is 1, exactly: Gelu relies on
 * 1 + erf(x) being 0 for large negative x. */
lp_value *vm_erf(const vm *v, lp_value *x) {
    lp_value *a = vm_at_most(v, vm_abs(v, x), 3.895), *u = vm_mul(v, a, a);
    lp_value *small = vm_fma(v, a, vm_poly(v, u, vm_erf_small_table), a);
    lp_value *z = vm_sub(v, a, vm_c(v, 2.5));
    lp_value *large = vm_add(v, vm_halves(v, z, vm_erf_large_table), vm_c(v, 1));
    lp_value *y = vm_select(v, vm_cmp(v, LP_gt, a, 1.08), large, small);
    return vm_with_sign(v, y, x);
}
